package fuse

import (
	"math"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
)

const (
	batch, tokens, heads, depth = 2, 5, 3, 4
	width                       = heads * depth
)

// packed adds a Linear-like producer so that the source is a computed value.
func packed(m *model, dims ...int) string {
	m.param("w", false, width, dims[len(dims)-1])
	return m.node("MatMul", []string{"x", "w"}, "p")
}

// finish writes softmax(q·kᵀ)·v.
func finish(m *model, q, kt, v, mask string) {
	s := m.node("MatMul", []string{q, kt}, "scores")
	if mask != "" {
		s = m.node("Add", []string{mask, s}, "masked")
	}
	m.node("Softmax", []string{s}, "probs", "axis", int64(-1))
	m.node("MatMul", []string{"probs", v}, "y")
	m.output("y")
}

func theAttention(t *testing.T, m *model) *ir.Node {
	t.Helper()
	for _, n := range m.g.Nodes {
		if n.Op == ir.Attention {
			return n
		}
	}
	t.Fatal("no attention")
	return nil
}

func TestAttentionTimm(t *testing.T) {
	for _, unbind := range []string{"Gather", "Split"} {
		m := newModel(batch, tokens, width)
		p := packed(m, 3*width)
		m.node("Reshape", []string{p, m.ints("s5", batch, tokens, 3, heads, depth)}, "r")
		m.node("Transpose", []string{"r"}, "t", "perm", []int64{2, 0, 3, 1, 4})
		if unbind == "Gather" {
			for i, o := range []string{"q", "k", "v"} {
				m.node("Gather", []string{"t", m.index("i"+o, i)}, o, "axis", int64(0))
			}
		} else {
			m.node("Split", []string{"t"}, "a b c", "axis", int64(0))
			for i, o := range []string{"q", "k", "v"} {
				m.node("Squeeze", []string{string("abc"[i]), m.ints("ax", 0)}, o)
			}
		}
		m.node("Mul", []string{"q", m.scalar("scale", 1/math.Sqrt(depth))}, "qs")
		m.node("Transpose", []string{"k"}, "kt", "perm", []int64{0, 1, 3, 2})
		finish(m, "qs", "kt", "v", "")
		m.check(t, map[string]int{"Linear": 1, "Attention": 1})
		n := theAttention(t, m)
		if !slices.Equal(n.Inputs, []string{"p", "p", "p"}) {
			t.Errorf("inputs %v", n.Inputs)
		}
		want := []int{width, tokens * 3 * width, depth, 3 * width, 1}
		if got := n.Attrs.Ints("k_view"); !slices.Equal(got, want) {
			t.Errorf("k_view %v, want %v", got, want)
		}
		if math.Abs(n.Attrs.Float("scale", 0)-0.5) > 1e-7 {
			t.Errorf("scale %v, want 0.5", n.Attrs["scale"])
		}
	}
}

func TestAttentionSeparateWithMask(t *testing.T) {
	// Hugging Face: three projections, k by one transpose, sqrt(scale) on both
	// operands, a mask.
	m := newModel(batch, tokens, width)
	for _, o := range []string{"q", "k", "v"} {
		m.param("w"+o, false, width, width)
		m.node("MatMul", []string{"x", "w" + o}, "l"+o)
		m.node("Reshape", []string{"l" + o, m.ints("s", 0, -1, heads, depth)}, "r"+o)
	}
	root := m.scalar("root", 1/math.Sqrt(2))
	m.node("Transpose", []string{"rq"}, "q", "perm", []int64{0, 2, 1, 3})
	m.node("Transpose", []string{"rv"}, "v", "perm", []int64{0, 2, 1, 3})
	m.node("Transpose", []string{"rk"}, "kt", "perm", []int64{0, 2, 3, 1})
	m.node("Mul", []string{"q", root}, "qs")
	m.node("Mul", []string{root, "kt"}, "ks")
	m.param("mask", false, 1, heads, tokens, tokens)
	finish(m, "qs", "ks", "v", "mask")
	m.check(t, map[string]int{"Linear": 3, "Attention": 1})
	if n := theAttention(t, m); !slices.Equal(n.Inputs, []string{"lq", "lk", "lv", "mask"}) {
		t.Errorf("inputs %v", n.Inputs)
	}
}

