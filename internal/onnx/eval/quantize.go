package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers quantisation and the operators on quantised tensors.
func init() {
	register("QuantizeLinear", operator{minIn: 2, maxIn: 3, since: 10,
		types: func(c *call) []ir.Type {
			c.scaleIndex(0, 1, 2)
			t := ir.DType(c.attrs().Int("output_dtype", int(ir.Uint8)))
			if c.has(2) {
				t = c.dtype(2)
			}
			if !quantised(t) || t == ir.Int32 {
				c.fail("quantises to %v, which is not supported", t)
			}
			return one(t, c.dims(0))
		},
		run: func(c *call, out []*ir.Tensor) {
			c.quantize(out[0], c.floats(0), 1, 2)
		}})
	register("DequantizeLinear", operator{minIn: 2, maxIn: 3, since: 10,
		types: func(c *call) []ir.Type {
			if !quantised(c.dtype(0)) {
				c.fail("input 0 is %v, must be quantised", c.dtype(0))
			}
			c.wantFloat(1)
			c.scaleIndex(0, 1, 2)
			return one(c.dtype(1), c.dims(0))
		},
		run: func(c *call, out []*ir.Tensor) {
			setFloats(out[0], c.dequantize(0, 1, 2))
		}})
	register("DynamicQuantizeLinear", operator{minIn: 1, maxIn: 1, since: 11, run: runDynamicQuantize,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			return []ir.Type{static(ir.Uint8, c.dims(0)...), static(ir.Float), static(ir.Uint8)}
		}})
	register("QLinearMatMul", operator{minIn: 8, maxIn: 8, since: 10,
		types: func(c *call) []ir.Type { return one(c.dtype(7), c.matmulDims(0, 3)) },
		run: func(c *call, out []*ir.Tensor) {
			a := c.dequantizeAxis(0, 1, 2, max(0, c.rank(0)-2))
			b := c.dequantizeAxis(3, 4, 5, c.rank(3)-1)
			y := matmul(c, a, b, c.dims(0), c.dims(3))
			c.quantizeScalar(out[0], y, 6, 7)
		}})
	register("QLinearConv", operator{minIn: 8, maxIn: 9, since: 10,
		types: func(c *call) []ir.Type {
			w := c.convWindow(0, 3, 8)
			return []ir.Type{spatialType(c.dtype(7), c.dims(0)[0], c.dims(3)[0], w.out)}
		},
		run: func(c *call, out []*ir.Tensor) {
			x, k := c.dequantizeAxis(0, 1, 2, c.rank(0)), c.dequantizeAxis(3, 4, 5, 0)
			y := c.convolve(c.convWindow(0, 3, 8), x, k, c.dims(0), c.dims(3))
			if c.has(8) { // int32 in steps of x_scale·w_scale
				b, ws, inner := c.ints(8), c.floats(4), product(out[0].Dims[2:])
				for i := range y {
					ch := i / inner % len(b)
					y[i] += float64(b[ch]) * c.scalar(1) * ws[ch%len(ws)]
				}
			}
			c.quantizeScalar(out[0], y, 6, 7)
		}})
}

func quantised(t ir.DType) bool {
	return slices.Contains([]ir.DType{ir.Uint8, ir.Int8, ir.Uint16, ir.Int16, ir.Int32}, t)
}

// scaleIndex tells which entry of the scale each element has: one for all, one
// per index of an axis, or one per block along the axis (block_size).
func (c *call) scaleIndex(x, scale, zero int) func(i int) int {
	dims, s := c.dims(x), c.dims(scale)
	if c.has(zero) && c.count(c.dims(zero)) != c.count(s) {
		c.fail("zero point %s does not fit scale %s", shapeString(c.dims(zero)), shapeString(s))
	}
	if c.count(s) == 1 {
		return func(int) int { return 0 }
	}
	axis := c.axis(c.attrs().Int("axis", 1), len(dims))
	outer, n, inner := split3(dims, axis)
	if len(s) == 1 {
		if s[0] != n {
			c.fail("has %d scales for axis %d of %s", s[0], axis, shapeString(dims))
		}
		return func(i int) int { return i / inner % n }
	}
	block := c.attrs().Int("block_size", 0)
	if block < 1 || len(s) != len(dims) || s[axis] != (n+block-1)/block || product(s) != outer*s[axis]*inner {
		c.fail("scale %s with block_size %d does not fit %s", shapeString(s), block, shapeString(dims))
	}
	return func(i int) int {
		return (i/(n*inner)*s[axis]+i/inner%n/block)*inner + i%inner
	}
}

// quantize rounds x/scale + zero to nearest even and saturates.
func (c *call) quantize(out *ir.Tensor, x []float64, scale, zero int) {
	index, s := c.scaleIndex(0, scale, zero), c.floats(scale)
	z := make([]float64, len(s))
	if c.has(zero) {
		z = c.floats(zero)
	}
	half := c.dtype(scale) == ir.Float
	lo, hi := bounds(out.DType)
	for i, v := range x {
		k := index(i)
		q := v / s[k]
		if half { // as float32 hardware divides
			q = float64(float32(v) / float32(s[k]))
		}
		setFloat(out, i, clamp(math.RoundToEven(q)+z[k], lo, hi))
	}
}

// quantizeScalar is quantize with one scale.
func (c *call) quantizeScalar(out *ir.Tensor, x []float64, scale, zero int) {
	s, z := c.scalar(scale), c.scalar(zero)
	lo, hi := bounds(out.DType)
	for i, v := range x {
		setFloat(out, i, clamp(math.RoundToEven(v/s)+z, lo, hi))
	}
}

// dequantize is (x − zero)·scale.
func (c *call) dequantize(x, scale, zero int) []float64 {
	index, s, v := c.scaleIndex(x, scale, zero), c.floats(scale), c.floats(x)
	var z []float64
	if c.has(zero) {
		z = c.floats(zero)
	}
	for i := range v {
		k := index(i)
		if z != nil {
			v[i] -= z[k]
		}
		v[i] *= s[k]
	}
	return v
}

// dequantizeAxis is dequantize with the scales along a given axis.
func (c *call) dequantizeAxis(x, scale, zero, axis int) []float64 {
	v, s := asFloats(c.centered(x, zero, axis)), c.floats(scale)
	if len(s) != 1 && (axis >= c.rank(x) || len(s) != c.dims(x)[axis]) {
		c.fail("has %d scales for %s", len(s), shapeString(c.dims(x)))
	}
	inner := 1
	if len(s) > 1 {
		inner = product(c.dims(x)[axis+1:])
	}
	for i := range v {
		v[i] *= s[i/inner%len(s)]
	}
	return v
}

// runDynamicQuantize finds the scale and zero point of the range of x and 0.
func runDynamicQuantize(c *call, out []*ir.Tensor) {
	x := c.floats(0)
	lo, hi := 0.0, 0.0
	for _, v := range x {
		lo, hi = math.Min(lo, v), math.Max(hi, v)
	}
	scale := float64(float32(hi-lo) / 255)
	if scale == 0 {
		scale = 1
	}
	zero := math.RoundToEven(clamp(float64(float32(-lo)/float32(scale)), 0, 255))
	for i, v := range x {
		if out[0] != nil {
			setFloat(out[0], i, clamp(math.RoundToEven(float64(float32(v)/float32(scale)))+zero, 0, 255))
		}
	}
	if len(out) > 1 && out[1] != nil {
		setFloat(out[1], 0, scale)
	}
	if len(out) > 2 && out[2] != nil {
		setFloat(out[2], 0, zero)
	}
}
