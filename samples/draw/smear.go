package main

import (
	"image"
	"math"
)

// stain is how a slide came out of the dye: every colour of a smear is mixed
// from these.
type stain struct {
	plasma, red            rgb // ground, red blood cells
	chromatin, strand      rgb // dense and loose parts of a nucleus
	pink, blue, grey       rgb // cytoplasms
	orange, violet, fine   rgb // granules
	depth                  float64
	texture, grain, waving cloud
}

func newStain(d dice) stain {
	hue := d.around(0, .016) // the slide drifts towards red or blue
	strength := d.in(.75, 1.15)
	tone := func(h, s, v float64) rgb {
		return hsv(h+hue, min(1, s*strength), v).plus(grey(d.around(0, .012)))
	}
	return stain{
		plasma:    tone(d.in(.85, 1.1), d.in(.03, .10), d.in(.86, .95)),
		red:       tone(d.in(.95, 1.03), d.in(.22, .38), d.in(.78, .88)),
		chromatin: tone(d.in(.73, .79), d.in(.58, .72), d.in(.38, .52)),
		strand:    tone(d.in(.76, .82), d.in(.38, .52), d.in(.58, .70)),
		pink:      tone(d.in(.90, .97), d.in(.14, .24), d.in(.82, .90)),
		blue:      tone(d.in(.61, .66), d.in(.26, .42), d.in(.70, .82)),
		grey:      tone(d.in(.66, .74), d.in(.14, .24), d.in(.68, .78)),
		orange:    tone(d.in(.00, .06), d.in(.45, .62), d.in(.78, .90)),
		violet:    tone(d.in(.69, .75), d.in(.62, .80), d.in(.26, .38)),
		fine:      tone(d.in(.84, .92), d.in(.25, .38), d.in(.70, .80)),
		depth:     d.in(.8, 1.1),
		texture:   cloud(d.Uint64()), grain: cloud(d.Uint64()), waving: cloud(d.Uint64()),
	}
}

// drawSmear is a field of a stained blood smear with one white cell near the
// middle: the class is the cell.
func drawSmear(d dice, class string) image.Image {
	st := newStain(d)
	c := newCanvas(side, func(x, y float64) rgb {
		return st.plasma.plus(grey(.05 * (st.waving.rough(3*x, 3*y) - .5)))
	})
	n := float64(c.n)
	home := point{n * (.5 + d.around(0, .06)), n * (.5 + d.around(0, .06))}
	radius := n * map[string]float64{
		"lymphocyte": d.in(.17, .25), "monocyte": d.in(.24, .32), "neutrophil": d.in(.21, .28),
		"eosinophil": d.in(.21, .28), "basophil": d.in(.19, .26),
	}[class]
	st.redCells(c, d, home, radius)
	st.platelets(c, d, home, radius)
	if d.chance(.22) { // another white cell at the rim
		a := d.in(0, 2*math.Pi)
		at := point{n * (.5 + .62*math.Cos(a)), n * (.5 + .62*math.Sin(a))}
		st.whiteCell(c, d, pick(d, leukocytes...), at, n*d.in(.18, .25))
	}
	st.whiteCell(c, d, class, home, radius)
	if d.chance(.3) { // red cells that lie on top
		a := d.in(0, 2*math.Pi)
		st.redCell(c, d, point{home.x + radius*1.25*math.Cos(a), home.y + radius*1.25*math.Sin(a)}, n*d.in(.11, .14), .75)
	}
	if d.chance(.15) {
		st.precipitate(c, d)
	}
	bright, cx, cy, fall := d.in(.82, 1.08), d.in(.3, .7), d.in(.3, .7), d.in(0, .35)
	c.shade(func(x, y float64) rgb {
		return grey(bright * (1 - fall*((x-cx)*(x-cx)+(y-cy)*(y-cy))))
	})
	cam := camera{
		gain: rgb{d.around(1, .05), d.around(1, .035), d.around(1, .05)}, gamma: d.in(.88, 1.15), contrast: d.in(.8, 1.12),
		focus: max(0, d.around(.45, .45)), noise: d.in(.5, 4.5),
	}
	return cam.shoot(c, d)
}

func (st stain) redCells(c *canvas, d dice, home point, radius float64) {
	n := float64(c.n)
	size := n * d.in(.105, .145)
	var placedAt []point
	for range d.between(4, 60) {
		p := point{d.in(-.1, 1.1) * n, d.in(-.1, 1.1) * n}
		if math.Hypot(p.x-home.x, p.y-home.y) < radius+size*.75 {
			continue
		}
		free := true
		for _, q := range placedAt {
			if math.Hypot(p.x-q.x, p.y-q.y) < size*1.7 {
				free = false
			}
		}
		if free {
			placedAt = append(placedAt, p)
			st.redCell(c, d, p, size*d.around(1, .07), d.in(.75, 1))
		}
	}
}

// redCell is a biconcave disc: paler in the middle, darker at the rim.
func (st stain) redCell(c *canvas, d dice, at point, size, alpha float64) {
	hollow, rim := d.in(.2, .75), d.in(.3, .55)
	form := blob(d, .05)
	p := placed(at.x, at.y, size, size*d.in(.82, 1), d.in(0, math.Pi))
	c.fill(p, rounds(0, 0, form), st.disc(st.red, hollow, rim, alpha))
}

// disc is the surface of a red cell: hollow tells how pale its middle is, rim
// how wide.
func (st stain) disc(tone rgb, hollow, rim, alpha float64) shader {
	return func(u, v float64) (rgb, float64) {
		r := math.Hypot(u, v)
		k := hollow * (1 - smooth(rim-.25, rim+.25, r))
		return mix(tone, st.plasma, k).times(1 - .14*smooth(.78, 1, r)), alpha
	}
}

func (st stain) platelets(c *canvas, d dice, home point, radius float64) {
	n := float64(c.n)
	for range d.between(0, 5) {
		p := point{d.in(0, 1) * n, d.in(0, 1) * n}
		if math.Hypot(p.x-home.x, p.y-home.y) < radius*1.15 {
			continue
		}
		s := n * d.in(.018, .035)
		st.platelet(c, d, p, s)
	}
}

func (st stain) platelet(c *canvas, d dice, at point, size float64) {
	c.fill(placed(at.x, at.y, size, size, 0), rounds(0, 0, blob(d, .2)), func(u, v float64) (rgb, float64) {
		return mix(st.fine, st.chromatin, .7*st.grain.at(3*u+at.x, 3*v)), .85
	})
}

// precipitate is dye that fell out: dark specks that belong to no cell.
func (st stain) precipitate(c *canvas, d dice) {
	n := float64(c.n)
	x, y := d.in(0, n), d.in(0, n)
	for range d.between(5, 18) {
		s := n * d.in(.006, .013)
		c.fill(placed(x+d.around(0, n*.09), y+d.around(0, n*.09), s, s, 0), ellipse(0, 0, 1, 1), glaze(st.violet, .8))
	}
}
