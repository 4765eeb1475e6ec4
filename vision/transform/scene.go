package transform

import (
	"fmt"

	"github.com/vislora/vislora/vision"
)

// Scene is an image with what is known about its parts.
type Scene struct {
	Image   *vision.Image
	Objects []vision.Object
	// Mask is the class of every pixel, nil when it is not known.
	Mask *Mask
}

// Void is the class of pixels of which nothing is known: the padding around an
// image, and what turned in from outside it.
const Void = 255

// Mask holds the class of every pixel of an image, in rows from the top:
// Pix[y*W+x]. [Void] is no class.
type Mask struct {
	W, H int
	Pix  []uint8
}

// check reports what no picture can be made from.
func (s *Scene) check() error {
	im := s.Image
	if im == nil || im.W <= 0 || im.H <= 0 || len(im.Pix) != 3*im.W*im.H {
		if im == nil {
			im = &vision.Image{}
		}
		return fmt.Errorf("prepare an image of %d×%d pixels with %d bytes: it is broken", im.W, im.H, len(im.Pix))
	}
	if m := s.Mask; m != nil && (m.W != im.W || m.H != im.H || len(m.Pix) != m.W*m.H) {
		return fmt.Errorf("prepare an image: its mask has %d×%d pixels in %d bytes, the image %d×%d", m.W, m.H, len(m.Pix), im.W, im.H)
	}
	return nil
}

// sample fills the pixels of dst, (h, w), that lie in m, with the nearest pixel
// of m; back maps pixels of dst to pixels of m.
func (m *Mask) sample(dst []uint8, w, h int, back affine) {
	for y := range h {
		lo, hi := back.span(y, w, float64(m.W), float64(m.H))
		for x := lo; x < hi; x++ {
			sx, sy := back.point(float64(x)+.5, float64(y)+.5)
			// Ties, which whole factors make, go to the right and down, as in
			// Pillow, whatever rounding made of them.
			i, k := int(sx+1e-7), int(sy+1e-7)
			dst[y*w+x] = m.Pix[min(max(k, 0), m.H-1)*m.W+min(max(i, 0), m.W-1)]
		}
	}
}
