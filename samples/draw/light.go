package main

import "math"

// light tells how an object's surface answers the lamp at a point: a factor on
// its colour and a white gloss on top.
type light func(u, v float64) (gain, gloss float64)

// lit puts a light onto a shader.
func lit(s shader, l light) shader {
	return func(u, v float64) (rgb, float64) {
		c, a := s(u, v)
		gain, gloss := l(u, v)
		return c.times(gain).plus(grey(gloss)), a
	}
}

// column lights an upright cylinder of half width w whose brightest line
// stands at lamp (−1 … 1).
func column(w, lamp, shine float64) light {
	return func(u, _ float64) (float64, float64) {
		x := max(-1, min(1, u/w))
		normal := math.Sqrt(1 - x*x)
		diffuse := .45 + .6*max(0, normal*math.Sqrt(1-.5*lamp*lamp)+.7*x*lamp)
		g := (x - lamp*.6) / .13
		return diffuse, shine * math.Exp(-g*g)
	}
}

// ball lights a sphere of radius r at the origin.
func ball(r, lampX, lampY, shine float64) light {
	return func(u, v float64) (float64, float64) {
		x, y := u/r, v/r
		z := math.Sqrt(max(0, 1-x*x-y*y))
		lx, ly, lz := lampX, lampY, math.Sqrt(max(.1, 1-lampX*lampX-lampY*lampY))
		dot := x*lx + y*ly + z*lz
		g := math.Hypot(x-lampX*.6, y-lampY*.6) / .2
		return .4 + .68*max(0, dot), shine * math.Exp(-g*g)
	}
}

// flat lights a plane evenly, a little brighter at one end.
func flat(gain, slope float64) light {
	return func(u, v float64) (float64, float64) { return gain + slope*(u-v), 0 }
}

// crumpled lights film that lies in folds.
func crumpled(seed cloud, depth, shine float64) light {
	return func(u, v float64) (float64, float64) {
		bulge := 1 - .35*u*u
		fold := seed.rough(2.6*u+1.2*v, 2.2*v-u)
		return bulge * (1 + depth*(fold-.5)), shine * smooth(.62, .8, seed.at(3.3*u-1.4*v+7, 1.7*v+9))
	}
}
