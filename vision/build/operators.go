package build

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

func init() {
	lowerings = map[string]lowering{
		"Linear": lowerLinear, "Conv": lowerConv, "Attention": lowerAttention, "LayerNormalization": lowerLayerNorm,
		"BatchNormalization": lowerBatchNorm, "MatMul": lowerMatMul, "Gemm": lowerGemm, "Softmax": lowerSoftmax, "LogSoftmax": lowerSoftmax,
		"Reshape": lowerReshape, "Flatten": lowerReshape, "Squeeze": lowerReshape, "Unsqueeze": lowerReshape, "Identity": lowerReshape,
		"Dropout": lowerDropout, "Cast": lowerReshape,
		"Transpose": lowerTranspose, "Concat": lowerConcat, "Slice": lowerSlice, "Split": lowerSplit, "Gather": lowerGather,
		"Expand": lowerExpand, "Pad": lowerPad, "Tile": lowerTile, "DepthToSpace": lowerDepthToSpace, "SpaceToDepth": lowerSpaceToDepth,
		"Resize": lowerResize, "Upsample": lowerResize, "GridSample": lowerGridSample, "CumSum": lowerCumSum, "Trilu": lowerTrilu, "Where": lowerWhere,
		"GatherElements": lowerGatherElements, "GatherND": lowerGatherND, "ScatterElements": lowerScatter, "ScatterND": lowerScatter, "Scatter": lowerScatter,
		"TopK": lowerTopK, "Einsum": lowerEinsum, "DequantizeLinear": lowerDequantize, "ConvTranspose": lowerConvTranspose,
		"InstanceNormalization": lowerInstanceNorm, "GroupNormalization": lowerGroupNorm, "MeanVarianceNormalization": lowerMeanVariance,
		"LpNormalization": lowerLpNorm, "LRN": lowerLRN, "PRelu": lowerPRelu, "Shrink": lowerShrink,
		"MaxPool": lowerPool, "AveragePool": lowerPool, "GlobalAveragePool": lowerGlobalPool, "GlobalMaxPool": lowerGlobalPool,
		"ReduceMean": lowerReduce, "ReduceSum": lowerReduce, "ReduceMax": lowerReduce, "ReduceMin": lowerReduce, "ReduceL1": lowerReduce, "ReduceL2": lowerReduce,
		"ReduceSumSquare": lowerReduce, "ReduceLogSum": lowerReduce, "ReduceLogSumExp": lowerReduce, "ReduceProd": lowerReduce,
		"Add": arithmetic(kernels.Add), "Sub": arithmetic(kernels.Sub), "Mul": arithmetic(kernels.Mul), "Div": arithmetic(kernels.Div),
		"Pow": arithmetic(kernels.Pow), "Max": variadic(kernels.Max), "Min": variadic(kernels.Min), "Sum": variadic(kernels.Add), "Mean": lowerMean,
		"Relu": unary(kernels.Relu), "Sigmoid": unary(kernels.Sigmoid), "Tanh": unary(kernels.Tanh), "Erf": unary(kernels.Erf),
		"Exp": unary(kernels.Exp), "Log": unary(kernels.Log), "Sqrt": unary(kernels.Sqrt), "Reciprocal": unary(kernels.Reciprocal),
		"Neg": unary(kernels.Neg), "Abs": unary(kernels.Abs), "Silu": unary(kernels.Silu), "HardSwish": unary(kernels.HardSwish),
		"Mish": unary(kernels.Mish), "Softplus": unary(kernels.Softplus), "Softsign": unary(kernels.Softsign), "Sin": unary(kernels.Sin),
		"Cos": unary(kernels.Cos), "Floor": unary(kernels.Floor), "Ceil": unary(kernels.Ceil), "Round": unary(kernels.Round), "Sign": unary(kernels.Sign),
		"LeakyRelu":       unaryAttr(kernels.LeakyRelu, "alpha", 0.01, "", 0),
		"Elu":             unaryAttr(kernels.Elu, "alpha", 1, "", 0),
		"Celu":            unaryAttr(kernels.Celu, "alpha", 1, "", 0),
		"Selu":            unaryAttr(kernels.Selu, "alpha", 1.67326319217681884765625, "gamma", 1.05070102214813232421875),
		"HardSigmoid":     unaryAttr(kernels.HardSigmoid, "alpha", 0.2, "beta", 0.5),
		"ThresholdedRelu": unaryAttr(kernels.ThresholdedRelu, "alpha", 1, "", 0),
		"Gelu":            lowerGelu, "Clip": lowerClip,
	}
}

