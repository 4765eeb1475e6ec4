// Package onnxtest writes small ONNX models by code, for tests.
//
//	b := onnxtest.New(13).
//		Input("x", ir.Float, -1, 3, 8, 8).
//		Init("w", []int{4, 3, 3, 3}, weights).
//		Node("Conv", ir.Attrs{"pads": []int{1, 1, 1, 1}}, []string{"x", "w"}, []string{"y"}).
//		Output("y", ir.Float, -1, 4, 8, 8)
//	data := b.Bytes()
package onnxtest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// Builder collects a model. A mistake in its use panics: it is a mistake in
// the test.
type Builder struct {
	model *onnxpb.ModelProto
}

// New starts a model with the given opset of the default domain, IR version 8.
func New(opset int) *Builder {
	return &Builder{model: &onnxpb.ModelProto{
		IrVersion:    proto.Int64(8),
		ProducerName: proto.String("onnxtest"),
		OpsetImport:  []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(int64(opset))}},
		Graph:        &onnxpb.GraphProto{Name: proto.String("test")},
	}}
}

// value declares a tensor; the first dynamic dimension of axis 0 is called
// "batch", any other after the value and its axis.
func value(name string, dt ir.DType, dims []int) *onnxpb.ValueInfoProto {
	params := make([]string, len(dims))
	for i, d := range dims {
		if d < 0 {
			params[i] = fmt.Sprintf("%s_dim%d", name, i)
			if i == 0 {
				params[i] = "batch"
			}
		}
	}
	return onnxpb.NewValueInfo(name, int32(dt), dims, params)
}

// Input adds a graph input; −1 is a dynamic dimension, named "batch" on axis 0
// and "<name>_dim<axis>" elsewhere.
func (b *Builder) Input(name string, dt ir.DType, dims ...int) *Builder {
	b.model.Graph.Input = append(b.model.Graph.Input, value(name, dt, dims))
	return b
}

// Output adds a graph output; dimensions as for Input.
func (b *Builder) Output(name string, dt ir.DType, dims ...int) *Builder {
	b.model.Graph.Output = append(b.model.Graph.Output, value(name, dt, dims))
	return b
}

// ValueInfo declares the type of an inner value.
func (b *Builder) ValueInfo(name string, dt ir.DType, dims ...int) *Builder {
	b.model.Graph.ValueInfo = append(b.model.Graph.ValueInfo, value(name, dt, dims))
	return b
}

// Init adds a float32 initializer, stored as raw_data.
func (b *Builder) Init(name string, dims []int, data []float32) *Builder {
	return b.InitTensor(Floats(name, dims, data))
}

// InitInts adds an int64 initializer, stored as raw_data.
func (b *Builder) InitInts(name string, dims []int, data []int64) *Builder {
	raw := make([]byte, 0, 8*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return b.InitTensor(&ir.Tensor{Name: name, DType: ir.Int64, Dims: dims, Raw: raw})
}

// InitTensor adds an initializer of any type, stored as raw_data (strings as
// string_data).
func (b *Builder) InitTensor(t *ir.Tensor) *Builder { return b.InitProto(Tensor(t)) }

// InitProto adds an initializer as it stands, right or wrong.
func (b *Builder) InitProto(t *onnxpb.TensorProto) *Builder {
	b.model.Graph.Initializer = append(b.model.Graph.Initializer, t)
	return b
}

// Node adds a node of the default domain, named "<op>_<index>". Attribute
// values are those of ir.Attrs, and also int, bool, float64, []int and, for a
// subgraph, *Builder.
func (b *Builder) Node(op string, attrs ir.Attrs, inputs, outputs []string) *Builder {
	return b.NodeNamed(fmt.Sprintf("%s_%d", op, len(b.model.Graph.Node)), "", op, attrs, inputs, outputs)
}

// NodeNamed adds a node with its name (which may be empty) and domain.
func (b *Builder) NodeNamed(name, domain, op string, attrs ir.Attrs, inputs, outputs []string) *Builder {
	n := &onnxpb.NodeProto{OpType: proto.String(op), Input: inputs, Output: outputs}
	if name != "" {
		n.Name = proto.String(name)
	}
	if domain != "" {
		n.Domain = proto.String(domain)
	}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		n.Attribute = append(n.Attribute, attribute(k, attrs[k]))
	}
	b.model.Graph.Node = append(b.model.Graph.Node, n)
	return b
}

func attribute(name string, v any) *onnxpb.AttributeProto {
	switch x := v.(type) {
	case *ir.Tensor:
		v = Tensor(x)
	case *Builder:
		v = x.model.Graph
	}
	a, err := onnxpb.NewAttribute(name, v)
	if err != nil {
		panic(err)
	}
	return a
}

// Const adds a Constant node whose tensor is value.
func (b *Builder) Const(output string, value *ir.Tensor) *Builder {
	return b.Node("Constant", ir.Attrs{"value": value}, nil, []string{output})
}

// Opset imports another domain.
func (b *Builder) Opset(domain string, version int) *Builder {
	b.model.OpsetImport = append(b.model.OpsetImport,
		&onnxpb.OperatorSetIdProto{Domain: proto.String(domain), Version: proto.Int64(int64(version))})
	return b
}

// Metadata adds an entry of metadata_props.
func (b *Builder) Metadata(key, value string) *Builder {
	b.model.MetadataProps = append(b.model.MetadataProps,
		&onnxpb.StringStringEntryProto{Key: proto.String(key), Value: proto.String(value)})
	return b
}

// Proto is the model itself, for what the builder has no word for.
func (b *Builder) Proto() *onnxpb.ModelProto { return b.model }

// Bytes is the file.
func (b *Builder) Bytes() []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(b.model)
	if err != nil {
		panic(err)
	}
	return data
}

// File writes the model into a temporary folder of the test and returns its
// path.
func (b *Builder) File(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "model.onnx")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Floats makes a float32 tensor; data shorter than dims say is repeated, so
// that a test can fill a weight with few numbers.
func Floats(name string, dims []int, data []float32) *ir.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	raw := make([]byte, 0, 4*n)
	for i := range n {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(data[i%len(data)]))
	}
	return &ir.Tensor{Name: name, DType: ir.Float, Dims: dims, Raw: raw}
}

// Tensor makes the proto of a tensor, contents as raw_data.
func Tensor(t *ir.Tensor) *onnxpb.TensorProto {
	p := onnxpb.NewTensor(t.Name, int32(t.DType), t.Dims, t.Raw)
	if t.DType == ir.String {
		p.RawData = nil
		for _, s := range t.Strings {
			p.StringData = append(p.StringData, []byte(s))
		}
	}
	return p
}
