package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnxpb"
)

// Limits on what calls of functions may grow to, since functions that call
// functions grow exponentially.
const (
	maxCallDepth     = 24
	maxInlinedBytes  = 32 << 20 // encoded
	inlinedNodeBytes = 100      // counted for every node beside its encoding
)

type functionKey struct{ domain, name string }

// inliner replaces calls of the file's own functions (torch's dynamo exporter
// writes every module as one) by the nodes of their bodies.
type inliner struct {
	functions map[functionKey]*onnxpb.FunctionProto
	calls     int // made so far: values inside a body are named after it
	left      int // bytes that bodies may still take
}

// inlineFunctions expands all calls in the skeleton, so that the graph and the
// editor see plain operators. A file without calls is left alone.
func (m *Model) inlineFunctions() error {
	if len(m.proto.Functions) == 0 {
		return nil
	}
	in := &inliner{functions: map[functionKey]*onnxpb.FunctionProto{}, left: maxInlinedBytes}
	for _, f := range m.proto.Functions {
		k := functionKey{canonicalDomain(f.GetDomain()), f.GetName()}
		if in.functions[k] != nil {
			return unsupportedf("overloads of function %q", f.GetName())
		}
		in.functions[k] = f
	}
	nodes, err := in.expand(m.proto.Graph.Node, 0)
	if err != nil {
		return err
	}
	if in.calls == 0 {
		return nil
	}
	m.proto.Graph.Node = nodes
	for _, f := range m.proto.Functions {
		for _, o := range f.OpsetImport {
			if err := m.importOpset(f.GetName(), o); err != nil {
				return err
			}
		}
	}
	m.proto.Functions = nil
	return nil
}

// importOpset takes over what a body imports; nodes of two opsets of one
// domain cannot be told apart afterwards.
func (m *Model) importOpset(function string, o *onnxpb.OperatorSetIdProto) error {
	for _, have := range m.proto.OpsetImport {
		if canonicalDomain(have.GetDomain()) != canonicalDomain(o.GetDomain()) {
			continue
		}
		if have.GetVersion() != o.GetVersion() {
			return unsupportedf("function %q is of opset %d of domain %q, the model of %d", function, o.GetVersion(), o.GetDomain(), have.GetVersion())
		}
		return nil
	}
	m.proto.OpsetImport = append(m.proto.OpsetImport, o)
	return nil
}

// expand returns the nodes with every call replaced, subgraphs included.
func (in *inliner) expand(nodes []*onnxpb.NodeProto, depth int) ([]*onnxpb.NodeProto, error) {
	var out []*onnxpb.NodeProto
	for _, n := range nodes {
		for _, a := range n.Attribute {
			if a.G == nil {
				continue
			}
			inner, err := in.expand(a.G.Node, depth)
			if err != nil {
				return nil, err
			}
			a.G.Node = inner
		}
		f := in.functions[functionKey{canonicalDomain(n.GetDomain()), n.GetOpType()}]
		if f == nil {
			out = append(out, n)
			continue
		}
		if depth == maxCallDepth {
			return nil, formatf("calls of function %q are nested deeper than %d: does it call itself?", f.GetName(), maxCallDepth)
		}
		body, err := in.call(n, f)
		if err != nil {
			return nil, at("node "+labelOf(n), err)
		}
		if body, err = in.expand(body, depth+1); err != nil {
			return nil, err
		}
		out = append(out, body...)
	}
	return out, nil
}

// call copies a body for one call: formal inputs and outputs become the
// call's, inner values get names of their own, and attribute references the
// call's attributes or the function's defaults.
func (in *inliner) call(n *onnxpb.NodeProto, f *onnxpb.FunctionProto) ([]*onnxpb.NodeProto, error) {
	if len(n.Input) > len(f.Input) || len(n.Output) > len(f.Output) {
		return nil, formatf("function %q takes %d inputs and gives %d outputs, the call has %d and %d",
			f.GetName(), len(f.Input), len(f.Output), len(n.Input), len(n.Output))
	}
	in.calls++
	b := &binding{prefix: fmt.Sprintf("%s.%d/", f.GetName(), in.calls), values: map[string]string{"": ""}, attrs: map[string]*onnxpb.AttributeProto{}}
	for _, a := range f.AttributeProto {
		b.attrs[a.GetName()] = a
	}
	for _, a := range n.Attribute {
		b.attrs[a.GetName()] = a
	}
	var body []*onnxpb.NodeProto
	for i, name := range f.Input {
		b.values[name] = ""
		if i < len(n.Input) {
			b.values[name] = n.Input[i]
		}
	}
	for i, name := range f.Output {
		if i >= len(n.Output) || n.Output[i] == "" {
			continue
		}
		if source, taken := b.values[name]; taken { // an input handed through, or one value twice
			body = append(body, &onnxpb.NodeProto{OpType: proto.String("Identity"), Input: []string{source}, Output: []string{n.Output[i]}})
			continue
		}
		b.values[name] = n.Output[i]
	}
	for _, inner := range f.Node {
		if in.left -= proto.Size(inner) + inlinedNodeBytes; in.left < 0 {
			return nil, formatf("the calls of functions grow to more than %d MB", maxInlinedBytes>>20)
		}
		body = append(body, b.node(inner))
	}
	return body, nil
}

// binding is what the names of a body mean in one call.
type binding struct {
	prefix string
	values map[string]string
	attrs  map[string]*onnxpb.AttributeProto
}

func (b *binding) value(name string) string {
	v, ok := b.values[name]
	if !ok {
		v = b.prefix + name
		b.values[name] = v
	}
	return v
}

func (b *binding) node(n *onnxpb.NodeProto) *onnxpb.NodeProto {
	c := &onnxpb.NodeProto{OpType: n.OpType, Domain: n.Domain}
	if n.GetName() != "" {
		c.Name = proto.String(b.prefix + n.GetName())
	}
	for _, v := range n.Input {
		c.Input = append(c.Input, b.value(v))
	}
	for _, v := range n.Output {
		c.Output = append(c.Output, b.value(v))
	}
	for _, a := range n.Attribute {
		source := a
		if ref := a.GetRefAttrName(); ref != "" {
			if source = b.attrs[ref]; source == nil {
				continue // not given: the operator's default
			}
		}
		x := proto.Clone(source).(*onnxpb.AttributeProto)
		x.Name = a.Name
		if a.G != nil {
			b.graph(x.G)
		}
		c.Attribute = append(c.Attribute, x)
	}
	return c
}

// graph renames inside a copied subgraph, which sees the body's values.
func (b *binding) graph(g *onnxpb.GraphProto) {
	for i, n := range g.Node {
		g.Node[i] = b.node(n)
	}
	for _, p := range g.Initializer {
		p.Name = proto.String(b.value(p.GetName()))
	}
	for _, v := range append(g.Input[:len(g.Input):len(g.Input)], g.Output...) {
		v.Name = proto.String(b.value(v.GetName()))
	}
	g.ValueInfo = nil
}