func TestAttentionBatchSecond(t *testing.T) {
	// torch.nn.MultiheadAttention: x is (T, N, C), heads merge with the batch,
	// and the scores are scaled after the product.
	m := newModel(tokens, batch, width)
	m.g.Inputs = append(m.g.Inputs, ir.Value{Name: "image", Type: ir.Type{DType: ir.Float, Dims: []int{batch, 3, 8, 8}, Known: true}})
	p := packed(m, 3*width)
	axis := m.ints("axis", 2)
	for i, o := range []string{"q", "k", "v"} {
		m.node("Slice", []string{p, m.ints("from"+o, int64(i*width)), m.ints("to"+o, int64((i+1)*width)), axis}, "s"+o)
		m.node("Reshape", []string{"s" + o, m.ints("shape", tokens, batch*heads, depth)}, "r"+o)
		perm := []int64{1, 0, 2}
		if o == "k" {
			perm = []int64{1, 2, 0}
		}
		m.node("Transpose", []string{"r" + o}, o, "perm", perm)
	}
	s := m.node("MatMul", []string{"q", "k"}, "raw")
	m.node("Div", []string{s, m.scalar("d", 2)}, "scaled")
	m.node("Softmax", []string{"scaled"}, "probs", "axis", int64(2))
	m.node("MatMul", []string{"probs", "v"}, "o")
	m.node("Transpose", []string{"o"}, "ot", "perm", []int64{1, 0, 2})
	m.node("Reshape", []string{"ot", m.ints("flat", tokens*batch, width)}, "y")
	m.output("y")
	m.check(t, map[string]int{"Linear": 1, "Attention": 1, "Reshape": 2, "Transpose": 1})
	n := theAttention(t, m)
	if want := []int{2 * width, 3 * width, depth, batch * 3 * width, 1}; !slices.Equal(n.Attrs.Ints("v_view"), want) {
		t.Errorf("v_view %v, want %v", n.Attrs.Ints("v_view"), want)
	}
	if d := m.g.Types[n.Outputs[0]].Dims; !slices.Equal(d, []int{batch, heads, tokens, depth}) {
		t.Errorf("output shape %v", d)
	}
}

func TestAttentionThatIsNone(t *testing.T) {
	t.Run("channels not contiguous", func(t *testing.T) {
		m := newModel(batch, heads, tokens, tokens)
		m.node("Transpose", []string{"x"}, "v", "perm", []int64{0, 1, 3, 2})
		finish(m, "x", "x", "v", "") // k's channels lie T apart
		m.check(t, map[string]int{"MatMul": 2, "Softmax": 1, "Transpose": 1})
	})
	t.Run("scale outside the mask", func(t *testing.T) {
		m := newModel(batch, heads, tokens, depth)
		m.node("Transpose", []string{"x"}, "kt", "perm", []int64{0, 1, 3, 2})
		m.param("mask", false, tokens, tokens)
		m.node("MatMul", []string{"x", "kt"}, "s")
		m.node("Add", []string{"s", "mask"}, "m")
		m.node("Mul", []string{"m", m.scalar("c", 0.5)}, "sm")
		m.node("Softmax", []string{"sm"}, "p")
		m.node("MatMul", []string{"p", "x"}, "y")
		m.output("y")
		m.check(t, map[string]int{"MatMul": 2, "Softmax": 1, "Transpose": 1, "Add": 1, "Mul": 1})
	})
	t.Run("probabilities are an output", func(t *testing.T) {
		m := newModel(batch, heads, tokens, depth)
		m.node("Transpose", []string{"x"}, "kt", "perm", []int64{0, 1, 3, 2})
		finish(m, "x", "kt", "x", "")
		m.output("probs")
		m.check(t, map[string]int{"MatMul": 2, "Softmax": 1, "Transpose": 1})
	})
}

func TestReshapeOfViews(t *testing.T) {
	for _, c := range []struct {
		perm      []int
		dims, out []int // out: strides, nil where the reshape must fail
	}{
		{[]int{0, 1, 2}, []int{2, 12}, []int{12, 1}},
		{[]int{0, 1, 2}, []int{6, 2, 2}, []int{4, 2, 1}},
		{[]int{1, 0, 2}, []int{3, 2, 2, 2}, []int{4, 12, 2, 1}},
		{[]int{1, 0, 2}, []int{3, 1, 8}, []int{4, 0, -1}}, // −1: two factors, no single stride
		{[]int{0, 1, 2}, []int{5, 5}, nil},
		{[]int{2, 1, 0}, []int{3, 8}, nil}, // 3 and 4 do not divide
	} {
		v := newView("x", []int{2, 3, 4})
		if !v.transpose(c.perm) {
			t.Fatalf("transpose %v", c.perm)
		}
		if ok := v.reshape(c.dims); ok != (c.out != nil) {
			t.Errorf("%v reshaped to %v: %v", c.perm, c.dims, ok)
			continue
		}
		for i, want := range c.out {
			got, ok := v.stride(i, 0)
			if !ok {
				got = -1
			}
			if got != want {
				t.Errorf("%v reshaped to %v: axis %d has stride %d, want %d", c.perm, c.dims, i, got, want)
			}
		}
	}
}
