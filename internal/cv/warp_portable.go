//go:build !cgo || !gocv_specific_modules

package cv

import (
	"math"

	"github.com/vislora/vislora/vision"
)

// warp weighs the four neighbours with 8-bit fractions.
func warp(dst, src *vision.Image, m Affine, bilinear bool, border Border, fill uint8) error {
	for y := range dst.H {
		x0, y0 := m[1]*float64(y)+m[2], m[4]*float64(y)+m[5]
		out := dst.Pix[3*y*dst.W:][:3*dst.W]
		for x := range dst.W {
			fx, fy := x0+m[0]*float64(x), y0+m[3]*float64(x)
			p := out[3*x : 3*x+3 : 3*x+3]
			if !bilinear {
				i := at(src, int(math.Floor(fx+.5)), int(math.Floor(fy+.5)), border)
				if i < 0 {
					p[0], p[1], p[2] = fill, fill, fill
				} else {
					copy(p, src.Pix[i:i+3])
				}
				continue
			}
			xi, yi := int(math.Floor(fx)), int(math.Floor(fy))
			wx, wy := int(256*(fx-float64(xi))+.5), int(256*(fy-float64(yi))+.5)
			var corner [4]int
			if xi >= 0 && yi >= 0 && xi+1 < src.W && yi+1 < src.H {
				i := 3 * (yi*src.W + xi)
				corner = [4]int{i, i + 3, i + 3*src.W, i + 3*src.W + 3}
			} else {
				corner = [4]int{at(src, xi, yi, border), at(src, xi+1, yi, border), at(src, xi, yi+1, border), at(src, xi+1, yi+1, border)}
			}
			weight := [4]int{(256 - wx) * (256 - wy), wx * (256 - wy), (256 - wx) * wy, wx * wy}
			for c := range p {
				v := 1 << 15
				for k, i := range corner {
					if i < 0 {
						v += weight[k] * int(fill)
					} else {
						v += weight[k] * int(src.Pix[i+c])
					}
				}
				p[c] = uint8(v >> 16)
			}
		}
	}
	return nil
}

// at is the offset of a pixel, −1 where the border's constant stands.
func at(im *vision.Image, x, y int, border Border) int {
	if uint(x) >= uint(im.W) || uint(y) >= uint(im.H) {
		if border == Constant {
			return -1
		}
		x, y = reflect101(x, im.W), reflect101(y, im.H)
	}
	return 3 * (y*im.W + x)
}

func reflect101(i, n int) int {
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	i = (i%period + period) % period
	if i >= n {
		i = period - i
	}
	return i
}
