package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// scalar is a function of one variable with its derivative.
type scalar struct {
	f, df func(x float64) float64
}

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// softplus is ln(1 + eˣ) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func choose(c bool, a, b float64) float64 {
	if c {
		return a
	}
	return b
}

func zero(float64) float64 { return 0 }

// scalarOf gives the function and its derivative. At a kink the derivative is
// the one of the flat or of the left side, as in PyTorch: 0 for Relu at 0, and
// for Clip at both ends.
func scalarOf(f Func, a, b float64) scalar {
	switch f {
	case Relu:
		return scalar{func(x float64) float64 { return max(x, 0) }, func(x float64) float64 { return choose(x > 0, 1, 0) }}
	case LeakyRelu:
		return scalar{func(x float64) float64 { return choose(x < 0, a*x, x) }, func(x float64) float64 { return choose(x > 0, 1, a) }}
	case Elu:
		return scalar{func(x float64) float64 { return choose(x < 0, a*math.Expm1(min(x, 0)), x) },
			func(x float64) float64 { return choose(x > 0, 1, a*math.Exp(min(x, 0))) }}
	case Selu:
		return scalar{func(x float64) float64 { return b * choose(x < 0, a*math.Expm1(min(x, 0)), x) },
			func(x float64) float64 { return b * choose(x > 0, 1, a*math.Exp(min(x, 0))) }}
	case Celu:
		return scalar{func(x float64) float64 { return max(x, 0) + min(0, a*math.Expm1(x/a)) },
			func(x float64) float64 { return choose(x > 0, 1, math.Exp(min(x/a, 0))) }}
	case Gelu:
		return scalar{func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) },
			func(x float64) float64 {
				return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
			}}
	case GeluTanh:
		const c, d = 0.7978845608028654, 0.044715 // √(2/π)
		return scalar{func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(c*(x+d*x*x*x))) },
			func(x float64) float64 {
				t := math.Tanh(c * (x + d*x*x*x))
				return 0.5*(1+t) + 0.5*x*(1-t*t)*c*(1+3*d*x*x)
			}}
	case Silu:
		return scalar{func(x float64) float64 { return x * sigmoid(x) },
			func(x float64) float64 { s := sigmoid(x); return s * (1 + x*(1-s)) }}
	case HardSwish:
		return scalar{func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) },
			func(x float64) float64 { return choose(x < -3, 0, choose(x > 3, 1, x/3+0.5)) }}
	case HardSigmoid:
		return scalar{func(x float64) float64 { return min(max(a*x+b, 0), 1) },
			func(x float64) float64 { v := a*x + b; return choose(v > 0 && v < 1, a, 0) }}
	case Sigmoid:
		return scalar{sigmoid, func(x float64) float64 { s := sigmoid(x); return s * (1 - s) }}
	case Tanh:
		return scalar{math.Tanh, func(x float64) float64 { t := math.Tanh(x); return 1 - t*t }}
	case Softplus:
		return scalar{softplus, sigmoid}
	case Softsign:
		return scalar{func(x float64) float64 { return x / (1 + math.Abs(x)) },
			func(x float64) float64 { d := 1 + math.Abs(x); return 1 / (d * d) }}
	case Mish:
		return scalar{func(x float64) float64 { return x * math.Tanh(softplus(x)) },
			func(x float64) float64 { t := math.Tanh(softplus(x)); return t + x*sigmoid(x)*(1-t*t) }}
	case Erf:
		return scalar{math.Erf, func(x float64) float64 { return 2 / math.SqrtPi * math.Exp(-x*x) }}
	case Exp:
		return scalar{math.Exp, math.Exp}
	case Log:
		return scalar{math.Log, func(x float64) float64 { return 1 / x }}
	case Sqrt:
		return scalar{math.Sqrt, func(x float64) float64 { return 0.5 / math.Sqrt(x) }}
	case Reciprocal:
		return scalar{func(x float64) float64 { return 1 / x }, func(x float64) float64 { return -1 / (x * x) }}
	case Neg:
		return scalar{func(x float64) float64 { return -x }, func(float64) float64 { return -1 }}
	case Abs:
		return scalar{math.Abs, sign}
	case Clip:
		return scalar{func(x float64) float64 { return min(max(x, a), b) },
			func(x float64) float64 { return choose(x > a && x < b, 1, 0) }}
	case PowConst:
		return scalar{func(x float64) float64 { return math.Pow(x, a) },
			func(x float64) float64 { return choose(a == 0, 0, a*math.Pow(x, a-1)) }}
	case Affine:
		return scalar{func(x float64) float64 { return a*x + b }, func(float64) float64 { return a }}
	case Sin:
		return scalar{math.Sin, math.Cos}
	case Cos:
		return scalar{math.Cos, func(x float64) float64 { return -math.Sin(x) }}
	case Floor:
		return scalar{math.Floor, zero}
	case Ceil:
		return scalar{math.Ceil, zero}
	case Round:
		return scalar{math.RoundToEven, zero}
	case Sign:
		return scalar{sign, zero}
	}
	return scalar{func(x float64) float64 { return choose(x > a, x, 0) }, func(x float64) float64 { return choose(x > a, 1, 0) }}
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // keeps NaN and the zero's sign
}

