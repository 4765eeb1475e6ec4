//go:build !cgo || !gocv_specific_modules || !libjpeg

package cv

import (
	"image"

	"github.com/vislora/vislora/vision"
)

// PlainJPEG tells whether plain JPEGs are read, and JPEGs written, without OpenCV.
const PlainJPEG = false

// jpegReader leaves everything to the decoder in this build.
type jpegReader struct{}

func (r *jpegReader) read(*vision.Image, []byte, Header, image.Rectangle, int) bool { return false }

func (r *jpegReader) close() {}

// writeJPEG leaves everything to the encoder in this build.
func writeJPEG(*vision.Image, int) ([]byte, bool) { return nil, false }
