package fuse

import (
	"github.com/vislora/vislora/internal/onnx/ir"
)

// dropDropout removes Dropout nodes that pass their input through: inference
// mode, or a ratio of zero (PyTorch keeps such nodes when it exports a module
// in training mode). A node whose mask is read or whose output is an output of
// the graph stays.
func dropDropout(g *ir.Graph) bool {
	m := newMatcher(g)
	alias := make(map[string]string)
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if a, ok := alias[in]; ok {
				n.Inputs[i] = a
			}
		}
		if standard(n, "Dropout") && len(n.Outputs) > 0 && m.passesThrough(n) {
			alias[n.Outputs[0]] = n.In(0)
		}
	}
	return len(alias) > 0
}

func (m *matcher) passesThrough(n *ir.Node) bool {
	for _, mask := range n.Outputs[1:] {
		if m.reads[mask] > 0 {
			return false
		}
	}
	// Readers inside subgraphs keep the name: they are counted in reads only.
	if m.g.IsOutput(n.Outputs[0]) || m.reads[n.Outputs[0]] != len(m.cons[n.Outputs[0]]) {
		return false
	}
	if r, ok := m.scalar(n.In(1)); ok && r == 0 {
		return true
	}
	training := n.In(2)
	if training == "" {
		return true
	}
	on, ok := m.scalar(training)
	return ok && on == 0
}
