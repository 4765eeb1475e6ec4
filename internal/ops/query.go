package ops

import "github.com/vislora/vislora/internal/kernels"

// rowwise reports whether the view's source is (N, T, C), one row a token.
func (v View) rowwise(n, t int) bool {
	s := Shape(v.Source)
	return len(s) == 3 && s[0] == n && s[1] == t && v.Token == s[2] && v.Batch == t*s[2]
}

// oneQuery is [Graph.Attention] of a single query where keys and values are
// linear layers of the same tokens x. Then neither keys nor values have to be
// made: with K = x·Wₖ + bₖ and V = x·Wᵥ + bᵥ, for every head,
//
//	q·Kᵀ = u·xᵀ + q·bₖ       u = q·Wₖᵀ
//	p·V  = z·Wᵥ + bᵥ         z = p·x
//
// and softmax does not see q·bₖ, which is the same for every token (a bₖ that
// trains keeps its keys: its gradient is zero, but has to be there). A low-rank
// update of a layer is a part of its W. The layers then run on one row a picture
// in the place of one a token. A classifier that reads one token has this in its
// last block, a pooling head with one learned query in itself. oneQuery returns
// nil where it does not apply.
//
//	x (N, T, C)   q (H, N, D)   u, z (N, H, C)   p (N, H, T)   y (N, 1, H·Dv)
//
// Source: products associate; DeepSeek-AI 2024, arXiv:2405.04434, §2.1.2, joins
// the factors of keys to queries likewise.
func (g *Graph) oneQuery(q, k, v View, mask *Node, a AttentionAttr) *Node {
	if a.Tq != 1 || a.Tk < leastForRow || mask != nil {
		return nil
	}
	keyed, valued := g.layerOf(k, a, a.D), g.layerOf(v, a, a.Dv)
	if keyed == nil || valued == nil || keyed.X != valued.X || g.Needs(keyed.Bias) {
		return nil
	}
	keys, values := g.heads(keyed, k, a.Heads, a.D), g.heads(valued, v, a.Heads, a.Dv)
	x := g.Reshape(keys.X, a.N, a.Tk, last(keys.X))
	if q.Source == k.Source && q.rowwise(a.N, a.Tk) { // its row alone
		at := q.Offset / q.Token
		_, row := OpOf(q.Source).Rows(1)
		q.Source, q.Offset, q.Batch = row([]*Node{g.slice(x, 1, at, 1, 1)}, at), q.Offset%q.Token, q.Token
	}
	query := g.Strided("query", q.Source, []int{a.Heads, a.N, a.D}, []int{q.Head, q.Batch, 1}, q.Offset)
	u := keys.transposed(g.Unary(kernels.Affine, a.Scale, 0, query))
	p := g.Softmax(g.matmul(g.Transpose(u, 1, 0, 2), x, false, true), false)
	y := values.forward(g.Transpose(g.MatMul(p, x), 1, 0, 2))
	y = g.Reshape(g.Transpose(y, 1, 0, 2), a.N, 1, a.Heads*a.Dv)
	if values.Bias != nil {
		y = g.ChannelAffine(y, nil, g.Reshape(g.Strided("heads", values.Bias, []int{a.Heads, a.Dv}, []int{v.Head, 1}, v.Offset), a.Heads*a.Dv))
	}
	return y
}

// headed are those outputs of a linear layer that a view takes, by head: W and B
// are (H, D, ·), and W is (H, C, D) where the layer has it so.
type headed struct {
	*Layer
	g     *Graph
	w, up *Node
}

// layerOf finds the layer that makes the d channels a head that a view reads, nil if
// it is none, if it is not read a row a token, or if somebody else needs what it makes.
func (g *Graph) layerOf(v View, a AttentionAttr, d int) *Layer {
	op := OpOf(v.Source)
	if op == nil || !v.rowwise(a.N, a.Tk) || v.Offset+(a.Heads-1)*v.Head+d > v.Token {
		return nil
	}
	for it := g.X.To(v.Source.ID()); it.Next(); {
		if r := OpOf(it.Node().(*Node)); r == nil || r.Name != "attention" {
			return nil
		}
	}
	return op.Layer
}

// heads takes those outputs of a layer that a view reads.
func (g *Graph) heads(l *Layer, v View, heads, d int) *headed {
	h := &headed{Layer: l, g: g}
	c := last(l.X)
	if l.TransW {
		h.w = g.Strided("heads", l.W, []int{heads, d, c}, []int{v.Head * c, c, 1}, v.Offset*c)
	} else {
		h.w = g.Strided("heads", l.W, []int{heads, c, d}, []int{v.Head, v.Token, 1}, v.Offset)
	}
	if l.Up != nil {
		r := last(l.Up)
		h.up = g.Strided("heads", l.Up, []int{heads, d, r}, []int{v.Head * r, r, 1}, v.Offset*r)
	}
	return h
}

// forward is x·W + (x·Aᵀ)·Bᵀ, x (H, N, C).
func (h *headed) forward(x *Node) *Node {
	y := h.g.matmul(x, h.w, false, h.TransW)
	if h.up != nil {
		y = h.g.Add(y, h.g.matmul(h.g.Linear(x, h.A, nil, true), h.up, false, true))
	}
	return y
}

// transposed is y·Wᵀ + (y·B)·A, y (H, N, D).
func (h *headed) transposed(y *Node) *Node {
	x := h.g.matmul(y, h.w, false, !h.TransW)
	if h.up != nil {
		x = h.g.Add(x, h.g.Linear(h.g.MatMul(y, h.up), h.A, nil, false))
	}
	return x
}