func unary(f kernels.Func) lowering {
	return func(g *Graph, n *ir.Node) { g.set(n, g.unary(f, 0, 0, g.val(n.In(0)))) }
}

func unaryAttr(f kernels.Func, a string, da float64, b string, db float64) lowering {
	return func(g *Graph, n *ir.Node) {
		g.set(n, g.unary(f, n.Attrs.Float(a, da), n.Attrs.Float(b, db), g.val(n.In(0))))
	}
}

func (g *Graph) unary(f kernels.Func, a, b float64, x val) val {
	return val{g.Unary(f, a, b, x.node), x.dims, x.perm}
}

func lowerGelu(g *Graph, n *ir.Node) {
	f := kernels.Gelu
	if n.Attrs.String("approximate", "none") == "tanh" {
		f = kernels.GeluTanh
	}
	g.set(n, g.unary(f, 0, 0, g.val(n.In(0))))
}

// lowerClip clips to constants, or to bounds that the model computes.
func lowerClip(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	lo, hi := n.Attrs.Float("min", math.Inf(-1)), n.Attrs.Float("max", math.Inf(1))
	for i, bound := range []*float64{&lo, &hi} {
		name := n.In(i + 1)
		if name == "" {
			continue
		}
		if v, ok := g.scalar(name); ok {
			*bound = v
			continue
		}
		x = g.binary([]kernels.BinaryFunc{kernels.Max, kernels.Min}[i], x, g.val(name))
	}
	switch {
	case math.IsInf(lo, -1) && math.IsInf(hi, 1):
		g.set(n, x)
	case lo == 0 && math.IsInf(hi, 1):
		g.set(n, g.unary(kernels.Relu, 0, 0, x))
	default:
		g.set(n, g.unary(kernels.Clip, lo, hi, x))
	}
}

func variadic(f kernels.BinaryFunc) lowering {
	return func(g *Graph, n *ir.Node) {
		v := g.val(n.In(0))
		for _, in := range n.Inputs[1:] {
			v = g.binary(f, v, g.val(in))
		}
		g.set(n, v)
	}
}

// lowerDropout passes its input on: where a file has dropout it is off. Its
// mask is all true, and rarely asked for.
func lowerDropout(g *Graph, n *ir.Node) {
	if len(n.Outputs) > 1 && n.Outputs[1] != "" {
		g.hostNode(n, true)
	}
	lowerReshape(g, n)
}

func lowerMean(g *Graph, n *ir.Node) {
	variadic(kernels.Add)(g, n)
	g.set(n, g.unary(kernels.Affine, 1/float64(len(n.Inputs)), 0, g.vals[n.Outputs[0]]))
}

// arithmetic lowers functions of two values; a constant scalar becomes part of a unary function.
func arithmetic(f kernels.BinaryFunc) lowering {
	return func(g *Graph, n *ir.Node) {
		a, b := n.In(0), n.In(1)
		if kindOf(g.IR.Types[b].DType) != buffer.F32 { // Pow with integer exponents
			if c, ok := g.scalar(b); !ok || f != kernels.Pow || g.IR.Types[b].Len() != 1 || c != math.Trunc(c) {
				g.host(n)
				return
			}
		}
		out := g.dims(n)
		if c, ok := g.scalar(b); ok && len(out) == len(atLeastOne(g.IR.Types[a].Dims)) {
			x := g.val(a)
			switch f {
			case kernels.Add:
				g.set(n, g.unary(kernels.Affine, 1, c, x))
			case kernels.Sub:
				g.set(n, g.unary(kernels.Affine, 1, -c, x))
			case kernels.Mul:
				g.set(n, g.unary(kernels.Affine, c, 0, x))
			case kernels.Div:
				g.set(n, g.unary(kernels.Affine, 1/c, 0, x))
			default:
				switch c {
				case 1:
					g.set(n, x)
				case 2:
					g.set(n, val{g.Mul(x.node, x.node), x.dims, x.perm})
				case 0.5:
					g.set(n, g.unary(kernels.Sqrt, 0, 0, x))
				default:
					g.set(n, g.unary(kernels.PowConst, c, 0, x))
				}
			}
			return
		}
		if c, ok := g.scalar(a); ok && len(out) == len(atLeastOne(g.IR.Types[b].Dims)) && f != kernels.Pow {
			x := g.val(b)
			switch f {
			case kernels.Add:
				g.set(n, g.unary(kernels.Affine, 1, c, x))
			case kernels.Sub:
				g.set(n, g.unary(kernels.Affine, -1, c, x))
			case kernels.Mul:
				g.set(n, g.unary(kernels.Affine, c, 0, x))
			case kernels.Div:
				g.set(n, g.unary(kernels.Affine, c, 0, g.unary(kernels.Reciprocal, 0, 0, x)))
			}
			return
		}
		g.set(n, g.binary(f, g.val(a), g.val(b)))
	}
}

