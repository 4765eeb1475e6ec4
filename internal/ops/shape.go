package ops

import (
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/kernels"
)

// Reshape is a view of x under another shape of as many elements.
func (g *Graph) Reshape(x *Node, shape ...int) *Node {
	if slices.Equal(Shape(x), shape) {
		return x
	}
	if size(shape) != size(x.Shape()) {
		Fail("ops: reshape: %v has %d elements, %v has %d", x.Shape(), size(x.Shape()), shape, size(shape))
	}
	return g.Apply(Spec{
		Name: "reshape", In: []*Node{x}, Out: slices.Clone(shape), Diff: []bool{true}, Alias: true, Kind: g.Kind(x), Rows: g.rowOfReshape(x, shape),
		Grad: func(in []*Node, _, dy *Node) []*Node { return []*Node{g.Reshape(dy, in[0].Shape()...)} },
	})
}

// Strides are the row-major strides of a shape, in elements.
func Strides(shape []int) []int {
	st := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		st[i] = n
		n *= shape[i]
	}
	return st
}

// Strided reads a box out of x: y[i] = x[offset + Σ iₖ·strides[k]], elements
// counted in x's dense memory. A stride of 0 repeats. Transposing, slicing and
// expanding are this; the gradient adds back to where it was read.
func (g *Graph) Strided(name string, x *Node, shape, strides []int, offset int) *Node {
	narrow := Narrow{In: []int{0}, Out: true}
	if strings.HasSuffix(name, ".dx") { // of a residual stream, perhaps
		narrow.Out = false
	}
	return g.Apply(Spec{
		Name: name, In: []*Node{x}, Out: slices.Clone(shape), Diff: []bool{true}, Accumulates: true, Kind: g.Kind(x), Narrow: narrow,
		Bind: func(e *Env) (kernels.Run, error) {
			return e.K.Copy(kernels.Copy{Src: e.In[0], Dst: e.Out, Dims: shape, SrcStrides: strides, SrcOffset: offset, DstStrides: Strides(shape), Accumulate: e.Accumulate})
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.scatter(name+".dx", dy, in[0].Shape(), strides, offset)}
		},
	})
}

// scatter is the transpose of Strided: zeros of the given shape with x added at
// the strided places.
func (g *Graph) scatter(name string, x *Node, shape, strides []int, offset int) *Node {
	box := Shape(x)
	repeats := false
	for i, s := range strides {
		repeats = repeats || s == 0 && box[i] > 1
	}
	covers := size(box) == size(shape) && !repeats
	return g.Apply(Spec{
		Name: name, In: []*Node{x}, Out: slices.Clone(shape), Diff: []bool{true}, Accumulates: true,
		Bind: func(e *Env) (kernels.Run, error) {
			return e.K.Copy(kernels.Copy{Src: e.In[0], Dst: e.Out, Dims: box, SrcStrides: Strides(box), DstStrides: strides, DstOffset: offset,
				Accumulate: e.Accumulate || repeats, Zero: !e.Accumulate && !covers})
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.Strided(name+".dx", dy, box, strides, offset)}
		},
	})
}

// Transpose permutes axes: axis k of y is axis perm[k] of x.
func (g *Graph) Transpose(x *Node, perm ...int) *Node {
	xs, st := Shape(x), Strides(x.Shape())
	shape, strides := make([]int, len(perm)), make([]int, len(perm))
	moved, prev := false, -1
	for k, p := range perm {
		shape[k], strides[k] = xs[p], st[p]
		if xs[p] > 1 {
			moved = moved || p < prev
			prev = p
		}
	}
	if !moved { // only axes of length 1 change places
		return g.Reshape(x, shape...)
	}
	return g.Strided("transpose", x, shape, strides, 0)
}

