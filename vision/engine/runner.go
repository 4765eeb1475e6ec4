package engine

import (
	"fmt"
	"runtime/debug"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
	"gorgonia.org/gorgonia"
)

// circuit is a network with its head and loss as one graph, for one batch size.
type circuit struct {
	*build.Graph
	labels  *ops.Node // nil without a loss
	targets *ops.Node // soft or multi-label targets (N, K), or boxes (N, M, 5), nil otherwise
	masks   *ops.Node // of the objects in targets (N, M, h, w), nil otherwise
	loss    *ops.Node
	outputs []*ops.Node
	levels  []head.Level   // the maps that a detector's cells lie on
	params  []*build.Param // those with a gradient, in order
	grads   []*ops.Node
}

// differentiate adds the gradients of the trainable parameters. Parameters that
// the loss does not depend on have none.
func (c *circuit) differentiate(trainable []*build.Param) error {
	var wrt gorgonia.Nodes
	for _, p := range trainable {
		if l := c.Leaves[p.Name]; l != nil && c.reaches(l) {
			wrt = append(wrt, l)
			c.params = append(c.params, p)
		}
	}
	if len(wrt) == 0 {
		return fmt.Errorf("nothing to train: the loss depends on no trainable parameter")
	}
	grads, err := gorgonia.Grad(c.loss, wrt...)
	if err != nil {
		return fmt.Errorf("differentiate: %w", err)
	}
	c.grads = grads
	return nil
}

// reaches reports whether a gradient flows from the loss to a leaf.
func (c *circuit) reaches(leaf *ops.Node) bool {
	seen := map[*ops.Node]bool{}
	var walk func(n *ops.Node) bool
	walk = func(n *ops.Node) bool {
		if n == leaf {
			return true
		}
		if seen[n] || !c.Needs(n) {
			return false
		}
		seen[n] = true
		op := ops.OpOf(n)
		if op == nil {
			return false
		}
		needs := op.DiffWRT(len(op.In))
		for i, in := range op.In {
			if needs[i] && walk(in) {
				return true
			}
		}
		return false
	}
	return walk(c.loss)
}

// maker builds a circuit for a batch size.
type maker func(batch int) (*circuit, error)

// runner runs circuits of one kind (training, or inference) on a team: it
// splits a batch into one shard per thread and keeps the programs of every
// shard size it has met.
type runner struct {
	team     *vm.Team
	kernels  kernels.Kernels
	make     maker
	circuits map[int]*compiled // by shard size
	sets     map[int]*set      // by batch size
	// recompute keeps few values of the forward pass (see [vm.Recompute]).
	recompute bool
	arenas    []*buffer.Arena // by rank: programs of one rank share the largest so far
	owned     []*buffer.Arena // all that were reserved
	prefix    *prefix         // nil: circuits run as a whole
	net       *Network        // of the prefix
}

type compiled struct {
	*circuit
	program *vm.Program
	cut     []*ops.Node // what the prefix makes; nil for the whole circuit
}

// set is everything needed to run one batch size.
type set struct {
	sizes  []int
	shards []*shard
	group  *vm.Group
	run    func(rank int) error
	// grads[i] is the sum over the shards of parameter i's gradient.
	grads [][]float32
}

// shard is one executor with its inputs.
type shard struct {
	*compiled
	exec   *vm.Executor
	memory map[*ops.Node]*buffer.Buffer
	// lossValue and gradValues are the circuit's roots in the executor's memory.
	lossValue  *buffer.Buffer
	gradValues []*buffer.Buffer
}

func newRunner(team *vm.Team, k kernels.Kernels, m maker) *runner {
	return &runner{team: team, kernels: k, make: m, circuits: map[int]*compiled{}, sets: map[int]*set{}, arenas: make([]*buffer.Arena, team.Size())}
}

// shardSizes splits a batch as evenly as it goes.
func shardSizes(batch, threads int) []int {
	n := min(batch, threads)
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = batch / n
		if i < batch%n {
			sizes[i]++
		}
	}
	return sizes
}

func (r *runner) compile(size int) (*compiled, error) {
	if c := r.circuits[size]; c != nil {
		return c, nil
	}
	c, err := r.make(size)
	if err != nil {
		return nil, err
	}
	cut := r.prefix.cutOf(r.net, c)
	if r.recompute && c.loss != nil {
		if c.grads, err = vm.Recompute(c.Graph.Graph, c.loss, c.grads, cut...); err != nil {
			return nil, fmt.Errorf("recompute: %w", err)
		}
	}
	roots := append(c.forward(), c.grads...)
	var p *vm.Program
	if cut == nil {
		p, err = r.plan(c.Graph.Graph, roots...)
	} else {
		p, err = vm.CompileCut(c.Graph.Graph, r.narrow(), r.prefix.half(cut), roots...)
	}
	if err != nil {
		return nil, err
	}
	r.circuits[size] = &compiled{c, p, cut}
	return r.circuits[size], nil
}