// binary brings two values to one memory order, the larger one's, and applies f
// with broadcasting.
func (g *Graph) binary(f kernels.BinaryFunc, a, b val) val {
	rank := max(len(a.dims), len(b.dims))
	a, b = g.lift(a, rank), g.lift(b, rank)
	lead := a
	if len(order(b.perm, b.dims)) > len(order(a.perm, a.dims)) {
		lead = b
	}
	x, z := g.as(a, lead.perm), g.as(b, lead.perm)
	// A vector along the last axis in memory is a channel's affine map.
	if rank > 1 && lead.node == a.node && perChannel(z) && last(x) == last(z) {
		v := g.Reshape(z, last(z))
		switch f {
		case kernels.Add:
			return with(g.ChannelAffine(x, nil, v), lead.perm)
		case kernels.Mul:
			return with(g.ChannelAffine(x, v, nil), lead.perm)
		}
	}
	return with(g.Binary(f, x, z), lead.perm)
}

func last(n *ops.Node) int { s := ops.Shape(n); return s[len(s)-1] }

func perChannel(n *ops.Node) bool {
	s := ops.Shape(n)
	for _, d := range s[:len(s)-1] {
		if d != 1 {
			return false
		}
	}
	return s[len(s)-1] > 1
}

// lift adds leading axes of length 1, as broadcasting does.
func (g *Graph) lift(v val, rank int) val {
	k := rank - len(v.dims)
	if k == 0 {
		return v
	}
	dims, perm, shape := make([]int, rank), make([]int, rank), make([]int, rank)
	for i := range rank {
		dims[i], perm[i] = 1, i
		if i >= k {
			dims[i], perm[i] = v.dims[i-k], v.perm[i-k]+k
		}
	}
	for j, p := range perm {
		shape[j] = dims[p]
	}
	return val{g.Reshape(v.node, shape...), dims, perm}
}

func lowerMatMul(g *Graph, n *ir.Node) {
	a, b := g.val(n.In(0)), g.val(n.In(1))
	if len(a.dims) < 2 || len(b.dims) < 2 { // a vector is a row on the left, a column on the right
		if len(a.dims) == 1 {
			a = g.reshape(a, []int{1, a.dims[0]})
		}
		if len(b.dims) == 1 {
			b = g.reshape(b, []int{b.dims[0], 1})
		}
		g.set(n, g.reshape(natural(g.MatMul(g.nat(a), g.nat(b))), g.dims(n)))
		return
	}
	if len(b.dims) == 2 { // rows of a need not be in logical order
		a = g.rowMajor(a)
		g.set(n, with(g.Linear(a.node, g.nat(b), nil, false), a.perm))
		return
	}
	g.set(n, natural(g.MatMul(g.nat(a), g.nat(b))))
}

// lowerGemm lowers what fusion left: a Gemm whose weight is computed.
func lowerGemm(g *Graph, n *ir.Node) {
	a, b := g.nat(g.val(n.In(0))), g.nat(g.val(n.In(1)))
	if n.Attrs.Int("transA", 0) != 0 {
		a = g.Transpose(a, 1, 0)
	}
	y := g.Linear(a, b, nil, n.Attrs.Int("transB", 0) != 0)
	y = g.Unary(kernels.Affine, n.Attrs.Float("alpha", 1), 0, y)
	if c := n.In(2); c != "" {
		v := g.val(c)
		bias := g.Unary(kernels.Affine, n.Attrs.Float("beta", 1), 0, g.nat(v))
		y = g.Binary(kernels.Add, y, bias)
	}
	g.set(n, natural(y))
}

func lowerLayerNorm(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	if len(n.Outputs) > 1 && n.Outputs[1]+n.Outputs[len(n.Outputs)-1] != "" { // the moments are asked for
		g.host(n)
		return
	}
	a := axis(n.Attrs.Int("axis", -1), len(x.dims))
	if a != len(x.dims)-1 { // normalise the flattened tail
		x = natural(g.nat(x))
		flat := append(slices.Clone(x.dims[:a]), length(x.dims[a:]))
		y := g.layerNorm(n, g.Reshape(x.node, flat...))
		g.set(n, natural(g.Reshape(y, x.dims...)))
		return
	}
	x = g.rowMajor(x)
	g.set(n, with(g.layerNorm(n, x.node), x.perm))
}

