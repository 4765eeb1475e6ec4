package onnx

import (
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

// TestBind plans a model whose shapes follow from inputs: a target shape that
// is computed from an input, and a flag that chooses a branch in which another
// input is read.
func TestBind(t *testing.T) {
	then := onnxtest.New(17).Node("Reshape", nil, []string{"x", "flat"}, []string{"t"}).Output("t", ir.Float)
	other := onnxtest.New(17).Node("Identity", nil, []string{"x"}, []string{"e"}).Output("e", ir.Float)
	m, err := Parse(onnxtest.New(17).Input("x", ir.Float, 4, 6).Input("rows", ir.Int64, 1).Input("flat", ir.Int64, 1).Input("flag", ir.Bool).Input("scale", ir.Float, 1).
		InitInts("rest", []int{1}, []int64{-1}).Node("Concat", ir.Attrs{"axis": int64(0)}, []string{"rows", "rest"}, []string{"shape"}).
		Node("Reshape", nil, []string{"x", "shape"}, []string{"r"}).Node("Mul", nil, []string{"r", "scale"}, []string{"y"}).
		Node("If", ir.Attrs{"then_branch": then, "else_branch": other}, []string{"flag"}, []string{"z"}).
		Output("y", ir.Float, -1, -1).Output("z", ir.Float).Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.ShapeInputs(), []string{"rows", "flat", "flag"}; !slices.Equal(got, want) {
		t.Fatalf("shape inputs are %v, want %v", got, want)
	}
	ints := func(name string, v ...int64) *ir.Tensor { return ir.FromInt64s(name, v, len(v)) }
	values := map[string]*ir.Tensor{"rows": ints("rows", 8), "flat": ints("flat", 24), "flag": {DType: ir.Bool, Raw: []byte{1}}}
	g, err := m.Plan(PlanOptions{Shapes: map[string][]int{"x": {4, 6}, "scale": {1}}, Bind: values})
	if err != nil {
		t.Fatal(err)
	}
	if y, z := g.Types["y"].Dims, g.Types["z"].Dims; !slices.Equal(y, []int{8, 3}) || !slices.Equal(z, []int{24}) {
		t.Errorf("y is %v and z %v, want (8, 3) and (24)", y, z)
	}
	if len(g.Inputs) != 2 || len(m.Graph.Inputs) != 5 {
		t.Errorf("%d inputs are left in the plan and %d in the model, want 2 and 5", len(g.Inputs), len(m.Graph.Inputs))
	}
	for want, bad := range map[string]*ir.Tensor{`no such input`: ints("nothing", 1), `"rows": it is int64, given float32`: ir.FromFloat32s("rows", []float32{8}, 1)} {
		if _, err := m.Plan(PlanOptions{Bind: map[string]*ir.Tensor{bad.Name: bad}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("binding %s gives the error %v, want %s", bad.Name, err, want)
		}
	}
}
