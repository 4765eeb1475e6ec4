package onnx

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// Editor changes a copy of the original file and writes it. What is not
// changed stays: names, opsets, dynamic dimensions, metadata, the order of
// nodes and initializers, and every byte of the initializers that were not
// touched (external data excepted, which moves into the file). The model must
// stay open until the last write.
type Editor struct {
	model *onnxpb.ModelProto
	// stored gives the contents of the initializers that are still the file's:
	// their protos hold none.
	stored    map[*onnxpb.TensorProto]source
	externals *externals
	// dead lists what nothing read in the file as it came.
	deadNodes   map[*onnxpb.NodeProto]bool
	deadTensors map[string]bool
}

// source is where an initializer's contents are in the file; renamed tells that
// it is a copy under another name.
type source struct {
	*blob
	renamed bool
}

// Edit starts editing a model.
func Edit(m *Model) (*Editor, error) {
	if m.data == nil {
		return nil, fmt.Errorf("edit %s: the model is closed", pathOr(m.Path))
	}
	e := &Editor{model: proto.Clone(m.proto).(*onnxpb.ModelProto), externals: &m.externals,
		stored: map[*onnxpb.TensorProto]source{}, deadNodes: map[*onnxpb.NodeProto]bool{}, deadTensors: map[string]bool{}}
	for _, p := range e.model.Graph.Initializer {
		e.stored[p] = source{blob: m.blobOf(p)}
		p.RawData = nil
	}
	var err error
	eachTensor(e.model.ProtoReflect(), func(p *onnxpb.TensorProto) {
		if e.stored[p].blob != nil || err != nil {
			return
		}
		var full *onnxpb.TensorProto
		if full, err = e.load(p, m.blobOf(p)); err == nil {
			proto.Reset(p)
			proto.Merge(p, full)
		}
	})
	if err != nil {
		return nil, inFile(m.Path, err)
	}
	nodes, tensors := e.live()
	for _, n := range e.model.Graph.Node {
		e.deadNodes[n] = !nodes[n]
	}
	for _, p := range e.model.Graph.Initializer {
		e.deadTensors[p.GetName()] = !tensors[p.GetName()]
	}
	return e, nil
}

// eachTensor calls f for every tensor inside a message.
func eachTensor(m protoreflect.Message, f func(*onnxpb.TensorProto)) {
	if p, ok := m.Interface().(*onnxpb.TensorProto); ok {
		f(p)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap() || !holdsTensors[fd.Message().Name()]:
		case fd.IsList():
			for i := range v.List().Len() {
				eachTensor(v.List().Get(i).Message(), f)
			}
		default:
			eachTensor(v.Message(), f)
		}
		return true
	})
}

// load decodes a tensor of the file with its contents; external data comes in.
func (e *Editor) load(p *onnxpb.TensorProto, b *blob) (*onnxpb.TensorProto, error) {
	full := &onnxpb.TensorProto{}
	if err := proto.Unmarshal(b.message, full); err != nil {
		return nil, formatf("tensor %q: %v", p.GetName(), err)
	}
	full.Name = p.Name
	if b.external {
		n, _ := elements(p.Dims, maxElements)
		raw, err := e.externals.tensor(p, ir.DType(p.GetDataType()), n)
		if err != nil {
			return nil, at(fmt.Sprintf("tensor %q", p.GetName()), err)
		}
		inline(full, raw)
	}
	return full, nil
}

// inline makes a tensor hold its contents itself.
func inline(p *onnxpb.TensorProto, raw []byte) {
	p.ExternalData, p.DataLocation, p.RawData = nil, nil, raw
}

