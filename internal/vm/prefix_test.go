package vm_test

import (
	"math/rand/v2"
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

// A program that is cut behind what never changes gives the same bits as the
// whole one; what is kept of a picture is the sum alone, from which norm and
// base product are made again.
func TestCutProgram(t *testing.T) {
	const batch, tokens, dim = 3, 16, 12
	g := ops.NewGraph(tensor.Float32)
	mem := map[*ops.Node]*buffer.Buffer{}
	rng := rand.New(rand.NewPCG(1, 2))
	leaf := func(name string, train bool, shape ...int) *ops.Node {
		n := g.Input(name, buffer.F32, train, shape...)
		b := buffer.New(buffer.F32, shape...)
		for i := range b.Len() {
			b.F32()[i] = float32(rng.NormFloat64() * .4)
		}
		mem[n] = b
		return n
	}
	x := leaf("x", false, batch, tokens, dim)
	labels := g.Input("labels", buffer.I64, false, batch)
	mem[labels] = buffer.Of([]int64{0, 1, 2}, batch)
	wide := g.Unary(kernels.Gelu, 0, 0, g.Linear(x, leaf("fc1", false, 40*dim, dim), nil, true))
	sum := g.Add(x, g.Linear(wide, leaf("fc2", false, dim, 40*dim), nil, true)) // frozen up to here
	norm := g.LayerNorm(sum, leaf("gamma", false, dim), leaf("beta", false, dim), 1e-5)
	qkv := g.Linear(norm, leaf("qkv", false, 3*dim, dim), nil, true)
	qkv = g.AddLinear(qkv, g.Linear(norm, leaf("a", true, 2, dim), nil, true), leaf("b", true, 3*dim, 2), true)
	v := func(k int) ops.View {
		return ops.View{Source: qkv, Offset: dim * k, Batch: tokens * 3 * dim, Token: 3 * dim, Head: dim / 2}
	}
	att := g.Attention(v(0), v(1), v(2), nil, ops.AttentionAttr{N: batch, Heads: 2, Tq: tokens, Tk: tokens, D: dim / 2, Dv: dim / 2, Scale: .5})
	y := g.Reshape(g.Reduce(kernels.ReduceMean, g.Add(g.Reshape(sum, batch, tokens, dim), att), 1), batch, dim)
	cost := loss.CrossEntropy(g, g.Linear(y, leaf("head", true, 4, dim), nil, true), labels, loss.CrossEntropyConfig{})
	var wrt gorgonia.Nodes
	for _, n := range []string{"a", "b", "head"} {
		for l := range mem {
			if l.Name() == n {
				wrt = append(wrt, l)
			}
		}
	}
	grads, err := gorgonia.Grad(cost, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	changes := func(l *ops.Node) bool { return g.Needs(l) || l == labels }
	pre := vm.FindPrefix(g, x, changes, []*ops.Node{cost}, grads)
	if pre == nil || !slices.Equal(pre.Cut, []*ops.Node{sum}) {
		t.Fatalf("the cut is %+v, want the sum alone", pre)
	}
	if s := pre.Share(); s < .5 || s > .99 {
		t.Errorf("%.2f of the forward pass before the cut", s)
	}
	if p := vm.FindPrefix(g, x, func(l *ops.Node) bool { return l != x }, []*ops.Node{cost}, grads); p != nil {
		t.Errorf("where everything changes there is a prefix: %+v", p)
	}

	bind := func(p *vm.Program, err error, mem map[*ops.Node]*buffer.Buffer) *vm.Executor {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.RunAll(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	roots := append([]*ops.Node{cost}, grads...)
	p, err := vm.Compile(g, roots...)
	whole := bind(p, err, mem)
	p, err = vm.CompileCut(g, false, vm.Cut{Nodes: pre.Cut})
	first := bind(p, err, mem)
	mem[sum] = first.Value(sum)
	delete(mem, x) // the rest reads no picture
	p, err = vm.CompileCut(g, false, vm.Cut{Nodes: pre.Cut}, roots...)
	rest := bind(p, err, mem)
	for _, r := range roots {
		if !slices.Equal(whole.Value(r).F32(), rest.Value(r).F32()) {
			t.Errorf("%v: %v in one piece, %v behind the cut", r, whole.Value(r).F32()[0], rest.Value(r).F32()[0])
		}
	}
	if _, err := vm.CompileCut(g, false, vm.Cut{Nodes: []*ops.Node{x}}, roots...); err == nil {
		t.Error("a program was cut at a leaf")
	}
}
