package build

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// lowerReshape lowers everything that only changes the shape; the shape was
// found by inference.
func lowerReshape(g *Graph, n *ir.Node) { g.set(n, g.reshape(g.val(n.In(0)), g.dims(n))) }

func lowerTranspose(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	perm := n.Attrs.Ints("perm")
	if perm == nil {
		perm = identity(len(x.dims))
		slices.Reverse(perm)
	}
	g.set(n, transpose(x, perm))
}

func lowerConcat(g *Graph, n *ir.Node) {
	lead := g.val(n.In(0))
	var parts []val
	for _, in := range n.Inputs {
		v := g.val(in)
		parts = append(parts, v)
		if len(order(v.perm, v.dims)) > len(order(lead.perm, lead.dims)) {
			lead = v
		}
	}
	a := axis(n.Attrs.Int("axis", 0), len(lead.dims))
	var nodes []*ops.Node
	for _, v := range parts {
		nodes = append(nodes, g.as(v, lead.perm))
	}
	g.set(n, with(g.Concat(lead.memoryAxis(a), nodes...), lead.perm))
}

// ints is a constant list: input i, or the attribute of older opsets.
func (g *Graph) ints(n *ir.Node, i int, attr string) []int {
	name := n.In(i)
	if name == "" {
		return n.Attrs.Ints(attr)
	}
	t := g.IR.Tensors[name]
	if t == nil {
		ops.Fail("its %s %q are not constants", attr, name)
	}
	return t.Ints()
}

func lowerSlice(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	starts, ends, axes, steps := g.ints(n, 1, "starts"), g.ints(n, 2, "ends"), g.ints(n, 3, "axes"), g.ints(n, 4, "steps")
	if axes == nil {
		axes = identity(len(starts))
	}
	for i := range starts {
		a, step := axis(axes[i], len(x.dims)), 1
		if steps != nil {
			step = steps[i]
		}
		start, count := sliceBounds(starts[i], ends[i], step, x.dims[a])
		if count < 1 {
			ops.Fail("slice %d:%d:%d of axis %d (length %d) is empty", starts[i], ends[i], step, a, x.dims[a])
		}
		x = with(g.Slice(x.node, x.memoryAxis(a), start, count, step), x.perm)
	}
	g.set(n, x)
}

// sliceBounds clamps as ONNX does and counts the elements.
func sliceBounds(start, end, step, n int) (first, count int) {
	if step == 0 {
		ops.Fail("slice with step 0")
	}
	if start < 0 {
		start += n
	}
	if end < 0 && end > -1<<40 {
		end += n
	}
	if step > 0 {
		start, end = min(max(start, 0), n), min(max(end, 0), n)
		return start, (end - start + step - 1) / step
	}
	start, end = min(max(start, 0), n-1), min(max(end, -1), n-1)
	return start, (start - end - step - 1) / -step
}

func lowerSplit(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	a := axis(n.Attrs.Int("axis", 0), len(x.dims))
	at := 0
	for i, out := range n.Outputs {
		if out == "" {
			continue
		}
		c := g.IR.Types[out].Dims[a]
		g.setOutput(n, i, with(g.Slice(x.node, x.memoryAxis(a), at, c, 1), x.perm))
		at += c
	}
}

func lowerGather(g *Graph, n *ir.Node) {
	index := g.IR.Tensors[n.In(1)]
	if index == nil {
		g.host(n)
		return
	}
	x := g.val(n.In(0))
	a := axis(n.Attrs.Int("axis", 0), len(x.dims))
	places := index.Ints()
	for i := range places {
		places[i] = axis(places[i], x.dims[a])
	}
	y := with(g.Gather(x.node, x.memoryAxis(a), places), x.perm)
	if len(index.Dims) != 1 {
		y = g.reshape(y, g.dims(n))
	}
	g.set(n, y)
}

func lowerExpand(g *Graph, n *ir.Node) {
	x := g.lift(g.val(n.In(0)), len(g.dims(n)))
	out := g.dims(n)
	shape := make([]int, len(out))
	for j, p := range x.perm {
		shape[j] = out[p]
	}
	g.set(n, with(g.Expand(x.node, shape...), x.perm))
}

func lowerPad(g *Graph, n *ir.Node) {
	if n.Attrs.String("mode", "constant") != "constant" {
		g.host(n)
		return
	}
	x := g.val(n.In(0))
	pads := g.ints(n, 1, "pads")
	value := n.Attrs.Float("value", 0)
	if name := n.In(2); name != "" {
		v, ok := g.scalar(name)
		if !ok {
			ops.Fail("its value %q is not a constant", name)
		}
		value = v
	}
	axes := identity(len(x.dims))
	if n.In(3) != "" {
		axes = g.ints(n, 3, "axes")
	}
	if len(pads) != 2*len(axes) {
		ops.Fail("%d pads for %d axes", len(pads), len(axes))
	}
	before, after := make([]int, len(x.dims)), make([]int, len(x.dims))
	for i, a := range axes {
		j := x.memoryAxis(axis(a, len(x.dims)))
		before[j], after[j] = pads[i], pads[i+len(axes)]
	}
	g.set(n, with(g.Pad(x.node, before, after, value), x.perm))
}
