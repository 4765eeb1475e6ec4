package vm_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/loss"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// network is a small residual network with everything the executor has to get
// right: shared inputs, in-place outputs, saved slots, summed gradients.
type network struct {
	g             *ops.Graph
	x, labels     *ops.Node
	params, grads []*ops.Node
	logits, cost  *ops.Node
}

func build(t *testing.T, dt tensor.Dtype, batch int) *network {
	t.Helper()
	g := ops.NewGraph(dt)
	n := &network{g: g}
	param := func(name string, shape ...int) *ops.Node {
		p := g.Input(name, buffer.F32, true, shape...)
		n.params = append(n.params, p)
		return p
	}
	n.x = g.Input("x", buffer.F32, false, batch, 8, 8, 3)
	n.labels = g.Input("labels", buffer.I64, false, batch)
	same := ops.ConvAttr{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Pads: [4]int{1, 1, 1, 1}, Groups: 1}
	y := g.Unary(kernels.Relu, 0, 0, g.Conv(n.x, param("stem", 6, 3, 3, 3), param("stem_bias", 6), same))
	skip := y
	y = g.Unary(kernels.Relu, 0, 0, g.Conv(y, param("conv1", 6, 6, 3, 3), nil, same))
	y = g.Unary(kernels.Relu, 0, 0, g.Add(g.Conv(y, param("conv2", 6, 6, 3, 3), nil, same), skip))
	y = g.Pool(y, ops.PoolAttr{Max: true, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}})
	tokens := g.Reshape(y, batch, 16, 6)
	h := g.LayerNorm(tokens, param("gamma", 6), param("beta", 6), 1e-5)
	qkv := g.Linear(h, param("qkv", 18, 6), nil, true)
	v := func(k int) ops.View {
		return ops.View{Source: qkv, Offset: 6 * k, Batch: 16 * 18, Token: 18, Head: 3}
	}
	att := g.Attention(v(0), v(1), v(2), nil, ops.AttentionAttr{N: batch, Heads: 2, Tq: 16, Tk: 16, D: 3, Dv: 3, Scale: 0.5})
	tokens = g.Add(tokens, g.Linear(att, param("proj", 6, 6), nil, true))
	up := g.Unary(kernels.Gelu, 0, 0, g.Linear(tokens, param("fc1", 12, 6), nil, true))
	up = g.AddLinear(up, g.Linear(tokens, param("a", 2, 6), nil, true), param("b", 12, 2), true)
	tokens = g.Add(tokens, g.Linear(up, param("fc2", 6, 12), nil, true))
	pooled := g.Reshape(g.Reduce(kernels.ReduceMean, tokens, 1), batch, 6)
	n.logits = g.Linear(pooled, param("head", 4, 6), nil, true)
	n.cost = loss.CrossEntropy(g, n.logits, n.labels, loss.CrossEntropyConfig{LabelSmoothing: 0.1, Weights: []float64{1, 2, 0.5, 1}})
	gs, err := gorgonia.Grad(n.cost, n.params...)
	if err != nil {
		t.Fatal(err)
	}
	n.grads = gs
	return n
}

// fill draws the parameters and a batch; every shard of one batch starts at its
// own image.
func (n *network) fill(first int) map[*ops.Node]*buffer.Buffer {
	mem := map[*ops.Node]*buffer.Buffer{}
	for i, p := range n.params {
		b := buffer.New(n.g.Storage(), p.Shape()...)
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		for j := range b.Len() {
			put(b, j, rng.NormFloat64()*0.4)
		}
		mem[p] = b
	}
	x, l := buffer.New(n.g.Storage(), n.x.Shape()...), buffer.New(buffer.I64, n.labels.Shape()...)
	per := x.Len() / x.Shape[0]
	for i := range x.Shape[0] {
		rng := rand.New(rand.NewPCG(2, uint64(first+i)))
		for j := range per {
			put(x, i*per+j, rng.NormFloat64())
		}
		l.I64()[i] = int64((first + i) % 4)
	}
	mem[n.x], mem[n.labels] = x, l
	return mem
}

