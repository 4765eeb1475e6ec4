package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// Strides gives the distances in elements between neighbours along every axis
// of b, seen under a shape of n axes aligned at the last one; 0 where b has no
// such axis or length 1 (it broadcasts).
func Strides(b Buf, n int) []int {
	s := make([]int, n)
	step := 1
	for i := range b.Shape {
		axis := len(b.Shape) - 1 - i
		if i == 1 {
			step = b.Pitch
		}
		if b.Shape[axis] != 1 {
			s[n-1-i] = step
		}
		step *= b.Shape[axis]
	}
	return s
}

// Collapse merges neighbouring axes that every set of strides walks as one, so
// that the loops are few and the innermost one long. Axes of length 1 vanish;
// at least one axis remains. It edits its arguments and returns the number of
// axes left.
func Collapse(dims []int, strides ...[]int) int {
	n := 0
	for i, d := range dims {
		if d == 1 {
			continue
		}
		merge := n > 0
		for _, s := range strides {
			merge = merge && s[n-1] == s[i]*d
		}
		if merge {
			dims[n-1] *= d
			for _, s := range strides {
				s[n-1] = s[i]
			}
			continue
		}
		dims[n] = d
		for _, s := range strides {
			s[n] = s[i]
		}
		n++
	}
	if n == 0 && len(dims) > 0 {
		dims[0] = 1
		for _, s := range strides {
			s[0] = 1
		}
		n = 1
	}
	return n
}

// nest walks the outer axes of up to three operands in step.
type nest struct {
	dims    []int
	strides [3][]int
	index   []int
	empty   bool
}

func newNest(dims []int, strides ...[]int) *nest {
	dims = append([]int(nil), dims...)
	if len(dims) == 0 {
		dims = []int{1}
		for i := range strides {
			strides[i] = []int{1}
		}
	}
	n := Collapse(dims, strides...)
	w := &nest{dims: dims[:n], index: make([]int, n)}
	for i, s := range strides {
		w.strides[i] = s[:n]
	}
	for _, d := range dims[:n] {
		w.empty = w.empty || d == 0
	}
	return w
}

// inner is the length of the innermost axis and the operands' steps along it.
func (w *nest) inner() (n, a, b, c int) {
	l := len(w.dims) - 1
	step := func(i int) int {
		if w.strides[i] == nil {
			return 0
		}
		return w.strides[i][l]
	}
	return w.dims[l], step(0), step(1), step(2)
}

// next moves the offsets to the next run of the innermost axis; it reports
// false, with everything back at the start, after the last.
func (w *nest) next(at *[3]int) bool {
	for i := len(w.dims) - 2; i >= 0; i-- {
		w.index[i]++
		if w.index[i] < w.dims[i] {
			for o, s := range w.strides {
				if s != nil {
					at[o] += s[i]
				}
			}
			return true
		}
		for o, s := range w.strides {
			if s != nil {
				at[o] -= (w.dims[i] - 1) * s[i]
			}
		}
		w.index[i] = 0
	}
	return false
}

func binary[T buffer.Float](p Binary) Run {
	x, z, y := buffer.Floats[T](p.X), buffer.Floats[T](p.Z), buffer.Floats[T](p.Y)
	n := len(p.Y.Shape)
	walk := newNest(p.Y.Shape, Strides(p.X, n), Strides(p.Z, n), Strides(p.Y, n))
	length, xs, zs, ys := walk.inner()
	// A stride of 0 in Y is an axis of length 1.
	return func() {
		if walk.empty {
			return
		}
		var at [3]int
		for {
			binaryRun(p.Func, p.Accumulate, y[at[2]:], x[at[0]:], z[at[1]:], length, ys, xs, zs)
			if !walk.next(&at) {
				return
			}
		}
	}
}

func binaryRun[T buffer.Float](f BinaryFunc, acc bool, y, x, z []T, n, ys, xs, zs int) {
	if acc {
		for i := range n {
			y[i*ys] += binaryOne(f, x[i*xs], z[i*zs])
		}
		return
	}
	i := 0
	if xs == 1 && zs == 1 && ys == 1 {
		i = combined(f, y[:n], x[:n], z[:n])
	}
	switch f {
	case Add:
		for ; i < n; i++ {
			y[i*ys] = x[i*xs] + z[i*zs]
		}
	case Sub:
		for ; i < n; i++ {
			y[i*ys] = x[i*xs] - z[i*zs]
		}
	case Mul:
		for ; i < n; i++ {
			y[i*ys] = x[i*xs] * z[i*zs]
		}
	default:
		for ; i < n; i++ {
			y[i*ys] = binaryOne(f, x[i*xs], z[i*zs])
		}
	}
}

func binaryOne[T buffer.Float](f BinaryFunc, x, z T) T {
	switch f {
	case Add:
		return x + z
	case Sub:
		return x - z
	case Mul:
		return x * z
	case Div:
		return x / z
	case Max:
		return max(x, z)
	case Min:
		return min(x, z)
	}
	return T(math.Pow(float64(x), float64(z)))
}
