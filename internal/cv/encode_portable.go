//go:build !cgo || !gocv_specific_modules

package cv

import (
	"bytes"
	"fmt"
	"image/png"

	"github.com/disintegration/imaging"

	"github.com/vislora/vislora/vision"
)

// EncodePNG is im as a PNG file.
func EncodePNG(im *vision.Image) ([]byte, error) {
	return encode(im, imaging.PNG, imaging.PNGCompressionLevel(png.BestSpeed))
}

func encodeJPEG(im *vision.Image, quality int) ([]byte, error) {
	return encode(im, imaging.JPEG, imaging.JPEGQuality(quality))
}

func encode(im *vision.Image, f imaging.Format, o imaging.EncodeOption) ([]byte, error) {
	var b bytes.Buffer
	if err := imaging.Encode(&b, toGo(im), f, o); err != nil {
		return nil, fmt.Errorf("encode %s: %w", f, err)
	}
	return b.Bytes(), nil
}