func (g *Graph) layerNorm(n *ir.Node, x *ops.Node) *ops.Node {
	gamma := g.Reshape(g.nat(g.val(n.In(1))), last(x))
	var beta *ops.Node
	if n.In(2) != "" {
		beta = g.Reshape(g.nat(g.val(n.In(2))), last(x))
	}
	return g.LayerNorm(x, gamma, beta, n.Attrs.Float("epsilon", 1e-5))
}

// lowerBatchNorm lowers a batch normalisation with frozen statistics that could
// not be folded into a convolution: y = x·γ/√(σ²+ε) + (β − μ·γ/√(σ²+ε)).
func lowerBatchNorm(g *Graph, n *ir.Node) {
	mean, variance := g.IR.Tensors[n.In(3)], g.IR.Tensors[n.In(4)]
	if mean == nil || variance == nil || n.Attrs.Int("training_mode", 0) != 0 {
		g.host(n)
		return
	}
	x := g.axisLast(g.val(n.In(0)), 1)
	gamma, beta := g.nat(g.val(n.In(1))), g.nat(g.val(n.In(2)))
	eps := n.Attrs.Float("epsilon", 1e-5)
	c := variance.Len()
	rstd, shift := make([]float32, c), make([]float32, c)
	for i := range rstd {
		r := 1 / math.Sqrt(variance.Float(i)+eps)
		rstd[i], shift[i] = float32(r), float32(-mean.Float(i)*r)
	}
	// γ·x̂ + β with x̂ = x·rstd − μ·rstd; frozen γ and β fold into two vectors.
	r, s := g.derive(n.Outputs[0]+"::rstd", rstd, c), g.derive(n.Outputs[0]+"::shift", shift, c)
	scale := g.Mul(gamma, r)
	offset := g.Add(g.Mul(gamma, s), beta)
	g.set(n, with(g.ChannelAffine(x.node, scale, offset), x.perm))
}

// derive is the leaf of a frozen tensor that we computed ourselves.
func (g *Graph) derive(name string, data []float32, dims ...int) *ops.Node {
	return g.constantOf(ir.FromFloat32s(name, data, dims...))
}

func (g *Graph) constantOf(t *ir.Tensor) *ops.Node {
	if l := g.Leaves[t.Name]; l != nil {
		return l
	}
	return g.leaf(t.Name, g.net.frozen(t.Name, t), false, t.Dims)
}

func lowerSoftmax(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	log := n.Op == "LogSoftmax"
	if g.IR.Opset < 13 { // all axes from axis on count as one
		a := axis(n.Attrs.Int("axis", 1), len(x.dims))
		if length(x.dims[a+1:]) > 1 || a < len(x.dims)-1 && length(x.dims[a:]) != x.dims[a] {
			nat := g.nat(x)
			y := g.Softmax(g.Reshape(nat, length(x.dims[:a]), length(x.dims[a:])), log)
			g.set(n, natural(g.Reshape(y, x.dims...)))
			return
		}
		x = g.axisLast(x, a)
	} else {
		x = g.axisLast(x, axis(n.Attrs.Int("axis", -1), len(x.dims)))
	}
	g.set(n, with(g.Softmax(x.node, log), x.perm))
}

func length(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func lowerReduce(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	axes, ok := g.ints(n, 1, "axes")
	if !ok {
		g.host(n)
		return
	}
	if len(axes) == 0 {
		axes = identity(len(x.dims))
		if n.Attrs.Int("noop_with_empty_axes", 0) != 0 {
			axes = nil
		}
	}
	mem := make([]int, len(axes))
	for i, a := range axes {
		mem[i] = x.memoryAxis(axis(a, len(x.dims)))
	}
	y := with(g.reduction(n.Op, x.node, mem...), x.perm)
	if n.Attrs.Int("keepdims", 1) == 0 {
		y = g.reshape(y, g.dims(n))
	}
	g.set(n, y)
}

func lowerGlobalPool(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	var mem []int
	for a := 2; a < len(x.dims); a++ {
		mem = append(mem, x.memoryAxis(a))
	}
	f := kernels.ReduceMean
	if n.Op == "GlobalMaxPool" {
		f = kernels.ReduceMax
	}
	g.set(n, with(g.Reduce(f, x.node, mem...), x.perm))
}
