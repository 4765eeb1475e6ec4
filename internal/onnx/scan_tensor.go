package onnx

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// The fields of TensorProto that the scan knows by number.
const (
	fieldDims       protowire.Number = 1
	fieldDataType   protowire.Number = 2
	fieldSegment    protowire.Number = 3
	fieldFloatData  protowire.Number = 4
	fieldInt32Data  protowire.Number = 5
	fieldStringData protowire.Number = 6
	fieldInt64Data  protowire.Number = 7
	fieldRawData    protowire.Number = 9
	fieldDoubleData protowire.Number = 10
	fieldUint64Data protowire.Number = 11
	fieldLocation   protowire.Number = 14
)

// blob is where a tensor's contents are.
type blob struct {
	// message is the whole TensorProto in the file.
	message []byte
	// store is the data field that holds the contents, 0 if there is none;
	// data is its encoded contents, aliasing the file where they are in one
	// piece.
	store    protowire.Number
	data     []byte
	external bool
}

// storeOf is the typed data field of an element type.
func storeOf(dt ir.DType) protowire.Number {
	switch dt {
	case ir.Float:
		return fieldFloatData
	case ir.Int8, ir.Uint8, ir.Int16, ir.Uint16, ir.Int32, ir.Bool, ir.Float16, ir.BFloat16:
		return fieldInt32Data
	case ir.Int64:
		return fieldInt64Data
	case ir.Double:
		return fieldDoubleData
	case ir.Uint32, ir.Uint64:
		return fieldUint64Data
	case ir.String:
		return fieldStringData
	}
	return 0
}

// Names of element types that the standard has and vislora lacks.
var unsupportedTypes = map[ir.DType]string{14: "complex64", 15: "complex128", 17: "float8e4m3fn", 18: "float8e4m3fnuz",
	19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0"}

func checkDType(dt ir.DType) error {
	if name, ok := unsupportedTypes[dt]; ok {
		return unsupportedf("element type %s", name)
	}
	if dt.Size() == 0 && dt != ir.String {
		return formatf("element type %d does not exist", int32(dt))
	}
	return nil
}

// tensor checks a TensorProto: dimensions, their product, and that exactly the
// bytes are there that they need. It returns the message without contents.
func (s *scanner) tensor(in []byte) ([]byte, error) {
	var (
		out     []byte
		dims    []int64
		dt      ir.DType
		strings int64
		b       = blob{message: in}
	)
	for rest := in; len(rest) > 0; {
		f, tail, err := next(rest)
		if err != nil {
			return nil, err
		}
		rest = tail
		keep := true
		switch f.num {
		case fieldDims:
			if dims, err = appendDims(dims, f); err != nil {
				return nil, err
			}
		case fieldDataType, fieldLocation:
			if f.typ != protowire.VarintType {
				return nil, formatf("field %d has wire type %d", f.num, f.typ)
			}
			v, _ := protowire.ConsumeVarint(f.body)
			if f.num == fieldDataType {
				dt = ir.DType(v)
			} else {
				b.external = v == 1
			}
		case fieldSegment:
			return nil, unsupportedf("tensors in segments")
		case fieldStringData:
			strings++
			if err := b.add(f); err != nil {
				return nil, err
			}
			if err := s.take(stringCost + 2*int64(len(f.body))); err != nil {
				return nil, err
			}
		case fieldFloatData, fieldInt32Data, fieldInt64Data, fieldRawData, fieldDoubleData, fieldUint64Data:
			keep = false
			if err := b.add(f); err != nil {
				return nil, err
			}
		default:
			if err := s.checkTensorField(f); err != nil {
				return nil, err
			}
		}
		if keep {
			out = append(out, f.all...)
		}
	}
	if err := b.check(dims, dt, strings); err != nil {
		return nil, err
	}
	out = protowire.AppendTag(out, fieldRawData, protowire.BytesType)
	out = protowire.AppendBytes(out, protowire.AppendVarint(nil, uint64(len(s.blobs))))
	s.blobs = append(s.blobs, b)
	return out, nil
}

// checkTensorField checks name, doc_string, external_data and unknown fields.
func (s *scanner) checkTensorField(f field) error {
	fd := tensorDesc.Fields().ByNumber(f.num)
	if fd == nil {
		return s.take(int64(len(f.all)))
	}
	if err := s.checkKind(fd, f); err != nil {
		return at(string(fd.Name()), err)
	}
	if fd.Message() != nil {
		_, err := s.message(fd.Message(), f.body, maxDepth-1)
		return err
	}
	return nil
}

func appendDims(dims []int64, f field) ([]int64, error) {
	if f.typ != protowire.VarintType && f.typ != protowire.BytesType {
		return nil, formatf("dims has wire type %d", f.typ)
	}
	for b := f.body; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, formatf("dims is broken")
		}
		if len(dims) == maxRank {
			return nil, formatf("a tensor has more than %d dimensions", maxRank)
		}
		dims, b = append(dims, int64(v)), b[n:]
	}
	return dims, nil
}

