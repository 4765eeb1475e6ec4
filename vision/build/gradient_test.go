package build_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/build"
)

// nodeCase is one ONNX node behind something that trains: y = op(x + p, …).
type nodeCase struct {
	name  string
	opset int // 0: 17
	op    string
	x     []int
	attrs ir.Attrs
	// floats are further inputs that train, ints and fixed ones that do not,
	// in order after x + p; nil dims mean an absent input.
	rest []operand
	outs int // outputs named, default 1
	// positive draws x and the parameters from [0.5, 1.5].
	positive bool
	// first puts x + p at another place than the first input.
	at int
}

type operand struct {
	dims   []int
	ints   []int64
	bools  []byte
	floats []float32 // fixed
}

func param(dims ...int) operand           { return operand{dims: dims} }
func integers(v ...int64) operand         { return operand{dims: []int{len(v)}, ints: v} }
func shaped(d []int, v ...int64) operand  { return operand{dims: d, ints: v} }
func fixed(d []int, v ...float32) operand { return operand{dims: d, floats: v} }
func mask(d []int, v ...byte) operand     { return operand{dims: d, bools: v} }
func a64(v ...int64) []int64              { return v }
func attr(kv ...any) ir.Attrs {
	out := ir.Attrs{}
	for i := 0; i < len(kv); i += 2 {
		out[kv[i].(string)] = kv[i+1]
	}
	return out
}

var map4 = []int{2, 3, 5, 6}

