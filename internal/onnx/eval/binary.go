package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers the element-wise functions of two tensors, broadcast against
// each other.
func init() {
	registerArithmetic("Add", func(a, b float64) float64 { return a + b }, func(_ *call, a, b int64) int64 { return a + b })
	registerArithmetic("Sub", func(a, b float64) float64 { return a - b }, func(_ *call, a, b int64) int64 { return a - b })
	registerArithmetic("Mul", func(a, b float64) float64 { return a * b }, func(_ *call, a, b int64) int64 { return a * b })
	registerArithmetic("Div", func(a, b float64) float64 { return a / b }, func(c *call, a, b int64) int64 {
		if b == 0 {
			c.fail("divides %d by zero", a)
		}
		if c.dtype(0) == ir.Uint64 {
			return int64(uint64(a) / uint64(b))
		}
		return a / b
	})
	register("PRelu", operator{minIn: 2, maxIn: 2,
		types: func(c *call) []ir.Type {
			if d := c.broadcast(c.dims(0), c.dims(1)); !slices.Equal(d, c.dims(0)) {
				c.fail("slope %s does not broadcast to %s", shapeString(c.dims(1)), shapeString(c.dims(0)))
			}
			return one(c.joinDType(0, 1), c.dims(0))
		},
		run: arithmetic(func(a, b float64) float64 {
			if a < 0 {
				return a * b
			}
			return a
		}, func(_ *call, a, b int64) int64 {
			if a < 0 {
				return a * b
			}
			return a
		})})
	register("Mod", operator{minIn: 2, maxIn: 2, types: numbers, run: runMod})
	register("Pow", operator{minIn: 2, maxIn: 2, run: runPow,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			c.wantNumber(1)
			return one(c.dtype(0), c.broadcast(c.dims(0), c.dims(1)))
		}})

	registerComparison("Equal", func(a, b float64) bool { return a == b }, func(a, b int64) bool { return a == b })
	registerComparison("Less", func(a, b float64) bool { return a < b }, func(a, b int64) bool { return a < b })
	registerComparison("LessOrEqual", func(a, b float64) bool { return a <= b }, func(a, b int64) bool { return a <= b })
	registerComparison("Greater", func(a, b float64) bool { return a > b }, func(a, b int64) bool { return a > b })
	registerComparison("GreaterOrEqual", func(a, b float64) bool { return a >= b }, func(a, b int64) bool { return a >= b })

	for name, f := range map[string]func(a, b int64) int64{
		"And": func(a, b int64) int64 { return a & b },
		"Or":  func(a, b int64) int64 { return a | b },
		"Xor": func(a, b int64) int64 { return a ^ b },
	} {
		registerBits(name, 0, func(c *call) { c.wantType(0, ir.Bool) }, f)
		registerBits("Bitwise"+name, 18, func(c *call) { c.wantInteger(0) }, f)
	}
	register("BitShift", operator{minIn: 2, maxIn: 2, since: 11,
		types: func(c *call) []ir.Type {
			if !isUnsigned(c.dtype(0)) {
				c.fail("input 0 is %v, must be unsigned", c.dtype(0))
			}
			return one(c.joinDType(0, 1), c.broadcast(c.dims(0), c.dims(1)))
		},
		run: func(c *call, out []*ir.Tensor) {
			left := false
			switch d := c.attrs().String("direction", ""); d {
			case "LEFT":
				left = true
			case "RIGHT":
			default:
				c.fail("direction is %q, must be LEFT or RIGHT", d)
			}
			a, b := c.pair(out[0].Dims)
			for i := range a {
				if left {
					setInt(out[0], i, int64(uint64(a[i])<<uint64(b[i])))
				} else {
					setInt(out[0], i, int64(uint64(a[i])>>uint64(b[i])))
				}
			}
		}})
}

// numbers is the shape function of arithmetic.
func numbers(c *call) []ir.Type {
	c.wantNumber(0)
	return one(c.joinDType(0, 1), c.broadcast(c.dims(0), c.dims(1)))
}

func registerArithmetic(name string, f func(a, b float64) float64, g func(c *call, a, b int64) int64) {
	register(name, operator{minIn: 2, maxIn: 2, types: numbers, run: arithmetic(f, g)})
}

