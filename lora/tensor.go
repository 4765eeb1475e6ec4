package lora

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/safetensors"
)

// Tensor is one array of an adapter. Values are float32 in memory whatever the
// file has, and are written back in the file's type.
type Tensor struct {
	Shape []int
	// DType is the type in the file, F32 for a new tensor.
	DType safetensors.DType
	// Data holds the values; nil for integers and booleans (such as a
	// BatchNorm's num_batches_tracked), which are carried along as they are.
	Data []float32
	// raw is the file's contents where Data cannot give them back: integers,
	// and float64, which Data rounds.
	raw []byte
}

// NewTensor makes a float32 tensor that shares data. It panics when shape and
// length disagree.
func NewTensor(data []float32, shape ...int) *Tensor {
	if size(shape) != len(data) {
		panic(fmt.Sprintf("lora: shape %v does not hold %d values", shape, len(data)))
	}
	return &Tensor{Shape: shape, DType: safetensors.F32, Data: data}
}

func zeros(shape []int) *Tensor { return NewTensor(make([]float32, size(shape)), shape...) }

// decode widens what was read to float32.
func decode(t safetensors.Tensor) (*Tensor, error) {
	out := &Tensor{Shape: slices.Clone(t.Shape), DType: t.DType}
	n := len(t.Data) / t.DType.Size()
	le := binary.LittleEndian
	var at func(i int) float32
	switch t.DType {
	case safetensors.F32:
		at = func(i int) float32 { return math.Float32frombits(le.Uint32(t.Data[4*i:])) }
	case safetensors.F16:
		at = func(i int) float32 { return ir.HalfToFloat(le.Uint16(t.Data[2*i:])) }
	case safetensors.BF16:
		at = func(i int) float32 { return math.Float32frombits(uint32(le.Uint16(t.Data[2*i:])) << 16) }
	case safetensors.F64:
		out.raw = t.Data
		at = func(i int) float32 { return float32(math.Float64frombits(le.Uint64(t.Data[8*i:]))) }
	default:
		out.raw = t.Data
		return out, nil
	}
	out.Data = make([]float32, n)
	for i := range out.Data {
		v := at(i)
		if !finite(v) {
			return nil, fmt.Errorf("element %d is %g: the adapter is broken, its training diverged", i, v)
		}
		out.Data[i] = v
	}
	return out, nil
}

// encode narrows the values to the file's type, rounding to nearest even.
func (t *Tensor) encode() (safetensors.Tensor, error) {
	out := safetensors.Tensor{DType: t.DType, Shape: t.Shape}
	if t.Data == nil && t.raw != nil {
		out.Data = t.raw
		return out, nil
	}
	le := binary.LittleEndian
	b := make([]byte, 0, len(t.Data)*t.DType.Size())
	for i, v := range t.Data {
		if !finite(v) {
			return out, fmt.Errorf("element %d is %g: training diverged, lower the learning rate", i, v)
		}
		switch t.DType {
		case safetensors.F32:
			b = le.AppendUint32(b, math.Float32bits(v))
		case safetensors.F16:
			h := ir.FloatToHalf(v)
			if h&0x7c00 == 0x7c00 {
				return out, fmt.Errorf("element %d is %g, beyond the range of F16: save as F32", i, v)
			}
			b = le.AppendUint16(b, h)
		case safetensors.BF16:
			h := toBF16(v)
			if h&0x7f80 == 0x7f80 {
				return out, fmt.Errorf("element %d is %g, beyond the range of BF16: save as F32", i, v)
			}
			b = le.AppendUint16(b, h)
		case safetensors.F64:
			w := math.Float64bits(float64(v))
			if t.raw != nil {
				if was := le.Uint64(t.raw[8*i:]); float32(math.Float64frombits(was)) == v {
					w = was
				}
			}
			b = le.AppendUint64(b, w)
		default:
			return out, fmt.Errorf("values cannot be written as %s", t.DType)
		}
	}
	out.Data = b
	return out, nil
}

// toBF16 rounds a finite value to nearest even.
func toBF16(v float32) uint16 {
	b := math.Float32bits(v)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func finite(v float32) bool { return v-v == 0 }
