package transform

import (
	"fmt"
	"image"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// Resizer resamples images and keeps its scratch memory between calls. It
// belongs to one goroutine; the zero value is ready.
type Resizer struct {
	across, down taps
	rows         []uint8
	sum          []int32
	index        []int
}

// Resize makes dst what Pillow's resize makes of src, to the byte.
func (r *Resizer) Resize(dst, src *vision.Image, w, h int, interpolation string) error {
	return r.ResizeRegion(dst, src, image.Rect(0, 0, src.W, src.H), w, h, image.Rect(0, 0, w, h), interpolation)
}

// ResizeRegion cuts region out of src, resizes it to w×h, and writes the part
// of the result that window names into dst: crop, resize and crop in one, with
// no more work than the window needs.
func (r *Resizer) ResizeRegion(dst, src *vision.Image, region image.Rectangle, w, h int, window image.Rectangle, interpolation string) error {
	if region.Empty() || !region.In(image.Rect(0, 0, src.W, src.H)) {
		return fmt.Errorf("resize the region %v of an image of %d×%d pixels: it is empty or outside", region, src.W, src.H)
	}
	if window.Empty() || !window.In(image.Rect(0, 0, w, h)) {
		return fmt.Errorf("cut %v out of %d×%d pixels: it is empty or outside", window, w, h)
	}
	dst.Reset(window.Dx(), window.Dy())
	if interpolation == vision.Nearest {
		r.nearest(dst, src, region, w, h, window)
		return nil
	}
	k, ok := kernels[interpolation]
	if !ok {
		return fmt.Errorf("resize with interpolation %q: use bilinear, bicubic, box or nearest", interpolation)
	}
	r.down.compute(region.Dy(), h, window.Min.Y, window.Max.Y, k)
	n := window.Dy() - 1
	top := r.down.first[0]
	bottom := top
	for i := range n + 1 {
		bottom = max(bottom, r.down.first[i]+r.down.count[i])
	}

	// Across first, and only the rows that are needed, as Pillow does. An axis
	// that keeps its length is copied: the filters are 1 at 0 and 0 at ±1.
	width := 3 * window.Dx()
	r.rows = grow(r.rows, (bottom-top)*width)
	same := region.Dx() == w
	if !same {
		r.across.compute(region.Dx(), w, window.Min.X, window.Max.X, k)
	}
	in := src.Pix[3*((region.Min.Y+top)*src.W+region.Min.X):][:3*((bottom-top-1)*src.W+region.Dx())]
	if !same && cv.HasPixels {
		cv.Across(r.rows, in, 3*src.W, bottom-top, r.across.first, r.across.count, r.across.weight, r.across.size)
	} else {
		for y := range bottom - top {
			in, out := in[3*y*src.W:][:3*region.Dx()], r.rows[y*width:][:width]
			if same {
				copy(out, in[3*window.Min.X:])
			} else {
				r.across.row(out, in)
			}
		}
	}
	if region.Dy() == h {
		copy(dst.Pix, r.rows[(window.Min.Y-top)*width:])
		return nil
	}
	r.sum = grow(r.sum, width)
	for i := range n + 1 {
		first := r.down.first[i] - top
		weights := r.down.weight[i*r.down.size:][:r.down.count[i]]
		if cv.HasPixels {
			cv.Down(dst.Pix[i*width:][:width], r.rows[first*width:], weights)
			continue
		}
		column(dst.Pix[i*width:][:width], r.rows[first*width:], r.sum, weights)
	}
	return nil
}

// row resamples one row of packed RGB.
func (t *taps) row(out, in []uint8) {
	for i, first := range t.first {
		k := t.weight[i*t.size:][:t.count[i]]
		p := in[3*first:][:3*len(k)]
		a, b, c := int32(1<<(precision-1)), int32(1<<(precision-1)), int32(1<<(precision-1))
		for len(k) >= 2 && len(p) >= 6 {
			k0, k1 := k[0], k[1]
			a += int32(p[0])*k0 + int32(p[3])*k1
			b += int32(p[1])*k0 + int32(p[4])*k1
			c += int32(p[2])*k0 + int32(p[5])*k1
			k, p = k[2:], p[6:]
		}
		if len(k) > 0 && len(p) >= 3 {
			a += int32(p[0]) * k[0]
			b += int32(p[1]) * k[0]
			c += int32(p[2]) * k[0]
		}
		q := out[3*i:][:3]
		q[0], q[1], q[2] = clip8(a), clip8(b), clip8(c)
	}
}

// column adds rows, len(out) bytes apart, with their weights.
func column(out, rows []uint8, sum []int32, weights []int32) {
	n := len(out)
	sum = sum[:n]
	for j := range sum {
		sum[j] = 1 << (precision - 1)
	}
	for len(weights) >= 4 {
		k0, k1, k2, k3 := weights[0], weights[1], weights[2], weights[3]
		r0, r1, r2, r3 := rows[:n], rows[n:][:n], rows[2*n:][:n], rows[3*n:][:n]
		for j := range sum {
			sum[j] += int32(r0[j])*k0 + int32(r1[j])*k1 + int32(r2[j])*k2 + int32(r3[j])*k3
		}
		weights, rows = weights[4:], rows[4*n:]
	}
	for _, k := range weights {
		r0 := rows[:n]
		for j := range sum {
			sum[j] += int32(r0[j]) * k
		}
		rows = rows[n:]
	}
	for j, v := range sum {
		out[j] = clip8(v)
	}
}

func clip8(v int32) uint8 {
	v >>= precision
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return uint8(v)
}

// nearest accumulates the position as Pillow does, rounding errors included.
func (r *Resizer) nearest(dst, src *vision.Image, region image.Rectangle, w, h int, window image.Rectangle) {
	r.index = grow(r.index, dst.W+dst.H)
	axis := func(index []int, in, out, from int) {
		step := float64(in) / float64(out)
		x := step * .5
		for i := range from + len(index) {
			if i >= from {
				index[i-from] = min(int(x), in-1)
			}
			x += step
		}
	}
	xs, ys := r.index[:dst.W], r.index[dst.W:]
	axis(xs, region.Dx(), w, window.Min.X)
	axis(ys, region.Dy(), h, window.Min.Y)
	for y := range dst.H {
		in := src.Pix[3*((region.Min.Y+ys[y])*src.W+region.Min.X):]
		out := dst.Pix[3*y*dst.W:][:3*dst.W]
		for x := range dst.W {
			copy(out[3*x:3*x+3], in[3*xs[x]:])
		}
	}
}
