//go:build cgo && gocv_specific_modules

package cv

import (
	"image"
	"image/color"

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
