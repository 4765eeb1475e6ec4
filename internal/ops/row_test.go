package ops_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

const rowTokens, rowWidth = 17, 12

// twoBlocks are two blocks of a transformer with low-rank updates, a layer
// scale, a mask and a final norm: everything that [ops.Graph.Slice] goes up
// through.
type twoBlocks struct {
	g        *ops.Graph
	leaves   nodes
	whole    node // the final norm's output
	residual node // that of the first block
}

func (b *twoBlocks) leaf(name string, train bool, shape ...int) node {
	n := b.g.Input(name, buffer.F32, train, shape...)
	b.leaves = append(b.leaves, n)
	return n
}

func (b *twoBlocks) linear(name string, x, xa node, out int) node {
	in := ops.Shape(x)[2]
	y := b.g.Linear(x, b.leaf(name+".weight", false, out, in), b.leaf(name+".bias", true, out), true)
	h := b.g.Linear(xa, b.g.Unary(kernels.Affine, 2, 0, b.leaf(name+".a", true, 2, in)), nil, true)
	return b.g.AddLinear(y, h, b.leaf(name+".b", true, out, 2), true)
}

func newTwoBlocks(dropout bool) *twoBlocks {
	g := ops.NewGraph(tensor.Float64)
	b := &twoBlocks{g: g}
	n, t, c := 2, rowTokens, rowWidth
	x := b.leaf("x", true, n, t, c)
	thinned := func(x node) node { return x }
	if dropout {
		keys := g.Input("keys", buffer.I64, false, n)
		b.leaves = append(b.leaves, keys)
		seed := uint64(0)
		thinned = func(x node) node { seed++; return g.Dropout(x, keys, 0.3, seed) }
	}
	for _, name := range []string{"0", "1"} {
		b.residual = x
		y := g.LayerNorm(x, b.leaf(name+".norm1.weight", true, c), b.leaf(name+".norm1.bias", true, c), 1e-5)
		qkv := b.linear(name+".qkv", y, thinned(y), 3*c)
		y = packed(g, qkv, 2, c/2, b.leaf(name+".mask", false, 2, t, t))
		y = b.linear(name+".proj", y, thinned(y), c)
		x = g.Add(x, g.Mul(y, b.leaf(name+".scale", true, c)))
		y = g.LayerNorm(x, b.leaf(name+".norm2.weight", true, c), nil, 1e-5)
		y = g.Unary(kernels.Gelu, 0, 0, b.linear(name+".fc1", y, thinned(y), 2*c))
		y = b.linear(name+".fc2", y, thinned(y), c)
		y = g.Reshape(g.Reshape(y, n, t, 3, c/3), n, t, c)
		x = g.Add(x, g.ChannelAffine(y, b.leaf(name+".affine", true, c), nil))
	}
	b.whole = g.LayerNorm(x, b.leaf("norm.weight", true, c), b.leaf("norm.bias", true, c), 1e-5)
	return b
}

