package build

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// lowerAttention lowers the fused attention: views of its sources where they
// lie. Its output (N, heads, Tq, Dv) is stored (N, Tq, heads, Dv), so the
// transpose and reshape that join the heads are free.
func lowerAttention(g *Graph, n *ir.Node) {
	a := ops.AttentionAttr{Heads: n.Attrs.Int("heads", 0), Tq: n.Attrs.Int("tq", 0), Tk: n.Attrs.Int("tk", 0),
		D: n.Attrs.Int("d", 0), Dv: n.Attrs.Int("dv", 0), Scale: n.Attrs.Float("scale", 1), N: g.dims(n)[0]}
	var views [3]ops.View
	for i, attr := range []string{"q_view", "k_view", "v_view"} {
		views[i] = g.view(g.val(n.In(i)), n.Attrs.Ints(attr))
	}
	var mask *ops.Node
	if n.In(3) != "" {
		v := g.val(n.In(3))
		m := g.nat(v)
		full := []int{a.N, a.Heads, a.Tq, a.Tk}
		switch {
		case length(v.dims) == a.Tq*a.Tk:
			mask = g.Reshape(m, a.Tq, a.Tk)
		case length(v.dims) == a.Heads*a.Tq*a.Tk && len(v.dims) >= 3 && v.dims[len(v.dims)-3] == a.Heads:
			mask = g.Reshape(m, a.Heads, a.Tq, a.Tk)
		default:
			mask = g.Expand(m, full...)
		}
	}
	y := g.Attention(views[0], views[1], views[2], mask, a)
	g.set(n, with(g.Reshape(y, a.N, a.Tq, a.Heads, a.Dv), []int{0, 2, 1, 3}))
}

// view translates strides in the source's logical (row-major) elements into
// strides in its memory. Batch and token step along one axis each; head and
// channel stay within the last axis, which must be last in memory.
func (g *Graph) view(src val, s []int) ops.View {
	if len(s) != 5 || s[4] != 1 {
		ops.Fail("its view %v is not [offset, batch, head, token, 1]", s)
	}
	src = g.rowMajor(src)
	logical := ops.Strides(src.dims)
	shape := make([]int, len(src.perm))
	for j, p := range src.perm {
		shape[j] = src.dims[p]
	}
	memory := ops.Strides(shape)
	step := func(stride int) (int, bool) {
		for k, l := range logical {
			if l == stride && src.dims[k] > 1 {
				return memory[src.memoryAxis(k)], true
			}
		}
		return stride, stride == 0
	}
	width := src.dims[len(src.dims)-1]
	batch, ok1 := step(s[1])
	token, ok2 := step(s[3])
	if slices.Equal(src.perm, identity(len(src.perm))) || !ok1 || !ok2 || s[0] >= width {
		return ops.View{Source: g.nat(src), Offset: s[0], Batch: s[1], Head: s[2], Token: s[3]}
	}
	return ops.View{Source: src.node, Offset: s[0], Batch: batch, Head: s[2], Token: token}
}
