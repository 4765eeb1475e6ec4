package cnn

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// isClassifier reports whether a node is the classifier or computes on logits.
func (n *network) isClassifier(node *ir.Node) bool {
	c := n.head.Classifier
	return c != nil && (c.Node == node || n.flow.Dominates(c.Node, node))
}

// assignRoles tells every layer's part and block.
func (n *network) assignRoles() {
	for _, l := range n.layers {
		n.role[l], n.block[l] = n.roleOf(l), -1
	}
	for _, node := range n.flow.Graph.Nodes {
		if layers.IsAttention(node) {
			n.flow.AttentionRoles(node, n.byNode, func(l *layers.Layer, role string) { n.role[l] = role })
		}
	}
	for i, b := range n.blocks {
		up := n.flow.Ancestors(b.end)
		for _, l := range n.layers {
			if n.block[l] < 0 && n.role[l] != "classifier" && n.inside(b, l.Node, up) {
				n.block[l] = i
			}
		}
	}
}

func (n *network) roleOf(l *layers.Layer) string {
	switch {
	case l == n.head.Classifier:
		return "classifier"
	case n.gates(l):
		return "se"
	case !l.Conv:
		if len(n.flow.Dims(l.X)) == 4 {
			return "pointwise"
		}
		return ""
	case n.readsImage(l):
		return "stem"
	case depthwise(l):
		return "depthwise"
	case l.Kernel != [2]int{1, 1}:
		return "conv"
	case n.onShortcut(l):
		return "downsample"
	}
	return "pointwise"
}

func depthwise(l *layers.Layer) bool { return l.Conv && l.Groups > 1 && l.Groups == l.In }

// gates reports whether a layer works on a pooled vector that then multiplies
// a map: squeeze and excitation (Hu et al., arXiv:1709.01507).
func (n *network) gates(l *layers.Layer) bool {
	d := n.flow.Dims(l.X)
	if len(d) != 2 && (len(d) != 4 || d[2] != 1 || d[3] != 1) {
		return false
	}
	for v := l.Y; ; {
		next := n.flow.Only(v)
		switch {
		case next == nil:
			return false
		case next.Op == "Mul" && len(n.flow.Computed(next)) == 2:
			return true
		case layers.Activates(next), layers.Moves(next), layers.Normalises(next), n.byNode[next] != nil,
			len(n.flow.Computed(next)) == 1 && (next.Op == "Mul" || next.Op == "Add" || next.Op == "Div"):
			v = next.Outputs[0]
		default:
			return false
		}
	}
}

// readsImage reports whether nothing that computes stands before a layer.
func (n *network) readsImage(l *layers.Layer) bool {
	for node := range n.flow.Ancestors(l.Node) {
		if node != l.Node && (n.byNode[node] != nil || layers.Activates(node)) {
			return false
		}
	}
	return true
}

// onShortcut reports whether a 1×1 convolution is the shortcut of a residual
// addition: it reads what the whole block reads, directly or through a pooling,
// and goes straight into the addition.
func (n *network) onShortcut(l *layers.Layer) bool {
	join := n.flow.Only(l.Y)
	for join != nil && layers.Normalises(join) {
		join = n.flow.Only(join.Outputs[0])
	}
	if !n.flow.IsAdd(join) {
		return false
	}
	source := n.flow.Producer(l.X)
	if source != nil && source.Op == "AveragePool" {
		source = n.flow.Producer(source.In(0))
	}
	return n.flow.Dominator(join) == source
}

// arch is a word for people about the kind of network.
func (n *network) arch() string {
	convs, depth, grouped, adds, fires := 0, 0, 0, 0, 0
	for _, l := range n.layers {
		if !l.Conv {
			continue
		}
		convs++
		switch {
		case depthwise(l):
			depth++
		case l.Groups > 1:
			grouped++
		}
	}
	shuffles := 0
	for _, b := range n.blocks {
		switch {
		case n.flow.IsAdd(b.join):
			adds++
		case n.fire(b.join):
			fires++
		}
		if b.end != b.join && layers.Moves(b.end) {
			shuffles++
		}
	}
	kind := "plain"
	switch {
	case shuffles > 0:
		kind = "ShuffleNet style"
	case fires > 0 && 2*fires >= len(n.blocks):
		kind = "SqueezeNet style"
	case depth > 0 && n.linearOnMaps():
		kind = "ConvNeXt style"
	case depth > 0 && 3*depth >= len(n.blocks) && len(n.blocks) > 0:
		kind = "MobileNet style"
	case adds > 0 && grouped > 0:
		kind = "ResNeXt style"
	case adds > 0 && 2*adds >= len(n.blocks):
		kind = "ResNet style"
	case len(n.blocks) > 0:
		kind = "branching"
	}
	return fmt.Sprintf("CNN (%s), %d blocks, %d convolutions", kind, len(n.blocks), convs)
}

func (n *network) linearOnMaps() bool {
	for _, l := range n.layers {
		if !l.Conv && n.role[l] == "pointwise" {
			return true
		}
	}
	return false
}

// fire reports whether a concatenation joins two convolutions of one squeezed
// map: SqueezeNet's block (Iandola et al., arXiv:1602.07360).
func (n *network) fire(join *ir.Node) bool {
	in := n.flow.Computed(join)
	if join.Op != "Concat" || len(in) != 2 {
		return false
	}
	var source [2]string
	for i, v := range in {
		p := n.flow.Producer(v)
		if layers.Activates(p) {
			p = n.flow.Producer(p.In(0))
		}
		l := n.byNode[p]
		if l == nil || !l.Conv {
			return false
		}
		source[i] = l.X
	}
	return source[0] == source[1]
}
