package main

import "math"

// drawBox: a folding carton seen from the front and one side.
func drawBox(c *canvas, d dice, p pose) {
	wide := d.in(.45, .85)
	deep, rise := d.in(.08, .4), d.in(.03, .16)
	left := pick(d, -1.0, 1.0)
	b := newBrand(d)
	x := wide - deep*.5
	front := flat(d.in(.85, 1.05), d.in(-.06, .06))
	b.print(c, p, -x, -.92, x, 1, front)
	edge := left * x
	far := left * (x + deep)
	c.fill(p, polygon(point{edge, -.92}, point{far, -.92 - rise}, point{far, 1 - rise*1.2}, point{edge, 1}), lit(solid(mix(b.base, b.second, .3)), flat(d.in(.5, .75), 0)))
	c.fill(p, polygon(point{-x, -.92}, point{x, -.92}, point{x + max(0, left)*deep, -.92 - rise}, point{-x + min(0, left)*deep + deep*.3*max(0, left), -.92 - rise}),
		lit(solid(b.base), flat(d.in(1.05, 1.25), 0)))
	if d.chance(.5) { // facts printed on the side
		for i := range d.between(2, 6) {
			y := -.5 + .2*float64(i)
			c.fill(p, polygon(point{edge + .2*(far-edge), y}, point{edge + .8*(far-edge), y - rise*.6}, point{edge + .8*(far-edge), y - rise*.6 + .05}, point{edge + .2*(far-edge), y + .05}), glaze(b.ink, .5))
		}
	}
}

// drawCarton: a drink carton, its roof folded to a ridge.
func drawCarton(c *canvas, d dice, p pose) {
	wide := d.in(.34, .5)
	deep, rise := d.in(.12, .34), d.in(.03, .1)
	eave, ridge := d.in(-.62, -.42), d.in(-.9, -.8)
	left := pick(d, -1.0, 1.0)
	b := newBrand(d)
	if d.chance(.4) {
		b.base = mix(b.base, grey(.95), .7)
		b.ink = grey(.15)
	}
	x := wide - deep*.5
	near, far := left*x, left*(x+deep)
	b.print(c, p, -x, eave, x, 1, flat(d.in(.9, 1.05), d.in(-.05, .05)))
	c.fill(p, polygon(point{near, eave}, point{far, eave - rise}, point{far, 1 - rise}, point{near, 1}), lit(solid(mix(b.base, b.second, .15)), flat(d.in(.55, .78), 0)))
	mid := left * deep * .4
	roof := polygon(point{-x, eave}, point{x, eave}, point{x*.92 + mid, ridge}, point{-x*.92 + mid, ridge})
	c.fill(p, roof, lit(solid(mix(b.base, b.second, d.in(0, .5))), flat(d.in(1, 1.2), .05)))
	gable := polygon(point{near, eave}, point{far, eave - rise}, point{near*.92 + mid, ridge})
	c.fill(p, gable, lit(solid(b.base), flat(d.in(.4, .6), 0)))
	c.fill(p, rectangle(-x*.92+mid, -1, x*.92+mid, ridge), lit(solid(b.base), flat(d.in(.8, .95), 0)))
	if d.chance(.45) { // a screw cap on the roof
		r := d.in(.1, .15)
		y := (eave + ridge) / 2
		lid := hsv(d.Float64(), d.in(.2, .9), d.in(.4, .95))
		c.fill(p, ellipse(mid*.5, y, r, r*.75), solid(lid.times(.7)))
		c.fill(p, ellipse(mid*.5, y-r*.35, r, r*.7), solid(lid))
	}
}

// drawPouch: a bag of film, welded with a zigzag at both ends, full of air.
func drawPouch(c *canvas, d dice, p pose) {
	wide := d.in(.5, .72)
	weld := d.in(.08, .15)
	pinch := d.in(.03, .12)
	teeth := float64(d.between(7, 14))
	sag := d.around(0, .04)
	side := func(v float64) float64 {
		return wide * (1 - pinch*math.Pow(math.Abs(v), 3) + sag*v + .05*(1-v*v))
	}
	shape := turned(-1+.04, 1-.04, side)
	for _, end := range []float64{-1, 1} {
		w := side(end)
		var comb []point
		for i := 0.0; i <= 2*teeth; i++ {
			y := end
			if int(i)%2 == 1 {
				y = end * .955
			}
			comb = append(comb, point{-w + w*i/teeth, y})
		}
		comb = append(comb, point{w, end * .94}, point{-w, end * .94})
		c.fill(p, path{comb}, solid(grey(.55)))
	}
	b := newBrand(d)
	folds := cloud(d.Uint64())
	l := crumpled(folds, d.in(.4, .9), d.in(.15, .6))
	c.fill(p, shape, lit(solid(b.base), l))
	inner := wide * (1 - pinch) * .92
	b.print(c, p, -inner, -1+weld*1.4, inner, 1-weld*1.4, l)
	for _, end := range []float64{-1, 1} { // the ribs of the weld
		c.fill(p, rectangle(-side(end), min(end, end*(1-weld)), side(end), max(end, end*(1-weld))).inset(.02), lit(func(u, v float64) (rgb, float64) {
			return mix(b.base, grey(.8), .35).times(1 + .25*math.Sin(70*v)), .9
		}, l))
	}
}

// inset moves the outline of a rectangle inwards.
func (p path) inset(k float64) path {
	q := p[0]
	return rectangle(q[0].x+k, q[0].y+k, q[2].x-k, q[2].y-k)
}
