package onnx

import (
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

func TestReplaceInput(t *testing.T) {
	b := onnxtest.New(13).Input("x", ir.Float, 1, 4).Init("w", []int{4}, []float32{1, 2, 3, 4}).
		Node("Mul", nil, []string{"x", "w"}, []string{"y"}).Output("y", ir.Float, 1, 4)
	e := edit(t, b.Bytes())
	image := ir.Value{Name: "image", Type: ir.Type{DType: ir.Uint8, Dims: []int{-1, 4}, Params: []string{"batch", ""}, Known: true}}
	for _, old := range []string{"w", "y", "z"} {
		if e.ReplaceInput(old, image) == nil {
			t.Errorf("%q is no input and was replaced", old)
		}
	}
	if taken := (ir.Value{Name: "w", Type: image.Type}); e.ReplaceInput("x", taken) == nil {
		t.Error("the new input has the name of an initializer")
	}
	if err := e.ReplaceInput("x", image); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Bytes(); err == nil {
		t.Error("written although nothing makes x")
	}
	if err := e.AppendNode(&ir.Node{Op: "Cast", Inputs: []string{"image"}, Outputs: []string{"x"}, Attrs: ir.Attrs{"to": int64(ir.Float)}}); err != nil {
		t.Fatal(err)
	}
	p, m := written(t, e)
	if in := m.Graph.Inputs; len(in) != 1 || in[0].Name != "image" || in[0].Type.DType != ir.Uint8 || in[0].Type.Dims[0] != -1 {
		t.Errorf("inputs %+v", in)
	}
	if p.Graph.Node[0].GetOpType() != "Cast" {
		t.Error("the nodes are out of order")
	}
}
