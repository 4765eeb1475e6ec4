package ops_test

import (
	"fmt"
	"testing"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"gorgonia.org/tensor"
)

// oneBlock is attention over the tokens of a leaf, its projection and a residual
// sum, in a network whose runs twoBlocks makes.
func oneBlock(layout string, transW, lora, bias bool) *twoBlocks {
	g := ops.NewGraph(tensor.Float64)
	b := &twoBlocks{g: g}
	n, t, c, heads, d, dv := 2, rowTokens, rowWidth, 3, 4, 5
	x := b.leaf("x", true, n, t, c)
	layer := func(name string, x node, out int) node {
		in := ops.Shape(x)[2]
		shape := []int{in, out}
		if transW {
			shape = []int{out, in}
		}
		w, bias := b.leaf(name+".weight", !lora, shape...), b.leaf(name+".bias", bias, out)
		if !lora {
			return g.Linear(x, w, bias, transW)
		}
		return g.LoRA(x, w, bias, b.leaf(name+".a", true, 2, in), b.leaf(name+".b", true, out, 2), transW)
	}
	y := g.LayerNorm(x, b.leaf("norm.weight", true, c), nil, 1e-5)
	view := func(s node, offset, head int) ops.View {
		row := ops.Shape(s)[2]
		return ops.View{Source: s, Offset: offset, Batch: t * row, Token: row, Head: head}
	}
	var q, k, v ops.View
	switch layout {
	case "three of heads":
		s := layer("qkv", y, heads*(2*d+dv))
		q, k, v = view(s, 0, d), view(s, heads*d, d), view(s, 2*heads*d, dv)
	case "heads of three":
		s := layer("qkv", y, heads*(2*d+dv))
		q, k, v = view(s, 0, 2*d+dv), view(s, d, 2*d+dv), view(s, 2*d, 2*d+dv)
	case "apart":
		q, k, v = view(layer("q", y, heads*d), 0, d), view(layer("k", y, heads*d), 0, d), view(layer("v", y, heads*dv), 0, dv)
	case "keys with values":
		kv := layer("kv", y, heads*(d+dv))
		q, k, v = view(layer("q", y, heads*d), 0, d), view(kv, 0, d), view(kv, heads*d, dv)
	case "other tokens":
		kv := layer("kv", b.leaf("memory", true, n, t, c), heads*(d+dv))
		q, k, v = view(layer("q", y, heads*d), 0, d), view(kv, 0, d), view(kv, heads*d, dv)
	case "keys of other tokens": // these stay as they are
		q, k, v = view(layer("q", y, heads*d), 0, d), view(layer("k", b.leaf("memory", true, n, t, c), heads*d), 0, d), view(layer("v", y, heads*dv), 0, dv)
	}
	y = g.Attention(q, k, v, nil, ops.AttentionAttr{N: n, Heads: heads, Tq: t, Tk: t, D: d, Dv: dv, Scale: 0.4})
	b.whole = g.Add(x, layer("proj", y, c))
	return b
}

// TestOneQuery compares attention of one token, which makes neither keys nor
// values, with that token cut out of the whole: values and all gradients, with
// few operations.
func TestOneQuery(t *testing.T) {
	for _, layout := range []string{"three of heads", "heads of three", "apart", "keys with values", "other tokens", "keys of other tokens"} {
		for opt := range 4 {
			transW, lora, at := opt&1 != 0, opt&2 != 0, []int{0, 1, rowTokens - 1}[opt%3]
			t.Run(fmt.Sprintf("%s, transW %v, lora %v", layout, transW, lora), func(t *testing.T) {
				whole, alone := oneBlock(layout, transW, lora, false), oneBlock(layout, transW, lora, false)
				want, all := whole.run(t, cutWhole(whole.g, whole.whole, at))
				got, few := alone.run(t, alone.g.Slice(alone.whole, 1, at, 1, 1))
				nearly(t, got, want)
				most := 0.4
				if layout == "keys of other tokens" {
					most = 0.75
				}
				if few > most*all {
					t.Errorf("%.0f operations alone, %.0f from the whole", few, all)
				}
			})
		}
	}
}

// TestOneQueryPools: a head that pools by a learned query has no row to be asked
// for. A mask of zeros keeps its keys and values.
func TestOneQueryPools(t *testing.T) {
	pool := func(mask bool) *twoBlocks {
		g := ops.NewGraph(tensor.Float64)
		b := &twoBlocks{g: g}
		n, tk, c, heads, d := 2, rowTokens, rowWidth, 3, 4
		x, probe, bias := b.leaf("x", true, n, tk, c), b.leaf("probe", true, 1, 1, heads*d), b.leaf("k.bias", false, heads*d)
		k := g.Linear(x, b.leaf("k.weight", true, heads*d, c), bias, true)
		v := g.Linear(x, b.leaf("v.weight", true, heads*d, c), nil, true)
		view := func(s node, t int) ops.View {
			return ops.View{Source: s, Batch: t * heads * d, Token: heads * d, Head: d}
		}
		var m node
		if mask {
			m = g.Reshape(g.Expand(g.Unary(kernels.Affine, 0, 0, g.Slice(bias, 0, 0, 1, 1)), tk), 1, tk)
		}
		b.whole = g.Attention(view(g.Expand(probe, n, 1, heads*d), 1), view(k, tk), view(v, tk), m, ops.AttentionAttr{N: n, Heads: heads, Tq: 1, Tk: tk, D: d, Dv: d, Scale: 0.4})
		return b
	}
	whole, alone := pool(true), pool(false)
	want, all := whole.run(t, whole.whole)
	got, few := alone.run(t, alone.whole)
	nearly(t, got, want)
	if few > 0.7*all {
		t.Errorf("%.0f operations without keys and values, %.0f with them", few, all)
	}
}

// TestOneQueryStops: keys that somebody else reads are made anyway, a bias that
// trains has a gradient, and a mask may be another one for every query.
func TestOneQueryStops(t *testing.T) {
	made := func(b *twoBlocks) (attention bool) {
		for _, n := range b.g.X.AllNodes() {
			if op := ops.OpOf(n); op != nil && op.Name == "attention" && op.Out[1] == 1 {
				attention = true
			}
		}
		return attention
	}
	plain, read := oneBlock("apart", true, true, false), oneBlock("apart", true, true, false)
	for _, n := range read.g.X.AllNodes() {
		if op := ops.OpOf(n); op != nil && op.Layer != nil && op.Layer.W.Name() == "k.weight" {
			read.g.Softmax(n, false)
		}
	}
	for i, b := range []*twoBlocks{plain, read, oneBlock("apart", true, true, true), newTwoBlocks(false)} {
		b.g.Slice(b.whole, 1, 0, 1, 1)
		if got, want := made(b), i > 0; got != want {
			t.Errorf("block %d: attention of its own %v, want %v", i, got, want)
		}
	}
}