var nodeCases = []nodeCase{
	{name: "resize nearest ×2", op: "Resize", x: map4, attrs: attr("coordinate_transformation_mode", "asymmetric", "nearest_mode", "floor"), rest: []operand{{}, fixed([]int{4}, 1, 1, 2, 2)}},
	{name: "resize linear by sizes", op: "Resize", x: map4, attrs: attr("mode", "linear"), rest: []operand{{}, {}, integers(2, 3, 8, 4)}},
	{name: "resize linear, corners aligned", op: "Resize", x: map4, attrs: attr("mode", "linear", "coordinate_transformation_mode", "align_corners"), rest: []operand{{}, {}, integers(2, 3, 9, 11)}},
	{name: "resize cubic", op: "Resize", x: map4, attrs: attr("mode", "cubic"), rest: []operand{{}, fixed([]int{4}, 1, 1, 1.5, 0.5)}},
	{name: "resize cubic, antialias, outside left out", opset: 18, op: "Resize", x: map4, attrs: attr("mode", "cubic", "antialias", int64(1), "exclude_outside", int64(1)), rest: []operand{{}, {}, integers(2, 3, 3, 2)}},
	{name: "upsample of opset 9", opset: 9, op: "Upsample", x: map4, attrs: attr("mode", "nearest"), rest: []operand{fixed([]int{4}, 1, 1, 3, 2)}},
	{name: "pad reflect", op: "Pad", x: map4, attrs: attr("mode", "reflect"), rest: []operand{integers(0, 0, 2, 1, 0, 0, 1, 3)}},
	{name: "pad edge, cut", op: "Pad", x: map4, attrs: attr("mode", "edge"), rest: []operand{integers(0, 0, 2, -1, 0, 0, 1, 3)}},
	{name: "pad wrap", opset: 19, op: "Pad", x: map4, attrs: attr("mode", "wrap"), rest: []operand{integers(0, 0, 2, 1, 0, 0, 1, 3)}},
	{name: "transposed conv", op: "ConvTranspose", x: map4, attrs: attr("strides", a64(2, 2), "pads", a64(1, 1, 1, 1), "output_padding", a64(1, 1)), rest: []operand{param(3, 4, 3, 3), param(4)}},
	{name: "transposed conv, same", op: "ConvTranspose", x: map4, attrs: attr("strides", a64(2, 2), "auto_pad", "SAME_UPPER"), rest: []operand{param(3, 2, 3, 3)}},
	{name: "transposed conv, output padding of a stride", op: "ConvTranspose", x: map4, attrs: attr("strides", a64(2, 1), "dilations", a64(2, 2), "output_padding", a64(3, 1), "pads", a64(1, 0, 0, 1)), rest: []operand{param(3, 2, 2, 2), param(2)}},
	{name: "conv of one dimension", op: "Conv", x: []int{2, 3, 7}, attrs: attr("pads", a64(1, 0), "strides", a64(2)), rest: []operand{param(4, 3, 3), param(4)}},
	{name: "average pool, ceil", op: "AveragePool", x: map4, attrs: attr("kernel_shape", a64(3, 3), "strides", a64(2, 2), "ceil_mode", int64(1), "pads", a64(1, 1, 0, 0))},
	{name: "average pool of one dimension", op: "AveragePool", x: []int{2, 3, 7}, attrs: attr("kernel_shape", a64(3), "count_include_pad", int64(1), "pads", a64(1, 1))},
	{name: "lrn", op: "LRN", x: []int{2, 6, 3, 3}, attrs: attr("size", int64(3), "alpha", float32(0.4), "beta", float32(0.7), "bias", float32(1.2))},
	{name: "instance normalisation", op: "InstanceNormalization", x: map4, rest: []operand{param(3), param(3)}},
	{name: "instance normalisation of one dimension", op: "InstanceNormalization", x: []int{2, 3, 7}, rest: []operand{param(3), param(3)}},
	{name: "group normalisation", opset: 21, op: "GroupNormalization", x: []int{2, 4, 3, 3}, attrs: attr("num_groups", int64(2)), rest: []operand{param(4), param(4)}},
	{name: "mean-variance normalisation", op: "MeanVarianceNormalization", x: map4},
	{name: "l2 normalisation", op: "LpNormalization", x: map4, attrs: attr("axis", int64(1), "p", int64(2))},
	{name: "prelu", op: "PRelu", x: map4, rest: []operand{param(3, 1, 1)}},
	{name: "shrink", op: "Shrink", x: map4, attrs: attr("lambd", float32(0.3), "bias", float32(0.2))},
	{name: "where", op: "Where", x: map4, at: 1, rest: []operand{mask([]int{6}, 1, 0, 1, 1, 0, 0), param(3, 1, 6)}},
	{name: "tile", op: "Tile", x: map4, rest: []operand{integers(1, 2, 1, 3)}},
	{name: "depth to space", op: "DepthToSpace", x: []int{1, 8, 2, 3}, attrs: attr("blocksize", int64(2))},
	{name: "depth to space, crd", op: "DepthToSpace", x: []int{1, 8, 2, 3}, attrs: attr("blocksize", int64(2), "mode", "CRD")},
	{name: "space to depth", op: "SpaceToDepth", x: []int{1, 2, 4, 6}, attrs: attr("blocksize", int64(2))},
	{name: "einsum, attention scores", op: "Einsum", x: []int{2, 3, 4, 5}, attrs: attr("equation", "bhid,bhjd->bhij"), rest: []operand{param(2, 3, 6, 5)}},
	{name: "einsum, three operands and sums", op: "Einsum", x: []int{3, 4}, attrs: attr("equation", "ab,bc,cd->da"), rest: []operand{param(4, 5), param(5, 2)}},
	{name: "einsum, outer product", op: "Einsum", x: []int{3}, attrs: attr("equation", "i,j->ji"), rest: []operand{param(4)}},
	{name: "einsum, implicit output", op: "Einsum", x: []int{3, 4}, attrs: attr("equation", "ba,ac"), rest: []operand{param(4, 2)}},
	{name: "cumulative sum", op: "CumSum", x: map4, attrs: attr("exclusive", int64(1)), rest: []operand{shaped(nil, 2)}},
	{name: "trilu", op: "Trilu", x: []int{2, 4, 5}, attrs: attr("upper", int64(0)), rest: []operand{shaped(nil, 1)}},
	{name: "grid sample", op: "GridSample", x: map4, rest: []operand{param(2, 3, 4, 2)}},
	{name: "gather elements", op: "GatherElements", x: []int{3, 4}, attrs: attr("axis", int64(1)), rest: []operand{shaped([]int{3, 2}, 0, -1, 2, 2, 1, 0)}},
	{name: "gather nd", op: "GatherND", x: []int{2, 3, 4}, rest: []operand{shaped([]int{2, 2}, 0, 2, 1, -1)}},
	{name: "scatter elements", op: "ScatterElements", opset: 18, x: []int{3, 4}, attrs: attr("axis", int64(1)), rest: []operand{shaped([]int{3, 1}, 0, 3, 1), param(3, 1)}},
	{name: "scatter nd, adding", op: "ScatterND", opset: 18, x: []int{3, 4}, attrs: attr("reduction", "add"), rest: []operand{shaped([]int{2, 1}, 0, 0), param(2, 4)}},
	{name: "top k", op: "TopK", x: []int{3, 7}, rest: []operand{integers(3)}, outs: 2},
	{name: "l1", op: "ReduceL1", x: map4, attrs: attr("axes", a64(1))},
	{name: "l2", op: "ReduceL2", x: map4, attrs: attr("axes", a64(2, 3), "keepdims", int64(0))},
	{name: "sum of squares", op: "ReduceSumSquare", x: map4, attrs: attr("axes", a64(-1))},
	{name: "log of sum", op: "ReduceLogSum", x: map4, attrs: attr("axes", a64(1)), positive: true},
	{name: "log-sum-exp", op: "ReduceLogSumExp", x: map4, attrs: attr("axes", a64(1, 2))},
	{name: "product", op: "ReduceProd", x: map4, attrs: attr("axes", a64(1, 3))},
	{name: "mean", op: "Mean", x: map4, rest: []operand{param(3, 1, 1), param(2, 3, 5, 6)}},
	{name: "max of three", op: "Max", x: map4, rest: []operand{param(3, 1, 1), param(2, 3, 5, 6)}},
	{name: "clip to computed bounds", op: "Clip", x: map4, rest: []operand{param(), param()}},
	{name: "matmul with a vector", op: "MatMul", x: []int{2, 4, 5}, rest: []operand{param(5)}},
	{name: "pow with integers", op: "Pow", x: map4, rest: []operand{shaped(nil, 3)}, positive: true},
}

