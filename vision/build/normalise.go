package build

import (
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

const affine = kernels.Affine

// standardise is (x − μ)/√(σ² + ε), the moments taken over memory axes.
func (g *Graph) standardise(x *ops.Node, eps float64, axes ...int) *ops.Node {
	d := g.Binary(kernels.Sub, x, g.Reduce(kernels.ReduceMean, x, axes...))
	v := g.Reduce(kernels.ReduceMean, g.Mul(d, d), axes...)
	return g.Mul(d, g.Unary(kernels.Reciprocal, 0, 0, g.Unary(kernels.Sqrt, 0, 0, g.Unary(affine, 1, eps, v))))
}

// spatial are the memory axes behind batch and channels.
func (v val) spatial() []int {
	var mem []int
	for a := 2; a < len(v.dims); a++ {
		mem = append(mem, v.memoryAxis(a))
	}
	return mem
}

// column gives a vector per channel the rank of a map, for broadcasting.
func (g *Graph) column(v val, rank int) val {
	shape := make([]int, rank)
	for i := range shape {
		shape[i] = 1
	}
	shape[1] = length(v.dims)
	return natural(g.Reshape(g.nat(v), shape...))
}

// lowerInstanceNorm normalises every channel of every picture.
// Source: Ulyanov et al. 2016, arXiv:1607.08022.
func lowerInstanceNorm(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	y := with(g.standardise(x.node, n.Attrs.Float("epsilon", 1e-5), x.spatial()...), x.perm)
	y = g.binary(kernels.Mul, y, g.column(g.val(n.In(1)), len(x.dims)))
	g.set(n, g.binary(kernels.Add, y, g.column(g.val(n.In(2)), len(x.dims))))
}

// lowerGroupNorm normalises groups of channels; γ and β count the channels, or
// the groups before opset 21.
// Source: Wu & He 2018, arXiv:1803.08494.
func lowerGroupNorm(g *Graph, n *ir.Node) {
	x := g.axisLast(g.val(n.In(0)), 1)
	s := ops.Shape(x.node)
	c, groups := s[len(s)-1], n.Attrs.Int("num_groups", 1)
	y := g.standardise(g.Reshape(x.node, s[0], length(s[1:len(s)-1]), groups, c/groups), n.Attrs.Float("epsilon", 1e-5), 1, 3)
	per := func(name string) *ops.Node {
		v := g.nat(g.val(name))
		if k := length(ops.Shape(v)); k != c {
			v = g.Expand(g.Reshape(v, k, 1), k, c/k)
		}
		return g.Reshape(v, c)
	}
	g.set(n, with(g.ChannelAffine(g.Reshape(y, s...), per(n.In(1)), per(n.In(2))), x.perm))
}

// lowerMeanVariance is MeanVarianceNormalization: (x − μ)/(√σ² + 1e-9).
func lowerMeanVariance(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	axes := n.Attrs.Ints("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	mem := make([]int, len(axes))
	for i, a := range axes {
		mem[i] = x.memoryAxis(axis(a, len(x.dims)))
	}
	d := g.Binary(kernels.Sub, x.node, g.Reduce(kernels.ReduceMean, x.node, mem...))
	v := g.Unary(kernels.Sqrt, 0, 0, g.Reduce(kernels.ReduceMean, g.Mul(d, d), mem...))
	g.set(n, with(g.Binary(kernels.Div, d, g.Unary(affine, 1, 1e-9, v)), x.perm))
}

// lowerLpNorm divides by the 1- or 2-norm along an axis.
func lowerLpNorm(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	m := x.memoryAxis(axis(n.Attrs.Int("axis", -1), len(x.dims)))
	op := "ReduceL2"
	if n.Attrs.Int("p", 2) == 1 {
		op = "ReduceL1"
	}
	g.set(n, with(g.Binary(kernels.Div, x.node, g.reduction(op, x.node, m)), x.perm))
}

// lowerLRN is local response normalisation across channels:
// y = x/(bias + α/size·Σ x²)^β, the sum over the window of size channels.
// Source: Krizhevsky et al. 2012.
func lowerLRN(g *Graph, n *ir.Node) {
	x := g.axisLast(g.val(n.In(0)), 1)
	size, c := n.Attrs.Int("size", 1), last(x.node)
	if size < 1 || size*c > maxAxis {
		g.host(n)
		return
	}
	window := make([][]ops.Tap, c)
	for i := range window {
		for k := max(0, i-(size-1)/2); k <= min(c-1, i+size/2); k++ {
			window[i] = append(window[i], ops.Tap{At: k, Weight: 1})
		}
	}
	rank := len(x.dims)
	s := g.AxisMap("lrn", g.Mul(x.node, x.node), rank-1, window)
	s = g.Unary(affine, n.Attrs.Float("alpha", 1e-4)/float64(size), n.Attrs.Float("bias", 1), s)
	g.set(n, with(g.Mul(x.node, g.Unary(kernels.PowConst, -n.Attrs.Float("beta", 0.75), 0, s)), x.perm))
}

// reduction lowers the reductions that are more than one kernel; axes in memory.
func (g *Graph) reduction(op string, x *ops.Node, axes ...int) *ops.Node {
	sum := func(n *ops.Node) *ops.Node { return g.Reduce(kernels.ReduceSum, n, axes...) }
	switch op {
	case "ReduceSum":
		return sum(x)
	case "ReduceMean":
		return g.Reduce(kernels.ReduceMean, x, axes...)
	case "ReduceMax":
		return g.Reduce(kernels.ReduceMax, x, axes...)
	case "ReduceMin":
		return g.Reduce(kernels.ReduceMin, x, axes...)
	case "ReduceL1":
		return sum(g.Unary(kernels.Abs, 0, 0, x))
	case "ReduceL2":
		return g.Unary(kernels.Sqrt, 0, 0, sum(g.Mul(x, x)))
	case "ReduceSumSquare":
		return sum(g.Mul(x, x))
	case "ReduceLogSum":
		return g.Unary(kernels.Log, 0, 0, sum(x))
	case "ReduceLogSumExp": // the largest is taken out, so that nothing overflows
		m := g.Reduce(kernels.ReduceMax, x, axes...)
		return g.Add(m, g.Unary(kernels.Log, 0, 0, sum(g.Unary(kernels.Exp, 0, 0, g.Binary(kernels.Sub, x, m)))))
	case "ReduceProd":
		return g.product(x, axes)
	}
	ops.Fail("build: no reduction %s", op)
	return nil
}

// product brings the axes to the end, multiplies along them, and puts length 1
// where they were.
func (g *Graph) product(x *ops.Node, axes []int) *ops.Node {
	s := ops.Shape(x)
	keep := append([]int(nil), s...)
	count := 1
	for _, a := range axes {
		count *= s[a]
		keep[a] = 1
	}
	var perm []int
	for i := range s {
		if keep[i] != 1 || s[i] == 1 {
			perm = append(perm, i)
		}
	}
	for i := range s {
		if keep[i] == 1 && s[i] != 1 {
			perm = append(perm, i)
		}
	}
	moved := g.Transpose(x, perm...)
	return g.Reshape(g.Prod(g.Reshape(moved, length(keep), count)), keep...)
}
