package fuse

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// view is a value seen as a strided window on a dense, row-major source. Each
// axis of the value runs over one or more factors, the last fastest: merging
// (N, H) into one axis of N·H keeps two factors when their strides do not fit
// together, so a later reshape can take them apart again. An element is
// source[offset + Σ index·stride over all factors]·scale.
type view struct {
	source string
	offset int
	axes   [][]factor
	scale  float64
}

// factor is n steps of a stride. Factors of one step are not kept.
type factor struct{ n, stride int }

// newView sees a whole value of the given shape.
func newView(source string, dims []int) view {
	v := view{source: source, axes: make([][]factor, len(dims)), scale: 1}
	n := 1
	for i := len(dims) - 1; i >= 0; i-- {
		if dims[i] != 1 {
			v.axes[i] = []factor{{dims[i], n}}
		}
		n *= dims[i]
	}
	return v
}

// dims is the shape of the value.
func (v *view) dims() []int {
	out := make([]int, len(v.axes))
	for i, a := range v.axes {
		out[i] = 1
		for _, f := range a {
			out[i] *= f.n
		}
	}
	return out
}

// stride is the distance along one axis, or missing when the axis has one
// element; ok is false when the axis has no single stride.
func (v *view) stride(axis, missing int) (int, bool) {
	switch a := v.axes[axis]; len(a) {
	case 0:
		return missing, true
	case 1:
		return a[0].stride, true
	}
	return 0, false
}

// resolve walks back from a value through operations that only move elements
// (Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Slice, Split, Gather with
// one constant index) and, if allowed, products with a scalar, as far as the
// result stays a strided view.
func (m *matcher) resolve(value string, scalars bool) (view, bool) {
	dims, ok := m.dims(value)
	if !ok {
		return view{}, false
	}
	n := m.prod[value]
	if n != nil && m.constant(value) == nil {
		if v, ok := m.through(n, value, dims, scalars); ok {
			return v, true
		}
	}
	return newView(value, dims), true
}

// through applies one node to the view of its input.
func (m *matcher) through(n *ir.Node, value string, dims []int, scalars bool) (view, bool) {
	if !standard(n, n.Op) {
		return view{}, false
	}
	switch n.Op {
	case "Mul", "Div":
		if !scalars {
			return view{}, false
		}
		x, s, ok := m.scaling(n)
		if !ok {
			return view{}, false
		}
		v, ok := m.resolve(x, scalars)
		if !ok || !slices.Equal(v.dims(), dims) {
			return view{}, false
		}
		v.scale *= s
		return v, true
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather":
		v, ok := m.resolve(n.In(0), scalars)
		if !ok {
			return view{}, false
		}
		switch n.Op {
		case "Transpose":
			ok = v.transpose(n.Attrs.Ints("perm"))
		case "Slice":
			ok = m.slice(&v, n)
		case "Split":
			ok = m.splitView(&v, n, value)
		case "Gather":
			ok = m.gather(&v, n)
		default:
			ok = v.reshape(dims)
		}
		return v, ok && slices.Equal(v.dims(), dims)
	}
	return view{}, false
}

// scaling splits a product or quotient with a scalar constant into the value
// and the factor.
func (m *matcher) scaling(n *ir.Node) (x string, factor float64, ok bool) {
	if n.Op == "Div" {
		if s, ok := m.scalar(n.In(1)); ok && s != 0 {
			return n.In(0), 1 / s, true
		}
		return "", 0, false
	}
	x, c, ok := m.split(n)
	if !ok {
		return "", 0, false
	}
	s, ok := m.scalar(c)
	return x, s, ok
}

func (v *view) transpose(perm []int) bool {
	axes := slices.Clone(v.axes)
	if perm == nil {
		slices.Reverse(axes)
	} else {
		if len(perm) != len(v.axes) {
			return false
		}
		for i, p := range perm {
			if p < 0 || p >= len(v.axes) {
				return false
			}
			axes[i] = v.axes[p]
		}
	}
	v.axes = axes
	return true
}

