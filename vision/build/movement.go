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
	var parts []val
	var lead val
	for _, in := range n.Inputs {
		if t := g.IR.Tensors[in]; t != nil && t.Len() == 0 {
			continue
		}
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

// ints is a constant list: input i, or the attribute of older opsets; ok is
// false where the input is not constant.
func (g *Graph) ints(n *ir.Node, i int, attr string) (list []int, ok bool) {
	name := n.In(i)
	if name == "" {
		return n.Attrs.Ints(attr), true
	}
	t := g.IR.Tensors[name]
	if t == nil {
		return nil, false
	}
	return t.Ints(), true
}

func lowerSlice(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	starts, ok1 := g.ints(n, 1, "starts")
	ends, ok2 := g.ints(n, 2, "ends")
	axes, ok3 := g.ints(n, 3, "axes")
	steps, ok4 := g.ints(n, 4, "steps")
	if !ok1 || !ok2 || !ok3 || !ok4 {
		g.host(n)
		return
	}
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
		g.gatherAlong(n)
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

// lowerTile repeats: every axis that is repeated gets one in front of it to
// expand along.
func lowerTile(g *Graph, n *ir.Node) {
	x, out := g.val(n.In(0)), g.dims(n)
	var split, full []int
	for i, d := range x.dims {
		split, full = append(split, 1, d), append(full, out[i]/d, d)
	}
	y := g.Expand(g.Reshape(g.nat(x), split...), full...)
	g.set(n, natural(g.Reshape(y, out...)))
}

// lowerDepthToSpace and lowerSpaceToDepth change places only, which costs
// nothing until somebody needs the result in another order.
func lowerDepthToSpace(g *Graph, n *ir.Node) {
	x, b := g.val(n.In(0)), n.Attrs.Int("blocksize", 1)
	d := x.dims
	split, perm := []int{d[0], b, b, d[1] / (b * b), d[2], d[3]}, []int{0, 3, 4, 1, 5, 2}
	if n.Attrs.String("mode", "DCR") == "CRD" {
		split, perm = []int{d[0], d[1] / (b * b), b, b, d[2], d[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	g.set(n, g.reshape(transpose(g.reshape(x, split), perm), g.dims(n)))
}

func lowerSpaceToDepth(g *Graph, n *ir.Node) {
	x, b := g.val(n.In(0)), n.Attrs.Int("blocksize", 1)
	d := x.dims
	split := g.reshape(x, []int{d[0], d[1], d[2] / b, b, d[3] / b, b})
	g.set(n, g.reshape(transpose(split, []int{0, 3, 5, 1, 2, 4}), g.dims(n)))
}

func lowerCumSum(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	a, ok := g.ints(n, 1, "axis")
	if !ok || len(a) != 1 {
		g.host(n)
		return
	}
	m := x.memoryAxis(axis(a[0], len(x.dims)))
	g.set(n, with(g.CumSum(x.node, m, n.Attrs.Int("exclusive", 0) != 0, n.Attrs.Int("reverse", 0) != 0), x.perm))
}
