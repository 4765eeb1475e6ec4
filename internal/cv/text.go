package cv

import (
	"image"
	"image/color"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/vislora/vislora/vision"
)

// lettering is the font of both builds. It is compiled in and knows the Latin,
// Greek and Cyrillic alphabets; OpenCV's own fonts know ASCII.
var lettering = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(gomedium.TTF)
	if err != nil {
		panic(err)
	}
	return f
})

// emHeight is the height of a line, from the ascenders to the descenders, in
// units of the font's size.
const emHeight = 1.2

// face is the font in the size that makes lines so many pixels high. It is not
// safe for concurrent use, and cheap to make.
func face(height int) font.Face {
	// At 72 dots per inch a point is a pixel.
	f, err := opentype.NewFace(lettering(), &opentype.FaceOptions{Size: float64(height) / emHeight, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err)
	}
	return f
}

// printable is s with '?' for what the font lacks.
func printable(s string) string {
	var b sfnt.Buffer
	return strings.Map(func(r rune) rune {
		if i, err := lettering().GlyphIndex(&b, r); err != nil || i == 0 || r < ' ' {
			return '?'
		}
		return r
	}, s)
}

// textWidth is the width of s in lines of a height, all in pixels.
func textWidth(s string, height int) int {
	return font.MeasureString(face(height), printable(s)).Ceil()
}

// drawText draws s with the top left corner of its line at (x, y). What does not
// fit into the image is cut off.
func drawText(im *vision.Image, x, y, height int, s string, c color.RGBA) {
	s = printable(s)
	f := face(height)
	w := font.MeasureString(f, s).Ceil()
	if w <= 0 {
		return
	}
	mask := image.NewAlpha(image.Rect(0, 0, w, height))
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: f, Dot: fixed.P(0, f.Metrics().Ascent.Round())}
	d.DrawString(s)
	for yy := range height {
		for xx := range w {
			a := int(mask.Pix[yy*mask.Stride+xx])
			if px, py := x+xx, y+yy; a > 0 && px >= 0 && py >= 0 && px < im.W && py < im.H {
				blend(im.Pix[3*(py*im.W+px):], c, a)
			}
		}
	}
}

// blend mixes a colour into a pixel, of 255 parts so many.
func blend(p []uint8, c color.RGBA, parts int) {
	mix := func(was, new uint8) uint8 { return uint8((int(new)*parts + int(was)*(255-parts) + 127) / 255) }
	p[0], p[1], p[2] = mix(p[0], c.R), mix(p[1], c.G), mix(p[2], c.B)
}

// shorten cuts a text that is wider than its place at its end.
func shorten(s string, width, height int) string {
	r := []rune(s)
	for n := len(r); n > 1; n-- {
		t := string(r[:n])
		if n < len(r) {
			t = strings.TrimRight(t, " ") + "…"
		}
		if textWidth(t, height) <= width {
			return t
		}
	}
	return string(r[:min(1, len(r))])
}
