package fuse

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// fuseLayerNorm finds
//
//	y = (x − mean(x)) / √(mean((x − mean(x))²) + ε) · w + b
//
// over the last axis (Ba et al., arXiv:1607.06450), with or without w and b,
// and brings the operator of opset 17 to the same form: axis −1, one output.
// Without w a vector of ones is made, which is no parameter.
func fuseLayerNorm(g *ir.Graph) bool {
	m := newMatcher(g)
	changed := false
	for _, n := range slices.Clone(g.Nodes) {
		switch {
		case m.dead(n):
		case standard(n, "LayerNormalization"):
			changed = m.normaliseLayerNorm(n) || changed
		case standard(n, "Div", "Mul"):
			changed = m.decomposedLayerNorm(n) || changed
		}
	}
	return changed
}

// normaliseLayerNorm rewrites a node in place when it normalises the last axis
// and nothing reads its statistics.
func (m *matcher) normaliseLayerNorm(n *ir.Node) bool {
	d, ok := m.dims(n.In(0))
	if !ok || len(d) == 0 {
		return false
	}
	axis := n.Attrs.Int("axis", -1)
	if axis != -1 && axis != len(d)-1 {
		return false
	}
	for _, o := range n.Outputs[1:] {
		if m.reads[o] > 0 {
			return false
		}
	}
	if w := n.In(1); !m.lastAxisVector(w, d[len(d)-1]) || n.In(2) != "" && !m.lastAxisVector(n.In(2), d[len(d)-1]) {
		return false
	}
	m.replace(n, layerNorm(n.Name, n.In(0), m.vector(n.In(1)), m.vectorOrNone(n.In(2)), n.Outputs[0], n.Attrs.Float("epsilon", 1e-5)))
	return true
}

func (m *matcher) vectorOrNone(v string) string {
	if v == "" {
		return ""
	}
	return m.vector(v)
}

func layerNorm(name, x, w, b, out string, epsilon float64) *ir.Node {
	return &ir.Node{Op: "LayerNormalization", Name: name, Inputs: []string{x, w, b}, Outputs: []string{out},
		Attrs: ir.Attrs{"axis": int64(-1), "epsilon": float32(epsilon)}}
}

// decomposedLayerNorm matches with n the quotient (x−μ)/σ, or the product with
// 1/σ.
func (m *matcher) decomposedLayerNorm(n *ir.Node) bool {
	centred, deviation := n.In(0), n.In(1)
	if n.Op == "Mul" {
		r := m.by(deviation, "Reciprocal")
		if r == nil {
			centred, deviation = deviation, centred
			r = m.by(deviation, "Reciprocal")
		}
		if r == nil {
			return false
		}
		deviation = r.In(0)
	}
	sub := m.by(centred, "Sub")
	if sub == nil {
		return false
	}
	x := sub.In(0)
	d, ok := m.dims(x)
	if !ok || len(d) == 0 || !m.meanOf(sub.In(1), x) {
		return false
	}
	var plus *ir.Node
	if root := m.by(deviation, "Sqrt"); root != nil {
		plus = m.by(root.In(0), "Add")
	} else if root := m.by(deviation, "Pow"); root != nil {
		if e, ok := m.scalar(root.In(1)); ok && e == 0.5 {
			plus = m.by(root.In(0), "Add")
		}
	}
	if plus == nil {
		return false
	}
	variance, eps, ok := m.split(plus)
	if !ok {
		return false
	}
	epsilon, ok := m.scalar(eps)
	if !ok {
		return false
	}
	mean := m.by(variance, "ReduceMean")
	if mean == nil || !m.meanOf(variance, mean.In(0)) || !m.squareOf(mean.In(0), x) {
		return false
	}

	width := d[len(d)-1]
	last, w, b := n, "", ""
	if mul := m.onlyReader(last.Outputs[0]); standard(mul, "Mul") {
		if c := other(mul, last.Outputs[0]); m.lastAxisVector(c, width) && m.sameDims(mul, n) {
			last, w = mul, m.vector(c)
		}
	}
	if add := m.onlyReader(last.Outputs[0]); standard(add, "Add") {
		if c := other(add, last.Outputs[0]); m.lastAxisVector(c, width) && m.sameDims(add, n) {
			last, b = add, m.vector(c)
		}
	}
	if w == "" {
		ones := make([]float32, width)
		for i := range ones {
			ones[i] = 1
		}
		w = m.add(ir.FromFloat32s(last.Outputs[0]+"::scale", ones, width))
	}
	m.replace(last, layerNorm(n.Name, x, w, b, last.Outputs[0], epsilon))
	return true
}

func (m *matcher) sameDims(a, b *ir.Node) bool {
	da, ok1 := m.dims(a.Outputs[0])
	db, ok2 := m.dims(b.Outputs[0])
	return ok1 && ok2 && slices.Equal(da, db)
}

// meanOf reports whether v is the mean of x over the last axis, axis kept.
func (m *matcher) meanOf(v, x string) bool {
	n := m.by(v, "ReduceMean")
	d, ok := m.dims(x)
	if n == nil || !ok || n.In(0) != x || n.Attrs.Int("keepdims", 1) != 1 {
		return false
	}
	a := m.axes(n)
	return len(a) == 1 && (a[0] == -1 || a[0] == len(d)-1)
}

// squareOf reports whether v is (x − mean(x))², as Pow or as a product. The
// difference may be another node than the one in the numerator: some exporters
// write it twice.
func (m *matcher) squareOf(v, x string) bool {
	n := m.by(v, "Pow", "Mul")
	if n == nil {
		return false
	}
	if n.Op == "Pow" {
		if e, ok := m.scalar(n.In(1)); !ok || e != 2 {
			return false
		}
	} else if n.In(0) != n.In(1) {
		return false
	}
	sub := m.by(n.In(0), "Sub")
	return sub != nil && sub.In(0) == x && m.meanOf(sub.In(1), x)
}
