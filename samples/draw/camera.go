package main

import (
	"image"
	"image/color"
	"math"

	"github.com/disintegration/imaging"
)

// camera is what happens between the scene and the file.
type camera struct {
	gain     rgb     // exposure and white balance
	gamma    float64 // contrast of the middle tones
	contrast float64 // around middle grey
	focus    float64 // blur in pixels of the final image
	motion   float64 // length of a horizontal smear in final pixels
	noise    float64 // deviation per pixel, of 255
}

// shoot exposes the scene, blurs it, scales it down and adds the sensor's noise.
func (cam camera) shoot(c *canvas, d dice) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, c.n, c.n))
	for i, p := range c.pix {
		for k := range 3 {
			v := math.Pow(max(0, p[k]*cam.gain[k]), cam.gamma)
			v = .5 + (v-.5)*cam.contrast
			img.Pix[4*i+k] = uint8(max(0, min(255, 255*v+.5)))
		}
		img.Pix[4*i+3] = 255
	}
	if w := int(cam.motion*over + .5); w > 0 {
		img = smear(img, w)
	}
	if cam.focus > 0 {
		img = imaging.Blur(img, cam.focus*over)
	}
	small := imaging.Resize(img, c.n/over, c.n/over, imaging.Box)
	for i := range small.Pix {
		if i%4 == 3 {
			continue
		}
		small.Pix[i] = uint8(max(0, min(255, float64(small.Pix[i])+cam.noise*d.NormFloat64()+.5)))
	}
	return small
}

// smear averages every pixel with its w neighbours to the right.
func smear(img *image.NRGBA, w int) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			var sum [3]int
			for k := range w + 1 {
				p := img.NRGBAAt(min(x+k, img.Rect.Dx()-1), y)
				sum[0], sum[1], sum[2] = sum[0]+int(p.R), sum[1]+int(p.G), sum[2]+int(p.B)
			}
			out.SetNRGBA(x, y, color.NRGBA{uint8(sum[0] / (w + 1)), uint8(sum[1] / (w + 1)), uint8(sum[2] / (w + 1)), 255})
		}
	}
	return out
}
