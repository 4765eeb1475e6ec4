package cv

import (
	"fmt"

	"github.com/vislora/vislora/vision"
)

// Border says what lies outside an image.
type Border int

// The borders.
const (
	Constant Border = iota // a grey value
	Reflect                // gfedcb|abcdefgh|gfedcba
)

// Affine maps points of the output to points of the input, in coordinates
// where pixel (0, 0) has its centre at (0.5, 0.5), as Pillow's transform does:
//
//	xin = m[0]·x + m[1]·y + m[2],  yin = m[3]·x + m[4]·y + m[5]
type Affine [6]float64

// Warp fills dst, which has its size already and shares no memory with src,
// with src seen through m. The filter is nearest or bilinear.
func Warp(dst, src *vision.Image, m Affine, bilinear bool, border Border, fill uint8) error {
	if dst.W <= 0 || dst.H <= 0 || src.W <= 0 || src.H <= 0 {
		return fmt.Errorf("warp an image of %d×%d to %d×%d pixels: a side is empty", src.W, src.H, dst.W, dst.H)
	}
	// From centres at .5 to centres at whole numbers.
	m[2] += (m[0]+m[1])/2 - .5
	m[5] += (m[3]+m[4])/2 - .5
	return warp(dst, src, m, bilinear, border, fill)
}
