package fuse

import (
	"github.com/vislora/vislora/internal/onnx/ir"
)

// matcher answers the questions that patterns ask of a graph. It is made anew
// for each pass and kept up to date by [matcher.replace].
type matcher struct {
	g    *ir.Graph
	prod map[string]*ir.Node
	cons map[string][]*ir.Node
	// reads counts all readers of a value: nodes, subgraphs, graph outputs.
	reads map[string]int
	index map[*ir.Node]int
	// inserted waits for flushInserted: nodes beyond one-for-one replacement.
	inserted []insertion
}

func newMatcher(g *ir.Graph) *matcher {
	m := &matcher{g: g, prod: g.Producer(), cons: g.Consumers(), reads: make(map[string]int), index: make(map[*ir.Node]int)}
	for i, n := range g.Nodes {
		m.index[n] = i
		forEachRead(n, func(v string) { m.reads[v]++ })
	}
	for _, o := range g.Outputs {
		m.reads[o.Name]++
	}
	return m
}

// standard reports whether a node is one of the ONNX operators named.
func standard(n *ir.Node, ops ...string) bool {
	if n == nil || n.Domain != "" && n.Domain != "ai.onnx" {
		return false
	}
	for _, op := range ops {
		if n.Op == op {
			return true
		}
	}
	return false
}

// by returns the node that makes value if it is one of ops, else nil.
func (m *matcher) by(value string, ops ...string) *ir.Node {
	if n := m.prod[value]; standard(n, ops...) {
		return n
	}
	return nil
}

// onlyReader returns the single node that reads value, nil if there are more
// readers or value is an output of the graph.
func (m *matcher) onlyReader(value string) *ir.Node {
	if m.reads[value] != 1 || len(m.cons[value]) != 1 {
		return nil
	}
	return m.cons[value][0]
}

// constant returns a value's tensor, nil when it is computed.
func (m *matcher) constant(value string) *ir.Tensor { return m.g.Tensors[value] }

// scalar returns the number in a constant of one element.
func (m *matcher) scalar(value string) (float64, bool) {
	t := m.g.Tensors[value]
	if t == nil || t.Len() != 1 || t.DType == ir.String || t.DType == ir.Undefined {
		return 0, false
	}
	return t.Float(0), true
}

// other returns the operand of a binary node that is not v.
func other(n *ir.Node, v string) string {
	if n.In(0) == v {
		return n.In(1)
	}
	return n.In(0)
}

// split returns the computed and the constant operand of a commutative binary
// node; ok is false unless exactly one operand is constant.
func (m *matcher) split(n *ir.Node) (value, constant string, ok bool) {
	a, b := m.constant(n.In(0)) != nil, m.constant(n.In(1)) != nil
	switch {
	case a == b:
		return "", "", false
	case a:
		return n.In(1), n.In(0), true
	}
	return n.In(0), n.In(1), true
}

// dims returns the static dimensions of a value.
func (m *matcher) dims(value string) ([]int, bool) {
	t, ok := m.g.Types[value]
	if !ok || !t.Static() {
		if c := m.g.Tensors[value]; c != nil {
			return c.Dims, true
		}
		return nil, false
	}
	return t.Dims, true
}

// replace puts n in the place of last, in the list and in the matcher.
func (m *matcher) replace(last, n *ir.Node) {
	i := m.index[last]
	m.g.Nodes[i] = n
	m.index[n] = i
	delete(m.index, last)
	for _, o := range last.Outputs {
		delete(m.prod, o)
	}
	for _, o := range n.Outputs {
		m.prod[o] = n
	}
	// Count the new readers first: what both nodes read must not look dead.
	m.read(n)
	forEachRead(last, func(v string) { m.unread(v, last) })
}

// read records that n reads its inputs.
func (m *matcher) read(n *ir.Node) {
	forEachRead(n, func(v string) {
		m.reads[v]++
		m.cons[v] = append(m.cons[v], n)
	})
}

// unread forgets that n reads v, and, when nothing else does, that v's
// producer reads its own inputs: that node is dead.
func (m *matcher) unread(v string, n *ir.Node) {
	m.reads[v]--
	for i, c := range m.cons[v] {
		if c == n {
			m.cons[v] = append(append([]*ir.Node(nil), m.cons[v][:i]...), m.cons[v][i+1:]...)
			break
		}
	}
	p := m.prod[v]
	if p == nil || m.reads[v] > 0 {
		return
	}
	for _, o := range p.Outputs {
		if m.reads[o] > 0 {
			return
		}
	}
	for _, o := range p.Outputs {
		delete(m.prod, o)
	}
	forEachRead(p, func(in string) { m.unread(in, p) })
}

// dead reports whether a replacement made earlier in this pass left n unread.
func (m *matcher) dead(n *ir.Node) bool { return len(n.Outputs) == 0 || m.prod[n.Outputs[0]] != n }

// vector returns the name of a one-dimensional tensor with the elements of
// constant v: v itself, or a reshaped twin that keeps the trace to the file.
func (m *matcher) vector(v string) string {
	t := m.g.Tensors[v]
	if len(t.Dims) == 1 {
		return v
	}
	name := v + "::vector"
	if m.g.Tensors[name] == nil {
		twin := *t
		twin.Name, twin.Dims = name, []int{t.Len()}
		m.add(&twin)
	}
	return name
}

// add enters a tensor and its type into the graph.
func (m *matcher) add(t *ir.Tensor) string {
	m.g.Tensors[t.Name] = t
	m.g.Types[t.Name] = t.Type()
	return t.Name
}

// lastAxisVector reports whether constant v is a vector along the last axis of
// length n: dimensions (…1, n).
func (m *matcher) lastAxisVector(v string, n int) bool {
	t := m.constant(v)
	return t != nil && isFloat(t.DType) && t.Len() == n && len(t.Dims) > 0 && t.Dims[len(t.Dims)-1] == n
}

func isFloat(d ir.DType) bool {
	return d == ir.Float || d == ir.Double || d == ir.Float16 || d == ir.BFloat16
}

// axes returns the axes of a reduction, from the attribute or, since opset 13
// or 18, the second input; nil when they are absent or not constant.
func (m *matcher) axes(n *ir.Node) []int {
	if a := n.Attrs.Ints("axes"); a != nil {
		return a
	}
	return m.integers(n.In(1))
}

// integers returns the contents of a constant of integers, nil for anything
// else.
func (m *matcher) integers(v string) []int {
	t := m.constant(v)
	if t == nil || t.DType != ir.Int64 && t.DType != ir.Int32 {
		return nil
	}
	return t.Ints()
}
