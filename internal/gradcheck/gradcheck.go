// Package gradcheck compares the gradients of operators with central finite
// differences in float64, and native kernels with portable ones.
package gradcheck

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Leaf is an input of the operator under test.
type Leaf struct {
	Shape []int
	// Frozen leaves have no gradient.
	Frozen bool
	// Integers makes an I64 leaf of these values.
	Integers []int64
	// Positive draws from [0.5, 1.5] instead of [−1, 1].
	Positive bool
	// Apart keeps values away from 0 by 0.05, for functions with a kink there.
	Apart bool
}

// Case is one operator with its inputs.
type Case struct {
	Name   string
	Leaves []Leaf
	Build  func(g *ops.Graph, in []*ops.Node) *ops.Node
	// Tolerance is the largest accepted difference between gradient and finite
	// difference, relative to the gradient's largest value. Default 1e-6.
	Tolerance float64
	// Native is the tolerance of native float32 against portable float64,
	// relative to the range. Default 1e-4.
	Native float64
}

// Dot is Σ x∘r, the scalar that gradients are taken of.
func Dot(g *ops.Graph, x, r *ops.Node) *ops.Node {
	return g.Apply(ops.Spec{
		Name: "dot", In: []*ops.Node{x, r}, Out: []int{}, Diff: []bool{true, false},
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return dot[float64](e), nil
			}
			return dot[float32](e), nil
		},
		Grad: func(in []*ops.Node, _, dy *ops.Node) []*ops.Node {
			return []*ops.Node{g.Apply(ops.Spec{Name: "dot.dx", In: []*ops.Node{dy, in[1]}, Out: ops.Shape(in[0]), Bind: func(e *ops.Env) (kernels.Run, error) {
				if e.Out.Storage == buffer.F64 {
					return scale[float64](e), nil
				}
				return scale[float32](e), nil
			}}), nil}
		},
	})
}

func dot[T buffer.Float](e *ops.Env) kernels.Run {
	x, r, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.Out)
	return func() {
		var s float64
		for i := range x {
			s += float64(x[i]) * float64(r[i])
		}
		y[0] = T(s)
	}
}

func scale[T buffer.Float](e *ops.Env) kernels.Run {
	dy, r, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.Out)
	return func() {
		for i := range y {
			y[i] = dy[0] * r[i]
		}
	}
}

// built is a case as a program on one kernel set.
type built struct {
	g      *ops.Graph
	leaves []*ops.Node
	mem    map[*ops.Node]*buffer.Buffer
	y, c   *ops.Node
	grads  []*ops.Node // per leaf, nil when frozen
	exec   *vm.Executor
}

func build(c Case, dt tensor.Dtype, k kernels.Kernels, values [][]float64, weights []float64) (b *built, err error) {
	defer ops.Recover(&err)
	b = &built{g: ops.NewGraph(dt), mem: map[*ops.Node]*buffer.Buffer{}}
	for i, l := range c.Leaves {
		kind := buffer.F32
		if l.Integers != nil {
			kind = buffer.I64
		}
		n := b.g.Input(fmt.Sprintf("leaf%d", i), kind, !l.Frozen && l.Integers == nil, l.Shape...)
		b.leaves = append(b.leaves, n)
		b.mem[n] = load(buffer.New(b.g.Kind(n), l.Shape...), values[i])
		b.mem[n].Frozen = l.Frozen
	}
	b.y = c.Build(b.g, b.leaves)
	r := b.g.Input("dot_weights", buffer.F32, false, ops.Shape(b.y)...)
	b.mem[r] = load(buffer.New(b.g.Kind(r), ops.Shape(b.y)...), weights)
	b.c = Dot(b.g, b.y, r)
	var wrt gorgonia.Nodes
	for i, n := range b.leaves {
		if b.g.Needs(n) {
			wrt = append(wrt, b.leaves[i])
		}
	}
	roots := []*ops.Node{b.c, b.y}
	b.grads = make([]*ops.Node, len(b.leaves))
	if len(wrt) > 0 && b.g.Needs(b.c) {
		gs, err := gorgonia.Grad(b.c, wrt...)
		if err != nil {
			return nil, err
		}
		for i, j := 0, 0; i < len(b.leaves); i++ {
			if b.g.Needs(b.leaves[i]) {
				b.grads[i] = gs[j]
				roots = append(roots, gs[j])
				j++
			}
		}
	}
	p, err := vm.Compile(b.g, roots...)
	if err != nil {
		return nil, err
	}
	b.exec, err = vm.NewExecutor(p, vm.Binding{Kernels: k, Inputs: b.mem})
	return b, err
}

