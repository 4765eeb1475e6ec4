package transform

import "github.com/vislora/vislora/vision"

// Posterize keeps the upper bits of every value.
func Posterize(im *vision.Image, bits int) {
	mask := uint8(0xff) << (8 - bits)
	for i := range im.Pix {
		im.Pix[i] &= mask
	}
}

// Solarize inverts the values from threshold on.
func Solarize(im *vision.Image, threshold float64) {
	for i, v := range im.Pix {
		if float64(v) >= threshold {
			im.Pix[i] = 255 - v
		}
	}
}

// AutoContrast stretches every channel to the whole range.
func AutoContrast(im *vision.Image) {
	perChannel(im, func(h *[256]int, lut *[256]uint8) {
		lo, hi := 0, 255
		for lo < 255 && h[lo] == 0 {
			lo++
		}
		for hi > 0 && h[hi] == 0 {
			hi--
		}
		if hi <= lo {
			return
		}
		scale := 255 / float64(hi-lo)
		offset := -float64(lo) * scale
		for i := range lut {
			lut[i] = uint8(min(max(int(float64(float64(i)*scale)+offset), 0), 255))
		}
	})
}

// Equalize flattens every channel's histogram.
func Equalize(im *vision.Image) {
	perChannel(im, func(h *[256]int, lut *[256]uint8) {
		sum, last, values := 0, 0, 0
		for _, n := range h {
			if n > 0 {
				sum, last, values = sum+n, n, values+1
			}
		}
		step := (sum - last) / 255
		if values <= 1 || step == 0 {
			return
		}
		n := step / 2
		for i := range lut {
			lut[i] = uint8(min(n/step, 255))
			n += h[i]
		}
	})
}

// perChannel replaces values by a table that is made from each channel's
// histogram and begins as the identity.
func perChannel(im *vision.Image, table func(h *[256]int, lut *[256]uint8)) {
	for c := range 3 {
		var h [256]int
		for i := c; i < len(im.Pix); i += 3 {
			h[im.Pix[i]]++
		}
		var lut [256]uint8
		for i := range lut {
			lut[i] = uint8(i)
		}
		table(&h, &lut)
		for i := c; i < len(im.Pix); i += 3 {
			im.Pix[i] = lut[im.Pix[i]]
		}
	}
}
