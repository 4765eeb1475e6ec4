package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
)

// prefix is the part of a runner's circuits that does the same for a picture in
// every epoch: what lies before the first thing that trains. It runs picture by
// picture, because the last digits that kernels give depend on how many pictures
// run at once, and on the place of one among them: so what it makes is a function
// of the picture alone, whenever and on however many threads it is made.
type prefix struct {
	one     *circuit
	program *vm.Program
	cut     []*ops.Node
	narrow  []bool  // values of the cut that are bf16
	share   float64 // of the forward pass
	ranks   []*prefixRank
}

// prefixRank is a prefix on one thread.
type prefixRank struct {
	exec   *vm.Executor
	arenas []*buffer.Arena
	in     []float32
	out    []*buffer.Buffer
}

// leastShare is the part of the forward pass that a prefix has to be to be run
// by itself.
const leastShare = .2

// forward are the values that a circuit computes, gradients apart.
func (c *circuit) forward() []*ops.Node {
	roots := slices.Clone(c.outputs)
	if c.loss != nil {
		roots = append(roots, c.loss)
	}
	return roots
}

// findPrefix finds what is a function of the picture and of what is frozen.
func findPrefix(n *Network, c *circuit) *vm.Prefix {
	changes := func(l *ops.Node) bool { return c.Needs(l) || c.Memory[l] == nil }
	return vm.FindPrefix(c.Graph.Graph, n.picture(c), changes, c.forward(), c.grads)
}

// divide makes the runner compute the prefix by itself, if that is worth it for
// batches of these sizes; else it says why not.
func (r *runner) divide(n *Network, batches ...int) (why string, err error) {
	one, err := r.make(1)
	if err != nil {
		return "", err
	}
	found := findPrefix(n, one)
	if found == nil {
		return "what trains reads the pictures themselves", nil
	}
	if s := found.Share(); s < leastShare {
		return fmt.Sprintf("only %.0f %% of the forward pass lies before what trains", 100*s), nil
	}
	p := &prefix{one: one, cut: found.Cut, share: found.Share(), ranks: make([]*prefixRank, r.team.Size())}
	whole, err := r.plan(one.Graph.Graph, append(one.forward(), one.grads...)...)
	if err != nil {
		return "", err
	}
	for _, n := range p.cut {
		p.narrow = append(p.narrow, whole.Kind(n) == buffer.BF16)
	}
	if p.program, err = vm.CompileCut(one.Graph.Graph, r.narrow(), p.half(p.cut)); err != nil {
		return "", err
	}
	r.net, r.prefix = n, p
	most := 0
	for _, b := range batches {
		for _, size := range shardSizes(b, r.team.Size()) {
			c, err := r.compile(size)
			if err != nil {
				return "", err
			}
			if c.cut == nil {
				why = "the network is not the same graph for one picture and for several"
			}
			most = max(most, size)
		}
	}
	if why == "" && most > 1 {
		var ok bool
		if ok, err = r.agrees(most); err == nil && !ok {
			why = "pictures of one batch are not apart in the values behind it"
		}
	}
	if why != "" || err != nil {
		p.free()
		r.prefix, r.circuits = nil, map[int]*compiled{}
	}
	return why, err
}

// half is a cut with its values as they lie in a circuit that runs whole.
func (p *prefix) half(cut []*ops.Node) vm.Cut {
	c := vm.Cut{Nodes: cut, Half: map[*ops.Node]bool{}}
	for i, n := range cut {
		c.Half[n] = p.narrow[i]
	}
	return c
}

// cutOf is where the circuit of a batch is cut, nil if it cannot be as the
// circuit of one picture is.
func (p *prefix) cutOf(n *Network, c *circuit) []*ops.Node {
	if p == nil {
		return nil
	}
	found := findPrefix(n, c)
	if found == nil || len(found.Cut) != len(p.cut) {
		return nil
	}
	for i, node := range found.Cut {
		one, all := ops.Shape(p.cut[i]), slices.Clone(ops.Shape(node))
		if len(all) == 0 || len(one) == 0 || all[0] != one[0]*c.Batch {
			return nil
		}
		if all[0] = one[0]; !slices.Equal(all, one) {
			return nil
		}
	}
	return found.Cut
}

// agrees checks on noise that the values of a picture in a batch lie one behind
// the other, and are those of the picture alone.
func (r *runner) agrees(size int) (ok bool, err error) {
	c := r.circuits[size]
	program, err := vm.CompileCut(c.Graph.Graph, r.narrow(), r.prefix.half(c.cut))
	if err != nil {
		return false, err
	}
	picture := r.net.picture(c.circuit)
	rng := rand.New(rand.NewPCG(1, 2))
	x := buffer.New(buffer.F32, ops.Shape(picture)...)
	for i := range x.F32() {
		x.F32()[i] = float32(rng.NormFloat64())
	}
	err = r.team.Do(1, func(rank int) error {
		memory := map[*ops.Node]*buffer.Buffer{picture: x}
		for n, b := range c.Memory {
			memory[n] = b
		}
		all, err := vm.NewExecutor(program, vm.Binding{Kernels: r.kernels, Inputs: memory})
		if err != nil {
			return err
		}
		defer all.Close()
		if err := all.RunAll(); err != nil {
			return err
		}
		alone, err := r.prefixOn(rank)
		if err != nil {
			return err
		}
		ok = true
		per := x.Len() / size
		for i := range size {
			if err := alone.run(x.F32()[i*per:][:per]); err != nil {
				return err
			}
			for k, want := range alone.out {
				w := widened(want)
				ok = ok && near(widened(all.Value(c.cut[k]))[i*len(w):][:len(w)], w)
			}
		}
		return nil
	})
	return ok, err
}

