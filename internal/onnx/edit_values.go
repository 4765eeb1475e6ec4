package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// Rounding tells what storing float32 values in a tensor's type cost.
type Rounding struct {
	DType ir.DType
	// MaxAbs is the largest |stored − given|, MaxValue the largest |given|.
	MaxAbs, MaxValue float64
}

// SetInitializer writes new values into an initializer, keeping its element
// type (float32, float16, bfloat16 or float64; others are an error), its
// dimensions, and whether it lies in raw_data or in the typed field. External
// data becomes raw_data. The number of values must match; NaN, infinities and
// values that the type cannot hold are errors.
func (e *Editor) SetInitializer(name string, data []float32) (Rounding, error) {
	p, err := e.initializer(name)
	if err != nil {
		return Rounding{}, err
	}
	typed := false
	if b := e.stored[p].blob; b != nil {
		typed = b.store != 0 && b.store != fieldRawData
	} else {
		typed = isTyped(p)
	}
	r, err := setTensor(p, typed, data)
	if err != nil {
		return r, fmt.Errorf("edit model: initializer %q: %w", name, err)
	}
	delete(e.stored, p)
	return r, nil
}

// SetConstant is SetInitializer for the Constant node that makes output.
func (e *Editor) SetConstant(output string, data []float32) (Rounding, error) {
	n, err := e.node(output)
	if err != nil {
		return Rounding{}, err
	}
	if !isConstant(n) || len(n.Attribute) != 1 {
		return Rounding{}, fmt.Errorf("edit model: node %s is not a Constant", labelOf(n))
	}
	var r Rounding
	switch a := n.Attribute[0]; a.GetName() {
	case "value":
		r, err = setTensor(a.T, isTyped(a.T), data)
	case "value_float":
		t := onnxpb.NewTensor("", int32(ir.Float), nil, nil)
		if r, err = setTensor(t, true, data); err == nil {
			a.F = &t.FloatData[0]
		}
	case "value_floats":
		t := onnxpb.NewTensor("", int32(ir.Float), []int{len(a.Floats)}, nil)
		if r, err = setTensor(t, true, data); err == nil {
			a.Floats = t.FloatData
		}
	default:
		err = fmt.Errorf("its %s is not floating-point", a.GetName())
	}
	if err != nil {
		return r, fmt.Errorf("edit model: constant %q: %w", output, err)
	}
	return r, nil
}

// isTyped reports whether a tensor's contents are in a typed field.
func isTyped(p *onnxpb.TensorProto) bool {
	return len(p.FloatData)+len(p.Int32Data)+len(p.DoubleData) > 0
}

func setTensor(p *onnxpb.TensorProto, typed bool, data []float32) (Rounding, error) {
	dt := ir.DType(p.GetDataType())
	r := Rounding{DType: dt}
	if n, _ := elements(p.Dims, maxElements); int64(len(data)) != n {
		return r, fmt.Errorf("dimensions %v hold %d values, %d are given", p.Dims, n, len(data))
	}
	raw := make([]byte, 0, len(data)*dt.Size())
	for i, v := range data {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return r, fmt.Errorf("value %d is %v", i, v)
		}
		stored := v
		switch dt {
		case ir.Float:
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		case ir.Double:
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(float64(v)))
		case ir.Float16:
			h := ir.FloatToHalf(v)
			stored = ir.HalfToFloat(h)
			raw = binary.LittleEndian.AppendUint16(raw, h)
		case ir.BFloat16:
			h := floatToBFloat(v)
			stored = math.Float32frombits(uint32(h) << 16)
			raw = binary.LittleEndian.AppendUint16(raw, h)
		default:
			return r, fmt.Errorf("its type is %v: only floating-point weights can be set", dt)
		}
		if math.IsInf(float64(stored), 0) {
			return r, fmt.Errorf("value %d is %g, too large for %v", i, v, dt)
		}
		r.MaxAbs = max(r.MaxAbs, math.Abs(float64(stored)-float64(v)))
		r.MaxValue = max(r.MaxValue, math.Abs(float64(v)))
	}
	p.FloatData, p.Int32Data, p.DoubleData = nil, nil, nil
	inline(p, raw)
	if typed {
		typeRaw(p, dt)
	}
	return r, nil
}

// typeRaw moves raw contents into the typed field of the element type.
func typeRaw(p *onnxpb.TensorProto, dt ir.DType) {
	raw := p.RawData
	p.RawData = nil
	for ; len(raw) > 0; raw = raw[dt.Size():] {
		switch dt {
		case ir.Float:
			p.FloatData = append(p.FloatData, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
		case ir.Double:
			p.DoubleData = append(p.DoubleData, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		case ir.Float16, ir.BFloat16:
			p.Int32Data = append(p.Int32Data, int32(binary.LittleEndian.Uint16(raw)))
		}
	}
}

// floatToBFloat rounds a finite number to nearest even.
func floatToBFloat(v float32) uint16 {
	b := math.Float32bits(v)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