func load(b *buffer.Buffer, v []float64) *buffer.Buffer {
	for i, x := range v {
		switch b.Storage {
		case buffer.F32:
			b.F32()[i] = float32(x)
		case buffer.F64:
			b.F64()[i] = x
		case buffer.I64:
			b.I64()[i] = int64(x)
		}
	}
	return b
}

// Read returns a buffer's values as float64.
func Read(b *buffer.Buffer) []float64 {
	out := make([]float64, b.Len())
	for i := range out {
		switch b.Storage {
		case buffer.F32:
			out[i] = float64(b.F32()[i])
		case buffer.F64:
			out[i] = b.F64()[i]
		}
	}
	return out
}

func (c Case) draw() (values [][]float64) {
	rng := rand.New(rand.NewPCG(7, uint64(len(c.Name))))
	for _, l := range c.Leaves {
		n := 1
		for _, d := range l.Shape {
			n *= d
		}
		v := make([]float64, n)
		for i := range v {
			x := 2*rng.Float64() - 1
			switch {
			case l.Integers != nil:
				x = float64(l.Integers[i])
			case l.Positive:
				x = 1 + x/2
			case l.Apart:
				x += math.Copysign(0.05, x)
			}
			v[i] = x
		}
		values = append(values, v)
	}
	return values
}

// Run checks a case: portable gradients against central differences in
// float64, and, when native is not nil, native float32 outputs and gradients
// against portable float64. It reports the two worst errors.
func Run(t *testing.T, c Case, native kernels.Kernels) (fd, nat float64) {
	t.Helper()
	if c.Tolerance == 0 {
		c.Tolerance = 1e-6
	}
	if c.Native == 0 {
		c.Native = 1e-4
	}
	values := c.draw()
	probe, err := build(c, tensor.Float64, kernels.Go{}, values, nil)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	weights := make([]float64, probe.exec.Value(probe.y).Len())
	for i := range weights {
		weights[i] = 2*rng.Float64() - 1
	}
	b, err := build(c, tensor.Float64, kernels.Go{}, values, weights)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	defer b.exec.Close()
	if err := b.exec.RunAll(); err != nil {
		t.Fatal(err)
	}
	var grads [][]float64
	for _, g := range b.grads {
		if g == nil {
			grads = append(grads, nil)
			continue
		}
		grads = append(grads, Read(b.exec.Value(g)))
	}
	y := Read(b.exec.Value(b.y))
	const h = 6e-6 // near the cube root of the float64 epsilon
	for i, g := range grads {
		if g == nil {
			continue
		}
		mem := b.mem[b.leaves[i]].F64()
		big := 1e-3
		for _, x := range g {
			big = max(big, math.Abs(x))
		}
		for j := range mem {
			x := mem[j]
			mem[j] = x + h
			_ = b.exec.RunAll()
			up := b.exec.Value(b.c).F64()[0]
			mem[j] = x - h
			_ = b.exec.RunAll()
			down := b.exec.Value(b.c).F64()[0]
			mem[j] = x
			want := (up - down) / (2 * h)
			e := math.Abs(g[j]-want) / big
			fd = max(fd, e)
			if !(e <= c.Tolerance) {
				t.Errorf("%s: gradient of input %d at %d is %.9g, finite difference %.9g (relative error %.2g > %.2g)", c.Name, i, j, g[j], want, e, c.Tolerance)
				return fd, nat
			}
		}
	}
	if native == nil {
		return fd, nat
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n, err := build(c, tensor.Float32, native, values, weights)
	if err != nil {
		t.Fatalf("%s: native: %v", c.Name, err)
	}
	defer n.exec.Close()
	for range 2 { // twice: packed and cached state must not change the answer
		if err := n.exec.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	nat = RangeError(Read(n.exec.Value(n.y)), y)
	for i, g := range n.grads {
		if g != nil {
			nat = max(nat, RangeError(Read(n.exec.Value(g)), grads[i]))
		}
	}
	if !(nat <= c.Native) {
		t.Errorf("%s: native float32 is off by %.2g of the range, more than %.2g", c.Name, nat, c.Native)
	}
	return fd, nat
}

// RangeError is the largest difference relative to want's range (its largest
// absolute value).
func RangeError(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	big, diff := 0.0, 0.0
	for i := range want {
		big = max(big, math.Abs(want[i]))
		d := math.Abs(got[i] - want[i])
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		diff = max(diff, d)
	}
	if big == 0 {
		return diff
	}
	return diff / big
}
