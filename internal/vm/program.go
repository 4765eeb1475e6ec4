// Package vm runs expression graphs of vislora's operators: a straight line of
// bound kernels over one arena, planned once, with no allocation per step.
//
// [Compile] turns a gorgonia graph into a [Program]: pruned to what the roots
// need, in the order the nodes were made, with gorgonia's gradient sums lowered
// to accumulation, outputs in place where an input dies, and one offset for
// every value, so that two values that never live together share memory. An
// [Executor] is a program bound to an arena and a kernel set; it satisfies
// gorgonia.VM. A [Team] runs one executor per locked thread, each on its shard
// of the batch.
package vm

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
	"gorgonia.org/gorgonia"
)

// Program is a compiled graph: what to run, in which order, where values lie.
type Program struct {
	graph *ops.Graph
	steps []*step
	roots []*ops.Node
	where map[*ops.Node]*storage
	// Inputs are the leaves the program reads, in the order they were made.
	Inputs []*ops.Node
	// ArenaBytes is the memory that values and scratch take; LowerBound is the
	// most that is ever alive at once, which no plan can beat.
	ArenaBytes, LowerBound int
	stores                 []*storage
	narrow                 bool // values may be bf16
	// cut are inner nodes whose values the caller brings, half those values that
	// are bf16 on both sides of a cut: see [CompileCut].
	cut, half map[*ops.Node]bool
}

// storage is a piece of memory that one or more values share.
type storage struct {
	bytes      int
	first, end int // steps between which it is alive, both included
	offset     int
	input      *ops.Node // set for leaves: the memory is the caller's
	narrow     bool      // bf16, or bytes where
	slope      bool      // … these are derivatives
	one        bool      // the unit seed of Grad
}

func (s *storage) owned() bool { return s.input == nil && !s.one }

// step is one operator, or the sum of two gradients when op is nil.
type step struct {
	node       *ops.Node
	op         *ops.Op
	in         []*ops.Node
	out        *storage
	accumulate bool
	slots      []*storage
	scratch    []*storage
	instead    *storage // read in the place of an input: see ops.Instead
	then       []*step  // what finishes this one's results in place
}

// memoryOf is the memory of input i.
func (p *Program) memoryOf(s *step, i int) *storage {
	if s.instead != nil && s.op.Narrow.Instead.In == i {
		return s.instead
	}
	return p.where[s.in[i]]
}

// Compile plans a program that computes roots. Every operator on the way must
// be one of package ops; gorgonia's own are accepted only where Grad inserts
// them.
func Compile(g *ops.Graph, roots ...*ops.Node) (*Program, error) { return compile(g, false, roots) }

// CompileBF16 is [Compile] with values in bf16 wherever all that write and read
// them may have them so: half the memory. Inputs, roots and sums of gradients are
// float32.
func CompileBF16(g *ops.Graph, roots ...*ops.Node) (*Program, error) { return compile(g, true, roots) }

func compile(g *ops.Graph, narrow bool, roots []*ops.Node) (*Program, error) {
	p := &Program{graph: g, roots: roots, where: map[*ops.Node]*storage{}, narrow: narrow}
	nodes := p.collect()
	if err := p.lower(nodes); err != nil {
		return nil, err
	}
	p.place()
	return p, nil
}

// collect returns the nodes that the roots need, in the order they were made:
// forward before backward, and the gradients of one layer side by side, which
// keeps lives short.
func (p *Program) collect() []*ops.Node {
	seen := map[*ops.Node]bool{}
	var nodes []*ops.Node
	stack := slices.Clone(p.roots)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		nodes = append(nodes, n)
		if p.cut[n] {
			continue
		}
		stack = append(stack, children(n)...)
		if op := ops.OpOf(n); op != nil {
			for _, r := range op.Reads {
				stack = append(stack, r.Of)
			}
		}
	}
	slices.SortFunc(nodes, func(a, b *ops.Node) int { return int(a.ID() - b.ID()) })
	return nodes
}

func children(n *ops.Node) []*ops.Node {
	var out []*ops.Node
	for it := n.Graph().From(n.ID()); it.Next(); {
		out = append(out, it.Node().(*ops.Node))
	}
	return out
}

