package main

import "math"

// fruits lie in the disc of radius 1, the stem up.

// drawApple: two shoulders and a dip round the stem, streaks that run from it.
func drawApple(c *canvas, d dice, p pose) {
	dip, foot, form := d.in(.10, .22), d.in(.02, .1), blob(d, .018)
	up, down := -math.Pi/2, math.Pi/2
	shape := rounds(0, 0, func(t float64) float64 {
		a, b := math.Remainder(t-up, 2*math.Pi)/.42, math.Remainder(t-down, 2*math.Pi)/.35
		return form(t) * (.97 - dip*math.Exp(-a*a) - foot*math.Exp(-b*b) - .05*smooth(0, 1, math.Sin(t)))
	})
	one := hsv(pick(d, d.in(.95, 1.02), d.in(.95, 1.02), d.in(.19, .28)), d.in(.65, .95), d.in(.55, .88))
	two := hsv(d.in(.13, .24), d.in(.5, .85), d.in(.75, .95))
	blush, side, streak := d.in(.15, .95), d.in(0, 2*math.Pi), cloud(d.Uint64())
	sx, sy := math.Cos(side), math.Sin(side)
	skin := func(u, v float64) (rgb, float64) {
		a := math.Atan2(u, v+1.1) // from the stem down
		s := streak.rough(22*a, 1.2*v)
		k := smooth(.2, .8, blush+.35*(u*sx+v*sy)+.8*(s-.5))
		dot := smooth(.83, .9, (streak+9).at(13*u, 13*v))
		return mix(mix(two, one, k), two, .35*dot), 1
	}
	c.fill(p, shape, lit(skin, ball(1.05, d.in(-.5, .5), d.in(-.6, -.2), d.in(.1, .6))))
	c.fill(p, ellipse(0, -.76+dip*.3, .26, .11), glaze(two.times(.4), .45))
	if d.chance(.75) {
		x, w := d.in(-.18, .18), d.in(.03, .055)
		c.fill(p, polygon(point{-w, -.72}, point{w, -.72}, point{x + w, -1.12}, point{x - w, -1.12}), solid(hsv(.08, .6, d.in(.2, .4))))
	}
	if d.chance(.2) {
		drawLeaf(c, d, p, -.95)
	}
}

// drawOrange: round, pitted all over, a small star where the stem was.
func drawOrange(c *canvas, d dice, p pose) {
	form := blob(d, .014)
	high := d.in(.88, 1)
	shape := rounds(0, 0, func(t float64) float64 { return .97 * form(t) * (1 - (1-high)*math.Abs(math.Sin(t))) })
	peel := hsv(d.in(.05, .105), d.in(.78, .98), d.in(.75, .98))
	green, pits := hsv(d.in(.17, .24), .7, .6), cloud(d.Uint64())
	unripe, deep, fine := max(0, d.around(0, .15)), d.in(.1, .25), d.in(13, 19)
	skin := func(u, v float64) (rgb, float64) {
		pit := smooth(.5, .85, pits.at(fine*u, fine*v))
		patch := unripe * (pits+5).rough(1.5*u, 1.5*v)
		return mix(peel, green, patch).times(1 - deep*pit), 1
	}
	c.fill(p, shape, lit(skin, ball(1.02, d.in(-.5, .5), d.in(-.6, -.2), d.in(.05, .35))))
	if d.chance(.7) {
		x, y := d.in(-.35, .35), d.in(-.75, .1)
		r := d.in(.06, .11)
		star := rounds(x, y, func(t float64) float64 { return r * (1 + .35*math.Cos(5*t)) })
		c.fill(p, star, glaze(hsv(.16, .5, d.in(.3, .55)), .9))
		c.fill(p, ellipse(x, y, r*.4, r*.4), glaze(hsv(.1, .5, .25), .9))
	}
	if d.chance(.15) {
		drawLeaf(c, d, p, -.85)
	}
}

