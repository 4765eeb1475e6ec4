package transform

import (
	"math"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// The colour operations are Pillow's ImageEnhance and ImageOps, which
// torchvision calls, to the byte. A factor of 1 changes nothing.

// grey is ITU-R 601 luma in Pillow's fixed point.
func grey(r, g, b uint8) uint8 {
	return uint8((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 0x8000) >> 16)
}

// blend is a + factor·(b − a), in float32 and cut off, as Pillow's Blend.c.
func blend(a, b uint8, factor float32) uint8 {
	v := float32(a) + float32(factor*float32(int(b)-int(a)))
	if v <= 0 {
		return 0
	}
	if v >= 255 {
		return 255
	}
	return uint8(v)
}

// Brightness blends with black.
func Brightness(im *vision.Image, factor float64) {
	blendWith(im, 0, factor)
}

// Contrast blends with the mean grey of the image.
func Contrast(im *vision.Image, factor float64) {
	sum := 0
	if cv.HasPixels {
		sum = cv.Grey(im.Pix)
	} else {
		for i := 0; i+2 < len(im.Pix); i += 3 {
			sum += int(grey(im.Pix[i], im.Pix[i+1], im.Pix[i+2]))
		}
	}
	blendWith(im, uint8(float64(sum)/float64(im.W*im.H)+.5), factor)
}

func blendWith(im *vision.Image, v uint8, factor float64) {
	if cv.HasPixels {
		cv.Blend(im.Pix, v, float32(factor))
		return
	}
	var lut [256]uint8
	for i := range lut {
		lut[i] = blend(v, uint8(i), float32(factor))
	}
	for i, p := range im.Pix {
		im.Pix[i] = lut[p]
	}
}

// Saturation blends with the grey image.
func Saturation(im *vision.Image, factor float64) {
	f := float32(factor)
	if cv.HasPixels {
		cv.Saturate(im.Pix, f)
		return
	}
	for i := 0; i+2 < len(im.Pix); i += 3 {
		p := im.Pix[i : i+3 : i+3]
		g := grey(p[0], p[1], p[2])
		p[0], p[1], p[2] = blend(g, p[0], f), blend(g, p[1], f), blend(g, p[2], f)
	}
}

// Sharpness blends with the image smoothed by [1 1 1; 1 5 1; 1 1 1]/13; the
// outermost pixels stay.
func Sharpness(im *vision.Image, factor float64, scratch *vision.Image) {
	scratch.Reset(im.W, im.H)
	copy(scratch.Pix, im.Pix)
	const one, five = float32(1. / 13), float32(5. / 13)
	f, stride := float32(factor), 3*im.W
	for y := 1; y < im.H-1; y++ {
		for i := y*stride + 3; i < (y+1)*stride-3; i++ {
			p := scratch.Pix
			row := func(i int, k float32) float32 {
				return float32(float32(float32(p[i-3])*one)+float32(float32(p[i])*k)) + float32(float32(p[i+3])*one)
			}
			v := float32(.5) + row(i+stride, one)
			v += row(i, five)
			v += row(i-stride, one)
			im.Pix[i] = blend(uint8(min(v, 255)), p[i], f)
		}
	}
}

// Hue turns the hue by shift, in turns from −0.5 to 0.5, through Pillow's
// 8-bit HSV.
func Hue(im *vision.Image, shift float64) {
	turn := uint8(int(shift * 255))
	for i := 0; i+2 < len(im.Pix); i += 3 {
		p := im.Pix[i : i+3 : i+3]
		h, s, v := toHSV(p[0], p[1], p[2])
		p[0], p[1], p[2] = fromHSV(h+turn, s, v)
	}
}

func toHSV(r, g, b uint8) (h, s, v uint8) {
	most, least := max(r, g, b), min(r, g, b)
	if most == least {
		return 0, 0, most
	}
	c := float32(most - least)
	rc, gc, bc := float32(most-r)/c, float32(most-g)/c, float32(most-b)/c
	var t float32
	switch most {
	case r:
		t = bc - gc
	case g:
		t = float32(2 + float64(rc) - float64(bc))
	default:
		t = float32(4 + float64(gc) - float64(rc))
	}
	t = float32(math.Mod(float64(t)/6+1, 1))
	return uint8(float64(t) * 255), uint8(float64(c/float32(most)) * 255), most
}

func fromHSV(h, s, v uint8) (r, g, b uint8) {
	if s == 0 {
		return v, v, v
	}
	x := float64(h) * 6 / 255
	sector := math.Floor(x)
	f := float64(float32(x - sector))
	fs := float64(float32(float64(s) / 255))
	level := func(t float64) uint8 {
		return uint8(min(max(math.Round(float64(v)*t), 0), 255))
	}
	p, q, t := level(1-fs), level(1-float64(fs*f)), level(1-float64(fs*(1-f)))
	switch int(sector) % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}
