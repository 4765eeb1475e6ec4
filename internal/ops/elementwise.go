package ops

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// unaryNames are the names of scalar functions in profiles.
var unaryNames = map[kernels.Func]string{kernels.Relu: "relu", kernels.LeakyRelu: "leaky_relu", kernels.Elu: "elu", kernels.Selu: "selu",
	kernels.Celu: "celu", kernels.Gelu: "gelu", kernels.GeluTanh: "gelu", kernels.Silu: "silu", kernels.HardSwish: "hard_swish",
	kernels.HardSigmoid: "hard_sigmoid", kernels.Sigmoid: "sigmoid", kernels.Tanh: "tanh", kernels.Clip: "clip", kernels.Affine: "affine"}

// UnaryName is the name of a scalar function in profiles.
func UnaryName(f kernels.Func) string {
	if n, ok := unaryNames[f]; ok {
		return n
	}
	return "unary"
}

// storesDerivative lists the functions whose derivative is dear enough to be
// written in the forward pass, from which point x is not needed any more.
var storesDerivative = map[kernels.Func]bool{kernels.Gelu: true, kernels.GeluTanh: true, kernels.Silu: true, kernels.HardSwish: true,
	kernels.Mish: true, kernels.Softplus: true, kernels.Elu: true, kernels.Selu: true, kernels.Celu: true, kernels.Erf: true,
	kernels.Sigmoid: true, kernels.Tanh: true, kernels.Exp: true}

// Unary applies a scalar function; a and b are its parameters (see
// [kernels.Func]).
func (g *Graph) Unary(f kernels.Func, a, b float64, x *Node) *Node {
	if f == kernels.Affine && a == 1 && b == 0 {
		return x
	}
	s := Spec{Name: UnaryName(f), In: []*Node{x}, Out: x.Shape(), Diff: []bool{true}, Narrow: Narrow{In: []int{0}, Slots: []int{0}, Out: true},
		Rows: rowOfBroadcast(x.Shape(), []*Node{x}, func(in []*Node) *Node { return g.Unary(f, a, b, in[0]) })}
	if f == kernels.Relu {
		s.Finish = &Finish{stageRelu, func(f *kernels.Finish, _ *Env, _ int) { f.Relu = true }}
	}
	deriv := storesDerivative[f] && g.Needs(x)
	if deriv {
		s.Slots = []Slot{{Shape: x.Shape(), Bytes: f.Slope()}}
	}
	// Where the gradient needs the derivative, or the output's sign, or nothing,
	// the output may take x's place.
	if deriv || f == kernels.Relu || f == kernels.Affine || f == kernels.Neg || !g.Needs(x) {
		s.InPlace = []int{0}
	}
	s.Bind = func(e *Env) (kernels.Run, error) {
		u := kernels.Unary{Func: f, A: a, B: b, X: e.In[0], Y: e.Out}
		if deriv {
			u.Deriv = e.Slots[0]
		}
		return e.K.Unary(u)
	}
	s.Grad = func(in []*Node, y, dy *Node) []*Node {
		if f == kernels.Affine || f == kernels.Neg {
			if f == kernels.Neg {
				a = -1
			}
			return []*Node{g.Unary(kernels.Affine, a, 0, dy)}
		}
		d := Spec{Name: s.Name + ".dx", In: []*Node{dy}, Out: x.Shape(), InPlace: []int{0}, Narrow: Narrow{In: []int{0, 1}, Reads: []int{0}, Out: true}}
		switch {
		case deriv:
			d.Reads = []Read{{y, 0}}
		case f == kernels.Relu: // the output is positive exactly where the input is
			d.In = append(d.In, y)
			d.Finish = &Finish{stageMask, func(f *kernels.Finish, e *Env, _ int) { f.Mask = e.In[1] }}
		default:
			d.In = append(d.In, in[0])
		}
		d.Bind = func(e *Env) (kernels.Run, error) {
			u := kernels.Unary{Func: f, A: a, B: b, DY: e.In[0], DX: e.Out}
			if deriv {
				u.Deriv = e.Reads[0]
			} else {
				u.X = e.In[1]
			}
			return e.K.UnaryBackward(u)
		}
		return []*Node{g.Apply(d)}
	}
	return g.Apply(s)
}

