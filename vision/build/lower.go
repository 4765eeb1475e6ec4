package build

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"gorgonia.org/tensor"
)

// Options say what to build.
type Options struct {
	Batch int
	// Float64 builds for gradient checks with the portable kernels.
	Float64 bool
	// Training switches dropout on.
	Training bool
	// Until lists the values that are wanted; nothing behind them is built. Nil
	// means the graph's outputs.
	Until []string
}

// Build makes the expression graph.
//
// It refuses graphs that no machine could run, so that a hostile file costs an
// error and not memory: more than [MaxNodes] nodes, a value of more than
// [MaxElements] elements.
func (n *Net) Build(o Options) (g *Graph, err error) {
	defer func() { // last defence: every check before this should have caught it
		if r := recover(); r != nil {
			err = fmt.Errorf("build: %w: %v", ErrInternal, r)
		}
	}()
	defer ops.Recover(&err)
	plan, err := n.plan(o.Batch)
	if err != nil {
		return nil, err
	}
	dt := tensor.Float32
	if o.Float64 {
		dt = tensor.Float64
	}
	g = &Graph{Graph: ops.NewGraph(dt), Batch: o.Batch, IR: plan, Inputs: map[string]*ops.Node{}, Leaves: map[string]*ops.Node{},
		Memory: map[*ops.Node]*buffer.Buffer{}, net: n, vals: map[string]val{}, late: map[string]bool{}}
	g.Known = g.frozenMemory
	until := o.Until
	if until == nil {
		for _, v := range plan.Outputs {
			until = append(until, v.Name)
		}
	}
	for _, in := range plan.Inputs {
		g.addInput(in)
	}
	if o.Training && n.hasDropout() {
		g.Keys = g.Input("image_keys", buffer.I64, false, o.Batch)
	}
	wanted, err := needed(plan, until)
	if err != nil {
		return nil, err
	}
	if err := g.unsupported(wanted); err != nil {
		return nil, err
	}
	if err := g.tooLarge(wanted); err != nil {
		return nil, err
	}
	for _, node := range wanted {
		if g.isLate(node) {
			g.Tail = append(g.Tail, node)
			for _, out := range node.Outputs {
				g.late[out] = true
			}
			continue
		}
		g.lowerNode(node)
	}
	return g, nil
}

// isLate reports whether a node belongs to the tail: a shape that the data
// decide, an empty tensor, strings.
func (g *Graph) isLate(n *ir.Node) bool {
	late := func(name string) bool {
		t, ok := g.IR.Types[name]
		return ok && name != "" && (!t.Static() || t.Len() == 0 || t.DType == ir.String)
	}
	return slices.ContainsFunc(n.Outputs, late) || slices.ContainsFunc(n.Inputs, func(name string) bool {
		return g.late[name] || g.IR.Tensors[name] == nil && late(name)
	})
}

func (n *Net) hasDropout() bool {
	for _, a := range n.adapters {
		if a.Dropout > 0 {
			return true
		}
	}
	return false
}

// addInput adds a leaf for a model input. A float input of four axes is a
// picture and is given channels-last.
func (g *Graph) addInput(in ir.Value) {
	t := g.IR.Types[in.Name]
	kind := kindOf(t.DType)
	perm := identity(len(t.Dims))
	if kind == buffer.F32 && len(t.Dims) == 4 && (t.Dims[1] <= 4 || t.Dims[3] > 4) {
		perm = channelsLast
	}
	shape := make([]int, len(perm))
	for j, p := range perm {
		shape[j] = t.Dims[p]
	}
	if len(shape) == 0 {
		shape = []int{1}
	}
	leaf := g.Input(in.Name, kind, false, shape...)
	g.Inputs[in.Name] = leaf
	g.vals[in.Name] = val{leaf, slices.Clone(t.Dims), perm}
}

