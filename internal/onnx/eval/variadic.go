package eval

import (
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers Sum, Mean, Min, Max and Clip, and Where.
func init() {
	add := func(a, b float64) float64 { return a + b }
	registerVariadic("Sum", add, func(a, b int64) int64 { return a + b }, false)
	registerVariadic("Mean", add, func(a, b int64) int64 { return a + b }, true)
	registerVariadic("Min", math.Min, func(a, b int64) int64 { return min(a, b) }, false)
	registerVariadic("Max", math.Max, func(a, b int64) int64 { return max(a, b) }, false)
	register("Clip", operator{minIn: 1, maxIn: 3, run: runClip,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			for i := 1; i <= 2; i++ {
				if c.has(i) && c.count(c.dims(i)) != 1 {
					c.fail("input %d has shape %s, must be a scalar", i, shapeString(c.dims(i)))
				}
			}
			return c.like(0)
		}})
	register("Where", operator{minIn: 3, maxIn: 3,
		types: func(c *call) []ir.Type {
			c.wantType(0, ir.Bool)
			return one(c.joinDType(1, 2), c.broadcast(c.dims(0), c.dims(1), c.dims(2)))
		},
		run: func(c *call, out []*ir.Tensor) {
			dims := out[0].Dims
			cond := spread(c.constant(0).Raw, c.dims(0), dims)
			if isFloat(out[0].DType) {
				a, b := spread(c.floats(1), c.dims(1), dims), spread(c.floats(2), c.dims(2), dims)
				for i, yes := range cond {
					if yes != 0 {
						setFloat(out[0], i, a[i])
					} else {
						setFloat(out[0], i, b[i])
					}
				}
				return
			}
			a, b := spread(c.ints(1), c.dims(1), dims), spread(c.ints(2), c.dims(2), dims)
			for i, yes := range cond {
				if yes != 0 {
					setInt(out[0], i, a[i])
				} else {
					setInt(out[0], i, b[i])
				}
			}
		}})
}

// registerVariadic registers a fold over one or more broadcast inputs.
func registerVariadic(name string, f func(a, b float64) float64, g func(a, b int64) int64, mean bool) {
	register(name, operator{minIn: 1, maxIn: -1,
		types: func(c *call) []ir.Type {
			all, shapes := make([]int, len(c.in)), make([][]int, len(c.in))
			for i := range c.in {
				all[i], shapes[i] = i, c.dims(i)
				c.wantNumber(i)
			}
			return one(c.joinDType(all...), c.broadcast(shapes...))
		},
		run: func(c *call, out []*ir.Tensor) {
			dims := out[0].Dims
			if !isFloat(out[0].DType) {
				acc, flip := append([]int64(nil), spread(c.ints(0), c.dims(0), dims)...), int64(0)
				if out[0].DType == ir.Uint64 && (name == "Min" || name == "Max") {
					flip = math.MinInt64
				}
				for i := 1; i < len(c.in); i++ {
					for j, x := range spread(c.ints(i), c.dims(i), dims) {
						acc[j] = g(acc[j]^flip, x^flip) ^ flip
					}
				}
				setInts(out[0], acc)
				return
			}
			acc := append([]float64(nil), spread(c.floats(0), c.dims(0), dims)...)
			for i := 1; i < len(c.in); i++ {
				for j, x := range spread(c.floats(i), c.dims(i), dims) {
					acc[j] = f(acc[j], x)
				}
			}
			for j, x := range acc {
				if mean {
					x /= float64(len(c.in))
				}
				setFloat(out[0], j, x)
			}
		}})
}

// runClip takes its bounds from attributes (opset < 11) or inputs; max wins
// when min > max.
func runClip(c *call, out []*ir.Tensor) {
	if t := c.dtype(0); !isFloat(t) {
		lo, hi, flip := int64(math.MinInt64), int64(math.MaxInt64), int64(0)
		if t == ir.Uint64 {
			flip = math.MinInt64
		}
		if c.has(1) {
			lo = c.ints(1)[0] ^ flip
		}
		if c.has(2) {
			hi = c.ints(2)[0] ^ flip
		}
		for i, x := range c.ints(0) {
			setInt(out[0], i, min(max(x^flip, lo), hi)^flip)
		}
		return
	}
	lo, hi := c.attrs().Float("min", math.Inf(-1)), c.attrs().Float("max", math.Inf(1))
	if c.has(1) {
		lo = c.scalar(1)
	}
	if c.has(2) {
		hi = c.scalar(2)
	}
	for i, x := range c.floats(0) {
		setFloat(out[0], i, clamp(x, lo, hi))
	}
}
