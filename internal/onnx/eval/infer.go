package eval

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Options say for which input shapes a graph is planned, and how far constants
// may be folded.
type Options struct {
	// Inputs gives the dimensions of graph inputs by name. An input that is not
	// listed takes the file's, with Batch for its leading dimension.
	Inputs map[string][]int
	// Batch, if positive, is the leading dimension of the inputs that Inputs
	// does not list: of those where the file leaves it open, and of those where
	// it fixes it to the same batch as for the first input.
	Batch int
	// KeepLarge leaves a node on constants in the graph where folding it would
	// pass a limit. Without it that is an error.
	KeepLarge bool
	// MaxElements bounds a folded tensor, MaxBytes all of them together; the
	// defaults are 2^26 and 2^32.
	MaxElements int
	MaxBytes    int
}

const (
	defaultMaxElements = 1 << 26
	defaultMaxBytes    = 1 << 32
	maxFoldWork        = 1 << 33 // multiply-adds of one folded node
)

// Infer gives every value of a graph a static type for the given input shapes,
// folds what is constant and removes what does nothing. It changes the graph:
// pass a [Clone], which shares the tensors with the original.
//
// Afterwards:
//   - Types has every value. A value whose shape depends on the contents of an
//     image (behind NonZero, NonMaxSuppression and the like) has Known false.
//   - A node whose inputs are all constant, and Shape and Size of a static
//     value, have become Tensors. Identity, Cast, Transpose and the operators
//     that only reshape keep the tensor's Origin. Expand and Tile of a
//     parameter stay nodes, so that the parameter can be trained.
//   - An If whose condition is constant is replaced by its branch. Identity,
//     Dropout and casts between floating point types are gone: their consumers
//     read their input, and where they made an output of the graph, the node
//     that makes their input now has that name.
//   - Values of float16, bfloat16 and float64 that are not constant are float32:
//     such models run in float32.
//   - No node or tensor is left that the outputs do not need.
//
// If the file fixes the batch and another is asked for, shapes in which the file
// wrote its batch down (of Reshape, Expand, Resize, and constants that are
// concatenated) get the new one wherever it is plain which dimension is the
// batch; elsewhere the error says so.
//
// It returns an [UnsupportedError] listing every node with an unknown operator,
// a [DynamicError] where a convolution, pooling, normalisation or resizing gets
// a shape that depends on the data, and otherwise an error that names the first
// node that does not fit. The graph is then unusable.
func Infer(g *ir.Graph, o Options) (err error) {
	defer func() {
		if r := recover(); r != nil { // last defence: every check above this should have caught it
			err = fmt.Errorf("infer shapes: malformed graph: %v", r)
		}
	}()
	if o.MaxElements <= 0 {
		o.MaxElements = defaultMaxElements
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	inputs, fixed, err := bindInputs(g, o)
	if err != nil {
		return err
	}
	Prune(g)
	if err := sortNodes(g, nil); err != nil {
		return err
	}
	inf := &inferrer{g: g, o: o}
	if fixed != nil {
		first := &inferrer{g: Clone(g), o: o}
		if err := first.run(fixed); err != nil {
			return err
		}
		inf.base = first.shapes
	}
	return inf.run(inputs)
}

// bindInputs settles the shape of every input, in order. If a batch that the
// file fixes is to change, fixed holds the shapes with the file's batch.
func bindInputs(g *ir.Graph, o Options) (shapes, fixed [][]int, err error) {
	for name := range o.Inputs {
		if !slices.ContainsFunc(g.Inputs, func(v ir.Value) bool { return v.Name == name }) {
			return nil, nil, fmt.Errorf("infer shapes: the graph has no input %q", name)
		}
	}
	old, batch := -1, -1 // the file's leading dimension, and the one asked for
	for i, v := range g.Inputs {
		dims, given := o.Inputs[v.Name]
		switch {
		case given && v.Type.Known && len(dims) != len(v.Type.Dims):
			return nil, nil, fmt.Errorf("infer shapes: input %q has rank %d, not the %d of %s", v.Name, len(v.Type.Dims), len(dims), shapeString(dims))
		case !given && !v.Type.Known:
			return nil, nil, fmt.Errorf("infer shapes: input %q has no shape in the file: give one", v.Name)
		case !given:
			dims = slices.Clone(v.Type.Dims)
			if len(dims) > 0 && o.Batch > 0 && (dims[0] == -1 || i == 0 || dims[0] == old) {
				dims[0] = o.Batch
			}
		}
		for a, d := range dims {
			if d == -1 {
				return nil, nil, fmt.Errorf("infer shapes: input %q %s: dimension %d%s is open in the file: give its size", v.Name, shapeString(dims), a, paramName(v.Type, a))
			}
			if d < 1 || d > math.MaxInt32 {
				return nil, nil, fmt.Errorf("infer shapes: input %q %s: dimension %d is %d, must be positive", v.Name, shapeString(dims), a, d)
			}
		}
		if len(dims) > 0 && v.Type.Known && (i == 0 || old < 0) {
			old, batch = v.Type.Dims[0], dims[0]
		}
		shapes = append(shapes, slices.Clone(dims))
	}
	if old <= 0 || old == batch {
		return shapes, nil, nil
	}
	for i, dims := range shapes {
		dims = slices.Clone(dims)
		if t := g.Inputs[i].Type; len(dims) > 0 && dims[0] == batch && (!t.Known || t.Dims[0] == old || t.Dims[0] == -1) {
			dims[0] = old
		}
		fixed = append(fixed, dims)
	}
	return shapes, fixed, nil
}

func paramName(t ir.Type, axis int) string {
	if axis < len(t.Params) && t.Params[axis] != "" {
		return " (" + t.Params[axis] + ")"
	}
	return ""
}

// inferrer walks a graph once.
type inferrer struct {
	g *ir.Graph
	o Options
	// base holds the shapes of a first walk with the file's own batch, if it
	// fixes one and another is asked for.
	base map[string][]int
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
	for name, t := range g.Tensors {
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
	"GroupNormalization": true, "Resize": true, "Upsample": true}

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

// removable reports whether a node on data only passes its first input on. A
// cast that stays is rewritten to the element type that activations have.
func (inf *inferrer) removable(n *ir.Node, args []arg) bool {
	if len(args) == 0 || !args[0].ok || args[0].t != nil || len(n.Outputs) == 0 || n.Outputs[0] == "" {
		return false
	}
	switch n.Op {
	case "Identity":
		return true
	case "Dropout":
		training := len(args) > 2 && args[2].ok && (args[2].t == nil || args[2].t.Len() != 1 || args[2].t.Int(0) != 0)
		mask := len(n.Outputs) > 1 && inf.read[n.Outputs[1]]
		return !training && !mask
	case "CastLike":
		if len(args) < 2 || !args[1].ok {
			return false
		}
		n.Op, n.Inputs, n.Attrs = "Cast", n.Inputs[:1], ir.Attrs{"to": int64(args[1].typ.DType)}
		fallthrough
	case "Cast":
		to := asFloat(ir.DType(n.Attrs.Int("to", 0)))
		if n.Attrs = maps.Clone(n.Attrs); n.Attrs == nil {
			n.Attrs = ir.Attrs{}
		}
		n.Attrs["to"] = int64(to)
		return to == args[0].typ.DType
	}
	return false
}

// replace lets the readers of a value read another.
func (inf *inferrer) replace(name, by string) {
	inf.alias[name] = by
	if s, ok := inf.shapes[by]; ok {
		inf.shapes[name] = s
	}
	inf.g.Types[name] = inf.g.Types[by]
}

// nameOutputs gives the graph's outputs their names back where the node that
// made them was removed.
func (inf *inferrer) nameOutputs() {
	g := inf.g
	taken := map[string]bool{}
	for _, v := range g.Inputs {
		taken[v.Name] = true
	}
	for _, v := range g.Outputs {
		if inf.resolve(v.Name) == v.Name {
			taken[v.Name] = true
		}
	}
	renamed := map[string]string{}
	for _, v := range g.Outputs {
		from := inf.resolve(v.Name)
		if from == v.Name {
			continue
		}
		t := g.Types[from]
		g.Types[v.Name] = t
		switch to := renamed[from]; {
		case g.Tensors[from] != nil:
			c := *g.Tensors[from]
			c.Name = v.Name
			g.Tensors[v.Name] = &c
		case taken[from]:
			inf.copyOutput(from, v.Name)
		case to != "":
			inf.copyOutput(to, v.Name)
		default:
			renamed[from] = v.Name
		}
	}
	for _, n := range g.Nodes {
		for _, list := range [][]string{n.Inputs, n.Outputs} {
			for i, name := range list {
				if to := renamed[name]; to != "" {
					list[i] = to
				}
			}
		}
	}
}

func (inf *inferrer) copyOutput(from, to string) {
	inf.g.Nodes = append(inf.g.Nodes, &ir.Node{Op: "Identity", Inputs: []string{from}, Outputs: []string{to}, Attrs: ir.Attrs{}})
}
