package loss

import (
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// enlarged reads maps (N, h, w, K) row by row as if they were (N, H, W, K),
// interpolated bilinearly, and brings the gradients of such rows back.
type enlarged[T buffer.Float] struct {
	x, grad []T // grad nil: not wanted
	k       int
	rows    int        // h
	coarse  int        // w·K
	fine    int        // W·K
	down    []place[T] // per row of H: offsets of rows of one image
	across  []place[T] // per column of W: offsets in a row
	same    bool       // nothing to enlarge
	between []T        // (w·K): a row of H, not yet enlarged across
	row     []T        // (W·K)
	slope   []T        // (W·K): the gradient of row
}

// place is where something lies between two elements: (1−f)·at + f·next.
type place[T buffer.Float] struct {
	at, next int
	f        T
}

func places[T buffer.Float](old, n, step int) []place[T] {
	out := make([]place[T], n)
	for i, taps := range ops.LinearTaps(old, n) {
		out[i] = place[T]{at: taps[0].At * step, next: taps[0].At * step}
		if len(taps) == 2 {
			out[i].next, out[i].f = taps[1].At*step, T(taps[1].Weight)
		}
	}
	return out
}

// enlargedScratch are the sizes of an operator's scratch that newEnlarged needs,
// the first three.
func enlargedScratch(from, to []int) []int {
	if slices.Equal(from[1:3], to[1:3]) {
		return []int{1, 1, 1}
	}
	return []int{from[2] * from[3], to[2] * from[3], to[2] * from[3]}
}

func newEnlarged[T buffer.Float](x, grad *buffer.Buffer, scratch []*buffer.Buffer, height, width int) *enlarged[T] {
	s := x.Shape
	e := &enlarged[T]{x: buffer.Floats[T](x), k: s[3], rows: s[1], coarse: s[2] * s[3], fine: width * s[3], same: s[1] == height && s[2] == width}
	if grad != nil {
		e.grad = buffer.Floats[T](grad)
	}
	if !e.same {
		e.down, e.across = places[T](s[1], height, e.coarse), places[T](s[2], width, e.k)
		e.between, e.row, e.slope = buffer.Floats[T](scratch[0]), buffer.Floats[T](scratch[1]), buffer.Floats[T](scratch[2])
	}
	return e
}

// read is row y of image n: W·K values that hold until the next read.
func (e *enlarged[T]) read(n, y int) []T {
	if e.same {
		at := (n*e.rows + y) * e.fine
		return e.x[at : at+e.fine]
	}
	image := e.x[n*e.rows*e.coarse : (n+1)*e.rows*e.coarse]
	p := e.down[y]
	upper, lower := image[p.at:p.at+e.coarse], image[p.next:p.next+e.coarse]
	for i, v := range upper {
		e.between[i] = v + p.f*(lower[i]-v)
	}
	out := e.row
	for _, p := range e.across {
		left, right := e.between[p.at:p.at+e.k], e.between[p.next:p.next+e.k]
		for j, v := range left {
			out[j] = v + p.f*(right[j]-v)
		}
		out = out[e.k:]
	}
	return e.row
}

// gradient is where the gradient of row y of image n is to be added, nil when
// none is wanted; spread must follow.
func (e *enlarged[T]) gradient(n, y int) []T {
	switch {
	case e.grad == nil:
		return nil
	case e.same:
		at := (n*e.rows + y) * e.fine
		return e.grad[at : at+e.fine]
	}
	clear(e.slope)
	return e.slope
}

// spread adds what gradient was given to the elements that read made row y of.
func (e *enlarged[T]) spread(n, y int) {
	if e.grad == nil || e.same {
		return
	}
	clear(e.between)
	g := e.slope
	for _, p := range e.across {
		left, right := e.between[p.at:p.at+e.k], e.between[p.next:p.next+e.k]
		for j, v := range g[:e.k] {
			left[j] += (1 - p.f) * v
			right[j] += p.f * v
		}
		g = g[e.k:]
	}
	image := e.grad[n*e.rows*e.coarse : (n+1)*e.rows*e.coarse]
	p := e.down[y]
	upper, lower := image[p.at:p.at+e.coarse], image[p.next:p.next+e.coarse]
	for i, v := range e.between {
		upper[i] += (1 - p.f) * v
		lower[i] += p.f * v
	}
}