var binaryNames = [...]string{"add", "sub", "mul", "div", "max", "min", "pow"}

// Binary applies a function of two scalars with NumPy broadcasting.
func (g *Graph) Binary(f kernels.BinaryFunc, x, z *Node) *Node {
	out := broadcast(binaryNames[f], x.Shape(), z.Shape())
	s := Spec{Name: binaryNames[f], In: []*Node{x, z}, Out: out, Diff: []bool{true, true}, Flops: float64(size(out)),
		Rows: rowOfBroadcast(out, []*Node{x, z}, func(in []*Node) *Node { return g.Binary(f, in[0], in[1]) })}
	if slices.Equal(Shape(x), out) && slices.Equal(Shape(z), out) {
		s.Narrow = Narrow{In: []int{0, 1}, Out: true}
	}
	if f == kernels.Add || f == kernels.Sub {
		s.InPlace = []int{0, 1}
		if f == kernels.Add && s.Narrow.Out {
			s.Finish = &Finish{stageAdd, func(f *kernels.Finish, e *Env, of int) { f.Add = e.In[1-of] }}
		}
		if f == kernels.Sub {
			s.InPlace = []int{0}
		}
	}
	s.Bind = func(e *Env) (kernels.Run, error) {
		return e.K.Binary(kernels.Binary{Func: f, X: e.In[0], Z: e.In[1], Y: e.Out})
	}
	s.Grad = func(in []*Node, y, dy *Node) []*Node {
		x, z := in[0], in[1]
		var dx, dz *Node
		switch f {
		case kernels.Add:
			dx, dz = dy, dy
		case kernels.Sub:
			dx = dy
			if g.Needs(z) {
				dz = g.Unary(kernels.Affine, -1, 0, dy)
			}
		case kernels.Mul:
			if g.Needs(x) {
				dx = g.mulSum(dy, z, x.Shape())
			}
			if g.Needs(z) {
				dz = g.mulSum(dy, x, z.Shape())
			}
		case kernels.Div: // y = x/z: dx = dy/z, dz = −dy·y/z
			q := g.Binary(kernels.Div, dy, z)
			dx = q
			if g.Needs(z) {
				dz = g.Unary(kernels.Affine, -1, 0, g.Binary(kernels.Mul, q, y))
			}
		case kernels.Max, kernels.Min:
			if g.Needs(x) {
				dx = g.Binary(kernels.Mul, dy, g.takes(f, x, z, out))
			}
			if g.Needs(z) {
				dz = g.Binary(kernels.Mul, dy, g.takes(f, z, x, out))
			}
		case kernels.Pow:
			if g.Needs(z) {
				Fail("ops: pow has no gradient for its exponent")
			}
			e := g.Binary(kernels.Pow, x, g.Unary(kernels.Affine, 1, -1, z))
			dx = g.Binary(kernels.Mul, dy, g.Binary(kernels.Mul, e, z))
		}
		gs := []*Node{nil, nil}
		if g.Needs(x) {
			gs[0] = g.SumTo(dx, x.Shape()...)
		}
		if g.Needs(z) {
			gs[1] = g.SumTo(dz, z.Shape()...)
		}
		return gs
	}
	return g.Apply(s)
}

// Add is Binary(Add): residual connections.
func (g *Graph) Add(x, z *Node) *Node { return g.Binary(kernels.Add, x, z) }

// Mul is Binary(Mul).
func (g *Graph) Mul(x, z *Node) *Node { return g.Binary(kernels.Mul, x, z) }

