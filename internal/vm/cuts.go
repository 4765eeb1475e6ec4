package vm

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/ops"
)

// weight is a value of the forward pass: its bytes, the last forward step that
// reads it, and whether the backward pass does.
type weight struct {
	bytes, read int
	saved       bool
}

// choose cuts the forward pass so that what is kept across the cuts, and what
// the largest segment needs while it is differentiated, are together small.
// No cut lies behind step limit.
func (f *forward) choose(saved map[operand]bool, limit int) []int {
	values := make([][]weight, len(f.nodes)) // by the step that makes them
	total := 0
	add := func(o operand) {
		read, known := f.read[o]
		if f.roots[o] || !known && !saved[o] {
			return
		}
		w := weight{bytes: o.bytes(), read: read, saved: saved[o]}
		values[f.at[o.node]] = append(values[f.at[o.node]], w)
		if w.saved {
			total += w.bytes
		}
	}
	for _, n := range f.nodes {
		op := ops.OpOf(n)
		if op == nil || op.Alias {
			continue
		}
		add(operand{n, -1})
		for i := range op.Slots {
			add(operand{n, i})
		}
	}
	best, least := []int(nil), total
	for parts := 2; parts <= 128; parts += max(1, parts/4) {
		if cuts, bytes := f.within(values, limit, total/parts); bytes < least {
			best, least = cuts, bytes
		}
	}
	return best
}

// within finds the cuts that keep the fewest bytes, with no more than budget
// saved inside a segment, by dynamic programming over the last cut. The result
// is what is kept and the largest segment.
func (f *forward) within(values [][]weight, limit, budget int) (cuts []int, bytes int) {
	const none = math.MaxInt
	n := len(f.nodes)
	kept, before, inside := make([]int, n+1), make([]int, n+1), make([]int, n+1) // a cut behind step i−1; 0 is the start
	for j := 1; j <= n; j++ {
		kept[j] = none
		if j > limit && j < n {
			continue
		}
		cross, held := 0, 0
		for i := j - 1; i >= 0; i-- { // the segment is steps i to j−1
			for _, w := range values[i] {
				switch {
				case j < n && w.read >= j:
					cross += w.bytes
				case w.saved:
					held += w.bytes
				}
			}
			if held > budget {
				break
			}
			if kept[i] != none && kept[i]+cross < kept[j] {
				kept[j], before[j], inside[j] = kept[i]+cross, i, held
			}
		}
	}
	if kept[n] == none {
		return nil, none
	}
	most := 0
	for j := n; j > 0; j = before[j] {
		most = max(most, inside[j])
		if before[j] > 0 {
			cuts = append(cuts, before[j]-1)
		}
	}
	slices.Reverse(cuts)
	return cuts, kept[n] + most
}
