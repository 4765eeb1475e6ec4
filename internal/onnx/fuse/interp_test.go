package fuse

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// The reference: a naive interpreter in float64 that knows the plain ONNX
// operators and, separately, the fused ones by the definitions in package ir.

type array struct {
	dims []int
	v    []float64
}

func newArray(dims ...int) array {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return array{dims, make([]float64, n)}
}

// at reads with broadcasting against an index of rank len(idx).
func (a array) at(idx []int) float64 {
	off, stride := 0, 1
	for i := len(a.dims) - 1; i >= 0; i-- {
		j := idx[len(idx)-len(a.dims)+i]
		if a.dims[i] == 1 {
			j = 0
		}
		off += j * stride
		stride *= a.dims[i]
	}
	return a.v[off]
}

func each(dims []int, f func(i int, idx []int)) {
	idx := make([]int, len(dims))
	n := 1
	for _, d := range dims {
		n *= d
	}
	for i := range n {
		r := i
		for k := len(dims) - 1; k >= 0; k-- {
			idx[k] = r % dims[k]
			r /= dims[k]
		}
		f(i, idx)
	}
}

func build(dims []int, f func(idx []int) float64) array {
	out := newArray(slices.Clone(dims)...)
	each(dims, func(i int, idx []int) { out.v[i] = f(idx) })
	return out
}

func broadcast(a, b []int) []int {
	n := max(len(a), len(b))
	out := make([]int, n)
	for i := 1; i <= n; i++ {
		x, y := 1, 1
		if i <= len(a) {
			x = a[len(a)-i]
		}
		if i <= len(b) {
			y = b[len(b)-i]
		}
		out[n-i] = max(x, y)
	}
	return out
}

// run interprets the graph, returns every value and, as a side effect, enters
// the types of all values into the graph: the stand-in for shape inference.
func run(t *testing.T, g *ir.Graph, inputs map[string]array) map[string]array {
	t.Helper()
	val := make(map[string]array)
	for name, x := range g.Tensors {
		a := newArray(x.Dims...)
		for i := range a.v {
			a.v[i] = x.Float(i)
		}
		val[name] = a
	}
	for name, x := range inputs {
		val[name] = x
	}
	for _, n := range g.Nodes {
		for i, out := range interpret(t, n, val) {
			val[n.Outputs[i]] = out
		}
	}
	if g.Types == nil {
		g.Types = make(map[string]ir.Type)
	}
	for name, x := range val {
		if _, ok := g.Types[name]; !ok {
			g.Types[name] = ir.Type{DType: ir.Float, Dims: x.dims, Known: true}
		}
	}
	return val
}

