package mask

import (
	"fmt"

	"github.com/vislora/vislora/vision"
)

// Order is how the pixels of a bitmap lie in memory.
type Order int

const (
	// Rows: the pixel in row y and column x is at y·W + x (Go, C, PNG).
	Rows Order = iota
	// Columns: it is at x·H + y (COCO, Fortran).
	Columns
)

// Encode makes the run lengths of a bitmap of h·w bytes. Every byte but 0 is
// part of the mask. The result is canonical: no run but the first is empty.
func Encode(pixels []byte, h, w int, order Order) (vision.RLE, error) {
	if err := checkSize(h, w); err != nil {
		return vision.RLE{}, err
	}
	if len(pixels) != h*w {
		return vision.RLE{}, fmt.Errorf("encode mask: %d bytes, the image has %d pixels", len(pixels), h*w)
	}
	down, right, err := order.strides(h, w)
	if err != nil {
		return vision.RLE{}, err
	}
	var counts []uint32
	var run uint32
	in := false
	for x := range w {
		for i, left := x*right, h; left > 0; i, left = i+down, left-1 {
			if (pixels[i] != 0) != in {
				counts = append(counts, run)
				run, in = 0, !in
			}
			run++
		}
	}
	return vision.RLE{H: h, W: w, Counts: append(counts, run)}, nil
}

// Decode is the inverse of [Encode]: H·W bytes that are 0 or 1.
func Decode(r vision.RLE, order Order) ([]byte, error) {
	if err := Check(r); err != nil {
		return nil, err
	}
	down, right, err := order.strides(r.H, r.W)
	if err != nil {
		return nil, err
	}
	pixels := make([]byte, r.H*r.W)
	at := 0 // column-major
	for i, c := range r.Counts {
		end := at + int(c)
		if i%2 == 0 {
			at = end
			continue
		}
		for x, y := at/r.H, at%r.H; at < end; at++ {
			pixels[y*down+x*right] = 1
			if y++; y == r.H {
				x, y = x+1, 0
			}
		}
	}
	return pixels, nil
}

// strides are the steps to the pixel below and to the right.
func (o Order) strides(h, w int) (down, right int, err error) {
	switch o {
	case Rows:
		return w, 1, nil
	case Columns:
		return 1, h, nil
	}
	return 0, 0, fmt.Errorf("mask: pixel order %d is neither Rows nor Columns", o)
}
