package testkernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

type function struct {
	f    kernels.Func
	name string
	a, b float64
	of   func(x float64) float64
	// kinks are where the derivative jumps; positive restricts the domain.
	kinks    []float64
	positive bool
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// functions restates every scalar function by its textbook formula. The
// derivatives are checked by central differences of these.
var functions = []function{
	{kernels.Relu, "Relu", 0, 0, func(x float64) float64 { return (x + math.Abs(x)) / 2 }, []float64{0}, false},
	{kernels.LeakyRelu, "LeakyRelu", 0.1, 0, func(x float64) float64 { return math.Max(x, 0.1*x) }, []float64{0}, false},
	{kernels.Elu, "Elu", 0.7, 0, func(x float64) float64 { return math.Max(x, 0) + math.Min(0, 0.7*(math.Exp(x)-1)) }, []float64{0}, false},
	{kernels.Selu, "Selu", 1.67, 1.05, func(x float64) float64 { return 1.05 * (math.Max(x, 0) + math.Min(0, 1.67*(math.Exp(x)-1))) }, []float64{0}, false},
	{kernels.Celu, "Celu", 1.5, 0, func(x float64) float64 { return math.Max(x, 0) + math.Min(0, 1.5*(math.Exp(x/1.5)-1)) }, []float64{0}, false},
	{kernels.Gelu, "Gelu", 0, 0, func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 }, nil, false},
	{kernels.GeluTanh, "GeluTanh", 0, 0, func(x float64) float64 {
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*math.Pow(x, 3))))
	}, nil, false},
	{kernels.Silu, "Silu", 0, 0, func(x float64) float64 { return x * logistic(x) }, nil, false},
	{kernels.HardSwish, "HardSwish", 0, 0, func(x float64) float64 { return x * math.Min(math.Max(x+3, 0), 6) / 6 }, []float64{-3, 3}, false},
	{kernels.HardSigmoid, "HardSigmoid", 0.2, 0.5, func(x float64) float64 { return math.Min(math.Max(0.2*x+0.5, 0), 1) }, []float64{-2.5, 2.5}, false},
	{kernels.Sigmoid, "Sigmoid", 0, 0, logistic, nil, false},
	{kernels.Tanh, "Tanh", 0, 0, func(x float64) float64 { return 2*logistic(2*x) - 1 }, nil, false},
	{kernels.Softplus, "Softplus", 0, 0, func(x float64) float64 { return math.Log(1 + math.Exp(x)) }, nil, false},
	{kernels.Softsign, "Softsign", 0, 0, func(x float64) float64 { return x / (1 + math.Abs(x)) }, []float64{0}, false},
	{kernels.Mish, "Mish", 0, 0, func(x float64) float64 { return x * math.Tanh(math.Log(1+math.Exp(x))) }, nil, false},
	{kernels.Erf, "Erf", 0, 0, math.Erf, nil, false},
	{kernels.Exp, "Exp", 0, 0, math.Exp, nil, false},
	{kernels.Log, "Log", 0, 0, math.Log, nil, true},
	{kernels.Sqrt, "Sqrt", 0, 0, math.Sqrt, nil, true},
	{kernels.Reciprocal, "Reciprocal", 0, 0, func(x float64) float64 { return 1 / x }, nil, true},
	{kernels.Neg, "Neg", 0, 0, func(x float64) float64 { return -x }, nil, false},
	{kernels.Abs, "Abs", 0, 0, math.Abs, []float64{0}, false},
	{kernels.Clip, "Clip", -0.5, 2, func(x float64) float64 { return math.Min(math.Max(x, -0.5), 2) }, []float64{-0.5, 2}, false},
	{kernels.PowConst, "PowConst", 2.5, 0, func(x float64) float64 { return math.Exp(2.5 * math.Log(x)) }, nil, true},
	{kernels.Affine, "Affine", 0.3, -2, func(x float64) float64 { return 0.3*x - 2 }, nil, false},
	{kernels.Sin, "Sin", 0, 0, math.Sin, nil, false},
	{kernels.Cos, "Cos", 0, 0, math.Cos, nil, false},
	{kernels.Floor, "Floor", 0, 0, math.Floor, nil, false},
	{kernels.Ceil, "Ceil", 0, 0, math.Ceil, nil, false},
	{kernels.Round, "Round", 0, 0, math.RoundToEven, nil, false},
	{kernels.Sign, "Sign", 0, 0, func(x float64) float64 { return x / math.Abs(x) }, []float64{0}, false},
	{kernels.ThresholdedRelu, "ThresholdedRelu", 0.8, 0, func(x float64) float64 {
		if x > 0.8 {
			return x
		}
		return 0
	}, []float64{0.8}, false},
}

