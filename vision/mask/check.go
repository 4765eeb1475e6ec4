package mask

import (
	"fmt"

	"github.com/vislora/vislora/vision"
)

// maxPixels bounds an image, so that a size read from a damaged file does not
// become an allocation: 16384 × 16384.
const maxPixels = 1 << 28

// Check reports what is wrong with a mask: a size that is not one of an image,
// or counts that do not fill it.
func Check(r vision.RLE) error {
	if err := checkSize(r.H, r.W); err != nil {
		return err
	}
	var sum uint64
	for _, c := range r.Counts {
		sum += uint64(c)
	}
	if pixels := uint64(r.H * r.W); sum != pixels {
		return fmt.Errorf("mask RLE: counts sum to %d, the image has %d pixels", sum, pixels)
	}
	return nil
}

func checkSize(h, w int) error {
	if h < 1 || w < 1 {
		return fmt.Errorf("mask: an image of %d rows and %d columns has no pixels", h, w)
	}
	if h > maxPixels || w > maxPixels/h {
		return fmt.Errorf("mask: an image of %d rows and %d columns is too large; at most %d pixels are handled", h, w, maxPixels)
	}
	return nil
}

// sameSize reports an error unless b is a mask of a's image.
func sameSize(a, b vision.RLE) error {
	if a.H != b.H || a.W != b.W {
		return fmt.Errorf("mask: sizes differ: %d rows × %d columns and %d × %d", a.H, a.W, b.H, b.W)
	}
	return nil
}

// numbered says which of several masks an error is about.
func numbered(what string, i int, err error) error { return fmt.Errorf("%s %d: %w", what, i, err) }