// lower makes the steps and decides which values share memory.
func (p *Program) lower(nodes []*ops.Node) error {
	uses := map[*ops.Node][]*ops.Node{}
	at := map[*ops.Node]int{}
	for i, n := range nodes {
		at[n] = i
		if p.cut[n] {
			continue
		}
		for _, c := range children(n) {
			uses[c] = append(uses[c], n)
		}
	}
	sums := p.fuseSums(nodes, uses, at)
	slots := map[*ops.Node][]*storage{}
	for i, n := range nodes {
		if p.cut[n] {
			p.where[n] = &storage{input: n, first: i, end: i, narrow: p.half[n]}
			p.Inputs = append(p.Inputs, n)
			continue
		}
		in := children(n)
		for _, c := range in {
			if at[c] >= i {
				return fmt.Errorf("vm: %v stands before its input %v", n, c)
			}
		}
		op := ops.OpOf(n)
		switch {
		case n.IsVar() || len(in) == 0 && n.Op() == nil:
			p.where[n] = &storage{input: n, first: i, end: i}
			p.Inputs = append(p.Inputs, n)
			continue
		case op == nil && len(in) == 0 && isSeed(n):
			p.where[n] = &storage{one: true, first: i, end: i}
			continue
		case op == nil && len(in) == 2 && isAdd(n):
			if s := sums[n]; s != nil { // the later gradient was added in place
				p.where[n] = p.where[s.into]
				continue
			}
			s := &step{node: n, in: in}
			s.out = p.output(s, i, p.graph.Storage().Size(), uses, at, []int{0, 1})
			p.steps = append(p.steps, s)
			continue
		case op == nil:
			return fmt.Errorf("vm: %v is gorgonia's operator %v; only vislora's can be run", n, n.Op())
		case op.Alias && len(op.Reads) > 0:
			p.where[n] = slots[op.Reads[0].Of][op.Reads[0].Slot]
			continue
		case op.Alias:
			p.where[n] = p.where[in[0]]
			continue
		}
		s := &step{node: n, op: op, in: in}
		if sum := accumulatesInto(sums, n); sum != nil {
			s.out, s.accumulate = p.where[sum.into], true
		} else {
			s.out = p.output(s, i, op.OutStorage().Size(), uses, at, op.InPlace)
		}
		p.where[n] = s.out
		for j, sl := range op.Slots {
			s.slots = append(s.slots, &storage{bytes: length(sl.Shape) * op.SlotStorage(j).Size(), first: i, end: -1})
		}
		slots[n] = s.slots
		for _, elems := range op.Scratch {
			s.scratch = append(s.scratch, &storage{bytes: elems * op.FloatStorage().Size(), first: i, end: i})
		}
		p.steps = append(p.steps, s)
	}
	if p.narrow {
		p.halve(slots)
	}
	p.finish()
	p.lives(slots)
	return nil
}

// sum is a gradient sum that needs no step of its own: the operator that makes
// its later term adds to the memory of the earlier one.
type sum struct {
	into  *ops.Node // the earlier term
	maker *ops.Node // the operator that accumulates
}

func accumulatesInto(sums map[*ops.Node]*sum, n *ops.Node) *sum {
	if s := sums[n]; s != nil && s.maker == n {
		return s
	}
	return nil
}

// fuseSums finds, for every Add that Grad inserted, whether the operator behind
// its later term can write with β = 1 onto the earlier term. The result holds
// each sum under both the Add and the operator.
func (p *Program) fuseSums(nodes []*ops.Node, uses map[*ops.Node][]*ops.Node, at map[*ops.Node]int) map[*ops.Node]*sum {
	sums := map[*ops.Node]*sum{}
	for _, n := range nodes {
		if ops.OpOf(n) != nil || !isAdd(n) || p.cut[n] {
			continue
		}
		in := children(n)
		early, late := in[0], in[1]
		if p.madeAt(early, at) > p.madeAt(late, at) {
			early, late = late, early
		}
		maker := late
		ok := early != late
		for ok { // look through reshapes that nobody else sees
			ok = readers(uses[maker]) == 1 && !slices.Contains(p.roots, maker)
			op := ops.OpOf(maker)
			if !ok || op == nil || !op.Alias || len(op.Reads) > 0 {
				break
			}
			maker = children(maker)[0]
		}
		op := ops.OpOf(maker)
		if !ok || op == nil || !op.Accumulates || sums[maker] != nil || p.cut[maker] || p.cut[early] {
			continue
		}
		// Everything that reads the earlier term otherwise must have run, and the
		// operator itself must not read it.
		t := at[maker]
		if p.settled(early, n, t, uses, at) && !p.reads(maker, early) {
			s := &sum{into: early, maker: maker}
			sums[n], sums[maker] = s, s
		}
	}
	return sums
}

