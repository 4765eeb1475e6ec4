package vit

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// findBlocks finds the residual stream: every attention ends in an addition to
// it, and so does every MLP. All blocks must work on the same (N, T, C), with
// queries over all T tokens.
func (e *encoder) findBlocks() bool {
	f := e.flow
	for _, n := range f.Graph.Nodes {
		if !layers.IsAttention(n) {
			continue
		}
		mid := e.residualAfter(n.Outputs[0])
		if mid == nil {
			return false
		}
		d := f.Dims(mid.Outputs[0])
		if len(d) != 3 || n.Attrs.Int("tq", 0) != n.Attrs.Int("tk", 0) {
			return false
		}
		batch := d[0]
		if a := f.Dims(n.Outputs[0]); len(a) != 4 || a[0] != batch {
			return false
		}
		if len(e.blocks) == 0 {
			e.dim, e.tokens = d[2], d[1]
		}
		if d[2] != e.dim || d[1] != e.tokens || n.Attrs.Int("tq", 0) != e.tokens {
			return false
		}
		e.blocks = append(e.blocks, block{attention: n, mid: mid, end: mid})
	}
	for i := range e.blocks {
		b := &e.blocks[i]
		for _, c := range f.Consumers(b.mid.Outputs[0]) {
			if !f.IsAdd(c) || i+1 < len(e.blocks) && c == e.blocks[i+1].mid {
				continue
			}
			// Both operands must come from this block: the MLP's residual.
			if f.Dominates(b.mid, c) {
				b.end = c
			}
		}
	}
	// The stream must run through all blocks in order.
	for i := 1; i < len(e.blocks); i++ {
		if !f.Dominates(e.blocks[i-1].end, e.blocks[i].mid) {
			return false
		}
	}
	return len(e.blocks) > 0
}

// residualAfter follows a branch forward, through its projection, constant
// scales (LayerScale) and moves, to the addition that joins it to the stream.
func (e *encoder) residualAfter(value string) *ir.Node {
	for {
		n := e.flow.Only(value)
		switch {
		case n == nil:
			return nil
		case e.flow.IsAdd(n):
			return n
		case layers.Moves(n), layers.Normalises(n), n.Op == ir.Linear, n.Op == "Slice",
			(n.Op == "Mul" || n.Op == "Add") && len(e.flow.Computed(n)) == 1:
			value = n.Outputs[0]
		default:
			return nil
		}
	}
}

// inAttention reports whether a layer projects into or out of an attention.
func (e *encoder) inAttention(l *layers.Layer) bool {
	for _, b := range e.blocks {
		for i := range 3 {
			if e.flow.ProjectionInto(b.attention.In(i), e.byNode) == l {
				return true
			}
		}
	}
	return false
}

// assignRoles tells the layers' parts and blocks.
func (e *encoder) assignRoles() {
	for i, b := range e.blocks {
		e.flow.AttentionRoles(b.attention, e.byNode, func(l *layers.Layer, role string) { e.assign(l, role, i) })
		e.assignMLP(b, i)
	}
	e.assign(e.patch, "patch_embed", -1)
	before := e.flow.Ancestors(e.blocks[0].attention)
	for _, l := range e.layers {
		if e.role[l] == "" && before[l.Node] && l.Conv {
			e.assign(l, "stem", -1)
		}
	}
}

func (e *encoder) assign(l *layers.Layer, role string, block int) {
	if l != nil && e.role[l] == "" {
		e.role[l], e.block[l] = role, block
	}
}

// assignMLP takes the linear layers between the two residual additions: the
// one whose result is added is fc2, the others read the stream and are fc1.
// Of two that read it (a gated MLP) both are fc1.
func (e *encoder) assignMLP(b block, i int) {
	if b.end == b.mid {
		return
	}
	inside := e.flow.Ancestors(b.end)
	for _, l := range e.layers {
		if !inside[l.Node] || !e.flow.Dominates(b.mid, l.Node) || e.role[l] != "" {
			continue
		}
		if e.endsIn(l.Y, b.end) {
			e.assign(l, "mlp.fc2", i)
		} else {
			e.assign(l, "mlp.fc1", i)
		}
	}
}

// endsIn reports whether a value reaches node end without another layer.
func (e *encoder) endsIn(value string, end *ir.Node) bool {
	for {
		n := e.flow.Only(value)
		switch {
		case n == nil:
			return false
		case n == end:
			return true
		case layers.Moves(n), layers.Normalises(n), (n.Op == "Mul" || n.Op == "Add") && len(e.flow.Computed(n)) == 1:
			value = n.Outputs[0]
		default:
			return false
		}
	}
}

// nameLayers gives timm's names to layers the file does not name, and tells
// apart the projections that torch.nn.MultiheadAttention applies itself.
func (e *encoder) nameLayers() {
	count := make(map[string]int)
	for _, l := range e.layers {
		count[l.Path]++
	}
	extra := 0
	for _, l := range e.layers {
		role := e.role[l]
		switch {
		case l.Path != "" && count[l.Path] > 1 && (role == "attn.q" || role == "attn.k" || role == "attn.v"):
			l.Path += role[len("attn"):] + "_proj"
		case l.Path != "":
		case role == "patch_embed":
			l.Path = "patch_embed.proj"
		case role == "stem":
			l.Path = fmt.Sprintf("patch_embed.stem%d", extra)
			extra++
		case role == "classifier":
			l.Path = "head"
		case e.block[l] >= 0:
			l.Path = fmt.Sprintf("blocks.%d.%s", e.block[l], role)
		default:
			l.Path = fmt.Sprintf("linear%d", extra)
			extra++
		}
	}
	layers.Unique(e.layers)
}
