package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// borders measures how far the pixels of one image are from the borders between
// classes: exact Euclidean distances in time proportional to the pixels
// (Felzenszwalb and Huttenlocher 2012, "Distance Transforms of Sampled
// Functions").
type borders[T buffer.Float] struct {
	h, w     int
	distance []T // (H, W): squared, in pixels
	// The lower envelope of the parabolas of one row: their places and heights,
	// and from where on each is the lowest.
	at     []int
	height []float64
	from   []float64
}

func newBorders[T buffer.Float](h, w int, memory *buffer.Buffer) *borders[T] {
	return &borders[T]{h: h, w: w, distance: buffer.Floats[T](memory), at: make([]int, w), height: make([]float64, w), from: make([]float64, w)}
}

// none is the distance of an image without borders; its square is a float32.
const none = 1e9

// measure fills distance from the labels of one image. A pixel at a border, with
// a neighbour of another class to its left, right, above or below, has distance
// 0. Ignored pixels have no border.
func (b *borders[T]) measure(labels []int64) {
	b.mark(labels)
	b.columns()
	for y := range b.h {
		b.row(b.distance[y*b.w : (y+1)*b.w])
	}
}

func (b *borders[T]) mark(labels []int64) {
	for i := range b.distance {
		b.distance[i] = none
	}
	meet := func(i, j int) {
		if labels[i] != labels[j] && !ignored(labels[i]) && !ignored(labels[j]) {
			b.distance[i], b.distance[j] = 0, 0
		}
	}
	for y := range b.h {
		for x := range b.w {
			i := y*b.w + x
			if x > 0 {
				meet(i, i-1)
			}
			if y > 0 {
				meet(i, i-b.w)
			}
		}
	}
}

// columns turns marks into distances within each column.
func (b *borders[T]) columns() {
	d, w := b.distance, b.w
	for i := w; i < len(d); i++ {
		d[i] = min(d[i], d[i-w]+1)
	}
	for i := len(d) - w - 1; i >= 0; i-- {
		d[i] = min(d[i], d[i+w]+1)
	}
}

// row turns the distances within columns into squared distances in the plane:
// d(x) = min over q of (x − q)² + column(q)².
func (b *borders[T]) row(d []T) {
	n := 0
	for q, v := range d {
		f := float64(v) * float64(v)
		if float64(v) >= none {
			continue
		}
		cross := math.Inf(-1)
		for n > 0 {
			p := b.at[n-1]
			cross = (f - b.height[n-1] + float64(q*q-p*p)) / float64(2*(q-p))
			if cross > b.from[n-1] {
				break
			}
			n--
			cross = math.Inf(-1)
		}
		b.at[n], b.height[n], b.from[n] = q, f, cross
		n++
	}
	if n == 0 {
		for x := range d {
			d[x] = none * none
		}
		return
	}
	k := 0
	for x := range d {
		for k+1 < n && b.from[k+1] < float64(x) {
			k++
		}
		t := float64(x - b.at[k])
		d[x] = T(t*t + b.height[k])
	}
}

// weight is 1 + w₀·exp(−d²/2σ²) of pixel i.
func (b *borders[T]) weight(i int, w0, sigma float64) float64 {
	e := float64(b.distance[i]) / (2 * sigma * sigma)
	if e > 40 {
		return 1
	}
	return 1 + w0*math.Exp(-e)
}

func ignored(label int64) bool { return label < 0 || label == Ignored }
