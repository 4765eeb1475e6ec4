package fuse

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// fuseAttention finds softmax(scale·q·kᵀ + mask)·v (Vaswani et al.,
// arXiv:1706.03762). The anchor is a Softmax over the last axis between two
// MatMuls; q, k and v are then followed back as strided views, so it does not
// matter by which reshapes, transposes, splits and gathers an exporter cut the
// heads out of a packed projection. Scalars are taken wherever they stand: on
// q, on k, on both, on the scores.
//
// When heads are merged with the batch (torch.nn.MultiheadAttention: N·H, T, D)
// the node still yields (N, H, T, D), and a Reshape restores the merged shape.
func fuseAttention(g *ir.Graph) bool {
	m := newMatcher(g)
	changed := false
	for _, n := range slices.Clone(g.Nodes) {
		if m.dead(n) || !standard(n, "Softmax") {
			continue
		}
		if a, last := m.attention(n); a != nil {
			m.place(a, last)
			changed = true
		}
	}
	if changed {
		m.flushInserted()
	}
	return changed
}

// place replaces the last MatMul by the fused node, and by a Reshape after it
// when the MatMul had batch and heads merged.
func (m *matcher) place(a, last *ir.Node) {
	out := last.Outputs[0]
	d, _ := m.dims(out)
	if len(d) == 4 {
		m.replace(last, a)
		return
	}
	heads, tq, dv := a.Attrs.Int("heads", 1), a.Attrs.Int("tq", 1), a.Attrs.Int("dv", 1)
	a.Outputs = []string{out + "::heads"}
	t := m.g.Types[out]
	t.Dims, t.Params = []int{d[0] / heads, heads, tq, dv}, nil
	m.g.Types[a.Outputs[0]] = t
	shape := m.add(ir.FromInt64s(out+"::shape", []int64{int64(d[0]), int64(tq), int64(dv)}, 3))
	reshape := &ir.Node{Op: "Reshape", Name: last.Name, Inputs: []string{a.Outputs[0], shape}, Outputs: []string{out}, Attrs: ir.Attrs{}}
	m.inserted = append(m.inserted, insertion{before: reshape, node: a})
	m.read(a)
	m.prod[a.Outputs[0]] = a
	m.replace(last, reshape)
}

// attention matches around one Softmax and returns the fused node and the
// MatMul it replaces.
func (m *matcher) attention(soft *ir.Node) (fused, last *ir.Node) {
	dims, ok := m.dims(soft.Outputs[0])
	if !ok || len(dims) != 3 && len(dims) != 4 {
		return nil, nil
	}
	defaultAxis := -1
	if m.g.Opset < 13 {
		defaultAxis = 1
	}
	if axis := soft.Attrs.Int("axis", defaultAxis); axis != -1 && axis != len(dims)-1 {
		return nil, nil
	}
	last = m.onlyReader(soft.Outputs[0])
	if !standard(last, "MatMul") || last.In(0) != soft.Outputs[0] || last.In(1) == soft.Outputs[0] {
		return nil, nil
	}
	first, mask, scale := m.scores(soft.In(0), dims)
	if first == nil {
		return nil, nil
	}
	q, ok1 := m.resolve(first.In(0), true)
	k, ok2 := m.resolve(first.In(1), true)
	v, ok3 := m.resolve(last.In(1), false)
	rank := len(dims)
	if !ok1 || !ok2 || !ok3 || len(q.axes) != rank || len(k.axes) != rank || len(v.axes) != rank {
		return nil, nil
	}
	k.axes = slices.Clone(k.axes)
	k.axes[rank-1], k.axes[rank-2] = k.axes[rank-2], k.axes[rank-1] // it stands transposed: (…, D, Tk)

	batch, heads := dims[0], 1
	if rank == 4 {
		heads = dims[1]
	} else {
		if batch = m.batch(); batch < 1 || dims[0]%batch != 0 {
			return nil, nil
		}
		heads = dims[0] / batch
	}
	tq, tk := dims[rank-2], dims[rank-1]
	d, dv := q.dims()[rank-1], v.dims()[rank-1]
	attrs := ir.Attrs{"heads": int64(heads), "tq": int64(tq), "tk": int64(tk), "d": int64(d), "dv": int64(dv),
		"scale": float32(scale * q.scale * k.scale)}
	for _, s := range []struct {
		name  string
		v     view
		t, ch int
	}{{"q_view", q, tq, d}, {"k_view", k, tk, d}, {"v_view", v, tk, dv}} {
		// Operands that MatMul would broadcast are left alone.
		if !slices.Equal(s.v.dims(), append(slices.Clone(dims[:rank-2]), s.t, s.ch)) ||
			!s.v.reshape([]int{batch, heads, s.t, s.ch}) {
			return nil, nil
		}
		whole, _ := m.dims(s.v.source)
		bs, ok1 := s.v.stride(0, volume(whole))
		hs, ok2 := s.v.stride(1, s.ch)
		ts, ok3 := s.v.stride(2, s.ch)
		cs, ok4 := s.v.stride(3, 1)
		if !ok1 || !ok2 || !ok3 || !ok4 || cs != 1 {
			return nil, nil
		}
		attrs[s.name] = []int64{int64(s.v.offset), int64(bs), int64(hs), int64(ts), 1}
	}
	in := []string{q.source, k.source, v.source}
	if mask != "" {
		in = append(in, mask)
	}
	return &ir.Node{Op: ir.Attention, Domain: ir.DomainVislora, Name: last.Name, Inputs: in,
		Outputs: []string{last.Outputs[0]}, Attrs: attrs}, last
}

