package vm

import (
	"slices"

	"github.com/vislora/vislora/internal/ops"
	"gorgonia.org/gorgonia"
)

// Recompute returns the roots of a graph that keeps few values of the forward
// pass: the others are computed again where the backward pass reaches them.
//
// The forward pass, everything up to loss, is cut into segments where little is
// alive. What lives across a cut is kept. Before the first operator behind loss
// that reads another value of a segment, the operators that lead there are made
// once more. They are the same operators on the same numbers, dropout with the
// same keys, so the results are the same to the last bit. The last segment is
// not made again: the backward pass begins with it. Nor is anything before the
// nodes cut, which are brought (see [CompileCut]).
//
// Source: Chen et al. 2016, arXiv:1604.06174; the cuts are chosen by bytes.
func Recompute(g *ops.Graph, loss *ops.Node, roots []*ops.Node, cut ...*ops.Node) (again []*ops.Node, err error) {
	defer ops.Recover(&err)
	p := &Program{graph: g, roots: roots, cut: map[*ops.Node]bool{}}
	for _, n := range cut {
		p.cut[n] = true
	}
	nodes := p.collect()
	f := newForward(loss, slices.Concat(roots, cut), nodes)
	if len(f.cuts) == 0 {
		return roots, nil
	}
	r := &recomputation{forward: f, graph: g, copies: map[*ops.Node]*ops.Node{}, done: make([]bool, len(f.cuts))}
	r.demand(nodes[len(f.nodes):])
	begun := false
	for _, n := range nodes[len(f.nodes):] {
		for _, c := range operands(n) {
			if s := f.segmentOf(c); s >= 0 && !r.done[s] {
				if err := r.emit(s); err != nil {
					return nil, err
				}
				begun = true
			}
		}
		// From here on everything is made anew, so that the order stays.
		if begun && (ops.OpOf(n) != nil || isAdd(n)) {
			if err := r.copy(n); err != nil {
				return nil, err
			}
		}
	}
	for _, n := range roots {
		again = append(again, r.now(operand{n, -1}))
	}
	return again, nil
}

// operand is something that an operator reads: a node's output, or a slot of it.
type operand struct {
	node *ops.Node
	slot int // −1: the output
}

// operands lists what n reads.
func operands(n *ops.Node) []operand {
	var out []operand
	for _, c := range children(n) {
		out = append(out, operand{c, -1})
	}
	if op := ops.OpOf(n); op != nil {
		for _, r := range op.Reads {
			out = append(out, operand{r.Of, r.Slot})
		}
	}
	return out
}

// memory looks through views to the operator that writes the memory.
func (o operand) memory() operand {
	for o.slot < 0 {
		op := ops.OpOf(o.node)
		switch {
		case op == nil || !op.Alias:
			return o
		case len(op.Reads) > 0:
			return operand{op.Reads[0].Of, op.Reads[0].Slot}
		}
		o.node = op.In[0]
	}
	return o
}

func (o operand) bytes() int {
	op := ops.OpOf(o.node)
	switch {
	case op == nil: // a leaf is not in the arena
		return 0
	case o.slot >= 0:
		return length(op.Slots[o.slot].Shape) * op.SlotStorage(o.slot).Size()
	}
	return length(o.node.Shape()) * op.OutStorage().Size()
}

// forward is the forward pass and where it is cut.
type forward struct {
	nodes []*ops.Node
	at    map[*ops.Node]int
	read  map[operand]int  // the last forward step that reads a value
	roots map[operand]bool // kept in any case
	// cuts are the last steps of all segments but the last.
	cuts []int
}

func newForward(loss *ops.Node, roots, nodes []*ops.Node) *forward {
	f := &forward{at: map[*ops.Node]int{}, read: map[operand]int{}, roots: map[operand]bool{}}
	saved := map[operand]bool{} // read behind the loss
	limit := -1                 // no cut behind what must not be made again
	for i, n := range nodes {
		op := ops.OpOf(n)
		if n.ID() <= loss.ID() {
			f.nodes = append(f.nodes, n)
			f.at[n] = i
			if limit < 0 && op != nil && op.Once {
				limit = i
			}
		}
		if op != nil && op.Alias {
			continue // reads nothing itself
		}
		for _, o := range operands(n) {
			if m := o.memory(); n.ID() <= loss.ID() {
				f.read[m] = i
			} else {
				saved[m] = true
			}
		}
	}
	for _, n := range roots {
		f.roots[operand{n, -1}.memory()] = true
	}
	if limit < 0 {
		limit = f.at[loss]
	}
	f.cuts = f.choose(saved, limit)
	return f
}

// segmentOf is the segment that a value must be made again with, −1 if it is
// kept: a leaf, a gradient, a root, what lives across the segment's end, and
// all of the last segment.
func (f *forward) segmentOf(o operand) int {
	m := o.memory()
	i, ok := f.at[m.node]
	if !ok || ops.OpOf(m.node) == nil || f.roots[m] {
		return -1
	}
	s, _ := slices.BinarySearch(f.cuts, i)
	if s == len(f.cuts) || f.read[m] > f.cuts[s] {
		return -1
	}
	return s
}

// recomputation makes nodes again.
type recomputation struct {
	*forward
	graph  *ops.Graph
	copies map[*ops.Node]*ops.Node
	wanted [][]*ops.Node // by segment, in order
	done   []bool
}

// demand lists, for every segment, the operators that lead to what the backward
// pass reads of it.
func (r *recomputation) demand(backward []*ops.Node) {
	sets := make([]map[*ops.Node]bool, len(r.cuts))
	var want func(o operand)
	want = func(o operand) {
		s := r.segmentOf(o)
		if s < 0 || sets[s][o.node] {
			return
		}
		if sets[s] == nil {
			sets[s] = map[*ops.Node]bool{}
		}
		sets[s][o.node] = true
		for _, in := range operands(o.node) {
			want(in)
		}
	}
	for _, n := range backward {
		for _, o := range operands(n) {
			want(o)
		}
	}
	for _, set := range sets {
		var list []*ops.Node
		for n := range set {
			list = append(list, n)
		}
		slices.SortFunc(list, func(a, b *ops.Node) int { return int(a.ID() - b.ID()) })
		r.wanted = append(r.wanted, list)
	}
}

// emit makes a segment again.
func (r *recomputation) emit(s int) error {
	r.done[s] = true
	for _, n := range r.wanted[s] {
		if err := r.copy(n); err != nil {
			return err
		}
	}
	return nil
}

// copy makes a node once more, on copies of what it reads where there are any.
func (r *recomputation) copy(n *ops.Node) error {
	in := children(n)
	for i, c := range in {
		in[i] = r.now(operand{c, -1})
	}
	op := ops.OpOf(n)
	if op == nil { // a sum that Grad made
		c, err := gorgonia.ApplyOp(n.Op(), in...)
		r.copies[n] = c
		return err
	}
	s := op.Spec
	s.In, s.Reads = in, slices.Clone(s.Reads)
	for i, o := range s.Reads {
		s.Reads[i].Of = r.now(operand{o.Of, o.Slot})
	}
	r.copies[n] = r.graph.Apply(s)
	return nil
}

// now is the node to read for what was an operand of the graph as it was.
func (r *recomputation) now(o operand) *ops.Node {
	_, before := r.at[o.node]
	if c := r.copies[o.node]; c != nil && (!before || r.segmentOf(o) >= 0) {
		return c
	}
	return o.node
}
