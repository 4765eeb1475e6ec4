package main

import (
	"fmt"
	"math"
)

// fieldSide is the side of a picture of a smear with its masks, in pixels.
const fieldSide = 160

// cells are the classes of the objects, stained those of the pixels: the first
// is what belongs to no cell, plasma and platelets.
var (
	cells   = []string{"red cell", "white cell"}
	stained = []string{"background", "red cell", "cytoplasm", "nucleus"}
)

const (
	redCell   = 0 // index into cells
	whiteCell = 1
)

// sizes are the radii of white cells in those of red ones.
var sizes = map[string][2]float64{
	"lymphocyte": {1.1, 1.5}, "monocyte": {1.75, 2.3}, "neutrophil": {1.5, 1.95}, "eosinophil": {1.5, 1.95}, "basophil": {1.35, 1.8},
}

// spot is where a cell lies and its radius.
type spot struct {
	point
	r float64
}

// field is a smear while it is drawn.
type field struct {
	stain
	c      *canvas
	d      dice
	red    float64 // radius of a usual red cell
	actors []actor
}

// drawField is a field of a stained blood smear: red cells, thinly spread or
// crowded, up to four white cells, platelets and dirt.
func drawField(d dice) (*scene, error) {
	st := newStain(d)
	c := newCanvas(fieldSide, func(x, y float64) rgb {
		return st.plasma.plus(grey(.05 * (st.waving.rough(3*x, 3*y) - .5)))
	})
	c.cast = newCast(c)
	n := float64(c.n)
	f := &field{stain: st, c: c, d: d, red: n * d.in(.05, .085)}
	f.debris()
	whites := f.whitePlaces(pick(d, 0, 1, 1, 1, 2, 2, 3, 4))
	for _, at := range f.redPlaces(whites) {
		f.enterRed(at)
	}
	for _, at := range whites {
		f.enterWhite(at.kind, at.spot)
	}
	if len(whites) > 0 && d.chance(.3) { // a red cell on a white one
		w, a := whites[0], d.in(0, 2*math.Pi)
		f.enterRed(spot{point{w.x + w.r*1.25*math.Cos(a), w.y + w.r*1.25*math.Sin(a)}, f.red * d.around(1, .07)})
	}
	if d.chance(.2) {
		c.veiled(func() { st.precipitate(c, d) })
	}
	bright, cx, cy, fall := d.in(.82, 1.08), d.in(.3, .7), d.in(.3, .7), d.in(0, .4)
	c.shade(func(x, y float64) rgb {
		return grey(bright * (1 - fall*((x-cx)*(x-cx)+(y-cy)*(y-cy))))
	})
	cam := camera{
		gain: rgb{d.around(1, .05), d.around(1, .035), d.around(1, .05)}, gamma: d.in(.88, 1.15), contrast: d.in(.8, 1.12),
		focus: max(0, d.around(.45, .45)), noise: d.in(.5, 4.5),
	}
	things, err := c.cast.things(f.actors)
	if err != nil {
		return nil, fmt.Errorf("read the masks off a picture: %w", err)
	}
	return &scene{image: cam.shoot(c, d), things: things, labels: f.labels()}, nil
}

// labels gives every pixel its class.
func (f *field) labels() []uint8 {
	class := map[int]int{}
	for _, a := range f.actors {
		if a.class == redCell {
			class[a.first] = 1
			continue
		}
		class[a.first], class[a.first+1] = 2, 3
	}
	seen := f.c.cast.seen(func(part int) int { return class[part] })
	out := make([]uint8, len(seen))
	for i, k := range seen {
		out[i] = uint8(k)
	}
	return out
}

// white is a white cell that will be drawn.
type white struct {
	spot
	kind string
}

// whitePlaces finds room for n white cells; they may touch.
func (f *field) whitePlaces(n int) []white {
	d, w := f.d, float64(f.c.n)
	var out []white
	for try := 0; len(out) < n && try < 60; try++ {
		kind := pick(d, leukocytes...)
		at := spot{point{w * d.in(0, 1), w * d.in(0, 1)}, f.red * d.in(sizes[kind][0], sizes[kind][1])}
		free := true
		for _, o := range out {
			free = free && math.Hypot(o.x-at.x, o.y-at.y) > .95*(o.r+at.r)
		}
		if free {
			out = append(out, white{at, kind})
		}
	}
	return out
}

