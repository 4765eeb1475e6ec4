package transform

import (
	"math"

	"github.com/vislora/vislora/vision"
)

// outline measures what remains visible of moved polygons. It keeps its
// scratch memory between calls.
type outline struct {
	points    []float64 // the polygon, moved
	cut, next []float64
}

// measure moves polygons by m. It returns the smallest box around what of
// their inside lies in a picture of w×h, and the areas of that part and of the
// whole. The box is empty when nothing can be seen.
func (o *outline) measure(polygons [][]float64, m affine, w, h float64) (seen vision.Box, part, whole float64) {
	seen = vision.Box{X1: math.Inf(1), Y1: math.Inf(1), X2: math.Inf(-1), Y2: math.Inf(-1)}
	for _, p := range polygons {
		o.points = o.points[:0]
		for i := 0; i+1 < len(p); i += 2 {
			x, y := m.point(p[i], p[i+1])
			o.points = append(o.points, x, y)
		}
		seen = around(seen, o.points, w, h)
		whole += area(o.points)
		part += area(o.clip(w, h))
	}
	if !(seen.X1 <= seen.X2 && seen.Y1 <= seen.Y2) {
		return vision.Box{}, part, whole
	}
	return seen, part, whole
}

// around widens b by the polygon's part in a picture of w×h. The extremes of
// that part are where edges end, where they cross the border, or corners of
// the picture inside the polygon.
func around(b vision.Box, p []float64, w, h float64) vision.Box {
	same := affine{1, 0, 0, 0, 1, 0}
	var inside [4]bool
	corners := [4][2]float64{{0, 0}, {w, 0}, {0, h}, {w, h}}
	for i := 0; i+1 < len(p); i += 2 {
		k := (i + 2) % len(p)
		x0, y0, x1, y1 := p[i], p[i+1], p[k], p[k+1]
		if from, to, ok := cutSegment(x0, y0, x1, y1, w, h); ok {
			for _, t := range [2]float64{from, to} {
				// Rounding must not lead out of the picture.
				x, y := min(max(x0+t*(x1-x0), 0), w), min(max(y0+t*(y1-y0), 0), h)
				b = include(b, x, y, same)
			}
		}
		for c, at := range corners {
			if (y0 > at[1]) != (y1 > at[1]) && at[0] < x0+(at[1]-y0)/(y1-y0)*(x1-x0) {
				inside[c] = !inside[c]
			}
		}
	}
	for c, at := range corners {
		if inside[c] {
			b = include(b, at[0], at[1], same)
		}
	}
	return b
}

// cutSegment is the part of a segment, as shares of its length, that lies in a
// picture of w×h (Liang and Barsky 1984).
func cutSegment(x0, y0, x1, y1, w, h float64) (from, to float64, ok bool) {
	to = 1
	for _, s := range [4][2]float64{{x0 - x1, x0}, {x1 - x0, w - x0}, {y0 - y1, y0}, {y1 - y0, h - y0}} {
		p, q := s[0], s[1]
		switch {
		case p == 0:
			if q < 0 {
				return 0, 0, false
			}
		case p < 0:
			from = math.Max(from, q/p)
		default:
			to = math.Min(to, q/p)
		}
	}
	return from, to, from <= to
}

// clip cuts o.points at the four borders of a picture of w×h (Sutherland and
// Hodgman 1974). Parts that fall apart stay joined along the border, where
// they have no area.
func (o *outline) clip(w, h float64) []float64 {
	o.cut = append(o.cut[:0], o.points...)
	for side := range 4 {
		depth := func(i int) float64 { // how far a point is inside
			switch side {
			case 0:
				return o.cut[i]
			case 1:
				return w - o.cut[i]
			case 2:
				return o.cut[i+1]
			}
			return h - o.cut[i+1]
		}
		o.next = o.next[:0]
		for i := 0; i+1 < len(o.cut); i += 2 {
			k := (i + 2) % len(o.cut)
			a, b := depth(i), depth(k)
			if a >= 0 {
				o.next = append(o.next, o.cut[i], o.cut[i+1])
			}
			if (a >= 0) != (b >= 0) {
				t := a / (a - b)
				o.next = append(o.next, o.cut[i]+t*(o.cut[k]-o.cut[i]), o.cut[i+1]+t*(o.cut[k+1]-o.cut[i+1]))
			}
		}
		o.cut, o.next = o.next, o.cut
	}
	return o.cut
}

// area is that of a simple polygon.
func area(p []float64) float64 {
	twice := 0.0
	for i := 0; i+1 < len(p); i += 2 {
		k := (i + 2) % len(p)
		twice += p[i]*p[k+1] - p[k]*p[i+1]
	}
	return math.Abs(twice) / 2
}
