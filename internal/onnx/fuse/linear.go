package fuse

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// fuseLinear turns MatMul with a constant two-dimensional right operand, the
// addition of a constant vector after it, and Gemm with constant weight into
// Linear: y = x·W + b over the last axis.
func fuseLinear(g *ir.Graph) bool {
	m := newMatcher(g)
	changed := false
	for _, n := range slices.Clone(g.Nodes) {
		switch {
		case m.dead(n):
		case standard(n, "MatMul"):
			changed = m.matMul(n) || changed
		case standard(n, "Gemm"):
			changed = m.gemm(n) || changed
		}
	}
	return changed
}

func linear(n *ir.Node, bias, out string, transW int64) *ir.Node {
	return &ir.Node{Op: ir.Linear, Domain: ir.DomainVislora, Name: n.Name, Inputs: []string{n.In(0), n.In(1), bias},
		Outputs: []string{out}, Attrs: ir.Attrs{"transW": transW, AttrSite: n.Outputs[0]}}
}

func (m *matcher) matMul(n *ir.Node) bool {
	w := m.constant(n.In(1))
	d, ok := m.dims(n.In(0))
	if w == nil || len(w.Dims) != 2 || !isFloat(w.DType) || m.constant(n.In(0)) != nil || !ok || len(d) < 2 {
		return false
	}
	if add, b := m.biasAfter(n, w.Dims[1]); add != nil {
		m.replace(add, linear(n, b, add.Outputs[0], 0))
		return true
	}
	m.replace(n, linear(n, "", n.Outputs[0], 0))
	return true
}

// biasAfter returns the addition of a constant vector of the given width that
// alone reads n, and the vector.
func (m *matcher) biasAfter(n *ir.Node, width int) (*ir.Node, string) {
	add := m.onlyReader(n.Outputs[0])
	if !standard(add, "Add") {
		return nil, ""
	}
	c := other(add, n.Outputs[0])
	if !m.lastAxisVector(c, width) || !m.sameDims(add, n) {
		return nil, ""
	}
	return add, m.vector(c)
}

// gemm converts alpha = beta = 1, A not transposed, and C absent or a vector;
// anything else stays a Gemm.
func (m *matcher) gemm(n *ir.Node) bool {
	w := m.constant(n.In(1))
	if w == nil || len(w.Dims) != 2 || !isFloat(w.DType) || m.constant(n.In(0)) != nil ||
		n.Attrs.Float("alpha", 1) != 1 || n.Attrs.Int("transA", 0) != 0 {
		return false
	}
	transB := n.Attrs.Int("transB", 0)
	if transB != 0 && transB != 1 {
		return false
	}
	width := w.Dims[1-transB]
	if c := n.In(2); c != "" {
		if n.Attrs.Float("beta", 1) != 1 || !m.lastAxisVector(c, width) {
			return false
		}
		m.replace(n, linear(n, m.vector(c), n.Outputs[0], int64(transB)))
		return true
	}
	if add, b := m.biasAfter(n, width); add != nil {
		m.replace(add, linear(n, b, add.Outputs[0], int64(transB)))
		return true
	}
	m.replace(n, linear(n, "", n.Outputs[0], int64(transB)))
	return true
}