// narrow reports whether values may be bf16.
func (r *runner) narrow() bool {
	n, ok := r.kernels.(*onednn.Kernels)
	return ok && n.BF16()
}

func (r *runner) plan(g *ops.Graph, roots ...*ops.Node) (*vm.Program, error) {
	if r.narrow() {
		return vm.CompileBF16(g, roots...)
	}
	return vm.Compile(g, roots...)
}

// prepare returns the set for a batch size, compiling and binding what is new.
func (r *runner) prepare(batch int) (*set, error) {
	if s := r.sets[batch]; s != nil {
		return s, nil
	}
	s := &set{sizes: shardSizes(batch, r.team.Size())}
	group := vm.NewGroup(len(s.sizes))
	for rank, size := range s.sizes {
		c, err := r.compile(size)
		if err != nil {
			return nil, err
		}
		sh := &shard{compiled: c, memory: map[*ops.Node]*buffer.Buffer{}}
		for n, b := range c.Memory {
			sh.memory[n] = b
		}
		for _, n := range c.program.Inputs {
			if sh.memory[n] == nil { // a batch input
				kind := c.program.Kind(n)
				a, err := buffer.NewArena(kind.Size() * elements(n))
				if err != nil {
					return nil, err
				}
				sh.memory[n] = a.At(0, kind, ops.Shape(n)...)
			}
		}
		if a := r.arenas[rank]; a == nil || a.Bytes() < c.program.ArenaBytes {
			if r.arenas[rank], err = buffer.NewArena(c.program.ArenaBytes); err != nil {
				return nil, err
			}
			r.owned = append(r.owned, r.arenas[rank])
		}
		s.shards = append(s.shards, sh)
	}
	share := 1
	if len(s.shards) == 1 { // too small a batch: all threads in one shard
		share = r.team.Size()
	}
	err := r.team.Do(len(s.shards), func(rank int) error {
		onednn.Share(share)
		sh := s.shards[rank]
		var err error
		if sh.exec, err = vm.NewExecutor(sh.program, vm.Binding{Kernels: r.kernels, Inputs: sh.memory, Arena: r.arenas[rank], Collective: group.Member(rank)}); err != nil {
			return err
		}
		if sh.loss != nil {
			sh.lossValue = sh.exec.Value(sh.loss)
		}
		for _, g := range sh.grads {
			sh.gradValues = append(sh.gradValues, sh.exec.Value(g))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, p := range s.shards[0].params {
		s.grads = append(s.grads, make([]float32, len(p.Data())))
	}
	s.group = group
	s.run = func(rank int) error {
		onednn.Share(share)
		return group.Run(s.shards[rank].exec.RunAll)
	}
	r.sets[batch] = s
	if len(s.grads) > 0 {
		debug.FreeOSMemory() // what planning left, before the values take its place
	}
	return s, nil
}

func elements(n *ops.Node) int {
	c := 1
	for _, d := range ops.Shape(n) {
		c *= d
	}
	return c
}

// input is the shard's memory for a leaf, nil if its program does not read it.
func (s *shard) input(n *ops.Node) *buffer.Buffer {
	if n == nil {
		return nil
	}
	return s.memory[n]
}

// load copies a batch into the shards' inputs. pick chooses the leaf.
func load[T float32 | int64](s *set, data []T, pick func(c *circuit) *ops.Node) {
	batch := 0
	for _, n := range s.sizes {
		batch += n
	}
	per, at := len(data)/batch, 0
	for i, sh := range s.shards {
		n := s.sizes[i] * per
		if b := sh.input(pick(sh.circuit)); b != nil {
			switch d := any(data[at : at+n]).(type) {
			case []float32:
				copy(b.F32(), d)
			case []int64:
				copy(b.I64(), d)
			}
		}
		at += n
	}
}

// step runs a batch that was loaded and adds up loss and gradients over the
// shards, in rank order.
func (r *runner) step(s *set) (loss float64, err error) {
	s.group.Begin()
	if err := r.team.Do(len(s.shards), s.run); err != nil {
		return 0, err
	}
	for rank, sh := range s.shards {
		if sh.lossValue != nil {
			loss += float64(sh.lossValue.F32()[0])
		}
		for i, g := range sh.gradValues {
			v := g.F32()
			if rank == 0 {
				copy(s.grads[i], v)
				continue
			}
			sum := s.grads[i]
			for j, x := range v {
				sum[j] += x
			}
		}
	}
	return loss, nil
}

// output appends output k of all shards, in the order of the batch.
func (s *set) output(k int, dst []float32) []float32 {
	for _, sh := range s.shards {
		dst = append(dst, sh.exec.Value(sh.outputs[k]).F32()...)
	}
	return dst
}

// close frees the arenas; the team and the kernels belong to the session.
func (r *runner) close() {
	if r.prefix != nil {
		r.prefix.free()
	}
	for _, a := range r.owned {
		a.Free()
	}
	r.owned, r.arenas, r.sets, r.circuits = nil, nil, nil, nil
}
