package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// exps writes e^(src − sub)·scale and returns the sum of what it wrote, on vectors
// where they are there: then within 2e-7 of each value, and 0 below e^−87. The two
// may be one.
func exps[T buffer.Float](dst, src []T, sub, scale T) float64 {
	if s, ok := floats32(src); ok && len(s) > 0 {
		d, _ := floats32(dst)
		return exps32(d, s, float32(sub), float32(scale))
	}
	sum := 0.0
	for i, v := range src {
		e := math.Exp(float64(v-sub)) * float64(scale)
		dst[i] = T(e)
		sum += e
	}
	return sum
}

func exps32(dst, src []float32, sub, scale float32) float64 {
	n, sum := len(src)&^7, 0.0
	if n > 0 {
		sum = expRow(&dst[:n][0], &src[0], n, sub, scale)
	}
	if n < len(src) {
		t := [8]float32{}
		copy(t[:], src[n:])
		expRow(&t[0], &t[0], 8, sub, scale)
		for i := range dst[n:len(src)] {
			dst[n+i] = t[i]
			sum += float64(t[i])
		}
	}
	return sum
}

// approximate writes f(x) and unless it is nil f′(x) of the functions that rest on
// exp, on vectors; it reports false where there are none. y may lie on x.
//
// Errors against the exact values, relative to max(1, |value|): Exp 2e-7 of the
// value; Gelu, GeluTanh, Silu and Sigmoid 3e-7, their derivatives too.
func approximate[T buffer.Float](f Func, y, deriv, x []T) bool {
	in, ok := floats32(x)
	if !ok || !exponential(f) {
		return false
	}
	out, _ := floats32(y)
	d, _ := floats32(deriv)
	n := len(in) &^ 7
	if n > 0 {
		var at *float32
		if d != nil {
			at = &d[:n][0]
		}
		approximate8(f, &out[:n][0], at, &in[0], n)
	}
	if n < len(in) {
		var t, u [8]float32
		copy(t[:], in[n:])
		approximate8(f, &t[0], &u[0], &t[0], 8)
		copy(out[n:len(in)], t[:])
		if d != nil {
			copy(d[n:len(in)], u[:])
		}
	}
	return true
}

func exponential(f Func) bool {
	return f == Gelu || f == GeluTanh || f == Silu || f == Sigmoid || f == Exp
}

func approximate8(f Func, y, deriv, x *float32, n int) {
	switch f {
	case Gelu:
		gelu8(y, deriv, x, n)
	case GeluTanh:
		geluTanh8(y, deriv, x, n)
	case Silu:
		silu8(y, deriv, x, n)
	case Sigmoid:
		sigmoid8(y, deriv, x, n)
	case Exp:
		exp8(y, deriv, x, n)
	}
}