// drawLemon: pitted like an orange, longer, a nipple at one end; from its tip
// it looks round.
func drawLemon(c *canvas, d dice, p pose) {
	tip, slim, form := d.in(.1, .24), d.in(.68, .94), blob(d, .014)
	shape := rounds(0, 0, func(t float64) float64 {
		a, b := math.Remainder(t, 2*math.Pi)/.3, math.Remainder(t-math.Pi, 2*math.Pi)/.36
		sin, cos := math.Sincos(t)
		r := slim / math.Sqrt(sin*sin+slim*slim*cos*cos)
		return .93 * form(t) * (r + tip*slim*(math.Exp(-a*a)+.5*math.Exp(-b*b)))
	})
	peel := hsv(d.in(.13, .17), d.in(.65, .95), d.in(.8, .98))
	green, pits := hsv(d.in(.2, .26), .7, .65), cloud(d.Uint64())
	unripe, deep, fine := max(0, d.around(0, .2)), d.in(.08, .22), d.in(11, 17)
	skin := func(u, v float64) (rgb, float64) {
		pit := smooth(.5, .85, pits.at(fine*u, fine*v))
		return mix(peel, green, unripe*(pits+5).rough(1.5*u, 1.5*v)).times(1 - deep*pit), 1
	}
	c.fill(p, shape, lit(skin, ball(1.05, d.in(-.5, .5), d.in(-.6, -.2), d.in(.1, .45))))
	if d.chance(.4) {
		c.fill(p, ellipse(-.93, 0, .06, .09), glaze(hsv(.16, .6, .35), .9))
	}
}

// drawTomato: smooth and glossy, lobed like a cushion, a green star on top.
func drawTomato(c *canvas, d dice, p pose) {
	high, lobes, deep := d.in(.78, .98), float64(d.between(3, 6)), d.in(0, .035)
	phase := d.in(0, 2*math.Pi)
	shape := rounds(0, 0, func(t float64) float64 {
		return .96 * (1 - (1-high)*math.Abs(math.Sin(t))) * (1 + deep*math.Cos(lobes*t+phase))
	})
	ripe := hsv(d.in(.985, 1.035), d.in(.82, .98), d.in(.65, .92))
	pale, field := hsv(d.in(.05, .1), .85, .85), cloud(d.Uint64())
	unripe := max(0, d.around(.1, .2))
	skin := func(u, v float64) (rgb, float64) {
		return mix(ripe, pale, unripe*smooth(.2, -1, v)*(.5+field.at(2*u, 2*v))), 1
	}
	c.fill(p, shape, lit(skin, ball(1.02, d.in(-.5, .5), d.in(-.6, -.2), d.in(.45, .9))))
	if d.chance(.8) {
		x, y, r := d.in(-.2, .2), -high*d.in(.6, .85), d.in(.26, .42)
		turn := d.in(0, 2*math.Pi)
		star := rounds(0, 0, func(t float64) float64 { return r * (.5 + .5*math.Cos(5*t+turn)*math.Abs(math.Cos(2.5*t+turn/2))) })
		for i, q := range star[0] {
			star[0][i] = point{x + q.x, y + .5*q.y}
		}
		c.fill(p, star, solid(hsv(d.in(.24, .33), d.in(.5, .8), d.in(.3, .5))))
		c.fill(p, polygon(point{x - .03, y}, point{x + .03, y}, point{x + .06, y - .2}, point{x, y - .2}), solid(hsv(.25, .6, .35)))
	}
}

func drawLeaf(c *canvas, d dice, p pose, y float64) {
	k, lean := pick(d, -1.0, 1.0), d.in(-.1, .25)
	leaf := polygon(point{0, y}, point{k * .2, y - .2 - lean}, point{k * .5, y - .25 - lean}, point{k * .75, y - .1 - lean},
		point{k * .5, y + .02 - lean*.5}, point{k * .2, y + .06})
	c.fill(p, leaf, lit(solid(hsv(d.in(.22, .34), d.in(.5, .8), d.in(.3, .6))), flat(1, .2)))
}
