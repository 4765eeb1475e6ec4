package ops

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// Abort stops a run with an error: an index that the model itself computed is
// out of range, say. The executor gives it back to its caller. Only a Run may
// call it.
func Abort(err error) { panic(runError{err}) }

type runError struct{ error }

// Aborted tells whether a recovered panic came from [Abort].
func Aborted(r any) (error, bool) {
	e, ok := r.(runError)
	if !ok {
		return nil, false
	}
	return e.error, true
}

// Integers computes integers from integers: the flat places that [Graph.Take]
// and [Graph.Put] work on, from the indices that a model computes. An error of
// f ends the run.
func (g *Graph) Integers(name string, x *Node, shape []int, f func(x, y []int64) error) *Node {
	return g.Apply(Spec{
		Name: name, In: []*Node{x}, Out: slices.Clone(shape), Kind: buffer.I64,
		Bind: func(e *Env) (kernels.Run, error) {
			in, out := e.In[0].I64(), e.Out.I64()
			return func() {
				if err := f(in, out); err != nil {
					Abort(fmt.Errorf("%s: %w", name, err))
				}
			}, nil
		},
	})
}

// Place wraps a negative index and checks its range.
func Place(i int64, n int) (int, error) {
	if i < 0 {
		i += int64(n)
	}
	if i < 0 || i >= int64(n) {
		return 0, fmt.Errorf("index %d of an axis of length %d", i, n)
	}
	return int(i), nil
}

var errPlace = errors.New("a flat index lies outside its tensor")

func checkPlaces(at []int64, n int) {
	for _, i := range at {
		if i < 0 || i >= int64(n) {
			Abort(errPlace)
		}
	}
}

// Take reads single elements: y[i] = x[at[i]], at counting in x's dense memory.
//
//	x any shape   at (int64) as many as y   y shape
func (g *Graph) Take(x, at *Node, shape ...int) *Node {
	xs := Shape(x)
	return g.Apply(Spec{
		Name: "take", In: []*Node{x, at}, Out: slices.Clone(shape), Diff: []bool{true, false}, Kind: g.Kind(x),
		Bind: func(e *Env) (kernels.Run, error) {
			switch e.Out.Storage {
			case buffer.F64:
				return takeRun(e.In[0].F64(), e.Out.F64(), e.In[1].I64()), nil
			case buffer.I64:
				return takeRun(e.In[0].I64(), e.Out.I64(), e.In[1].I64()), nil
			}
			return takeRun(e.In[0].F32(), e.Out.F32(), e.In[1].I64()), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.putSum(dy, in[1], xs), nil}
		},
	})
}

func takeRun[T any](x, y []T, at []int64) kernels.Run {
	return func() {
		checkPlaces(at, len(x))
		for i, p := range at {
			y[i] = x[p]
		}
	}
}

// putSum is the transpose of Take: zeros with x[i] added at at[i].
func (g *Graph) putSum(x, at *Node, shape []int) *Node {
	return g.Apply(Spec{
		Name: "take.dx", In: []*Node{x, at}, Out: slices.Clone(shape), Diff: []bool{true, false}, Accumulates: true,
		Bind: func(e *Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return putRun[float64](e, e.In[0], e.In[1], !e.Accumulate, true), nil
			}
			return putRun[float32](e, e.In[0], e.In[1], !e.Accumulate, true), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node { return []*Node{g.Take(dy, in[1], Shape(in[0])...), nil} },
	})
}

func putRun[T buffer.Float](e *Env, x, at *buffer.Buffer, zero, add bool) kernels.Run {
	src, y, places := buffer.Floats[T](x), buffer.Floats[T](e.Out), at.I64()
	return func() {
		checkPlaces(places, len(y))
		if zero {
			clear(y)
		}
		for i, p := range places {
			if add {
				y[p] += src[i]
			} else {
				y[p] = src[i]
			}
		}
	}
}