// scores walks back from the softmax through scalars and at most one added
// mask to the product q·kᵀ. A scalar outside the mask would scale it too and
// ends the match.
func (m *matcher) scores(value string, dims []int) (matMul *ir.Node, mask string, scale float64) {
	scale = 1
	for {
		n := m.prod[value]
		if n == nil {
			return nil, "", 0
		}
		if d, ok := m.dims(value); !ok || !slices.Equal(d, dims) {
			return nil, "", 0
		}
		switch {
		case standard(n, "MatMul"):
			if m.constant(n.In(0)) != nil && m.constant(n.In(1)) != nil {
				return nil, "", 0
			}
			return n, mask, scale
		case standard(n, "Mul", "Div"):
			x, s, ok := m.scaling(n)
			if !ok {
				return nil, "", 0
			}
			value, scale = x, scale*s
		case standard(n, "Add") && mask == "" && scale == 1:
			// The mask is the operand that does not come from a product.
			a, b := n.In(0), n.In(1)
			switch {
			case m.fromProduct(a) && m.maskFits(b, dims):
				value, mask = a, b
			case m.fromProduct(b) && m.maskFits(a, dims):
				value, mask = b, a
			default:
				return nil, "", 0
			}
		default:
			return nil, "", 0
		}
	}
}

// fromProduct reports whether a value is a MatMul, perhaps scaled.
func (m *matcher) fromProduct(value string) bool {
	for {
		n := m.prod[value]
		if standard(n, "MatMul") {
			return true
		}
		if !standard(n, "Mul", "Div") {
			return false
		}
		x, _, ok := m.scaling(n)
		if !ok {
			return false
		}
		value = x
	}
}

// maskFits reports whether a mask broadcasts to scores (N, H, Tq, Tk). For
// merged scores (N·H, Tq, Tk) only a mask that is the same for all heads is
// taken: (Tq, Tk) or (1, Tq, Tk).
func (m *matcher) maskFits(mask string, dims []int) bool {
	d, ok := m.dims(mask)
	if !ok || len(d) > len(dims) {
		return false
	}
	for i := 1; i <= len(d); i++ {
		if x := d[len(d)-i]; x != 1 && x != dims[len(dims)-i] {
			return false
		}
	}
	return len(dims) == 4 || len(d) < 3 || d[0] == 1
}

// batch is the batch size the graph was planned for.
func (m *matcher) batch() int {
	for _, in := range m.g.Inputs {
		if t := in.Type; t.Static() && len(t.Dims) == 4 {
			return t.Dims[0]
		}
		if t := m.g.Types[in.Name]; t.Static() && len(t.Dims) == 4 {
			return t.Dims[0]
		}
	}
	return 0
}

// insertion is a new node that belongs right before another.
type insertion struct{ before, node *ir.Node }

// flushInserted puts waiting nodes into the list.
func (m *matcher) flushInserted() {
	if len(m.inserted) == 0 {
		return
	}
	at := make(map[*ir.Node]*ir.Node, len(m.inserted))
	for _, i := range m.inserted {
		at[i.before] = i.node
	}
	nodes := make([]*ir.Node, 0, len(m.g.Nodes)+len(at))
	for _, n := range m.g.Nodes {
		if extra := at[n]; extra != nil {
			nodes = append(nodes, extra)
		}
		nodes = append(nodes, n)
	}
	m.g.Nodes, m.inserted = nodes, nil
}
