package eval

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

func init() {
	register("Gather", operator{minIn: 2, maxIn: 2,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			c.wantIndices(1)
			axis := c.axis(c.attrs().Int("axis", 0), c.rank(0))
			return one(c.dtype(0), slices.Concat(c.dims(0)[:axis], c.dims(1), c.dims(0)[axis+1:]))
		},
		run: func(c *call, out []*ir.Tensor) {
			data := c.constant(0)
			axis := c.axis(c.attrs().Int("axis", 0), c.rank(0))
			outer, n, inner := split3(data.Dims, axis)
			row := inner * data.DType.Size()
			index := c.indices(1, n)
			for o := range outer {
				for i, k := range index {
					copy(out[0].Raw[(o*len(index)+i)*row:][:row], data.Raw[(o*n+k)*row:])
				}
			}
		}})
	register("GatherElements", operator{minIn: 2, maxIn: 2, since: 11,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			c.wantIndices(1)
			c.elementAxis(1)
			return one(c.dtype(0), c.dims(1))
		},
		run: func(c *call, out []*ir.Tensor) {
			data, size := c.constant(0), c.dtype(0).Size()
			c.eachElement(1, func(i, at int) {
				copy(out[0].Raw[i*size:][:size], data.Raw[at*size:])
			})
		}})
	scatter := func(since, until int) operator {
		return operator{minIn: 3, maxIn: 3, since: since, until: until, run: runScatterElements,
			types: func(c *call) []ir.Type {
				c.wantNotString(0)
				c.wantIndices(1)
				c.elementAxis(1)
				c.joinDType(0, 2)
				if !slices.Equal(c.dims(1), c.dims(2)) {
					c.fail("has indices %s and updates %s", shapeString(c.dims(1)), shapeString(c.dims(2)))
				}
				return c.like(0)
			}}
	}
	register("Scatter", scatter(9, 10))
	register("ScatterElements", scatter(11, 0))
	register("GatherND", operator{minIn: 2, maxIn: 2, since: 11,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			batch, depth := c.ndShape(1)
			index := c.dims(1)
			return one(c.dtype(0), slices.Concat(index[:len(index)-1], c.dims(0)[batch+depth:]))
		},
		run: func(c *call, out []*ir.Tensor) {
			data := c.constant(0)
			batch, depth := c.ndShape(1)
			row := product(data.Dims[batch+depth:]) * data.DType.Size()
			for i, at := range c.ndOffsets(1, batch, depth) {
				copy(out[0].Raw[i*row:][:row], data.Raw[at*row:])
			}
		}})
	register("ScatterND", operator{minIn: 3, maxIn: 3, since: 11,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			c.joinDType(0, 2)
			_, depth := c.ndShape(1)
			index := c.dims(1)
			if want := slices.Concat(index[:len(index)-1], c.dims(0)[depth:]); !slices.Equal(want, c.dims(2)) {
				c.fail("has updates %s, wants %s", shapeString(c.dims(2)), shapeString(want))
			}
			return c.like(0)
		},
		run: func(c *call, out []*ir.Tensor) {
			copy(out[0].Raw, c.constant(0).Raw)
			_, depth := c.ndShape(1)
			row := product(c.dims(0)[depth:])
			put := c.reducer(out[0])
			for i, at := range c.ndOffsets(1, 0, depth) {
				for j := range row {
					put(at*row+j, i*row+j)
				}
			}
		}})
}

func (c *call) wantIndices(i int) {
	if t := c.dtype(i); t != ir.Int64 && t != ir.Int32 {
		c.fail("input %d is %v, indices must be int64 or int32", i, t)
	}
}

// indices are the contents of an input that counts into an axis of length n,
// from the end where negative.
func (c *call) indices(i, n int) []int {
	index := c.constant(i).Ints()
	for j, k := range index {
		if k < -n || k >= n {
			c.fail("index %d is outside an axis of length %d", k, n)
		}
		if k < 0 {
			index[j] += n
		}
	}
	return index
}

