package vm

import (
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// Prefix is the part of a program that does the same for the same picture in
// every run.
type Prefix struct {
	// Cut are the values behind which the rest begins, in the order of the graph:
	// a program that is cut there reads no picture.
	Cut []*ops.Node
	// Flops is the work before the cut, Forward that of the whole forward pass.
	Flops, Forward float64
}

// Share is the part of the forward pass that lies before the cut.
func (p *Prefix) Share() float64 { return p.Flops / max(p.Forward, 1) }

// recomputed is the part of a prefix's work that is done again behind the cut
// where that makes what is kept smaller.
const recomputed = .05

// FindPrefix finds the prefix of the program that computes forward and rest: what
// depends on picture, and beside it on leaves that never change alone. It is nil
// where there is none, and where something behind it reads the picture itself.
//
// What is kept of a picture are the values that the rest reads. One of them is
// computed again rather than kept when its inputs are smaller, or kept anyway
// (a norm beside the sum that it was made of, a wide product), as long as all of
// that stays a small part of the work that the cut saves.
func FindPrefix(g *ops.Graph, picture *ops.Node, changes func(leaf *ops.Node) bool, forward, rest []*ops.Node) *Prefix {
	out := &Prefix{}
	for _, n := range (&Program{roots: forward}).collect() {
		if op := ops.OpOf(n); op != nil {
			out.Forward += op.Flops
		}
	}
	roots := slices.Concat(forward, rest)
	nodes := (&Program{roots: roots}).collect()
	same, sees := constant(nodes, picture, changes)

	cut := map[*ops.Node]bool{}
	for _, n := range nodes {
		if same[n] {
			continue
		}
		for _, c := range children(n) {
			if same[c] && sees[c] {
				cut[c] = true
			}
		}
	}
	for _, r := range roots {
		if same[r] && sees[r] {
			cut[r] = true
		}
	}
	if len(cut) == 0 {
		return nil
	}
	work := func() float64 { // before the cut
		total := 0.0
		for _, n := range (&Program{roots: sorted(cut)}).collect() {
			if op := ops.OpOf(n); op != nil && sees[n] {
				total += op.Flops
			}
		}
		return total
	}
	budget := recomputed * work()
	for i := len(nodes) - 1; i >= 0; i-- { // later ones first: their inputs join the cut
		f := nodes[i]
		if !cut[f] {
			continue
		}
		op := ops.OpOf(f)
		if op == nil {
			return nil // the picture
		}
		if len(op.Reads) > 0 {
			if op.Alias {
				return nil // a view of what another operator saved
			}
			continue
		}
		var needs []*ops.Node
		more := 0
		for _, c := range children(f) {
			if b := base(c); sees[b] && !slices.Contains(needs, b) {
				needs = append(needs, b)
				if !cut[b] {
					more += bytesOf(g, b)
				}
			}
		}
		if !op.Alias && (more >= bytesOf(g, f) || op.Flops > budget || slices.Contains(needs, picture)) {
			continue
		}
		budget -= op.Flops
		delete(cut, f)
		for _, b := range needs {
			cut[b] = true
		}
	}
	for n := range cut {
		if g.Kind(n) != buffer.F32 {
			return nil
		}
	}
	out.Cut = sorted(cut)
	out.Flops = work()
	return out
}

// constant tells of every node whether it is the same in every run with the same
// picture, and whether it depends on the picture. An operator that saves
// something for one that changes is left to the rest.
func constant(nodes []*ops.Node, picture *ops.Node, changes func(leaf *ops.Node) bool) (same, sees map[*ops.Node]bool) {
	left := map[*ops.Node]bool{}
	for again := true; again; {
		again = false
		same, sees = map[*ops.Node]bool{}, map[*ops.Node]bool{}
		for _, n := range nodes {
			op, in := ops.OpOf(n), children(n)
			sees[n] = n == picture
			switch {
			case n == picture || op == nil && len(in) == 0 && isSeed(n):
				same[n] = true
				continue
			case op == nil && len(in) == 0:
				same[n] = !changes(n)
				continue
			case op != nil:
				for _, r := range op.Reads {
					in = append(in, r.Of)
				}
			}
			same[n] = op != nil && !left[n]
			for _, c := range in {
				same[n] = same[n] && same[c]
				sees[n] = sees[n] || sees[c]
			}
			if op == nil || same[n] {
				continue
			}
			for _, r := range op.Reads {
				if same[r.Of] {
					left[r.Of], again = true, true
				}
			}
		}
	}
	return same, sees
}

func sorted(set map[*ops.Node]bool) []*ops.Node {
	var out []*ops.Node
	for n := range set {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *ops.Node) int { return int(a.ID() - b.ID()) })
	return out
}

func bytesOf(g *ops.Graph, n *ops.Node) int { return length(n.Shape()) * g.Kind(n).Size() }
