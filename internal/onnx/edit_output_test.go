package onnx

import (
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

func TestSetOutputsAndRename(t *testing.T) {
	inside := onnxtest.New(13).Node("Neg", nil, []string{"seen"}, []string{"z"}).Output("z", ir.Float, 2)
	b := onnxtest.New(13).Input("x", ir.Float, 2).Input("c", ir.Bool).
		Node("Abs", nil, []string{"x"}, []string{"a"}).
		Node("Exp", nil, []string{"a"}, []string{"b"}).
		Node("Neg", nil, []string{"x"}, []string{"seen"}).
		Node("If", ir.Attrs{"then_branch": inside, "else_branch": inside}, []string{"c"}, []string{"i"}).
		Output("b", ir.Float, 2).Output("i", ir.Float, 2)
	e := edit(t, b.Bytes())
	for _, bad := range [][2]string{{"x", "y"}, {"a", "b"}, {"a", ""}, {"seen", "y"}, {"missing", "y"}} {
		if err := e.Rename(bad[0], bad[1]); err == nil {
			t.Errorf("%q was renamed to %q", bad[0], bad[1])
		}
	}
	for old, name := range map[string]string{"a": "first", "b": "second"} {
		if err := e.Rename(old, name); err != nil {
			t.Fatal(err)
		}
	}
	p, m := written(t, e)
	if m.Graph.Producer()["second"].In(0) != "first" || p.Graph.Output[0].GetName() != "second" || m.Graph.Producer()["a"] != nil {
		t.Errorf("after renaming: %v", p.Graph)
	}
	float := ir.Type{DType: ir.Float, Dims: []int{2}, Known: true, Params: []string{""}}
	e.SetOutputs(ir.Value{Name: "first", Type: float})
	e.Prune()
	p, _ = written(t, e)
	var left []string
	for _, n := range p.Graph.Node {
		left = append(left, n.GetOpType())
	}
	if !slices.Equal(left, []string{"Abs"}) || len(p.Graph.Output) != 1 {
		t.Errorf("nodes %v and %d outputs are left, want Abs and one", left, len(p.Graph.Output))
	}
}