// derivative is the central difference with Richardson's extrapolation.
func (f function) derivative(x float64) float64 {
	const h = 1e-3
	d := func(h float64) float64 { return (f.of(x+h) - f.of(x-h)) / (2 * h) }
	return (4*d(h/2) - d(h)) / 3
}

func (u *suite) unary(t *testing.T) {
	for _, f := range functions {
		for opt := range 8 {
			extra, acc, stored := 3*(opt&1), opt&2 != 0, opt&4 != 0
			p := kernels.Unary{Func: f.f, A: f.a, B: f.b, X: u.gaps(extra, 2, 3, 37), Y: u.gaps(extra, 2, 3, 37), DY: u.buf(extra, 2, 3, 37), DX: u.buf(2*extra, 2, 3, 37), Accumulate: acc}
			u.fill(p.X, func() float64 {
				for {
					x := 5 * (u.rng.Float64()*2 - 1)
					if f.positive {
						x = 0.3 + 3*u.rng.Float64()
					}
					ok := f.f < kernels.Floor || f.f > kernels.Round || math.Abs(x*2-math.Round(x*2)) > 0.1
					for _, k := range f.kinks {
						ok = ok && math.Abs(x-k) > 0.01
					}
					if ok {
						return x
					}
				}
			})
			if stored {
				p.Deriv = u.gaps(extra, 2, 3, 37)
			}
			name := fmt.Sprintf("%s gap=%d acc=%v deriv=%v", f.name, extra, acc, stored)
			x, dy := values(p.X), values(p.DY)
			y, d, dx := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
			for i := range x {
				y[i], d[i] = f.of(x[i]), f.derivative(x[i])
				dx[i] = d[i] * dy[i]
			}
			run, err := u.k.Unary(p)
			u.exec(t, name, run, err)
			u.compare(t, name, p.Y, y)
			loose := *u // the differences are good to about 1e-10
			loose.tol = max(u.tol, 1e-9)
			if stored {
				loose.compare(t, name+" derivative", p.Deriv, d)
				p.X = nil // the backward pass must not need it
			}
			want := plus(acc, values(p.DX), dx)
			run, err = u.k.UnaryBackward(p)
			u.exec(t, name, run, err)
			loose.compare(t, name+" backward", p.DX, want)
		}
	}
	u.unaryExtremes(t)
	u.unaryInPlace(t)
}

// unaryExtremes: far out the functions saturate; nothing becomes NaN.
func (u *suite) unaryExtremes(t *testing.T) {
	in := []float64{-1e4, -200, -87, -30, math.Copysign(0, -1), 0, 1e-20, 30, 87, 200, 1e4, math.Inf(1), math.Inf(-1), math.NaN(), 5, 6, 7}
	for f, want := range map[kernels.Func]func(x float64) float64{
		kernels.Gelu:    func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) },
		kernels.Silu:    func(x float64) float64 { return x / (1 + math.Exp(-x)) },
		kernels.Sigmoid: logistic,
		kernels.Tanh:    math.Tanh,
		kernels.Erf:     math.Erf,
		kernels.Relu:    func(x float64) float64 { return math.Max(x, 0) },
	} {
		p := kernels.Unary{Func: f, X: u.gaps(0, len(in)), Y: u.gaps(0, len(in))}
		for i, v := range in {
			set(p.X, i, v)
		}
		run, err := u.k.Unary(p)
		u.exec(t, "extremes", run, err)
		for i, v := range in {
			got, w := at(p.Y, i), want(v)
			if math.IsInf(v, -1) && (f == kernels.Gelu || f == kernels.Silu) {
				continue // −∞·0
			}
			if math.IsNaN(w) != math.IsNaN(got) || (!math.IsNaN(w) && got != w && !(math.Abs(got-w) <= u.tol*max(1, math.Abs(w)))) {
				t.Errorf("function %d at %v is %v, want %v", f, v, got, w)
			}
		}
	}
}

