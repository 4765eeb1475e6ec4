package ops

import "github.com/vislora/vislora/internal/kernels"

// LoRA is a linear layer with a low-rank update, as one operator: the update
// rides in the layer's product, and its gradient in that of the layer.
//
//	y = x·op(W) + b + h·Bᵀ       h = x·Aᵀ
//
//	x (…, K)   W (K, N), or (N, K) with transW   b (N) or nil   A (r, K), scaled   B (N, r)   y (…, N)
//
// W has no gradient here; see [Graph.AddLinear] for one that has.
// Source: Hu et al. 2021, arXiv:2106.09685, eq. 3.
func (g *Graph) LoRA(x, w, b, a, up *Node, transW bool) *Node {
	n := linearOut(x, w, transW)
	u := g.update(rows(x), n, a, up)
	k := last(x)
	s := u.spec("linear.lora", x, w, b, withLast(x, n), 2*float64(u.m)*float64(n)*float64(k))
	s.Rows = rowOf(s.Out, s.In, []int{0}, func(in []*Node) *Node { return g.LoRA(in[0], w, b, a, up, transW) })
	s.Layer = &Layer{X: x, W: w, Bias: b, A: a, Up: up, TransW: transW}
	s.Bind = func(e *Env) (kernels.Run, error) {
		p := kernels.MatMul{A: e.In[0], B: e.In[1], TransB: transW, Y: e.Out, M: u.m, N: n, K: k, Finish: e.Finish,
			Thin: &kernels.Thin{H: u.hidden(e), C: e.In[3], Trans: true, Down: e.In[2], DownTrans: true}}
		if b != nil {
			p.Bias = e.In[4]
		}
		return e.K.MatMul(p)
	}
	s.Grad = func(in []*Node, out, dy *Node) []*Node {
		return u.grads(in, out, dy, Spec{
			Name: "linear.lora.dx", Out: x.Shape(), Flops: 2 * float64(u.m) * float64(k) * float64(n+u.r),
			Bind: func(e *Env) (kernels.Run, error) {
				p := kernels.MatMul{A: e.In[0], B: e.In[1], TransB: !transW, Y: e.Out, M: u.m, N: k, K: n, Accumulate: e.Accumulate, Thin: u.back(e), Finish: e.Finish}
				return e.K.MatMul(p)
			},
		}, func(dh *Node) *Node { return g.linearDW(x, a, dh, true) })
	}
	return g.Apply(s)
}

// ConvLoRA is an ungrouped convolution with a low-rank update, as one operator.
//
//	y = W ∗ x + b + B·h       h = A ∗ x, with the layer's stride, padding and dilation
//
//	x (N, H, W, Cin)   W (Cout, Cin, kH, kW)   b (Cout) or nil   A (r, Cin, kH, kW), scaled   B (Cout, r)
//
// W has no gradient here.
func (g *Graph) ConvLoRA(x, w, b, a, up *Node, attr ConvAttr) *Node {
	out := convOut(x, w, attr)
	u := g.update(size(out[:3]), out[3], a, up)
	flops := convFlops(out, w)
	s := u.spec(convName(w, attr)+".lora", x, w, b, out, flops)
	thin := append(append([]int{}, out[:3]...), u.r)
	s.Bind = func(e *Env) (kernels.Run, error) {
		c := attr.kernel(e.In[0], e.In[1], e.Out)
		c.Finish = e.Finish
		c.Thin = &kernels.Thin{H: u.hidden(e).Reshape(thin...), C: e.In[3], Down: e.In[2]}
		if b != nil {
			c.Bias = e.In[4]
		}
		return e.K.Conv(c)
	}
	s.Grad = func(in []*Node, out, dy *Node) []*Node {
		return u.grads(in, out, dy, Spec{
			Name: convName(w, attr) + ".lora.dx", Out: x.Shape(), Flops: flops + 2*float64(u.m)*float64(size(a.Shape())),
			Bind: func(e *Env) (kernels.Run, error) {
				c := attr.kernel(e.Out, e.In[1], e.In[0])
				c.Accumulate, c.Thin, c.Finish = e.Accumulate, u.back(e), e.Finish
				c.Thin.H = c.Thin.H.Reshape(thin...)
				return e.K.ConvBackwardData(c)
			},
		}, func(dh *Node) *Node { return g.convDW(x, a, dh, attr) })
	}
	return g.Apply(s)
}

