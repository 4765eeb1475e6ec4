package ops

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// DoRAScale is the per-channel factor of weight-decomposed adaptation:
//
//	c = m / ‖W + B·A‖     per output channel
//
//	m (Cout)   W the base weight   A (r, …) already scaled by s   B (Cout, r/g)   c (Cout)
//
// The norm is taken as a constant in the backward pass, as in the paper (§4.3):
// only m gets a gradient. W is (Cout, …), or (K, Cout) when transposed is set;
// groups are those of a convolution, 1 for a linear layer. W must be frozen.
// The norm comes from ‖w‖² + 2·b·(A·w) + bᵀ(A·Aᵀ)b, whose large first term is
// summed once, in float64.
// Source: Liu et al. 2024, arXiv:2402.09353.
func (g *Graph) DoRAScale(m, w, a, b *Node, groups int, transposed bool) *Node {
	cout := size(m.Shape())
	r := Shape(a)[0]
	k := size(a.Shape()) / r
	return g.Apply(Spec{
		Name: "dora_scale", In: []*Node{m, w, a, b}, Out: []int{cout}, Diff: []bool{true, false, false, false},
		Slots: []Slot{{Shape: []int{cout}}}, Scratch: []int{cout * r}, Flops: 2 * float64(cout) * float64(r) * float64(k),
		Bind: func(e *Env) (kernels.Run, error) {
			// G = W·Aᵀ (Cout, r): with groups only the block of a channel's own
			// group is meant, and only that is read below.
			wm, am := e.In[1].Reshape(cout, k), e.In[2].Reshape(r, k)
			mm := kernels.MatMul{A: wm, B: am, TransB: true, Y: e.Scratch[0].Reshape(cout, r), M: cout, N: r, K: k}
			if transposed {
				mm.A, mm.TransA = e.In[1].Reshape(k, cout), true
			}
			gemm, err := e.K.MatMul(mm)
			if err != nil {
				return nil, err
			}
			if e.Out.Storage == buffer.F64 {
				return doraRun[float64](e, gemm, cout, r, k, groups, transposed), nil
			}
			return doraRun[float32](e, gemm, cout, r, k, groups, transposed), nil
		},
		Grad: func(in []*Node, c, dc *Node) []*Node {
			dm := g.Apply(Spec{Name: "dora_scale.dm", In: []*Node{dc}, Reads: []Read{{c, 0}}, Out: m.Shape(), Bind: func(e *Env) (kernels.Run, error) {
				return e.K.Binary(kernels.Binary{Func: kernels.Mul, X: e.In[0], Z: e.Reads[0], Y: e.Out.Reshape(cout)})
			}})
			return []*Node{dm, nil, nil, nil}
		},
	})
}

func doraRun[T buffer.Float](e *Env, gemm kernels.Run, cout, r, k, groups int, transposed bool) kernels.Run {
	m, w, a, b := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.In[2]), buffer.Floats[T](e.In[3])
	c, wa := buffer.Floats[T](e.Out), buffer.Floats[T](e.Scratch[0])
	var inv []T
	if e.Slots[0] != nil {
		inv = buffer.Floats[T](e.Slots[0])
	}
	w2 := make([]float64, cout)
	for i, v := range w {
		o := i / k
		if transposed {
			o = i % cout
		}
		w2[o] += float64(v) * float64(v)
	}
	rg, cg := r/groups, cout/groups
	aa := make([]float64, r*rg) // A·Aᵀ within each group
	return func() {
		gemm()
		for p := range r {
			base := p / rg * rg
			for q := range rg {
				var s float64
				x, y := a[p*k:(p+1)*k], a[(base+q)*k:(base+q+1)*k]
				for i := range x {
					s += float64(x[i]) * float64(y[i])
				}
				aa[p*rg+q] = s
			}
		}
		for o := range cout {
			bo, base := b[o*rg:(o+1)*rg], o/cg*rg
			s := w2[o]
			for p, bp := range bo {
				t := 2 * float64(wa[o*r+base+p])
				for q, bq := range bo {
					t += aa[(base+p)*rg+q] * float64(bq)
				}
				s += float64(bp) * t
			}
			n := 1 / math.Sqrt(s)
			c[o] = T(float64(m[o]) * n)
			if inv != nil {
				inv[o] = T(n)
			}
		}
	}
}
