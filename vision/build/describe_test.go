package build_test

import (
	"math"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/vision/build"
)

// TestDescribe checks work and memory of a small network against numbers
// counted by hand.
func TestDescribe(t *testing.T) {
	m := parse(t, onnxtest.New(17).Input("x", ir.Float, -1, 3, 8, 8).Init("w", []int{16, 3, 3, 3}, make([]float32, 432)).Init("fc", []int{16, 10}, make([]float32, 160)).
		Node("Conv", ir.Attrs{"pads": []int64{1, 1, 1, 1}}, []string{"x", "w"}, []string{"c"}).Node("GlobalAveragePool", nil, []string{"c"}, []string{"g"}).
		Node("Flatten", nil, []string{"g"}, []string{"f"}).Node("MatMul", nil, []string{"f", "fc"}, []string{"y"}).
		NodeNamed("choose", "", "Hardmax", nil, []string{"y"}, []string{"h"}).Output("y", ir.Float, -1, 10).Output("h", ir.Float, -1, 10))
	net := build.NewNet(func(n int) (*ir.Graph, error) { return m.Plan(onnx.PlanOptions{Batch: n}) })
	site := build.Site{Path: "conv", Kind: build.KindConv, Output: "c", In: 3, Out: 16, Kernel: [2]int{3, 3}, Groups: 1}
	d, err := net.Describe(4, 8, []build.Site{site}, "y")
	if err != nil {
		t.Fatal(err)
	}
	want := (2*64*16*27 + 2*16*10) / 1e9
	if math.Abs(d.GFLOPs-want) > 1e-9 {
		t.Errorf("%g GFLOP forward, want %g", d.GFLOPs, want)
	}
	if d.Untrainable != "" || d.StepGFLOPs <= d.GFLOPs || d.TrainBytes <= d.InferBytes {
		t.Errorf("a training step is described as %+v", d)
	}
	if least := 4 * 4 * 64 * 16; d.InferBytes < least { // the map alone, batch 4
		t.Errorf("inference takes %d bytes, less than the %d of its one map", d.InferBytes, least)
	}
	whole, err := net.Describe(1, 8, []build.Site{site})
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Host) != 1 || whole.Host[0] != "choose (Hardmax)" || whole.Untrainable == "" {
		t.Errorf("Hardmax is described as %+v", whole)
	}
	plan, err := m.Plan(onnx.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := build.CostOf(plan, site, 8)
	if c.Params != 8*27+16*8 || math.Abs(c.GFLOPs-2*64*float64(8*27+16*8)/1e9) > 1e-12 {
		t.Errorf("an adapter of rank 8 costs %+v", c)
	}
	grouped := build.CostOf(plan, build.Site{Kind: build.KindConv, Output: "c", In: 12, Out: 12, Kernel: [2]int{3, 3}, Groups: 3}, 8)
	if grouped.Rank != 9 || grouped.Params != 9*4*9+12*3 {
		t.Errorf("a grouped adapter costs %+v", grouped)
	}
}