func interpret(t *testing.T, n *ir.Node, val map[string]array) []array {
	t.Helper()
	in := func(i int) array {
		a, ok := val[n.In(i)]
		if !ok {
			t.Fatalf("%s %q: input %d (%q) has no value", n.Op, n.Name, i, n.In(i))
		}
		return a
	}
	has := func(i int) bool { return n.In(i) != "" }
	ints := func(i int, attr string) []int {
		if a := n.Attrs.Ints(attr); a != nil {
			return a
		}
		if !has(i) {
			return nil
		}
		out := make([]int, len(in(i).v))
		for k, x := range in(i).v {
			out[k] = int(x)
		}
		return out
	}
	one := func(a array) []array { return []array{a} }
	unary := func(f func(float64) float64) []array {
		return one(build(in(0).dims, func(idx []int) float64 { return f(in(0).at(idx)) }))
	}
	binary := func(f func(a, b float64) float64) []array {
		a, b := in(0), in(1)
		return one(build(broadcast(a.dims, b.dims), func(idx []int) float64 { return f(a.at(idx), b.at(idx)) }))
	}
	switch n.Op {
	case "Add":
		return binary(func(a, b float64) float64 { return a + b })
	case "Sub":
		return binary(func(a, b float64) float64 { return a - b })
	case "Mul":
		return binary(func(a, b float64) float64 { return a * b })
	case "Div":
		return binary(func(a, b float64) float64 { return a / b })
	case "Pow":
		return binary(math.Pow)
	case "Erf":
		return unary(math.Erf)
	case "Tanh":
		return unary(math.Tanh)
	case "Relu":
		return unary(func(x float64) float64 { return math.Max(x, 0) })
	case "Sqrt":
		return unary(math.Sqrt)
	case "Reciprocal":
		return unary(func(x float64) float64 { return 1 / x })
	case "Sigmoid":
		return unary(func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })
	case "Softplus":
		return unary(func(x float64) float64 { return math.Log(1 + math.Exp(x)) })
	case "HardSigmoid":
		a, b := n.Attrs.Float("alpha", 0.2), n.Attrs.Float("beta", 0.5)
		return unary(func(x float64) float64 { return math.Max(0, math.Min(1, a*x+b)) })
	case "Clip":
		lo, hi := n.Attrs.Float("min", math.Inf(-1)), n.Attrs.Float("max", math.Inf(1))
		if has(1) {
			lo = in(1).v[0]
		}
		if has(2) {
			hi = in(2).v[0]
		}
		return unary(func(x float64) float64 { return math.Max(lo, math.Min(hi, x)) })
	case "Gelu":
		if n.Attrs.String("approximate", "none") == "tanh" {
			return unary(func(x float64) float64 {
				return x / 2 * (1 + math.Tanh(0.7978845608028654*(x+0.044715*math.Pow(x, 3))))
			})
		}
		return unary(func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) })
	case "Silu":
		return unary(func(x float64) float64 { return x / (1 + math.Exp(-x)) })
	case "HardSwish":
		return unary(func(x float64) float64 { return x * math.Max(0, math.Min(6, x+3)) / 6 })
	case "Mish":
		return unary(func(x float64) float64 { return x * math.Tanh(math.Log(1+math.Exp(x))) })
	case "Transpose":
		x, perm := in(0), n.Attrs.Ints("perm")
		dims := make([]int, len(perm))
		for i, p := range perm {
			dims[i] = x.dims[p]
		}
		return one(build(dims, func(idx []int) float64 {
			src := make([]int, len(idx))
			for i, p := range perm {
				src[p] = idx[i]
			}
			return x.at(src)
		}))
	case "Reshape":
		x, dims := in(0), ints(1, "shape")
		known, hole := 1, -1
		for i, d := range dims {
			if d == 0 {
				dims[i] = x.dims[i]
			}
			if d == -1 {
				hole = i
			} else {
				known *= dims[i]
			}
		}
		if hole >= 0 {
			dims[hole] = len(x.v) / known
		}
		return one(array{dims, x.v})
	case "Flatten":
		x := in(0)
		return one(array{[]int{x.dims[0], len(x.v) / x.dims[0]}, x.v})
	case "Squeeze":
		x, axes := in(0), ints(1, "axes")
		var dims []int
		for i, d := range x.dims {
			if !slices.Contains(axes, i) {
				dims = append(dims, d)
			}
		}
		return one(array{dims, x.v})
	case "Unsqueeze":
		x := in(0)
		dims := slices.Clone(x.dims)
		for _, a := range ints(1, "axes") {
			dims = slices.Insert(dims, a, 1)
		}
		return one(array{dims, x.v})
	case "Slice":
		x := in(0)
		starts, ends, axes, steps := ints(1, "starts"), ints(2, "ends"), ints(3, "axes"), ints(4, "steps")
		dims, from, by := slices.Clone(x.dims), make([]int, len(x.dims)), make([]int, len(x.dims))
		for i := range by {
			by[i] = 1
		}
		for i, a := range axes {
			if a < 0 {
				a += len(x.dims)
			}
			lo, hi, step := starts[i], min(ends[i], x.dims[a]), 1
			if lo < 0 {
				lo += x.dims[a]
			}
			if hi < 0 {
				hi += x.dims[a]
			}
			if steps != nil {
				step = steps[i]
			}
			from[a], by[a], dims[a] = lo, step, (hi-lo+step-1)/step
		}
		return one(build(dims, func(idx []int) float64 {
			src := make([]int, len(idx))
			for i := range idx {
				src[i] = from[i] + idx[i]*by[i]
			}
			return x.at(src)
		}))
	case "Split":
		x, axis := in(0), n.Attrs.Int("axis", 0)
		if axis < 0 {
			axis += len(x.dims)
		}
		var out []array
		part, start := x.dims[axis]/len(n.Outputs), 0
		for range n.Outputs {
			dims, s := slices.Clone(x.dims), start
			dims[axis] = part
			out = append(out, build(dims, func(idx []int) float64 {
				src := slices.Clone(idx)
				src[axis] += s
				return x.at(src)
			}))
			start += part
		}
		return out
	case "Gather":
		x, axis, i := in(0), n.Attrs.Int("axis", 0), int(in(1).v[0])
		dims := slices.Clone(x.dims)
		dims[axis] = 1
		y := build(dims, func(idx []int) float64 {
			src := slices.Clone(idx)
			src[axis] = i
			return x.at(src)
		})
		if len(in(1).dims) == 0 {
			y.dims = slices.Delete(y.dims, axis, axis+1)
		}
		return one(y)
	case "Softmax":
		x := in(0)
		k := x.dims[len(x.dims)-1]
		y := newArray(x.dims...)
		for r := 0; r < len(x.v); r += k {
			top, sum := slices.Max(x.v[r:r+k]), 0.0
			for i := r; i < r+k; i++ {
				y.v[i] = math.Exp(x.v[i] - top)
				sum += y.v[i]
			}
			for i := r; i < r+k; i++ {
				y.v[i] /= sum
			}
		}
		return one(y)
	case "ReduceMean":
		x := in(0)
		axes := ints(1, "axes")
		dims := slices.Clone(x.dims)
		count := 1.0
		for i, a := range axes {
			if a < 0 {
				axes[i] = a + len(dims)
			}
			count *= float64(dims[axes[i]])
			dims[axes[i]] = 1
		}
		y := newArray(dims...)
		each(x.dims, func(i int, idx []int) {
			off := 0
			for k, d := range dims {
				j := idx[k]
				if d == 1 {
					j = 0
				}
				off = off*d + j
			}
			y.v[off] += x.v[i] / count
		})
		if n.Attrs.Int("keepdims", 1) == 0 {
			y.dims = slices.DeleteFunc(slices.Clone(y.dims), func(d int) bool { return d == 1 })
		}
		return one(y)
	case "MatMul":
		return one(matMul(in(0), in(1)))
	case "Gemm", "Linear":
		x, w := in(0), in(1)
		if n.Attrs.Int("transB", 0)+n.Attrs.Int("transW", 0) == 1 {
			wt := w
			w = build([]int{wt.dims[1], wt.dims[0]}, func(idx []int) float64 { return wt.at([]int{idx[1], idx[0]}) })
		}
		y := matMul(x, w)
		if has(2) {
			z := y
			y = build(z.dims, func(idx []int) float64 {
				return n.Attrs.Float("alpha", 1)*z.at(idx) + n.Attrs.Float("beta", 1)*in(2).at(idx)
			})
		}
		return one(y)
	case "LayerNormalization":
		x := in(0)
		k := x.dims[len(x.dims)-1]
		y := newArray(x.dims...)
		for r := 0; r < len(x.v); r += k {
			var s, ss float64
			for _, v := range x.v[r : r+k] {
				s += v
			}
			for _, v := range x.v[r : r+k] {
				ss += (v - s/float64(k)) * (v - s/float64(k))
			}
			for i := range k {
				y.v[r+i] = (x.v[r+i] - s/float64(k)) / math.Sqrt(ss/float64(k)+n.Attrs.Float("epsilon", 1e-5)) * in(1).v[i]
				if has(2) {
					y.v[r+i] += in(2).v[i]
				}
			}
		}
		return one(y)
	case "BatchNormalization":
		x := in(0)
		return one(build(x.dims, func(idx []int) float64 {
			c := idx[1]
			return (x.at(idx)-in(3).v[c])/math.Sqrt(in(4).v[c]+n.Attrs.Float("epsilon", 1e-5))*in(1).v[c] + in(2).v[c]
		}))
	case "Conv":
		y := conv(n, in(0), in(1))
		return one(build(y.dims, func(idx []int) float64 {
			v := y.at(idx)
			if has(2) {
				v += in(2).v[idx[1]]
			}
			if has(3) {
				v *= in(3).v[idx[1]]
			}
			if has(4) {
				v += in(4).v[idx[1]]
			}
			return v
		}))
	case "Expand":
		return one(build(broadcast(in(0).dims, ints(1, "shape")), in(0).at))
	case "Concat":
		axis := n.Attrs.Int("axis", 0)
		if axis < 0 {
			axis += len(in(0).dims)
		}
		dims := slices.Clone(in(0).dims)
		dims[axis] = 0
		for i := range n.Inputs {
			dims[axis] += in(i).dims[axis]
		}
		return one(build(dims, func(idx []int) float64 {
			src, i := slices.Clone(idx), 0
			for src[axis] >= in(i).dims[axis] {
				src[axis] -= in(i).dims[axis]
				i++
			}
			return in(i).at(src)
		}))
	case "GlobalAveragePool":
		x := in(0)
		area := x.dims[2] * x.dims[3]
		y := newArray(x.dims[0], x.dims[1], 1, 1)
		for i, v := range x.v {
			y.v[i/area] += v / float64(area)
		}
		return one(y)
	case "MaxPool":
		x, k, st, pads := in(0), n.Attrs.Ints("kernel_shape"), n.Attrs.Ints("strides"), n.Attrs.Ints("pads")
		size := func(i int) int { return (x.dims[2+i]+pads[i]+pads[2+i]-k[i])/st[i] + 1 }
		return one(build([]int{x.dims[0], x.dims[1], size(0), size(1)}, func(idx []int) float64 {
			top := math.Inf(-1)
			for i := range k[0] {
				for j := range k[1] {
					h, w := idx[2]*st[0]-pads[0]+i, idx[3]*st[1]-pads[1]+j
					if h >= 0 && h < x.dims[2] && w >= 0 && w < x.dims[3] {
						top = math.Max(top, x.at([]int{idx[0], idx[1], h, w}))
					}
				}
			}
			return top
		}))
	case "Attention":
		return one(attend(n, in, has(3)))
	}
	t.Fatalf("the test interpreter does not know %s", n.Op)
	return nil
}

