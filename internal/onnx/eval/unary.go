package eval

import (
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers the element-wise functions of one tensor.
func init() {
	for name, f := range map[string]func(float64) float64{
		"Exp": math.Exp, "Log": math.Log, "Sqrt": math.Sqrt, "Erf": math.Erf,
		"Sin": math.Sin, "Cos": math.Cos, "Tan": math.Tan,
		"Asin": math.Asin, "Acos": math.Acos, "Atan": math.Atan,
		"Sinh": math.Sinh, "Cosh": math.Cosh, "Tanh": math.Tanh,
		"Asinh": math.Asinh, "Acosh": math.Acosh, "Atanh": math.Atanh,
		"Ceil": math.Ceil, "Floor": math.Floor, "Round": math.RoundToEven,
		"Reciprocal": func(x float64) float64 { return 1 / x },
		"Sigmoid":    sigmoid,
		"Softplus":   softplus,
		"Softsign":   func(x float64) float64 { return x / (1 + math.Abs(x)) },
		"HardSwish":  func(x float64) float64 { return x * clamp(x/6+0.5, 0, 1) },
		"Mish":       func(x float64) float64 { return x * math.Tanh(softplus(x)) },
	} {
		registerFloatUnary(name, func(*call) func(float64) float64 { return f })
	}
	for name, make := range map[string]func(a ir.Attrs) func(float64) float64{
		"LeakyRelu": func(a ir.Attrs) func(float64) float64 {
			alpha := a.Float("alpha", 0.01)
			return func(x float64) float64 {
				if x < 0 {
					return alpha * x
				}
				return x
			}
		},
		"Elu": func(a ir.Attrs) func(float64) float64 {
			alpha := a.Float("alpha", 1)
			return func(x float64) float64 {
				if x < 0 {
					return alpha * math.Expm1(x)
				}
				return x
			}
		},
		"Celu": func(a ir.Attrs) func(float64) float64 {
			alpha := a.Float("alpha", 1)
			return func(x float64) float64 { return math.Max(0, x) + math.Min(0, alpha*math.Expm1(x/alpha)) }
		},
		"Selu": func(a ir.Attrs) func(float64) float64 {
			alpha, gamma := a.Float("alpha", 1.67326319217681884765625), a.Float("gamma", 1.05070102214813232421875)
			return func(x float64) float64 {
				if x > 0 {
					return gamma * x
				}
				return gamma * alpha * math.Expm1(x)
			}
		},
		"ThresholdedRelu": func(a ir.Attrs) func(float64) float64 {
			alpha := a.Float("alpha", 1)
			return func(x float64) float64 {
				if x > alpha {
					return x
				}
				return 0
			}
		},
		"HardSigmoid": func(a ir.Attrs) func(float64) float64 {
			alpha, beta := a.Float("alpha", 0.2), a.Float("beta", 0.5)
			return func(x float64) float64 { return clamp(alpha*x+beta, 0, 1) }
		},
		"Gelu": func(a ir.Attrs) func(float64) float64 {
			if a.String("approximate", "none") == "tanh" {
				return func(x float64) float64 {
					return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
				}
			}
			return func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }
		},
	} {
		registerFloatUnary(name, func(c *call) func(float64) float64 { return make(c.attrs()) })
	}

	registerNumberUnary("Abs", math.Abs, func(x int64) int64 {
		if x < 0 {
			return -x
		}
		return x
	})
	registerNumberUnary("Neg", func(x float64) float64 { return -x }, func(x int64) int64 { return -x })
	registerNumberUnary("Relu", func(x float64) float64 {
		if x < 0 {
			return 0
		}
		return x
	}, func(x int64) int64 { return max(x, 0) })
	registerNumberUnary("Sign", func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return x
	}, func(x int64) int64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	})

	register("Not", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type { c.wantType(0, ir.Bool); return c.like(0) },
		run: func(c *call, out []*ir.Tensor) {
			for i, b := range c.constant(0).Raw {
				if b == 0 {
					out[0].Raw[i] = 1
				}
			}
		}})
	register("BitwiseNot", operator{minIn: 1, maxIn: 1, since: 18,
		types: func(c *call) []ir.Type { c.wantInteger(0); return c.like(0) },
		run: func(c *call, out []*ir.Tensor) {
			for i, x := range c.ints(0) {
				setInt(out[0], i, ^x)
			}
		}})
	registerTest("IsNaN", func(*call) func(float64) bool { return math.IsNaN })
	registerTest("IsInf", func(c *call) func(float64) bool {
		pos, neg := c.attrs().Int("detect_positive", 1) != 0, c.attrs().Int("detect_negative", 1) != 0
		return func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) }
	})
	register("Shrink", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type { c.wantNumber(0); return c.like(0) },
		run: func(c *call, out []*ir.Tensor) {
			lambd, bias := c.attrs().Float("lambd", 0.5), c.attrs().Float("bias", 0)
			for i, x := range c.floats(0) {
				switch {
				case x < -lambd:
					setFloat(out[0], i, x+bias)
				case x > lambd:
					setFloat(out[0], i, x-bias)
				}
			}
		}})
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func clamp(x, lo, hi float64) float64 { return math.Min(math.Max(x, lo), hi) }

func registerFloatUnary(name string, make func(*call) func(float64) float64) {
	register(name, operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type { c.wantFloat(0); return c.like(0) },
		run: func(c *call, out []*ir.Tensor) {
			f := make(c)
			for i, x := range c.floats(0) {
				setFloat(out[0], i, f(x))
			}
		}})
}

func registerNumberUnary(name string, f func(float64) float64, g func(int64) int64) {
	register(name, operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type { c.wantNumber(0); return c.like(0) },
		run: func(c *call, out []*ir.Tensor) {
			switch t := c.dtype(0); {
			case isFloat(t):
				for i, x := range c.floats(0) {
					setFloat(out[0], i, f(x))
				}
			case t == ir.Uint64 && name != "Neg":
				// Unsigned values beyond 2^63 must not look negative: Abs and
				// Relu are the identity, Sign is x≠0.
				for i, x := range c.ints(0) {
					if name == "Sign" && x != 0 {
						x = 1
					}
					setInt(out[0], i, x)
				}
			default:
				for i, x := range c.ints(0) {
					setInt(out[0], i, g(x))
				}
			}
		}})
}

func registerTest(name string, make func(*call) func(float64) bool) {
	register(name, operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type { c.wantFloat(0); return one(ir.Bool, c.dims(0)) },
		run: func(c *call, out []*ir.Tensor) {
			f := make(c)
			for i, x := range c.floats(0) {
				if f(x) {
					out[0].Raw[i] = 1
				}
			}
		}})
}

// wantType checks an input's element type.
func (c *call) wantType(i int, t ir.DType) {
	if c.dtype(i) != t {
		c.fail("input %d is %v, must be %v", i, c.dtype(i), t)
	}
}

// wantInteger checks that an input has integers.
func (c *call) wantInteger(i int) {
	if t := c.dtype(i); isFloat(t) || t == ir.Bool || t == ir.String {
		c.fail("input %d is %v, must be an integer", i, t)
	}
}
