package build_test

import (
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/build"
)

func parse(t *testing.T, b *onnxtest.Builder) *onnx.Model {
	t.Helper()
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func planned(m *onnx.Model) *build.Net {
	return build.NewNet(func(n int) (*ir.Graph, error) { return m.Plan(onnx.PlanOptions{Batch: n}) })
}

// TestTail runs a model whose outputs' shapes depend on the data: what is
// static runs in the program, the rest behind it, and nothing there can train.
func TestTail(t *testing.T) {
	m := parse(t, onnxtest.New(17).Input("x", ir.Float, 2, 3).Init("w", []int{3, 3}, []float32{1, 0, 0, 0, 1, 0, 0, 0, -1}).
		Node("MatMul", nil, []string{"x", "w"}, []string{"h"}).Node("Relu", nil, []string{"h"}, []string{"r"}).
		Node("NonZero", nil, []string{"r"}, []string{"places"}).Node("Transpose", nil, []string{"places"}, []string{"rows"}).
		Node("GatherND", nil, []string{"r", "rows"}, []string{"values"}).
		Output("values", ir.Float, -1).Output("rows", ir.Int64, -1, 2).Output("h", ir.Float, 2, 3))
	net := planned(m)
	g, err := net.Build(build.Options{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Tail) != 3 {
		t.Fatalf("%d nodes in the tail, want NonZero, Transpose and GatherND", len(g.Tail))
	}
	r, err := build.NewRunner(g, kernels.Go{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct {
		x, values []float32
		rows      []int64
	}{
		{[]float32{1, -2, -3, 4, 5, 6}, []float32{1, 3, 4, 5}, []int64{0, 0, 0, 2, 1, 0, 1, 1}},
		{[]float32{-1, -1, 1, -1, -1, 7}, nil, nil},
	} {
		out, err := r.Run(map[string]*ir.Tensor{"x": ir.FromFloat32s("x", c.x, 2, 3)})
		if err != nil {
			t.Fatal(err)
		}
		if got := out["values"].Float32s(); !slices.Equal(got, c.values) {
			t.Errorf("values are %v, want %v", got, c.values)
		}
		if got := out["rows"].Int64s(); !slices.Equal(got, c.rows) {
			t.Errorf("rows are %v, want %v", got, c.rows)
		}
	}
	if _, err := g.Value("values"); err == nil || !strings.Contains(err.Error(), `"values"`) {
		t.Errorf("a value of the tail as a node of the graph gives the error %v", err)
	}
	if _, err := r.Run(map[string]*ir.Tensor{"x": ir.FromFloat32s("x", make([]float32, 3), 1, 3)}); err == nil || !strings.Contains(err.Error(), "[2 3]") {
		t.Errorf("an input of another shape gives the error %v", err)
	}
}

// TestNoGradient holds that an operator without a gradient is named where
// training needs it, and runs where it does not.
func TestNoGradient(t *testing.T) {
	m := parse(t, onnxtest.New(17).Input("x", ir.Float, 2, 3).Init("p", []int{3}, []float32{1, 2, 3}).
		Node("Add", nil, []string{"x", "p"}, []string{"s"}).NodeNamed("decide", "", "Hardmax", nil, []string{"s"}, []string{"y"}).Output("y", ir.Float, 2, 3))
	g, err := planned(m).Build(build.Options{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	r, err := build.NewRunner(g, kernels.Go{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out, err := r.Run(map[string]*ir.Tensor{"x": ir.FromFloat32s("x", []float32{0, 0, 0, 9, 0, 0}, 2, 3)})
	if err != nil || !slices.Equal(out["y"].Float32s(), []float32{0, 0, 1, 1, 0, 0}) {
		t.Fatalf("Hardmax gives %v, %v", out["y"], err)
	}
	net := planned(m)
	if _, err := net.Unfreeze(m.Graph.Tensors["p"], "p"); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Build(build.Options{Batch: 2}); err == nil || !strings.Contains(err.Error(), "decide (Hardmax)") || !strings.Contains(err.Error(), "gradient") {
		t.Fatalf("training through Hardmax gives the error %v", err)
	}
}

// TestFakeQuantisation trains through QuantizeLinear and DequantizeLinear: the
// gradient passes where nothing was cut.
func TestFakeQuantisation(t *testing.T) {
	m := parse(t, onnxtest.New(17).Input("x", ir.Float, 4).Init("p", []int{4}, make([]float32, 4)).Init("scale", nil, []float32{0.5}).
		InitTensor(&ir.Tensor{Name: "zero", DType: ir.Int8, Raw: []byte{0}}).
		Node("Add", nil, []string{"x", "p"}, []string{"s"}).Node("QuantizeLinear", nil, []string{"s", "scale", "zero"}, []string{"q"}).
		Node("DequantizeLinear", nil, []string{"q", "scale", "zero"}, []string{"y"}).Output("y", ir.Float, 4))
	net := build.NewNet(func(int) (*ir.Graph, error) { return m.Plan(onnx.PlanOptions{Shapes: map[string][]int{"x": {4}}}) })
	if _, err := net.Unfreeze(m.Graph.Tensors["p"], "p"); err != nil {
		t.Fatal(err)
	}
	g, err := net.Build(build.Options{Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	y, err := g.Value("y")
	if err != nil {
		t.Fatal(err)
	}
	r := g.Input("r", buffer.F32, false, 4)
	dot := gradcheck.Dot(g.Graph, y, r)
	grads, err := gorgonia.Grad(dot, g.Leaves["p"])
	if err != nil {
		t.Fatal(err)
	}
	p, err := vm.Compile(g.Graph, dot, y, grads[0])
	if err != nil {
		t.Fatal(err)
	}
	g.Memory[r] = buffer.Of([]float32{1, 2, 3, 4}, 4)
	g.Memory[g.Inputs["x"]] = buffer.Of([]float32{0.6, -1.1, 100, 63}, 4) // 100 is beyond 127·0.5
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: map[*ops.Node]*buffer.Buffer(g.Memory)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil {
		t.Fatal(err)
	}
	if got := e.Value(y).F32(); !slices.Equal(got, []float32{0.5, -1, 63.5, 63}) {
		t.Errorf("values are %v", got)
	}
	if got := e.Value(grads[0]).F32(); !slices.Equal(got, []float32{1, 2, 0, 4}) {
		t.Errorf("gradients are %v, want 1 2 0 4", got)
	}
}