// kindOf is the storage of an element type: floats are the graph's own, all
// others are carried as int64.
func kindOf(d ir.DType) buffer.Storage {
	switch d {
	case ir.Float, ir.Float16, ir.BFloat16, ir.Double:
		return buffer.F32
	}
	return buffer.I64
}

// needed returns, in order, the nodes that the values depend on.
func needed(plan *ir.Graph, values []string) ([]*ir.Node, error) {
	producer := plan.Producer()
	seen := map[*ir.Node]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		p := producer[name]
		if p == nil {
			if _, ok := plan.Types[name]; !ok && name != "" {
				return fmt.Errorf("build: the model has no value %q", name)
			}
			return nil
		}
		if seen[p] {
			return nil
		}
		seen[p] = true
		for _, in := range p.Inputs {
			if err := visit(in); err != nil {
				return err
			}
		}
		return nil
	}
	for _, v := range values {
		if err := visit(v); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(plan.Nodes), func(n *ir.Node) bool { return !seen[n] }), nil
}

// unsupported names every operator that neither has a graph operator nor can be
// run by the host evaluator, all at once.
func (g *Graph) unsupported(nodes []*ir.Node) error {
	var missing []eval.UnsupportedOp
	for _, n := range nodes {
		if lowerings[n.Op] == nil && !eval.Supported(n.Op, n.Domain, g.IR.Opset) {
			missing = append(missing, eval.UnsupportedOp{Op: n.Op, Domain: n.Domain, Node: nodeName(n), Opset: g.IR.Opset})
		}
	}
	if missing != nil {
		return &eval.UnsupportedError{Ops: missing}
	}
	return nil
}

// Limits on a graph: gorgonia's own work grows with the square of the nodes.
const (
	MaxNodes    = 20000
	MaxElements = 1 << 30
)

// ErrInternal marks an error that is vislora's fault, not the file's.
var ErrInternal = errors.New("internal error")

// tooLarge checks the limits before anything is made.
func (g *Graph) tooLarge(nodes []*ir.Node) error {
	if len(nodes) > MaxNodes {
		return fmt.Errorf("build: the model has %d nodes after folding, more than the limit of %d", len(nodes), MaxNodes)
	}
	for _, n := range nodes {
		for _, out := range n.Outputs {
			if t := g.IR.Types[out]; t.Static() && t.Len() > MaxElements {
				return fmt.Errorf("build: node %s (%s) makes %d values %v, more than the limit of %d", nodeName(n), n.Op, t.Len(), t.Dims, MaxElements)
			}
		}
	}
	return nil
}

func nodeName(n *ir.Node) string {
	if n.Name != "" {
		return n.Name
	}
	return n.Outputs[0]
}

// lowering adds the operators of one node.
type lowering func(g *Graph, n *ir.Node)

var lowerings map[string]lowering

func (g *Graph) lowerNode(n *ir.Node) {
	f := lowerings[n.Op]
	if f == nil || !g.floats(n) && !anyInput[n.Op] {
		f = (*Graph).host
	}
	defer func() { // say which node a shape error is about
		if r := recover(); r != nil {
			var err error
			func() {
				defer ops.Recover(&err)
				panic(r)
			}()
			ops.Fail("node %s (%s): %w", nodeName(n), n.Op, err)
		}
	}()
	f(g, n)
}

// anyInput lists the lowerings whose first input is no float tensor.
var anyInput = map[string]bool{"Where": true, "DequantizeLinear": true}

// floats reports whether the node's first input and output are float tensors;
// integer arithmetic is left to the host evaluator.
func (g *Graph) floats(n *ir.Node) bool {
	return kindOf(g.IR.Types[n.Outputs[0]].DType) == buffer.F32 && kindOf(g.IR.Types[n.In(0)].DType) == buffer.F32
}

// Value returns a value in logical (ONNX) order.
func (g *Graph) Value(name string) (node *ops.Node, err error) {
	defer ops.Recover(&err)
	return g.nat(g.val(name)), nil
}

