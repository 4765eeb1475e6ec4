package cv

import (
	"image"
	"image/color"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/inconsolata"
	"golang.org/x/image/math/fixed"

	"github.com/vislora/vislora/vision"
)

// The cell of the bitmap font.
const (
	glyphW = 8
	glyphH = 16
)

// bitmapSize is the size of s in the bitmap font at a whole magnification.
func bitmapSize(s string, scale int) (w, h int) {
	return len([]rune(s)) * glyphW * scale, glyphH * scale
}

// bitmapText draws s with its top left corner at (x, y), pixels magnified
// scale times. Characters that the font lacks become '?'.
func bitmapText(im *vision.Image, x, y int, s string, scale int, c color.RGBA) {
	s = strings.Map(func(r rune) rune {
		if _, ok := inconsolata.Regular8x16.GlyphAdvance(r); !ok || r == '\n' || r == '\t' {
			return '?'
		}
		return r
	}, s)
	w, h := bitmapSize(s, 1)
	if w == 0 {
		return
	}
	mask := image.NewAlpha(image.Rect(0, 0, w, h))
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: inconsolata.Regular8x16, Dot: fixed.P(0, inconsolata.Regular8x16.Ascent)}
	d.DrawString(s)
	for yy := range h * scale {
		for xx := range w * scale {
			if mask.Pix[yy/scale*mask.Stride+xx/scale] < 128 {
				continue
			}
			if px, py := x+xx, y+yy; px >= 0 && py >= 0 && px < im.W && py < im.H {
				p := im.Pix[3*(py*im.W+px):]
				p[0], p[1], p[2] = c.R, c.G, c.B
			}
		}
	}
}
