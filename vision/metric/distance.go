package metric

import "math"

// point is a pixel.
type point struct{ x, y int }

// distanceField measures how far pixels are from a set of pixels. Its memory is
// reused.
type distanceField struct {
	squared []float64
	row     []float64
	vertex  []int
	reach   []float64
}

// measure returns, for each of from, the distance to the nearest pixel of to,
// which is not empty: between the centres of pixels that are sx wide and sy high.
//
//	d(p)² = min over q in to of (sx·(pₓ − qₓ))² + (sy·(p_y − q_y))²
//
// It is exact, and takes time in proportion to the rectangle around both sets.
//
// Source: Felzenszwalb & Huttenlocher 2012, "Distance Transforms of Sampled
// Functions", Theory of Computing 8, doi:10.4086/toc.2012.v008a019, §2.
func (f *distanceField) measure(from, to []point, sx, sy float64) []float64 {
	x0, y0, x1, y1 := to[0].x, to[0].y, to[0].x, to[0].y
	for _, set := range [][]point{from, to} {
		for _, p := range set {
			x0, y0, x1, y1 = min(x0, p.x), min(y0, p.y), max(x1, p.x), max(y1, p.y)
		}
	}
	w, h := x1-x0+1, y1-y0+1
	f.grow(w, h)
	for i := range f.squared {
		f.squared[i] = math.Inf(1)
	}
	for _, p := range to {
		f.squared[(p.y-y0)*w+p.x-x0] = 0
	}
	f.columns(w, h, sy)
	f.rows(w, h, sx)
	out := make([]float64, len(from))
	for i, p := range from {
		out[i] = math.Sqrt(f.squared[(p.y-y0)*w+p.x-x0])
	}
	return out
}

// grow makes room for w×h pixels.
func (f *distanceField) grow(w, h int) {
	if cap(f.squared) < w*h {
		f.squared = make([]float64, w*h)
	}
	f.squared = f.squared[:w*h]
	if len(f.vertex) < w {
		f.row, f.vertex, f.reach = make([]float64, w), make([]int, w), make([]float64, w)
	}
}

// columns writes the squared distance to the nearest pixel of the set in the same
// column, +Inf in a column without one.
func (f *distanceField) columns(w, h int, sy float64) {
	for x := range w {
		// The distance to the last pixel above, then to the first below.
		d := math.Inf(1)
		for i := x; i < w*h; i += w {
			if d++; f.squared[i] == 0 {
				d = 0
			}
			f.squared[i] = d
		}
		d = math.Inf(1)
		for i := (h-1)*w + x; i >= 0; i -= w {
			if d++; f.squared[i] == 0 {
				d = 0
			}
			v := sy * min(d, f.squared[i])
			f.squared[i] = v * v
		}
	}
}

// rows replaces each row g by the lower envelope of the parabolas that stand on
// it:
//
//	d(x) = min over v of (sx·(x − v))² + g(v)
//
// The envelope is kept as the vertices of its parabolas from left to right, each
// up to where the next one is lower.
func (f *distanceField) rows(w, h int, sx float64) {
	a := sx * sx
	row := f.row[:w]
	for y := range h {
		d := f.squared[y*w:][:w]
		copy(row, d)
		n := 0
		for q, g := range row {
			if math.IsInf(g, 1) {
				continue
			}
			at := math.Inf(-1) // from where on the parabola at q is the lowest
			for n > 0 {
				v := f.vertex[n-1]
				at = ((g + a*float64(q*q)) - (row[v] + a*float64(v*v))) / (2 * a * float64(q-v))
				if at > f.reach[n-1] {
					break
				}
				n--
			}
			f.vertex[n], f.reach[n] = q, at
			n++
		}
		k := 0
		for x := range d {
			for k+1 < n && f.reach[k+1] < float64(x) {
				k++
			}
			v := f.vertex[k]
			d[x] = a*float64((x-v)*(x-v)) + row[v]
		}
	}
}
