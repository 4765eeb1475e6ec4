package cv

import (
	"image"
	"image/color"

	"github.com/vislora/vislora/vision"
)

// toGo is im as Go's image, opaque.
func toGo(im *vision.Image) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, im.W, im.H))
	for i, j := 0, 0; i < len(im.Pix); i, j = i+3, j+4 {
		p := out.Pix[j : j+4 : j+4]
		p[0], p[1], p[2], p[3] = im.Pix[i], im.Pix[i+1], im.Pix[i+2], 255
	}
	return out
}

// fromGo copies any of Go's images: the high byte of 16-bit values, alpha
// dropped and not composited.
func fromGo(dst *vision.Image, im image.Image) {
	b := im.Bounds()
	dst.Reset(b.Dx(), b.Dy())
	row := func(y int) []uint8 { return dst.Pix[3*y*dst.W:][:3*dst.W] }
	switch s := im.(type) {
	case *image.NRGBA:
		for y := range dst.H {
			in, out := s.Pix[y*s.Stride:], row(y)
			for i, j := 0, 0; i < len(out); i, j = i+3, j+4 {
				out[i], out[i+1], out[i+2] = in[j], in[j+1], in[j+2]
			}
		}
	case *image.Gray:
		for y := range dst.H {
			in, out := s.Pix[y*s.Stride:], row(y)
			for i := 0; i < len(out); i += 3 {
				v := in[i/3]
				out[i], out[i+1], out[i+2] = v, v, v
			}
		}
	case *image.YCbCr:
		for y := range dst.H {
			out := row(y)
			for x := range dst.W {
				yi, ci := s.YOffset(b.Min.X+x, b.Min.Y+y), s.COffset(b.Min.X+x, b.Min.Y+y)
				out[3*x], out[3*x+1], out[3*x+2] = color.YCbCrToRGB(s.Y[yi], s.Cb[ci], s.Cr[ci])
			}
		}
	case *image.Paletted:
		var lut [256][3]uint8
		for i, c := range s.Palette {
			lut[i] = rgb(c)
		}
		for y := range dst.H {
			in, out := s.Pix[y*s.Stride:], row(y)
			for x := range dst.W {
				copy(out[3*x:], lut[in[x]][:])
			}
		}
	default:
		for y := range dst.H {
			out := row(y)
			for x := range dst.W {
				c := rgb(im.At(b.Min.X+x, b.Min.Y+y))
				copy(out[3*x:], c[:])
			}
		}
	}
}

// rgb is a colour without its alpha. Only premultiplied colours lose by it.
func rgb(c color.Color) [3]uint8 {
	switch c := c.(type) {
	case color.NRGBA:
		return [3]uint8{c.R, c.G, c.B}
	case color.NRGBA64:
		return [3]uint8{uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)}
	case color.CMYK:
		r, g, b := color.CMYKToRGB(c.C, c.M, c.Y, c.K)
		return [3]uint8{r, g, b}
	case color.NYCbCrA:
		r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
		return [3]uint8{r, g, b}
	}
	n := color.NRGBA64Model.Convert(c).(color.NRGBA64)
	return [3]uint8{uint8(n.R >> 8), uint8(n.G >> 8), uint8(n.B >> 8)}
}
