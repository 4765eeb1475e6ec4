package ops

import (
	"slices"

	"github.com/vislora/vislora/internal/kernels"
)

// Layer are the operands of [Graph.Linear] and [Graph.LoRA]; A and Up are nil in
// the former.
type Layer struct {
	X, W, Bias, A, Up *Node
	TransW            bool
}

// Linear is a product over the last axis.
//
//	y = x·W + b
//
//	x (…, K)   W (K, N), or (N, K) with transW   b (N) or nil   y (…, N)
func (g *Graph) Linear(x, w, b *Node, transW bool) *Node {
	n := linearOut(x, w, transW)
	in, diff := []*Node{x, w}, []bool{true, true}
	if b != nil {
		if size(b.Shape()) != n {
			Fail("ops: linear: bias of %d values for %d outputs", size(b.Shape()), n)
		}
		in, diff = append(in, b), append(diff, true)
	}
	return g.Apply(Spec{
		Name: "linear", In: in, Out: withLast(x, n), Diff: diff, Accumulates: true, Finishes: true, Flops: 2 * float64(rows(x)) * float64(n) * float64(last(x)),
		Narrow: Narrow{In: []int{0}, Out: true},
		Rows:   rowOf(withLast(x, n), in, []int{0}, func(in []*Node) *Node { return g.Linear(in[0], w, b, transW) }),
		Layer:  &Layer{X: x, W: w, Bias: b, TransW: transW},
		Bind: func(e *Env) (kernels.Run, error) {
			m := kernels.MatMul{A: e.In[0], B: e.In[1], Y: e.Out, TransB: transW, M: e.In[0].Rows(), N: n, K: e.In[0].Cols(), Accumulate: e.Accumulate, Finish: e.Finish}
			if b != nil {
				m.Bias = e.In[2]
			}
			return e.K.MatMul(m)
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			gs := g.linearGrads(in[0], in[1], dy, transW)
			if b != nil {
				gs = append(gs, nil)
				if g.Needs(b) {
					gs[2] = g.Reshape(g.ColumnSum(dy, nil), b.Shape()...)
				}
			}
			return gs
		},
	})
}

// AddLinear adds a product to y0: y = y0 + x·op(W). It works in y0's memory
// where it may; it is how a low-rank update joins its base layer.
func (g *Graph) AddLinear(y0, x, w *Node, transW bool) *Node {
	n := linearOut(x, w, transW)
	if last(y0) != n || rows(y0) != rows(x) {
		Fail("ops: add-linear: %v + %v·%v", y0.Shape(), x.Shape(), w.Shape())
	}
	in := []*Node{y0, x, w}
	return g.Apply(Spec{
		Name: "linear.add", In: in, Out: y0.Shape(), Diff: []bool{true, true, true}, InPlace: []int{0}, Finishes: true, Narrow: Narrow{In: []int{0, 1}, Out: true},
		Flops: 2 * float64(rows(x)) * float64(n) * float64(last(x)),
		Rows:  rowOf(y0.Shape(), in, []int{0, 1}, func(in []*Node) *Node { return g.AddLinear(in[0], in[1], w, transW) }),
		Bind: func(e *Env) (kernels.Run, error) {
			mm, err := e.K.MatMul(kernels.MatMul{A: e.In[1], B: e.In[2], Y: e.Out, TransB: transW, M: e.In[1].Rows(), N: n, K: e.In[1].Cols(), Accumulate: true, Finish: e.Finish})
			if err != nil || e.In[0].Pointer() == e.Out.Pointer() {
				return mm, err
			}
			cp, err := e.K.Unary(kernels.Unary{Func: kernels.Affine, A: 1, X: e.In[0], Y: e.Out})
			return func() { cp(); mm() }, err
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return append([]*Node{dy}, g.linearGrads(in[1], in[2], dy, transW)...)
		},
	})
}

func linearOut(x, w *Node, transW bool) int {
	ws := Shape(w)
	if len(ws) != 2 || len(x.Shape()) == 0 {
		Fail("ops: linear: input %v, weight %v: want a two-dimensional weight", x.Shape(), ws)
	}
	k, n := ws[0], ws[1]
	if transW {
		k, n = n, k
	}
	if last(x) != k {
		Fail("ops: linear: input %v has %d features, the weight takes %d", x.Shape(), last(x), k)
	}
	return n
}

