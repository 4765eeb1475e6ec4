package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vislora/vislora/internal/onnxpb"
)

// scanner checks a file as wire format and makes its skeleton: the same
// messages with the contents of tensors taken out. In the skeleton a tensor's
// raw_data is the index of its blob, as a varint.
type scanner struct {
	blobs  []blob
	memory int64 // what decoding the rest may still take
}

var (
	modelDesc  = (*onnxpb.ModelProto)(nil).ProtoReflect().Descriptor()
	tensorDesc = (*onnxpb.TensorProto)(nil).ProtoReflect().Descriptor()
)

// holdsTensors lists the messages that tensors can lie in: they are written
// anew, all others are checked and copied.
var holdsTensors = map[protoreflect.Name]bool{"ModelProto": true, "GraphProto": true, "NodeProto": true,
	"AttributeProto": true, "TensorProto": true, "SparseTensorProto": true, "FunctionProto": true, "TrainingInfoProto": true}

// Estimated bytes of a decoded message: the struct of our bindings, of onnx-go
// and of the IR together.
var messageCost = map[protoreflect.Name]int64{"NodeProto": 1200, "AttributeProto": 700, "TensorProto": 1000}

const (
	otherMessageCost = 250
	stringCost       = 50
)

// scan checks data and returns the skeleton and the tensors' contents.
func scan(data []byte) (skeleton []byte, blobs []blob, err error) {
	s := &scanner{memory: graphMemory + graphMemoryPerByte*int64(len(data))}
	skeleton, err = s.message(modelDesc, data, 0)
	return skeleton, s.blobs, err
}

// field is one field of a message in wire format.
type field struct {
	num  protowire.Number
	typ  protowire.Type
	body []byte // contents of a bytes field, the encoded value otherwise
	all  []byte
}

// next cuts the first field off b.
func next(b []byte) (f field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, formatf("broken protobuf tag: the file is damaged or not an ONNX model")
	}
	f.num, f.typ = num, typ
	switch typ {
	case protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type:
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return f, nil, formatf("the file ends inside field %d: truncated?", num)
		}
		f.body, f.all = b[n:n+m], b[:n+m]
	case protowire.BytesType:
		size, m := protowire.ConsumeVarint(b[n:])
		if m < 0 {
			return f, nil, formatf("the file ends inside the length of field %d: truncated?", num)
		}
		if left := len(b) - n - m; size > uint64(left) {
			return f, nil, formatf("field %d is said to hold %d bytes, %d are left: the file is truncated or damaged", num, size, left)
		}
		f.body, f.all = b[n+m:n+m+int(size)], b[:n+m+int(size)]
	default:
		return f, nil, formatf("field %d has wire type %d, which ONNX does not use: the file is damaged or not an ONNX model", num, typ)
	}
	return f, b[len(f.all):], nil
}

// take counts memory that decoding will need.
func (s *scanner) take(bytes int64) error {
	if s.memory -= bytes; s.memory < 0 {
		return formatf("the graph would take more than %d MB and %d times the file's size to decode: too many nodes, attributes or strings",
			graphMemory>>20, graphMemoryPerByte)
	}
	return nil
}

// message checks one message and returns it with tensor contents taken out.
func (s *scanner) message(desc protoreflect.MessageDescriptor, in []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, formatf("messages are nested deeper than %d", maxDepth)
	}
	cost, ok := messageCost[desc.Name()]
	if !ok {
		cost = otherMessageCost
	}
	if err := s.take(cost); err != nil {
		return nil, err
	}
	if desc == tensorDesc {
		return s.tensor(in)
	}
	var (
		out     []byte
		rewrite = holdsTensors[desc.Name()]
		fields  = desc.Fields()
		seen    map[protowire.Number]bool
	)
	for rest := in; len(rest) > 0; {
		f, tail, err := next(rest)
		if err != nil {
			return nil, err
		}
		rest = tail
		fd := fields.ByNumber(f.num)
		if fd == nil {
			if err := s.take(int64(len(f.all))); err != nil {
				return nil, err
			}
		} else if err := s.checkKind(fd, f); err != nil {
			return nil, at(string(fd.Name()), err)
		}
		if fd == nil || fd.Kind() != protoreflect.MessageKind {
			if rewrite {
				out = append(out, f.all...)
			}
			continue
		}
		if fd.Cardinality() != protoreflect.Repeated {
			if seen[f.num] {
				return nil, formatf("%s is given twice", fd.Name())
			}
			if seen == nil {
				seen = map[protowire.Number]bool{}
			}
			seen[f.num] = true
		}
		child, err := s.message(fd.Message(), f.body, depth+1)
		if err != nil {
			return nil, at(place(fd, f.body), err)
		}
		if rewrite {
			out = protowire.AppendTag(out, f.num, protowire.BytesType)
			out = protowire.AppendBytes(out, child)
		}
	}
	if !rewrite {
		return in, nil
	}
	return out, nil
}

// checkKind compares the wire type with the declared one and counts memory.
func (s *scanner) checkKind(fd protoreflect.FieldDescriptor, f field) error {
	want := protowire.VarintType
	switch fd.Kind() {
	case protoreflect.FloatKind:
		want = protowire.Fixed32Type
	case protoreflect.DoubleKind:
		want = protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind:
		want = protowire.BytesType
		if err := s.take(stringCost + 2*int64(len(f.body))); err != nil {
			return err
		}
	case protoreflect.MessageKind:
		want = protowire.BytesType
	}
	packed := fd.Cardinality() == protoreflect.Repeated && want != protowire.BytesType
	switch {
	case f.typ == want:
		if packed {
			return s.take(16)
		}
		return nil
	case packed && f.typ == protowire.BytesType:
		return s.take(16 * int64(len(f.body)))
	}
	return formatf("wire type %d instead of %d: the file is damaged or not an ONNX model", f.typ, want)
}

// place names a field for messages: `node "conv1" (Conv)`, `initializer "w"`.
func place(fd protoreflect.FieldDescriptor, body []byte) string {
	switch fd.Name() {
	case "graph", "t", "g", "type", "tensor_type":
		return ""
	case "node":
		name := peek(body, 3)
		if name == "" {
			name = peek(body, 2) // first output
		}
		return fmt.Sprintf("node %q (%s)", name, peek(body, 4))
	case "initializer":
		return fmt.Sprintf("initializer %q", peek(body, 8))
	case "attribute", "input", "output", "value_info":
		return fmt.Sprintf("%s %q", fd.Name(), peek(body, 1))
	}
	return string(fd.Name())
}

// peek finds the first bytes field num of a message that may be broken.
func peek(b []byte, num protowire.Number) string {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return ""
		}
		if f.num == num && f.typ == protowire.BytesType {
			return string(f.body[:min(len(f.body), 200)])
		}
		b = rest
	}
	return ""
}
