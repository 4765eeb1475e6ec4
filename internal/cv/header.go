package cv

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxPixels is the largest image that is decoded: 2²⁸ pixels, 768 MB as RGB.
const MaxPixels = 1 << 28

// Header is what the structure of an image file tells without decoding it.
type Header struct {
	Format string // jpeg, png, bmp, tiff, webp
	// W and H are the size of the image as it is shown: Orientation applied.
	W, H int
	// Orientation is EXIF's, 1 (upright) to 8.
	Orientation int
}

// ReadHeader reads the size and orientation of an image and checks that the
// file is complete: JPEG scans up to the end marker, PNG chunks up to IEND,
// the declared lengths of the other formats. It refuses more than [MaxPixels].
func ReadHeader(data []byte) (Header, error) {
	if len(data) == 0 {
		return Header{}, errors.New("the file is empty (0 bytes)")
	}
	h := Header{Orientation: 1}
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		h.Format = "jpeg"
		err = jpegHeader(data, &h)
	case bytes.HasPrefix(data, []byte(pngSignature)):
		h.Format = "png"
		err = pngHeader(data, &h)
	case bytes.HasPrefix(data, []byte("BM")):
		h.Format = "bmp"
		err = bmpHeader(data, &h)
	case bytes.HasPrefix(data, []byte("II*\x00")), bytes.HasPrefix(data, []byte("MM\x00*")):
		h.Format = "tiff"
		err = tiffHeader(data, &h)
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		h.Format = "webp"
		err = webpHeader(data, &h)
	default:
		return Header{}, fmt.Errorf("this is %s, not an image: JPEG, PNG, BMP, TIFF and WebP are read", describe(data))
	}
	if err != nil {
		return Header{}, err
	}
	if h.W <= 0 || h.H <= 0 {
		return Header{}, fmt.Errorf("the %s header says %d×%d pixels", h.Format, h.W, h.H)
	}
	if int64(h.W)*int64(h.H) > MaxPixels {
		return Header{}, fmt.Errorf("the %s header says %d×%d pixels (%.0f million), the limit is %d million: make the image smaller",
			h.Format, h.W, h.H, float64(h.W)*float64(h.H)/1e6, MaxPixels/1_000_000)
	}
	if h.Orientation < 1 || h.Orientation > 8 {
		h.Orientation = 1
	}
	if h.Orientation >= 5 {
		h.W, h.H = h.H, h.W
	}
	return h, nil
}

// describe names what a file that is no image looks like.
func describe(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("GIF8")):
		return "a GIF"
	case bytes.HasPrefix(data, []byte("%PDF")):
		return "a PDF"
	case len(data) > 132 && string(data[128:132]) == "DICM":
		return "a DICOM file"
	case len(data) > 12 && string(data[4:8]) == "ftyp":
		return "HEIC, AVIF or a video"
	case bytes.HasPrefix(data, []byte("version https://git-lfs")):
		return "a Git LFS pointer (run git lfs pull)"
	}
	head := data[:min(len(data), 512)]
	for _, b := range head {
		if b < 9 || b > 13 && b < 32 {
			return "an unknown format"
		}
	}
	return "text"
}

func truncated(format string, have int, what string) error {
	return fmt.Errorf("the %s is truncated: it stops after %d bytes, %s", format, have, what)
}
