package eval

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers what copies elements in a regular pattern: Transpose, Expand,
// Tile, Slice, Concat, Split.
func init() {
	register("Transpose", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			out := make([]int, c.rank(0))
			for i, p := range c.permutation() {
				out[i] = c.dims(0)[p]
			}
			return one(c.dtype(0), out)
		},
		run: func(c *call, out []*ir.Tensor) {
			own, strides := rowMajor(c.dims(0)), make([]int, c.rank(0))
			for i, p := range c.permutation() {
				strides[i] = own[p]
			}
			c.copyInto(out[0], 0, strides, 0)
		}})
	register("Expand", operator{minIn: 2, maxIn: 2, since: 8,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			want := c.list(1)
			c.count(want)
			return one(c.dtype(0), c.broadcast(c.dims(0), want))
		},
		run: func(c *call, out []*ir.Tensor) {
			c.copyInto(out[0], 0, spreadStrides(c.dims(0), out[0].Dims), 0)
		}})
	register("Tile", operator{minIn: 2, maxIn: 2,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			repeats := c.list(1)
			if len(repeats) != c.rank(0) {
				c.fail("has %d repeats for rank %d", len(repeats), c.rank(0))
			}
			c.count(repeats)
			out := make([]int, len(repeats))
			for i, r := range repeats {
				out[i] = r * c.dims(0)[i]
			}
			return one(c.dtype(0), out)
		},
		run: func(c *call, out []*ir.Tensor) {
			// Reads the input as (1, d0, 1, d1, …) spread to (r0, d0, r1, d1, …).
			own := rowMajor(c.dims(0))
			var dims, strides []int
			for i, r := range c.list(1) {
				dims, strides = append(dims, r, c.dims(0)[i]), append(strides, 0, own[i])
			}
			copyView(out[0].Raw, c.constant(0).Raw, c.dtype(0).Size(), dims, strides, 0)
		}})
	register("Slice", operator{minIn: 1, maxIn: 5,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			out := slices.Clone(c.dims(0))
			for axis, s := range c.ranges() {
				out[axis] = s.n
			}
			return one(c.dtype(0), out)
		},
		run: func(c *call, out []*ir.Tensor) {
			strides, offset := rowMajor(c.dims(0)), 0
			for axis, s := range c.ranges() {
				offset += s.start * strides[axis]
				strides[axis] *= s.step
			}
			c.copyInto(out[0], 0, strides, offset)
		}})
	register("Concat", operator{minIn: 1, maxIn: -1,
		types: func(c *call) []ir.Type {
			out, all := slices.Clone(c.dims(0)), make([]int, len(c.in))
			axis := c.axis(c.attrs().Int("axis", 1), len(out))
			for i := range c.in {
				all[i] = i
				c.wantNotString(i)
				d := c.dims(i)
				if len(d) != len(out) {
					c.fail("cannot concatenate %s and %s", shapeString(c.dims(0)), shapeString(d))
				}
				for j := range d {
					if j != axis && d[j] != out[j] {
						c.fail("cannot concatenate %s and %s on axis %d", shapeString(c.dims(0)), shapeString(d), axis)
					}
				}
				if i > 0 {
					out[axis] += d[axis]
				}
			}
			return one(c.joinDType(all...), out)
		},
		run: func(c *call, out []*ir.Tensor) {
			axis := c.axis(c.attrs().Int("axis", 1), c.rank(0))
			size := out[0].DType.Size()
			outer, total, inner := split3(out[0].Dims, axis)
			at := 0
			for i := range c.in {
				t := convert(c.constant(i), out[0].DType)
				row := t.Dims[axis] * inner * size
				for o := range outer {
					copy(out[0].Raw[o*total*inner*size+at:][:row], t.Raw[o*row:])
				}
				at += row
			}
		}})
	register("Split", operator{minIn: 1, maxIn: 2,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			axis := c.axis(c.attrs().Int("axis", 0), c.rank(0))
			var types []ir.Type
			for _, n := range c.parts(axis) {
				d := slices.Clone(c.dims(0))
				d[axis] = n
				types = append(types, static(c.dtype(0), d...))
			}
			return types
		},
		run: func(c *call, out []*ir.Tensor) {
			axis, at := c.axis(c.attrs().Int("axis", 0), c.rank(0)), 0
			strides := rowMajor(c.dims(0))
			for i, n := range c.parts(axis) {
				if i < len(out) && out[i] != nil {
					c.copyInto(out[i], 0, strides, at*strides[axis])
				}
				at += n
			}
		}})
}

