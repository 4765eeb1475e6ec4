package ops

import "github.com/vislora/vislora/internal/kernels"

// ConvAttr are the attributes of a two-dimensional convolution.
type ConvAttr struct {
	Stride, Dilation [2]int // h, w
	Pads             [4]int // top, left, bottom, right
	Groups           int
}

// OutSize is ⌊(size + pads − d(k−1) − 1)/stride⌋ + 1 along axis 0 (height) or 1.
func (a ConvAttr) OutSize(axis, size, kernel int) int {
	return (size+a.Pads[axis]+a.Pads[axis+2]-a.Dilation[axis]*(kernel-1)-1)/a.Stride[axis] + 1
}

// Conv is a cross-correlation over channels-last maps.
//
//	x (N, H, W, Cin)   w (Cout, Cin/g, kH, kW)   b (Cout) or nil   y (N, H′, W′, Cout)
func (g *Graph) Conv(x, w, b *Node, a ConvAttr) *Node {
	out := convOut(x, w, a)
	in, diff := []*Node{x, w}, []bool{true, true}
	if b != nil {
		if size(b.Shape()) != out[3] {
			Fail("ops: conv: bias of %d values for %d channels", size(b.Shape()), out[3])
		}
		in, diff = append(in, b), append(diff, true)
	}
	flops := convFlops(out, w)
	return g.Apply(Spec{
		Name: convName(w, a), In: in, Out: out, Diff: diff, Flops: flops, Finishes: true, Narrow: a.narrow(Narrow{In: []int{0}, Out: true}),
		Bind: func(e *Env) (kernels.Run, error) {
			c := a.kernel(e.In[0], e.In[1], e.Out)
			c.Finish = e.Finish
			if b != nil {
				c.Bias = e.In[2]
			}
			return e.K.Conv(c)
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			gs := g.convGrads(in[0], in[1], dy, a, flops)
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

// AddConv adds a convolution to y0: y = y0 + w ∗ x, in y0's memory where it may.
func (g *Graph) AddConv(y0, x, w *Node, a ConvAttr) *Node {
	out := convOut(x, w, a)
	if size(out) != size(y0.Shape()) {
		Fail("ops: add-conv: %v + %v", y0.Shape(), out)
	}
	flops := convFlops(out, w)
	return g.Apply(Spec{
		Name: "conv.add", In: []*Node{y0, x, w}, Out: out, Diff: []bool{true, true, true}, InPlace: []int{0}, Flops: flops, Finishes: true, Narrow: a.narrow(Narrow{In: []int{0, 1}, Out: true}),
		Bind: func(e *Env) (kernels.Run, error) {
			c := a.kernel(e.In[1], e.In[2], e.Out)
			c.Accumulate, c.Finish = true, e.Finish
			conv, err := e.K.Conv(c)
			if err != nil || e.In[0].Pointer() == e.Out.Pointer() {
				return conv, err
			}
			cp, err := e.K.Unary(kernels.Unary{Func: kernels.Affine, A: 1, X: e.In[0], Y: e.Out})
			return func() { cp(); conv() }, err
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return append([]*Node{dy}, g.convGrads(in[1], in[2], dy, a, flops)...)
		},
	})
}

func (g *Graph) convGrads(x, w, dy *Node, a ConvAttr, flops float64) []*Node {
	gs := make([]*Node, 2)
	if g.Needs(x) {
		gs[0] = g.Apply(Spec{
			Name: convName(w, a) + ".dx", In: []*Node{dy, w}, Out: x.Shape(), Accumulates: true, Finishes: true, Flops: flops, Narrow: a.narrow(Narrow{In: []int{0}, Out: true}),
			Bind: func(e *Env) (kernels.Run, error) {
				c := a.kernel(e.Out, e.In[1], e.In[0])
				c.Accumulate, c.Finish = e.Accumulate, e.Finish
				return e.K.ConvBackwardData(c)
			},
		})
	}
	if g.Needs(w) {
		gs[1] = g.convDW(x, w, dy, a)
	}
	return gs
}

// convDW is the gradient of a kernel.
func (g *Graph) convDW(x, w, dy *Node, a ConvAttr) *Node {
	return g.Apply(Spec{
		Name: convName(w, a) + ".dw", In: []*Node{x, dy}, Out: w.Shape(), Accumulates: true, Flops: convFlops(dy.Shape(), w), Narrow: a.narrow(Narrow{In: []int{0, 1}}),
		Bind: func(e *Env) (kernels.Run, error) {
			c := a.kernel(e.In[0], e.Out, e.In[1])
			c.Accumulate = e.Accumulate
			return e.K.ConvBackwardWeights(c)
		},
	})
}

// narrow is n where convolutions in bf16 are fast: grouped and depthwise ones are
// not.
func (a ConvAttr) narrow(n Narrow) Narrow {
	if a.Groups > 1 {
		return Narrow{}
	}
	return n
}

func (a ConvAttr) kernel(x, w, y kernels.Buf) kernels.Conv {
	return kernels.Conv{X: x, W: w, Y: y, Stride: a.Stride, Pads: a.Pads, Dilation: a.Dilation, Groups: a.Groups}
}

func convOut(x, w *Node, a ConvAttr) []int {
	xs, ws := Shape(x), Shape(w)
	if len(xs) != 4 || len(ws) != 4 || xs[3] != ws[1]*a.Groups || ws[0]%a.Groups != 0 {
		Fail("ops: conv: input %v (N, H, W, C), weight %v, groups %d do not fit", xs, ws, a.Groups)
	}
	out := []int{xs[0], a.OutSize(0, xs[1], ws[2]), a.OutSize(1, xs[2], ws[3]), ws[0]}
	if out[1] < 1 || out[2] < 1 {
		Fail("ops: conv: kernel %d×%d is larger than the padded input of %d×%d pixels", ws[2], ws[3], xs[1], xs[2])
	}
	return out
}

func convFlops(out []int, w *Node) float64 {
	return 2 * float64(size(out)) * float64(size(w.Shape())/w.Shape()[0])
}

// convName tells kinds apart in a profile.
func convName(w *Node, a ConvAttr) string {
	ws := Shape(w)
	switch {
	case a.Groups > 1 && ws[1] == 1:
		return "conv.depthwise"
	case a.Groups > 1:
		return "conv.grouped"
	case ws[2] == 1 && ws[3] == 1:
		return "conv1x1"
	}
	return "conv"
}