// readers counts those that read a value itself: selectors read a slot beside it.
func readers(uses []*ops.Node) int {
	n := 0
	for _, u := range uses {
		if op := ops.OpOf(u); op == nil || !op.Alias || len(op.Reads) == 0 {
			n++
		}
	}
	return n
}

// madeAt is when the memory behind a value is written.
func (p *Program) madeAt(n *ops.Node, at map[*ops.Node]int) int { return at[base(n)] }

// base looks through aliases to the node that owns the memory.
func base(n *ops.Node) *ops.Node {
	for {
		op := ops.OpOf(n)
		if op == nil || !op.Alias {
			return n
		}
		if len(op.Reads) > 0 {
			return n
		}
		n = children(n)[0]
	}
}

// settled reports whether memory behind early may change at time t: it is an
// operator's own output, and every reader but except has run before.
func (p *Program) settled(early, except *ops.Node, t int, uses map[*ops.Node][]*ops.Node, at map[*ops.Node]int) bool {
	b := base(early)
	if op := ops.OpOf(b); op == nil && !isAdd(b) || at[b] >= t {
		return false
	}
	if op := ops.OpOf(b); op != nil && op.Alias {
		return false // a slot: leave it alone
	}
	var check func(n *ops.Node) bool
	check = func(n *ops.Node) bool {
		if slices.Contains(p.roots, n) {
			return false
		}
		for _, u := range uses[n] {
			if u == except {
				continue
			}
			if op := ops.OpOf(u); op != nil && op.Alias && len(op.Reads) == 0 {
				if !check(u) {
					return false
				}
				continue
			}
			if at[u] >= t {
				return false
			}
		}
		return true
	}
	return check(b)
}

// reads reports whether operator n reads the memory behind v.
func (p *Program) reads(n, v *ops.Node) bool {
	return slices.ContainsFunc(children(n), func(c *ops.Node) bool { return base(c) == base(v) })
}

// output decides where a step writes: over a dying input, first the one that was
// made last, or new memory.
func (p *Program) output(s *step, i, elem int, uses map[*ops.Node][]*ops.Node, at map[*ops.Node]int, inPlace []int) *storage {
	bytes := length(s.node.Shape()) * elem
	inPlace = slices.Clone(inPlace)
	slices.SortStableFunc(inPlace, func(a, b int) int { return p.madeAt(s.in[b], at) - p.madeAt(s.in[a], at) })
	for _, k := range inPlace {
		in := s.in[k]
		if st := p.where[in]; st != nil && st.owned() && st.bytes == bytes && p.dies(st, i, uses, at, s.node) {
			p.where[s.node] = st
			return st
		}
	}
	st := &storage{bytes: bytes, first: i, end: i}
	p.where[s.node] = st
	return st
}

// dies reports whether nothing reads the storage after time i.
func (p *Program) dies(st *storage, i int, uses map[*ops.Node][]*ops.Node, at map[*ops.Node]int, reader *ops.Node) bool {
	for n, w := range p.where {
		if w != st {
			continue
		}
		if slices.Contains(p.roots, n) {
			return false
		}
		for _, u := range uses[n] {
			if u == reader {
				continue
			}
			if op := ops.OpOf(u); op != nil && op.Alias && len(op.Reads) == 0 {
				if _, placed := p.where[u]; placed {
					continue // its own readers are checked in this loop
				}
				return false
			}
			if at[u] > i {
				return false
			}
		}
	}
	return true
}

