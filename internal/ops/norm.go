package ops

import (
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// LayerNorm normalises the last axis: y = (x − μ)/√(σ² + ε)·γ + β.
//
//	x (…, C)   γ (C)   β (C) or nil
//
// Source: Ba et al. 2016, arXiv:1607.06450.
func (g *Graph) LayerNorm(x, gamma, beta *Node, eps float64) *Node {
	in, diff := []*Node{x, gamma}, []bool{true, true}
	if beta != nil {
		in, diff = append(in, beta), append(diff, true)
	}
	r := rows(x)
	return g.Apply(Spec{
		Name: "layer_norm", In: in, Out: x.Shape(), Diff: diff, Slots: []Slot{{Shape: []int{r}}, {Shape: []int{r}}, {Shape: x.Shape()}}, Narrow: Narrow{Out: true},
		Rows: rowOf(x.Shape(), in, []int{0}, func(in []*Node) *Node { return g.LayerNorm(in[0], gamma, beta, eps) }),
		Bind: func(e *Env) (kernels.Run, error) {
			l := kernels.LayerNorm{X: e.In[0], Gamma: e.In[1], Y: e.Out, Mean: e.Slots[0], RStd: e.Slots[1], Epsilon: eps}
			if beta != nil {
				l.Beta = e.In[2]
			}
			if h := e.Slots[2]; h != nil && h.Storage == buffer.BF16 {
				l.Hat = h
			}
			return e.K.LayerNorm(l)
		},
		Grad: func(in []*Node, y, dy *Node) []*Node {
			saved := []Read{{y, 0}, {y, 1}}
			gs := make([]*Node, len(in))
			if g.Needs(x) {
				// The results are there for other reasons, x would be kept for this alone.
				known := kernels.LayerNorm{Gamma: g.known(gamma), Beta: g.known(beta)}
				results := known.Gamma != nil && known.Beta != nil && known.Inverts()
				in := []*Node{dy, x, gamma}
				if results {
					in = []*Node{dy, y, gamma, beta}
				}
				s := Spec{Name: "layer_norm.dx", In: in, Reads: saved, Out: x.Shape(), Accumulates: true, Narrow: Narrow{In: []int{0}},
					Bind: func(e *Env) (kernels.Run, error) {
						l := kernels.LayerNorm{DY: e.In[0], X: e.In[1], Gamma: e.In[2], Mean: e.Reads[0], RStd: e.Reads[1],
							Epsilon: eps, DX: e.Out, AccumulateDX: e.Accumulate}
						switch {
						case l.X.Storage == buffer.BF16:
							l.Hat = l.X
						case results:
							l.X, l.Mean, l.Y, l.Beta = nil, nil, e.In[1], e.In[3]
						}
						return e.K.LayerNormBackward(l)
					}}
				if !g.Needs(gamma) { // whose gradient reads x itself
					s.Narrow.Instead = &Instead{In: 1, Slot: 2}
				}
				gs[0] = g.Apply(s)
			}
			if g.Needs(gamma) {
				gs[1] = g.Apply(Spec{Name: "layer_norm.dgamma", In: []*Node{dy, x, gamma}, Reads: saved, Out: gamma.Shape(),
					Bind: func(e *Env) (kernels.Run, error) {
						return e.K.LayerNormBackward(kernels.LayerNorm{DY: e.In[0], X: e.In[1], Gamma: e.In[2], Mean: e.Reads[0], RStd: e.Reads[1],
							Epsilon: eps, DGamma: e.Out})
					}})
			}
			if beta != nil && g.Needs(beta) {
				gs[2] = g.Reshape(g.ColumnSum(dy, nil), beta.Shape()...)
			}
			return gs
		},
	})
}

// ChannelAffine is y = x·scale + shift over the last axis; either may be nil.
// A batch normalisation with frozen statistics is this.
func (g *Graph) ChannelAffine(x, scale, shift *Node) *Node {
	in, diff := []*Node{x}, []bool{true}
	for _, n := range []*Node{scale, shift} {
		if n != nil {
			if size(n.Shape()) != last(x) {
				Fail("ops: channel affine: %v for %d channels", n.Shape(), last(x))
			}
			in, diff = append(in, n), append(diff, true)
		}
	}
	s := Spec{Name: "channel_affine", In: in, Out: x.Shape(), Diff: diff, Narrow: Narrow{In: []int{0}, Out: true},
		Rows: rowOf(x.Shape(), in, []int{0}, func(in []*Node) *Node { return g.ChannelAffine(in[0], scale, shift) })}
	if scale == nil || !g.Needs(scale) {
		s.InPlace = []int{0}
	}
	s.Bind = func(e *Env) (kernels.Run, error) {
		c := kernels.ChannelAffine{X: e.In[0], Y: e.Out}
		if scale != nil {
			c.Scale = e.In[1]
		}
		if shift != nil {
			c.Shift = e.In[len(e.In)-1]
		}
		return e.K.ChannelAffine(c)
	}
	s.Grad = func(in []*Node, _, dy *Node) []*Node {
		gs := make([]*Node, len(in))
		if g.Needs(x) {
			gs[0] = dy
			if scale != nil {
				gs[0] = g.ChannelAffine(dy, scale, nil)
			}
		}
		if scale != nil && g.Needs(scale) {
			gs[1] = g.Reshape(g.ColumnSum(dy, x), scale.Shape()...)
		}
		if shift != nil && g.Needs(shift) {
			gs[len(gs)-1] = g.Reshape(g.ColumnSum(dy, nil), shift.Shape()...)
		}
		return gs
	}
	return g.Apply(s)
}