// reshape deals the factors out to new axes, from the last; a factor is split
// where an axis ends inside it. It fails where the sizes do not divide.
func (v *view) reshape(dims []int) bool {
	if volume(v.dims()) == 0 || volume(dims) == 0 {
		return false
	}
	var all []factor
	for _, axis := range v.axes {
		for _, f := range axis {
			// Join what is contiguous, so that it can be cut anywhere.
			if k := len(all) - 1; k >= 0 && all[k].stride == f.n*f.stride {
				all[k] = factor{all[k].n * f.n, f.stride}
			} else {
				all = append(all, f)
			}
		}
	}
	axes := make([][]factor, len(dims))
	for i := len(dims) - 1; i >= 0; i-- {
		for need := dims[i]; need != 1; {
			k := len(all) - 1
			if k < 0 || need < 1 {
				return false
			}
			f := all[k]
			switch {
			case need%f.n == 0:
				all = all[:k]
				need /= f.n
			case f.n%need == 0:
				all[k] = factor{f.n / need, f.stride * need}
				f.n, need = need, 1
			default:
				return false
			}
			axes[i] = append([]factor{f}, axes[i]...)
		}
	}
	v.axes = axes
	return len(all) == 0
}

func volume(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func normalAxis(axis, rank int) (int, bool) {
	if axis < 0 {
		axis += rank
	}
	return axis, axis >= 0 && axis < rank
}

// narrow keeps elements start, start+step, … of one axis.
func (v *view) narrow(axis, start, count, step int) bool {
	stride, ok := v.stride(axis, 0)
	if !ok {
		return false
	}
	v.axes = slices.Clone(v.axes)
	v.offset += start * stride
	v.axes[axis] = nil
	if count != 1 {
		v.axes[axis] = []factor{{count, stride * step}}
	}
	return true
}

func (m *matcher) slice(v *view, n *ir.Node) bool {
	list := func(attr string, input int) ([]int, bool) {
		if a := n.Attrs.Ints(attr); a != nil {
			return a, true
		}
		if n.In(input) == "" {
			return nil, true
		}
		v := m.integers(n.In(input))
		return v, v != nil
	}
	starts, ok1 := list("starts", 1)
	ends, ok2 := list("ends", 2)
	axes, ok3 := list("axes", 3)
	steps, ok4 := list("steps", 4)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(starts) != len(ends) ||
		axes != nil && len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return false
	}
	for i := range starts {
		axis, step := i, 1
		if axes != nil {
			axis = axes[i]
		}
		if steps != nil {
			step = steps[i]
		}
		axis, ok := normalAxis(axis, len(v.axes))
		if !ok || step < 1 {
			return false
		}
		d := v.dims()[axis]
		bound := func(x int) int {
			if x < 0 {
				x += d
			}
			return min(max(x, 0), d)
		}
		from, to := bound(starts[i]), bound(ends[i])
		if to <= from {
			return false
		}
		if !v.narrow(axis, from, (to-from+step-1)/step, step) {
			return false
		}
	}
	return true
}

// splitView takes one output of a Split; sizes come from the output types.
func (m *matcher) splitView(v *view, n *ir.Node, value string) bool {
	axis, ok := normalAxis(n.Attrs.Int("axis", 0), len(v.axes))
	if !ok {
		return false
	}
	start := 0
	for _, o := range n.Outputs {
		d, ok := m.dims(o)
		if !ok || len(d) != len(v.axes) {
			return false
		}
		if o == value {
			return v.narrow(axis, start, d[axis], 1)
		}
		start += d[axis]
	}
	return false
}

// gather takes a constant index: a scalar drops the axis, a list of one keeps
// it with length 1.
func (m *matcher) gather(v *view, n *ir.Node) bool {
	t := m.constant(n.In(1))
	axis, ok := normalAxis(n.Attrs.Int("axis", 0), len(v.axes))
	if t == nil || !ok || t.Len() != 1 || len(t.Dims) > 1 || len(m.integers(n.In(1))) != 1 {
		return false
	}
	i, size := int(t.Int(0)), v.dims()[axis]
	if i < 0 {
		i += size
	}
	if i < 0 || i >= size || !v.narrow(axis, i, 1, 1) {
		return false
	}
	if len(t.Dims) == 0 {
		v.axes = slices.Delete(v.axes, axis, axis+1)
	}
	return true
}