// elementAxis checks that indices of the data's rank fit into it beside the axis.
func (c *call) elementAxis(i int) int {
	data, index := c.dims(0), c.dims(i)
	axis := c.axis(c.attrs().Int("axis", 0), len(data))
	if len(index) != len(data) {
		c.fail("has indices %s for data %s", shapeString(index), shapeString(data))
	}
	for j := range data {
		if j != axis && index[j] > data[j] {
			c.fail("has indices %s for data %s", shapeString(index), shapeString(data))
		}
	}
	return axis
}

// eachElement visits every element of indices with the place in the data that
// it names.
func (c *call) eachElement(i int, visit func(i, at int)) {
	axis := c.elementAxis(i)
	strides := rowMajor(c.dims(0))
	along := strides[axis]
	strides[axis] = 0
	index, j := c.indices(i, c.dims(0)[axis]), 0
	eachOffset(c.dims(i), strides, func(at int) {
		visit(j, at+index[j]*along)
		j++
	})
}

func runScatterElements(c *call, out []*ir.Tensor) {
	copy(out[0].Raw, c.constant(0).Raw)
	put := c.reducer(out[0])
	c.eachElement(1, func(i, at int) { put(at, i) })
}

// reducer puts update j into place i of out: replaces it, or adds, multiplies,
// takes the larger or the smaller, by the attribute reduction.
func (c *call) reducer(out *ir.Tensor) func(i, j int) {
	updates := convert(c.constant(2), out.DType)
	size, mode := out.DType.Size(), c.attrs().String("reduction", "none")
	var f func(a, b float64) float64
	var g func(a, b int64) int64
	switch mode {
	case "none":
		return func(i, j int) { copy(out.Raw[i*size:][:size], updates.Raw[j*size:]) }
	case "add":
		f, g = func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }
	case "mul":
		f, g = func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }
	case "max":
		f, g = func(a, b float64) float64 { return max(a, b) }, func(a, b int64) int64 { return max(a, b) }
	case "min":
		f, g = func(a, b float64) float64 { return min(a, b) }, func(a, b int64) int64 { return min(a, b) }
	default:
		c.fail("reduction %q is not known", mode)
	}
	if isFloat(out.DType) {
		return func(i, j int) { setFloat(out, i, f(out.Float(i), updates.Float(j))) }
	}
	return func(i, j int) { setInt(out, i, g(out.Int(i), updates.Int(j))) }
}

// ndShape checks the indices of GatherND and ScatterND: their last dimension,
// depth, counts how many axes of the data an index names.
func (c *call) ndShape(i int) (batch, depth int) {
	c.wantType(i, ir.Int64)
	batch = c.attrs().Int("batch_dims", 0)
	data, index := c.dims(0), c.dims(i)
	if len(index) == 0 || batch < 0 || batch >= len(index) || batch >= len(data) || !slices.Equal(data[:batch], index[:batch]) {
		c.fail("has indices %s for data %s with %d batch dimensions", shapeString(index), shapeString(data), batch)
	}
	depth = index[len(index)-1]
	if depth > len(data)-batch {
		c.fail("indices %s name %d axes of data %s with %d batch dimensions", shapeString(index), depth, shapeString(data), batch)
	}
	return batch, depth
}

// ndOffsets gives, for each index, the row of the data that it names.
func (c *call) ndOffsets(i, batch, depth int) []int {
	data, index := c.dims(0), c.ints(i)
	axes := data[batch : batch+depth]
	strides := rowMajor(axes)
	tuples := product(c.dims(i)[:c.rank(i)-1])
	per := tuples / max(1, product(data[:batch])) // per batch entry
	out := make([]int, tuples)
	for t := range out {
		if per > 0 {
			out[t] = t / per * product(axes)
		}
		for j, n := range axes {
			k := int(index[t*depth+j])
			if k < -n || k >= n {
				c.fail("index %d is outside axis %d of length %d", k, batch+j, n)
			}
			if k < 0 {
				k += n
			}
			out[t] += k * strides[j]
		}
	}
	return out
}
