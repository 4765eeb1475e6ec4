//go:build !cgo || !gocv_specific_modules

package cv

import (
	"image"
	"image/color"

	"github.com/vislora/vislora/vision"
)

func fillRect(im *vision.Image, r image.Rectangle, c color.RGBA) error {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := im.Pix[3*(y*im.W+r.Min.X) : 3*(y*im.W+r.Max.X)]
		for i := 0; i+2 < len(row); i += 3 {
			row[i], row[i+1], row[i+2] = c.R, c.G, c.B
		}
	}
	return nil
}
