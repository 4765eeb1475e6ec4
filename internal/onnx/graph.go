package onnx

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// scope is the values that a graph can see: its own and those around it.
type scope struct {
	outer *scope
	made  map[string]string // value → what makes it, for messages
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.outer {
		if _, ok := s.made[name]; ok {
			return true
		}
	}
	return false
}

// make records that a value comes into being, once.
func (s *scope) make(name, by string) error {
	if !utf8.ValidString(name) {
		return formatf("%s: name %q is not UTF-8", by, name)
	}
	if old, ok := s.made[name]; ok {
		return formatf("value %q is made twice, by %s and by %s", name, old, by)
	}
	s.made[name] = by
	return nil
}

// graph converts a graph of the skeleton; outer is nil for the main graph.
func (m *Model) graph(gp *onnxpb.GraphProto, outer *scope) (*ir.Graph, error) {
	g := &ir.Graph{Name: gp.GetName(), Opset: m.opsets[""], Tensors: map[string]*ir.Tensor{}, Types: map[string]ir.Type{}}
	sc := &scope{outer: outer, made: map[string]string{}}
	if len(gp.SparseInitializer) > 0 {
		return nil, unsupportedf("sparse initializer %q", gp.SparseInitializer[0].GetValues().GetName())
	}
	if len(gp.Output) == 0 {
		return nil, formatf("the graph has no outputs")
	}
	for _, p := range gp.Initializer {
		if err := m.addInitializer(g, sc, p); err != nil {
			return nil, err
		}
	}
	if err := m.addInputs(g, sc, gp, outer == nil); err != nil {
		return nil, err
	}
	rest, err := m.liftConstants(g, sc, gp)
	if err != nil {
		return nil, err
	}
	nodes, err := decodeNodes(gp, rest)
	if err != nil {
		return nil, err
	}
	if err := m.addNodes(g, sc, rest, nodes); err != nil {
		return nil, err
	}
	if err := addOutputs(g, sc, gp, outer == nil); err != nil {
		return nil, err
	}
	for name, t := range g.Tensors {
		g.Types[name] = t.Type()
	}
	return g, nil
}

func (m *Model) addInitializer(g *ir.Graph, sc *scope, p *onnxpb.TensorProto) error {
	where := fmt.Sprintf("initializer %q", p.GetName())
	if p.GetName() == "" {
		return at(where, formatf("an initializer needs a name"))
	}
	t, err := m.tensor(p)
	if err != nil {
		return at(where, err)
	}
	if err := sc.make(t.Name, where); err != nil {
		return err
	}
	t.Origin = &ir.Origin{Name: t.Name, DType: t.DType, Dims: t.Dims}
	g.Tensors[t.Name] = t
	return nil
}

// addInputs takes the graph's inputs; one that is also an initializer is only
// its default (up to IR version 3 every initializer is listed) and stays a
// constant.
func (m *Model) addInputs(g *ir.Graph, sc *scope, gp *onnxpb.GraphProto, main bool) error {
	listed := map[string]bool{}
	for _, v := range gp.Input {
		name := v.GetName()
		where := fmt.Sprintf("input %q", name)
		t, err := valueType(v)
		if err != nil && main {
			return at(where, err)
		}
		if name == "" || listed[name] {
			return at(where, formatf("inputs need names that differ"))
		}
		listed[name] = true
		if _, ok := g.Tensors[name]; ok {
			continue
		}
		if err := sc.make(name, where); err != nil {
			return err
		}
		g.Inputs = append(g.Inputs, ir.Value{Name: name, Type: t})
		g.Types[name] = t
	}
	return nil
}

func addOutputs(g *ir.Graph, sc *scope, gp *onnxpb.GraphProto, main bool) error {
	for _, v := range gp.Output {
		name := v.GetName()
		where := fmt.Sprintf("output %q", name)
		t, err := valueType(v)
		if err != nil && main {
			return at(where, err)
		}
		if !sc.has(name) {
			return at(where, formatf("no node makes this value"))
		}
		if g.IsOutput(name) {
			return at(where, formatf("listed twice"))
		}
		g.Outputs = append(g.Outputs, ir.Value{Name: name, Type: t})
		if _, ok := g.Types[name]; !ok {
			g.Types[name] = t
		}
	}
	return nil
}

// valueType reads a declared type. −1 as a fixed dimension means unknown, as
// some exporters write it; any other negative number is an error.
func valueType(v *onnxpb.ValueInfoProto) (ir.Type, error) {
	tt := v.GetType().GetTensorType()
	if tt == nil {
		if v.GetType().GetValue() != nil {
			return ir.Type{}, unsupportedf("a value that is not a dense tensor (%s)", kindOf(v.GetType()))
		}
		return ir.Type{}, nil
	}
	t := ir.Type{DType: ir.DType(tt.GetElemType())}
	if t.DType != ir.Undefined {
		if err := checkDType(t.DType); err != nil {
			return ir.Type{}, err
		}
	}
	if tt.Shape == nil {
		return t, nil
	}
	if len(tt.Shape.Dim) > maxRank {
		return ir.Type{}, formatf("has %d dimensions, more than %d", len(tt.Shape.Dim), maxRank)
	}
	t.Known, t.Dims = true, make([]int, len(tt.Shape.Dim))
	var fixed []int64
	for i, d := range tt.Shape.Dim {
		dim := int64(-1)
		switch x := d.GetValue().(type) {
		case *onnxpb.TensorShapeProto_Dimension_DimValue:
			if dim = x.DimValue; dim < -1 {
				return ir.Type{}, formatf("dimension %d is %d", i, dim)
			}
		case *onnxpb.TensorShapeProto_Dimension_DimParam:
			if t.Params == nil {
				t.Params = make([]string, len(t.Dims))
			}
			t.Params[i] = x.DimParam
		}
		t.Dims[i] = int(dim)
		if dim >= 0 {
			fixed = append(fixed, dim)
		}
	}
	if _, ok := elements(fixed, maxValueElements); !ok {
		return ir.Type{}, formatf("dimensions %v multiply to more than %d elements", t.Dims, int64(maxValueElements))
	}
	return t, nil
}

