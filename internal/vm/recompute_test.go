package vm_test

import (
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/loss"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestRecompute: values made again give the same bytes, in less memory. The
// network has views, saved slots, sums of gradients and, at the end, dropout.
func TestRecompute(t *testing.T) {
	n := build(t, tensor.Float32, 4)
	mem := n.fill(0)
	kept := compile(t, n, mem, nil)
	if err := kept.RunAll(); err != nil {
		t.Fatal(err)
	}
	var want [][]float32
	for _, r := range n.roots() {
		want = append(want, slices.Clone(kept.Value(r).F32()))
	}
	before, err := vm.Compile(n.g, n.roots()...)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := vm.Recompute(n.g, n.cost, n.roots())
	if err != nil {
		t.Fatal(err)
	}
	after, err := vm.Compile(n.g, roots...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("arena %d to %d bytes, %.0f to %.0f operations", before.ArenaBytes, after.ArenaBytes, before.Flops(), after.Flops())
	if after.ArenaBytes >= before.ArenaBytes || after.Flops() <= before.Flops() {
		t.Error("nothing was computed again")
	}
	e, err := vm.NewExecutor(after, vm.Binding{Kernels: kernels.Go{}, Inputs: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 2 {
		if err := e.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range roots {
		if !slices.Equal(e.Value(r).F32(), want[i]) {
			t.Errorf("root %d differs", i)
		}
	}
}

// TestRecomputeDeep: of a chain of equal blocks about a square root's worth of
// memory stays, and what meets the other shards runs once.
func TestRecomputeDeep(t *testing.T) {
	const blocks, batch = 36, 256
	g := ops.NewGraph(tensor.Float32)
	x := g.Input("x", buffer.F32, false, batch, 16)
	keys, labels := g.Input("keys", buffer.I64, false, batch), g.Input("labels", buffer.I64, false, batch)
	w := g.Input("w", buffer.F32, true, 16, 16)
	y := x
	for i := range blocks {
		y = g.Add(y, g.Unary(kernels.Gelu, 0, 0, g.Linear(g.Dropout(y, keys, 0.1, uint64(i)), w, nil, true)))
	}
	cost := loss.CrossEntropy(g, y, labels, loss.CrossEntropyConfig{})
	grads, err := gorgonia.Grad(cost, w)
	if err != nil {
		t.Fatal(err)
	}
	roots := append([]*ops.Node{cost}, grads...)
	mem := map[*ops.Node]*buffer.Buffer{x: buffer.New(buffer.F32, batch, 16), w: buffer.New(buffer.F32, 16, 16),
		keys: buffer.New(buffer.I64, batch), labels: buffer.New(buffer.I64, batch)}
	for i := range mem[x].F32() {
		mem[x].F32()[i] = float32(i%7) - 3
	}
	for i := range mem[w].F32() {
		mem[w].F32()[i] = float32(i%5-2) / 8
	}
	for i := range batch {
		mem[keys].I64()[i], mem[labels].I64()[i] = int64(i), int64(i%16)
	}
	run := func(roots []*ops.Node) ([]float32, int, int) {
		p, err := vm.Compile(g, roots...)
		if err != nil {
			t.Fatal(err)
		}
		meets := &counter{}
		e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem, Collective: meets})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if err := e.RunAll(); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(e.Value(roots[1]).F32()), p.ArenaBytes, meets.sums
	}
	want, all, _ := run(roots)
	if roots, err = vm.Recompute(g, cost, roots); err != nil {
		t.Fatal(err)
	}
	got, few, sums := run(roots)
	if !slices.Equal(got, want) {
		t.Error("the gradient differs")
	}
	if sums != 1 {
		t.Errorf("the shards met %d times", sums)
	}
	t.Logf("arena %d to %d bytes", all, few)
	if few*3 > all {
		t.Errorf("an arena of %d bytes, %d with everything kept", few, all)
	}
}

// counter counts how often the shards meet.
type counter struct {
	ops.Alone
	sums int
}

func (c *counter) Sum([]float64) { c.sums++ }