// Slice takes count elements of an axis from start on, every step-th; step may
// be negative.
func (g *Graph) Slice(x *Node, axis, start, count, step int) *Node {
	shape := Shape(x)
	if count == shape[axis] && start == 0 && step == 1 {
		return x
	}
	if count == 1 && shape[axis] >= leastForRow && start >= 0 && start < shape[axis] && g.Kind(x) == g.Storage() {
		return g.row(x, axis, start)
	}
	return g.slice(x, axis, start, count, step)
}

func (g *Graph) slice(x *Node, axis, start, count, step int) *Node {
	shape := slices.Clone(Shape(x))
	st := Strides(shape)
	if count < 1 || start < 0 || start+step*(count-1) < 0 || start >= shape[axis] || start+step*(count-1) >= shape[axis] {
		Fail("ops: slice: %d elements from %d by %d of axis %d of %v", count, start, step, axis, shape)
	}
	shape[axis] = count
	offset := start * st[axis]
	st[axis] *= step
	return g.Strided("slice", x, shape, st, offset)
}

// Expand broadcasts x to shape by NumPy's rules.
func (g *Graph) Expand(x *Node, shape ...int) *Node {
	xs := Shape(x)
	if slices.Equal(xs, shape) {
		return x
	}
	xst := Strides(xs)
	strides := make([]int, len(shape))
	for i := range shape {
		if j := i - (len(shape) - len(xs)); j >= 0 {
			if xs[j] != shape[i] && xs[j] != 1 {
				Fail("ops: expand: %v does not broadcast to %v", xs, shape)
			}
			if xs[j] == shape[i] {
				strides[i] = xst[j]
			}
		}
	}
	return g.Strided("expand", x, shape, strides, 0)
}

// Concat joins inputs along an axis.
func (g *Graph) Concat(axis int, xs ...*Node) *Node {
	if len(xs) == 1 {
		return xs[0]
	}
	shape := slices.Clone(Shape(xs[0]))
	shape[axis] = 0
	starts, diff := make([]int, len(xs)), make([]bool, len(xs))
	channels := axis == len(shape)-1 // tokens are joined where a residual stream begins
	narrow := Narrow{Out: channels}
	for i, x := range xs {
		s := Shape(x)
		for k := range shape {
			if len(s) != len(shape) || k != axis && s[k] != shape[k] {
				Fail("ops: concat: %v and %v along axis %d", xs[0].Shape(), s, axis)
			}
		}
		starts[i], diff[i] = shape[axis], true
		if channels {
			narrow.In = append(narrow.In, i)
		}
		shape[axis] += s[axis]
	}
	st := Strides(shape)
	return g.Apply(Spec{
		Name: "concat", In: xs, Out: shape, Diff: diff, Narrow: narrow,
		Bind: func(e *Env) (kernels.Run, error) {
			runs := make([]kernels.Run, len(e.In))
			for i, in := range e.In {
				var err error
				if runs[i], err = e.K.Copy(kernels.Copy{Src: in, Dst: e.Out, Dims: in.Shape, SrcStrides: Strides(in.Shape), DstStrides: st, DstOffset: starts[i] * st[axis]}); err != nil {
					return nil, err
				}
			}
			return sequence(runs), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			gs := make([]*Node, len(in))
			for i, x := range in {
				if g.Needs(x) {
					gs[i] = g.Strided("concat.dx", dy, Shape(x), st, starts[i]*st[axis])
				}
			}
			return gs
		},
	})
}

func sequence(runs []kernels.Run) kernels.Run {
	if len(runs) == 1 {
		return runs[0]
	}
	return func() {
		for _, r := range runs {
			r()
		}
	}
}

