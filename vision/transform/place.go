package transform

import (
	"image"
	"math"

	"github.com/vislora/vislora/vision"
)

// Placement says how an image of some size gets into a model's input.
type Placement struct {
	// W and H are the size that the whole image is resized to.
	W, H int
	// Window is the part of the resized image that is seen.
	Window image.Rectangle
	// At is where the window stands in the input; elsewhere is padding.
	At image.Point
}

// Place computes the placement of a w×h image.
func Place(pre vision.Preprocess, w, h int) Placement {
	th, tw := pre.Size[0], pre.Size[1]
	nearest := pre.Rounding == vision.RoundNearest
	switch pre.Resize {
	case vision.ResizeLetterbox:
		scale := min(float64(tw)/float64(w), float64(th)/float64(h))
		side := func(n, limit int) int {
			v := float64(n) * scale
			if nearest {
				v = math.RoundToEven(v)
			}
			// The side that decides the scale must not lose a pixel to
			// rounding.
			return min(max(int(v+1e-9), 1), limit)
		}
		p := Placement{W: side(w, tw), H: side(h, th)}
		p.Window = image.Rect(0, 0, p.W, p.H)
		if pre.Align != vision.AlignTopLeft {
			p.At = image.Pt((tw-p.W)/2, (th-p.H)/2)
		}
		return p
	case vision.ResizeStretch:
		return Placement{W: tw, H: th, Window: image.Rect(0, 0, tw, th)}
	}
	rw, rh := Shorter(w, h, pre.ResizeTo, nearest)
	offset := func(have, want int) int {
		if nearest {
			return (have - want) / 2
		}
		return int(math.RoundToEven(float64(have-want) / 2))
	}
	x, y := offset(rw, tw), offset(rh, th)
	return Placement{W: rw, H: rh, Window: image.Rect(x, y, x+tw, y+th)}
}

// Shorter is the size of a w×h image whose shorter side becomes to. The longer
// one is truncated, as in torchvision, or rounded to nearest.
func Shorter(w, h, to int, nearest bool) (int, int) {
	long, short := max(w, h), min(w, h)
	n := to * long
	if nearest {
		n += short / 2
	}
	n /= short
	if w <= h {
		return to, n
	}
	return n, to
}
