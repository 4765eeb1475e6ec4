package main

import (
	"image"
	"math"
)

// goods are the products: how each is drawn, and whether it is round, so that
// it may lie in any way.
var goods = map[string]struct {
	draw  func(*canvas, dice, pose)
	round bool
}{
	"lemon": {drawLemon, true}, "tomato": {drawTomato, true},
	"apple": {drawApple, true}, "bottle": {drawBottle, false}, "box": {drawBox, false}, "can": {drawCan, false},
	"carton": {drawCarton, false}, "jar": {drawJar, false}, "orange": {drawOrange, true}, "pouch": {drawPouch, false},
}

// targets are the classes; bystanders may be anything a shop sells.
var (
	targets    = []string{"apple", "bottle", "box", "can", "lemon", "orange", "pouch", "tomato"}
	bystanders = append([]string{"carton", "jar", "carton", "jar"}, targets...)
)

// drawShelf is a photograph taken in a shop: the class is the product in the
// middle; others stand behind it, beside it and sometimes before it.
func drawShelf(d dice, class string) image.Image {
	c := newCanvas(side, backdrop(d))
	n := float64(c.n)
	board := n * d.in(.74, .92) // where things stand
	for range d.between(0, 3) { // the row behind
		x := d.in(-.1, 1.1) * n
		h := n * d.in(.16, .3)
		stand(c, d, pick(d, bystanders...), x, board-n*d.in(.02, .06), h, d.around(0, .03))
	}
	gloom := d.in(.5, .9)
	c.shade(func(_, _ float64) rgb { return grey(gloom) })
	drawBoard(c, d, board)
	for _, s := range []float64{-1, 1} { // neighbours in the same row
		if d.chance(.4) {
			stand(c, d, pick(d, bystanders...), n*(.5+s*d.in(.44, .6)), board+n*d.in(-.02, .04), n*d.in(.2, .36), d.around(0, .04))
		}
	}
	h := n * d.in(.33, .44)
	angle := d.around(0, .09)
	if d.chance(.07) {
		angle += pick(d, -1.0, 1) * d.in(.3, 1.3) // tipped over
	}
	stand(c, d, class, n*(.5+d.around(0, .06)), min(board+n*d.in(-.02, .08), n*.98), h, angle)
	if d.chance(.18) { // something cut off in front
		s := pick(d, -1.0, 1)
		stand(c, d, pick(d, bystanders...), n*(.5+s*d.in(.46, .56)), n*d.in(1.02, 1.2), n*d.in(.2, .34), d.around(0, .1))
	}
	if d.chance(.4) {
		priceTag(c, d, n, n*d.in(.05, .75), min(board+n*d.in(.02, .1), n*.9))
	}
	lamp(c, d)
	cam := camera{
		gain:  rgb{d.around(1, .06), d.around(1, .03), d.around(1, .06)}.times(d.in(.9, 1.25)),
		gamma: d.in(.85, 1.15), contrast: d.in(.82, 1.1), focus: max(0, d.around(.2, .35)), noise: d.in(.5, 5),
	}
	if d.chance(.08) {
		cam.motion = d.in(1, 2.5)
	}
	return cam.shoot(c, d)
}

// stand puts a product of half height h onto the line at foot, with its shadow.
func stand(c *canvas, d dice, class string, x, foot, h, angle float64) {
	g := goods[class]
	sx := h * d.in(.9, 1.1)
	if g.round {
		h *= d.in(.75, .95)
		sx = h * d.in(.96, 1.04)
		angle *= 3
	}
	dark := d.in(.25, .6)
	c.veiled(func() {
		c.fill(placed(x, foot, sx*.95, h*.17, 0), ellipse(0, 0, 1, 1), func(u, v float64) (rgb, float64) {
			return grey(.03), dark * (1 - smooth(.2, 1, math.Hypot(u, v)))
		})
	})
	reach := math.Abs(math.Cos(angle)) + .5*math.Abs(math.Sin(angle)) // half height of the tipped body
	if g.round {
		reach = 1
	}
	mirror := pick(d, -1.0, 1)
	p := placed(x, foot-h*reach, sx, h, angle)
	if g.round {
		p.a, p.c = p.a*mirror, p.c*mirror
	}
	g.draw(c, d, p)
}

