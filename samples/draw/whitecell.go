package main

import "math"

// leukocytes are the classes of the microscopy set.
var leukocytes = []string{"basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil"}

// whiteCell draws a leukocyte: body, nucleus and granules after its class.
// Coordinates: the cell's body has about radius 1. The nucleus is the second
// part of the cell; granules belong to what they lie on.
func (st stain) whiteCell(c *canvas, d dice, class string, at point, radius float64) {
	p := placed(at.x, at.y, radius*d.in(.9, 1.1), radius, d.in(0, 2*math.Pi))
	body := rounds(0, 0, blob(d, .04))
	shift := d.in(0, 100)
	plasma := func(base rgb, speckle, alpha float64) {
		c.fill(p, body, func(u, v float64) (rgb, float64) {
			r := math.Hypot(u, v)
			k := speckle * (st.texture.rough(5*u+shift, 5*v) - .5)
			return base.times(1 + k - .10*smooth(.8, 1, r)), alpha
		})
	}
	switch class {
	case "lymphocyte":
		plasma(st.blue, .12, .92)
		st.nucleus(c, d, p, rounds(d.around(0, .07), d.around(0, .07), scaled(blob(d, .035), d.in(.70, .88))), .35)
		st.granules(c, d, p, d.between(0, 4), .05, st.fine, .5)
	case "monocyte":
		plasma(mix(st.grey, st.blue, d.in(0, .35)), .22, .92)
		for range d.between(0, 7) { // vacuoles
			a, r, s := d.in(0, 2*math.Pi), d.in(.3, .85), d.in(.04, .09)
			c.fill(p, ellipse(r*math.Cos(a), r*math.Sin(a), s, s), glaze(st.plasma, .55))
		}
		st.nucleus(c, d, p, kidney(d), .85)
	case "neutrophil":
		plasma(st.pink, .12, .9)
		st.granules(c, d, p, d.between(40, 90), .035, st.fine, .45)
		st.lobes(c, d, p, pick(d, 2, 3, 3, 4, 4, 5))
	case "eosinophil":
		plasma(mix(st.pink, st.orange, d.in(.1, .5)), .1, .9)
		st.granules(c, d, p, d.between(55, 110), .065, st.orange, d.in(.55, .9))
		st.lobes(c, d, p, pick(d, 2, 2, 2, 3))
	case "basophil":
		plasma(mix(st.pink, st.blue, d.in(.2, .7)), .12, .9)
		st.nucleus(c, d, p, rounds(0, 0, scaled(blob(d, .13), d.in(.55, .72))), .7)
		st.granules(c, d, p, d.between(14, 48), .078, st.violet, d.in(.65, .95))
	}
}

func scaled(r func(float64) float64, k float64) func(float64) float64 {
	return func(t float64) float64 { return k * r(t) }
}

// nucleus fills a shape with chromatin; loose is the share of pale clumps.
func (st stain) nucleus(c *canvas, d dice, p pose, shape path, loose float64) {
	f, shift := d.in(4, 7), d.in(0, 100)
	c.part(1)
	c.fill(p, shape, func(u, v float64) (rgb, float64) {
		k := smooth(.4, .75, st.texture.rough(f*u+shift, f*v-shift))
		return mix(st.chromatin, st.strand, k*loose).times(2 - st.depth), .95
	})
}

// lobes is a segmented nucleus: lumps on an arc, held together by strands.
func (st stain) lobes(c *canvas, d dice, p pose, n int) {
	reach := d.in(.36, .46)
	size := map[int]float64{2: .40, 3: .32, 4: .27, 5: .24}[n] * d.in(.9, 1.1)
	span := map[int]float64{2: 2.5, 3: 3.7, 4: 4.6, 5: 5.1}[n] * d.in(.8, 1.05)
	a0 := d.in(0, 2*math.Pi)
	at := make([]point, n)
	for i := range at {
		a := a0 + span*float64(i)/float64(n-1)
		r := reach * d.in(.75, 1.2)
		at[i] = point{r * math.Cos(a), r * math.Sin(a)}
	}
	strand := d.in(.05, .13)
	for i := range n - 1 {
		a, b := at[i], at[i+1]
		l := math.Hypot(b.x-a.x, b.y-a.y)
		dx, dy := -(b.y-a.y)/l*strand, (b.x-a.x)/l*strand
		st.nucleus(c, d, p, polygon(point{a.x + dx, a.y + dy}, point{b.x + dx, b.y + dy}, point{b.x - dx, b.y - dy}, point{a.x - dx, a.y - dy}), .3)
	}
	for _, q := range at {
		st.nucleus(c, d, p, rounds(q.x, q.y, scaled(blob(d, .1), size*d.in(.85, 1.15))), .45)
	}
}

// kidney is a nucleus with one deep bay.
func kidney(d dice) path {
	a0, depth, width := d.in(0, 2*math.Pi), d.in(.3, .65), d.in(.35, .6)
	form, size := blob(d, .04), d.in(.62, .76)
	return rounds(d.around(0, .06), d.around(0, .06), func(t float64) float64 {
		off := math.Abs(math.Remainder(t-a0, 2*math.Pi)) / width
		return size * form(t) * (1 - depth*math.Exp(-off*off))
	})
}

// granules strews dots over the body.
func (st stain) granules(c *canvas, d dice, p pose, n int, size float64, colour rgb, alpha float64) {
	c.veiled(func() {
		for range n {
			a, r := d.in(0, 2*math.Pi), .92*math.Sqrt(d.Float64())
			s := size * d.in(.7, 1.3)
			tone := colour.times(d.in(.85, 1.15))
			c.fill(p, ellipse(r*math.Cos(a), r*math.Sin(a), s, s), glaze(tone, alpha))
		}
	})
}
