package kernels

import "github.com/vislora/vislora/internal/buffer"

// Rows of LayerNorm by vectors of float32, where these and γ (and β) are there.
// What returns a number i does the first i elements.

// moments sums x − μ and its squares.
func moments[T buffer.Float](x []T, mu float64) (sum, squares float64) {
	i := 0
	if a, ok := floats32(x); ok && len(a) >= 8 {
		i = len(a) &^ 7
		sum, squares = moments8(&a[0], i, mu)
	}
	for _, v := range x[i:] {
		d := float64(v) - mu
		sum += d
		squares += d * d
	}
	return sum, squares
}

func normalised[T buffer.Float](y, x, gamma, beta []T, mu, r float64) (i int) {
	if a, ok := floats32(x); ok && len(a) >= 8 && gamma != nil && beta != nil {
		out, _ := floats32(y)
		g, _ := floats32(gamma)
		b, _ := floats32(beta)
		i = len(a) &^ 7
		normal8(&out[:i][0], &a[0], &g[:i][0], &b[:i][0], i, mu, r)
	}
	return i
}

func normalSums[T buffer.Float](dy, x, gamma []T, mu, r float64) (i int, sum, dot float64) {
	if a, ok := floats32(x); ok && len(a) >= 8 && gamma != nil {
		d, _ := floats32(dy)
		g, _ := floats32(gamma)
		i = len(a) &^ 7
		sum, dot = normalSums8(&d[:i][0], &a[0], &g[:i][0], i, mu, r)
	}
	return i, sum, dot
}

func normalBack[T buffer.Float](dx, dy, x, gamma []T, mu, r, mean, dot float64, acc bool) (i int) {
	if a, ok := floats32(x); ok && len(a) >= 8 && gamma != nil {
		out, _ := floats32(dx)
		d, _ := floats32(dy)
		g, _ := floats32(gamma)
		i = len(a) &^ 7
		normalBack8(&out[:i][0], &d[:i][0], &a[0], &g[:i][0], i, mu, r, mean, dot, acc)
	}
	return i
}
