//go:build cgo && gocv_specific_modules

package cv

import (
	"image"
	"image/color"
	"runtime"

	"gocv.io/x/gocv"

	"github.com/vislora/vislora/vision"
)

func warp(dst, src *vision.Image, m Affine, bilinear bool, border Border, fill uint8) error {
	return withMat(dst, func(d *gocv.Mat) error {
		return withMat(src, func(s *gocv.Mat) error {
			v := new([6]float64)
			*v = m
			var pin runtime.Pinner
			pin.Pin(v)
			defer pin.Unpin()
			mm, err := matrix(v)
			if err != nil {
				return err
			}
			defer mm.Close()
			flags := gocv.InterpolationNearestNeighbor
			if bilinear {
				flags = gocv.InterpolationLinear
			}
			kind := gocv.BorderConstant
			if border == Reflect {
				kind = gocv.BorderReflect101
			}
			return gocv.WarpAffineWithParams(*s, d, mm, image.Pt(dst.W, dst.H), flags|gocv.WarpInverseMap, kind, color.RGBA{fill, fill, fill, 0})
		})
	})
}