func (c nodeCase) model() (*onnx.Model, []string, error) {
	opset := c.opset
	if opset == 0 {
		opset = 17
	}
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(2*rng.Float64() - 1)
			if c.positive {
				v[i] = 0.5 + float32(rng.Float64())/2
			}
		}
		return v
	}
	b := onnxtest.New(opset).Input("x", ir.Float, c.x...).Init("p", c.x, draw(length(c.x))).Node("Add", nil, []string{"x", "p"}, []string{"s"})
	var in []string
	params := []string{"p"}
	for i, o := range c.rest {
		if i == c.at && c.at > 0 {
			in = append(in, "s")
		}
		name := string(rune('a' + i))
		switch {
		case o.ints != nil:
			b.InitInts(name, o.dims, o.ints)
		case o.bools != nil:
			b.InitTensor(&ir.Tensor{Name: name, DType: ir.Bool, Dims: o.dims, Raw: o.bools})
		case o.floats != nil:
			b.Init(name, o.dims, o.floats)
		case o.dims == nil && c.op != "Clip":
			name = ""
		default:
			b.Init(name, o.dims, draw(length(o.dims)))
			params = append(params, name)
		}
		in = append(in, name)
	}
	if c.at == 0 {
		in = append([]string{"s"}, in...)
	}
	outs := []string{"y"}
	for i := 1; i < c.outs; i++ {
		outs = append(outs, "y"+string(rune('0'+i)))
	}
	m, err := onnx.Parse(b.Node(c.op, c.attrs, in, outs).Output("y", ir.Float).Bytes(), "")
	return m, params, err
}

// TestNodeGradients holds, for every operator that may lie between an adapter
// and the loss, that the graph computes what the host evaluator computes, and
// that the gradients of all its float inputs agree with finite differences.
func TestNodeGradients(t *testing.T) {
	for _, c := range nodeCases {
		t.Run(c.name, func(t *testing.T) {
			m, params, err := c.model()
			if err != nil {
				t.Fatal(err)
			}
			x := ir.FromFloat32s("x", make([]float32, length(c.x)), c.x...)
			want, err := eval.Run(m.Graph, map[string]*ir.Tensor{"x": x}, "y")
			if err != nil {
				t.Fatal(err)
			}
			net := build.NewNet(func(int) (*ir.Graph, error) { return m.Plan(onnx.PlanOptions{Shapes: map[string][]int{"x": c.x}}) })
			for _, p := range params {
				if _, err := net.Unfreeze(m.Graph.Tensors[p], p); err != nil {
					t.Fatal(err)
				}
			}
			g, err := net.Build(build.Options{Batch: c.x[0], Float64: true})
			if err != nil {
				t.Fatal(err)
			}
			y, err := g.Value("y")
			if err != nil {
				t.Fatal(err)
			}
			r := g.Input("dot_weights", buffer.F32, false, ops.Shape(y)...)
			dot := gradcheck.Dot(g.Graph, y, r)
			var wrt gorgonia.Nodes
			for _, p := range params {
				wrt = append(wrt, g.Leaves[p])
			}
			grads, err := gorgonia.Grad(dot, wrt...)
			if err != nil {
				t.Fatal(err)
			}
			prog, err := vm.Compile(g.Graph, append([]*ops.Node{dot, y}, grads...)...)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(5, 6))
			for _, leaf := range prog.Inputs {
				if g.Memory[leaf] == nil {
					g.Memory[leaf] = buffer.New(g.Kind(leaf), ops.Shape(leaf)...)
				}
			}
			for i := range g.Memory[r].F64() {
				g.Memory[r].F64()[i] = 2*rng.Float64() - 1
			}
			e, err := vm.NewExecutor(prog, vm.Binding{Kernels: kernels.Go{}, Inputs: g.Memory})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			run := func() float64 {
				if err := e.RunAll(); err != nil {
					t.Fatal(err)
				}
				return e.Value(dot).F64()[0]
			}
			run()
			var expected []float64
			for _, v := range want["y"].Float32s() {
				expected = append(expected, float64(v))
			}
			if d := gradcheck.RangeError(gradcheck.Read(e.Value(y)), expected); d > 1e-6 {
				t.Fatalf("forward is off by %.2g of the range", d)
			}
			var analytic [][]float64 // all of one run: the differences below disturb it
			for _, gr := range grads {
				analytic = append(analytic, gradcheck.Read(e.Value(gr)))
			}
			for i, p := range params {
				got := analytic[i]
				mem := g.Memory[wrt[i]].F64()
				big := 1e-3
				for _, v := range got {
					big = max(big, math.Abs(v))
				}
				const h = 1e-5
				for j := range mem {
					keep := mem[j]
					mem[j] = keep + h
					up := run()
					mem[j] = keep - h
					down := run()
					mem[j] = keep
					if fd := (up - down) / (2 * h); !(math.Abs(got[j]-fd) <= 1e-6*big) {
						t.Fatalf("gradient of %s at %d is %.8g, finite difference %.8g", p, j, got[j], fd)
					}
				}
			}
		})
	}
}