// copyInto fills out with a strided view of input i.
func (c *call) copyInto(out *ir.Tensor, i int, strides []int, offset int) {
	copyView(out.Raw, c.constant(i).Raw, out.DType.Size(), out.Dims, strides, offset)
}

// convert is a cast between floating point types that have been joined.
func convert(t *ir.Tensor, to ir.DType) *ir.Tensor {
	if t.DType == to {
		return t
	}
	out := newTensor(to, t.Dims)
	setFloats(out, floats(t))
	return out
}

// permutation is Transpose's, reversed axes by default.
func (c *call) permutation() []int {
	rank := c.rank(0)
	if !c.attrs().Has("perm") {
		p := make([]int, rank)
		for i := range p {
			p[i] = rank - 1 - i
		}
		return p
	}
	p := c.attrs().Ints("perm")
	if len(p) != rank {
		c.fail("perm %v does not fit shape %s", p, shapeString(c.dims(0)))
	}
	for i, a := range p {
		if a < 0 || a >= rank || slices.Contains(p[:i], a) {
			c.fail("perm %v is not a permutation of %d axes", p, rank)
		}
	}
	return p
}

// span is one axis of a Slice: n elements from start, step apart.
type span struct{ start, step, n int }

// ranges gives the sliced axes. Slices end where the tensor does, however far
// they are asked to go.
func (c *call) ranges() map[int]span {
	starts, ok := c.optionalList("starts", 1)
	ends, ok2 := c.optionalList("ends", 2)
	if !ok || !ok2 || len(starts) != len(ends) {
		c.fail("has %d starts and %d ends", len(starts), len(ends))
	}
	axes, ok := c.optionalList("axes", 3)
	if !ok {
		axes = make([]int, len(starts))
		for i := range axes {
			axes[i] = i
		}
	}
	var steps []int
	if c.has(4) {
		steps = c.list(4)
	}
	if len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		c.fail("has %d starts, %d axes and %d steps", len(starts), len(axes), len(steps))
	}
	out := make(map[int]span, len(axes))
	for i, axis := range c.axes(axes, c.rank(0)) {
		dim, step := c.dims(0)[axis], 1
		if steps != nil {
			step = steps[i]
		}
		start, end := starts[i], ends[i]
		if start < 0 {
			start += dim
		}
		if end < 0 {
			end += dim
		}
		n := 0
		switch {
		case step == 0:
			c.fail("step is 0 on axis %d", axis)
		case step > 0:
			start, end = min(max(start, 0), dim), min(max(end, 0), dim)
			if end > start {
				n = (end-start-1)/step + 1
			}
		default:
			start, end = min(max(start, -1), dim-1), min(max(end, -1), dim-1)
			if start > end {
				// Divides by the negative step: −step overflows for the smallest.
				n = -((start - end - 1) / step) + 1
			}
		}
		if n <= 1 {
			step = 1 // never used, and may be too big to multiply with
		}
		if n == 0 {
			start = 0
		}
		out[axis] = span{start, step, n}
	}
	return out
}

// parts gives the lengths of a Split: as listed, or equal but for the last.
func (c *call) parts(axis int) []int {
	dim := c.dims(0)[axis]
	if list, ok := c.optionalList("split", 1); ok {
		sum := 0
		for _, n := range list {
			if n < 0 || n > dim {
				c.fail("split %v does not fit axis %d of %s", list, axis, shapeString(c.dims(0)))
			}
			sum += n
		}
		if sum != dim || len(list) < len(c.n.Outputs) {
			c.fail("split %v into %d outputs does not fit axis %d of %s", list, len(c.n.Outputs), axis, shapeString(c.dims(0)))
		}
		return list
	}
	k := c.attrs().Int("num_outputs", len(c.n.Outputs))
	if k < len(c.n.Outputs) || k < 1 || k > 1<<16 {
		c.fail("num_outputs is %d, the node has %d", k, len(c.n.Outputs))
	}
	if c.opset < 18 && dim%k != 0 {
		c.fail("cannot split axis %d of %s into %d equal parts", axis, shapeString(c.dims(0)), k)
	}
	parts, each := make([]int, k), (dim+k-1)/k
	for i := range parts {
		parts[i] = max(0, min(each, dim-i*each))
	}
	return parts
}
