package transform

import (
	"math"
	"math/rand/v2"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// randAugmentBins is the number of magnitudes, torchvision's num_magnitude_bins.
const randAugmentBins = 31

// randAugmentOps are torchvision's, in its order. m is the magnitude from 0 to
// 1; signed operations get its sign changed every other time.
var randAugmentOps = []struct {
	name   string
	signed bool
	apply  func(im, scratch *vision.Image, m float64) error
}{
	{"identity", false, func(_, _ *vision.Image, _ float64) error { return nil }},
	{"shear_x", true, func(im, s *vision.Image, m float64) error {
		return warp(im, s, cv.Affine{1, .3 * m, 0, 0, 1, 0}, false, cv.Constant, 0)
	}},
	{"shear_y", true, func(im, s *vision.Image, m float64) error {
		return warp(im, s, cv.Affine{1, 0, 0, .3 * m, 1, 0}, false, cv.Constant, 0)
	}},
	{"translate_x", true, func(im, s *vision.Image, m float64) error {
		return warp(im, s, cv.Affine{1, 0, -math.Trunc(150. / 331 * float64(im.W) * m), 0, 1, 0}, false, cv.Constant, 0)
	}},
	{"translate_y", true, func(im, s *vision.Image, m float64) error {
		return warp(im, s, cv.Affine{1, 0, 0, 0, 1, -math.Trunc(150. / 331 * float64(im.H) * m)}, false, cv.Constant, 0)
	}},
	{"rotate", true, func(im, s *vision.Image, m float64) error {
		return warp(im, s, rotation(im.W, im.H, 30*m), false, cv.Constant, 0)
	}},
	{"brightness", true, func(im, _ *vision.Image, m float64) error { Brightness(im, 1+.9*m); return nil }},
	{"color", true, func(im, _ *vision.Image, m float64) error { Saturation(im, 1+.9*m); return nil }},
	{"contrast", true, func(im, _ *vision.Image, m float64) error { Contrast(im, 1+.9*m); return nil }},
	{"sharpness", true, func(im, s *vision.Image, m float64) error { Sharpness(im, 1+.9*m, s); return nil }},
	{"posterize", false, func(im, _ *vision.Image, m float64) error {
		Posterize(im, 8-int(math.RoundToEven(4*m)))
		return nil
	}},
	{"solarize", false, func(im, _ *vision.Image, m float64) error { Solarize(im, 255*(1-m)); return nil }},
	{"auto_contrast", false, func(im, _ *vision.Image, _ float64) error { AutoContrast(im); return nil }},
	{"equalize", false, func(im, _ *vision.Image, _ float64) error { Equalize(im); return nil }},
}

// randAugment applies n operations drawn with replacement.
func randAugment(r *rand.Rand, im, scratch *vision.Image, n, magnitude int) error {
	for range n {
		op := randAugmentOps[r.IntN(len(randAugmentOps))]
		m := float64(magnitude) / (randAugmentBins - 1)
		if op.signed && r.IntN(2) == 1 {
			m = -m
		}
		if err := op.apply(im, scratch, m); err != nil {
			return err
		}
	}
	return nil
}

// colorJitter applies the four adjustments in random order.
func colorJitter(r *rand.Rand, im *vision.Image, a Augment) {
	factor := func(v float64) float64 { return between(r, max(1-v, 0), 1+v) }
	for _, i := range r.Perm(4) {
		switch {
		case i == 0 && a.Brightness > 0:
			Brightness(im, factor(a.Brightness))
		case i == 1 && a.Contrast > 0:
			Contrast(im, factor(a.Contrast))
		case i == 2 && a.Saturation > 0:
			Saturation(im, factor(a.Saturation))
		case i == 3 && a.Hue > 0:
			Hue(im, between(r, -a.Hue, a.Hue))
		}
	}
}

// erase sets a rectangle of x, which is (h, w, 3), to 0: the mean colour. The
// area is 2 to 33 % and the ratio 0.3 to 3.3, as in torchvision.
func erase(r *rand.Rand, x []float32, h, w int) {
	lo, hi := math.Log(.3), math.Log(3.3)
	for range 10 {
		area := float64(h*w) * between(r, .02, .33)
		aspect := math.Exp(between(r, lo, hi))
		eh := int(math.RoundToEven(math.Sqrt(area * aspect)))
		ew := int(math.RoundToEven(math.Sqrt(area / aspect)))
		if eh >= h || ew >= w {
			continue
		}
		top, left := r.IntN(h-eh+1), r.IntN(w-ew+1)
		for y := top; y < top+eh; y++ {
			clear(x[3*(y*w+left):][:3*ew])
		}
		return
	}
}