// mulSum is SumTo(dy∘z, shape); where shape is one row it is a column sum that
// never writes the product.
func (g *Graph) mulSum(dy, z *Node, shape []int) *Node {
	if size(shape) == last(dy) && size(shape) == shape[len(shape)-1] && slices.Equal(Shape(z), Shape(dy)) {
		return g.Reshape(g.ColumnSum(dy, z), shape...)
	}
	return g.Binary(kernels.Mul, dy, z)
}

// takes is 1 where max (or min) takes x over z, ½ where they are equal, so that
// ties share the gradient as in PyTorch.
func (g *Graph) takes(f kernels.BinaryFunc, x, z *Node, out []int) *Node {
	x, z = g.Expand(x, out...), g.Expand(z, out...)
	return g.Apply(Spec{Name: binaryNames[f] + ".mask", In: []*Node{x, z}, Out: out, Bind: func(e *Env) (kernels.Run, error) {
		if e.Out.Storage == buffer.F64 {
			return takesRun[float64](f, e), nil
		}
		return takesRun[float32](f, e), nil
	}})
}

func takesRun[T buffer.Float](f kernels.BinaryFunc, e *Env) kernels.Run {
	x, z, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.Out)
	return func() {
		for i := range y {
			switch {
			case x[i] == z[i]:
				y[i] = 0.5
			case (x[i] > z[i]) == (f == kernels.Max):
				y[i] = 1
			default:
				y[i] = 0
			}
		}
	}
}

// SumTo sums x over the axes along which shape was broadcast to x's shape.
func (g *Graph) SumTo(x *Node, shape ...int) *Node {
	xs := Shape(x)
	if slices.Equal(xs, shape) {
		return x
	}
	if size(xs) == size(shape) {
		return g.Reshape(x, shape...)
	}
	if len(shape) > 0 && size(shape) == last(x) && shape[len(shape)-1] == last(x) {
		return g.Reshape(g.ColumnSum(x, nil), shape...)
	}
	keep := make([]int, len(xs))
	for i := range xs {
		keep[i] = 1
		if j := i - (len(xs) - len(shape)); j >= 0 {
			keep[i] = shape[j]
		}
	}
	return g.Reshape(g.reduceTo(kernels.ReduceSum, x, keep), shape...)
}

// ColumnSum is Σ_rows x, or Σ_rows x∘z, of length C.
func (g *Graph) ColumnSum(x, z *Node) *Node {
	in := []*Node{x}
	if z != nil {
		in = append(in, z)
	}
	return g.Apply(Spec{Name: "column_sum", In: in, Out: []int{last(x)}, Accumulates: true, Narrow: Narrow{In: []int{0, 1}}, Bind: func(e *Env) (kernels.Run, error) {
		c := kernels.ColumnSum{X: e.In[0], Y: e.Out, Accumulate: e.Accumulate}
		if z != nil {
			c.Z = e.In[1]
		}
		return e.K.ColumnSum(c)
	}})
}

// Reduce reduces axes, keeping them as length 1.
func (g *Graph) Reduce(f kernels.Reduction, x *Node, axes ...int) *Node {
	keep := slices.Clone(Shape(x))
	for _, a := range axes {
		keep[a] = 1
	}
	return g.reduceTo(f, x, keep)
}

func (g *Graph) reduceTo(f kernels.Reduction, x *Node, keep []int) *Node {
	xs := Shape(x)
	if slices.Equal(xs, keep) {
		return x
	}
	return g.Apply(Spec{
		Name: "reduce", In: []*Node{x}, Out: keep, Diff: []bool{true},
		Bind: func(e *Env) (kernels.Run, error) { return e.K.Reduce(kernels.Reduce{Func: f, X: e.In[0], Y: e.Out}) },
		Grad: func(in []*Node, y, dy *Node) []*Node {
			switch f {
			case kernels.ReduceMean:
				dy = g.Unary(kernels.Affine, float64(size(keep))/float64(size(xs)), 0, dy)
				fallthrough
			case kernels.ReduceSum:
				return []*Node{g.Expand(dy, xs...)}
			}
			return []*Node{g.extremumGrad(in[0], y, dy, keep)}
		},
	})
}

