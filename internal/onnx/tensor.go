package onnx

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// blobOf finds the contents of a tensor of the skeleton.
func (m *Model) blobOf(p *onnxpb.TensorProto) *blob {
	i, n := protowire.ConsumeVarint(p.RawData)
	if n < 0 || i >= uint64(len(m.blobs)) {
		panic("onnx: tensor is not from the skeleton")
	}
	return &m.blobs[i]
}

// tensor makes the IR tensor of a skeleton tensor. Raw aliases the mapping
// where the file holds plain little-endian contents (raw_data, float_data,
// double_data, external data); integers stored as varints are decoded.
func (m *Model) tensor(p *onnxpb.TensorProto) (*ir.Tensor, error) {
	b := m.blobOf(p)
	t := &ir.Tensor{Name: p.GetName(), DType: ir.DType(p.GetDataType()), Dims: make([]int, len(p.Dims))}
	n, _ := elements(p.Dims, maxElements)
	for i, d := range p.Dims {
		t.Dims[i] = int(d)
	}
	if b.external {
		raw, err := m.externals.tensor(p, t.DType, n)
		t.Raw = raw
		return t, err
	}
	switch b.store {
	case fieldStringData:
		for _, s := range p.StringData {
			t.Strings = append(t.Strings, string(s))
		}
	case fieldInt32Data, fieldInt64Data, fieldUint64Data:
		t.Raw = decodeVarints(b.data, t.DType.Size(), int(n))
	default:
		t.Raw = b.data
	}
	return t, nil
}

// decodeVarints turns n varints, checked by the scan, into little-endian
// numbers of the given size; float16 and bfloat16 are stored as their bits.
func decodeVarints(b []byte, size, n int) []byte {
	raw := make([]byte, n*size)
	for i := range n {
		v, m := protowire.ConsumeVarint(b)
		b = b[m:]
		switch at := raw[i*size:]; size {
		case 1:
			at[0] = byte(v)
		case 2:
			binary.LittleEndian.PutUint16(at, uint16(v))
		case 4:
			binary.LittleEndian.PutUint32(at, uint32(v))
		case 8:
			binary.LittleEndian.PutUint64(at, v)
		}
	}
	return raw
}
