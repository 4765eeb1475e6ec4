package build_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/build"
)

// TestEveryValue compares every intermediate value of the fused, channels-last
// graph with the host evaluator's run of the file's own nodes.
func TestEveryValue(t *testing.T) {
	for _, path := range [][]string{{"vit_cifar_ibp", "vit_cifar_ibp_3_3_8.onnx"}, {"resnet4b_cifar", "cifar_resnet_4b.onnx"}, {"mobilenetv3_ppocr_cls", "ppocr_cls.onnx"}} {
		t.Run(path[0], func(t *testing.T) {
			m, err := onnx.Open(testdata.Real(t, path...))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			pic, err := m.Picture()
			if err != nil {
				t.Fatal(err)
			}
			o := onnx.PlanOptions{Batch: 2, Height: 48, Width: 192}
			if pic.Height > 0 {
				o.Height, o.Width = 0, 0
			}
			raw := o
			raw.Unfused = true
			plain, err := m.Plan(raw)
			if err != nil {
				t.Fatal(err)
			}
			dims := plain.Types[pic.Name].Dims
			x := make([]float32, length(dims))
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			values := map[string]*ir.Tensor{pic.Name: ir.FromFloat32s(pic.Name, x, dims...)}
			for name, v := range plain.Tensors {
				values[name] = v
			}
			for _, n := range plain.Nodes {
				in := make([]*ir.Tensor, len(n.Inputs))
				for i, name := range n.Inputs {
					in[i] = values[name]
				}
				out, err := eval.Eval(n, plain.Opset, in)
				if err != nil {
					t.Fatalf("%s: %v", n.Name, err)
				}
				for i, name := range n.Outputs {
					if i < len(out) {
						values[name] = out[i]
					}
				}
			}
			net := build.NewNet(func(int) (*ir.Graph, error) { return m.Plan(o) })
			g, err := net.Build(build.Options{Batch: 2})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			var roots []*ops.Node
			for _, n := range g.IR.Nodes {
				if values[n.Outputs[0]] == nil {
					continue
				}
				v, err := g.Value(n.Outputs[0])
				if err != nil {
					t.Fatal(err)
				}
				names, roots = append(names, n.Outputs[0]), append(roots, v)
			}
			p, err := vm.Compile(g.Graph, roots...)
			if err != nil {
				t.Fatal(err)
			}
			leaf := g.Inputs[pic.Name]
			g.Memory[leaf] = buffer.New(buffer.F32, ops.Shape(leaf)...)
			toChannelsLast(g.Memory[leaf].F32(), x, dims)
			e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: g.Memory})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if err := e.RunAll(); err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				var want []float64
				for _, v := range values[name].Float32s() {
					want = append(want, float64(v))
				}
				if d := gradcheck.RangeError(gradcheck.Read(e.Value(roots[i])), want); d > 1e-4 {
					t.Fatalf("%s: off by %.2g of the range", name, d)
				}
			}
			t.Logf("%d values agree", len(names))
		})
	}
}

func length(d []int) int {
	n := 1
	for _, v := range d {
		n *= v
	}
	return n
}
