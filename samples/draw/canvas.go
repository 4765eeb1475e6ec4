package main

import (
	"image"
	"image/draw"
	"math"

	"golang.org/x/image/vector"
)

// canvas is a square picture, over times as wide as the image made of it.
type canvas struct {
	n    int
	pix  []rgb
	view pose  // how the camera is held: applied to everything that is filled
	cast *cast // nil: nobody asks what a pixel shows
}

// shader gives the colour and the opacity at a point of the object.
type shader func(u, v float64) (rgb, float64)

func solid(c rgb) shader { return func(_, _ float64) (rgb, float64) { return c, 1 } }

// glaze is a colour that lets a share of what lies under it through.
func glaze(c rgb, alpha float64) shader { return func(_, _ float64) (rgb, float64) { return c, alpha } }

// newCanvas is the ground of an image of side×side pixels.
func newCanvas(side int, ground func(x, y float64) rgb) *canvas {
	c := &canvas{n: side * over, pix: make([]rgb, side*over*side*over), view: pose{a: 1, d: 1}}
	for y := range c.n {
		for x := range c.n {
			c.pix[y*c.n+x] = ground(float64(x)/float64(c.n), float64(y)/float64(c.n))
		}
	}
	return c
}

// fill paints the inside of a path, antialiased.
func (c *canvas) fill(p pose, shape path, s shader) {
	p = p.within(c.view)
	lo, hi := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, ring := range shape {
		for _, q := range ring {
			q = p.to(q)
			lo = point{min(lo.x, q.x), min(lo.y, q.y)}
			hi = point{max(hi.x, q.x), max(hi.y, q.y)}
		}
	}
	n := float64(c.n)
	x0, y0 := int(max(0, math.Floor(lo.x))), int(max(0, math.Floor(lo.y)))
	x1, y1 := int(min(n, math.Ceil(hi.x))), int(min(n, math.Ceil(hi.y)))
	if x0 >= x1 || y0 >= y1 {
		return
	}
	r := vector.NewRasterizer(x1-x0, y1-y0)
	r.DrawOp = draw.Src
	for _, ring := range shape {
		for i, q := range ring {
			q = p.to(q)
			x, y := float32(q.x-float64(x0)), float32(q.y-float64(y0))
			if i == 0 {
				r.MoveTo(x, y)
			} else {
				r.LineTo(x, y)
			}
		}
		r.ClosePath()
	}
	cover := image.NewAlpha(image.Rect(0, 0, x1-x0, y1-y0))
	r.Draw(cover, cover.Bounds(), image.Opaque, image.Point{})
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			w := cover.Pix[(y-y0)*cover.Stride+x-x0]
			if w == 0 {
				continue
			}
			colour, alpha := s(p.from(float64(x)+.5, float64(y)+.5))
			at := &c.pix[y*c.n+x]
			*at = mix(*at, colour, alpha*float64(w)/255)
		}
	}
	c.cast.paint(cover, x0, y0)
}

// shade multiplies the picture by a field, as light and stain do.
func (c *canvas) shade(gain func(x, y float64) rgb) {
	for y := range c.n {
		for x := range c.n {
			at := &c.pix[y*c.n+x]
			*at = at.by(gain(float64(x)/float64(c.n), float64(y)/float64(c.n)))
		}
	}
}
