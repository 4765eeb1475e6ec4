package build

import (
	"slices"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// Sliding windows. One-dimensional convolutions and pools run as pictures of
// one row; three-dimensional ones are left to the host evaluator.

// asPicture gives (N, C, L) a height of 1; ok is false for other ranks than 3
// and 4.
func (g *Graph) asPicture(x val) (val, bool) {
	if len(x.dims) == 3 {
		return g.reshape(x, []int{x.dims[0], x.dims[1], 1, x.dims[2]}), true
	}
	return x, len(x.dims) == 4
}

// pictureKernel gives a weight (O, I, k) a height of 1.
func (g *Graph) pictureKernel(w *ops.Node) *ops.Node {
	if s := ops.Shape(w); len(s) == 3 {
		return g.Reshape(w, s[0], s[1], 1, s[2])
	}
	return w
}

// pictureSize is the spatial size of an (N, C, …) shape, with a height of 1
// where it has none.
func pictureSize(dims []int) []int {
	if len(dims) == 3 {
		return []int{1, dims[2]}
	}
	return dims[2:]
}

// convAttr reads the window of a convolution; in and out are spatial sizes.
func convAttr(n *ir.Node, kernel [2]int, in, out []int) ops.ConvAttr {
	a := ops.ConvAttr{Stride: pair(n.Attrs.Ints("strides"), 1), Dilation: pair(n.Attrs.Ints("dilations"), 1), Groups: n.Attrs.Int("group", 1)}
	a.Pads = resolvePads(n, in, out, kernel, a.Stride, a.Dilation)
	return a
}

// lowerConvTranspose lowers a transposed convolution. Where the output's size
// does not follow from the input's (output_padding of a stride or more,
// negative padding), the whole product is made and then padded and cut.
func lowerConvTranspose(g *Graph, n *ir.Node) {
	x, ok := g.asPicture(g.val(n.In(0)))
	if !ok {
		g.host(n)
		return
	}
	out := g.dims(n)
	size := pictureSize(out)
	w := g.pictureKernel(g.nat(g.val(n.In(1))))
	kernel := [2]int{ops.Shape(w)[2], ops.Shape(w)[3]}
	a := convAttr(n, kernel, x.dims[2:], size)
	extra := n.Attrs.Ints("output_padding")
	if len(extra) == 1 {
		extra = []int{0, extra[0]}
	}
	if extra == nil {
		extra = []int{0, 0}
	}
	var full [2]int // without padding
	for k := range 2 {
		full[k] = a.Stride[k]*(x.dims[2+k]-1) + a.Dilation[k]*(kernel[k]-1) + 1
	}
	if auto := n.Attrs.String("auto_pad", "NOTSET"); auto == "SAME_UPPER" || auto == "SAME_LOWER" || n.Attrs.Has("output_shape") {
		for k := range 2 {
			total := max(0, full[k]+extra[k]-size[k])
			half := total / 2
			if auto == "SAME_UPPER" { // the larger half at the end
				a.Pads[k], a.Pads[k+2] = half, total-half
			} else {
				a.Pads[k], a.Pads[k+2] = total-half, half
			}
		}
	}
	var b *ops.Node
	if n.In(2) != "" {
		b = g.nat(g.val(n.In(2)))
	}
	direct := true
	for k := range 2 {
		direct = direct && a.Pads[k] >= 0 && a.Pads[k+2] >= 0 && a.OutSize(k, size[k], kernel[k]) == x.dims[2+k]
	}
	xm := g.as(x, channelsLast)
	var y *ops.Node
	if direct {
		y = g.ConvTranspose(xm, w, b, a, size[0], size[1])
	} else {
		pads := a.Pads
		a.Pads = [4]int{}
		y = g.ConvTranspose(xm, w, nil, a, full[0], full[1])
		y = g.Pad(y, []int{0, -pads[0], -pads[1], 0}, []int{0, size[0] - full[0] + pads[0], size[1] - full[1] + pads[1], 0}, 0)
		if b != nil {
			y = g.ChannelAffine(y, nil, b)
		}
	}
	g.set(n, g.reshape(with(y, channelsLast), out))
}

func lowerPool(g *Graph, n *ir.Node) {
	x, ok := g.asPicture(g.val(n.In(0)))
	if !ok || len(n.Outputs) > 1 && n.Outputs[1] != "" {
		g.host(n)
		return
	}
	out := g.dims(n)
	a := ops.PoolAttr{Max: n.Op == "MaxPool", CeilMode: n.Attrs.Int("ceil_mode", 0) != 0, CountIncludePad: n.Attrs.Int("count_include_pad", 0) != 0,
		Kernel: pair(n.Attrs.Ints("kernel_shape"), 1), Stride: pair(n.Attrs.Ints("strides"), 1), Dilation: pair(n.Attrs.Ints("dilations"), 1)}
	size := pictureSize(out)
	a.Pads = resolvePads(n, x.dims[2:], size, a.Kernel, a.Stride, a.Dilation)
	if a.OutSize(0, x.dims[2]) != size[0] || a.OutSize(1, x.dims[3]) != size[1] {
		g.host(n)
		return
	}
	g.set(n, g.reshape(with(g.Pool(g.as(x, channelsLast), a), channelsLast), out))
}

// pair reads a list of two numbers; one number is the width's, and the
// height's is then def.
func pair(v []int, def int) [2]int {
	switch len(v) {
	case 1:
		return [2]int{def, v[0]}
	case 2:
		return [2]int{v[0], v[1]}
	}
	return [2]int{def, def}
}

// resolvePads turns auto_pad into numbers: SAME_UPPER puts the odd pixel at the
// end, SAME_LOWER at the start (ONNX operator Conv).
func resolvePads(n *ir.Node, in, out []int, kernel, stride, dilation [2]int) [4]int {
	var p [4]int
	switch auto := n.Attrs.String("auto_pad", "NOTSET"); auto {
	case "SAME_UPPER", "SAME_LOWER":
		for k := range 2 {
			total := max(0, (out[k]-1)*stride[k]+dilation[k]*(kernel[k]-1)+1-in[k])
			p[k], p[k+2] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				p[k], p[k+2] = p[k+2], p[k]
			}
		}
	case "NOTSET":
		pads := n.Attrs.Ints("pads")
		if len(pads) == 2 {
			p[1], p[3] = pads[0], pads[1]
		} else {
			copy(p[:], pads)
		}
	}
	return p
}

