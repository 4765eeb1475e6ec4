package eval

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers Pad and the rearrangements of space and depth.
func init() {
	register("Pad", operator{minIn: 1, maxIn: 4, run: runPad,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			out := slices.Clone(c.dims(0))
			for i, p := range c.padding() {
				out[i] += p[0] + p[1]
				if out[i] < 0 {
					c.fail("pads axis %d of %s by %d and %d", i, shapeString(c.dims(0)), p[0], p[1])
				}
			}
			return one(c.dtype(0), out)
		}})
	register("DepthToSpace", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			b, d := c.blockSize(), c.dims(0)
			if d[1]%(b*b) != 0 {
				c.fail("cannot divide %d channels by blocksize² %d", d[1], b*b)
			}
			return one(c.dtype(0), []int{d[0], d[1] / (b * b), d[2] * b, d[3] * b})
		},
		run: func(c *call, out []*ir.Tensor) {
			b, d := c.blockSize(), c.dims(0)
			n, ch, h, w := d[0], d[1]/(b*b), d[2], d[3]
			// The view is (n, ch, h, b, w, b); DCR keeps the blocks before the
			// channels, CRD after them.
			blockY, blockX, channel := b*ch*h*w, ch*h*w, h*w
			if c.attrs().String("mode", "DCR") == "CRD" {
				blockY, blockX, channel = b*h*w, h*w, b*b*h*w
			}
			copyView(out[0].Raw, c.constant(0).Raw, out[0].DType.Size(),
				[]int{n, ch, h, b, w, b}, []int{d[1] * h * w, channel, w, blockY, 1, blockX}, 0)
		}})
	register("SpaceToDepth", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			b, d := c.blockSize(), c.dims(0)
			if d[2]%b != 0 || d[3]%b != 0 {
				c.fail("cannot divide %s into blocks of %d", shapeString(d), b)
			}
			return one(c.dtype(0), []int{d[0], d[1] * b * b, d[2] / b, d[3] / b})
		},
		run: func(c *call, out []*ir.Tensor) {
			b, d := c.blockSize(), c.dims(0)
			h, w := d[2], d[3]
			copyView(out[0].Raw, c.constant(0).Raw, out[0].DType.Size(),
				[]int{d[0], b, b, d[1], h / b, w / b}, []int{d[1] * h * w, w, 1, h * w, b * w, b}, 0)
		}})
}

func (c *call) blockSize() int {
	c.wantRank(0, 4)
	b := c.attrs().Int("blocksize", 0)
	if b < 1 || b > 1<<12 {
		c.fail("blocksize is %d", b)
	}
	return b
}

// padding gives what to add before and after each axis; negative crops.
func (c *call) padding() [][2]int {
	list, ok := c.optionalList("pads", 1)
	axes := make([]int, c.rank(0))
	for i := range axes {
		axes[i] = i
	}
	if c.has(3) {
		axes = c.axes(c.list(3), c.rank(0))
	}
	if !ok || len(list) != 2*len(axes) {
		c.fail("has %d pads for %d axes", len(list), len(axes))
	}
	out := make([][2]int, c.rank(0))
	for i, a := range axes {
		out[a] = [2]int{list[i], list[i+len(axes)]}
		for _, p := range out[a] {
			if p > 1<<30 || p < -1<<30 {
				c.fail("pads axis %d by %d", a, p)
			}
		}
	}
	return out
}

// runPad maps every index of the output to one of the input, axis by axis.
func runPad(c *call, out []*ir.Tensor) {
	in, dims := c.constant(0), out[0].Dims
	size, mode := in.DType.Size(), c.attrs().String("mode", "constant")
	fill := newTensor(in.DType, []int{1})
	switch {
	case c.has(2):
		if v := convert(c.constant(2), in.DType); v.Len() == 1 {
			fill = v
		} else {
			c.fail("constant_value has shape %s, must be a scalar", shapeString(v.Dims))
		}
	case c.attrs().Has("value"):
		setFloat(fill, 0, c.attrs().Float("value", 0))
	}
	if len(out[0].Raw) == 0 {
		return
	}
	strides := rowMajor(in.Dims)
	maps := make([][]int, len(dims)) // offset of each index of an axis, −1 outside
	for a, p := range c.padding() {
		maps[a] = make([]int, dims[a])
		n := in.Dims[a]
		// What a negative padding crops, no mode can reflect.
		lo, hi := max(0, -p[0]), n-max(0, -p[1])
		for i := range maps[a] {
			j := i - p[0]
			if j < lo || j >= hi {
				j = padIndex(c, mode, j, lo, hi)
			}
			if maps[a][i] = j * strides[a]; j < 0 {
				maps[a][i] = -1
			}
		}
	}
	index := make([]int, len(dims))
	for o := range out[0].Len() {
		from, at := fill.Raw, 0
		for rest, a := o, len(dims)-1; a >= 0; a-- {
			index[a] = rest % dims[a]
			rest /= dims[a]
			if m := maps[a][index[a]]; m < 0 || at < 0 {
				at = -1
			} else {
				at += m
			}
		}
		if at >= 0 {
			from = in.Raw[at*size:]
		}
		copy(out[0].Raw[o*size:][:size], from)
	}
}

// padIndex says which of the indices [lo, hi) stands at j outside them; −1 is
// the constant.
func padIndex(c *call, mode string, j, lo, hi int) int {
	n := hi - lo
	if mode == "constant" {
		return -1
	}
	if n <= 0 {
		c.fail("mode %s has nothing to repeat in %s", mode, shapeString(c.dims(0)))
	}
	j -= lo
	switch mode {
	case "edge":
		j = min(max(j, 0), n-1)
	case "wrap":
		j = (j%n + n) % n
	case "reflect":
		if period := 2 * (n - 1); period == 0 {
			j = 0
		} else if j = (j%period + period) % period; j >= n {
			j = period - j
		}
	default:
		c.fail("mode %q is not known", mode)
	}
	return j + lo
}