func matMul(a, b array) array {
	m, k, p := a.dims[len(a.dims)-2], a.dims[len(a.dims)-1], b.dims[len(b.dims)-1]
	dims := append(broadcast(a.dims[:len(a.dims)-2], b.dims[:len(b.dims)-2]), m, p)
	return build(dims, func(idx []int) float64 {
		s := 0.0
		ia, ib := slices.Clone(idx), slices.Clone(idx)
		for i := range k {
			ia[len(idx)-1], ib[len(idx)-2] = i, i
			s += a.at(ia) * b.at(ib)
		}
		return s
	})
}

func conv(n *ir.Node, x, w array) array {
	two := func(name string) []int {
		if v := n.Attrs.Ints(name); v != nil {
			return v
		}
		return []int{1, 1}
	}
	st, di, pads, group := two("strides"), two("dilations"), n.Attrs.Ints("pads"), n.Attrs.Int("group", 1)
	if pads == nil {
		pads = make([]int, 4)
	}
	if n.Attrs.String("auto_pad", "NOTSET") == "SAME_UPPER" {
		for i := range 2 {
			total := max(0, ((x.dims[2+i]-1)/st[i])*st[i]+(w.dims[2+i]-1)*di[i]+1-x.dims[2+i])
			pads[i], pads[2+i] = total/2, total-total/2
		}
	}
	size := func(i int) int {
		return (x.dims[2+i]+pads[i]+pads[2+i]-(w.dims[2+i]-1)*di[i]-1)/st[i] + 1
	}
	per, outPer := w.dims[1], w.dims[0]/group
	return build([]int{x.dims[0], w.dims[0], size(0), size(1)}, func(idx []int) float64 {
		s := 0.0
		for c := range per {
			for i := range w.dims[2] {
				for j := range w.dims[3] {
					h, q := idx[2]*st[0]-pads[0]+i*di[0], idx[3]*st[1]-pads[1]+j*di[1]
					if h >= 0 && h < x.dims[2] && q >= 0 && q < x.dims[3] {
						s += w.at([]int{idx[1], c, i, j}) * x.at([]int{idx[0], idx[1]/outPer*per + c, h, q})
					}
				}
			}
		}
		return s
	})
}

