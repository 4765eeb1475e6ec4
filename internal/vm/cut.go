package vm

import (
	"fmt"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// Cut is where a program is taken apart: inner nodes that are roots of its first
// part and inputs of the rest. Half are those whose values are bf16 there.
type Cut struct {
	Nodes []*ops.Node
	Half  map[*ops.Node]bool
}

// CompileCut is [Compile], or with narrow [CompileBF16], for the rest of a program
// that is cut: it does not begin at the leaves, the values of the nodes are
// brought by the caller, as those of leaves are, and what lies before them is not
// run. Without roots it is the first part.
func CompileCut(g *ops.Graph, narrow bool, c Cut, roots ...*ops.Node) (*Program, error) {
	p := &Program{graph: g, roots: roots, where: map[*ops.Node]*storage{}, narrow: narrow, half: c.Half}
	if len(roots) == 0 {
		p.roots = c.Nodes
		err := p.lower(p.collect())
		if err == nil {
			p.place()
		}
		return p, err
	}
	at := map[*ops.Node]bool{}
	for _, n := range c.Nodes {
		op := ops.OpOf(n)
		if op == nil || op.Alias {
			return nil, fmt.Errorf("vm: a program cannot be cut at %v: it has no memory of its own", n)
		}
		at[n] = true
	}
	p.cut = at
	nodes := p.collect()
	for _, n := range nodes {
		if op := ops.OpOf(n); op != nil && !at[n] {
			for _, r := range op.Reads {
				if at[r.Of] {
					return nil, fmt.Errorf("vm: a program cannot be cut at %v: %v reads what it saves", r.Of, n)
				}
			}
		}
	}
	if err := p.lower(nodes); err != nil {
		return nil, err
	}
	p.place()
	return p, nil
}

// Kind is how a value lies in memory.
func (p *Program) Kind(n *ops.Node) buffer.Storage {
	if st := p.where[n]; st != nil && st.narrow {
		return buffer.BF16
	}
	return p.graph.Kind(n)
}

// Nodes are what the program reads and runs, in that order.
func (p *Program) Nodes() []*ops.Node {
	out := append([]*ops.Node{}, p.Inputs...)
	for _, s := range p.steps {
		out = append(out, s.node)
		for _, t := range s.then {
			out = append(out, t.node)
		}
	}
	return out
}
