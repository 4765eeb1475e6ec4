package ops_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

type (
	node  = *ops.Node
	nodes = []*ops.Node
	leaf  = gradcheck.Leaf
)

func l(shape ...int) leaf { return leaf{Shape: shape} }
func frozen(l leaf) leaf  { l.Frozen = true; return l }
func apart(l leaf) leaf   { l.Apart = true; return l }
func plus(l leaf) leaf    { l.Positive = true; return l }

func conv(s, d int, pads [4]int, groups int) ops.ConvAttr {
	return ops.ConvAttr{Stride: [2]int{s, s}, Dilation: [2]int{d, d}, Pads: pads, Groups: groups}
}

// packed is a qkv tensor (N, T, 3·H·D) as timm packs it.
func packed(g *ops.Graph, qkv node, heads, d int, mask node) node {
	s := ops.Shape(qkv)
	t, c := s[1], s[2]
	v := func(k int) ops.View {
		return ops.View{Source: qkv, Offset: k * heads * d, Batch: t * c, Token: c, Head: d}
	}
	return g.Attention(v(0), v(1), v(2), mask, ops.AttentionAttr{N: s[0], Heads: heads, Tq: t, Tk: t, D: d, Dv: d, Scale: 0.4})
}

func cases() []gradcheck.Case {
	cs := []gradcheck.Case{
		{Name: "linear", Leaves: []leaf{l(2, 3, 5), l(5, 7), l(7)}, Build: func(g *ops.Graph, in nodes) node { return g.Linear(in[0], in[1], in[2], false) }},
		{Name: "linear transposed, frozen weight", Leaves: []leaf{l(2, 3, 5), frozen(l(7, 5)), l(7)}, Build: func(g *ops.Graph, in nodes) node { return g.Linear(in[0], in[1], in[2], true) }},
		{Name: "linear without bias", Leaves: []leaf{l(4, 33), l(17, 33)}, Build: func(g *ops.Graph, in nodes) node { return g.Linear(in[0], in[1], nil, true) }},
		{Name: "low-rank update", Leaves: []leaf{l(2, 3, 5), frozen(l(7, 5)), l(7), l(2, 5), l(7, 2)}, Build: func(g *ops.Graph, in nodes) node {
			h := g.Linear(in[0], g.Unary(kernels.Affine, 2, 0, in[3]), nil, true)
			return g.AddLinear(g.Linear(in[0], in[1], in[2], true), h, in[4], true)
		}},
		{Name: "residual around a linear layer", Leaves: []leaf{l(3, 5), l(5, 5)}, Build: func(g *ops.Graph, in nodes) node {
			return g.Add(in[0], g.Linear(g.Add(in[0], g.Linear(in[0], in[1], nil, true)), in[1], nil, false))
		}},
		{Name: "matmul, batch broadcast", Leaves: []leaf{l(2, 3, 4, 5), l(3, 5, 2)}, Build: func(g *ops.Graph, in nodes) node { return g.MatMul(in[0], in[1]) }},
		{Name: "attention, packed qkv", Leaves: []leaf{l(2, 5, 18)}, Build: func(g *ops.Graph, in nodes) node { return packed(g, in[0], 2, 3, nil) }},
		{Name: "attention, packed qkv, mask", Leaves: []leaf{l(2, 5, 18), frozen(l(2, 5, 5))}, Build: func(g *ops.Graph, in nodes) node { return packed(g, in[0], 2, 3, in[1]) }},
		{Name: "attention, separate q k v", Leaves: []leaf{l(2, 4, 6), l(2, 5, 6), l(2, 5, 8)}, Build: func(g *ops.Graph, in nodes) node {
			v := func(n node) ops.View {
				s := ops.Shape(n)
				return ops.View{Source: n, Batch: s[1] * s[2], Token: s[2], Head: s[2] / 2}
			}
			return g.Attention(v(in[0]), v(in[1]), v(in[2]), nil, ops.AttentionAttr{N: 2, Heads: 2, Tq: 4, Tk: 5, D: 3, Dv: 4, Scale: 0.6})
		}},
		{Name: "attention, shared k and v, frozen q", Leaves: []leaf{frozen(l(2, 4, 6)), l(2, 5, 12)}, Build: func(g *ops.Graph, in nodes) node {
			q := ops.View{Source: in[0], Batch: 24, Token: 6, Head: 3}
			k := ops.View{Source: in[1], Batch: 60, Token: 12, Head: 3}
			v := k
			v.Offset = 6
			return g.Attention(q, k, v, nil, ops.AttentionAttr{N: 2, Heads: 2, Tq: 4, Tk: 5, D: 3, Dv: 3, Scale: 1})
		}},
		{Name: "layer norm", Leaves: []leaf{l(2, 3, 7), l(7), l(7)}, Build: func(g *ops.Graph, in nodes) node { return g.LayerNorm(in[0], in[1], in[2], 1e-5) }},
		{Name: "layer norm without beta", Leaves: []leaf{l(4, 9), l(9)}, Build: func(g *ops.Graph, in nodes) node { return g.LayerNorm(in[0], in[1], nil, 1e-6) }},
		{Name: "channel affine", Leaves: []leaf{l(2, 3, 4), l(4), l(4)}, Build: func(g *ops.Graph, in nodes) node { return g.ChannelAffine(in[0], in[1], in[2]) }},
		{Name: "channel scale alone", Leaves: []leaf{l(2, 3, 4), l(4)}, Build: func(g *ops.Graph, in nodes) node { return g.ChannelAffine(in[0], in[1], nil) }},
		{Name: "softmax", Leaves: []leaf{l(3, 6)}, Build: func(g *ops.Graph, in nodes) node { return g.Softmax(in[0], false) }},
		{Name: "log-softmax", Leaves: []leaf{l(3, 6)}, Build: func(g *ops.Graph, in nodes) node { return g.Softmax(in[0], true) }},
		{Name: "dropout", Leaves: []leaf{l(3, 4, 5), {Shape: []int{3}, Integers: []int64{5, 8, 9}}}, Build: func(g *ops.Graph, in nodes) node { return g.Dropout(in[0], in[1], 0.3, 42) }},
		{Name: "dora scale", Leaves: []leaf{plus(l(6)), frozen(l(6, 5)), frozen(l(2, 5)), frozen(l(6, 2))}, Build: func(g *ops.Graph, in nodes) node { return g.DoRAScale(in[0], in[1], in[2], in[3], 1, false) }},
		{Name: "dora scale, transposed", Leaves: []leaf{plus(l(6)), frozen(l(5, 6)), frozen(l(2, 5)), frozen(l(6, 2))}, Build: func(g *ops.Graph, in nodes) node { return g.DoRAScale(in[0], in[1], in[2], in[3], 1, true) }},
		{Name: "dora scale, grouped kernel", Leaves: []leaf{plus(l(6)), frozen(l(6, 2, 3, 3)), frozen(l(4, 2, 3, 3)), frozen(l(6, 2, 1, 1))}, Build: func(g *ops.Graph, in nodes) node { return g.DoRAScale(in[0], in[1], in[2], in[3], 2, false) }},
		{Name: "transpose", Leaves: []leaf{l(2, 3, 4, 5)}, Build: func(g *ops.Graph, in nodes) node { return g.Transpose(in[0], 0, 3, 1, 2) }},
		{Name: "reshape", Leaves: []leaf{l(2, 6)}, Build: func(g *ops.Graph, in nodes) node { return g.Unary(kernels.Tanh, 0, 0, g.Reshape(in[0], 3, 4)) }},
		{Name: "slice", Leaves: []leaf{l(3, 7, 2)}, Build: func(g *ops.Graph, in nodes) node { return g.Slice(in[0], 1, 5, 3, -2) }},
		{Name: "expand", Leaves: []leaf{l(3, 1)}, Build: func(g *ops.Graph, in nodes) node { return g.Expand(in[0], 2, 3, 4) }},
		{Name: "concat", Leaves: []leaf{l(2, 3), l(2, 1), l(2, 2)}, Build: func(g *ops.Graph, in nodes) node { return g.Concat(1, in...) }},
		{Name: "split and join", Leaves: []leaf{l(2, 6)}, Build: func(g *ops.Graph, in nodes) node {
			return g.Mul(g.Slice(in[0], 1, 0, 3, 1), g.Slice(in[0], 1, 3, 3, 1))
		}},
		{Name: "pad", Leaves: []leaf{l(2, 3)}, Build: func(g *ops.Graph, in nodes) node { return g.Pad(in[0], []int{1, 0}, []int{0, 2}, 0) }},
		{Name: "pad with a value, cut", Leaves: []leaf{l(2, 4)}, Build: func(g *ops.Graph, in nodes) node { return g.Pad(in[0], []int{1, -1}, []int{0, 2}, 3) }},
		{Name: "gather with repeats", Leaves: []leaf{l(4, 3)}, Build: func(g *ops.Graph, in nodes) node { return g.Gather(in[0], 0, []int{2, 0, 2, 3}) }},
		{Name: "reduce sum", Leaves: []leaf{l(2, 3, 4)}, Build: func(g *ops.Graph, in nodes) node { return g.Reduce(kernels.ReduceSum, in[0], 1) }},
		{Name: "reduce mean", Leaves: []leaf{l(2, 3, 4, 5)}, Build: func(g *ops.Graph, in nodes) node { return g.Reduce(kernels.ReduceMean, in[0], 1, 2) }},
		{Name: "reduce max", Leaves: []leaf{l(2, 3, 4)}, Build: func(g *ops.Graph, in nodes) node { return g.Reduce(kernels.ReduceMax, in[0], 0, 2) }},
		{Name: "max pool", Leaves: []leaf{l(2, 7, 6, 3)}, Build: func(g *ops.Graph, in nodes) node {
			return g.Pool(in[0], ops.PoolAttr{Max: true, Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, Pads: [4]int{1, 1, 1, 1}})
		}},
		{Name: "max pool, ceil", Leaves: []leaf{l(1, 6, 6, 2)}, Build: func(g *ops.Graph, in nodes) node {
			return g.Pool(in[0], ops.PoolAttr{Max: true, Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, CeilMode: true})
		}},
		{Name: "average pool", Leaves: []leaf{l(2, 6, 5, 3)}, Build: func(g *ops.Graph, in nodes) node {
			return g.Pool(in[0], ops.PoolAttr{Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Dilation: [2]int{1, 1}, Pads: [4]int{1, 0, 0, 1}})
		}},
		{Name: "average pool, padding counted", Leaves: []leaf{l(1, 5, 5, 2)}, Build: func(g *ops.Graph, in nodes) node {
			return g.Pool(in[0], ops.PoolAttr{Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, Pads: [4]int{1, 1, 1, 1}, CountIncludePad: true})
		}},
		{Name: "conv, low-rank update, grouped", Leaves: []leaf{l(1, 5, 5, 4), frozen(l(6, 2, 3, 3)), l(4, 2, 3, 3), l(6, 2, 1, 1)}, Build: func(g *ops.Graph, in nodes) node {
			a := conv(2, 1, [4]int{1, 0, 1, 2}, 2)
			return g.AddConv(g.Conv(in[0], in[1], nil, a), g.Conv(in[0], in[2], nil, a), in[3], conv(1, 1, [4]int{}, 2))
		}},
	}
	for _, c := range []struct {
		name      string
		h, w      int
		cin, cout int
		kh, kw    int
		a         ops.ConvAttr
	}{
		{"conv 3×3", 5, 6, 3, 4, 3, 3, conv(1, 1, [4]int{1, 1, 1, 1}, 1)},
		{"conv 1×1", 4, 3, 5, 6, 1, 1, conv(1, 1, [4]int{}, 1)},
		{"conv 1×1, stride 2", 5, 5, 4, 3, 1, 1, conv(2, 1, [4]int{}, 1)},
		{"conv 3×2, stride 2, asymmetric padding", 6, 7, 2, 3, 3, 2, conv(2, 1, [4]int{0, 1, 2, 0}, 1)},
		{"conv 3×3, dilation 2", 7, 7, 2, 3, 3, 3, conv(1, 2, [4]int{2, 2, 2, 2}, 1)},
		{"conv 3×3, 2 groups", 5, 5, 4, 6, 3, 3, conv(1, 1, [4]int{1, 1, 1, 1}, 2)},
		{"conv depthwise, stride 2", 6, 6, 5, 5, 3, 3, conv(2, 1, [4]int{1, 1, 1, 1}, 5)},
		{"conv patch embedding", 8, 8, 3, 5, 4, 4, conv(4, 1, [4]int{}, 1)},
	} {
		cs = append(cs, gradcheck.Case{Name: c.name, Leaves: []leaf{l(2, c.h, c.w, c.cin), l(c.cout, c.cin/c.a.Groups, c.kh, c.kw), l(c.cout)},
			Build: func(g *ops.Graph, in nodes) node { return g.Conv(in[0], in[1], in[2], c.a) }})
		cs = append(cs, gradcheck.Case{Name: c.name + ", frozen", Leaves: []leaf{l(2, c.h, c.w, c.cin), frozen(l(c.cout, c.cin/c.a.Groups, c.kh, c.kw)), frozen(l(c.cout))},
			Build: func(g *ops.Graph, in nodes) node { return g.Conv(in[0], in[1], in[2], c.a) }})
	}
	for f := kernels.Relu; f <= kernels.ThresholdedRelu; f++ {
		in := apart(l(3, 7))
		a, b := 0.3, 1.1
		switch f {
		case kernels.Log, kernels.Sqrt, kernels.Reciprocal, kernels.PowConst:
			in, a = plus(l(3, 7)), 2.5
		case kernels.Clip:
			a, b = -0.5, 0.5
		case kernels.HardSigmoid:
			a, b = 0.2, 0.5
		}
		cs = append(cs, gradcheck.Case{Name: fmt.Sprintf("%s (function %d)", ops.UnaryName(f), f), Leaves: []leaf{in}, Build: func(g *ops.Graph, in nodes) node { return g.Unary(f, a, b, in[0]) }})
	}
	for f := kernels.Add; f <= kernels.Pow; f++ {
		z := plus(l(3, 1))
		if f == kernels.Pow {
			z = frozen(z)
		}
		cs = append(cs, gradcheck.Case{Name: fmt.Sprintf("binary function %d, broadcast", f), Leaves: []leaf{plus(l(2, 3, 4)), z}, Build: func(g *ops.Graph, in nodes) node { return g.Binary(f, in[0], in[1]) }})
	}
	return append(cs, rareCases()...)
}

// TestGradients proves every operator's gradient by finite differences in
// float64 and, where native kernels are built in, compares them with the
// portable ones. VISLORA_LONG=1 (make test-all) prints the table.
func TestGradients(t *testing.T) { checkAll(t, cases()) }

func checkAll(t *testing.T, cs []gradcheck.Case) {
	native := nativeKernels(t)
	table := os.Getenv("VISLORA_LONG") != ""
	if table {
		fmt.Printf("%-55s %12s %12s\n", t.Name(), "vs FD (f64)", "native f32")
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			fd, nat := gradcheck.Run(t, c, native)
			if table {
				fmt.Printf("%-55s %12.1e %12.1e\n", c.Name, fd, nat)
			}
		})
	}
}
