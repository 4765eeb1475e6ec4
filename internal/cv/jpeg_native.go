//go:build cgo && gocv_specific_modules && libjpeg

package cv

/*
#cgo LDFLAGS: -ljpeg
#include <stdlib.h>
#include "jpeg.h"
*/
import "C"

import (
	"image"
	"unsafe"

	"github.com/vislora/vislora/vision"
)

// PlainJPEG tells whether plain JPEGs are read, and JPEGs written, without OpenCV.
const PlainJPEG = true

// jpegReader reads plain JPEGs with libjpeg, which OpenCV calls too, but
// without OpenCV: that reads whole pictures only, and brings 120 libraries into
// the process. The pixels are the same.
type jpegReader struct{ c *C.vislora_jpeg }

// read decodes a region of a JPEG, made smaller by scale, into dst. It reports
// false for whatever is not plain and sound: OpenCV judges that. ReadHeader has
// seen the end marker, so whether a picture is whole does not depend on the
// region.
func (r *jpegReader) read(dst *vision.Image, data []byte, h Header, region image.Rectangle, scale int) bool {
	if h.Format != "jpeg" || h.Orientation != 1 {
		return false
	}
	if r.c == nil {
		if r.c = C.vislora_jpeg_new(); r.c == nil {
			return false
		}
	}
	dst.Reset(region.Dx(), region.Dy())
	return C.vislora_jpeg_read(r.c, (*C.uint8_t)(unsafe.SliceData(data)), C.size_t(len(data)), C.int(h.W), C.int(h.H), C.int(scale),
		C.int(region.Min.X), C.int(region.Min.Y), C.int(region.Dx()), C.int(region.Dy()), (*C.uint8_t)(unsafe.SliceData(dst.Pix))) == 0
}

func (r *jpegReader) close() {
	C.vislora_jpeg_free(r.c)
	r.c = nil
}

// writeJPEG is im as a JPEG file, the same bytes as OpenCV's; false where libjpeg
// does not take it, and OpenCV says why.
func writeJPEG(im *vision.Image, quality int) ([]byte, bool) {
	var out *C.uint8_t
	var n C.ulong
	if C.vislora_jpeg_write((*C.uint8_t)(unsafe.SliceData(im.Pix)), C.int(im.W), C.int(im.H), C.int(quality), &out, &n) != 0 {
		return nil, false
	}
	defer C.free(unsafe.Pointer(out))
	return C.GoBytes(unsafe.Pointer(out), C.int(n)), true
}