// update is the low-rank part of a layer with m rows and n outputs.
type update struct {
	g       *Graph
	m, n, r int
	a, up   *Node
}

func (g *Graph) update(m, n int, a, up *Node) update {
	r := a.Shape()[0]
	if s := Shape(up); len(s) != 2 || s[0] != n || s[1] != r {
		Fail("ops: low-rank update: A %v, B %v for %d outputs", Shape(a), s, n)
	}
	return update{g: g, m: m, n: n, r: r, a: a, up: up}
}

// spec is what both kinds of layers share. The rank is too thin for bf16, so h
// and what is made of it stay float32.
func (u *update) spec(name string, x, w, b *Node, out []int, flops float64) Spec {
	if u.g.Needs(w) {
		Fail("ops: %s: the layer itself trains", name)
	}
	s := Spec{Name: name, In: []*Node{x, w, u.a, u.up}, Out: out, Diff: []bool{true, false, true, true}, Finishes: true, Narrow: Narrow{In: []int{0}, Out: true},
		Slots: []Slot{{Shape: []int{u.m, u.r}}}, Scratch: []int{u.m * u.r},
		Flops: flops + 2*float64(u.m)*float64(u.r*u.n) + 2*float64(u.m)*float64(size(u.a.Shape()))}
	if b != nil {
		if size(b.Shape()) != u.n {
			Fail("ops: %s: bias of %d values for %d outputs", name, size(b.Shape()), u.n)
		}
		s.In, s.Diff = append(s.In, b), append(s.Diff, true)
	}
	return s
}

// hidden is where h goes: kept for the gradient of B, or not.
func (u *update) hidden(e *Env) kernels.Buf {
	if e.Slots[0] != nil {
		return e.Slots[0]
	}
	return e.Scratch[0].Reshape(u.m, u.r)
}

// back is the thin pair of the gradient of x, over the inputs that grads gives it:
// the gradient of h is made on the way.
func (u *update) back(e *Env) *kernels.Thin {
	return &kernels.Thin{H: u.hidden(e), C: e.In[3], Down: e.In[2]}
}

// grads are those of x, A, B and b. dx is what differs between the layers in the
// gradient of x, which makes that of h on the way; da makes the gradient of A of it.
func (u *update) grads(in []*Node, out, dy *Node, dx Spec, da func(dh *Node) *Node) []*Node {
	g := u.g
	gs := make([]*Node, len(in))
	dh := withLast(out, u.r)
	flops := 2 * float64(u.m) * float64(u.n*u.r)
	switch {
	case g.Needs(in[0]):
		dx.In, dx.Accumulates, dx.Finishes, dx.Narrow = []*Node{dy, in[1], u.up, u.a}, true, true, Narrow{In: []int{0}, Out: true}
		dx.Slots, dx.Scratch = []Slot{{Shape: dh}}, []int{u.m * u.r}
		dx.Flops += flops
		gs[0] = g.Apply(dx)
		if g.Needs(u.a) {
			gs[2] = da(g.Selector(gs[0], 0, dh...))
		}
	case g.Needs(u.a):
		gs[2] = da(g.Apply(Spec{
			Name: "lora.dh", In: []*Node{dy, u.up}, Out: dh, Flops: flops, Narrow: Narrow{In: []int{0}},
			Bind: func(e *Env) (kernels.Run, error) {
				return e.K.MatMul(kernels.MatMul{A: e.In[0], B: e.In[1], Y: e.Out, M: u.m, N: u.r, K: u.n})
			},
		}))
	}
	if g.Needs(u.up) {
		gs[3] = g.Apply(Spec{
			Name: "lora.db", In: []*Node{dy}, Reads: []Read{{Of: out}}, Out: u.up.Shape(), Accumulates: true, Flops: 2 * float64(u.m) * float64(u.n*u.r),
			Narrow: Narrow{In: []int{0}},
			Bind: func(e *Env) (kernels.Run, error) {
				return e.K.MatMul(kernels.MatMul{A: e.In[0], TransA: true, B: e.Reads[0], Y: e.Out, M: u.n, N: u.r, K: u.m, Accumulate: e.Accumulate})
			},
		})
	}
	if len(in) > 4 && g.Needs(in[4]) {
		gs[4] = g.Reshape(g.ColumnSum(dy, nil), in[4].Shape()...)
	}
	return gs
}
