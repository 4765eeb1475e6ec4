package eval

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// inferrer walks a graph once.
type inferrer struct {
	g *ir.Graph
	o Options
	// base holds the shapes of a first walk with the file's own batch, if it
	// fixes one and another is asked for.
	base map[string][]int
	// respaced is set where that walk had another height or width.
	respaced bool
	// shapes has the static shape of every value ever seen, removed ones too.
	shapes map[string][]int
	// alias leads from a removed value to the one that replaces it.
	alias map[string]string
	// opened tells, for values whose shape depends on the data, which node
	// made it so; "" for values behind an error already recorded.
	opened map[string]string
	names  map[string]bool // every name in use
	read   map[string]bool // values that something reads
	nodes  []*ir.Node      // what is left of the graph
	bytes  int             // folded so far

	missing []UnsupportedOp
	first   error
}

func (inf *inferrer) run(inputs [][]int) error {
	g := inf.g
	inf.shapes, inf.alias, inf.opened, inf.names = map[string][]int{}, map[string]string{}, map[string]string{}, map[string]bool{}
	g.Types = map[string]ir.Type{}
	for i := range g.Inputs {
		v := &g.Inputs[i]
		v.Type = static(asFloat(v.Type.DType), inputs[i]...)
		inf.setType(v.Name, v.Type)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Tensors)) {
		t := g.Tensors[name]
		if err := checkConstant(name, t); err != nil {
			return err
		}
		inf.setType(name, t.Type())
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			inf.names[o] = true
		}
	}
	inf.read = map[string]bool{}
	inf.markRead(g)
	inf.walk(g.Nodes)
	if len(inf.missing) > 0 {
		return &UnsupportedError{inf.missing}
	}
	if inf.first != nil {
		return inf.first
	}
	g.Nodes = inf.nodes
	inf.nameOutputs()
	Prune(g)
	for i := range g.Outputs {
		g.Outputs[i].Type = g.Types[g.Outputs[i].Name]
	}
	return nil
}

// checkConstant checks that a tensor has as many bytes as its shape says.
func checkConstant(name string, t *ir.Tensor) (err error) {
	c := &call{n: &ir.Node{Op: "Constant", Name: name}, in: []arg{{ok: true, t: t}}}
	defer c.rescue(&err)
	c.checkTensor(0, t)
	return nil
}

// markRead notes what the nodes and outputs of a graph read.
func (inf *inferrer) markRead(g *ir.Graph) {
	for _, n := range g.Nodes {
		for _, name := range reads(n) {
			inf.read[name] = true
		}
	}
	for _, o := range g.Outputs {
		inf.read[o.Name] = true
	}
}

func (inf *inferrer) setType(name string, t ir.Type) {
	inf.g.Types[name] = t
	inf.names[name] = true
	if t.Static() {
		inf.shapes[name] = t.Dims
	}
}

// asFloat is the element type in which activations run.
func asFloat(t ir.DType) ir.DType {
	if isFloat(t) {
		return ir.Float
	}
	return t
}

func (inf *inferrer) resolve(name string) string {
	if to, ok := inf.alias[name]; ok {
		return to
	}
	return name
}

func (inf *inferrer) walk(nodes []*ir.Node) {
	for _, n := range nodes {
		for i, name := range n.Inputs {
			n.Inputs[i] = inf.resolve(name)
		}
		if err := inf.node(n); err != nil {
			inf.giveUp(n, err)
		}
	}
}

// giveUp records an error and goes on, so that all unknown operators are found.
func (inf *inferrer) giveUp(n *ir.Node, err error) {
	var missing *UnsupportedError
	if errors.As(err, &missing) {
		inf.missing = append(inf.missing, missing.Ops...)
	} else if inf.first == nil {
		inf.first = err
	}
	inf.open(n, "")
}

// open marks the outputs of a node as of unknown shape.
func (inf *inferrer) open(n *ir.Node, source string) {
	for i, o := range n.Outputs {
		if o != "" {
			inf.g.Types[o] = ir.Type{DType: inf.guessDType(n, i)}
			inf.opened[o] = source
		}
	}
}

