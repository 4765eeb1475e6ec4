//go:build cgo

package ort

import (
	"fmt"
	"unsafe"

	api "github.com/yalue/onnxruntime_go"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// newValue makes an ONNX Runtime value that shares t's memory.
func newValue(t *ir.Tensor) (api.Value, error) {
	size := t.DType.Size()
	if size == 0 {
		return nil, fmt.Errorf("element type %v cannot be passed to ONNX Runtime", t.DType)
	}
	if want := t.Len() * size; len(t.Raw) != want {
		return nil, fmt.Errorf("shape %v of %v needs %d bytes, got %d", t.Dims, t.DType, want, len(t.Raw))
	}
	if t.Len() == 0 {
		return nil, fmt.Errorf("shape %v has no elements, which the Go binding of ONNX Runtime cannot pass", t.Dims)
	}
	if len(t.Dims) == 0 {
		return newScalar(t)
	}
	raw := t.Raw
	if uintptr(unsafe.Pointer(&raw[0]))%uintptr(size) != 0 { // a view of a mapped file
		aligned := make([]uint64, (len(raw)+7)/8)
		raw = unsafe.Slice((*byte)(unsafe.Pointer(&aligned[0])), len(raw))
		copy(raw, t.Raw)
	}
	return api.NewCustomDataTensor(shapeOf(t.Dims), raw, api.TensorElementDataType(t.DType))
}

func newScalar(t *ir.Tensor) (api.Value, error) {
	switch t.DType {
	case ir.Float:
		return api.NewScalar(float32(t.Float(0)))
	case ir.Double:
		return api.NewScalar(t.Float(0))
	case ir.Int64:
		return api.NewScalar(t.Int(0))
	case ir.Int32:
		return api.NewScalar(int32(t.Int(0)))
	case ir.Uint8:
		return api.NewScalar(uint8(t.Int(0)))
	}
	return nil, fmt.Errorf("a scalar of type %v cannot be passed to ONNX Runtime", t.DType)
}

// prepared allocates the outputs that the Go binding cannot allocate itself:
// scalars, and types that it has no Go type for (float16, bfloat16). Results
// are nil for all others.
func (s *Session) prepared(p Port, feed map[string]*ir.Tensor) (api.Value, *ir.Tensor, error) {
	half := p.DType == ir.Float16 || p.DType == ir.BFloat16
	if !half && (!p.Known || len(p.Dims) > 0) {
		return nil, nil, nil
	}
	if !p.Known {
		return nil, nil, fmt.Errorf("the file states no shape for this %v output, so room for it cannot be made; run a float32 copy of the model", p.DType)
	}
	t := &ir.Tensor{DType: p.DType, Dims: append([]int(nil), p.Dims...)}
	for i, d := range t.Dims {
		if d >= 0 {
			continue
		}
		first := feed[s.inputs[0].Name].Dims
		if i > 0 || len(first) == 0 {
			return nil, nil, fmt.Errorf("axis %d of this %v output is dynamic, so room for it cannot be made; run a float32 copy of the model", i, p.DType)
		}
		t.Dims[0] = first[0]
	}
	room := make([]uint64, (t.Len()*max(1, p.DType.Size())+7)/8+1)
	t.Raw = unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), t.Len()*p.DType.Size())
	if len(t.Dims) > 0 {
		v, err := newValue(t)
		return v, t, err
	}
	v, err := newScalar(t)
	return v, nil, err // read back by fromValue
}

// fromValue copies a result out of the binding.
func fromValue(v api.Value) (*ir.Tensor, error) {
	switch v := v.(type) {
	case *api.Tensor[float32]:
		return tensor(ir.Float, v.GetShape(), v.GetData()), nil
	case *api.Tensor[float64]:
		return tensor(ir.Double, v.GetShape(), v.GetData()), nil
	case *api.Tensor[int64]:
		return tensor(ir.Int64, v.GetShape(), v.GetData()), nil
	case *api.Tensor[int32]:
		return tensor(ir.Int32, v.GetShape(), v.GetData()), nil
	case *api.Tensor[int16]:
		return tensor(ir.Int16, v.GetShape(), v.GetData()), nil
	case *api.Tensor[int8]:
		return tensor(ir.Int8, v.GetShape(), v.GetData()), nil
	case *api.Tensor[uint64]:
		return tensor(ir.Uint64, v.GetShape(), v.GetData()), nil
	case *api.Tensor[uint32]:
		return tensor(ir.Uint32, v.GetShape(), v.GetData()), nil
	case *api.Tensor[uint16]:
		return tensor(ir.Uint16, v.GetShape(), v.GetData()), nil
	case *api.Tensor[uint8]:
		return tensor(ir.Uint8, v.GetShape(), v.GetData()), nil
	case *api.Tensor[bool]:
		return tensor(ir.Bool, v.GetShape(), v.GetData()), nil
	case *api.Scalar[float32]:
		return tensor(ir.Float, nil, []float32{v.GetData()}), nil
	case *api.Scalar[float64]:
		return tensor(ir.Double, nil, []float64{v.GetData()}), nil
	case *api.Scalar[int64]:
		return tensor(ir.Int64, nil, []int64{v.GetData()}), nil
	case *api.Scalar[int32]:
		return tensor(ir.Int32, nil, []int32{v.GetData()}), nil
	case *api.Scalar[uint8]:
		return tensor(ir.Uint8, nil, []uint8{v.GetData()}), nil
	}
	return nil, fmt.Errorf("a result of kind %T cannot be read", v)
}

func tensor[T any](d ir.DType, shape api.Shape, data []T) *ir.Tensor {
	t := &ir.Tensor{DType: d}
	for _, n := range shape {
		t.Dims = append(t.Dims, int(n))
	}
	if len(data) > 0 {
		t.Raw = unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*int(unsafe.Sizeof(data[0])))
	}
	return t
}

func shapeOf(dims []int) api.Shape {
	out := make(api.Shape, len(dims))
	for i, d := range dims {
		out[i] = int64(d)
	}
	return out
}
