package head

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// View says how a map that a network puts out lies over the image that it saw.
type View struct {
	// Map is the height and width of the map, Input those of the network's input,
	// which the map covers.
	Map, Input [2]int
	// Place is how the image was put into the input. The zero value stretches it
	// over the whole input.
	Place transform.Placement
}

// axis maps the pixels of one side of an image to the cells of a map: the centre
// of pixel i lies at (i + ½)·scale + shift cells.
type axis struct {
	pixels, cells int
	scale, shift  float64
}

// axes are those of the rows and columns of an image of h×w pixels.
func (v View) axes(h, w int) (rows, cols axis, err error) {
	if h < 1 || w < 1 || min(v.Map[0], v.Map[1], v.Input[0], v.Input[1]) < 1 {
		return rows, cols, fmt.Errorf("head: a map of %d×%d over an input of %d×%d, for an image of %d×%d: every side must be at least 1",
			v.Map[0], v.Map[1], v.Input[0], v.Input[1], h, w)
	}
	p := v.Place
	if p.W == 0 || p.H == 0 {
		p = transform.Placement{W: v.Input[1], H: v.Input[0]}
	}
	side := func(pixels, cells, input, resized, offset int) axis {
		perPixel := float64(cells) / float64(input) // of the input
		return axis{pixels, cells, float64(resized) / float64(pixels) * perPixel, float64(offset) * perPixel}
	}
	return side(h, v.Map[0], v.Input[0], p.H, p.At.Y-p.Window.Min.Y), side(w, v.Map[1], v.Input[1], p.W, p.At.X-p.Window.Min.X), nil
}

// reading is linear interpolation between two cells: (1−f)·at + f·next.
type reading struct {
	at, next int
	f        float32
}

// read is where pixel i lies between the centres of two cells, cut to the map.
func (a axis) read(i int) reading {
	u := min(max((float64(i)+0.5)*a.scale+a.shift-0.5, 0), float64(a.cells-1))
	low := int(u)
	return reading{low, min(low+1, a.cells-1), float32(u - float64(low))}
}

// within are the pixels whose centres lie between two places on the map, in
// cells.
func (a axis) within(low, high float64) (from, to int) {
	pixel := func(u float64) int {
		return int(min(max(math.Ceil((u-a.shift)/a.scale-0.5), 0), float64(a.pixels)))
	}
	if !(high > low) { // an empty box, or one that is not a number
		return 0, 0
	}
	return pixel(low), pixel(high)
}

// cells is a box of input pixels in cells of the map.
func (v View) cells(b vision.Box) vision.Box {
	y, x := float64(v.Map[0])/float64(v.Input[0]), float64(v.Map[1])/float64(v.Input[1])
	return vision.Box{X1: b.X1 * x, Y1: b.Y1 * y, X2: b.X2 * x, Y2: b.Y2 * y}
}

// enlarger makes rows of an image of a map (h, w, K), bilinearly, one at a time.
type enlarger struct {
	w, k         int
	rows, cols   []reading
	between, row []float32
}

func newEnlarger(rows, cols axis, k int) *enlarger {
	e := &enlarger{w: cols.cells, k: k, between: make([]float32, cols.cells*k), row: make([]float32, cols.pixels*k)}
	for i := range rows.pixels {
		e.rows = append(e.rows, rows.read(i))
	}
	for i := range cols.pixels {
		e.cols = append(e.cols, cols.read(i))
	}
	return e
}

// read is row y of the image: K values for every pixel, until the next read.
func (e *enlarger) read(m []float32, y int) []float32 {
	n, p := e.w*e.k, e.rows[y]
	upper, lower := m[p.at*n:(p.at+1)*n], m[p.next*n:(p.next+1)*n]
	for i, v := range upper {
		e.between[i] = v + p.f*(lower[i]-v)
	}
	out := e.row
	for _, p := range e.cols {
		left, right := e.between[p.at*e.k:(p.at+1)*e.k], e.between[p.next*e.k:(p.next+1)*e.k]
		for j, v := range left {
			out[j] = v + p.f*(right[j]-v)
		}
		out = out[e.k:]
	}
	return e.row
}
