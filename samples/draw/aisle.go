package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// aisleSide is the side of a picture of shelves, in pixels.
const aisleSide = 192

// stocked are the classes of the detection set. What is not asked for stands
// between them.
var (
	stocked = []string{"bottle", "box", "can", "jar"}
	others  = []string{"pouch", "pouch", "carton", "apple", "orange", "lemon", "tomato"}
)

// heights of the products as shares of the tallest.
var heights = map[string][2]float64{
	"bottle": {.78, 1}, "box": {.5, .95}, "can": {.42, .68}, "jar": {.42, .72}, "carton": {.68, .9},
	"pouch": {.55, .85}, "apple": {.26, .34}, "orange": {.26, .36}, "lemon": {.22, .3}, "tomato": {.22, .32},
}

// breadths are about half the width of a product as a share of half its height.
var breadths = map[string]float64{
	"bottle": .33, "box": .72, "can": .54, "jar": .6, "carton": .5, "pouch": .66, "apple": 1, "orange": 1, "lemon": 1, "tomato": 1,
}

// product is something that stands on a board.
type product struct {
	kind  string
	seed  uint64  // two products of one seed look the same
	x, h  float64 // middle and half height
	depth float64 // 0: at the edge of the board, 1: at the wall
	angle float64
}

// bay is the room above a board.
type bay struct {
	top, board, lip float64 // of the room, of the board, of the board's front
	depth           float64 // of the board as it is seen
	goods           []product
}

// drawAisle is a photograph of shelves: one to three boards with bottles,
// boxes, cans and jars, and other goods among them. Two to eight of the four
// are seen well enough to be annotated.
func drawAisle(d dice) (*scene, error) {
	for {
		s, err := tryAisle(d)
		if err != nil || len(s.things) >= 2 && len(s.things) <= 8 {
			return s, err
		}
	}
}

func tryAisle(d dice) (*scene, error) {
	const n = aisleSide * over
	view, wall := tilted(n, d.around(0, .025)), backdrop(d)
	c := newCanvas(aisleSide, func(x, y float64) rgb {
		u, v := view.from(n*x, n*y)
		return wall(u/n, v/n)
	})
	c.view, c.cast = view, newCast(c)
	wood := boardWood(d, n)
	bays := stock(d, n)
	gloom := d.in(.55, .95) // at the back
	var actors []actor
	for _, b := range slices.Backward(bays) { // what stands below may be hidden by the board above
		slab(c, wood, b, d.in(.5, .85))
		slices.SortStableFunc(b.goods, func(p, q product) int { return cmp.Compare(q.depth, p.depth) })
		dark := false
		for _, p := range b.goods {
			if !dark && p.depth < .5 {
				dark = true
				dim(c, b, gloom)
			}
			actors = p.enter(c, b, actors)
		}
		c.scene()
		front(c, d, wood, b)
	}
	if d.chance(.2) {
		post(c, d)
	}
	if d.chance(.2) {
		hanger(c, d, bays[d.between(1, len(bays)-1)])
	}
	lamp(c, d)
	things, err := c.cast.things(actors)
	if err != nil {
		return nil, fmt.Errorf("read the masks off a picture: %w", err)
	}
	cam := camera{
		gain:  rgb{d.around(1, .06), d.around(1, .03), d.around(1, .06)}.times(d.in(.7, 1.3)),
		gamma: d.in(.85, 1.15), contrast: d.in(.82, 1.1), focus: max(0, d.around(.25, .4)), noise: d.in(.5, 5),
	}
	return &scene{image: cam.shoot(c, d), things: things}, nil
}

// stock builds the shelves and puts goods on them.
func stock(d dice, n float64) []bay {
	count := pick(d, 1, 1, 2, 2, 2, 3)
	pitch := n * map[int]float64{1: d.in(.78, 1.1), 2: d.in(.46, .58), 3: d.in(.31, .38)}[count]
	low := n * d.in(.84, .99) // the lowest board
	lip, depth := pitch*d.in(.07, .14), pitch*d.in(.05, .16)
	tall := (pitch - lip) * .5 * d.in(.8, 1)
	if count == 1 {
		tall = n * d.in(.22, .38)
	}
	bays := make([]bay, count+1) // the first is that above the uppermost room, and empty
	for i := range bays {
		board := low - pitch*float64(count-i)
		bays[i] = bay{top: board - pitch + lip, board: board, lip: lip, depth: depth}
		if i > 0 {
			bays[i].fill(d, n, tall)
		}
	}
	choose(d, bays)
	return bays
}

