package layers

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Flow answers questions about the path of data through a graph. Constants
// take no part in it, nor what is made of constants only (a class token
// expanded to the batch).
type Flow struct {
	Graph *ir.Graph
	prod  map[string]*ir.Node
	cons  map[string][]*ir.Node
	index map[*ir.Node]int
	fixed map[string]bool // values made of constants only
	// idom is the immediate dominator of each node: the last node that every
	// path from the inputs to it passes. −1 stands for the inputs themselves.
	idom []int
}

// NewFlow studies a graph in topological order.
func NewFlow(g *ir.Graph) *Flow {
	f := &Flow{Graph: g, prod: g.Producer(), cons: g.Consumers(), index: make(map[*ir.Node]int), fixed: make(map[string]bool), idom: make([]int, len(g.Nodes))}
	depth := make([]int, len(g.Nodes)+1) // of node i at i+1; the root is 0
	for i, n := range g.Nodes {
		f.index[n] = i
		dom, first := -1, true
		for _, in := range f.Computed(n) {
			p := -1
			if q := f.prod[in]; q != nil {
				p = f.index[q]
			}
			if first {
				dom, first = p, false
				continue
			}
			for dom != p {
				if depth[dom+1] < depth[p+1] {
					dom, p = p, dom
				}
				dom = f.idom[dom]
			}
		}
		if first {
			for _, o := range n.Outputs {
				f.fixed[o] = true
			}
		}
		f.idom[i] = dom
		depth[i+1] = depth[dom+1] + 1
	}
	return f
}

// Producer returns the node that makes a value, nil for inputs and constants.
func (f *Flow) Producer(value string) *ir.Node { return f.prod[value] }

// Consumers returns the nodes that read a value.
func (f *Flow) Consumers(value string) []*ir.Node { return f.cons[value] }

// Only returns the node that alone reads a value, nil if there are several or
// the value is an output of the graph.
func (f *Flow) Only(value string) *ir.Node {
	c := f.cons[value]
	if len(c) != 1 || f.Graph.IsOutput(value) {
		return nil
	}
	return c[0]
}

// Dominator returns the last node that every path to n passes, nil for the
// inputs of the graph.
func (f *Flow) Dominator(n *ir.Node) *ir.Node {
	if i := f.idom[f.index[n]]; i >= 0 {
		return f.Graph.Nodes[i]
	}
	return nil
}

// Trunk lists the nodes that every path from the inputs to n passes, first to
// last, n included.
func (f *Flow) Trunk(n *ir.Node) []*ir.Node {
	var out []*ir.Node
	for ; n != nil; n = f.Dominator(n) {
		out = append(out, n)
	}
	slices.Reverse(out)
	return out
}

// Dominates reports whether every path to b passes a.
func (f *Flow) Dominates(a, b *ir.Node) bool {
	i, want := f.index[b], f.index[a]
	for i > want {
		i = f.idom[i]
	}
	return i == want
}

// Ancestors is the set of nodes that n depends on, n included.
func (f *Flow) Ancestors(n *ir.Node) map[*ir.Node]bool {
	seen := map[*ir.Node]bool{}
	stack := []*ir.Node{n}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if n == nil || seen[n] {
			continue
		}
		seen[n] = true
		for _, in := range n.Inputs {
			stack = append(stack, f.prod[in])
		}
	}
	return seen
}

// Dims returns a value's dimensions, nil when they are not static.
func (f *Flow) Dims(value string) []int {
	if t := f.Graph.Types[value]; t.Static() {
		return t.Dims
	}
	return nil
}

// Computed lists the inputs of a node that are not constant.
func (f *Flow) Computed(n *ir.Node) []string {
	var out []string
	for _, in := range n.Inputs {
		if in != "" && f.Graph.Tensors[in] == nil && !f.fixed[in] {
			out = append(out, in)
		}
	}
	return out
}

// IsAdd reports whether a node sums two computed values: a residual.
func (f *Flow) IsAdd(n *ir.Node) bool { return n != nil && n.Op == "Add" && len(f.Computed(n)) == 2 }

// Moves reports whether a node only rearranges elements.
func Moves(n *ir.Node) bool {
	return n != nil && slices.Contains([]string{"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"}, n.Op)
}

// Activates reports whether a node is an activation of one input.
func Activates(n *ir.Node) bool {
	if n == nil {
		return false
	}
	return slices.Contains([]string{"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish",
		"Silu", "Gelu", "Mish", "Tanh", "Softplus", "ThresholdedRelu"}, n.Op)
}

// Normalises reports whether a node is a normalisation.
func Normalises(n *ir.Node) bool {
	return n != nil && slices.Contains([]string{"LayerNormalization", "BatchNormalization", "InstanceNormalization", "GroupNormalization"}, n.Op)
}