// Put writes single elements: y is x with u[i] at at[i], or added there. Where
// two elements are written to one place, the later stays (ONNX leaves it open),
// and its gradient goes to both.
func (g *Graph) Put(x, u, at *Node, add bool) *Node {
	return g.Apply(Spec{
		Name: "put", In: []*Node{x, u, at}, Out: Shape(x), Diff: []bool{true, true, false},
		Bind: func(e *Env) (kernels.Run, error) {
			cp, err := e.K.Unary(kernels.Unary{Func: kernels.Affine, A: 1, X: e.In[0], Y: e.Out})
			if err != nil {
				return nil, err
			}
			put := putRun[float32]
			if e.Out.Storage == buffer.F64 {
				put = putRun[float64]
			}
			return sequence([]kernels.Run{cp, put(e, e.In[1], e.In[2], false, add)}), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			gs := []*Node{nil, nil, nil}
			if g.Needs(in[0]) {
				gs[0] = dy
				if !add {
					zeros := g.Unary(kernels.Affine, 0, 0, g.Take(dy, in[2], Shape(in[1])...))
					gs[0] = g.Put(dy, zeros, in[2], false)
				}
			}
			if g.Needs(in[1]) {
				gs[1] = g.Take(dy, in[2], Shape(in[1])...)
			}
			return gs
		},
	})
}

// Select is y = a where mask is not 0, b elsewhere; all of one shape. A nil a
// or b is 0.
func (g *Graph) Select(mask, a, b *Node) *Node {
	in, diff := []*Node{mask}, []bool{false}
	for _, n := range []*Node{a, b} {
		if n != nil {
			if size(n.Shape()) != size(mask.Shape()) {
				Fail("ops: select: mask %v for %v", mask.Shape(), n.Shape())
			}
			in, diff = append(in, n), append(diff, true)
		}
	}
	return g.Apply(Spec{
		Name: "select", In: in, Out: Shape(mask), Diff: diff,
		Bind: func(e *Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return selectRun[float64](e, a != nil, b != nil), nil
			}
			return selectRun[float32](e, a != nil, b != nil), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			gs := []*Node{nil}
			if a != nil {
				gs = append(gs, nil)
				if g.Needs(a) {
					gs[len(gs)-1] = g.Reshape(g.Select(mask, dy, nil), Shape(a)...)
				}
			}
			if b != nil {
				gs = append(gs, nil)
				if g.Needs(b) {
					gs[len(gs)-1] = g.Reshape(g.Select(mask, nil, dy), Shape(b)...)
				}
			}
			return gs
		},
	})
}

func selectRun[T buffer.Float](e *Env, hasA, hasB bool) kernels.Run {
	mask, y := e.In[0].I64(), buffer.Floats[T](e.Out)
	var a, b []T
	if hasA {
		a = buffer.Floats[T](e.In[1])
	}
	if hasB {
		b = buffer.Floats[T](e.In[len(e.In)-1])
	}
	return func() {
		for i, m := range mask {
			var v T
			if m != 0 && a != nil {
				v = a[i]
			} else if m == 0 && b != nil {
				v = b[i]
			}
			y[i] = v
		}
	}
}

// StraightThrough passes v on as if it were x: the value is v's, the gradient
// x's, except where |v − x| > limit, which is where rounding was a cut. Fake
// quantisation trains this way.
// Source: Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877.
func (g *Graph) StraightThrough(x, v, limit *Node) *Node {
	return g.Apply(Spec{
		Name: "straight_through", In: []*Node{x, v, limit}, Out: Shape(x), Diff: []bool{true, false, false},
		Bind: func(e *Env) (kernels.Run, error) {
			return e.K.Unary(kernels.Unary{Func: kernels.Affine, A: 1, X: e.In[1], Y: e.Out})
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			d := g.Apply(Spec{Name: "straight_through.dx", In: []*Node{dy, in[0], in[1], in[2]}, Out: Shape(x), Bind: func(e *Env) (kernels.Run, error) {
				if e.Out.Storage == buffer.F64 {
					return throughRun[float64](e), nil
				}
				return throughRun[float32](e), nil
			}})
			return []*Node{d, nil, nil}
		},
	})
}

func throughRun[T buffer.Float](e *Env) kernels.Run {
	dy, x, v, limit, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.In[2]), buffer.Floats[T](e.In[3]), buffer.Floats[T](e.Out)
	return func() {
		for i := range y {
			y[i] = 0
			if d := v[i] - x[i]; d <= limit[i] && -d <= limit[i] {
				y[i] = dy[i]
			}
		}
	}
}
