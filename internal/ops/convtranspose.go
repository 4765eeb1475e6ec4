package ops

import (
	"slices"

	"github.com/vislora/vislora/internal/kernels"
)

// ConvTranspose is the transposed convolution: the gradient of [Graph.Conv]
// with respect to its input, as an operator. height and width are those of y,
// which a stride leaves open: OutSize of them must be x's.
//
//	x (N, H, W, Cin)   w (Cin, Cout/g, kH, kW)   b (Cout) or nil   y (N, height, width, Cout)
//
// Source: Zeiler et al. 2010, "Deconvolutional Networks"; ONNX operator ConvTranspose.
func (g *Graph) ConvTranspose(x, w, b *Node, a ConvAttr, height, width int) *Node {
	xs, ws := Shape(x), Shape(w)
	if len(xs) != 4 || len(ws) != 4 || xs[3] != ws[0] || ws[0]%a.Groups != 0 {
		Fail("ops: transposed conv: input %v (N, H, W, C), weight %v, groups %d do not fit", xs, ws, a.Groups)
	}
	if h, v := a.OutSize(0, height, ws[2]), a.OutSize(1, width, ws[3]); h != xs[1] || v != xs[2] {
		Fail("ops: transposed conv: an output of %d×%d pixels belongs to an input of %d×%d, not %d×%d", height, width, h, v, xs[1], xs[2])
	}
	out := []int{xs[0], height, width, ws[1] * a.Groups}
	flops := 2 * float64(size(xs)) * float64(size(ws)/ws[0])
	y := g.Apply(Spec{
		Name: "conv_transpose", In: []*Node{x, w}, Out: out, Diff: []bool{true, true}, Flops: flops,
		Bind: func(e *Env) (kernels.Run, error) {
			return e.K.ConvBackwardData(a.kernel(e.Out, e.In[1], e.In[0]))
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			gs := make([]*Node, 2)
			if g.Needs(in[0]) {
				gs[0] = g.Apply(Spec{Name: "conv_transpose.dx", In: []*Node{dy, in[1]}, Out: slices.Clone(xs), Accumulates: true, Flops: flops,
					Bind: func(e *Env) (kernels.Run, error) {
						c := a.kernel(e.In[0], e.In[1], e.Out)
						c.Accumulate = e.Accumulate
						return e.K.Conv(c)
					}})
			}
			if g.Needs(in[1]) {
				gs[1] = g.Apply(Spec{Name: "conv_transpose.dw", In: []*Node{dy, in[0]}, Out: slices.Clone(ws), Accumulates: true, Flops: flops,
					Bind: func(e *Env) (kernels.Run, error) {
						c := a.kernel(e.In[0], e.Out, e.In[1])
						c.Accumulate = e.Accumulate
						return e.K.ConvBackwardWeights(c)
					}})
			}
			return gs
		},
	})
	if b == nil {
		return y
	}
	return g.ChannelAffine(y, nil, g.Reshape(b, out[3]))
}