// attend follows the contract of ir.Attention word by word.
func attend(n *ir.Node, in func(int) array, mask bool) array {
	heads, tq, tk, d, dv := n.Attrs.Int("heads", 0), n.Attrs.Int("tq", 0), n.Attrs.Int("tk", 0), n.Attrs.Int("d", 0), n.Attrs.Int("dv", 0)
	read := func(i int, name string) func(b, h, t, c int) float64 {
		v := n.Attrs.Ints(name)
		x := in(i)
		return func(b, h, t, c int) float64 { return x.v[v[0]+b*v[1]+h*v[2]+t*v[3]+c*v[4]] }
	}
	q, k, v := read(0, "q_view"), read(1, "k_view"), read(2, "v_view")
	// The batch is what is left of q's source when heads, tokens and channels
	// are taken out; in these tests it is given.
	batch := n.Attrs.Int("test_batch", 2)
	out := newArray(batch, heads, tq, dv)
	for b := range batch {
		for h := range heads {
			for i := range tq {
				p := make([]float64, tk)
				for j := range tk {
					for c := range d {
						p[j] += q(b, h, i, c) * k(b, h, j, c)
					}
					p[j] *= n.Attrs.Float("scale", 1)
					if mask {
						p[j] += in(3).at([]int{b, h, i, j})
					}
				}
				top, sum := slices.Max(p), 0.0
				for j := range p {
					p[j] = math.Exp(p[j] - top)
					sum += p[j]
				}
				for c := range dv {
					s := 0.0
					for j := range p {
						s += p[j] / sum * v(b, h, j, c)
					}
					out.v[((b*heads+h)*tq+i)*dv+c] = s
				}
			}
		}
	}
	return out
}

// histogram counts a graph's operators.
func histogram(g *ir.Graph) map[string]int {
	h := make(map[string]int)
	for _, n := range g.Nodes {
		h[n.Op]++
	}
	return h
}

func describe(g *ir.Graph) string {
	s := ""
	for _, n := range g.Nodes {
		s += fmt.Sprintf("  %s %v -> %v %v\n", n.Op, n.Inputs, n.Outputs, n.Attrs)
	}
	return s
}