// Pad surrounds x with value: before[k] and after[k] elements on axis k
// (negative numbers cut).
func (g *Graph) Pad(x *Node, before, after []int, value float64) *Node {
	for k := range before { // cut first, so that the rest only grows
		if before[k] < 0 || after[k] < 0 {
			n := Shape(x)[k] + min(before[k], 0) + min(after[k], 0)
			x = g.Slice(x, k, -min(before[k], 0), n, 1)
		}
	}
	shape := slices.Clone(Shape(x))
	box := slices.Clone(shape)
	for k := range shape {
		shape[k] += max(before[k], 0) + max(after[k], 0)
	}
	if slices.Equal(shape, box) {
		return x
	}
	st := Strides(shape)
	offset := 0
	for k := range st {
		offset += max(before[k], 0) * st[k]
	}
	if value == 0 {
		return g.scatter("pad", x, shape, st, offset)
	}
	return g.Apply(Spec{
		Name: "pad", In: []*Node{x}, Out: shape, Diff: []bool{true},
		Bind: func(e *Env) (kernels.Run, error) {
			fill, err := e.K.Unary(kernels.Unary{Func: kernels.Affine, A: 0, B: value, X: e.Out, Y: e.Out})
			if err != nil {
				return nil, err
			}
			zero, err := e.K.Copy(kernels.Copy{Src: e.In[0], Dst: e.Out, Dims: box, SrcStrides: Strides(box), DstStrides: st, DstOffset: offset, Zero: true})
			if err != nil {
				return nil, err
			}
			cp, err := e.K.Copy(kernels.Copy{Src: e.In[0], Dst: e.Out, Dims: box, SrcStrides: Strides(box), DstStrides: st, DstOffset: offset})
			// Clearing first keeps a stale NaN out of 0·x + value.
			return func() { zero(); fill(); cp() }, err
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.Strided("pad.dx", dy, box, st, offset)}
		},
	})
}

// Gather takes the given places of an axis, in the given order (repeats are
// welcome); the places are fixed when the graph is built.
func (g *Graph) Gather(x *Node, axis int, index []int) *Node {
	// Runs of evenly spaced places are slices; most uses are one of them.
	if n := len(index); n > 0 {
		step := 1
		if n > 1 {
			step = index[1] - index[0]
		}
		even := step != 0
		for i := 1; i < n; i++ {
			even = even && index[i]-index[i-1] == step
		}
		if even {
			return g.Slice(x, axis, index[0], n, step)
		}
	}
	xs := Shape(x)
	shape := slices.Clone(xs)
	shape[axis] = len(index)
	box := slices.Clone(xs)
	box[axis] = 1
	xst, yst := Strides(xs), Strides(shape)
	bind := func(e *Env, forward bool) (kernels.Run, error) {
		var runs []kernels.Run
		for j, i := range index {
			c := kernels.Copy{Src: e.In[0], Dst: e.Out, Dims: box, SrcStrides: xst, SrcOffset: i * xst[axis], DstStrides: yst, DstOffset: j * yst[axis]}
			if !forward {
				c.SrcStrides, c.DstStrides, c.SrcOffset, c.DstOffset = yst, xst, j*yst[axis], i*xst[axis]
				c.Accumulate, c.Zero = true, j == 0 && !e.Accumulate
			}
			r, err := e.K.Copy(c)
			if err != nil {
				return nil, err
			}
			runs = append(runs, r)
		}
		return sequence(runs), nil
	}
	return g.Apply(Spec{
		Name: "gather", In: []*Node{x}, Out: shape, Diff: []bool{true},
		Bind: func(e *Env) (kernels.Run, error) { return bind(e, true) },
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.Apply(Spec{Name: "gather.dx", In: []*Node{dy}, Out: xs, Accumulates: true,
				Bind: func(e *Env) (kernels.Run, error) { return bind(e, false) }})}
		},
	})
}

// broadcast joins two shapes by NumPy's rules.
func broadcast(op string, a, b []int) []int {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i := range b {
		j := len(a) - len(b) + i
		switch {
		case a[j] == b[i] || b[i] == 1:
		case a[j] == 1:
			out[j] = b[i]
		default:
			Fail("ops: %s: shapes %v and %v do not broadcast", op, a, b)
		}
	}
	return out
}