func length(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func isSeed(n *ops.Node) bool {
	v := n.Value()
	if v == nil {
		return false
	}
	switch x := v.Data().(type) {
	case float32:
		return x == 1
	case float64:
		return x == 1
	}
	return false
}

func isAdd(n *ops.Node) bool {
	op := n.Op()
	if op == nil {
		return false
	}
	b, ok := op.(gorgonia.BinaryOp)
	return ok && b.IsBinary() && fmt.Sprint(op) == "+ false"
}

// lives computes from when to when every storage is needed.
func (p *Program) lives(slots map[*ops.Node][]*storage) {
	index := map[*ops.Node]int{}
	for i, s := range p.steps {
		index[s.node] = i
		for _, t := range s.then {
			index[t.node] = i
		}
		for _, st := range append(append([]*storage{s.out}, s.slots...), s.scratch...) {
			st.first, st.end = len(p.steps), -1
		}
	}
	touch := func(st *storage, i int) { st.first, st.end = min(st.first, i), max(st.end, i) }
	for i, s := range p.steps {
		touch(s.out, i)
		for k := range s.in {
			touch(p.memoryOf(s, k), i)
		}
		for _, t := range s.then {
			for k := range t.in {
				touch(p.memoryOf(t, k), i)
			}
		}
		for _, st := range s.scratch {
			touch(st, i)
		}
		if s.op != nil {
			for _, r := range s.op.Reads {
				st := slots[r.Of][r.Slot]
				touch(st, i)
				touch(st, index[r.Of])
			}
			if s.instead != nil {
				touch(s.instead, index[s.op.Reads[0].Of])
			}
		}
	}
	// A selector's slot is read by whoever reads the selector; it is written
	// where its operator runs.
	for _, s := range p.steps {
		for _, st := range s.slots {
			if st.end >= 0 {
				touch(st, index[s.node])
			}
		}
	}
	for _, r := range p.roots {
		touch(p.where[r], len(p.steps)-1)
		if op := ops.OpOf(r); op != nil && op.Alias && len(op.Reads) > 0 {
			touch(p.where[r], index[op.Reads[0].Of])
		}
	}
	seen := map[*storage]bool{}
	for _, s := range p.steps {
		for _, st := range append(append([]*storage{s.out}, s.slots...), s.scratch...) {
			if st.owned() && st.end >= 0 && !seen[st] {
				seen[st] = true
				p.stores = append(p.stores, st)
			}
		}
	}
}

// place gives every storage an offset: largest first, each at the lowest place
// where nothing alive at the same time is in the way.
func (p *Program) place() {
	order := slices.Clone(p.stores)
	slices.SortStableFunc(order, func(a, b *storage) int {
		if a.bytes != b.bytes {
			return b.bytes - a.bytes
		}
		return a.first - b.first
	})
	var placed []*storage // by offset
	for _, st := range order {
		offset, need := 0, buffer.Padded(st.bytes)
		for _, o := range placed {
			if o.end < st.first || st.end < o.first {
				continue
			}
			if offset+need <= o.offset {
				break
			}
			offset = max(offset, o.offset+buffer.Padded(o.bytes))
		}
		st.offset = offset
		p.ArenaBytes = max(p.ArenaBytes, offset+need)
		i, _ := slices.BinarySearchFunc(placed, st, func(a, b *storage) int { return a.offset - b.offset })
		placed = slices.Insert(placed, i, st)
	}
	change := make([]int, len(p.steps)+1)
	for _, st := range p.stores {
		change[st.first] += buffer.Padded(st.bytes)
		change[st.end+1] -= buffer.Padded(st.bytes)
	}
	live := 0
	for _, c := range change {
		live += c
		p.LowerBound = max(p.LowerBound, live)
	}
}

// Flops is the work of one run: multiply-adds times two.
func (p *Program) Flops() float64 {
	total := 0.0
	for _, s := range p.steps {
		total += s.flops()
	}
	return total
}

// flops are those of a step and of what finishes its results.
func (s *step) flops() float64 {
	if s.op == nil {
		return 0
	}
	total := s.op.Flops
	for _, t := range s.then {
		total += t.op.Flops
	}
	return total
}
