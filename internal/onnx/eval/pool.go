package eval

import (
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers pooling.
func init() {
	register("MaxPool", operator{minIn: 1, maxIn: 1, run: runMaxPool,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			w := c.poolWindow()
			t := spatialType(c.dtype(0), c.dims(0)[0], c.dims(0)[1], w.out)
			return []ir.Type{t, {DType: ir.Int64, Dims: t.Dims, Known: true}}
		}})
	pool := func(name string, reduce func(c *call, w window, plane []float64, table [][]int32, j int) float64) {
		register(name, operator{minIn: 1, maxIn: 1,
			types: func(c *call) []ir.Type {
				c.wantFloat(0)
				return []ir.Type{spatialType(c.dtype(0), c.dims(0)[0], c.dims(0)[1], c.poolWindow().out)}
			},
			run: func(c *call, out []*ir.Tensor) {
				w, x := c.poolWindow(), c.floats(0)
				in, o := product(w.in), product(w.out)
				c.spend(out[0].Len(), product(w.kernel))
				table := w.taps()
				for p := range product(c.dims(0)[:2]) {
					for j := range o {
						setFloat(out[0], p*o+j, reduce(c, w, x[p*in:][:in], table, j))
					}
				}
			}})
	}
	pool("AveragePool", func(c *call, w window, plane []float64, table [][]int32, j int) float64 {
		sum, n := 0.0, 0
		for _, row := range table {
			if row[j] >= 0 {
				sum += plane[row[j]]
				n++
			}
		}
		if c.attrs().Int("count_include_pad", 0) != 0 {
			n = w.padded(j)
		}
		return sum / float64(n)
	})
	pool("LpPool", func(c *call, _ window, plane []float64, table [][]int32, j int) float64 {
		p, sum := c.attrs().Float("p", float64(c.attrs().Int("p", 2))), 0.0
		for _, row := range table {
			if row[j] >= 0 {
				sum += math.Pow(math.Abs(plane[row[j]]), p)
			}
		}
		return math.Pow(sum, 1/p)
	})
	global := func(name string, reduce func(c *call, plane []float64) float64) {
		register(name, operator{minIn: 1, maxIn: 1,
			types: func(c *call) []ir.Type {
				c.wantFloat(0)
				c.wantSpatial(0)
				d := append([]int(nil), c.dims(0)...)
				for i := range d[2:] {
					d[2+i] = 1
				}
				return one(c.dtype(0), d)
			},
			run: func(c *call, out []*ir.Tensor) {
				x, in := c.floats(0), product(c.dims(0)[2:])
				for p := range out[0].Len() {
					setFloat(out[0], p, reduce(c, x[p*in:][:in]))
				}
			}})
	}
	global("GlobalAveragePool", func(_ *call, plane []float64) float64 {
		sum := 0.0
		for _, v := range plane {
			sum += v
		}
		return sum / float64(len(plane))
	})
	global("GlobalMaxPool", func(_ *call, plane []float64) float64 { return maximum(plane) })
	global("GlobalLpPool", func(c *call, plane []float64) float64 {
		p, sum := float64(c.attrs().Int("p", 2)), 0.0
		for _, v := range plane {
			sum += math.Pow(math.Abs(v), p)
		}
		return math.Pow(sum, 1/p)
	})
	register("MaxUnpool", operator{minIn: 2, maxIn: 3, since: 9, run: runMaxUnpool,
		types: func(c *call) []ir.Type {
			c.wantSpatial(0)
			n := c.rank(0) - 2
			if c.count(c.dims(1)) != c.count(c.dims(0)) {
				c.fail("has indices %s for %s", shapeString(c.dims(1)), shapeString(c.dims(0)))
			}
			if c.has(2) {
				dims := c.list(2)
				if len(dims) != n+2 {
					c.fail("output_shape %v does not fit %s", dims, shapeString(c.dims(0)))
				}
				return one(c.dtype(0), dims)
			}
			return []ir.Type{spatialType(c.dtype(0), c.dims(0)[0], c.dims(0)[1], c.unpooled())}
		}})
}

func (c *call) poolWindow() window {
	c.wantSpatial(0)
	kernel := c.attrs().Ints("kernel_shape")
	if kernel == nil {
		c.fail("kernel_shape is missing")
	}
	return c.window(c.dims(0)[2:], kernel)
}

// padded counts the kernel positions of output j that lie in the input or its
// padding; in ceil mode the last window may reach beyond both.
func (w window) padded(j int) int {
	pos, n := make([]int, len(w.in)), 1
	unravel(j, w.out, pos)
	for a, p := range pos {
		k := 0
		for t := range w.kernel[a] {
			if x := p*w.stride[a] - w.before[a] + t*w.dilation[a]; x < w.in[a]+w.after[a] {
				k++
			}
		}
		n *= k
	}
	return n
}

// runMaxPool also gives the places of the maxima in the whole input, counted
// row-major or, with storage_order 1, with the spatial axes reversed.
func runMaxPool(c *call, out []*ir.Tensor) {
	w, v := c.poolWindow(), sortKeys(c.constant(0))
	in, o, size := product(w.in), product(w.out), c.dtype(0).Size()
	c.spend(product(c.dims(0)[:2]), o, product(w.kernel))
	table := w.taps()
	columns := c.attrs().Int("storage_order", 0) == 1
	pos := make([]int, len(w.in))
	for p := range product(c.dims(0)[:2]) {
		for j := range o {
			best := -1
			for _, row := range table {
				if at := int(row[j]); at >= 0 && (best < 0 || v.compare(p*in+at, p*in+best) > 0) {
					best = at
				}
			}
			if best < 0 {
				c.fail("window %d lies in the padding alone", j)
			}
			if out[0] != nil {
				copy(out[0].Raw[(p*o+j)*size:][:size], c.constant(0).Raw[(p*in+best)*size:])
			}
			if len(out) > 1 && out[1] != nil {
				if columns {
					unravel(best, w.in, pos)
					best = 0
					for a := len(pos) - 1; a >= 0; a-- {
						best = best*w.in[a] + pos[a]
					}
				}
				setInt(out[1], p*o+j, int64(p*in+best))
			}
		}
	}
}

// unpooled gives the spatial lengths that MaxPool had before it.
func (c *call) unpooled() []int {
	n := c.rank(0) - 2
	kernel := c.perAxis("kernel_shape", n, 1, 1)
	stride, pads := c.perAxis("strides", n, 1, 1), c.perAxis("pads", 2*n, 0, 0)
	out := make([]int, n)
	for i, d := range c.dims(0)[2:] {
		out[i] = (d-1)*stride[i] + kernel[i] - pads[i] - pads[n+i]
	}
	return out
}

// runMaxUnpool places values by index. The indices count in the shape that the
// attributes give, whatever the output's.
func runMaxUnpool(c *call, out []*ir.Tensor) {
	from := append([]int{c.dims(0)[0], c.dims(0)[1]}, c.unpooled()...)
	size, strides := c.dtype(0).Size(), rowMajor(out[0].Dims)
	total, pos := c.count(from), make([]int, len(from))
	for i, k := range c.ints(1) {
		if k < 0 || k >= int64(total) {
			c.fail("index %d is outside %s", k, shapeString(from))
		}
		unravel(int(k), from, pos)
		at := 0
		for a, p := range pos {
			if p >= out[0].Dims[a] {
				c.fail("index %d is outside %s", k, shapeString(out[0].Dims))
			}
			at += p * strides[a]
		}
		copy(out[0].Raw[at*size:][:size], c.constant(0).Raw[i*size:])
	}
}