// Map returns a four-dimensional value channels-last: (N, H, W, C).
func (g *Graph) Map(name string) (node *ops.Node, err error) {
	defer ops.Recover(&err)
	v := g.val(name)
	if len(v.dims) != 4 {
		return nil, fmt.Errorf("build: %s has shape %v, not (N, C, H, W)", name, v.dims)
	}
	return g.as(v, channelsLast), nil
}

// val is a value made by a node, an input, or a constant.
func (g *Graph) val(name string) val {
	if v, ok := g.vals[name]; ok {
		return v
	}
	if g.late[name] {
		ops.Fail("build: the shape of %q depends on the data: it can be predicted, not trained on", name)
	}
	t := g.IR.Tensors[name]
	if t == nil {
		ops.Fail("build: the value %q is not there", name)
	}
	if kindOf(t.DType) != buffer.F32 {
		leaf := g.Input(name, buffer.I64, false, atLeastOne(t.Dims)...)
		mem := buffer.New(buffer.I64, atLeastOne(t.Dims)...)
		copy(mem.I64(), t.Int64s())
		mem.Frozen = true
		g.Memory[leaf] = mem
		v := val{leaf, slices.Clone(t.Dims), identity(len(t.Dims))}
		g.vals[name] = v
		return v
	}
	v := val{g.constant(name), slices.Clone(t.Dims), identity(len(t.Dims))}
	if len(t.Dims) == 0 {
		v.dims, v.perm = []int{1}, []int{0}
	}
	g.vals[name] = v
	return v
}

func atLeastOne(dims []int) []int {
	if len(dims) == 0 {
		return []int{1}
	}
	return dims
}

// constant is the leaf of a tensor of the base model: a parameter if it was
// unfrozen, the file's own memory otherwise.
func (g *Graph) constant(name string) *ops.Node {
	if l := g.Leaves[name]; l != nil {
		return l
	}
	if g.net.params[name] != nil {
		return g.Leaf(name)
	}
	mem := g.net.frozen(name, g.IR.Tensors[name])
	return g.leaf(name, mem, false, atLeastOne(g.IR.Tensors[name].Dims))
}

// frozen is the memory of a base tensor, one per network so that packed forms
// are shared by all programs.
func (n *Net) frozen(name string, t *ir.Tensor) *buffer.Buffer {
	if b := n.derived[name]; b != nil {
		return b
	}
	b := buffer.Of(t.Float32s(), atLeastOne(t.Dims)...)
	b.Frozen = true
	n.derived[name] = b
	return b
}

// trainable reports whether a base tensor was unfrozen.
func (g *Graph) trainable(name string) bool {
	p := g.net.params[name]
	return p != nil && p.Trainable
}

// scalar returns the value of a frozen constant with one element.
func (g *Graph) scalar(name string) (float64, bool) {
	t := g.IR.Tensors[name]
	if t == nil || t.Len() != 1 || g.trainable(name) {
		return 0, false
	}
	return t.Float(0), true
}

// set records a node's first output, checking its shape against the plan.
func (g *Graph) set(n *ir.Node, v val) { g.setOutput(n, 0, v) }

func (g *Graph) setOutput(n *ir.Node, i int, v val) {
	if i >= len(n.Outputs) || n.Outputs[i] == "" {
		return
	}
	want := atLeastOne(g.IR.Types[n.Outputs[i]].Dims)
	if !slices.Equal(want, v.dims) {
		ops.Fail("build: %s is %v by shape inference and %v in the graph", n.Outputs[i], want, v.dims)
	}
	g.vals[n.Outputs[i]] = v
}

// dims is the static shape of an output.
func (g *Graph) dims(n *ir.Node) []int { return atLeastOne(g.IR.Types[n.Outputs[0]].Dims) }

// axis resolves a possibly negative axis.
func axis(a, rank int) int {
	if a < 0 {
		a += rank
	}
	if a < 0 || a >= rank {
		ops.Fail("build: axis %d of a tensor with %d axes", a, rank)
	}
	return a
}
