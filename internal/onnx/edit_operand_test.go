package onnx

import (
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

// TestSetOperand changes a constant that one node reads in its place, and gives a
// node one of its own where others read it too.
func TestSetOperand(t *testing.T) {
	b := onnxtest.New(13).Input("x", ir.Float, 2, 3).
		InitInts("own", []int{2}, []int64{3, 2}).InitInts("shared", []int{1}, []int64{6}).
		Node("Reshape", nil, []string{"x", "own"}, []string{"a"}).
		Node("Reshape", nil, []string{"a", "shared"}, []string{"b"}).
		Node("Reshape", nil, []string{"x", "shared"}, []string{"c"}).
		Output("b", ir.Float, 6).Output("c", ir.Float, 6)
	e := edit(t, b.Bytes())
	set := func(node string, want string, v ...int64) {
		t.Helper()
		name, err := e.SetOperand(node, 1, ir.FromInt64s("fresh", v, len(v)))
		if err != nil || name != want {
			t.Errorf("the constant of %s is called %q, want %q: %v", node, name, want, err)
		}
	}
	set("a", "own", 1, 6, 1)
	set("b", "fresh", 2, 3)
	if _, err := e.SetOperand("a", 2, ir.FromInt64s("more", []int64{1}, 1)); err == nil {
		t.Error("a node of two inputs got a third one")
	}
	set("c", "shared", 3, 2, 1, 1) // nothing else reads it any more
	_, m := written(t, e)
	for name, want := range map[string][]int{"own": {1, 6, 1}, "fresh": {2, 3}, "shared": {3, 2, 1, 1}} {
		if got := m.Graph.Tensors[name].Ints(); !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", name, got, want)
		}
	}
	if in := m.Graph.Producer()["b"].In(1); in != "fresh" {
		t.Errorf("b reads %q", in)
	}
}
