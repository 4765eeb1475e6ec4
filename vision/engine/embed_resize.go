package engine

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision"
)

// cumSumOpset is the first opset that can repeat Pillow's nearest neighbour.
const cumSumOpset = 11

// axis says how one side of a picture becomes one side of the input. Lengths
// are float64 scalars of the graph.
type axis struct {
	in  string // pixels of the picture
	n64 string // the same as int64
	out string // pixels of the whole resized picture
	// offset is where the input's first pixel stands in the resized picture:
	// above 0 for a crop, below 0 for padding.
	offset string
	n      int // pixels of the input
	// covered is 1 (float64, length n) where the input shows the picture and 0
	// where it is padding; "" when there is no padding.
	covered string
}

// shown are the places in the resized picture of the input's pixels, as a
// float64 vector; those of padding lie outside.
func (g *grapher) shown(a axis) string {
	i := make([]float64, a.n)
	for k := range i {
		i[k] = float64(k)
	}
	return g.op("Add", g.doubles([]int{a.n}, i...), a.offset)
}

// places is shown, with the picture's edge in the place of padding.
func (g *grapher) places(a axis) string {
	return g.least(g.most(g.shown(a), g.double(0)), g.op("Sub", a.out, g.double(1)))
}

// cover fills in a.covered.
func (g *grapher) cover(a *axis) {
	at := g.shown(*a)
	from := g.less(g.double(-.5), at)
	to := g.less(at, g.op("Sub", a.out, g.double(.5)))
	a.covered = g.op("Mul", from, to)
}

// precision is the number of fractional bits of Pillow's coefficients.
const precision = 22

// weights are the coefficients of Pillow's resize along one axis as a dense
// matrix (n, in). They are computed in float64, step by step as Pillow does,
//
//	center = (i + ½)·in/out,  w[i,x] = k((x − center + ½)/max(in/out, 1)),  q = round(2²²·w/Σw)
//
// and returned in two float32 parts, q = 2¹¹·hi + lo with |lo| ≤ 2¹⁰: products
// with 8-bit pixels and their sums are whole numbers below 2²⁴, which float32
// holds exactly (lo's for up to 64 taps at worst, in practice for any number).
func (g *grapher) weights(a axis, interpolation string) (hi, lo string) {
	one, half := g.double(1), g.double(.5)
	x := g.reshape(g.counting(a.n64), 1, -1)
	i := g.reshape(g.places(a), -1, 1)
	scale := g.op("Div", a.in, a.out)
	stretch := g.choose(g.less(one, scale), scale, one)
	center := g.op("Mul", g.op("Add", i, half), scale)
	t := g.op("Mul", g.op("Add", g.op("Sub", x, center), half), g.op("Div", one, stretch))
	var w string
	switch interpolation {
	case vision.Bilinear:
		w = g.positive(g.op("Sub", one, g.op("Abs", t)))
	case vision.Bicubic:
		w = g.cubic(g.op("Abs", t))
	case vision.BoxFilter:
		// ½ belongs to it and −½ does not; rounding decides which is which, so
		// Pillow's own bounds are kept as well.
		support := g.op("Mul", stretch, half)
		first := g.op("Floor", g.op("Add", g.op("Sub", center, support), half))
		last := g.op("Floor", g.op("Add", g.op("Add", center, support), half))
		inside := g.op("Mul", g.less(g.op("Sub", first, half), x), g.less(x, last))
		above, notAbove := g.less(g.double(-.5), t), g.op("Sub", one, g.less(half, t))
		w = g.op("Mul", inside, g.op("Mul", above, notAbove))
	default:
		if g.err == nil {
			g.err = fmt.Errorf("interpolation %q: use bilinear, bicubic, box or nearest", interpolation)
		}
		return "", ""
	}
	v := g.op("Mul", g.op("Div", w, g.sum(w, 1)), g.double(1<<precision))
	round := func(v string) string { return g.op("Floor", g.op("Add", v, half)) }
	q := round(g.positive(v))
	if interpolation == vision.Bicubic { // halves go away from zero
		q = g.op("Sub", q, round(g.positive(g.op("Neg", v))))
	}
	high := round(g.op("Mul", q, g.double(1./(1<<(precision/2)))))
	low := g.op("Sub", q, g.op("Mul", high, g.double(1<<(precision/2))))
	return g.cast(high, ir.Float), g.cast(low, ir.Float)
}

// cubic is Keys' filter with a = −½ for t ≥ 0.
func (g *grapher) cubic(t string) string {
	const a = -.5
	d := g.double
	near := g.op("Sub", g.op("Mul", d(a+2), t), d(a+3))
	near = g.op("Add", g.op("Mul", g.op("Mul", near, t), t), d(1))
	far := g.op("Add", g.op("Mul", g.op("Sub", t, d(5)), t), d(8))
	far = g.op("Mul", g.op("Sub", g.op("Mul", far, t), d(4)), d(a))
	inner := g.less(t, d(1))
	outer := g.op("Sub", g.less(t, d(2)), inner)
	return g.op("Add", g.op("Mul", near, inner), g.op("Mul", far, outer))
}

// resample resizes whole-numbered float32 pixels (N, 3, H, W) to the input's
// height and width, columns first, each pass rounded and clipped to 0…255.
func (g *grapher) resample(x string, height, width axis, interpolation string) string {
	hi, lo := g.weights(width, interpolation)
	across := func(w string) string { return g.op("MatMul", x, g.transpose(w, 1, 0)) }
	x = g.settle(across(hi), across(lo))
	hi, lo = g.weights(height, interpolation)
	return g.settle(g.op("MatMul", hi, x), g.op("MatMul", lo, x))
}

// settle is ⌊(2¹¹·hi + lo + 2²¹)/2²²⌋, clipped, without leaving float32's whole
// numbers: = ⌊(hi + 2¹⁰ + ⌊lo/2¹¹⌋)/2¹¹⌋.
func (g *grapher) settle(hi, lo string) string {
	const half = 1 << (precision / 2)
	scale := g.float(1. / half)
	carry := g.op("Floor", g.op("Mul", lo, scale))
	sum := g.op("Add", g.op("Add", hi, carry), g.float(half/2))
	return g.clip(g.op("Floor", g.op("Mul", sum, scale)), 0, 255)
}

// nearest picks pixels of (N, H, W, 3). Pillow adds up the position pixel by
// pixel, rounding errors included; so does CumSum.
func (g *grapher) nearest(x string, height, width axis) string {
	if g.opset < cumSumOpset && g.err == nil {
		g.err = fmt.Errorf("interpolation nearest needs the operator CumSum, which opset %d does not have: it exists from opset %d on", g.opset, cumSumOpset)
	}
	index := func(a axis) string {
		step := g.op("Div", a.in, a.out)
		rest := g.reshape(g.cast(g.op("Sub", a.out, g.double(1)), ir.Int64), 1)
		// The first step is half a pixel long.
		ones := g.node("ConstantOfShape", ir.Attrs{"value": &ir.Tensor{DType: ir.Double, Dims: []int{1}, Raw: []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}}}, rest)
		steps := g.op("Mul", g.concat(0, g.doubles([]int{1}, .5), ones), step)
		at := g.op("Floor", g.op("CumSum", steps, g.scalar(0)))
		at = g.least(at, g.op("Sub", a.in, g.double(1)))
		return g.cast(g.gather(at, g.cast(g.places(a), ir.Int64), 0), ir.Int64)
	}
	return g.gather(g.gather(x, index(height), 1), index(width), 2)
}
