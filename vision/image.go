package vision

import "fmt"

// Image is 8-bit RGB, interleaved and without padding: the pixel (x, y) is
// Pix[3*(y*W+x):][:3].
type Image struct {
	W, H int
	Pix  []uint8
}

// NewImage is a black image. It panics when a side is not positive: sizes that
// come from users are checked where they are read.
func NewImage(w, h int) *Image {
	if w <= 0 || h <= 0 {
		panic(fmt.Sprintf("vision: image of %d×%d pixels", w, h))
	}
	return &Image{W: w, H: h, Pix: make([]uint8, 3*w*h)}
}

// Reset makes im an image of w×h pixels with undefined contents and reuses its
// memory where that is large enough.
func (im *Image) Reset(w, h int) {
	if n := 3 * w * h; cap(im.Pix) < n {
		im.Pix = make([]uint8, n)
	} else {
		im.Pix = im.Pix[:n]
	}
	im.W, im.H = w, h
}

// Clone is a copy with its own pixels.
func (im *Image) Clone() *Image {
	return &Image{W: im.W, H: im.H, Pix: append([]uint8(nil), im.Pix...)}
}

// At is the colour of the pixel (x, y).
func (im *Image) At(x, y int) (r, g, b uint8) {
	p := im.Pix[3*(y*im.W+x):]
	return p[0], p[1], p[2]
}

// Fill gives every pixel one colour.
func (im *Image) Fill(r, g, b uint8) {
	for i := 0; i+2 < len(im.Pix); i += 3 {
		im.Pix[i], im.Pix[i+1], im.Pix[i+2] = r, g, b
	}
}
