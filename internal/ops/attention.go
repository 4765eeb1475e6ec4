package ops

import (
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// View places queries, keys or values inside a source tensor: element
// (n, t, h, d) is Offset + n·Batch + t·Token + h·Head + d elements from its start.
type View struct {
	Source                     *Node
	Offset, Batch, Token, Head int
}

// AttentionAttr are the sizes of an attention.
type AttentionAttr struct {
	N, Heads, Tq, Tk, D, Dv int
	Scale                   float64
}

// Attention is multi-head scaled dot-product attention.
//
//	y = softmax(Scale·Q·Kᵀ + mask)·V
//
//	Q (N, Tq, Heads, D)   K (N, Tk, Heads, D)   V (N, Tk, Heads, Dv)   y (N, Tq, Heads·Dv)
//
// Q, K and V are views, so a packed qkv is read where it lies and its gradient
// is written in the same places. mask is nil or broadcasts over N and Heads.
// Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
func (g *Graph) Attention(q, k, v View, mask *Node, a AttentionAttr) *Node {
	if y := g.oneQuery(q, k, v, mask, a); y != nil {
		return y
	}
	var sources []*Node
	place := func(n *Node) int {
		if i := slices.Index(sources, n); i >= 0 {
			return i
		}
		sources = append(sources, n)
		return len(sources) - 1
	}
	at := [3]int{place(q.Source), place(k.Source), place(v.Source)}
	views := [3]View{q, k, v}
	diff := make([]bool, len(sources))
	trains := false
	for i, s := range sources {
		diff[i] = true
		trains = trains || g.Needs(s)
	}
	in := slices.Clone(sources)
	if mask != nil {
		if g.Needs(mask) {
			Fail("ops: attention has no gradient for its mask")
		}
		in, diff = append(in, mask), append(diff, false)
	}
	s := Spec{
		Name: "attention", In: in, Out: []int{a.N, a.Tq, a.Heads * a.Dv}, Diff: diff, Scratch: []int{kernels.AttentionScratch(a.Tq, a.Tk, false)},
		Flops: 2 * float64(a.N*a.Heads*a.Tq*a.Tk) * float64(a.D+a.Dv), Narrow: Narrow{Out: true},
	}
	for i := range sources {
		s.Narrow.In = append(s.Narrow.In, i)
	}
	s.Rows = g.rowOfAttention(sources, q, k, v, mask, a)
	if trains {
		s.Slots = []Slot{{Shape: []int{a.N, a.Heads, a.Tq, 2}}}
	}
	kernel := func(at3 [3]int, bufs []*buffer.Buffer) kernels.Attention {
		view := func(i int) kernels.View {
			w := views[i]
			return kernels.View{Buf: bufs[at3[i]], Offset: w.Offset, Batch: w.Batch, Token: w.Token, Head: w.Head}
		}
		return kernels.Attention{N: a.N, Heads: a.Heads, Tq: a.Tq, Tk: a.Tk, D: a.D, Dv: a.Dv, Scale: a.Scale, Q: view(0), K: view(1), V: view(2)}
	}
	output := func(b *buffer.Buffer) kernels.View {
		return kernels.View{Buf: b, Batch: a.Tq * a.Heads * a.Dv, Token: a.Heads * a.Dv, Head: a.Dv}
	}
	s.Bind = func(e *Env) (kernels.Run, error) {
		k := kernel(at, e.In)
		k.O, k.Scratch = output(e.Out), e.Scratch[0]
		if mask != nil {
			k.Mask = e.In[len(e.In)-1]
		}
		if trains {
			k.Stats = e.Slots[0]
		}
		return e.K.Attention(k)
	}
	s.Grad = func(in []*Node, y, dy *Node) []*Node {
		// One operator writes all gradients: the first source's is its output,
		// the others are slots with a selector each.
		// The scores are made again.
		d := Spec{Name: "attention.dx", In: append([]*Node{dy}, sources...), Reads: []Read{{y, 0}}, Out: sources[0].Shape(),
			Scratch: []int{kernels.AttentionScratch(a.Tq, a.Tk, true)}, Flops: 2 * s.Flops, Narrow: Narrow{In: []int{0}, Out: true}}
		if mask != nil { // the scores are made again
			d.In = append(d.In, mask)
		}
		for i, src := range sources {
			d.Narrow.In = append(d.Narrow.In, 1+i)
			if i > 0 {
				d.Slots, d.Narrow.Slots = append(d.Slots, Slot{Shape: src.Shape()}), append(d.Narrow.Slots, i-1)
			}
		}
		d.Bind = func(e *Env) (kernels.Run, error) {
			k := kernel(at, e.In[1:])
			k.Stats, k.DO, k.Scratch = e.Reads[0], output(e.In[0]), e.Scratch[0]
			if mask != nil {
				k.Mask = e.In[len(e.In)-1]
			}
			targets := append([]*buffer.Buffer{e.Out}, e.Slots...)
			clear := make([]kernels.Run, 0, len(targets))
			for i, t := range targets {
				if t == nil { // nobody reads this gradient, but it is written
					t = buffer.New(e.Out.Storage, sources[i].Shape()...)
					targets[i] = t
				}
				if !covered(sources[i], at, views, a, i) {
					z, err := e.K.Unary(kernels.Unary{Func: kernels.Affine, X: e.In[1+i], Y: t})
					if err != nil {
						return nil, err
					}
					clear = append(clear, z)
				}
			}
			grads := kernel(at, targets)
			k.DQ, k.DK, k.DV = grads.Q, grads.K, grads.V
			run, err := e.K.AttentionBackward(k)
			return sequence(append(clear, run)), err
		}
		dn := g.Apply(d)
		gs := make([]*Node, len(in))
		gs[0] = dn
		for i := range sources[1:] {
			gs[i+1] = g.Selector(dn, i, sources[i+1].Shape()...)
		}
		return gs
	}
	return g.Apply(s)
}

// rowOfAttention is the [Rows] of attention: one query, all keys and values. A
// source of queries alone is needed at that place only.
func (g *Graph) rowOfAttention(sources []*Node, q, k, v View, mask *Node, a AttentionAttr) Rows {
	axes := slices.Repeat([]int{-1}, len(sources))
	alone := q.Source != k.Source && q.Source != v.Source && q.rowwise(a.N, a.Tq)
	if alone {
		axes[0] = 1
	}
	if mask != nil {
		axes = append(axes, mask.Dims()-2)
	}
	return func(axis int) ([]int, func([]*Node, int) *Node) {
		if axis != 1 {
			return nil, nil
		}
		return axes, func(in []*Node, at int) *Node {
			one, q, m := a, q, mask
			one.Tq = 1
			if alone {
				q.Source, q.Batch = in[0], q.Token
			} else {
				q.Offset += at * q.Token
			}
			if m != nil {
				m = in[len(in)-1]
			}
			return g.Attention(q, k, v, m, one)
		}
	}
}

// covered reports whether the views write every element of source i.
func covered(source *Node, at [3]int, views [3]View, a AttentionAttr, i int) bool {
	n := 0
	for j := range views {
		if at[j] == i {
			t, d := a.Tk, a.D
			if j == 0 {
				t = a.Tq
			}
			if j == 2 {
				d = a.Dv
			}
			n += a.N * t * a.Heads * d
		}
	}
	return n == size(source.Shape())
}

// Selector is slot i of the operator that made n, as a node of its own.
func (g *Graph) Selector(n *Node, i int, shape ...int) *Node {
	return g.Apply(Spec{Name: "selector", In: []*Node{n}, Out: slices.Clone(shape), Alias: true, Reads: []Read{{n, i}}})
}
