package layers

import (
	"github.com/vislora/vislora/internal/onnx/ir"
)

// IsAttention reports whether a node is a fused attention.
func IsAttention(n *ir.Node) bool {
	return n != nil && n.Op == ir.Attention && n.Domain == ir.DomainVislora
}

// ProjectionInto follows a value back through moves, cuts, scales and norms (of
// queries and keys) to the layer that made it, nil if something else did.
func (f *Flow) ProjectionInto(value string, byNode map[*ir.Node]*Layer) *Layer {
	for n := f.prod[value]; n != nil; n = f.prod[n.In(0)] {
		if l := byNode[n]; l != nil {
			return l
		}
		switch {
		case Moves(n), Normalises(n), n.Op == "Slice", n.Op == "Split", n.Op == "Gather", n.Op == "Mul", n.Op == "Div":
		default:
			return nil
		}
	}
	return nil
}

// ProjectionOut follows the result of an attention forward through moves to
// the layer that mixes its heads, nil if there is none.
func (f *Flow) ProjectionOut(attention *ir.Node, byNode map[*ir.Node]*Layer) *Layer {
	for n := f.Only(attention.Outputs[0]); n != nil; n = f.Only(n.Outputs[0]) {
		if l := byNode[n]; l != nil {
			return l
		}
		if !Moves(n) {
			return nil
		}
	}
	return nil
}

// AttentionRoles tells the parts of the layers around every attention:
// "attn.qkv", "attn.q", "attn.k", "attn.v" and "attn.proj".
func (f *Flow) AttentionRoles(attention *ir.Node, byNode map[*ir.Node]*Layer, assign func(l *Layer, role string)) {
	var p [3]*Layer
	for i := range p {
		p[i] = f.ProjectionInto(attention.In(i), byNode)
	}
	if p[0] != nil && p[0] == p[1] && p[1] == p[2] {
		assign(p[0], "attn.qkv")
	} else {
		for i, role := range []string{"attn.q", "attn.k", "attn.v"} {
			if p[i] != nil {
				assign(p[i], role)
			}
		}
	}
	if l := f.ProjectionOut(attention, byNode); l != nil {
		assign(l, "attn.proj")
	}
}
