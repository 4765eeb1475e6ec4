package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// Rows by vectors of float32, where these are there. What returns a number does
// the first so many elements, and the caller's loop the rest.

// combined is y = x∘z for sums, differences and products.
func combined[T buffer.Float](f BinaryFunc, y, x, z []T) int {
	a, ok := floats32(x)
	n := len(x) &^ 7
	if !ok || n == 0 {
		return 0
	}
	b, _ := floats32(z)
	c, _ := floats32(y)
	to, left, right := &c[:n][0], &a[0], &b[:n][0]
	switch f {
	case Add:
		add8(to, left, right, n)
	case Sub:
		sub8(to, left, right, n)
	case Mul:
		mul8(to, left, right, n)
	default:
		return 0
	}
	return n
}

// multiplied is y = x·z, or y += x·z.
func multiplied[T buffer.Float](y, x, z []T, acc bool) {
	i := 0
	if a, ok := floats32(x); ok && len(a) >= 8 {
		b, _ := floats32(z)
		c, _ := floats32(y)
		i = len(a) &^ 7
		if acc {
			mulAdd8(&c[:i][0], &a[0], &b[:i][0], i)
		} else {
			mul8(&c[:i][0], &a[0], &b[:i][0], i)
		}
	}
	for ; i < len(x); i++ {
		v := x[i] * z[i]
		if acc {
			v += y[i]
		}
		y[i] = v
	}
}

// clipped is y = min(max(x, lo), hi).
func clipped[T buffer.Float](y, x []T, lo, hi T) int {
	in, ok := floats32(x)
	n := len(x) &^ 7
	if !ok || n == 0 {
		return 0
	}
	out, _ := floats32(y)
	clip8(&out[:n][0], &in[0], n, float32(lo), float32(hi))
	return n
}

// between is 1 where x > lo and not x ≥ hi, 0 elsewhere.
func between[T buffer.Float](y, x []T, lo, hi T) int {
	in, ok := floats32(x)
	n := len(x) &^ 7
	if !ok || n == 0 {
		return 0
	}
	out, _ := floats32(y)
	between8(&out[:n][0], &in[0], n, float32(lo), float32(hi))
	return n
}

// dot is Σ x·z in float64.
func dot[T buffer.Float](x, z []T) float64 {
	i, sum := 0, 0.0
	if a, ok := floats32(x); ok && len(a) >= 8 {
		b, _ := floats32(z)
		i = len(a) &^ 7
		sum = dot8(&a[0], &b[:i][0], i)
	}
	for ; i < len(x); i++ {
		sum += float64(x[i]) * float64(z[i])
	}
	return sum
}

// centre is y = p·(g − mean). y may lie on g.
func centre[T buffer.Float](y, p, g []T, mean T) {
	i := 0
	if a, ok := floats32(p); ok && len(a) >= 8 {
		b, _ := floats32(g)
		c, _ := floats32(y)
		i = len(a) &^ 7
		centre8(&c[:i][0], &a[0], &b[:i][0], i, float32(mean))
	}
	for ; i < len(p); i++ {
		y[i] = p[i] * (g[i] - mean)
	}
}

// highest is the maximum of a row, NaN if it is one of NaN and −∞ alone.
func highest[T buffer.Float](row []T) T {
	top, i := T(math.Inf(-1)), 0
	if a, ok := floats32(row); ok && len(a) >= 8 {
		i = len(a) &^ 7
		if top = T(max8(&a[0], i)); math.IsInf(float64(top), -1) {
			i = 0
		}
	}
	for _, v := range row[i:] {
		top = max(top, v)
	}
	return top
}

// larger takes what is larger in x, or NaN, into top, and its place into best.
func larger[T buffer.Float, I taken](top []T, best []I, x []T, place I) int {
	a, ok := floats32(x)
	b, bytes := any(&best).(*[]uint8)
	n := len(x) &^ 7
	if !ok || !bytes || n == 0 {
		return 0
	}
	t, _ := floats32(top)
	larger8(&t[:n][0], &(*b)[:n][0], &a[0], n, uint8(place))
	return n
}

// multiply is row *= by.
func multiply[T buffer.Float](row []T, by T) {
	i := 0
	if a, ok := floats32(row); ok && len(a) >= 8 {
		i = len(a) &^ 7
		scale8(&a[0], &a[0], i, float32(by))
	}
	for ; i < len(row); i++ {
		row[i] *= by
	}
}
