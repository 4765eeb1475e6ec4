package transform

import "github.com/vislora/vislora/vision"

// table is the normalised value of each of the 256 pixel values, per channel
// of the input. It is computed in float32, step by step as torchvision's
// ToTensor and Normalize do, so that the bits agree.
type table struct {
	value  [3][256]float32
	source [3]int // which of R, G, B the channel is
}

func newTable(p vision.Preprocess) *table {
	t := &table{source: [3]int{0, 1, 2}}
	if p.Channels == vision.BGR {
		t.source = [3]int{2, 1, 0}
	}
	for c := range 3 {
		mean, std := float32(p.Mean[c]), float32(p.Std[c])
		for v := range 256 {
			x := float32(v)
			if p.Range == 1 {
				x /= 255
			}
			t.value[c][v] = float32(x-mean) / std
		}
	}
	return t
}

// apply writes im into the top left of dst, whose rows are pitch pixels long.
func (t *table) apply(dst []float32, pitch int, im *vision.Image) {
	v0, v1, v2 := &t.value[0], &t.value[1], &t.value[2]
	s0, s1, s2 := t.source[0], t.source[1], t.source[2]
	for y := range im.H {
		in := im.Pix[3*y*im.W:][:3*im.W]
		out := dst[3*y*pitch:][:3*im.W]
		for i := 0; i+3 <= len(in) && i+3 <= len(out); i += 3 {
			p, q := in[i:i+3:i+3], out[i:i+3:i+3]
			q[0], q[1], q[2] = v0[p[s0]], v1[p[s1]], v2[p[s2]]
		}
	}
}

// surround gives one grey value to an input of w columns, but not to the inside,
// a region of in columns and rows at (x, y), which is written anyway.
func (t *table) surround(dst []float32, w int, x, y, inW, inH int, grey uint8) {
	top, bottom := 3*y*w, 3*(y+inH)*w
	t.fill(dst[:top], grey)
	for from := top; from < bottom; from += 3 * w {
		t.fill(dst[from:from+3*x], grey)
		t.fill(dst[from+3*(x+inW):from+3*w], grey)
	}
	t.fill(dst[bottom:], grey)
}

// fill gives a stretch of an input one grey value.
func (t *table) fill(dst []float32, grey uint8) {
	a, b, c := t.value[0][grey], t.value[1][grey], t.value[2][grey]
	for i := 0; i+3 <= len(dst); i += 3 {
		dst[i], dst[i+1], dst[i+2] = a, b, c
	}
}

// Denormalise turns an input (h, w, 3) back into a picture, for people to see.
// Values that no pixel has, as MixUp makes them, are rounded.
func Denormalise(dst *vision.Image, x []float32, p vision.Preprocess) {
	dst.Reset(p.Size[1], p.Size[0])
	scale := 1.0
	if p.Range == 1 {
		scale = 255
	}
	for i := 0; i+3 <= len(x) && i+3 <= len(dst.Pix); i += 3 {
		for c := range 3 {
			v := (float64(x[i+c])*p.Std[c]+p.Mean[c])*scale + .5
			s := c
			if p.Channels == vision.BGR {
				s = 2 - c
			}
			dst.Pix[i+s] = uint8(min(max(v, 0), 255))
		}
	}
}
