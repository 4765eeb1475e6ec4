//go:build cgo && gocv_specific_modules

package cv

import (
	"image"
	"image/color"
	"math"

	"gocv.io/x/gocv"

	"github.com/vislora/vislora/vision"
)

// swapped is a colour for an image that is RGB, not OpenCV's BGR.
func swapped(c color.RGBA) color.RGBA { return color.RGBA{c.B, c.G, c.R, c.A} }

// fillRect avoids gocv.Rectangle, which smooths the edges. The corner that
// gocv passes on is drawn too, hence the last row and column are taken off.
func fillRect(im *vision.Image, r image.Rectangle, c color.RGBA) error {
	r.Max = r.Max.Sub(image.Pt(1, 1))
	return withMat(im, func(m *gocv.Mat) error {
		return gocv.RectangleWithParams(m, r, swapped(c), -1, gocv.Line8, 0)
	})
}

// Hershey's fonts are 21 units from base line to cap height at scale 1, and
// reach 7 below. They know ASCII only: other text is drawn as a bitmap.
const hersheyUnits = 29

func hershey(height int) (scale float64, thickness int) {
	scale = float64(height) / hersheyUnits
	return scale, max(int(math.Round(scale*1.6)), 1)
}

func textSize(s string, height int) (w, h int) {
	if !ascii(s) {
		return bitmapSize(s, bitmapScale(height))
	}
	scale, thickness := hershey(height)
	p := gocv.GetTextSize(s, gocv.FontHersheySimplex, scale, thickness)
	return p.X, height
}

func drawText(im *vision.Image, x, y, height int, s string, c color.RGBA) error {
	if !ascii(s) {
		bitmapText(im, x, y, s, bitmapScale(height), c)
		return nil
	}
	scale, thickness := hershey(height)
	return withMat(im, func(m *gocv.Mat) error {
		at := image.Pt(x, y+int(22*scale+.5))
		return gocv.PutTextWithParams(m, s, at, gocv.FontHersheySimplex, scale, swapped(c), thickness, gocv.LineAA, false)
	})
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] < 32 || s[i] > 126 {
			return false
		}
	}
	return true
}