// linearGrads returns dx = dy·op(W)ᵀ and dW, where they are needed.
func (g *Graph) linearGrads(x, w, dy *Node, transW bool) []*Node {
	gs := make([]*Node, 2)
	m, k, n := rows(x), last(x), last(dy)
	flops := 2 * float64(m) * float64(n) * float64(k)
	if g.Needs(x) {
		gs[0] = g.Apply(Spec{
			Name: "linear.dx", In: []*Node{dy, w}, Out: x.Shape(), Accumulates: true, Finishes: true, Flops: flops, Narrow: Narrow{In: []int{0}, Out: true},
			Bind: func(e *Env) (kernels.Run, error) {
				return e.K.MatMul(kernels.MatMul{A: e.In[0], B: e.In[1], Y: e.Out, TransB: !transW, M: m, N: k, K: n, Accumulate: e.Accumulate, Finish: e.Finish})
			},
		})
	}
	if g.Needs(w) {
		gs[1] = g.linearDW(x, w, dy, transW)
	}
	return gs
}

// linearDW is dW = xᵀ·dy, or its transpose.
func (g *Graph) linearDW(x, w, dy *Node, transW bool) *Node {
	m, k, n := rows(x), last(x), last(dy)
	return g.Apply(Spec{
		Name: "linear.dw", In: []*Node{x, dy}, Out: w.Shape(), Accumulates: true, Flops: 2 * float64(m) * float64(n) * float64(k), Narrow: Narrow{In: []int{0, 1}},
		Bind: func(e *Env) (kernels.Run, error) {
			mm := kernels.MatMul{A: e.In[0], B: e.In[1], Y: e.Out, TransA: true, M: k, N: n, K: m, Accumulate: e.Accumulate}
			if transW {
				mm.A, mm.B, mm.M, mm.N = mm.B, mm.A, n, k
			}
			return e.K.MatMul(mm)
		},
	})
}

// MatMul is the batched matrix product of ONNX: leading axes broadcast.
//
//	a (…, M, K)   b (…, K, N)   y (…, M, N)
func (g *Graph) MatMul(a, b *Node) *Node { return g.matmul(a, b, false, false) }

func (g *Graph) matmul(a, b *Node, ta, tb bool) *Node {
	as, bs := Shape(a), Shape(b)
	if len(as) < 2 || len(bs) < 2 {
		Fail("ops: matmul: %v × %v: want at least two axes each", as, bs)
	}
	batch := broadcast("matmul", as[:len(as)-2], bs[:len(bs)-2])
	a, b = g.expandBatch(a, batch), g.expandBatch(b, batch)
	as, bs = Shape(a), Shape(b)
	r := len(as)
	m, k, k2, n := as[r-2], as[r-1], bs[r-2], bs[r-1]
	if ta {
		m, k = k, m
	}
	if tb {
		k2, n = n, k2
	}
	if k != k2 {
		Fail("ops: matmul: %v × %v: inner dimensions %d and %d differ", as, bs, k, k2)
	}
	count := size(batch)
	return g.Apply(Spec{
		Name: "matmul", In: []*Node{a, b}, Out: append(slices.Clone(batch), m, n), Diff: []bool{true, true}, Accumulates: true,
		Flops: 2 * float64(count) * float64(m) * float64(n) * float64(k),
		Bind: func(e *Env) (kernels.Run, error) {
			return e.K.MatMul(kernels.MatMul{A: e.In[0], B: e.In[1], Y: e.Out, TransA: ta, TransB: tb, M: m, N: n, K: k,
				Batch: count, StrideA: m * k, StrideB: k * n, StrideY: m * n, Accumulate: e.Accumulate})
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			gs := make([]*Node, 2)
			if g.Needs(in[0]) {
				if ta {
					gs[0] = g.matmul(in[1], dy, tb, true)
				} else {
					gs[0] = g.matmul(dy, in[1], false, !tb)
				}
			}
			if g.Needs(in[1]) {
				if tb {
					gs[1] = g.matmul(dy, in[0], true, ta)
				} else {
					gs[1] = g.matmul(in[0], dy, !ta, false)
				}
			}
			return gs
		},
	})
}

func (g *Graph) expandBatch(x *Node, batch []int) *Node {
	s := Shape(x)
	want := append(slices.Clone(batch), s[len(s)-2:]...)
	if slices.Equal(s, want) {
		return x
	}
	return g.Expand(x, want...)
}
