package onnx

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// liftConstants checks all nodes, moves the Constant nodes into the tensors,
// and returns the others.
func (m *Model) liftConstants(g *ir.Graph, sc *scope, gp *onnxpb.GraphProto) ([]*onnxpb.NodeProto, error) {
	var rest []*onnxpb.NodeProto
	for _, n := range gp.Node {
		where := "node " + labelOf(n)
		if err := checkNode(n); err != nil {
			return nil, at(where, err)
		}
		for _, o := range n.Output {
			if o == "" {
				continue
			}
			if err := sc.make(o, where); err != nil {
				return nil, err
			}
		}
		if !isConstant(n) {
			rest = append(rest, n)
			continue
		}
		t, err := m.constant(n)
		if err != nil {
			return nil, at(where, err)
		}
		t.Name = n.Output[0]
		t.Origin = &ir.Origin{Name: t.Name, Constant: true, DType: t.DType, Dims: t.Dims}
		g.Tensors[t.Name] = t
	}
	return rest, nil
}

func isConstant(n *onnxpb.NodeProto) bool {
	return n.GetOpType() == "Constant" && canonicalDomain(n.GetDomain()) == ""
}

// constant makes the tensor of a Constant node from whichever of its value
// attributes is given.
func (m *Model) constant(n *onnxpb.NodeProto) (*ir.Tensor, error) {
	if len(n.Attribute) != 1 || len(n.Output) != 1 || len(n.Input) != 0 {
		return nil, formatf("a Constant has one attribute, one output and no input, this one %d, %d and %d",
			len(n.Attribute), len(n.Output), len(n.Input))
	}
	a := n.Attribute[0]
	type kind = onnxpb.AttributeProto_AttributeType
	want := map[string]kind{"value": onnxpb.AttributeProto_TENSOR, "value_float": onnxpb.AttributeProto_FLOAT,
		"value_floats": onnxpb.AttributeProto_FLOATS, "value_int": onnxpb.AttributeProto_INT, "value_ints": onnxpb.AttributeProto_INTS,
		"value_string": onnxpb.AttributeProto_STRING, "value_strings": onnxpb.AttributeProto_STRINGS}
	if a.GetName() == "sparse_value" {
		return nil, unsupportedf("sparse tensors")
	}
	if k, ok := want[a.GetName()]; !ok || k != a.GetType() {
		return nil, formatf("a Constant has no attribute %q of type %v", a.GetName(), a.GetType())
	}
	switch a.GetName() {
	case "value":
		t, err := m.tensor(a.T)
		if err != nil {
			return nil, at(`attribute "value"`, err)
		}
		return t, nil
	case "value_float":
		return ir.FromFloat32s("", []float32{a.GetF()}), nil
	case "value_floats":
		return ir.FromFloat32s("", a.Floats, len(a.Floats)), nil
	case "value_int":
		return ir.FromInt64s("", []int64{a.GetI()}), nil
	case "value_ints":
		return ir.FromInt64s("", a.Ints, len(a.Ints)), nil
	case "value_string":
		return &ir.Tensor{DType: ir.String, Dims: []int{}, Strings: []string{string(a.S)}}, nil
	}
	t := &ir.Tensor{DType: ir.String, Dims: []int{len(a.Strings)}}
	for _, s := range a.Strings {
		t.Strings = append(t.Strings, string(s))
	}
	return t, nil
}

// settleType gives an attribute the type that files of the first IR version
// leave out, and makes sure that the value it announces is there.
func settleType(a *onnxpb.AttributeProto) error {
	set := func(t onnxpb.AttributeProto_AttributeType) { a.Type = t.Enum() }
	if a.GetType() == onnxpb.AttributeProto_UNDEFINED {
		switch {
		case a.T != nil:
			set(onnxpb.AttributeProto_TENSOR)
		case a.G != nil:
			set(onnxpb.AttributeProto_GRAPH)
		case a.F != nil:
			set(onnxpb.AttributeProto_FLOAT)
		case a.I != nil:
			set(onnxpb.AttributeProto_INT)
		case a.S != nil:
			set(onnxpb.AttributeProto_STRING)
		case len(a.Floats) > 0:
			set(onnxpb.AttributeProto_FLOATS)
		case len(a.Strings) > 0:
			set(onnxpb.AttributeProto_STRINGS)
		default:
			set(onnxpb.AttributeProto_INTS)
		}
	}
	switch t := a.GetType(); {
	case t == onnxpb.AttributeProto_TENSOR && a.T == nil, t == onnxpb.AttributeProto_GRAPH && a.G == nil:
		return formatf("its value is missing")
	case onnxpb.AttributeProto_AttributeType_name[int32(t)] == "":
		return formatf("attribute type %d does not exist", int32(t))
	}
	return nil
}

// attributeLabel names an attribute for messages.
func attributeLabel(a *onnxpb.AttributeProto) string {
	return fmt.Sprintf("attribute %q", a.GetName())
}
