package main

import (
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// brand is what a package says on its outside. It is drawn independently of
// the class: a label never tells what carries it.
type brand struct {
	base, second, ink rgb
	word              string
	emblem, layout    int
	lines             int
	pale              float64 // the emblem's tint
}

func newBrand(d dice) brand {
	h := d.Float64()
	base := hsv(h, d.in(.1, .95), d.in(.35, .98))
	second := hsv(h+pick(d, .08, .33, .5, .6)+d.around(0, .03), d.in(.3, .95), d.in(.25, .98))
	ink := grey(.96)
	if base.luma() > .55 {
		ink = hsv(h+.5, d.in(.2, .9), d.in(.05, .4))
	}
	const letters = "ABCDEFGHIKLMNOPRSTUVXZ"
	word := make([]byte, d.between(3, 6))
	for i := range word {
		word[i] = letters[d.IntN(len(letters))]
	}
	return brand{base, second, ink, string(word), d.IntN(6), d.IntN(4), d.between(0, 4), d.in(.5, 1)}
}

// print draws the label into the rectangle of an object's coordinates; width
// is what one unit of u is in units of v.
func (b brand) print(c *canvas, p pose, x0, y0, x1, y1 float64, l light) {
	w, h, cx := x1-x0, y1-y0, (x0+x1)/2
	c.fill(p, rectangle(x0, y0, x1, y1), lit(solid(b.base), l))
	switch b.layout {
	case 0: // a band across
		c.fill(p, rectangle(x0, y0+.12*h, x1, y0+.42*h), lit(solid(b.second), l))
	case 1: // a slant
		c.fill(p, polygon(point{x0, y0 + .75*h}, point{x1, y0 + .45*h}, point{x1, y1}, point{x0, y1}), lit(solid(b.second), l))
	case 2: // stripes
		for i := range 3 {
			y := y0 + h*(.6+.13*float64(i))
			c.fill(p, rectangle(x0, y, x1, y+.06*h), lit(solid(b.second), l))
		}
	}
	size := .30 * min(w, h)
	c.fill(p, b.mark().moved(size, cx, y0+.66*h), lit(solid(mix(b.base, b.second, b.pale).times(1.1)), l))
	word, wide := lettering(b.word)
	k := min(.86*w/wide, .3*h)
	c.fill(p, word.moved(k, cx-k*wide/2, y0+.20*h+.5*k), lit(solid(b.ink), l))
	for i := range b.lines {
		y := y0 + h*(.86+.03*float64(i))
		if y+.015*h < y1 {
			c.fill(p, rectangle(x0+.15*w, y, x1-.15*w-.1*w*float64(i), y+.015*h), lit(glaze(b.ink, .7), l))
		}
	}
}

// mark is the emblem in about the unit disc.
func (b brand) mark() path {
	switch b.emblem {
	case 0:
		return ellipse(0, 0, 1, 1)
	case 1:
		return polygon(point{0, -1}, point{.9, 0}, point{0, 1}, point{-.9, 0})
	case 2: // a leaf
		return polygon(point{-1, .7}, point{-.6, -.3}, point{.2, -.9}, point{1, -.9}, point{.9, -.1}, point{.3, .6}, point{-.6, .8})
	case 3: // a ring
		p := ellipse(0, 0, 1, 1)
		hole := ellipse(0, 0, .55, -.55)
		return append(p, hole...)
	case 4: // hills
		return polygon(point{-1.2, .7}, point{-.5, -.5}, point{-.1, .1}, point{.4, -.8}, point{1.2, .7})
	}
	return ellipse(0, 0, 1.1, .7)
}

var bold = sync.OnceValue(func() *sfnt.Font {
	f, err := sfnt.Parse(gobold.TTF)
	if err != nil {
		panic(err) // the font is part of the program
	}
	return f
})

// lettering is a word as outlines, capitals about .72 high, the baseline at
// y = .36, and its width.
func lettering(word string) (path, float64) {
	const em = 64 // pixels: fine enough to scale from
	var buf sfnt.Buffer
	var out path
	x := 0.0
	for _, r := range word {
		g, err := bold().GlyphIndex(&buf, r)
		if err != nil {
			continue
		}
		segs, err := bold().LoadGlyph(&buf, g, fixed.I(em), nil)
		if err != nil {
			continue
		}
		at := func(q fixed.Point26_6) point {
			return point{x + float64(q.X)/64/em, .36 + float64(q.Y)/64/em}
		}
		var pen point
		for _, s := range segs {
			switch s.Op {
			case sfnt.SegmentOpMoveTo:
				out = append(out, nil)
				pen = at(s.Args[0])
			case sfnt.SegmentOpLineTo:
				pen = at(s.Args[0])
			case sfnt.SegmentOpQuadTo:
				m, e := at(s.Args[0]), at(s.Args[1])
				mid := point{.25*pen.x + .5*m.x + .25*e.x, .25*pen.y + .5*m.y + .25*e.y}
				out[len(out)-1] = append(out[len(out)-1], mid)
				pen = e
			}
			out[len(out)-1] = append(out[len(out)-1], pen)
		}
		adv, err := bold().GlyphAdvance(&buf, g, fixed.I(em), font.HintingNone)
		if err == nil {
			x += float64(adv) / 64 / em
		}
	}
	return out, x
}