// redPlaces spreads red cells: some fields are thin, in others the cells lie
// on each other, and in some they stick together in rolls.
func (f *field) redPlaces(whites []white) []spot {
	d, n := f.d, float64(f.c.n)
	apart := d.in(1.35, 2.1)
	rolls := 0.0
	if d.chance(.2) {
		rolls = d.in(.1, .35)
	}
	var out []spot
	add := func(p point, apart float64) bool {
		r := f.red * d.around(1, .07)
		for _, w := range whites {
			if math.Hypot(p.x-w.x, p.y-w.y) < w.r+r*.75 {
				return false
			}
		}
		for _, o := range out {
			if math.Hypot(p.x-o.x, p.y-o.y) < r*apart {
				return false
			}
		}
		out = append(out, spot{p, r})
		return true
	}
	for range int(d.in(8, 150) * (.06 * n / f.red) * (.06 * n / f.red)) {
		p := point{d.in(-.08, 1.08) * n, d.in(-.08, 1.08) * n}
		if !add(p, apart) || !d.chance(rolls) {
			continue
		}
		a, step := d.in(0, 2*math.Pi), d.in(.55, .9)
		for range d.between(2, 5) {
			a += d.around(0, .2)
			p = point{p.x + f.red*step*math.Cos(a), p.y + f.red*step*math.Sin(a)}
			if !add(p, step*.8) {
				break
			}
		}
	}
	return out
}

// enterRed draws a red cell. Most are discs; a few are oval, crenated, bluish
// or have a dark spot in the middle.
func (f *field) enterRed(at spot) {
	seed, odd, alpha := f.d.Uint64(), f.d.IntN(18), f.d.in(.75, 1)
	draw := func(c *canvas, middle point) {
		if odd < 4 {
			f.oddRedCell(c, seeded(seed), odd, middle, at.r, alpha)
			return
		}
		f.redCell(c, seeded(seed), middle, at.r, alpha)
	}
	a := actor{parts: 1, class: redCell}
	a.whole = alone(fieldSide, func(c *canvas, m point) {
		c.begin(1)
		draw(c, m)
	})
	a.first = f.c.begin(1)
	draw(f.c, at.point)
	f.actors = append(f.actors, a)
}

func (st stain) oddRedCell(c *canvas, d dice, odd int, at point, size, alpha float64) {
	form, tone := blob(d, .05), st.red
	slim, hollow, rim := d.in(.82, 1), d.in(.2, .75), d.in(.3, .55)
	switch odd {
	case 0:
		slim = d.in(.5, .75)
	case 1: // crenated, darker, without a pale middle
		spikes, deep, turn, round := float64(d.between(9, 15)), d.in(.025, .06), d.in(0, 2*math.Pi), form
		form = func(t float64) float64 { return .9*round(t) + deep*math.Cos(spikes*t+turn) }
		hollow = 0
	case 2: // young: bluish, larger
		tone, hollow, size = mix(tone, st.blue, d.in(.2, .45)), hollow*.3, size*1.15
	}
	p := placed(at.x, at.y, size, size*slim, d.in(0, math.Pi))
	c.fill(p, rounds(0, 0, form), st.disc(tone, hollow, rim, alpha))
	if odd == 3 { // target cell
		c.fill(p, ellipse(0, 0, .3, .3), glaze(tone.times(.95), .7))
	}
}

// enterWhite draws a white cell: its body is the first part, its nucleus the
// second.
func (f *field) enterWhite(kind string, at spot) {
	seed := f.d.Uint64()
	a := actor{parts: 2, class: whiteCell}
	a.whole = alone(fieldSide, func(c *canvas, m point) {
		c.begin(2)
		f.whiteCell(c, seeded(seed), kind, m, at.r)
	})
	a.first = f.c.begin(2)
	f.whiteCell(f.c, seeded(seed), kind, at.point, at.r)
	f.actors = append(f.actors, a)
}

// debris is what lies under the cells and belongs to none: platelets, alone or
// in clumps.
func (f *field) debris() {
	d, n := f.d, float64(f.c.n)
	for range d.between(0, 6) {
		p := point{d.in(0, 1) * n, d.in(0, 1) * n}
		clump := pick(d, 1, 1, 1, 1, d.between(3, 8))
		for range clump {
			s := f.red * d.in(.2, .42)
			at := point{p.x + d.around(0, f.red*.12*float64(clump-1)), p.y + d.around(0, f.red*.12*float64(clump-1))}
			f.platelet(f.c, d, at, s)
		}
	}
}
