package transform

import (
	"image"
	"math"
	"math/rand/v2"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// randomResizedCrop draws the region that torchvision's RandomResizedCrop
// cuts: ten tries at an area and a ratio, then the largest centred region
// whose ratio is allowed.
func randomResizedCrop(r *rand.Rand, w, h int, scale, ratio [2]float64) image.Rectangle {
	lo, hi := math.Log(ratio[0]), math.Log(ratio[1])
	for range 10 {
		area := float64(w) * float64(h) * between(r, scale[0], scale[1])
		aspect := math.Exp(between(r, lo, hi))
		cw := int(math.RoundToEven(math.Sqrt(area * aspect)))
		ch := int(math.RoundToEven(math.Sqrt(area / aspect)))
		if cw > 0 && cw <= w && ch > 0 && ch <= h {
			y, x := r.IntN(h-ch+1), r.IntN(w-cw+1)
			return image.Rect(x, y, x+cw, y+ch)
		}
	}
	cw, ch := w, h
	switch in := float64(w) / float64(h); {
	case in < ratio[0]:
		ch = min(int(math.RoundToEven(float64(w)/ratio[0])), h)
	case in > ratio[1]:
		cw = min(int(math.RoundToEven(float64(h)*ratio[1])), w)
	}
	cw, ch = max(cw, 1), max(ch, 1)
	x, y := (w-cw)/2, (h-ch)/2
	return image.Rect(x, y, x+cw, y+ch)
}

func between(r *rand.Rand, lo, hi float64) float64 { return lo + r.Float64()*(hi-lo) }

// FlipH mirrors left and right.
func FlipH(im *vision.Image) {
	for y := range im.H {
		row := im.Pix[3*y*im.W:][:3*im.W]
		for i, j := 0, len(row)-3; i < j; i, j = i+3, j-3 {
			a, b := row[i:i+3:i+3], row[j:j+3:j+3]
			a[0], a[1], a[2], b[0], b[1], b[2] = b[0], b[1], b[2], a[0], a[1], a[2]
		}
	}
}

// FlipV mirrors top and bottom.
func FlipV(im *vision.Image) {
	n := 3 * im.W
	for y := range im.H / 2 {
		a, b := im.Pix[y*n:][:n], im.Pix[(im.H-1-y)*n:][:n]
		for i := range a {
			a[i], b[i] = b[i], a[i]
		}
	}
}

// rotation turns counter-clockwise about the centre, as Pillow does.
func rotation(w, h int, degrees float64) cv.Affine {
	s, c := math.Sincos(-degrees * math.Pi / 180)
	cx, cy := float64(w)/2, float64(h)/2
	return cv.Affine{c, s, cx - c*cx - s*cy, -s, c, cy + s*cx - c*cy}
}

// warp replaces im by itself seen through m.
func warp(im, scratch *vision.Image, m cv.Affine, bilinear bool, border cv.Border, fill uint8) error {
	scratch.Reset(im.W, im.H)
	if err := cv.Warp(scratch, im, m, bilinear, border, fill); err != nil {
		return err
	}
	im.Pix, scratch.Pix = scratch.Pix, im.Pix
	return nil
}