// fill puts a row at the edge of the board and some goods behind it. Kinds are
// given later.
func (b *bay) fill(d dice, n, tall float64) {
	crowd := d.in(.62, 1.2) // distances in widths
	x := n * d.in(-.1, .15)
	for x < n*1.05 {
		kind := pick(d, slices.Concat(stocked, stocked, stocked, others)...)
		p := product{kind: kind, seed: d.Uint64(), depth: d.in(0, .4), angle: d.around(0, .03)}
		facings := 1
		if d.chance(.3) {
			facings = d.between(2, 3)
		}
		p.h = tall * d.in(heights[kind][0], heights[kind][1])
		if d.chance(.04) {
			p.angle += pick(d, -1.0, 1) * d.in(.5, 1.5) // tipped over
		}
		for range facings {
			w := p.h * breadths[kind]
			p.x = x + w
			x += 2 * w * crowd * d.in(.8, 1.15)
			b.goods = append(b.goods, p)
			p.angle = d.around(0, .03)
		}
		if d.chance(.2) {
			x += tall * d.in(.1, .8)
		}
	}
	for range d.between(1, 5) {
		kind := pick(d, slices.Concat(stocked, others)...)
		p := product{kind: kind, seed: d.Uint64(), x: n * d.in(0, 1), depth: d.in(.6, 1), angle: d.around(0, .02)}
		p.h = tall * .85 * d.in(heights[kind][0], heights[kind][1])
		b.goods = append(b.goods, p)
	}
}

// choose leaves so many goods of the classes as a picture may have, and takes
// the rest away.
func choose(d dice, bays []bay) {
	keep := d.between(3, 11)
	type place struct{ bay, i int }
	var all []place
	for k, b := range bays {
		for i, p := range b.goods {
			if slices.Contains(stocked, p.kind) {
				all = append(all, place{k, i})
			}
		}
	}
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	sold := map[place]bool{}
	for _, p := range all[min(keep, len(all)):] {
		sold[p] = true
	}
	for k := range bays {
		left := bays[k].goods[:0]
		for i, p := range bays[k].goods {
			if !sold[place{k, i}] {
				left = append(left, p)
			}
		}
		bays[k].goods = left
	}
}

// enter puts the product onto the board, and onto the list if it is of a class.
func (p product) enter(c *canvas, b bay, actors []actor) []actor {
	foot := b.board - b.depth*.9*p.depth
	class := slices.Index(stocked, p.kind)
	if class < 0 {
		c.scene()
		stand(c, seeded(p.seed), p.kind, p.x, foot, p.h, p.angle)
		return actors
	}
	a := actor{parts: 1, class: class}
	a.whole = alone(aisleSide, func(c *canvas, m point) {
		c.begin(1)
		stand(c, seeded(p.seed), p.kind, m.x, m.y+p.h, p.h, p.angle)
	})
	a.first = c.begin(1)
	stand(c, seeded(p.seed), p.kind, p.x, foot, p.h, p.angle)
	return append(actors, a)
}

// slab is the upper side of a board.
func slab(c *canvas, wood shader, b bay, gain float64) {
	n := float64(c.n)
	c.scene()
	c.fill(pose{a: 1, d: 1}, rectangle(-n, b.board-b.depth, 2*n, b.board+b.lip), lit(wood, flat(gain, 0)))
}

// front is the edge of a board, with price tags, and what is below the lowest.
func front(c *canvas, d dice, wood shader, b bay) {
	n := float64(c.n)
	at := pose{a: 1, d: 1}
	y := b.board + b.lip*.15
	c.fill(at, rectangle(-n, y, 2*n, y+b.lip), lit(wood, flat(d.in(.8, 1.1), 0)))
	c.veiled(func() { // the shadow that the board throws
		c.fill(at, rectangle(-n, y+b.lip, 2*n, y+b.lip*2.5), func(_, v float64) (rgb, float64) {
			return grey(.02), .45 * (1 - smooth(y+b.lip, y+b.lip*2.5, v))
		})
	})
	for range d.between(0, 4) {
		priceTag(c, d, b.lip*d.in(6, 8), n*d.in(0, .95), y+b.lip*d.in(-.05, .3))
	}
}

// dim takes light from the back of a bay.
func dim(c *canvas, b bay, gloom float64) {
	n := float64(c.n)
	c.shade(func(x, y float64) rgb {
		_, y = c.view.from(n*x, n*y)
		if y < b.top || y > b.board+b.lip {
			return grey(1)
		}
		return grey(gloom + (1-gloom)*.6*smooth(b.top, b.board, y))
	})
}

// post is an upright of the shelf that hides what is behind it.
func post(c *canvas, d dice) {
	n := float64(c.n)
	x, w, lean := n*d.in(.05, .95), n*d.in(.012, .03), n*d.around(0, .01)
	steel := grey(d.in(.3, .9))
	c.fill(pose{a: 1, d: 1}, polygon(point{x - w, -n}, point{x + w, -n}, point{x + w + lean, 2 * n}, point{x - w + lean, 2 * n}),
		func(u, v float64) (rgb, float64) {
			t := (u - x - lean*(v+n)/(3*n)) / w
			return steel.times(1 - .4*t*t - .1*math.Mod(math.Floor(v/n*24), 2)), 1
		})
}

// hanger is a card that hangs from the board above and hides what is behind.
func hanger(c *canvas, d dice, b bay) {
	n := float64(c.n)
	room := b.board - b.top
	h := room * d.in(.14, .26)
	card := newBrand(d)
	card.word, card.lines = pick(d, "NEW", "-20", "SALE", "BIO", "2x1"), 0
	p := placed(n*d.in(.1, .9), b.top+h*.9, h, h, d.around(0, .05))
	card.print(c, p, -.9, -1, .9, 1, flat(1, .05))
}
