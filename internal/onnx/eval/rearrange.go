package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers ReverseSequence, CenterCropPad, Col2Im and Det.
func init() {
	register("ReverseSequence", operator{minIn: 2, maxIn: 2, since: 10,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			c.wantType(1, ir.Int64)
			time, batch := c.attrs().Int("time_axis", 0), c.attrs().Int("batch_axis", 1)
			if c.rank(0) < 2 || time+batch != 1 || time*batch != 0 {
				c.fail("has time_axis %d and batch_axis %d for %s", time, batch, shapeString(c.dims(0)))
			}
			c.wantVector(1, c.dims(0)[batch])
			return c.like(0)
		},
		run: func(c *call, out []*ir.Tensor) {
			d, time := c.dims(0), c.attrs().Int("time_axis", 0)
			row, lengths := product(d[2:])*c.dtype(0).Size(), c.ints(1)
			in := c.constant(0).Raw
			for i := range d[0] {
				for j := range d[1] {
					t, b := i, j
					if time == 1 {
						t, b = j, i
					}
					n := int(lengths[b])
					if n < 0 || n > d[time] {
						c.fail("sequence %d has length %d of %d", b, n, d[time])
					}
					from := t
					if t < n {
						from = n - 1 - t
					}
					at := from*d[1] + b
					if time == 1 {
						at = b*d[1] + from
					}
					copy(out[0].Raw[(i*d[1]+j)*row:][:row], in[at*row:])
				}
			}
		}})
	register("CenterCropPad", operator{minIn: 2, maxIn: 2, since: 18,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			out := slices.Clone(c.dims(0))
			size, axes := c.list(1), c.cropAxes()
			if len(size) != len(axes) {
				c.fail("has %d sizes for %d axes", len(size), len(axes))
			}
			for i, a := range axes {
				out[a] = size[i]
			}
			return one(c.dtype(0), out)
		},
		run: func(c *call, out []*ir.Tensor) {
			// Copies the common box: cropped from the larger, into the larger.
			from, to, size := rowMajor(c.dims(0)), rowMajor(out[0].Dims), c.dtype(0).Size()
			box, src, dst := slices.Clone(out[0].Dims), 0, 0
			for a, d := range c.dims(0) {
				box[a] = min(d, out[0].Dims[a])
				src += (d - box[a]) / 2 * from[a]
				dst += (out[0].Dims[a] - box[a]) / 2 * to[a]
			}
			var places []int
			eachOffset(box, to, func(at int) { places = append(places, at) })
			i := 0
			eachOffset(box, from, func(at int) {
				copy(out[0].Raw[(dst+places[i])*size:][:size], c.constant(0).Raw[(src+at)*size:])
				i++
			})
		}})
	register("Col2Im", operator{minIn: 3, maxIn: 3, since: 18,
		types: func(c *call) []ir.Type {
			w := c.columns()
			return []ir.Type{spatialType(c.dtype(0), c.dims(0)[0], c.dims(0)[1]/product(w.kernel), w.in)}
		},
		run: func(c *call, out []*ir.Tensor) {
			w, x := c.columns(), c.floats(0)
			taps, from, to := product(w.kernel), product(w.out), product(w.in)
			y := make([]float64, out[0].Len())
			for t, row := range w.taps() {
				for p := range len(y) / max(1, to) {
					for j, at := range row {
						if at >= 0 {
							y[p*to+int(at)] += x[(p*taps+t)*from+j]
						}
					}
				}
			}
			setFloats(out[0], y)
		}})
	register("Det", operator{minIn: 1, maxIn: 1, since: 11,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			d := c.dims(0)
			if len(d) < 2 || d[len(d)-1] != d[len(d)-2] {
				c.fail("input has shape %s, must be square matrices", shapeString(d))
			}
			return one(c.dtype(0), d[:len(d)-2])
		},
		run: func(c *call, out []*ir.Tensor) {
			n, x := c.dims(0)[c.rank(0)-1], c.floats(0)
			c.spend(out[0].Len(), n, n, n)
			for i := range out[0].Len() {
				setFloat(out[0], i, determinant(x[i*n*n:][:n*n], n))
			}
		}})
}

func (c *call) cropAxes() []int {
	if c.attrs().Has("axes") {
		return c.axes(c.attrs().Ints("axes"), c.rank(0))
	}
	axes := make([]int, c.rank(0))
	for i := range axes {
		axes[i] = i
	}
	return axes
}

// columns gives the window over the image that Col2Im makes.
func (c *call) columns() window {
	c.wantNumber(0)
	c.wantRank(0, 3)
	image, block := c.list(1), c.list(2)
	n := len(image)
	if len(block) != n || n == 0 {
		c.fail("has image_shape %v and block_shape %v", image, block)
	}
	c.count(image)
	c.count(block)
	w := c.window(image, block)
	if d := c.dims(0); product(block) == 0 || d[1]%product(block) != 0 || d[2] != product(w.out) {
		c.fail("input %s does not fit image_shape %v and block_shape %v", shapeString(d), image, block)
	}
	return w
}

// determinant eliminates with partial pivoting, in place.
func determinant(a []float64, n int) float64 {
	det := 1.0
	for k := range n {
		pivot := k
		for i := k + 1; i < n; i++ {
			if math.Abs(a[i*n+k]) > math.Abs(a[pivot*n+k]) {
				pivot = i
			}
		}
		if a[pivot*n+k] == 0 {
			return 0
		}
		if pivot != k {
			det = -det
			for j := range n {
				a[k*n+j], a[pivot*n+j] = a[pivot*n+j], a[k*n+j]
			}
		}
		det *= a[k*n+k]
		for i := k + 1; i < n; i++ {
			f := a[i*n+k] / a[k*n+k]
			for j := k; j < n; j++ {
				a[i*n+j] -= f * a[k*n+j]
			}
		}
	}
	return det
}