func put(b *buffer.Buffer, i int, v float64) {
	if b.Storage == buffer.F64 {
		b.F64()[i] = v
	} else {
		b.F32()[i] = float32(v)
	}
}

func (n *network) roots() []*ops.Node { return append([]*ops.Node{n.cost, n.logits}, n.grads...) }

func compile(t *testing.T, n *network, mem map[*ops.Node]*buffer.Buffer, c ops.Collective) *vm.Executor {
	t.Helper()
	p, err := vm.Compile(n.g, n.roots()...)
	if err != nil {
		t.Fatal(err)
	}
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem, Collective: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// TestAgainstTapeMachine runs the same graph on gorgonia's own machine.
func TestAgainstTapeMachine(t *testing.T) {
	n := build(t, tensor.Float64, 3)
	mem := n.fill(0)
	e := compile(t, n, mem, nil)
	for range 3 { // a second run must not see the first one's leftovers
		if err := e.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	for node, b := range mem {
		values := gradcheck.Read(b)
		if b.Storage == buffer.I64 {
			values = make([]float64, b.Len())
			for i, v := range b.I64() {
				values[i] = float64(v)
			}
		}
		if err := gorgonia.Let(node, tensor.New(tensor.WithShape(b.Shape...), tensor.WithBacking(values))); err != nil {
			t.Fatal(err)
		}
	}
	reads := make([]gorgonia.Value, len(n.roots()))
	for i, r := range n.roots() {
		gorgonia.Read(r, &reads[i])
	}
	tape := gorgonia.NewTapeMachine(n.g.X)
	defer tape.Close()
	if err := tape.RunAll(); err != nil {
		t.Fatal(err)
	}
	for i, r := range n.roots() {
		got := gradcheck.Read(e.Value(r))
		var want []float64
		switch v := reads[i].Data().(type) {
		case []float64:
			want = v
		case float64:
			want = []float64{v}
		}
		if d := gradcheck.RangeError(got, want); d > 1e-12 {
			t.Errorf("root %d (%v): differs from TapeMachine by %.2g of the range", i, r, d)
		}
	}
}

// TestPlanSharesMemory: the plan must reuse memory, stay near its lower bound,
// and never let two values that live together overlap (shown by the same
// result with every value alone in memory, which TapeMachine gives above).
func TestPlanSharesMemory(t *testing.T) {
	n := build(t, tensor.Float32, 4)
	p, err := vm.Compile(n.g, n.roots()...)
	if err != nil {
		t.Fatal(err)
	}
	if p.ArenaBytes < p.LowerBound {
		t.Fatalf("an arena of %d bytes is below the lower bound of %d", p.ArenaBytes, p.LowerBound)
	}
	if float64(p.ArenaBytes) > 1.15*float64(p.LowerBound) {
		t.Errorf("the arena takes %d bytes, %.2f times the lower bound of %d", p.ArenaBytes, float64(p.ArenaBytes)/float64(p.LowerBound), p.LowerBound)
	}
}

func TestNoAllocationPerStep(t *testing.T) {
	n := build(t, tensor.Float32, 2)
	e := compile(t, n, n.fill(0), nil)
	if a := testing.AllocsPerRun(20, func() { _ = e.RunAll() }); a != 0 {
		t.Errorf("%v allocations per step, want 0", a)
	}
}

// TestShardsAgree: a batch of 5 as one shard and as shards of 3 and 2 give the
// same loss and gradients, although the classes' weights make the normaliser a
// property of the whole batch.
func TestShardsAgree(t *testing.T) {
	whole := build(t, tensor.Float64, 5)
	one := compile(t, whole, whole.fill(0), nil)
	if err := one.RunAll(); err != nil {
		t.Fatal(err)
	}
	team := vm.NewTeam(2, nil)
	defer team.Close()
	group := vm.NewGroup(2)
	parts := []*network{build(t, tensor.Float64, 3), build(t, tensor.Float64, 2)}
	execs := make([]*vm.Executor, 2)
	for r, first := range []int{0, 3} {
		execs[r] = compile(t, parts[r], parts[r].fill(first), group.Member(r))
	}
	if err := team.Do(2, func(rank int) error { return execs[rank].RunAll() }); err != nil {
		t.Fatal(err)
	}
	for i := range whole.grads {
		want := gradcheck.Read(one.Value(whole.grads[i]))
		got := gradcheck.Read(execs[0].Value(parts[0].grads[i]))
		for j, v := range gradcheck.Read(execs[1].Value(parts[1].grads[i])) {
			got[j] += v
		}
		if d := gradcheck.RangeError(got, want); d > 1e-6 {
			t.Errorf("gradient of %s: two shards differ from one by %.2g of the range", whole.params[i].Name(), d)
		}
	}
	sum := execs[0].Value(parts[0].cost).F64()[0] + execs[1].Value(parts[1].cost).F64()[0]
	if d := math.Abs(sum - one.Value(whole.cost).F64()[0]); d > 1e-9 {
		t.Errorf("losses of the shards add up to %v, the whole batch has %v", sum, one.Value(whole.cost).F64()[0])
	}
}

// TestShardFails: where a shard ends early, by an error or a panic, the others do not
// wait for it, the error is its own, and the next run goes well.
func TestShardFails(t *testing.T) {
	team := vm.NewTeam(3, nil)
	defer team.Close()
	group := vm.NewGroup(3)
	run := func(fails func() error) error {
		group.Begin()
		return team.Do(3, func(rank int) error {
			return group.Run(func() error {
				if rank == 1 {
					if err := fails(); err != nil {
						return err
					}
				}
				v := []float64{1}
				group.Member(rank).Sum(v)
				if v[0] != 3 {
					t.Errorf("the sum of three ones is %v", v[0])
				}
				return nil
			})
		})
	}
	broken := errors.New("index 7 is not below 5")
	for _, fails := range []func() error{func() error { return broken }, func() error { panic(broken) }} {
		if err := run(fails); err == nil || !strings.Contains(err.Error(), broken.Error()) || strings.Contains(err.Error(), "another thread") {
			t.Errorf("got %v, want the error of the shard that failed", err)
		}
		if err := run(func() error { return nil }); err != nil {
			t.Errorf("the next run fails too: %v", err)
		}
	}
}

// TestForeignOperator: gorgonia's own operators are refused by name.
func TestForeignOperator(t *testing.T) {
	g := ops.NewGraph(tensor.Float32)
	x := g.Input("x", buffer.F32, false, 2, 2)
	y, err := gorgonia.Tanh(x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Compile(g, y); err == nil {
		t.Error("gorgonia's Tanh was accepted")
	}
}

// TestPanicBecomesError: a broken invariant inside a kernel does not take the
// process down.
func TestPanicBecomesError(t *testing.T) {
	team := vm.NewTeam(2, nil)
	defer team.Close()
	if err := team.Do(2, func(rank int) error {
		if rank == 1 {
			panic("broken")
		}
		return nil
	}); err == nil {
		t.Error("no error from a thread that panicked")
	}
}

// TestTeamLeavesProcessors: while a team works, others run beside it; afterwards all is
// as before.
func TestTeamLeavesProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	one, other := vm.NewTeam(2, nil), vm.NewTeam(3, nil)
	if n := runtime.GOMAXPROCS(0); n != before+5 {
		t.Errorf("Go runs %d goroutines at once beside teams of 2 and 3, want %d", n, before+5)
	}
	one.Close()
	other.Close()
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("Go runs %d goroutines at once after the teams, before them %d", n, before)
	}
}
