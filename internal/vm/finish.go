package vm

import "slices"

// finish makes elementwise steps that work in place on the results of a product a
// part of its step, so that a kernel may do them before it writes: see
// [ops.Finish].
func (p *Program) finish() {
	var kept []*step
	for _, s := range p.steps {
		if host := p.host(kept, s); host != nil {
			host.then = append(host.then, s)
			continue
		}
		kept = append(kept, s)
	}
	p.steps = kept
}

// host is the product whose results s finishes; nil where there is none. Of the
// steps before it is the last that writes to the memory of s; none behind it reads
// that, and all else that s reads has been written before it.
func (p *Program) host(steps []*step, s *step) *step {
	if s.op == nil || s.op.Finish == nil || s.accumulate || len(s.slots) > 0 {
		return nil
	}
	own := 0
	for k := range s.in {
		if p.memoryOf(s, k) == s.out {
			own++
		}
	}
	if own != 1 {
		return nil
	}
	for i := len(steps) - 1; i >= 0; i-- {
		h := steps[i]
		if h.out == s.out {
			if h.op == nil || !h.op.Finishes || p.late(h, s) {
				return nil
			}
			return h
		}
		touched := append(slices.Clone(h.slots), h.out)
		for k := range s.in {
			if slices.Contains(touched, p.memoryOf(s, k)) {
				return nil
			}
		}
		for k := range h.in {
			if p.memoryOf(h, k) == s.out {
				return nil
			}
		}
		for _, t := range h.then {
			for k := range t.in {
				if p.memoryOf(t, k) == s.out {
					return nil
				}
			}
		}
	}
	return nil
}

// late reports whether something has happened to h's results that comes behind s,
// or s reads what h writes beside them.
func (p *Program) late(h, s *step) bool {
	for k := range s.in {
		if slices.Contains(h.slots, p.memoryOf(s, k)) {
			return true
		}
	}
	return len(h.then) > 0 && h.then[len(h.then)-1].op.Finish.Stage >= s.op.Finish.Stage
}