func (u *suite) unaryInPlace(t *testing.T) {
	x := u.buf(0, 3, 41)
	want := values(x)
	for i, v := range want {
		want[i] = v * (1 + math.Erf(v/math.Sqrt2)) / 2
	}
	run, err := u.k.Unary(kernels.Unary{Func: kernels.Gelu, X: x, Y: x, Deriv: u.gaps(0, 3, 41)})
	u.exec(t, "in place", run, err)
	u.compare(t, "in place", x, want)
}

func (u *suite) binary(t *testing.T) {
	of := map[kernels.BinaryFunc]func(x, z float64) float64{
		kernels.Add: func(x, z float64) float64 { return x + z }, kernels.Sub: func(x, z float64) float64 { return x - z },
		kernels.Mul: func(x, z float64) float64 { return x * z }, kernels.Div: func(x, z float64) float64 { return x / z },
		kernels.Max: math.Max, kernels.Min: math.Min, kernels.Pow: math.Pow,
	}
	shapes := [][3][]int{
		{{2, 3, 35}, {2, 3, 35}, {2, 3, 35}}, {{2, 3, 35}, {35}, {2, 3, 35}}, {{35}, {2, 3, 35}, {2, 3, 35}}, {{2, 3, 35}, {1}, {2, 3, 35}},
		{{1}, {2, 3, 35}, {2, 3, 35}}, {{2, 3, 35}, {2, 1, 35}, {2, 3, 35}}, {{2, 3, 35}, {2, 3, 1}, {2, 3, 35}}, {{2, 1, 4}, {3, 1}, {2, 3, 4}},
		{{2, 1, 1, 6}, {1, 5, 4, 6}, {2, 5, 4, 6}}, {{5}, {5}, {5}}, {{1, 1}, {1}, {1, 1}}, {{2, 3}, {2, 3}, {4, 2, 3}},
	}
	for _, sh := range shapes {
		for f := kernels.Add; f <= kernels.Pow; f++ {
			for opt := range 4 {
				extra, acc := 3*(opt&1), opt&2 != 0
				p := kernels.Binary{Func: f, X: u.buf(extra, sh[0]...), Z: u.buf(0, sh[1]...), Y: u.buf(2*extra, sh[2]...), Accumulate: acc}
				positive := func() float64 { return 0.5 + u.rng.Float64() }
				u.fill(p.X, positive)
				u.fill(p.Z, positive)
				want := make([]float64, p.Y.Len())
				for i := range want {
					want[i] = of[f](broadcastAt(p.X, p.Y.Shape, i), broadcastAt(p.Z, p.Y.Shape, i))
				}
				name := fmt.Sprintf("%v function %d acc=%v gap=%d", sh, f, acc, extra)
				want = plus(acc, values(p.Y), want)
				run, err := u.k.Binary(p)
				u.exec(t, name, run, err)
				u.compare(t, name, p.Y, want)
			}
		}
	}
}

// broadcastAt is b at flat index i of shape, by NumPy's rules.
func broadcastAt(b *buffer.Buffer, shape []int, i int) float64 {
	flat, step := 0, 1
	for axis := len(shape) - 1; axis >= 0; axis-- {
		j := i % shape[axis]
		i /= shape[axis]
		if k := axis - len(shape) + len(b.Shape); k >= 0 {
			if b.Shape[k] != 1 {
				flat += j * step
			}
			step *= b.Shape[k]
		}
	}
	return values(b)[flat]
}
