package main

import "math"

// rgb is a colour with linear arithmetic; 1 is white. Values may leave [0, 1]
// until the camera clips them.
type rgb [3]float64

func (c rgb) times(k float64) rgb { return rgb{c[0] * k, c[1] * k, c[2] * k} }
func (c rgb) plus(o rgb) rgb      { return rgb{c[0] + o[0], c[1] + o[1], c[2] + o[2]} }
func (c rgb) by(o rgb) rgb        { return rgb{c[0] * o[0], c[1] * o[1], c[2] * o[2]} }

func grey(v float64) rgb { return rgb{v, v, v} }

// mix goes from a (t = 0) to b (t = 1).
func mix(a, b rgb, t float64) rgb { return a.times(1 - t).plus(b.times(t)) }

// hsv makes a colour of hue (in turns, any real number), saturation and value.
func hsv(h, s, v float64) rgb {
	h = (h - math.Floor(h)) * 6
	f := func(n float64) float64 {
		k := math.Mod(n+h, 6)
		return v - v*s*max(0, min(k, 4-k, 1))
	}
	return rgb{f(5), f(3), f(1)}
}

// luma is the brightness that the eye sees.
func (c rgb) luma() float64 { return .299*c[0] + .587*c[1] + .114*c[2] }

// smooth is 0 below a, 1 above b, with a soft step between.
func smooth(a, b, x float64) float64 {
	t := max(0, min(1, (x-a)/(b-a)))
	return t * t * (3 - 2*t)
}

// cloud is value noise: a smooth field in [0, 1] with features of size 1,
// fixed by its seed.
type cloud uint64

func (s cloud) at(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	u, v := smooth(0, 1, x-fx), smooth(0, 1, y-fy)
	ix, iy := int64(fx), int64(fy)
	top := s.lattice(ix, iy)*(1-u) + s.lattice(ix+1, iy)*u
	low := s.lattice(ix, iy+1)*(1-u) + s.lattice(ix+1, iy+1)*u
	return top*(1-v) + low*v
}

// rough is three octaves of the noise, still in [0, 1].
func (s cloud) rough(x, y float64) float64 {
	return (4*s.at(x, y) + 2*(s+1).at(2*x, 2*y) + (s+2).at(4*x, 4*y)) / 7
}

func (s cloud) lattice(x, y int64) float64 {
	h := uint64(s)*0x9e3779b97f4a7c15 ^ uint64(x)*0xbf58476d1ce4e5b9 ^ uint64(y)*0x94d049bb133111eb
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 32
	h *= 0x94d049bb133111eb
	h ^= h >> 29
	return float64(h>>11) / (1 << 53)
}
