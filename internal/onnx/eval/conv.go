package eval

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers convolutions.
func init() {
	register("Conv", operator{minIn: 2, maxIn: 3,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			w := c.convWindow(0, 1, 2)
			t := c.joinDType(0, 1)
			if c.has(2) {
				t = c.joinDType(0, 1, 2)
			}
			return []ir.Type{spatialType(t, c.dims(0)[0], c.dims(1)[0], w.out)}
		},
		run: func(c *call, out []*ir.Tensor) {
			y := c.convolve(c.convWindow(0, 1, 2), c.floats(0), c.floats(1), c.dims(0), c.dims(1))
			if c.has(2) {
				b, inner := c.floats(2), product(out[0].Dims[2:])
				for i := range y {
					y[i] += b[i/inner%len(b)]
				}
			}
			setFloats(out[0], y)
		}})
	register("ConvInteger", operator{minIn: 2, maxIn: 4, since: 10,
		types: func(c *call) []ir.Type {
			w := c.convWindow(0, 1, -1)
			return []ir.Type{spatialType(ir.Int32, c.dims(0)[0], c.dims(1)[0], w.out)}
		},
		run: func(c *call, out []*ir.Tensor) {
			x, k := asFloats(c.centered(0, 2, c.rank(0))), asFloats(c.centered(1, 3, 0))
			setFloats(out[0], c.convolve(c.convWindow(0, 1, -1), x, k, c.dims(0), c.dims(1)))
		}})
	register("ConvTranspose", operator{minIn: 2, maxIn: 3, run: runConvTranspose,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			w, group := c.transposeWindow()
			t := c.joinDType(0, 1)
			if c.has(2) {
				t = c.joinDType(0, 1, 2)
				c.wantVector(2, c.dims(1)[1]*group)
			}
			// The window's input is what this operator makes.
			return []ir.Type{spatialType(t, c.dims(0)[0], c.dims(1)[1]*group, w.in)}
		}})
}

func asFloats(v []int64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// convWindow checks a convolution of input x by input k and gives its geometry.
func (c *call) convWindow(x, k, bias int) window {
	c.wantSpatial(x)
	c.wantRank(k, c.rank(x))
	xd, kd := c.dims(x), c.dims(k)
	group := c.attrs().Int("group", 1)
	if group < 1 || kd[0]%group != 0 || kd[1]*group != xd[1] {
		c.fail("input %s and weights %s do not fit group %d", shapeString(xd), shapeString(kd), group)
	}
	if want := c.attrs().Ints("kernel_shape"); want != nil && !slices.Equal(want, kd[2:]) {
		c.fail("kernel_shape is %v, weights are %s", want, shapeString(kd))
	}
	if bias >= 0 && c.has(bias) {
		c.wantVector(bias, kd[0])
	}
	return c.window(xd[2:], kd[2:])
}

// convolve is a grouped convolution of x (N, C, …) by k (M, C/group, …).
func (c *call) convolve(w window, x, k []float64, xDims, kDims []int) []float64 {
	n, ch, m := xDims[0], xDims[1], kDims[0]
	group := c.attrs().Int("group", 1)
	perIn, perOut := ch/group, m/group
	in, taps, o := product(w.in), product(w.kernel), product(w.out)
	c.spend(n, m, perIn, taps, o)
	y := make([]float64, n*m*o)
	table := w.taps()
	column := make([]float64, o)
	for b := range n {
		for i := range ch {
			plane := x[(b*ch+i)*in:][:in]
			g := i / perIn
			for t, from := range table {
				for j, at := range from {
					column[j] = 0
					if at >= 0 {
						column[j] = plane[at]
					}
				}
				for q := g * perOut; q < (g+1)*perOut; q++ {
					axpy(y[(b*m+q)*o:][:o], k[(q*perIn+i%perIn)*taps+t], column)
				}
			}
		}
	}
	return y
}

// transposeWindow gives the convolution whose gradient ConvTranspose is: its
// output is this operator's input.
func (c *call) transposeWindow() (window, int) {
	c.wantSpatial(0)
	c.wantRank(1, c.rank(0))
	xd, kd := c.dims(0), c.dims(1)
	group := c.attrs().Int("group", 1)
	if group < 1 || kd[0] != xd[1] || xd[1]%group != 0 || kd[1] > maxElements/group {
		c.fail("input %s and weights %s do not fit group %d", shapeString(xd), shapeString(kd), group)
	}
	n := len(xd) - 2
	w := window{out: xd[2:], kernel: kd[2:], in: make([]int, n),
		stride: c.perAxis("strides", n, 1, 1), dilation: c.perAxis("dilations", n, 1, 1),
		before: make([]int, n), after: make([]int, n)}
	pads, extra := c.perAxis("pads", 2*n, 0, 0), c.perAxis("output_padding", n, 0, 0)
	want := c.attrs().Ints("output_shape")
	if want != nil && len(want) == n+2 {
		want = want[2:]
	}
	if want != nil && len(want) != n {
		c.fail("output_shape %v does not fit %d spatial axes", want, n)
	}
	auto := c.attrs().String("auto_pad", "NOTSET")
	for i := range n {
		full := (w.out[i]-1)*w.stride[i] + extra[i] + (w.kernel[i]-1)*w.dilation[i] + 1
		w.before[i], w.after[i] = pads[i], pads[n+i]
		if auto == "VALID" {
			w.before[i], w.after[i] = 0, 0
		}
		same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
		if same || want != nil {
			length := w.out[i] * w.stride[i]
			if want != nil {
				length = want[i]
			}
			total := max(0, full-length)
			if w.before[i], w.after[i] = total/2, total-total/2; auto != "SAME_UPPER" {
				w.before[i], w.after[i] = w.after[i], w.before[i]
			}
			w.in[i] = length
		} else {
			w.in[i] = full - w.before[i] - w.after[i]
		}
		if w.in[i] < 0 {
			c.fail("output has length %d on spatial axis %d", w.in[i], i)
		}
	}
	return w, group
}

func runConvTranspose(c *call, out []*ir.Tensor) {
	w, group := c.transposeWindow()
	x, k := c.floats(0), c.floats(1)
	n, ch, perOut := c.dims(0)[0], c.dims(0)[1], c.dims(1)[1]
	m, perIn := perOut*group, ch/group
	from, taps, to := product(w.out), product(w.kernel), product(w.in)
	c.spend(n, ch, perOut, taps, from)
	y := make([]float64, n*m*to)
	table := w.taps()
	for b := range n {
		for i := range ch {
			plane := x[(b*ch+i)*from:][:from]
			for q := range perOut {
				target := y[(b*m+i/perIn*perOut+q)*to:][:to]
				for t, at := range table {
					v := k[(i*perOut+q)*taps+t]
					for j, a := range at {
						if a >= 0 {
							target[a] += v * plane[j]
						}
					}
				}
			}
		}
	}
	if c.has(2) {
		bias := c.floats(2)
		for i := range y {
			y[i] += bias[i/to%m]
		}
	}
	setFloats(out[0], y)
}