// unaryRow is the loop over one row, without a call per element where the
// function is cheap.
func unaryRow[T buffer.Float](f Func, a, b float64, fn func(float64) float64) func(out, in []T) {
	ta, tb := T(a), T(b)
	switch f {
	case Relu:
		return func(out, in []T) {
			for i := clipped(out, in, 0, T(math.Inf(1))); i < len(in); i++ {
				out[i] = max(in[i], 0)
			}
		}
	case LeakyRelu:
		return func(out, in []T) {
			for i, v := range in {
				if v < 0 {
					v *= ta
				}
				out[i] = v
			}
		}
	case Clip:
		return func(out, in []T) {
			for i := clipped(out, in, ta, tb); i < len(in); i++ {
				out[i] = min(max(in[i], ta), tb)
			}
		}
	case Affine:
		return func(out, in []T) {
			for i, v := range in {
				out[i] = ta*v + tb
			}
		}
	}
	return func(out, in []T) {
		for i, v := range in {
			out[i] = T(fn(float64(v)))
		}
	}
}

// derivRow is the loop over the derivative of one row.
func derivRow[T buffer.Float](f Func, a, b float64, df func(float64) float64) func(out, in []T) {
	lo, hi := T(a), T(b)
	switch f {
	case Relu, Clip:
		if f == Relu {
			lo, hi = 0, T(math.NaN())
		}
		return func(out, in []T) {
			for i := between(out, in, lo, hi); i < len(in); i++ {
				out[i] = 0
				if v := in[i]; v > lo && !(v >= hi) {
					out[i] = 1
				}
			}
		}
	}
	return func(out, in []T) {
		if approximate(f, out, out, in) {
			return
		}
		for i, v := range in {
			out[i] = T(df(float64(v)))
		}
	}
}

func unary[T buffer.Float](p Unary) Run {
	x, y, deriv := buffer.Floats[T](p.X), buffer.Floats[T](p.Y), optionalFloats[T](p.Deriv)
	s := scalarOf(p.Func, p.A, p.B)
	row, slope := unaryRow[T](p.Func, p.A, p.B, s.f), derivRow[T](p.Func, p.A, p.B, s.df)
	rows, c := p.X.Rows(), p.X.Cols()
	return func() {
		for r := range rows {
			in := x[r*p.X.Pitch : r*p.X.Pitch+c]
			out := y[r*p.Y.Pitch : r*p.Y.Pitch+c]
			var d []T
			if deriv != nil {
				d = deriv[r*p.Deriv.Pitch : r*p.Deriv.Pitch+c]
			}
			if approximate(p.Func, out, d, in) {
				continue
			}
			if d != nil { // before Y, which may lie on X
				slope(d, in)
			}
			row(out, in)
		}
	}
}

func unaryBackward[T buffer.Float](p Unary) Run {
	dy, dx := buffer.Floats[T](p.DY), buffer.Floats[T](p.DX)
	source := p.X
	if p.Deriv != nil {
		source = p.Deriv
	}
	src := buffer.Floats[T](source)
	slope := derivRow[T](p.Func, p.A, p.B, scalarOf(p.Func, p.A, p.B).df)
	block := make([]T, 1024) // of the derivative; stays in the first cache
	rows, c := p.DY.Rows(), p.DY.Cols()
	return func() {
		for r := range rows {
			in, g, out := src[r*source.Pitch:r*source.Pitch+c], dy[r*p.DY.Pitch:r*p.DY.Pitch+c], dx[r*p.DX.Pitch:r*p.DX.Pitch+c]
			for len(in) > 0 {
				n := min(len(in), len(block))
				d := in[:n]
				if p.Deriv == nil {
					d = block[:n]
					slope(d, in[:n])
				}
				multiplied(out[:n], d, g[:n], p.Accumulate)
				in, g, out = in[n:], g[n:], out[n:]
			}
		}
	}
}
