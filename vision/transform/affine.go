package transform

import (
	"math"

	"github.com/vislora/vislora/vision"
)

// affine moves points, in coordinates where pixel (0, 0) has its centre at
// (0.5, 0.5):
//
//	x' = m[0]·x + m[1]·y + m[2],  y' = m[3]·x + m[4]·y + m[5]
type affine [6]float64

// scaling stretches both axes about the origin.
func scaling(x, y float64) affine { return affine{x, 0, 0, 0, y, 0} }

// shifting moves by (x, y).
func shifting(x, y float64) affine { return affine{1, 0, x, 0, 1, y} }

// after is the map that applies n first and m then.
func (m affine) after(n affine) affine {
	return affine{
		m[0]*n[0] + m[1]*n[3], m[0]*n[1] + m[1]*n[4], m[0]*n[2] + m[1]*n[5] + m[2],
		m[3]*n[0] + m[4]*n[3], m[3]*n[1] + m[4]*n[4], m[3]*n[2] + m[4]*n[5] + m[5],
	}
}

// det is how much areas grow; negative when the map mirrors.
func (m affine) det() float64 { return m[0]*m[4] - m[1]*m[3] }

// inverse is the map back. The determinant must not be 0.
func (m affine) inverse() affine {
	d := m.det()
	a, b, c, e := m[4]/d, -m[1]/d, -m[3]/d, m[0]/d
	return affine{a, b, -(a*m[2] + b*m[5]), c, e, -(c*m[2] + e*m[5])}
}

// straight tells whether boxes stay boxes: nothing turns and nothing leans.
func (m affine) straight() bool { return m[1] == 0 && m[3] == 0 }

func (m affine) point(x, y float64) (float64, float64) {
	return m[0]*x + m[1]*y + m[2], m[3]*x + m[4]*y + m[5]
}

// box is the smallest box around what becomes of b.
func (m affine) box(b vision.Box) vision.Box {
	x, y := m.point(b.X1, b.Y1)
	out := vision.Box{X1: x, Y1: y, X2: x, Y2: y}
	for _, p := range [3][2]float64{{b.X2, b.Y1}, {b.X2, b.Y2}, {b.X1, b.Y2}} {
		out = include(out, p[0], p[1], m)
	}
	return out
}

// include widens b so that it holds what becomes of the point (x, y).
func include(b vision.Box, x, y float64, m affine) vision.Box {
	x, y = m.point(x, y)
	return vision.Box{X1: math.Min(b.X1, x), Y1: math.Min(b.Y1, y), X2: math.Max(b.X2, x), Y2: math.Max(b.Y2, y)}
}

// span is the part lo ≤ x < hi of a row of width pixels whose centres m maps
// into a picture of w×h.
func (m affine) span(row, width int, w, h float64) (lo, hi int) {
	from, to := 0.0, float64(width)
	x0, y0 := m.point(.5, float64(row)+.5)
	for _, axis := range [2]struct{ step, at, end float64 }{{m[0], x0, w}, {m[3], y0, h}} {
		// The pixels x with 0 ≤ at + step·x < end.
		switch {
		case axis.step > 0:
			from = math.Max(from, math.Ceil(-axis.at/axis.step))
			to = math.Min(to, math.Ceil((axis.end-axis.at)/axis.step))
		case axis.step < 0:
			from = math.Max(from, math.Floor((axis.end-axis.at)/axis.step)+1)
			to = math.Min(to, math.Floor(-axis.at/axis.step)+1)
		case axis.at < 0 || axis.at >= axis.end:
			return 0, 0
		}
	}
	if from >= to {
		return 0, 0
	}
	return int(from), int(to)
}