// widened are the values of a buffer.
func widened(b *buffer.Buffer) []float32 {
	if b.Storage != buffer.BF16 {
		return b.F32()
	}
	out := make([]float32, b.Len())
	for i, v := range b.BF16() {
		out[i] = math.Float32frombits(uint32(v) << 16)
	}
	return out
}

// near tells whether values are the same but for rounding.
func near(got, want []float32) bool {
	off, most := 0.0, 0.0
	for i, w := range want {
		off = max(off, math.Abs(float64(got[i])-float64(w)))
		most = max(most, math.Abs(float64(w)))
	}
	return off <= .05*most // bf16 has 8 bits
}

// prefixOn is the prefix on a thread, which has to be the caller's. Its kernels
// share no threads, whatever the last batch did: some are others then.
func (r *runner) prefixOn(rank int) (*prefixRank, error) {
	p := r.prefix
	onednn.Share(1)
	if p.ranks[rank] != nil {
		return p.ranks[rank], nil
	}
	pr := &prefixRank{}
	memory := map[*ops.Node]*buffer.Buffer{}
	for n, b := range p.one.Memory {
		memory[n] = b
	}
	reserve := func(bytes int) (*buffer.Arena, error) {
		a, err := buffer.NewArena(bytes)
		if err == nil {
			pr.arenas = append(pr.arenas, a)
		}
		return a, err
	}
	picture := r.net.picture(p.one)
	in, err := reserve(4 * elements(picture))
	if err != nil {
		return nil, err
	}
	memory[picture] = in.At(0, buffer.F32, ops.Shape(picture)...)
	pr.in = memory[picture].F32()
	arena, err := reserve(p.program.ArenaBytes)
	if err == nil {
		pr.exec, err = vm.NewExecutor(p.program, vm.Binding{Kernels: r.kernels, Inputs: memory, Arena: arena})
	}
	if err != nil {
		pr.free()
		return nil, err
	}
	for _, n := range p.cut {
		pr.out = append(pr.out, pr.exec.Value(n))
	}
	p.ranks[rank] = pr
	return pr, nil
}

func (pr *prefixRank) run(x []float32) error {
	copy(pr.in, x)
	return pr.exec.RunAll()
}

func (pr *prefixRank) free() {
	for _, a := range pr.arenas {
		a.Free()
	}
}

// bytes is the size of what the prefix makes of a picture.
func (p *prefix) bytes() int {
	n := 0
	for _, node := range p.cut {
		n += p.program.Kind(node).Size() * elements(node)
	}
	return n
}

// free gives the memory back. What is run afterwards takes it again.
func (p *prefix) free() {
	for i, pr := range p.ranks {
		if pr != nil {
			pr.free()
			p.ranks[i] = nil
		}
	}
}

// cutMemory is where picture i of a batch has the values that the prefix makes;
// nil where it runs in a whole circuit.
func (s *set) cutMemory(i int) [][]byte {
	for k, sh := range s.shards {
		if i >= s.sizes[k] {
			i -= s.sizes[k]
			continue
		}
		var out [][]byte
		for _, n := range sh.cut {
			v := sh.memory[n].Raw()
			per := len(v) / s.sizes[k]
			out = append(out, v[i*per:][:per])
		}
		return out
	}
	panic(fmt.Sprintf("engine: picture %d of a batch that is smaller", i))
}

// feed hands a batch of pictures to a set: to the prefix, and what that makes to
// the rest; to circuits that run whole as they are.
func (r *runner) feed(s *set, x []float32, picture func(c *circuit) *ops.Node) error {
	if r.prefix == nil {
		load(s, x, picture)
		return nil
	}
	batch := 0
	var first []int
	for _, n := range s.sizes {
		first = append(first, batch)
		batch += n
	}
	per := len(x) / batch
	return r.team.Do(len(s.shards), func(rank int) error {
		sh := s.shards[rank]
		if sh.cut == nil {
			copy(sh.input(picture(sh.circuit)).F32(), x[first[rank]*per:])
			return nil
		}
		pr, err := r.prefixOn(rank)
		if err != nil {
			return err
		}
		for i := first[rank]; i < first[rank]+s.sizes[rank]; i++ {
			if err := pr.run(x[i*per:][:per]); err != nil {
				return err
			}
			for k, v := range s.cutMemory(i) {
				copy(v, pr.out[k].Raw())
			}
		}
		return nil
	})
}
