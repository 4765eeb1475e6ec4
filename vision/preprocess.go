package vision

import (
	"errors"
	"fmt"
	"math"
)

// The values of the fields of [Preprocess].
const (
	RGB = "RGB"
	BGR = "BGR"

	ResizeShorter   = "shorter"   // the shorter side becomes ResizeTo, then Crop
	ResizeStretch   = "stretch"   // to Size, the aspect ratio is lost
	ResizeLetterbox = "letterbox" // fits into Size, the rest is Pad

	Bilinear  = "bilinear"
	Bicubic   = "bicubic"
	BoxFilter = "box"
	Nearest   = "nearest"

	// RoundTorchvision truncates the longer side and rounds the offset of the
	// centre crop half to even, as torchvision and timm do.
	RoundTorchvision = "torchvision"
	// RoundNearest rounds the longer side to the nearest integer and the
	// offset of the centre crop down.
	RoundNearest = "nearest"

	AlignCenter  = "center"
	AlignTopLeft = "topleft"
)

// Preprocess says how an image becomes the input of a model. It is found in a
// model's metadata, named by a preset or given, and is written into every file
// that a run produces.
//
//	x[c] = (pixel[c]/255·Range − Mean[c]) / Std[c]
//
// Mean and Std stand in the order of Channels: with "BGR" the first is blue's.
// Resizing is antialiased and equals Pillow's to the byte.
type Preprocess struct {
	Mean     [3]float64 `json:"mean" yaml:"mean"`
	Std      [3]float64 `json:"std" yaml:"std"`
	Range    float64    `json:"range" yaml:"range"`       // 1 or 255: what white is before Mean and Std
	Channels string     `json:"channels" yaml:"channels"` // RGB or BGR
	Size     [2]int     `json:"size" yaml:"size"`         // height, width of the input
	Resize   string     `json:"resize" yaml:"resize"`     // shorter, stretch or letterbox
	// ResizeTo is the shorter side before the centre crop; only with "shorter".
	ResizeTo      int    `json:"resize_to,omitempty" yaml:"resize_to,omitempty"`
	Interpolation string `json:"interpolation" yaml:"interpolation"`           // bilinear, bicubic, box or nearest
	Rounding      string `json:"rounding,omitempty" yaml:"rounding,omitempty"` // torchvision (default) or nearest
	// Pad is the grey value (0–255) around a letterboxed image, Align where
	// the image stands in it: center (default) or topleft.
	Pad   uint8  `json:"pad,omitempty" yaml:"pad,omitempty"`
	Align string `json:"align,omitempty" yaml:"align,omitempty"`
}

// Validate reports everything that is wrong, not only the first.
func (p Preprocess) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	for c := range 3 {
		if math.IsNaN(p.Mean[c]) || math.IsInf(p.Mean[c], 0) {
			bad("mean[%d] is %v: it has to be a number", c, p.Mean[c])
		}
		if s := p.Std[c]; !(s > 0) || math.IsInf(s, 0) {
			bad("std[%d] is %v: it has to be above 0", c, s)
		}
	}
	if p.Range != 1 && p.Range != 255 {
		bad("range is %v: use 1 (pixels from 0 to 1) or 255", p.Range)
	}
	oneOf := func(name, v string, ok ...string) {
		for _, o := range ok {
			if v == o {
				return
			}
		}
		bad("%s is %q: use one of %q", name, v, ok)
	}
	oneOf("channels", p.Channels, RGB, BGR)
	oneOf("resize", p.Resize, ResizeShorter, ResizeStretch, ResizeLetterbox)
	oneOf("interpolation", p.Interpolation, Bilinear, Bicubic, BoxFilter, Nearest)
	oneOf("rounding", p.Rounding, "", RoundTorchvision, RoundNearest)
	oneOf("align", p.Align, "", AlignCenter, AlignTopLeft)
	const most = 1 << 14
	for i, n := range [2]string{"height", "width"} {
		if p.Size[i] < 1 || p.Size[i] > most {
			bad("%s is %d: use 1 to %d", n, p.Size[i], most)
		}
	}
	if p.Resize == ResizeShorter {
		if m := max(p.Size[0], p.Size[1]); p.ResizeTo < m {
			bad("resize_to is %d, less than the crop of %d: use at least %d", p.ResizeTo, m, m)
		} else if p.ResizeTo > most {
			bad("resize_to is %d: use at most %d", p.ResizeTo, most)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("check preprocessing: %w", errors.Join(errs...))
}

// Normalised is p for inputs of h×w pixels: the share of the image that the
// centre crop keeps stays the same, ResizeTo = ⌊max(h, w)·ResizeTo/max(Size)⌋,
// as timm computes it from crop_pct.
func (p Preprocess) Normalised(h, w int) Preprocess {
	if p.Resize == ResizeShorter {
		if was := max(p.Size[0], p.Size[1]); was > 0 {
			p.ResizeTo = max(max(h, w)*p.ResizeTo/was, max(h, w))
		}
	}
	p.Size = [2]int{h, w}
	return p
}
