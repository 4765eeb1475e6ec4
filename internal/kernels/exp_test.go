package kernels_test

import (
	"math"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// TestExpAccuracy: what approximate promises, against package math.
func TestExpAccuracy(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	const c, d = 0.7978845608028654, 0.044715
	u := func(x float64) float64 { return 2 * c * (x + d*x*x*x) }
	for name, f := range map[string]struct {
		f     kernels.Func
		y, dy func(x float64) float64
	}{
		"Exp": {kernels.Exp, math.Exp, math.Exp},
		"Gelu": {kernels.Gelu, func(x float64) float64 { return x * 0.5 * math.Erfc(-x/math.Sqrt2) },
			func(x float64) float64 {
				return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
			}},
		"GeluTanh": {kernels.GeluTanh, func(x float64) float64 { return x * sigmoid(u(x)) },
			func(x float64) float64 {
				s := sigmoid(u(x))
				return s + x*s*(1-s)*2*c*(1+3*d*x*x)
			}},
		"Silu":    {kernels.Silu, func(x float64) float64 { return x * sigmoid(x) }, func(x float64) float64 { s := sigmoid(x); return s * (1 + x*(1-s)) }},
		"Sigmoid": {kernels.Sigmoid, sigmoid, func(x float64) float64 { s := sigmoid(x); return s * (1 - s) }},
	} {
		eachISA(t, func(t *testing.T) {
			var xs []float32
			for x := -110.0; x < 110; x += 0.0007 {
				xs = append(xs, float32(x))
			}
			for x := 1e-30; x < 1e30; x *= 7 {
				xs = append(xs, float32(x), float32(-x))
			}
			x, y, dy := buffer.New(buffer.F32, len(xs)), buffer.New(buffer.F32, len(xs)), buffer.New(buffer.F32, len(xs))
			copy(x.F32(), xs)
			run, err := kernels.Go{}.Unary(kernels.Unary{Func: f.f, X: x, Y: y, Deriv: dy})
			if err != nil {
				t.Fatal(err)
			}
			run()
			worst, slope := 0.0, 0.0
			for i, v := range xs {
				off := func(got float32, want float64) float64 {
					if f.f == kernels.Exp {
						if want < 1.7e-38 || want > math.MaxFloat32 { // 0 or denormal; ∞
							if math.Abs(float64(got)-want) > 1.7e-38 && !math.IsInf(float64(got), 1) {
								t.Errorf("%s(%v) is %v", name, v, got)
							}
							return 0
						}
						return math.Abs(float64(got)-want) / want
					}
					return math.Abs(float64(got)-want) / max(1, math.Abs(want))
				}
				worst = max(worst, off(y.F32()[i], f.y(float64(v))))
				slope = max(slope, off(dy.F32()[i], f.dy(float64(v))))
			}
			t.Logf("%s: off by %.2g, its derivative by %.2g", name, worst, slope)
			limit := 3e-7
			if f.f == kernels.Exp {
				limit = 2e-7
			}
			if !(worst <= limit) || !(slope <= 3e-7) {
				t.Errorf("%s is off by %v, its derivative by %v", name, worst, slope)
			}
		})
	}
}
