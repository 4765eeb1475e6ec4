package vm

import (
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// leastNarrow is the length of the last axis from which on a value may be bf16:
// thinner ones, those of adapters, are small and worth their precision.
// mostNarrow is what kernels convert of a row at once.
const (
	leastNarrow = 32
	mostNarrow  = 1 << 14
)

// halve makes storages bf16 that all their operators may have so, and slopes bytes.
func (p *Program) halve(slots map[*ops.Node][]*storage) {
	wide := map[*storage]bool{}
	see := func(st *storage, may bool, shape []int, kind buffer.Storage) {
		last := 0
		if len(shape) > 0 {
			last = shape[len(shape)-1]
		}
		if !may || kind != buffer.F32 || last < leastNarrow || last > mostNarrow {
			wide[st] = true
		}
	}
	var all []*storage
	slopes := map[*storage]bool{}
	for _, s := range p.steps {
		var n ops.Narrow
		kind := buffer.F32
		if s.op != nil {
			n, kind = s.op.Narrow, s.op.OutStorage()
		}
		all = append(all, s.out)
		see(s.out, n.Out && !s.accumulate, s.node.Shape(), kind)
		for i, in := range s.in {
			if p.instead(s, slots) != nil && n.Instead.In == i {
				continue
			}
			see(p.where[in], slices.Contains(n.In, i), in.Shape(), p.graph.Kind(in))
		}
		for i, st := range s.slots {
			all = append(all, st)
			slopes[st] = s.op.Slots[i].Bytes
			see(st, slices.Contains(n.Slots, i), s.op.Slots[i].Shape, s.op.SlotStorage(i))
		}
		if s.op != nil {
			for i, r := range s.op.Reads {
				see(slots[r.Of][r.Slot], slices.Contains(n.Reads, i), ops.OpOf(r.Of).Slots[r.Slot].Shape, buffer.F32)
			}
		}
	}
	for _, s := range p.steps {
		if s.instead = p.instead(s, slots); s.instead != nil {
			wide[s.instead] = false
		}
	}
	for _, r := range p.roots {
		wide[p.where[r]] = wide[p.where[r]] || !p.half[r]
	}
	for _, st := range all {
		if st.owned() && !wide[st] && !st.narrow {
			st.narrow = true
			st.bytes /= 2
			if slopes[st] {
				st.slope = true
				st.bytes /= 2
			}
		}
	}
}

// instead is what a step reads in the place of one of its inputs, or nil.
func (p *Program) instead(s *step, slots map[*ops.Node][]*storage) *storage {
	if s.op == nil || s.op.Narrow.Instead == nil || p.graph.Storage() != buffer.F32 {
		return nil
	}
	in, st := s.op.Narrow.Instead, slots[s.op.Reads[0].Of]
	if shape := s.in[in.In].Shape(); st == nil || shape[len(shape)-1] < leastNarrow || shape[len(shape)-1] > mostNarrow {
		return nil
	}
	return st[in.Slot]
}
