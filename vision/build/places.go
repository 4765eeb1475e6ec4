package build

import (
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// The gather and scatter families with indices that the model computes: the
// indices become flat places in the data (integers, no gradient), then elements
// are taken from there or put there.

// indices is an integer input as a node.
func (g *Graph) indices(name string) (*ops.Node, bool) {
	if kindOf(g.IR.Types[name].DType) != buffer.I64 {
		return nil, false
	}
	return g.nat(g.val(name)), true
}

// gatherAlong lowers a Gather whose indices are not constant.
func (g *Graph) gatherAlong(n *ir.Node) {
	index, ok := g.indices(n.In(1))
	if !ok {
		g.host(n)
		return
	}
	x := g.val(n.In(0))
	a := axis(n.Attrs.Int("axis", 0), len(x.dims))
	length, inner := x.dims[a], length(x.dims[a+1:])
	out := g.dims(n)
	at := g.Integers("gather.places", index, out, func(idx, flat []int64) error {
		per := len(idx) * inner
		for i := range flat {
			k, err := ops.Place(idx[i%per/inner], length)
			if err != nil {
				return err
			}
			flat[i] = int64((i/per*length+k)*inner + i%inner)
		}
		return nil
	})
	g.set(n, natural(g.Take(g.nat(x), at, out...)))
}

// elementPlaces turns the indices of GatherElements and ScatterElements, of
// shape idx, into flat places of a tensor of shape dims.
func elementPlaces(dims, idx []int, a int) func(in, flat []int64) error {
	ds, is := ops.Strides(dims), ops.Strides(idx)
	return func(in, flat []int64) error {
		for i := range flat {
			k, err := ops.Place(in[i], dims[a])
			if err != nil {
				return err
			}
			at := k * ds[a]
			for j := range idx {
				if j != a {
					at += i / is[j] % idx[j] * ds[j]
				}
			}
			flat[i] = int64(at)
		}
		return nil
	}
}

func lowerGatherElements(g *Graph, n *ir.Node) {
	index, ok := g.indices(n.In(1))
	if !ok {
		g.host(n)
		return
	}
	x := g.val(n.In(0))
	a := axis(n.Attrs.Int("axis", 0), len(x.dims))
	g.set(n, natural(g.takeAlong(x, index, a, g.dims(n))))
}

// takeAlong is NumPy's take_along_axis.
func (g *Graph) takeAlong(x val, index *ops.Node, a int, out []int) *ops.Node {
	at := g.Integers("gather_elements.places", index, out, elementPlaces(x.dims, out, a))
	return g.Take(g.nat(x), at, out...)
}

// slicePlaces turns the rows of GatherND and ScatterND into flat places: a row
// of width numbers names a slice of dims behind the first batch axes.
func slicePlaces(dims []int, batch, width int) func(in, flat []int64) error {
	st := ops.Strides(dims)
	slice := length(dims[batch+width:])
	whole := length(dims[batch:])
	return func(in, flat []int64) error {
		rows := len(in) / width
		per := rows / length(dims[:batch])
		for r := range rows {
			at := r / per * whole
			for j := range width {
				k, err := ops.Place(in[r*width+j], dims[batch+j])
				if err != nil {
					return err
				}
				at += k * st[batch+j]
			}
			for i := range slice {
				flat[r*slice+i] = int64(at + i)
			}
		}
		return nil
	}
}

func lowerGatherND(g *Graph, n *ir.Node) {
	index, ok := g.indices(n.In(1))
	if !ok {
		g.host(n)
		return
	}
	x := g.val(n.In(0))
	out := g.dims(n)
	width := last(index)
	at := g.Integers("gather_nd.places", index, out, slicePlaces(x.dims, n.Attrs.Int("batch_dims", 0), width))
	g.set(n, natural(g.Take(g.nat(x), at, out...)))
}

func lowerScatter(g *Graph, n *ir.Node) {
	index, ok := g.indices(n.In(1))
	reduction := n.Attrs.String("reduction", "none")
	if !ok || reduction != "none" && reduction != "add" {
		g.host(n)
		return
	}
	x, u := g.val(n.In(0)), g.nat(g.val(n.In(2)))
	var places func(in, flat []int64) error
	if n.Op == "ScatterND" {
		places = slicePlaces(x.dims, 0, last(index))
	} else {
		places = elementPlaces(x.dims, ops.Shape(index), axis(n.Attrs.Int("axis", 0), len(x.dims)))
	}
	at := g.Integers("scatter.places", index, ops.Shape(u), places)
	g.set(n, natural(g.Put(g.nat(x), u, at, reduction == "add")))
}

// lowerTopK sorts on the host; the values that were taken keep their gradient.
func lowerTopK(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	if !g.Needs(x.node) {
		g.hostNode(n, true)
		return
	}
	if len(n.Outputs) < 2 {
		g.host(n)
		return
	}
	if n.Outputs[1] == "" {
		ops.Fail("its indices have no name, and its values need a gradient")
	}
	g.hostNode(n, true)
	a := axis(n.Attrs.Int("axis", -1), len(x.dims))
	g.set(n, natural(g.takeAlong(x, g.nat(g.val(n.Outputs[1])), a, g.dims(n))))
}

// lowerWhere selects with a mask that has no gradient.
func lowerWhere(g *Graph, n *ir.Node) {
	if kindOf(g.IR.Types[n.In(1)].DType) != buffer.F32 {
		g.host(n)
		return
	}
	out := g.dims(n)
	mask, a, b := g.lift(g.val(n.In(0)), len(out)), g.lift(g.val(n.In(1)), len(out)), g.lift(g.val(n.In(2)), len(out))
	lead := a
	if len(order(b.perm, b.dims)) > len(order(a.perm, a.dims)) {
		lead = b
	}
	shape := make([]int, len(out))
	for j, p := range lead.perm {
		shape[j] = out[p]
	}
	full := func(v val) *ops.Node { return g.Expand(g.as(v, lead.perm), shape...) }
	g.set(n, with(g.Select(full(mask), full(a), full(b)), lead.perm))
}

// lowerTrilu keeps a triangle: a constant mask.
func lowerTrilu(g *Graph, n *ir.Node) {
	k := 0
	if name := n.In(1); name != "" {
		t := g.IR.Tensors[name]
		if t == nil {
			g.host(n)
			return
		}
		k = t.Ints()[0]
	}
	x := g.val(n.In(0))
	rank := len(x.dims)
	rows, cols := x.dims[rank-2], x.dims[rank-1]
	if rows*cols > 1<<24 {
		g.host(n)
		return
	}
	upper := n.Attrs.Int("upper", 1) != 0
	mask := make([]int64, rows*cols)
	for i := range mask {
		r, c := i/cols, i%cols
		if upper && c-r >= k || !upper && c-r <= k {
			mask[i] = 1
		}
	}
	m := g.Expand(g.integers(n.Outputs[0]+"::triangle", mask, rows, cols), x.dims...)
	g.set(n, natural(g.Select(m, g.nat(x), nil)))
}

// integers is a constant of the graph's own making.
func (g *Graph) integers(name string, v []int64, dims ...int) *ops.Node {
	leaf := g.Input(name, buffer.I64, false, dims...)
	mem := buffer.Of(v, dims...)
	mem.Frozen = true
	g.Memory[leaf] = mem
	return leaf
}

// lowerDequantize reads integers as floats. Where they were quantised just
// before (fake quantisation) and something trains behind, the gradient passes
// straight through.
func lowerDequantize(g *Graph, n *ir.Node) {
	q := g.producer(n.In(0))
	if q == nil || q.Op != "QuantizeLinear" {
		g.host(n)
		return
	}
	x := g.val(q.In(0))
	g.hostNode(n, true)
	if !g.Needs(x.node) {
		return
	}
	scale := g.val(q.In(1))
	if length(scale.dims) > 1 { // one per place of an axis
		shape := make([]int, len(x.dims))
		for i := range shape {
			shape[i] = 1
		}
		shape[axis(q.Attrs.Int("axis", 1), len(x.dims))] = length(scale.dims)
		scale = natural(g.Reshape(g.nat(scale), shape...))
	}
	// Rounding moves x by half a step at most; beyond that it was cut.
	limit := g.Expand(g.Reshape(g.unary(affine, 0.75, 0, scale).node, liftShape(scale.dims, len(x.dims))...), x.dims...)
	y := g.nat(g.vals[n.Outputs[0]])
	g.set(n, natural(g.StraightThrough(g.nat(x), y, limit)))
}

func liftShape(dims []int, rank int) []int {
	out := make([]int, 0, rank)
	for range rank - len(dims) {
		out = append(out, 1)
	}
	return append(out, dims...)
}

// producer is the node that makes a value, nil for inputs and constants.
func (g *Graph) producer(name string) *ir.Node {
	if g.producers == nil {
		g.producers = g.IR.Producer()
	}
	return g.producers[name]
}
