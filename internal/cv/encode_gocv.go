//go:build cgo && gocv_specific_modules

package cv

import (
	"fmt"

	"gocv.io/x/gocv"

	"github.com/vislora/vislora/vision"
)

// EncodePNG is im as a PNG file.
func EncodePNG(im *vision.Image) ([]byte, error) {
	return encode(im, gocv.PNGFileExt, []int{int(gocv.IMWritePngCompression), 3})
}

func encodeJPEG(im *vision.Image, quality int) ([]byte, error) {
	return encode(im, gocv.JPEGFileExt, []int{int(gocv.IMWriteJpegQuality), quality})
}

func encode(im *vision.Image, ext gocv.FileExt, params []int) (out []byte, err error) {
	err = withMat(im, func(m *gocv.Mat) error {
		bgr := gocv.NewMat()
		defer bgr.Close()
		if err := gocv.CvtColor(*m, &bgr, gocv.ColorRGBToBGR); err != nil {
			return err
		}
		buf, err := gocv.IMEncodeWithParams(ext, bgr, params)
		if err != nil {
			buf.Close()
			return err
		}
		defer buf.Close()
		out = append([]byte(nil), buf.GetBytes()...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", ext, err)
	}
	return out, nil
}
