package ops

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Graph builds an expression graph out of vislora's operators and keeps what
// gorgonia has no place for: which nodes need a gradient, and storages.
//
// Its methods report impossible shapes by panicking with an error; [Recover]
// turns that into an error where building ends (vision/build does). That keeps
// code that reads like the paper free of a check per line.
type Graph struct {
	X     *gorgonia.ExprGraph
	Dtype tensor.Dtype
	needs map[*Node]bool
	kinds map[*Node]buffer.Storage
	names map[string]bool
	// Known is the float32 memory of a frozen leaf whose values are there when the
	// graph is built, nil for others; it may be nil.
	Known func(n *Node) *buffer.Buffer
}

// NewGraph returns an empty graph of the float type dt (tensor.Float32, or
// tensor.Float64 to check gradients).
func NewGraph(dt tensor.Dtype) *Graph {
	return &Graph{X: gorgonia.NewGraph(), Dtype: dt, needs: map[*Node]bool{}, kinds: map[*Node]buffer.Storage{}, names: map[string]bool{}}
}

// Recover turns the panic of a Graph method into an error. Anything else goes
// on panicking.
func Recover(err *error) {
	switch r := recover().(type) {
	case nil:
	case buildError:
		*err = r.error
	default:
		panic(r)
	}
}

type buildError struct{ error }

// Fail stops building with an error.
func Fail(format string, args ...any) { panic(buildError{fmt.Errorf(format, args...)}) }

// Storage is the storage of the graph's floats.
func (g *Graph) Storage() buffer.Storage {
	if g.Dtype == tensor.Float64 {
		return buffer.F64
	}
	return buffer.F32
}

// storageOf maps the zero value, "float", to the graph's float storage.
func (g *Graph) storageOf(kind buffer.Storage) buffer.Storage {
	if kind == buffer.F32 {
		return g.Storage()
	}
	return kind
}

// Input adds a leaf. Kind F32 means the graph's float type. A leaf that trains
// has a gradient. Names are unique: gorgonia merges equal leaves.
func (g *Graph) Input(name string, kind buffer.Storage, train bool, shape ...int) *Node {
	if g.names[name] {
		Fail("ops: two leaves are named %q", name)
	}
	g.names[name] = true
	n := gorgonia.NewTensor(g.X, g.Dtype, len(shape), gorgonia.WithShape(slices.Clone(shape)...), gorgonia.WithName(name))
	g.needs[n] = train
	g.kinds[n] = g.storageOf(kind)
	return n
}

// Needs reports whether something that trains lies behind n.
func (g *Graph) Needs(n *Node) bool { return n != nil && g.needs[n] }

// known is the memory of a node whose value is there already, or nil.
func (g *Graph) known(n *Node) *buffer.Buffer {
	if n == nil || g.Known == nil {
		return nil
	}
	return g.Known(n)
}

// Kind is the storage of a node's value.
func (g *Graph) Kind(n *Node) buffer.Storage {
	if k, ok := g.kinds[n]; ok {
		return k
	}
	return g.Storage()
}

// Apply adds an operator to the graph.
func (g *Graph) Apply(s Spec) *Node {
	o := &Op{Spec: s, id: ids.Add(1), g: g, needs: make([]bool, len(s.In))}
	any := false
	for i, n := range s.In {
		o.shapes = append(o.shapes, n.Shape().Clone())
		o.needs[i] = s.Diff != nil && s.Diff[i] && g.needs[n]
		any = any || o.needs[i]
	}
	if any && s.Grad == nil {
		Fail("ops: %s has no gradient", s.Name)
	}
	n, err := gorgonia.ApplyOp(o, s.In...)
	if err != nil {
		Fail("ops: %s: %v", s.Name, err)
	}
	g.needs[n] = any
	g.kinds[n] = g.storageOf(s.Kind)
	return n
}

// Shape is a node's shape as a plain slice.
func Shape(n *Node) []int { return n.Shape() }

// rows is the product of all dimensions but the last.
func rows(n *Node) int {
	s := n.Shape()
	r := 1
	for _, d := range s[:len(s)-1] {
		r *= d
	}
	return r
}

func last(n *Node) int { s := n.Shape(); return s[len(s)-1] }

func withLast(n *Node, d int) []int {
	s := slices.Clone([]int(n.Shape()))
	s[len(s)-1] = d
	return s
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
