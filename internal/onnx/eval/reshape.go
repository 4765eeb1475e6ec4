package eval

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers what changes the shape and leaves the elements where they are.
func init() {
	view := func(c *call, out []*ir.Tensor) {
		t := c.in[0].t
		out[0] = reshaped(t, c.outShape)
	}
	viewOp := func(minIn, maxIn int, shape func(*call) []int) operator {
		return operator{minIn: minIn, maxIn: maxIn, view: true, run: view,
			types: func(c *call) []ir.Type {
				c.outShape = shape(c)
				return one(c.dtype(0), c.outShape)
			}}
	}
	register("Identity", viewOp(1, 1, func(c *call) []int { return c.dims(0) }))
	register("Reshape", viewOp(2, 2, func(c *call) []int {
		dims, err := reshapeDims(c.dims(0), c.list(1), c.attrs().Int("allowzero", 0) != 0)
		if err != nil {
			c.fail("%v", err)
		}
		return dims
	}))
	register("Flatten", viewOp(1, 1, func(c *call) []int {
		axis := c.attrs().Int("axis", 1)
		if axis != c.rank(0) {
			axis = c.axis(axis, c.rank(0))
		}
		return []int{product(c.dims(0)[:axis]), product(c.dims(0)[axis:])}
	}))
	register("Squeeze", viewOp(1, 2, squeeze))
	register("Unsqueeze", viewOp(1, 2, unsqueeze))
	register("Dropout", operator{minIn: 1, maxIn: 3, view: true,
		types: func(c *call) []ir.Type {
			if c.has(2) && c.scalar(2) != 0 {
				if c.has(1) && c.scalar(1) == 0 {
					return []ir.Type{c.typ(0), static(ir.Bool, c.dims(0)...)}
				}
				c.fail("is in training mode, which draws random numbers")
			}
			mask := ir.Bool
			if c.opset < 10 {
				mask = c.dtype(0)
			}
			return []ir.Type{c.typ(0), static(mask, c.dims(0)...)}
		},
		run: func(c *call, out []*ir.Tensor) {
			out[0] = reshaped(c.in[0].t, c.dims(0))
			if len(out) > 1 {
				mask := ir.Bool
				if c.opset < 10 {
					mask = c.dtype(0)
				}
				out[1] = newTensor(mask, c.dims(0))
				for i := range out[1].Len() {
					setInt(out[1], i, 1)
				}
			}
		}})
}

// reshapeDims resolves the shape input of Reshape: 0 copies a dimension (unless
// allowZero), −1 takes what is left.
func reshapeDims(from, want []int, allowZero bool) ([]int, error) {
	out, rest, known := slices.Clone(want), -1, 1
	for i, d := range want {
		switch {
		case d == 0 && !allowZero:
			if i >= len(from) {
				return nil, fmt.Errorf("cannot reshape %s to %s: dimension %d is to be copied and the input has rank %d", shapeString(from), shapeString(want), i, len(from))
			}
			out[i] = from[i]
		case d == -1 && rest >= 0:
			return nil, fmt.Errorf("cannot reshape %s to %s: more than one -1", shapeString(from), shapeString(want))
		case d == -1:
			rest = i
			continue
		case d < 0:
			return nil, fmt.Errorf("cannot reshape %s to %s: negative dimension", shapeString(from), shapeString(want))
		}
		if out[i] != 0 && known > maxElements/out[i] {
			return nil, fmt.Errorf("cannot reshape %s to %s", shapeString(from), shapeString(want))
		}
		known *= out[i]
	}
	n := product(from)
	if rest >= 0 {
		if known == 0 || n%known != 0 {
			return nil, fmt.Errorf("cannot reshape %s to %s", shapeString(from), shapeString(want))
		}
		out[rest] = n / known
	} else if known != n {
		return nil, fmt.Errorf("cannot reshape %s to %s", shapeString(from), shapeString(want))
	}
	return out, nil
}

func squeeze(c *call) []int {
	axes, given := c.optionalList("axes", 1)
	axes = c.axes(axes, c.rank(0))
	out := []int{}
	for i, d := range c.dims(0) {
		drop := d == 1
		if given {
			drop = slices.Contains(axes, i)
		}
		if drop && d != 1 {
			c.fail("cannot squeeze axis %d of %s: its length is %d", i, shapeString(c.dims(0)), d)
		}
		if !drop {
			out = append(out, d)
		}
	}
	return out
}

func unsqueeze(c *call) []int {
	axes, given := c.optionalList("axes", 1)
	if !given {
		c.fail("axes are missing")
	}
	rank := c.rank(0) + len(axes)
	axes = c.axes(axes, rank)
	out, next := make([]int, rank), 0
	for i := range out {
		if slices.Contains(axes, i) {
			out[i] = 1
			continue
		}
		out[i] = c.dims(0)[next]
		next++
	}
	return out
}
