// Package ir is the intermediate representation between an ONNX file and a
// gorgonia graph: nodes in topological order, one table of tensors, one table
// of types. Reading ([onnx.Open]), shape inference and folding (package eval)
// and fusion (package fuse) all work on it.
package ir

import "slices"

// DType is an ONNX element type, numbered as in TensorProto.DataType.
type DType int32

// The element types.
const (
	Undefined DType = 0
	Float     DType = 1
	Uint8     DType = 2
	Int8      DType = 3
	Uint16    DType = 4
	Int16     DType = 5
	Int32     DType = 6
	Int64     DType = 7
	String    DType = 8
	Bool      DType = 9
	Float16   DType = 10
	Double    DType = 11
	Uint32    DType = 12
	Uint64    DType = 13
	BFloat16  DType = 16
)

// Size is the number of bytes of one element, 0 for strings and undefined.
func (d DType) Size() int {
	switch d {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float, Int32, Uint32:
		return 4
	case Double, Int64, Uint64:
		return 8
	}
	return 0
}

var dtypeNames = map[DType]string{Undefined: "undefined", Float: "float32", Uint8: "uint8", Int8: "int8",
	Uint16: "uint16", Int16: "int16", Int32: "int32", Int64: "int64", String: "string", Bool: "bool",
	Float16: "float16", Double: "float64", Uint32: "uint32", Uint64: "uint64", BFloat16: "bfloat16"}

func (d DType) String() string {
	if s, ok := dtypeNames[d]; ok {
		return s
	}
	return "unknown"
}

// Type is what is known of a value. A dimension of −1 is unknown; Params keeps
// its name ("batch") where the file gives one. Dims is nil if even the rank is
// unknown; a scalar has Dims of length 0 and Known set.
type Type struct {
	DType  DType
	Dims   []int
	Params []string
	Known  bool
}

// Static reports whether every dimension is known.
func (t Type) Static() bool { return t.Known && !slices.Contains(t.Dims, -1) }

// Len is the number of elements of a static type.
func (t Type) Len() int {
	n := 1
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// Value is a named input or output of the graph.
type Value struct {
	Name string
	Type Type
}

// Node is one operation. Empty strings among Inputs are absent optional inputs.
// Its identity across plans of one model is its first output's name.
type Node struct {
	Op      string // ONNX op_type, or a fused operation: see package fuse
	Domain  string // "" is ai.onnx; "vislora" for fused operations
	Name    string // as in the file; may be empty
	Inputs  []string
	Outputs []string
	Attrs   Attrs
	// Subgraphs holds the branches of an If, by attribute name.
	Subgraphs map[string]*Graph
}

// In returns input i, or "" when there are fewer.
func (n *Node) In(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// Attrs holds attributes as int64, float32, string, []int64, []float32,
// []string or *Tensor.
type Attrs map[string]any

// Int returns an integer attribute or def.
func (a Attrs) Int(name string, def int) int {
	if v, ok := a[name].(int64); ok {
		return int(v)
	}
	return def
}

// Float returns a float attribute or def.
func (a Attrs) Float(name string, def float64) float64 {
	if v, ok := a[name].(float32); ok {
		return float64(v)
	}
	return def
}

// String returns a string attribute or def.
func (a Attrs) String(name, def string) string {
	if v, ok := a[name].(string); ok {
		return v
	}
	return def
}

// Ints returns a list of integers, nil when absent.
func (a Attrs) Ints(name string) []int {
	v, ok := a[name].([]int64)
	if !ok {
		return nil
	}
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = int(x)
	}
	return out
}

// Floats returns a list of floats, nil when absent.
func (a Attrs) Floats(name string) []float32 { v, _ := a[name].([]float32); return v }

// Tensor returns a tensor attribute, nil when absent.
func (a Attrs) Tensor(name string) *Tensor { v, _ := a[name].(*Tensor); return v }

// Has reports whether the attribute is present.
func (a Attrs) Has(name string) bool { _, ok := a[name]; return ok }

// Graph is a model's graph. A graph straight from a file has open types; a
// planned one (see onnx.Model.Plan) has a static type for every value, fused
// operations, and no node whose inputs are all constant but those that repeat a
// parameter (Expand, Tile): folding them would cut the tie to the file.
type Graph struct {
	Name    string
	Opset   int     // of the default domain
	Inputs  []Value // initializers that the file also lists as inputs are not here
	Outputs []Value
	Nodes   []*Node
	// Tensors holds initializers, lifted Constant nodes and folded results.
	Tensors map[string]*Tensor
	// Types holds what is known of every value, tensors included.
	Types map[string]Type
	// Rewritten lists, in a planned graph, the constants of the file that had to
	// change for its shapes, in the order of the nodes.
	Rewritten []Rewrite
}

// Rewrite is a constant that a node of the file reads and that planning put
// another one in the place of: the file wrote down a batch or a size of the
// picture that is not the plan's.
type Rewrite struct {
	Node   string // the node's first output
	Input  int
	Tensor *Tensor
}

// Producer maps every value to the node that makes it.
func (g *Graph) Producer() map[string]*Node {
	m := make(map[string]*Node)
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				m[o] = n
			}
		}
	}
	return m
}

// Consumers maps every value to the nodes that read it, in order; a node that
// reads it twice appears twice. Graph outputs are not counted.
func (g *Graph) Consumers() map[string][]*Node {
	m := make(map[string][]*Node)
	for _, n := range g.Nodes {
		for _, i := range n.Inputs {
			if i != "" {
				m[i] = append(m[i], n)
			}
		}
	}
	return m
}

// IsOutput reports whether a value is an output of the graph.
func (g *Graph) IsOutput(name string) bool {
	return slices.ContainsFunc(g.Outputs, func(v Value) bool { return v.Name == name })
}