// add takes one occurrence of a data field. Numbers may come packed, one by
// one, or in several packs; only the first pack is aliased.
func (b *blob) add(f field) error {
	if b.store != 0 && b.store != f.num {
		if len(f.body) == 0 {
			return nil
		}
		if len(b.data) > 0 || b.store == fieldStringData {
			return formatf("contents are given in two fields, %d and %d", b.store, f.num)
		}
	}
	switch f.num {
	case fieldRawData:
		if f.typ != protowire.BytesType {
			return formatf("raw_data has wire type %d", f.typ)
		}
		if b.store == f.num && len(b.data) > 0 {
			return formatf("raw_data is given twice")
		}
	case fieldStringData:
		if f.typ != protowire.BytesType {
			return formatf("string_data has wire type %d", f.typ)
		}
		b.store = f.num
		return nil
	default:
		single := protowire.VarintType
		switch f.num {
		case fieldFloatData:
			single = protowire.Fixed32Type
		case fieldDoubleData:
			single = protowire.Fixed64Type
		}
		if f.typ != single && f.typ != protowire.BytesType {
			return formatf("data field %d has wire type %d", f.num, f.typ)
		}
	}
	b.store = f.num
	if len(b.data) == 0 {
		b.data = f.body[:len(f.body):len(f.body)] // appending copies
	} else {
		b.data = append(b.data, f.body...)
	}
	return nil
}

// check compares the declared elements with what is there.
func (b *blob) check(dims []int64, dt ir.DType, strings int64) error {
	if err := checkDType(dt); err != nil {
		return err
	}
	for i, d := range dims {
		if d < 0 {
			return formatf("dimension %d is %d: it must not be negative", i, d)
		}
	}
	want, ok := elements(dims, maxElements)
	if !ok {
		return formatf("dimensions %v multiply to more than %d elements", dims, int64(maxElements))
	}
	if b.external {
		if dt == ir.String {
			return formatf("strings cannot lie in external data")
		}
		if len(b.data) > 0 || strings > 0 {
			return formatf("contents are given both in the file and as external data")
		}
		return nil
	}
	var have int64
	switch {
	case b.store == fieldRawData:
		if dt == ir.String {
			return formatf("strings cannot lie in raw_data")
		}
		if int64(len(b.data)) != want*int64(dt.Size()) {
			return formatf("dimensions %v of %v need %d bytes, raw_data has %d", dims, dt, want*int64(dt.Size()), len(b.data))
		}
		return nil
	case b.store != 0 && b.store != storeOf(dt) && len(b.data) > 0:
		return formatf("contents of type %v are in data field %d, they belong in %d", dt, b.store, storeOf(dt))
	case b.store == fieldFloatData, b.store == fieldDoubleData:
		size := 4
		if b.store == fieldDoubleData {
			size = 8
		}
		if len(b.data)%size != 0 {
			return formatf("data field %d has %d bytes, not a multiple of %d", b.store, len(b.data), size)
		}
		have = int64(len(b.data) / size)
	case b.store == fieldStringData:
		have = strings
	case b.store != 0:
		if n := len(b.data); n > 0 && b.data[n-1] >= 0x80 {
			return formatf("data field %d ends inside a number", b.store)
		}
		run := 0
		for _, c := range b.data {
			if run++; run > 10 || run == 10 && c > 1 {
				return formatf("data field %d holds a number longer than 64 bits", b.store)
			}
			if c < 0x80 {
				have++
				run = 0
			}
		}
	}
	if have != want {
		return formatf("dimensions %v need %d elements, the file has %d", dims, want, have)
	}
	return nil
}
