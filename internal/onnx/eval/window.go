package eval

import (
	"github.com/vislora/vislora/internal/onnx/ir"
)

// window is the geometry of a convolution or pooling over the spatial axes.
type window struct {
	in, kernel, stride, dilation []int
	before, after                []int // padding
	out                          []int
}

// window reads the attributes of a convolution or pooling over an input whose
// spatial axes have the lengths in.
func (c *call) window(in, kernel []int) window {
	n := len(in)
	w := window{in: in, kernel: kernel,
		stride:   c.perAxis("strides", n, 1, 1),
		dilation: c.perAxis("dilations", n, 1, 1),
		before:   make([]int, n), after: make([]int, n), out: make([]int, n)}
	if len(kernel) != n {
		c.fail("kernel_shape %v does not fit %d spatial axes", kernel, n)
	}
	pads := c.perAxis("pads", 2*n, 0, 0)
	ceil := c.attrs().Int("ceil_mode", 0) != 0
	auto := c.attrs().String("auto_pad", "NOTSET")
	for i := range in {
		if kernel[i] < 1 || kernel[i] > 1<<20 {
			c.fail("kernel_shape is %v", kernel)
		}
		extent := (kernel[i]-1)*w.dilation[i] + 1
		switch auto {
		case "NOTSET", "":
			w.before[i], w.after[i] = pads[i], pads[n+i]
		case "VALID":
		case "SAME_UPPER", "SAME_LOWER":
			w.out[i] = (in[i] + w.stride[i] - 1) / w.stride[i]
			total := max(0, (w.out[i]-1)*w.stride[i]+extent-in[i])
			w.before[i] = total / 2
			if auto == "SAME_LOWER" {
				w.before[i] = (total + 1) / 2
			}
			w.after[i] = total - w.before[i]
			continue
		default:
			c.fail("auto_pad %q is not known", auto)
		}
		room := in[i] + w.before[i] + w.after[i] - extent
		if room < 0 {
			c.fail("a kernel of extent %d does not fit %d + %d + %d on spatial axis %d", extent, w.before[i], in[i], w.after[i], i)
		}
		w.out[i] = room/w.stride[i] + 1
		if ceil {
			w.out[i] = (room+w.stride[i]-1)/w.stride[i] + 1
			if (w.out[i]-1)*w.stride[i] >= in[i]+w.before[i] {
				w.out[i]-- // would lie in the padding alone
			}
		}
	}
	return w
}

// perAxis reads a list attribute of n entries of at least low.
func (c *call) perAxis(name string, n, def, low int) []int {
	list := c.attrs().Ints(name)
	if list == nil {
		list = make([]int, n)
		for i := range list {
			list[i] = def
		}
	}
	if len(list) != n {
		c.fail("%s is %v, must have %d entries", name, list, n)
	}
	for _, v := range list {
		if v < low || v > 1<<30 {
			c.fail("%s is %v", name, list)
		}
	}
	return list
}

// taps says which input position each kernel position reads for each output
// position, −1 for padding: [kernel][out].
func (w window) taps() [][]int32 {
	k, o := product(w.kernel), product(w.out)
	taps := make([][]int32, k)
	strides := rowMajor(w.in)
	pos := make([]int, len(w.in))
	for i := range taps {
		taps[i] = make([]int32, o)
		unravel(i, w.kernel, pos)
		tap := append([]int(nil), pos...)
		for j := range taps[i] {
			unravel(j, w.out, pos)
			at := 0
			for a := range pos {
				x := pos[a]*w.stride[a] - w.before[a] + tap[a]*w.dilation[a]
				if x < 0 || x >= w.in[a] {
					at = -1
					break
				}
				at += x * strides[a]
			}
			taps[i][j] = int32(at)
		}
	}
	return taps
}

// unravel writes the indices of a row-major position.
func unravel(i int, dims, index []int) {
	for a := len(dims) - 1; a >= 0; a-- {
		index[a] = i % dims[a]
		i /= dims[a]
	}
}

// wantSpatial checks for shape (N, C, D1, …) with at least one spatial axis.
func (c *call) wantSpatial(i int) {
	if c.rank(i) < 3 {
		c.fail("input %d has shape %s, must be (N, C, D1, …)", i, shapeString(c.dims(i)))
	}
}

// spatialTypes is the shape function of an operator over windows that keeps N
// and has ch channels.
func spatialType(t ir.DType, n, ch int, out []int) ir.Type {
	return static(t, append([]int{n, ch}, out...)...)
}
