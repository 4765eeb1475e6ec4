package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers DeformConv (Zhu et al., arXiv:1811.11168).
func init() {
	register("DeformConv", operator{minIn: 3, maxIn: 5, since: 19, run: runDeformConv,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			w := c.convWindow(0, 1, 3)
			if c.rank(0) != 4 {
				c.fail("input has shape %s, only images (N,C,H,W) are supported", shapeString(c.dims(0)))
			}
			groups, taps := c.attrs().Int("offset_group", 1), product(w.kernel)
			if groups < 1 || c.dims(0)[1]%groups != 0 || groups > c.dims(0)[1] {
				c.fail("offset_group %d does not divide %d channels", groups, c.dims(0)[1])
			}
			want := []int{c.dims(0)[0], groups * taps * 2, w.out[0], w.out[1]}
			if !slices.Equal(want, c.dims(2)) {
				c.fail("has offsets %s, wants %s", shapeString(c.dims(2)), shapeString(want))
			}
			if want[1] /= 2; c.has(4) && !slices.Equal(want, c.dims(4)) {
				c.fail("has mask %s, wants %s", shapeString(c.dims(4)), shapeString(want))
			}
			return []ir.Type{spatialType(c.joinDType(0, 1, 2), c.dims(0)[0], c.dims(1)[0], w.out)}
		}})
}

// runDeformConv convolves samples of the input taken beside the kernel's
// positions, by the offsets, weighted by the mask.
func runDeformConv(c *call, out []*ir.Tensor) {
	w := c.convWindow(0, 1, 3)
	x, k, offset := c.floats(0), c.floats(1), c.floats(2)
	n, ch, h, width := c.dims(0)[0], c.dims(0)[1], w.in[0], w.in[1]
	m, perIn := c.dims(1)[0], c.dims(1)[1]
	taps, o := product(w.kernel), product(w.out)
	groups := c.attrs().Int("offset_group", 1)
	perOut := m / (ch / perIn)
	c.spend(n, m, perIn, taps, o)
	var mask []float64
	if c.has(4) {
		mask = c.floats(4)
	}
	y := make([]float64, n*m*o)
	sample := make([]float64, o)
	for b := range n {
		for i := range ch {
			plane, g := x[(b*ch+i)*h*width:][:h*width], i/(ch/groups)
			for t := range taps {
				base := (b*groups+g)*taps + t
				for j := range sample {
					py := float64(j/w.out[1]*w.stride[0]-w.before[0]+t/w.kernel[1]*w.dilation[0]) + offset[(2*base)*o+j]
					px := float64(j%w.out[1]*w.stride[1]-w.before[1]+t%w.kernel[1]*w.dilation[1]) + offset[(2*base+1)*o+j]
					sample[j] = bilinear(plane, h, width, py, px)
					if mask != nil {
						sample[j] *= mask[base*o+j]
					}
				}
				first := i / perIn * perOut
				for q := first; q < first+perOut; q++ {
					axpy(y[(b*m+q)*o:][:o], k[(q*perIn+i%perIn)*taps+t], sample)
				}
			}
		}
	}
	if c.has(3) {
		bias := c.floats(3)
		for i := range y {
			y[i] += bias[i/o%m]
		}
	}
	setFloats(out[0], y)
}

// bilinear reads a plane between its pixels; outside it is zero.
func bilinear(plane []float64, h, w int, y, x float64) float64 {
	if !(y > -1 && y < float64(h) && x > -1 && x < float64(w)) {
		return 0
	}
	y0, x0 := math.Floor(y), math.Floor(x)
	ly, lx := y-y0, x-x0
	sum := 0.0
	for _, p := range [][3]float64{{y0, x0, (1 - ly) * (1 - lx)}, {y0, x0 + 1, (1 - ly) * lx}, {y0 + 1, x0, ly * (1 - lx)}, {y0 + 1, x0 + 1, ly * lx}} {
		if i, j := int(p[0]), int(p[1]); i >= 0 && i < h && j >= 0 && j < w {
			sum += p[2] * plane[i*w+j]
		}
	}
	return sum
}