func (inf *inferrer) node(n *ir.Node) error {
	g := inf.g
	if !Supported(n.Op, n.Domain, g.Opset) {
		return &UnsupportedError{[]UnsupportedOp{{n.Op, n.Domain, n.Name, g.Opset}}}
	}
	args := make([]arg, len(n.Inputs))
	constant, known := true, true
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		t, ok := g.Types[name]
		if !ok {
			return fmt.Errorf("%s: %s: input %q is made by no node before it", describe(n), n.Op, name)
		}
		args[i] = arg{ok: true, typ: t, t: g.Tensors[name]}
		constant = constant && args[i].t != nil
		known = known && t.Static()
	}
	if n.Op == "If" {
		return inf.inline(n, args)
	}
	if constant && !repeatsParameter(n, args) || known && slices.Contains([]string{"Shape", "Size", "EyeLike"}, n.Op) {
		err := inf.fold(n, args)
		var limit *limitError
		if err == nil || !inf.o.KeepLarge || !errors.As(err, &limit) {
			return err
		}
	}
	if inf.removable(n, args) {
		inf.replace(n.Outputs[0], n.Inputs[0])
		return nil
	}
	args = args[:len(n.Inputs)] // a CastLike has become a Cast
	if known && inf.base != nil {
		if err := inf.rebatch(n, args); err != nil {
			return err
		}
	}
	inf.nodes = append(inf.nodes, n)
	if !known {
		return inf.unknown(n, args)
	}
	types, needs, err := inf.outputTypes(n, args)
	if err != nil {
		return err
	}
	if needs >= 0 {
		inf.open(n, fmt.Sprintf("%s (%s), whose input %q is computed from the data", describe(n), n.Op, n.In(needs)))
		return nil
	}
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		t := types[i]
		t.DType = asFloat(t.DType)
		if inf.setType(o, t); !t.Static() {
			inf.opened[o] = fmt.Sprintf("%s (%s)", describe(n), n.Op)
		}
	}
	return nil
}

// repeatsParameter reports whether a node repeats a parameter of the file, as
// class tokens are repeated over the batch. Folding it would cut the tie to the
// parameter, and write out what broadcasting says for free.
func repeatsParameter(n *ir.Node, args []arg) bool {
	if n.Op != "Expand" && n.Op != "Tile" || len(args) == 0 {
		return false
	}
	t := args[0].t
	return t != nil && t.Origin != nil && isFloat(t.DType) && t.Len() > 1
}

// outputTypes runs a node's shape function. needs is the input whose contents
// it would have to know, or −1.
func (inf *inferrer) outputTypes(n *ir.Node, args []arg) (types []ir.Type, needs int, err error) {
	op, _ := lookup(n.Op, n.Domain, inf.g.Opset)
	c := &call{n: n, opset: inf.g.Opset, in: slices.Clone(args)}
	needs = -1
	defer c.rescue(&err)
	defer func() {
		if r := recover(); r != nil {
			d, ok := r.(dynamism)
			if !ok {
				panic(r)
			}
			needs = d.input
		}
	}()
	return c.outputTypes(op), -1, nil
}

// unknown handles a node that reads a value of unknown shape.
func (inf *inferrer) unknown(n *ir.Node, args []arg) error {
	source := ""
	for i, a := range args {
		if !a.ok || a.typ.Static() {
			continue
		}
		if source = inf.opened[n.Inputs[i]]; source != "" && needsShape[n.Op] {
			return &DynamicError{Node: nodeName(n), Op: n.Op, Value: n.Inputs[i], Source: source}
		}
		break
	}
	inf.open(n, source)
	return nil
}

// needsShape lists the operators that only run planned, never on the host.
var needsShape = map[string]bool{"Conv": true, "ConvTranspose": true, "MaxPool": true, "AveragePool": true,
	"GlobalAveragePool": true, "GlobalMaxPool": true, "BatchNormalization": true, "InstanceNormalization": true,
	"GroupNormalization": true}

func nodeName(n *ir.Node) string {
	if n.Name == "" && len(n.Outputs) > 0 {
		return n.Outputs[0]
	}
	return n.Name
}

// guessDType is the element type of an output of unknown shape.
func (inf *inferrer) guessDType(n *ir.Node, output int) ir.DType {
	in := func(i int) ir.DType { return asFloat(inf.g.Types[n.In(i)].DType) }
	switch n.Op {
	case "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf":
		return ir.Bool
	case "Shape", "Size", "NonZero", "ArgMax", "ArgMin", "NonMaxSuppression":
		return ir.Int64
	case "TopK", "Unique", "MaxPool":
		if output > 0 {
			return ir.Int64
		}
	case "Cast":
		return asFloat(ir.DType(n.Attrs.Int("to", 0)))
	case "CastLike", "Where":
		return in(1)
	case "OneHot":
		return in(2)
	case "ConstantOfShape":
		if v := n.Attrs.Tensor("value"); v != nil {
			return asFloat(v.DType)
		}
		return ir.Float
	case "DequantizeLinear":
		return ir.Float
	}
	return in(0)
}