// lowerGridSample reads a map at places that may train.
func lowerGridSample(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	modes := map[string]ops.GridMode{"bilinear": ops.GridLinear, "linear": ops.GridLinear, "nearest": ops.GridNearest, "bicubic": ops.GridCubic, "cubic": ops.GridCubic}
	paddings := map[string]ops.GridPadding{"zeros": ops.GridZeros, "border": ops.GridBorder, "reflection": ops.GridReflection}
	mode, ok1 := modes[n.Attrs.String("mode", "bilinear")]
	padding, ok2 := paddings[n.Attrs.String("padding_mode", "zeros")]
	if len(x.dims) != 4 || !ok1 || !ok2 {
		g.host(n)
		return
	}
	a := ops.GridAttr{Mode: mode, Padding: padding, AlignCorners: n.Attrs.Int("align_corners", 0) != 0}
	g.set(n, with(g.GridSample(g.as(x, channelsLast), g.nat(g.val(n.In(1))), a), channelsLast))
}

// lowerPad surrounds with a constant, or with what the mode reflects.
func lowerPad(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	pads, ok := g.ints(n, 1, "pads")
	value := n.Attrs.Float("value", 0)
	if name := n.In(2); name != "" && ok {
		value, ok = g.scalar(name)
	}
	axes := identity(len(x.dims))
	if n.In(3) != "" && ok {
		axes, ok = g.ints(n, 3, "axes")
	}
	if !ok {
		g.host(n)
		return
	}
	if len(pads) != 2*len(axes) {
		ops.Fail("%d pads for %d axes", len(pads), len(axes))
	}
	before, after := make([]int, len(x.dims)), make([]int, len(x.dims))
	for i, a := range axes {
		j := x.memoryAxis(axis(a, len(x.dims)))
		before[j], after[j] = pads[i], pads[i+len(axes)]
	}
	mode := n.Attrs.String("mode", "constant")
	if mode == "constant" {
		g.set(n, with(g.Pad(x.node, before, after, value), x.perm))
		return
	}
	node := g.Pad(x.node, cuts(before), cuts(after), 0)
	for j := range before {
		b, a := max(before[j], 0), max(after[j], 0)
		if a+b == 0 {
			continue
		}
		length := ops.Shape(node)[j]
		if length+a+b > maxAxis {
			g.host(n)
			return
		}
		taps := make([][]ops.Tap, b+length+a)
		for i := range taps {
			taps[i] = []ops.Tap{{At: mirrored(mode, i-b, length), Weight: 1}}
		}
		node = g.AxisMap("pad."+mode, node, j, taps)
	}
	g.set(n, with(node, x.perm))
}

// cuts keeps the negative pads, which cut.
func cuts(p []int) []int {
	out := slices.Clone(p)
	for i := range out {
		out[i] = min(out[i], 0)
	}
	return out
}

// mirrored is the place that padding reads for place i of an axis of length n.
func mirrored(mode string, i, n int) int {
	switch mode {
	case "edge":
		return min(max(i, 0), n-1)
	case "wrap":
		return ((i % n) + n) % n
	case "reflect":
		if n == 1 {
			return 0
		}
		period := 2 * (n - 1)
		i = ((i % period) + period) % period
		return min(i, period-i)
	}
	ops.Fail("its mode %q is not known", mode)
	return 0
}

// lowerPRelu is x where x > 0 and slope·x elsewhere (He et al. 2015,
// arXiv:1502.01852), as relu(x) − slope·relu(−x).
func lowerPRelu(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	negative := g.unary(kernels.Relu, 0, 0, g.unary(kernels.Neg, 0, 0, x))
	g.set(n, g.binary(kernels.Sub, g.unary(kernels.Relu, 0, 0, x), g.binary(kernels.Mul, negative, g.val(n.In(1)))))
}

// lowerShrink is x∓bias outside ±lambd, 0 inside.
func lowerShrink(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	l, bias := n.Attrs.Float("lambd", 0.5), n.Attrs.Float("bias", 0)
	up := g.unary(kernels.ThresholdedRelu, l, 0, x)
	down := g.unary(kernels.ThresholdedRelu, l, 0, g.unary(kernels.Neg, 0, 0, x))
	y := g.binary(kernels.Sub, up, down)
	if bias != 0 {
		y = g.binary(kernels.Sub, y, g.unary(affine, bias, 0, g.unary(kernels.Sign, 0, 0, y)))
	}
	g.set(n, y)
}
