package ir

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// Tensor is a constant: an initializer, a lifted Constant, or a folded result.
type Tensor struct {
	Name  string
	DType DType
	Dims  []int
	// Raw is the little-endian contents, row-major; it may alias the mapped
	// file and is never written to. Bools are one byte each.
	Raw []byte
	// Strings holds the contents when DType is String.
	Strings []string
	// Origin tells which tensor of the file this one was made from by moving
	// elements only (Identity, Cast, Transpose, Reshape and the like); nil for
	// computed values. Training and merging go back to it.
	Origin *Origin
}

// Origin traces a folded tensor to the file. Element Perm-wise: the tensor is
// the file's tensor of shape Dims, transposed by Perm (nil: not transposed),
// then reshaped to the tensor's own shape.
type Origin struct {
	// Name is the initializer's name, or the output of a Constant node.
	Name     string
	Constant bool // made by a Constant node, not an initializer
	DType    DType
	Dims     []int
	Perm     []int
	// Aliases counts the Identity nodes between the initializer and this use:
	// exporters tie equal-valued parameters of different layers that way.
	Aliases int
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// Type is the tensor's static type.
func (t *Tensor) Type() Type { return Type{DType: t.DType, Dims: t.Dims, Known: true} }

// unaligned is set where loads and stores need no alignment and memory is
// little-endian, as files are. Tensors start anywhere in a file.
const unaligned = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// Float32s returns the contents as float32: a view of Raw where that can be, a
// converted copy otherwise (every numeric type is accepted).
func (t *Tensor) Float32s() []float32 {
	n := t.Len()
	if n == 0 {
		return nil
	}
	if t.DType == Float && (unaligned || uintptr(unsafe.Pointer(&t.Raw[0]))%4 == 0) {
		return unsafe.Slice((*float32)(unsafe.Pointer(&t.Raw[0])), n)
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(t.Float(i))
	}
	return out
}

// Int64s returns the contents as int64; floats are truncated.
func (t *Tensor) Int64s() []int64 {
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = t.Int(i)
	}
	return out
}

// Ints is Int64s as int.
func (t *Tensor) Ints() []int {
	out := make([]int, t.Len())
	for i := range out {
		out[i] = int(t.Int(i))
	}
	return out
}

// Float returns element i of any numeric type as float64.
func (t *Tensor) Float(i int) float64 {
	switch t.DType {
	case Float:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Raw[4*i:])))
	case Double:
		return math.Float64frombits(binary.LittleEndian.Uint64(t.Raw[8*i:]))
	case Float16:
		return float64(HalfToFloat(binary.LittleEndian.Uint16(t.Raw[2*i:])))
	case BFloat16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Raw[2*i:])) << 16))
	case Uint64:
		return float64(binary.LittleEndian.Uint64(t.Raw[8*i:]))
	}
	return float64(t.Int(i))
}

// Int returns element i of any numeric type as int64; floats are truncated.
func (t *Tensor) Int(i int) int64 {
	switch t.DType {
	case Int64, Uint64:
		return int64(binary.LittleEndian.Uint64(t.Raw[8*i:]))
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(t.Raw[4*i:])))
	case Uint32:
		return int64(binary.LittleEndian.Uint32(t.Raw[4*i:]))
	case Int16:
		return int64(int16(binary.LittleEndian.Uint16(t.Raw[2*i:])))
	case Uint16:
		return int64(binary.LittleEndian.Uint16(t.Raw[2*i:]))
	case Int8:
		return int64(int8(t.Raw[i]))
	case Uint8, Bool:
		return int64(t.Raw[i])
	case Float, Double, Float16, BFloat16:
		return int64(t.Float(i))
	}
	panic(fmt.Sprintf("ir: tensor %q of type %v has no integers", t.Name, t.DType))
}

// FromFloat32s makes a float32 tensor that shares v's memory.
func FromFloat32s(name string, v []float32, dims ...int) *Tensor {
	t := &Tensor{Name: name, DType: Float, Dims: dims}
	if len(v) > 0 {
		t.Raw = unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
	}
	return t
}

// FromInt64s makes an int64 tensor that shares v's memory.
func FromInt64s(name string, v []int64, dims ...int) *Tensor {
	t := &Tensor{Name: name, DType: Int64, Dims: dims}
	if len(v) > 0 {
		t.Raw = unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 8*len(v))
	}
	return t
}

// HalfToFloat widens an IEEE 754 binary16.
func HalfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exp {
	case 0:
		f := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// FloatToHalf narrows to IEEE 754 binary16, rounding to nearest even.
func FloatToHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	exp, frac := int(b>>23&255)-127, b&0x7fffff
	switch {
	case exp == 128:
		if frac != 0 {
			return sign | 0x7e00
		}
		return sign | 0x7c00
	case exp < -25:
		return sign
	case exp < -14: // subnormal: shift the full significand into place
		m, s := frac|0x800000, uint(-exp-1)
		return sign + uint16((m+1<<(s-1)-1+m>>s&1)>>s)
	}
	r := uint32(exp+15)<<10<<13 | frac
	r += 0xfff + r>>13&1
	if r>>13 >= 0x7c00 {
		return sign | 0x7c00
	}
	return sign | uint16(r>>13)
}
