//go:build !cgo || !gocv_specific_modules

package cv

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/disintegration/imaging"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/vislora/vislora/vision"
)

// DecoderName is "go".
func DecoderName() string { return "go" }

// nativeDecoder decodes with Go's own packages.
type nativeDecoder struct{}

func (d *nativeDecoder) close() {}

var decoders = map[string]func(io.Reader) (image.Image, error){
	"jpeg": jpeg.Decode, "png": png.Decode, "bmp": bmp.Decode, "tiff": tiff.Decode, "webp": webp.Decode,
}

func (d *nativeDecoder) decode(dst *vision.Image, data []byte, h Header) (err error) {
	// Decoders have panicked on hostile files before.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode %s: the image data is damaged (%v)", h.Format, r)
		}
	}()
	im, err := decoders[h.Format](bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("decode %s: %w", h.Format, err)
	}
	fromGo(dst, upright(im, h.Orientation))
	if dst.W != h.W || dst.H != h.H {
		return fmt.Errorf("decode %s: the header says %d×%d pixels, the data holds %d×%d", h.Format, h.W, h.H, dst.W, dst.H)
	}
	return nil
}

// upright undoes EXIF's orientation.
func upright(im image.Image, orientation int) image.Image {
	if orientation == 1 {
		return im
	}
	// imaging composes nothing: alpha has to go first, or transparent pixels
	// would lose their colour in premultiplied formats.
	var rgb vision.Image
	fromGo(&rgb, im)
	im = toGo(&rgb)
	switch orientation {
	case 2:
		return imaging.FlipH(im)
	case 3:
		return imaging.Rotate180(im)
	case 4:
		return imaging.FlipV(im)
	case 5:
		return imaging.Transpose(im)
	case 6:
		return imaging.Rotate270(im)
	case 7:
		return imaging.Transverse(im)
	default:
		return imaging.Rotate90(im)
	}
}
