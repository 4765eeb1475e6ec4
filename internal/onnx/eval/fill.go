package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers what makes tensors from shapes and small parameters.
func init() {
	register("Shape", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type { return one(ir.Int64, []int{len(c.shapeSlice())}) },
		run: func(c *call, out []*ir.Tensor) {
			for i, d := range c.shapeSlice() {
				setInt(out[0], i, int64(d))
			}
		}})
	register("Size", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type { return one(ir.Int64, nil) },
		run:   func(c *call, out []*ir.Tensor) { setInt(out[0], 0, int64(product(c.dims(0)))) }})
	register("Constant", operator{minIn: 0, maxIn: 0, view: true,
		types: func(c *call) []ir.Type { return []ir.Type{c.constantAttr().Type()} },
		run: func(c *call, out []*ir.Tensor) {
			t := *c.constantAttr()
			out[0] = &t
		}})
	register("ConstantOfShape", operator{minIn: 1, maxIn: 1, since: 9,
		types: func(c *call) []ir.Type {
			t := ir.Float
			if v := c.fillValue(); v != nil {
				t = v.DType
			}
			dims := c.list(0)
			c.count(dims)
			return one(t, dims)
		},
		run: func(c *call, out []*ir.Tensor) {
			if v := c.fillValue(); v != nil {
				for i := 0; i < len(out[0].Raw); i += len(v.Raw) {
					copy(out[0].Raw[i:], v.Raw)
				}
			}
		}})
	register("Range", operator{minIn: 3, maxIn: 3, since: 11,
		types: func(c *call) []ir.Type {
			t := c.joinDType(0, 1, 2)
			c.wantNumber(0)
			start, limit, delta := c.scalar(0), c.scalar(1), c.scalar(2)
			if delta == 0 || math.IsNaN(start+limit+delta) {
				c.fail("counts from %g to %g by %g", start, limit, delta)
			}
			n := math.Max(0, math.Ceil((limit-start)/delta))
			if n > maxElements {
				c.fail("counts from %g to %g by %g: too many steps", start, limit, delta)
			}
			return one(t, []int{int(n)})
		},
		run: func(c *call, out []*ir.Tensor) {
			if isFloat(out[0].DType) {
				start, delta := c.scalar(0), c.scalar(2)
				for i := range out[0].Len() {
					setFloat(out[0], i, start+float64(i)*delta)
				}
				return
			}
			start, delta := c.ints(0)[0], c.ints(2)[0]
			for i := range out[0].Len() {
				setInt(out[0], i, start+int64(i)*delta)
			}
		}})
	register("EyeLike", operator{minIn: 1, maxIn: 1, since: 9,
		types: func(c *call) []ir.Type {
			c.wantRank(0, 2)
			t := ir.DType(c.attrs().Int("dtype", int(c.dtype(0))))
			if t.Size() == 0 {
				c.fail("element type %d is not supported", t)
			}
			return one(t, c.dims(0))
		},
		run: func(c *call, out []*ir.Tensor) {
			k := c.attrs().Int("k", 0)
			rows, cols := out[0].Dims[0], out[0].Dims[1]
			for i := range rows {
				if j := i + k; j >= 0 && j < cols {
					setInt(out[0], i*cols+j, 1)
				}
			}
		}})
	register("OneHot", operator{minIn: 3, maxIn: 3, since: 9, run: runOneHot,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			c.wantNotString(2)
			c.wantVector(2, 2)
			depth := int(toInt64(c.scalar(1)))
			axis := c.axis(c.attrs().Int("axis", -1), c.rank(0)+1)
			return one(c.dtype(2), slices.Insert(slices.Clone(c.dims(0)), axis, depth))
		}})
	register("Trilu", operator{minIn: 1, maxIn: 2, since: 14,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			if c.rank(0) < 2 {
				c.fail("input has shape %s, must have rank 2 or more", shapeString(c.dims(0)))
			}
			return c.like(0)
		},
		run: func(c *call, out []*ir.Tensor) {
			k, upper := 0, c.attrs().Int("upper", 1) != 0
			if c.has(1) {
				k = c.integer(1)
			}
			in, size, rank := c.constant(0), c.dtype(0).Size(), c.rank(0)
			rows, cols := c.dims(0)[rank-2], c.dims(0)[rank-1]
			for i := range in.Len() {
				row, col := i/cols%rows, i%cols
				if col-row == k || col-row > k == upper {
					copy(out[0].Raw[i*size:][:size], in.Raw[i*size:])
				}
			}
		}})
}

// shapeSlice is the part of the input's shape that Shape returns: start and end
// count from the end where negative, and are clamped.
func (c *call) shapeSlice() []int {
	rank := c.rank(0)
	bound := func(name string, def int) int {
		v := c.attrs().Int(name, def)
		if v < 0 {
			v += rank
		}
		return min(max(v, 0), rank)
	}
	start, end := bound("start", 0), bound("end", rank)
	return c.dims(0)[start:max(start, end)]
}

// constantAttr is the value of a Constant node.
func (c *call) constantAttr() *ir.Tensor {
	if t := c.attrs().Tensor("value"); t != nil {
		c.checkTensor(0, t)
		return t
	}
	switch a := c.attrs(); {
	case a.Has("value_float"):
		return ir.FromFloat32s("", []float32{float32(a.Float("value_float", 0))})
	case a.Has("value_floats"):
		v := a.Floats("value_floats")
		return ir.FromFloat32s("", v, len(v))
	case a.Has("value_int"):
		return ir.FromInt64s("", []int64{int64(a.Int("value_int", 0))})
	case a.Has("value_ints"):
		v, _ := a["value_ints"].([]int64)
		return ir.FromInt64s("", v, len(v))
	}
	c.fail("has no value that is supported")
	return nil
}

// fillValue is ConstantOfShape's value, nil for 0.
func (c *call) fillValue() *ir.Tensor {
	v := c.attrs().Tensor("value")
	if v == nil {
		return nil
	}
	c.checkTensor(0, v)
	if len(v.Raw) == 0 || v.Len() != 1 {
		c.fail("value has shape %s, must have one element", shapeString(v.Dims))
	}
	return v
}

func runOneHot(c *call, out []*ir.Tensor) {
	axis := c.axis(c.attrs().Int("axis", -1), c.rank(0)+1)
	_, depth, inner := split3(out[0].Dims, axis)
	size, values := out[0].DType.Size(), c.constant(2).Raw
	for i := 0; i < len(out[0].Raw); i += size {
		copy(out[0].Raw[i:], values[:size])
	}
	for i, v := range c.floats(0) {
		k := int(toInt64(v))
		if k < -depth || k >= depth {
			continue
		}
		if k < 0 {
			k += depth
		}
		at := (i/inner*depth+k)*inner + i%inner
		copy(out[0].Raw[at*size:], values[size:])
	}
}
