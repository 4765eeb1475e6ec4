package main

import "math"

type point struct{ x, y float64 }

// path is a set of closed polygons in an object's own coordinates. A polygon
// that runs the other way round cuts a hole.
type path [][]point

// pose puts an object's coordinates onto the canvas: scale, shear, squash, turn, move.
type pose struct{ a, b, c, d, x, y float64 } // X = a·u + b·v + x, Y = c·u + d·v + y

// placed is an object at (x, y), one unit being sx pixels wide and sy high,
// turned by angle (radians, clockwise).
func placed(x, y, sx, sy, angle float64) pose {
	sin, cos := math.Sincos(angle)
	return pose{cos * sx, -sin * sy, sin * sx, cos * sy, x, y}
}

func (p pose) to(q point) point {
	return point{p.a*q.x + p.b*q.y + p.x, p.c*q.x + p.d*q.y + p.y}
}

// within is the pose of an object in a scene that has itself a pose.
func (p pose) within(q pose) pose {
	return pose{q.a*p.a + q.b*p.c, q.a*p.b + q.b*p.d, q.c*p.a + q.d*p.c, q.c*p.b + q.d*p.d, q.a*p.x + q.b*p.y + q.x, q.c*p.x + q.d*p.y + q.y}
}

// tilted is a turn of a canvas of n pixels about its middle.
func tilted(n, angle float64) pose {
	p := placed(0, 0, 1, 1, angle)
	m := p.to(point{n / 2, n / 2})
	p.x, p.y = n/2-m.x, n/2-m.y
	return p
}

// from is the inverse of to.
func (p pose) from(x, y float64) (u, v float64) {
	det := p.a*p.d - p.b*p.c
	x, y = x-p.x, y-p.y
	return (p.d*x - p.b*y) / det, (p.a*y - p.c*x) / det
}

// rounds approximates a closed curve r(θ) around (cx, cy).
func rounds(cx, cy float64, r func(theta float64) float64) path {
	const n = 72
	ring := make([]point, n)
	for i := range ring {
		t := 2 * math.Pi * float64(i) / n
		sin, cos := math.Sincos(t)
		ring[i] = point{cx + r(t)*cos, cy + r(t)*sin}
	}
	return path{ring}
}

func ellipse(cx, cy, rx, ry float64) path {
	p := rounds(0, 0, func(float64) float64 { return 1 })
	for i, q := range p[0] {
		p[0][i] = point{cx + rx*q.x, cy + ry*q.y}
	}
	return p
}

func rectangle(x0, y0, x1, y1 float64) path {
	return path{{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}}
}

func polygon(p ...point) path { return path{p} }

// turned is the outline of a body of revolution: half its width at height v.
func turned(v0, v1 float64, half func(v float64) float64) path {
	const n = 48
	ring := make([]point, 0, 2*n+2)
	for i := 0; i <= n; i++ {
		v := v0 + (v1-v0)*float64(i)/n
		ring = append(ring, point{half(v), v})
	}
	for i := n; i >= 0; i-- {
		v := v0 + (v1-v0)*float64(i)/n
		ring = append(ring, point{-half(v), v})
	}
	return path{ring}
}

// blob is a closed curve of about radius 1 whose low harmonics are random:
// rough tells how far it leaves the circle.
func blob(d dice, rough float64) func(theta float64) float64 {
	var amp, phase [4]float64
	for k := range amp {
		amp[k] = rough * d.NormFloat64() / float64(k+1)
		phase[k] = d.in(0, 2*math.Pi)
	}
	return func(t float64) float64 {
		r := 1.0
		for k := range amp {
			r += amp[k] * math.Cos(float64(k+2)*t+phase[k])
		}
		return max(.3, r)
	}
}

// moved returns the path scaled by k and then shifted.
func (p path) moved(k, dx, dy float64) path {
	q := make(path, len(p))
	for i, ring := range p {
		q[i] = make([]point, len(ring))
		for j, s := range ring {
			q[i][j] = point{k*s.x + dx, k*s.y + dy}
		}
	}
	return q
}
