package ops

import (
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// Prod multiplies along the last axis, which it leaves with length 1. The
// gradient is the product of the others, right also where elements are 0.
//
//	x (…, C)   y (…, 1)
func (g *Graph) Prod(x *Node) *Node {
	c := last(x)
	run := func(e *Env, grad bool) kernels.Run {
		if e.Out.Storage == buffer.F64 {
			return prodRun[float64](e, c, grad)
		}
		return prodRun[float32](e, c, grad)
	}
	return g.Apply(Spec{
		Name: "prod", In: []*Node{x}, Out: withLast(x, 1), Diff: []bool{true},
		Bind: func(e *Env) (kernels.Run, error) { return run(e, false), nil },
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.Apply(Spec{Name: "prod.dx", In: []*Node{in[0], dy}, Out: Shape(x),
				Bind: func(e *Env) (kernels.Run, error) { return run(e, true), nil }})}
		},
	})
}

func prodRun[T buffer.Float](e *Env, c int, grad bool) kernels.Run {
	x, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.Out)
	if !grad {
		return func() {
			for r := range y {
				p := 1.0
				for _, v := range x[r*c : (r+1)*c] {
					p *= float64(v)
				}
				y[r] = T(p)
			}
		}
	}
	dy := buffer.Floats[T](e.In[1])
	return func() {
		for r := range dy {
			row, d := x[r*c:(r+1)*c], y[r*c:(r+1)*c]
			p := float64(dy[r])
			for i, v := range row { // products of what comes before
				d[i] = T(p)
				p *= float64(v)
			}
			p = 1
			for i := c - 1; i >= 0; i-- {
				d[i] = T(float64(d[i]) * p)
				p *= float64(row[i])
			}
		}
	}
}