// run returns the values and the gradients of the leaves that train, of a
// weighted sum of outputs, and the work.
func (b *twoBlocks) run(t *testing.T, outputs ...node) (values [][]float64, flops float64) {
	t.Helper()
	var cost node
	for i, y := range outputs {
		d := gradcheck.Dot(b.g, y, b.leaf("seed"+string(rune('0'+i)), false, ops.Shape(y)...))
		if cost == nil {
			cost = d
		} else {
			cost = b.g.Add(cost, d)
		}
	}
	var wrt gorgonia.Nodes
	for _, n := range b.leaves {
		if b.g.Needs(n) {
			wrt = append(wrt, n)
		}
	}
	grads, err := gorgonia.Grad(cost, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	roots := append(slices.Clone(outputs), grads...)
	p, err := vm.Compile(b.g, append(roots, cost)...)
	if err != nil {
		t.Fatal(err)
	}
	mem := map[*ops.Node]*buffer.Buffer{}
	for i, n := range b.leaves {
		m := buffer.New(b.g.Kind(n), ops.Shape(n)...)
		rng := rand.New(rand.NewPCG(3, uint64(i)))
		for j := range m.Len() {
			if m.Storage == buffer.I64 {
				m.I64()[j] = rng.Int64()
			} else {
				m.F64()[j] = rng.NormFloat64() / 2
			}
		}
		mem[n] = m
	}
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil {
		t.Fatal(err)
	}
	for _, n := range roots {
		values = append(values, slices.Clone(e.Value(n).F64()))
	}
	return values, p.Flops()
}

func nearly(t *testing.T, got, want [][]float64) {
	t.Helper()
	for i := range want {
		for j, w := range want[i] {
			if math.Abs(got[i][j]-w) > 1e-12*(1+math.Abs(w)) {
				t.Fatalf("root %d, element %d is %v, want %v", i, j, got[i][j], w)
			}
		}
	}
}

// cutWhole takes the row out of the whole value, as Slice does without a way up.
func cutWhole(g *ops.Graph, x node, at int) node {
	s := ops.Shape(x)
	return g.Strided("slice", x, []int{s[0], 1, s[2]}, ops.Strides(s), at*s[2])
}

// TestRow compares one token computed alone with the same token cut out of the
// whole: values and all gradients, with fewer operations.
func TestRow(t *testing.T) {
	for _, at := range []int{0, 1, rowTokens - 1} {
		whole, alone := newTwoBlocks(false), newTwoBlocks(false)
		want, all := whole.run(t, cutWhole(whole.g, whole.whole, at))
		got, few := alone.run(t, alone.g.Slice(alone.whole, 1, at, 1, 1))
		nearly(t, got, want)
		// Of the two blocks' products only the last one's qkv stays whole.
		if few > 0.72*all {
			t.Errorf("token %d: %.0f operations alone, %.0f from the whole", at, few, all)
		}
	}
}

// TestRowTwice takes two tokens, as distilled classifiers do, and the whole
// value beside them, as a head on tokens does.
func TestRowTwice(t *testing.T) {
	whole, alone := newTwoBlocks(false), newTwoBlocks(false)
	want, _ := whole.run(t, cutWhole(whole.g, whole.whole, 0), cutWhole(whole.g, whole.whole, 1), whole.whole)
	got, _ := alone.run(t, alone.g.Gather(alone.whole, 1, []int{0}), alone.g.Gather(alone.whole, 1, []int{1}), alone.whole)
	nearly(t, got, want)
}

// TestRowStops lists what keeps a value whole: another reader, dropout (its mask
// belongs to the element), several places, a short axis, the channels.
func TestRowStops(t *testing.T) {
	whole, alone := newTwoBlocks(true), newTwoBlocks(true)
	want, all := whole.run(t, cutWhole(whole.g, whole.whole, 0))
	got, few := alone.run(t, alone.g.Slice(alone.whole, 1, 0, 1, 1))
	nearly(t, got, want)
	if few >= all {
		t.Errorf("with dropout: %.0f operations, %.0f from the whole", few, all)
	}

	b := newTwoBlocks(false)
	name := func(n node) string { return ops.OpOf(n).Name }
	if y := b.g.Slice(b.whole, 1, 3, 1, 1); name(y) != "layer_norm" {
		t.Errorf("one token of a norm is the norm of one token, not %s", name(y))
	}
	if y := b.g.Slice(b.residual, 1, 0, 1, 1); name(y) != "slice" {
		t.Errorf("a value that others read is computed twice, by %s", name(y))
	}
	if y := b.g.Slice(b.whole, 1, 0, 2, 1); name(y) != "slice" {
		t.Errorf("two places are one slice, not %s", name(y))
	}
	if y := b.g.Slice(b.whole, 2, 0, 1, 1); name(y) != "slice" {
		t.Errorf("a channel is a slice, not %s", name(y))
	}
	if y := b.g.Slice(b.whole, 0, 1, 1, 1); name(y) != "slice" {
		t.Errorf("one of two is a slice, not %s", name(y))
	}
}
