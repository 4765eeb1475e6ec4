package transform

import (
	"math"

	"github.com/vislora/vislora/vision"
)

// precision is the number of fractional bits of the coefficients: Pillow's
// PRECISION_BITS, 32 − 8 − 2.
const precision = 32 - 8 - 2

// kernel is an interpolation filter that widens when it shrinks an image.
type kernel struct {
	at      func(x float64) float64
	support float64
}

var kernels = map[string]kernel{
	vision.BoxFilter: {func(x float64) float64 {
		if x > -.5 && x <= .5 {
			return 1
		}
		return 0
	}, .5},
	vision.Bilinear: {func(x float64) float64 { return max(1-math.Abs(x), 0) }, 1},
	// Keys' cubic with a = −1/2. The products are rounded one by one, as C
	// does where a CPU would fuse them with the sum.
	vision.Bicubic: {func(x float64) float64 {
		const a = -.5
		x = math.Abs(x)
		switch {
		case x < 1:
			return float64(float64((float64((a+2)*x)-(a+3))*x)*x) + 1
		case x < 2:
			return (float64((float64((x-5)*x)+8)*x) - 4) * a
		}
		return 0
	}, 2},
}

// taps are the coefficients of one axis: output i is the sum over t of
// in[first[i]+t]·weight[i·size+t], t < count[i].
type taps struct {
	size         int
	first, count []int
	weight       []int32
	norm         []float64
}

// compute fills t for the outputs lo to hi of an axis that goes from in to out
// values, as Pillow's precompute_coeffs and normalize_coeffs_8bpc do.
func (t *taps) compute(in, out, lo, hi int, k kernel) {
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support := k.support * stretch
	t.size = int(math.Ceil(support))*2 + 1
	n := hi - lo
	t.first, t.count = grow(t.first, n), grow(t.count, n)
	t.weight, t.norm = grow(t.weight, n*t.size), grow(t.norm, t.size)
	inverse := 1 / stretch
	for i := range n {
		center := float64((float64(lo+i) + .5) * scale)
		first := max(int(center-support+.5), 0)
		last := min(int(center+support+.5), in)
		sum := 0.0
		w := t.norm[:last-first]
		for x := range w {
			w[x] = k.at(float64((float64(x+first) - center + .5) * inverse))
			sum += w[x]
		}
		q := t.weight[i*t.size:]
		for x, v := range w {
			if sum != 0 {
				v /= sum
			}
			v = float64(v * (1 << precision))
			if v < 0 {
				q[x] = int32(v - .5)
			} else {
				q[x] = int32(v + .5)
			}
		}
		t.first[i], t.count[i] = first, last-first
	}
}

// grow is s with n elements, in its own memory where that is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