// extremumGrad shares a maximum's gradient evenly among equal maxima, as
// PyTorch's amax does.
func (g *Graph) extremumGrad(x, y, dy *Node, keep []int) *Node {
	xs := Shape(x)
	hit := g.Apply(Spec{Name: "reduce.mask", In: []*Node{x, g.Expand(y, xs...)}, Out: xs, Bind: func(e *Env) (kernels.Run, error) {
		if e.Out.Storage == buffer.F64 {
			return equalRun[float64](e), nil
		}
		return equalRun[float32](e), nil
	}})
	share := g.Binary(kernels.Div, dy, g.reduceTo(kernels.ReduceSum, hit, keep))
	return g.Binary(kernels.Mul, hit, share)
}

func equalRun[T buffer.Float](e *Env) kernels.Run {
	x, z, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.Out)
	return func() {
		for i := range y {
			y[i] = 0
			if x[i] == z[i] {
				y[i] = 1
			}
		}
	}
}

// Softmax works over the last axis; log gives log-softmax.
func (g *Graph) Softmax(x *Node, log bool) *Node {
	return g.Apply(Spec{
		Name: "softmax", In: []*Node{x}, Out: x.Shape(), Diff: []bool{true}, InPlace: []int{0},
		Bind: func(e *Env) (kernels.Run, error) {
			return e.K.Softmax(kernels.Softmax{X: e.In[0], Y: e.Out, Log: log})
		},
		Grad: func(in []*Node, y, dy *Node) []*Node {
			return []*Node{g.Apply(Spec{Name: "softmax.dx", In: []*Node{dy, y}, Out: x.Shape(), Accumulates: true, Bind: func(e *Env) (kernels.Run, error) {
				return e.K.SoftmaxBackward(kernels.Softmax{DY: e.In[0], Y: e.In[1], DX: e.Out, Log: log, Accumulate: e.Accumulate})
			}})}
		},
	})
}

// Dropout zeroes elements with probability p and scales the rest by 1/(1−p)
// (Srivastava et al. 2014). The mask is a function of seed (fixed per site),
// the image's key and the element, never of the order of work, so shards and
// resumed runs agree. keys (N) holds one key per image: x's first axis is N.
func (g *Graph) Dropout(x, keys *Node, p float64, seed uint64) *Node {
	if p <= 0 {
		return x
	}
	mask := func(e *Env) (kernels.Run, error) {
		if e.Out.Storage == buffer.F64 {
			return dropoutRun[float64](e, p, seed), nil
		}
		return dropoutRun[float32](e, p, seed), nil
	}
	return g.Apply(Spec{
		Name: "dropout", In: []*Node{x, keys}, Out: x.Shape(), Diff: []bool{true, false}, Bind: mask,
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.Apply(Spec{Name: "dropout.dx", In: []*Node{dy, in[1]}, Out: x.Shape(), InPlace: []int{0}, Bind: mask}), nil}
		},
	})
}

func dropoutRun[T buffer.Float](e *Env, p float64, seed uint64) kernels.Run {
	x, keys, y := buffer.Floats[T](e.In[0]), e.In[1].I64(), buffer.Floats[T](e.Out)
	per := len(y) / len(keys)
	scale := T(1 / (1 - p))
	limit := uint64(p * math.Ldexp(1, 32))
	return func() {
		for n, key := range keys {
			h := mix(seed ^ mix(uint64(key)))
			for i := n * per; i < (n+1)*per; i += 2 {
				r := mix(h + uint64(i-n*per)) // one draw for two elements
				y[i] = keep(x[i]*scale, r&math.MaxUint32 >= limit)
				if i+1 < (n+1)*per {
					y[i+1] = keep(x[i+1]*scale, r>>32 >= limit)
				}
			}
		}
	}
}

func keep[T buffer.Float](v T, kept bool) T {
	if kept {
		return v
	}
	return 0
}

// mix is the finaliser of SplitMix64 (Steele et al. 2014) after its increment.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