func arithmetic(f func(a, b float64) float64, g func(c *call, a, b int64) int64) func(*call, []*ir.Tensor) {
	return func(c *call, out []*ir.Tensor) {
		if isFloat(out[0].DType) {
			a, b := c.pairFloat(out[0].Dims)
			for i := range a {
				setFloat(out[0], i, f(a[i], b[i]))
			}
			return
		}
		a, b := c.pair(out[0].Dims)
		for i := range a {
			setInt(out[0], i, g(c, a[i], b[i]))
		}
	}
}

// pair gives both inputs broadcast, as integers.
func (c *call) pair(dims []int) (a, b []int64) {
	return spread(c.ints(0), c.dims(0), dims), spread(c.ints(1), c.dims(1), dims)
}

// pairFloat gives both inputs broadcast, as float64.
func (c *call) pairFloat(dims []int) (a, b []float64) {
	return spread(c.floats(0), c.dims(0), dims), spread(c.floats(1), c.dims(1), dims)
}

func registerComparison(name string, f func(a, b float64) bool, g func(a, b int64) bool) {
	register(name, operator{minIn: 2, maxIn: 2,
		types: func(c *call) []ir.Type {
			c.joinDType(0, 1)
			return one(ir.Bool, c.broadcast(c.dims(0), c.dims(1)))
		},
		run: func(c *call, out []*ir.Tensor) {
			if isFloat(c.dtype(0)) {
				a, b := c.pairFloat(out[0].Dims)
				for i := range a {
					if f(a[i], b[i]) {
						out[0].Raw[i] = 1
					}
				}
				return
			}
			a, b := c.pair(out[0].Dims)
			flip := int64(0)
			if c.dtype(0) == ir.Uint64 {
				flip = math.MinInt64 // orders unsigned numbers as signed ones
			}
			for i := range a {
				if g(a[i]^flip, b[i]^flip) {
					out[0].Raw[i] = 1
				}
			}
		}})
}

func registerBits(name string, since int, check func(*call), f func(a, b int64) int64) {
	register(name, operator{minIn: 2, maxIn: 2, since: since,
		types: func(c *call) []ir.Type {
			check(c)
			return one(c.joinDType(0, 1), c.broadcast(c.dims(0), c.dims(1)))
		},
		run: func(c *call, out []*ir.Tensor) {
			a, b := c.pair(out[0].Dims)
			for i := range a {
				setInt(out[0], i, f(a[i], b[i]))
			}
		}})
}

// runMod takes the divisor's sign (fmod 0, integers) or the dividend's (fmod 1).
func runMod(c *call, out []*ir.Tensor) {
	fmod := c.attrs().Int("fmod", 0) != 0
	if isFloat(out[0].DType) {
		a, b := c.pairFloat(out[0].Dims)
		for i := range a {
			r := math.Mod(a[i], b[i])
			if !fmod && r != 0 && (r < 0) != (b[i] < 0) {
				r += b[i]
			}
			setFloat(out[0], i, r)
		}
		return
	}
	a, b := c.pair(out[0].Dims)
	for i := range a {
		if b[i] == 0 {
			c.fail("divides %d by zero", a[i])
		}
		r := a[i] % b[i]
		switch {
		case out[0].DType == ir.Uint64:
			r = int64(uint64(a[i]) % uint64(b[i]))
		case !fmod && r != 0 && (r < 0) != (b[i] < 0):
			r += b[i]
		}
		setInt(out[0], i, r)
	}
}

// runPow raises to any numeric power; integers to non-negative ones exactly.
func runPow(c *call, out []*ir.Tensor) {
	if isFloat(c.dtype(0)) || isFloat(c.dtype(1)) {
		a, b := c.pairFloat(out[0].Dims)
		for i := range a {
			setFloat(out[0], i, math.Pow(a[i], b[i]))
		}
		return
	}
	a, b := c.pair(out[0].Dims)
	for i := range a {
		if b[i] < 0 && !isUnsigned(c.dtype(1)) {
			setFloat(out[0], i, math.Trunc(math.Pow(float64(a[i]), float64(b[i]))))
			continue
		}
		r, x := int64(1), a[i]
		for e := uint64(b[i]); e > 0; e >>= 1 {
			if e&1 == 1 {
				r *= x
			}
			x *= x
		}
		setInt(out[0], i, r)
	}
}