// backdrop is what is behind the goods: a wall, boards, tiles, a grid or a
// blur of far shelves.
func backdrop(d dice) func(x, y float64) rgb {
	one := hsv(d.Float64(), d.in(0, .55), d.in(.25, .95))
	two := mix(one, hsv(d.Float64(), d.in(.1, .7), d.in(.2, .9)), d.in(.2, .8))
	field := cloud(d.Uint64())
	f, k := d.in(3, 9), d.in(.05, .35)
	switch d.IntN(6) {
	case 0: // a painted wall
		return func(x, y float64) rgb { return mix(one, two, k*field.rough(3*x, 3*y)+.4*y) }
	case 1: // planks
		return func(x, y float64) rgb {
			gap := smooth(.02, .05, math.Abs(math.Remainder(y*f, 1)))
			return mix(one, two, field.rough(3*x+9*math.Floor(y*f), 40*y)).times(.6 + .4*gap)
		}
	case 2: // tiles
		return func(x, y float64) rgb {
			g := min(math.Abs(math.Remainder(x*f, 1)), math.Abs(math.Remainder(y*f, 1)))
			return mix(two, one, smooth(.01, .05, g))
		}
	case 3: // a wire grid
		return func(x, y float64) rgb {
			g := min(math.Abs(math.Remainder(x*f*1.5, 1)), math.Abs(math.Remainder(y*f*1.5, 1)))
			return mix(grey(.8), one.times(.5), smooth(.04, .09, g))
		}
	case 4: // shelves out of focus
		return func(x, y float64) rgb {
			c := hsv((field+3).lattice(int64(x*f), int64(y*4)), .6, .7)
			return mix(one, c, .7*field.at(x*f*2, y*8))
		}
	}
	return func(x, y float64) rgb { // light from one side
		return mix(one, two, smooth(0, 1, x)).times(.7 + .5*field.rough(2*x, 2*y))
	}
}

// drawBoard is the shelf itself: its top and its front edge.
func drawBoard(c *canvas, d dice, y float64) {
	n := float64(c.n)
	wood := boardWood(d, n)
	depth, tilt := n*d.in(.03, .1), n*d.around(0, .02)
	at := pose{a: 1, d: 1}
	c.fill(at, polygon(point{0, y - depth - tilt}, point{n, y - depth + tilt}, point{n, n}, point{0, n}), wood)
	edge := min(n*.97, y+n*d.in(.05, .16))
	c.fill(at, polygon(point{0, edge - tilt}, point{n, edge + tilt}, point{n, n}, point{0, n}), lit(wood, flat(d.in(.5, .85), 0)))
}

// boardWood is what boards are made of, on a canvas of n pixels: painted,
// wood, or plastic.
func boardWood(d dice, n float64) shader {
	colour := pick(d, grey(d.in(.3, .95)), hsv(d.in(.05, .1), d.in(.2, .6), d.in(.3, .8)), hsv(d.Float64(), d.in(0, .5), d.in(.3, .9)))
	vein := cloud(d.Uint64())
	grain := d.in(0, .35)
	return func(u, v float64) (rgb, float64) {
		return colour.times(1 + grain*(vein.rough(u/n*3, v/n*50)-.5)), 1
	}
}

// priceTag is one for a picture of that size.
func priceTag(c *canvas, d dice, size, x, y float64) {
	p := placed(x, y, size*d.in(.1, .17), size*d.in(.05, .08), d.around(0, .05))
	c.fill(p, rectangle(0, 0, 1.5, 1.2), solid(pick(d, grey(.95), hsv(.15, .8, .95), hsv(0, .7, .85))))
	digits, w := lettering(pick(d, "1.99", "0.79", "2.49", "3.29", "12.5"))
	c.fill(p, digits.moved(1.2/w, .15, .6), solid(grey(.1)))
}

// lamp is the light of the shop: a slope over the picture and a soft spot.
func lamp(c *canvas, d dice) {
	a, slope := d.in(0, 2*math.Pi), d.in(0, .5)
	cx, cy, spot := d.in(0, 1), d.in(-.2, .6), d.in(0, .5)
	warm := rgb{1 + d.around(0, .05), 1, 1 + d.around(0, .07)}
	cos, sin := math.Cos(a), math.Sin(a)
	c.shade(func(x, y float64) rgb {
		r2 := (x-cx)*(x-cx) + (y-cy)*(y-cy)
		return warm.times(.9 + slope*(cos*(x-.5)+sin*(y-.5)) + spot*(math.Exp(-3*r2)-.3))
	})
}
