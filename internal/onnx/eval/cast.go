package eval

import "github.com/vislora/vislora/internal/onnx/ir"

func init() {
	register("Cast", operator{minIn: 1, maxIn: 1, run: runCast,
		types: func(c *call) []ir.Type {
			to := ir.DType(c.attrs().Int("to", 0))
			if to.Size() == 0 {
				c.fail("casts to element type %d, which is not supported", to)
			}
			c.wantNotString(0)
			return one(to, c.dims(0))
		}})
	register("CastLike", operator{minIn: 2, maxIn: 2, since: 15, run: runCast,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			c.wantNotString(1)
			return one(c.dtype(1), c.dims(0))
		}})
}

func (c *call) wantNotString(i int) {
	if c.dtype(i) == ir.String {
		c.fail("input %d has strings, which are not supported", i)
	}
}

func runCast(c *call, out []*ir.Tensor) {
	in := c.constant(0)
	switch {
	case in.DType == out[0].DType:
		copy(out[0].Raw, in.Raw)
	case isFloat(in.DType) || in.DType == ir.Uint64 && isFloat(out[0].DType):
		for i := range in.Len() {
			setFloat(out[0], i, in.Float(i))
		}
	default:
		setInts(out[0], ints(in))
	}
}