func (e *Editor) initializer(name string) (*onnxpb.TensorProto, error) {
	for _, p := range e.model.Graph.Initializer {
		if p.GetName() == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("edit model: there is no initializer %q", name)
}

func (e *Editor) node(output string) (*onnxpb.NodeProto, error) {
	if output != "" {
		for _, n := range e.model.Graph.Node {
			if slices.Contains(n.Output, output) {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("edit model: no node makes %q", output)
}

// free makes sure that no value of the graph has the name.
func (e *Editor) free(name string) error {
	_, noInit := e.initializer(name)
	_, noNode := e.node(name)
	isInput := slices.ContainsFunc(e.model.Graph.Input, func(v *onnxpb.ValueInfoProto) bool { return v.GetName() == name })
	if name == "" || noInit == nil || noNode == nil || isInput {
		return fmt.Errorf("edit model: the name %q is empty or already taken", name)
	}
	return nil
}

// HasValue reports whether the name is taken by an input, an initializer or a
// node's output.
func (e *Editor) HasValue(name string) bool { return e.free(name) != nil }

// Use is one place where a value is read.
type Use struct {
	NodeOutput string // first output of the node
	Input      int    // which of its inputs
}

// Uses lists where the main graph's nodes read a value, in the file's order.
// A weight with more than one use is shared: clone it before changing one.
func (e *Editor) Uses(name string) []Use {
	var uses []Use
	for _, n := range e.model.Graph.Node {
		for i, in := range n.Input {
			if in == name && name != "" {
				uses = append(uses, Use{nodeLabel("", n.Output), i})
			}
		}
	}
	return uses
}

// CloneInitializer adds a copy of an initializer under a new name.
func (e *Editor) CloneInitializer(name, newName string) error {
	p, err := e.initializer(name)
	if err != nil {
		return err
	}
	if err := e.free(newName); err != nil {
		return err
	}
	c := proto.Clone(p).(*onnxpb.TensorProto)
	c.Name = proto.String(newName)
	if b := e.stored[p].blob; b != nil {
		e.stored[c] = source{blob: b, renamed: true}
	}
	e.addInitializer(c)
	return nil
}

// AppendInitializer adds a tensor, stored as raw_data (strings as
// string_data).
func (e *Editor) AppendInitializer(t *ir.Tensor) error {
	if err := e.free(t.Name); err != nil {
		return err
	}
	if want := t.Len() * t.DType.Size(); t.DType != ir.String && len(t.Raw) != want {
		return fmt.Errorf("edit model: initializer %q: %v of %v need %d bytes, there are %d", t.Name, t.Dims, t.DType, want, len(t.Raw))
	}
	e.addInitializer(tensorProto(t))
	return nil
}

func tensorProto(t *ir.Tensor) *onnxpb.TensorProto {
	p := onnxpb.NewTensor(t.Name, int32(t.DType), t.Dims, t.Raw)
	if t.DType == ir.String {
		p.RawData = nil
		for _, s := range t.Strings {
			p.StringData = append(p.StringData, []byte(s))
		}
	}
	return p
}

// addInitializer appends; before IR version 4 initializers are inputs too.
func (e *Editor) addInitializer(p *onnxpb.TensorProto) {
	g := e.model.Graph
	g.Initializer = append(g.Initializer, p)
	if e.model.GetIrVersion() >= 4 {
		return
	}
	dims := make([]int, len(p.Dims))
	for i, d := range p.Dims {
		dims[i] = int(d)
	}
	g.Input = append(g.Input, onnxpb.NewValueInfo(p.GetName(), p.GetDataType(), dims, nil))
}

// RedirectInput makes input number i of the node that makes nodeOutput read
// another value.
func (e *Editor) RedirectInput(nodeOutput string, i int, newName string) error {
	n, err := e.node(nodeOutput)
	if err != nil {
		return err
	}
	if i < 0 || i >= len(n.Input) {
		return fmt.Errorf("edit model: node %s has %d inputs, there is no input %d", labelOf(n), len(n.Input), i)
	}
	n.Input[i] = newName
	return nil
}

// AppendNode adds a node. Nodes are put in order when the model is written, so
// it may make what an earlier node reads. Attribute values are those of
// [ir.Attrs]; subgraphs cannot be added.
func (e *Editor) AppendNode(n *ir.Node) error {
	p := &onnxpb.NodeProto{OpType: proto.String(n.Op), Input: slices.Clone(n.Inputs), Output: slices.Clone(n.Outputs)}
	if n.Name != "" {
		p.Name = proto.String(n.Name)
	}
	if n.Domain != "" {
		p.Domain = proto.String(n.Domain)
	}
	if len(n.Subgraphs) > 0 {
		return fmt.Errorf("edit model: node %s: subgraphs cannot be added", labelOf(p))
	}
	for _, o := range n.Outputs {
		if err := e.free(o); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(n.Attrs)) {
		v := n.Attrs[k]
		if t, ok := v.(*ir.Tensor); ok {
			v = tensorProto(t)
		}
		a, err := onnxpb.NewAttribute(k, v)
		if err != nil {
			return fmt.Errorf("edit model: node %s: %w", labelOf(p), err)
		}
		p.Attribute = append(p.Attribute, a)
	}
	e.model.Graph.Node = append(e.model.Graph.Node, p)
	return nil
}

// RemoveNode takes out the node that makes a value, for instance to make room
// for another of the same name.
func (e *Editor) RemoveNode(output string) error {
	n, err := e.node(output)
	if err != nil {
		return err
	}
	g := e.model.Graph
	g.Node = slices.DeleteFunc(g.Node, func(x *onnxpb.NodeProto) bool { return x == n })
	return nil
}

// SetOutput puts another value in the place of a graph output. To keep the
// name, give it again with the new type.
func (e *Editor) SetOutput(old string, v ir.Value) error {
	for i, o := range e.model.Graph.Output {
		if o.GetName() == old {
			e.model.Graph.Output[i] = onnxpb.NewValueInfo(v.Name, int32(v.Type.DType), v.Type.Dims, v.Type.Params)
			return nil
		}
	}
	return fmt.Errorf("edit model: there is no output %q", old)
}

// SetMetadata sets an entry of metadata_props.
func (e *Editor) SetMetadata(key, value string) {
	for _, kv := range e.model.MetadataProps {
		if kv.GetKey() == key {
			kv.Value = proto.String(value)
			return
		}
	}
	e.model.MetadataProps = append(e.model.MetadataProps,
		&onnxpb.StringStringEntryProto{Key: proto.String(key), Value: proto.String(value)})
}
