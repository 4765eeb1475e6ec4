//go:build cgo && gocv_specific_modules

package cv

import (
	"runtime"
	"unsafe"

	"gocv.io/x/gocv"

	"github.com/vislora/vislora/vision"
)

// withMat runs f on a Mat that is a view of im's pixels. The memory is pinned
// while OpenCV knows its address, and f must leave the Mat's size alone.
func withMat(im *vision.Image, f func(m *gocv.Mat) error) error {
	oneThread()
	var pin runtime.Pinner
	pin.Pin(&im.Pix[0])
	defer pin.Unpin()
	m, err := gocv.NewMatFromBytes(im.H, im.W, gocv.MatTypeCV8UC3, im.Pix[:3*im.W*im.H])
	if err != nil {
		return err
	}
	defer m.Close()
	return f(&m)
}

// matrix is a 2×3 float64 Mat; the caller closes it and keeps v alive.
func matrix(v *[6]float64) (gocv.Mat, error) {
	return gocv.NewMatFromBytes(2, 3, gocv.MatTypeCV64F, unsafe.Slice((*byte)(unsafe.Pointer(v)), 48))
}
