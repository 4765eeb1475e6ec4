package main

import "math"

// Containers stand on v = 1 and reach up to v = −1; u is in the same units.

// drawBottle: shoulders that narrow into a neck, a cap, and what is left of
// the drink seen through the wall.
func drawBottle(c *canvas, d dice, p pose) {
	wide := d.in(.26, .36)
	neck, collar, shoulder := d.in(.085, .14), d.in(-.75, -.6), d.in(-.45, -.1)
	waist := pick(d, 0, 0, d.in(.02, .05))
	half := func(v float64) float64 {
		body := neck + (wide-neck)*smooth(collar, shoulder, v)
		body -= waist * math.Exp(-((v-.35)/.16)*((v-.35)/.16))
		return body * (1 - .12*smooth(.94, 1, v))
	}
	hue := pick(d, d.in(.25, .4), d.in(.07, .1), d.in(.5, .62), d.Float64())
	wall := hsv(hue, d.in(.05, .8), d.in(.4, .9))
	drink := pick(d, wall.times(.6), hsv(d.Float64(), d.in(.3, .9), d.in(.25, .9)))
	level := d.in(-.7, .1)
	clear := d.in(.55, 1)
	l := column(wide, d.in(-.7, .7), d.in(.25, .7))
	glass := func(u, v float64) (rgb, float64) {
		if v > level {
			return mix(wall, drink, .75), max(clear, .85)
		}
		return wall, clear * .75
	}
	c.fill(p, turned(-.86, 1, half), lit(glass, l))
	cap := neck * d.in(1.05, 1.35)
	c.fill(p, rectangle(-cap, -1, cap, -1+d.in(.11, .17)), lit(solid(hsv(d.Float64(), d.in(.1, .9), d.in(.3, .95))), column(cap, 0, .2)))
	if d.chance(.88) {
		top := shoulder + d.in(.02, .15)
		w := wide - waist
		newBrand(d).print(c, p, -w, top, w, min(.9, top+d.in(.4, .75)), l)
	}
}

// drawJar: a wide mouth under a screw lid, the filling in sight.
func drawJar(c *canvas, d dice, p pose) {
	wide := d.in(.48, .66)
	lid := wide * d.in(.78, .98)
	seam := d.in(-.76, -.62)
	half := func(v float64) float64 {
		return (lid*.93 + (wide-lid*.93)*smooth(seam, seam+.22, v)) * (1 - .16*smooth(.84, 1, v))
	}
	l := column(wide, d.in(-.7, .7), d.in(.25, .65))
	fruit, syrup := hsv(d.Float64(), d.in(.4, .95), d.in(.25, .9)), hsv(d.in(.02, .2), d.in(.3, .9), d.in(.4, .9))
	lump, size, level := cloud(d.Uint64()), d.in(2.5, 7), d.in(-.62, -.35)
	content := func(u, v float64) (rgb, float64) {
		if v < level {
			return grey(.85), .45
		}
		return mix(syrup, fruit, smooth(.35, .6, lump.at(size*u, size*v))), .97
	}
	c.fill(p, turned(seam, 1, half), lit(content, l))
	tin := pick(d, hsv(.12, d.in(.3, .6), d.in(.6, .85)), grey(d.in(.5, .9)), hsv(d.Float64(), d.in(.3, .9), d.in(.3, .9)))
	ribs := d.in(18, 34)
	c.fill(p, rectangle(-lid, -1, lid, seam+.04), lit(func(u, v float64) (rgb, float64) {
		return tin.times(1 + .12*math.Sin(ribs*math.Asin(max(-1, min(1, u/lid))))), 1
	}, column(lid, d.in(-.5, .5), .25)))
	c.fill(p, ellipse(0, -1, lid, lid*d.in(.05, .14)), lit(solid(tin.times(1.1)), flat(1, .1)))
	if d.chance(.8) {
		w := wide * d.in(.6, 1)
		top := d.in(-.3, -.05)
		newBrand(d).print(c, p, -w, top, w, top+d.in(.55, .8), l)
	}
}

// drawCan: printed all round between two metal rims, the lid seen from above.
func drawCan(c *canvas, d dice, p pose) {
	wide := d.in(.42, .62)
	rim := d.in(.06, .12)
	taper := wide * d.in(.86, .97)
	half := func(v float64) float64 {
		return taper + (wide-taper)*smooth(-1, -1+2*rim, v)*(1-smooth(1-1.4*rim, 1, v))
	}
	lamp := d.in(-.7, .7)
	l := column(wide, lamp, d.in(.2, .6))
	metal := mix(grey(d.in(.6, .85)), hsv(.12, .4, .8), pick(d, 0, 0, 0, .8))
	c.fill(p, turned(-1, 1, half), lit(solid(metal), l))
	b := newBrand(d)
	if d.chance(.12) { // bare tin
		for i := range 6 {
			v := -.5 + .2*float64(i)
			c.fill(p, rectangle(-wide, v, wide, v+.05), lit(glaze(metal.times(.7), .6), l))
		}
	} else {
		b.print(c, p, -wide, -1+2*rim, wide, 1-1.4*rim, l)
	}
	tilt := d.in(.05, .2)
	c.fill(p, ellipse(0, -1, taper, taper*tilt), lit(solid(metal.times(1.1)), flat(1, .25)))
	c.fill(p, ellipse(0, -.99, taper*.86, taper*tilt*.8), lit(solid(metal.times(.75)), flat(1, -.2)))
	if d.chance(.6) {
		c.fill(p, ellipse(taper*.1, -.99, taper*.3, taper*tilt*.3), solid(metal.times(.5)))
	}
}
