package onnxpb

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// NewAttribute makes an attribute from a Go value: int, int64, bool, float32,
// float64, string, []byte, lists of int, int64, float32, string, and
// *TensorProto or *GraphProto. Anything else is an error.
func NewAttribute(name string, value any) (*AttributeProto, error) {
	a := &AttributeProto{Name: proto.String(name)}
	set := func(t AttributeProto_AttributeType) { a.Type = t.Enum() }
	switch v := value.(type) {
	case int:
		a.I = proto.Int64(int64(v))
		set(AttributeProto_INT)
	case int64:
		a.I = proto.Int64(v)
		set(AttributeProto_INT)
	case bool:
		a.I = proto.Int64(0)
		if v {
			a.I = proto.Int64(1)
		}
		set(AttributeProto_INT)
	case float32:
		a.F = proto.Float32(v)
		set(AttributeProto_FLOAT)
	case float64:
		a.F = proto.Float32(float32(v))
		set(AttributeProto_FLOAT)
	case string:
		a.S = []byte(v)
		set(AttributeProto_STRING)
	case []byte:
		a.S = v
		set(AttributeProto_STRING)
	case []int:
		for _, x := range v {
			a.Ints = append(a.Ints, int64(x))
		}
		set(AttributeProto_INTS)
	case []int64:
		a.Ints = v
		set(AttributeProto_INTS)
	case []float32:
		a.Floats = v
		set(AttributeProto_FLOATS)
	case []string:
		for _, x := range v {
			a.Strings = append(a.Strings, []byte(x))
		}
		set(AttributeProto_STRINGS)
	case *TensorProto:
		a.T = v
		set(AttributeProto_TENSOR)
	case *GraphProto:
		a.G = v
		set(AttributeProto_GRAPH)
	default:
		return nil, fmt.Errorf("make attribute %q: a %T is not an ONNX attribute value", name, value)
	}
	return a, nil
}

// NewTensor makes a tensor whose contents are raw_data, little-endian and
// row-major. It shares raw.
func NewTensor(name string, dataType int32, dims []int, raw []byte) *TensorProto {
	t := &TensorProto{Name: proto.String(name), DataType: proto.Int32(dataType), RawData: raw}
	if raw == nil {
		t.RawData = []byte{} // a tensor without elements still says how it is stored
	}
	for _, d := range dims {
		t.Dims = append(t.Dims, int64(d))
	}
	return t
}

// NewValueInfo makes the declaration of a tensor value. params gives the names
// of dynamic dimensions and may be nil or shorter than dims; a dimension of −1
// without a name stays anonymous.
func NewValueInfo(name string, elemType int32, dims []int, params []string) *ValueInfoProto {
	shape := &TensorShapeProto{}
	for i, d := range dims {
		dim := &TensorShapeProto_Dimension{}
		switch {
		case d >= 0:
			dim.Value = &TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case i < len(params) && params[i] != "":
			dim.Value = &TensorShapeProto_Dimension_DimParam{DimParam: params[i]}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &ValueInfoProto{Name: proto.String(name), Type: &TypeProto{Value: &TypeProto_TensorType{
		TensorType: &TypeProto_Tensor{ElemType: proto.Int32(elemType), Shape: shape}}}}
}
