package build

import (
	"fmt"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// Param is a named tensor of the network. Its memory stays where it is; all
// executors of a run share it.
type Param struct {
	// Name is the planned tensor's name for the base model's own parameters,
	// "<path>.lora_A.weight" and so on for adapters, "head.weight" for a head.
	Name  string
	Dims  []int
	Value *buffer.Buffer
	// Trainable parameters have gradients.
	Trainable bool
}

// Data is the parameter's memory.
func (p *Param) Data() []float32 { return p.Value.F32() }

// Adapter is what is put on one site.
type Adapter struct {
	Site Site
	// Rank is r; Scaling is s, alpha/r or alpha/√r.
	Rank    int
	Scaling float64
	Dropout float64
	// DoRA adds a magnitude per output channel; Bias a bias on B.
	DoRA, Bias bool
	// DenseA marks PEFT's own grouped convolutions, whose A reads all channels.
	DenseA bool
	// Delta replaces A and B by a full update of the kernel (depthwise layers).
	Delta bool
}

// AdapterParam names a parameter of an adapter as PEFT does.
func AdapterParam(path, part string) string { return path + "." + part }

// The parts of an adapter.
const (
	PartA         = "lora_A.weight"
	PartB         = "lora_B.weight"
	PartBiasB     = "lora_B.bias"
	PartMagnitude = "lora_magnitude_vector"
	PartDelta     = "lora_delta.weight"
)

// Net is a network that can be built for any batch size: the planned graphs of
// one model, its parameters, and the adapters on it.
type Net struct {
	// plan returns the model planned for a batch size.
	plan     func(batch int) (*ir.Graph, error)
	params   map[string]*Param
	order    []string
	adapters map[string]*Adapter // by Site.Output
	// derived holds the memory of frozen base tensors and of what was folded
	// from them, by name: one for all programs, so packed forms are shared.
	derived map[string]*buffer.Buffer
}

// NewNet returns a network whose parameters are all frozen.
func NewNet(plan func(batch int) (*ir.Graph, error)) *Net {
	return &Net{plan: plan, params: map[string]*Param{}, adapters: map[string]*Adapter{}, derived: map[string]*buffer.Buffer{}}
}

// Adapt puts an adapter on a site. Its parameters must have been added with
// [Net.AddParam] under their [AdapterParam] names before the network is built.
func (n *Net) Adapt(a *Adapter) { n.adapters[a.Site.Output] = a }

// AddParam adds a parameter with its own memory, outside the Go heap.
func (n *Net) AddParam(name string, data []float32, trainable bool, dims ...int) (*Param, error) {
	if n.params[name] != nil {
		return nil, fmt.Errorf("build: two parameters are named %q", name)
	}
	arena, err := buffer.NewArena(4 * len(data))
	if err != nil {
		return nil, err
	}
	b := arena.At(0, buffer.F32, dims...)
	if b.Len() != len(data) {
		return nil, fmt.Errorf("build: parameter %q has %d values for shape %v", name, len(data), dims)
	}
	copy(b.F32(), data)
	b.Frozen = !trainable
	p := &Param{Name: name, Dims: dims, Value: b, Trainable: trainable}
	n.params[name] = p
	n.order = append(n.order, name)
	return p, nil
}

// Unfreeze makes a tensor of the base model trainable: it gets memory of its
// own, so the file's stays as it was.
func (n *Net) Unfreeze(t *ir.Tensor, name string) (*Param, error) {
	if p := n.params[name]; p != nil {
		return p, nil
	}
	return n.AddParam(name, t.Float32s(), true, t.Dims...)
}

// Param returns a parameter by name, nil if there is none.
func (n *Net) Param(name string) *Param { return n.params[name] }

// Trainable returns the trainable parameters in the order they were added.
func (n *Net) Trainable() []*Param {
	var out []*Param
	for _, name := range n.order {
		if p := n.params[name]; p.Trainable {
			out = append(out, p)
		}
	}
	return out
}

// Count returns the number of trainable values.
func (n *Net) Count() int {
	c := 0
	for _, p := range n.Trainable() {
		c += len(p.Data())
	}
	return c
}

// Graph is the network as an expression graph for one batch size.
type Graph struct {
	*ops.Graph
	Batch int
	// IR is the planned graph it was made from.
	IR *ir.Graph
	// Inputs are the model's inputs by name. The picture input is always
	// (N, H, W, C), whatever the file's layout.
	Inputs map[string]*ops.Node
	// Keys (N, int64) identify the images for dropout; nil without dropout.
	Keys *ops.Node
	// Leaves maps parameter names to their leaves.
	Leaves map[string]*ops.Node
	// Memory is what the leaves are bound to; inputs are added by the caller.
	Memory map[*ops.Node]*buffer.Buffer
	// Tail are the nodes, in order, whose shapes depend on what is in the
	// picture (behind NonMaxSuppression and the like): see [Runner].
	Tail []*ir.Node
	// Hosted are the nodes of the program that run on the host evaluator and
	// cut a gradient that floats would have.
	Hosted    []*ir.Node
	net       *Net
	vals      map[string]val
	late      map[string]bool // values of the tail
	producers map[string]*ir.Node
}

// Leaf returns a parameter's leaf, adding it to the graph on first use.
func (g *Graph) Leaf(name string) *ops.Node {
	if l := g.Leaves[name]; l != nil {
		return l
	}
	p := g.net.params[name]
	if p == nil {
		ops.Fail("build: no parameter %q", name)
	}
	return g.leaf(name, p.Value, p.Trainable, p.Dims)
}

func (g *Graph) leaf(name string, mem *buffer.Buffer, trainable bool, dims []int) *ops.Node {
	if len(dims) == 0 {
		dims = []int{1}
	}
	l := g.Input(name, buffer.F32, trainable, dims...)
	g.Leaves[name] = l
	g.Memory[l] = mem.Reshape(dims...)
	if g.Storage() == buffer.F64 { // gradient checks only
		wide := buffer.New(buffer.F64, dims...)
		for i, v := range mem.F32() {
			wide.F64()[i] = float64(v)
		}
		wide.Frozen = mem.Frozen
		g.Memory[l] = wide
	}
	return l
}