func kindOf(t *onnxpb.TypeProto) string {
	switch t.GetValue().(type) {
	case *onnxpb.TypeProto_SequenceType:
		return "sequence"
	case *onnxpb.TypeProto_MapType:
		return "map"
	case *onnxpb.TypeProto_OptionalType:
		return "optional"
	case *onnxpb.TypeProto_SparseTensorType:
		return "sparse tensor"
	}
	return "unknown kind"
}

// labelOf names a node for messages: `"conv1" (Conv)`.
func labelOf(n *onnxpb.NodeProto) string {
	return fmt.Sprintf("%q (%s)", nodeLabel(n.GetName(), n.Output), n.GetOpType())
}

// checkNode checks what every node needs.
func checkNode(n *onnxpb.NodeProto) error {
	if n.GetOpType() == "" {
		return formatf("a node has no operator")
	}
	if nodeLabel("", n.Output) == "" {
		return formatf("a node has no output")
	}
	for _, s := range slices.Concat(n.Input, n.Output, []string{n.GetOpType(), n.GetName(), n.GetDomain()}) {
		if !utf8.ValidString(s) {
			return formatf("name %q is not UTF-8", s)
		}
	}
	seen := make(map[string]bool, len(n.Attribute))
	for _, a := range n.Attribute {
		name := a.GetName()
		switch {
		case !utf8.ValidString(name) || name == "":
			return formatf("attribute name %q is empty or not UTF-8", name)
		case seen[name]:
			return formatf("attribute %q is given twice", name)
		case a.GetRefAttrName() != "":
			return formatf("attribute %q refers to a function's, outside of a function", name)
		}
		seen[name] = true
		if err := settleType(a); err != nil {
			return at(attributeLabel(a), err)
		}
	}
	return nil
}

// addNodes joins what onnx-go gave with what only the file has, and sorts.
func (m *Model) addNodes(g *ir.Graph, sc *scope, protos []*onnxpb.NodeProto, nodes []collected) error {
	sorting := make([]links, len(protos))
	for i, p := range protos {
		needs := reads(p)
		for _, in := range needs {
			if in != "" && !sc.has(in) {
				return at("node "+labelOf(p), formatf("input %q is made by no node, and is neither an input nor an initializer", in))
			}
		}
		sorting[i] = links{label: labelOf(p), inputs: needs, outputs: p.Output}
	}
	order, err := topological(sorting)
	if err != nil {
		return err
	}
	for _, i := range order {
		n, err := m.node(sc, protos[i], nodes[i])
		if err != nil {
			return at("node "+labelOf(protos[i]), err)
		}
		g.Nodes = append(g.Nodes, n)
	}
	return nil
}

func (m *Model) node(sc *scope, p *onnxpb.NodeProto, c collected) (*ir.Node, error) {
	n := &ir.Node{Op: c.op, Domain: canonicalDomain(p.GetDomain()), Name: p.GetName(),
		Inputs: c.inputs, Outputs: c.outputs, Attrs: ir.Attrs{}}
	for k, v := range c.attrs {
		n.Attrs[k] = v
	}
	for _, a := range p.Attribute {
		switch a.GetType() {
		case onnxpb.AttributeProto_TENSOR:
			t, err := m.tensor(a.T)
			if err != nil {
				return nil, at(attributeLabel(a), err)
			}
			n.Attrs[a.GetName()] = t
		case onnxpb.AttributeProto_GRAPH:
			if n.Op != "If" || n.Domain != "" { // loops are not supported: no need to look inside
				continue
			}
			sub, err := m.graph(a.G, sc)
			if err != nil {
				return nil, at(attributeLabel(a), err)
			}
			if n.Subgraphs == nil {
				n.Subgraphs = map[string]*ir.Graph{}
			}
			n.Subgraphs[a.GetName()] = sub
		}
	}
	return n, nil
}

// freeVariables lists, in order of first use, the values that a subgraph takes
// from the graphs around it.
func freeVariables(gp *onnxpb.GraphProto) []string {
	own := map[string]bool{"": true}
	for _, p := range gp.GetInitializer() {
		own[p.GetName()] = true
	}
	for _, v := range gp.GetInput() {
		own[v.GetName()] = true
	}
	for _, n := range gp.GetNode() {
		for _, o := range n.Output {
			own[o] = true
		}
	}
	var free []string
	use := func(name string) {
		if !own[name] {
			own[name] = true
			free = append(free, name)
		}
	}
	for _, n := range gp.GetNode() {
		for _, in := range n.Input {
			use(in)
		}
		for _, a := range n.Attribute {
			for _, sub := range append(slices.Clone(a.Graphs), a.G) {
				for _, name := range freeVariables(sub) {
					use(name)
				}
			}
		}
	}
	for _, v := range gp.GetOutput() {
		use(v.GetName())
	}
	return free
}
