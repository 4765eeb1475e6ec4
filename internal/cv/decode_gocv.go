//go:build cgo && gocv_specific_modules

package cv

import (
	"fmt"
	"strings"
	"sync"

	"gocv.io/x/gocv"

	"github.com/vislora/vislora/vision"
)

// DecoderName is "opencv-4.6" or the like.
func DecoderName() string {
	v := strings.SplitN(gocv.OpenCVVersion(), ".", 3)
	return "opencv-" + strings.Join(v[:min(2, len(v))], ".")
}

// oneThread keeps OpenCV's own pool out of the way: the loader decodes on
// several goroutines already.
var oneThread = sync.OnceFunc(func() { gocv.SetNumThreads(1) })

// nativeDecoder holds OpenCV's memory; it is made when it is first used.
type nativeDecoder struct {
	bgr, rgb *gocv.Mat
}

func (d *nativeDecoder) open() {
	if d.bgr == nil {
		oneThread()
		bgr, rgb := gocv.NewMat(), gocv.NewMat()
		d.bgr, d.rgb = &bgr, &rgb
	}
}

func (d *nativeDecoder) close() {
	if d.bgr != nil {
		d.bgr.Close()
		d.rgb.Close()
	}
}

// decode uses IMDecodeIntoMat because IMDecode reports errors through a
// variable that all goroutines share.
func (d *nativeDecoder) decode(dst *vision.Image, data []byte, h Header) error {
	d.open()
	if err := gocv.IMDecodeIntoMat(data, gocv.IMReadColor, d.bgr); err != nil {
		return fmt.Errorf("decode %s: %w", h.Format, err)
	}
	if d.bgr.Empty() {
		return fmt.Errorf("decode %s: the image data is damaged", h.Format)
	}
	if d.bgr.Type() != gocv.MatTypeCV8UC3 || int64(d.bgr.Rows())*int64(d.bgr.Cols()) != int64(h.W)*int64(h.H) {
		return fmt.Errorf("decode %s: the header says %d×%d pixels, the data holds %d×%d", h.Format, h.W, h.H, d.bgr.Cols(), d.bgr.Rows())
	}
	if err := gocv.CvtColor(*d.bgr, d.rgb, gocv.ColorBGRToRGB); err != nil {
		return fmt.Errorf("decode %s: %w", h.Format, err)
	}
	pix, err := d.rgb.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("decode %s: %w", h.Format, err)
	}
	dst.Reset(d.rgb.Cols(), d.rgb.Rows())
	copy(dst.Pix, pix)
	return nil
}
