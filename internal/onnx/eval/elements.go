package eval

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/vislora/vislora/internal/onnx/ir"
)

func newTensor(t ir.DType, dims []int) *ir.Tensor {
	return &ir.Tensor{DType: t, Dims: dims, Raw: make([]byte, product(dims)*t.Size())}
}

// reshaped is a tensor of other dimensions on the same memory.
func reshaped(t *ir.Tensor, dims []int) *ir.Tensor {
	return &ir.Tensor{DType: t.DType, Dims: dims, Raw: t.Raw, Strings: t.Strings}
}

// floats widens a tensor to float64.
func floats(t *ir.Tensor) []float64 {
	out := make([]float64, t.Len())
	if t.DType == ir.Float && len(out) > 0 && uintptr(unsafe.Pointer(&t.Raw[0]))%4 == 0 {
		for i, v := range t.Float32s() {
			out[i] = float64(v)
		}
		return out
	}
	for i := range out {
		out[i] = t.Float(i)
	}
	return out
}

// ints widens a tensor to int64; uint64 keeps its bits.
func ints(t *ir.Tensor) []int64 { return t.Int64s() }

// setFloats rounds values into a tensor of any numeric type.
func setFloats(t *ir.Tensor, v []float64) {
	for i, x := range v {
		setFloat(t, i, x)
	}
}

// setFloat rounds one value: to nearest even for floating point, towards zero
// for integers, to x≠0 for booleans.
func setFloat(t *ir.Tensor, i int, x float64) {
	switch t.DType {
	case ir.Float:
		binary.LittleEndian.PutUint32(t.Raw[4*i:], math.Float32bits(float32(x)))
	case ir.Double:
		binary.LittleEndian.PutUint64(t.Raw[8*i:], math.Float64bits(x))
	case ir.Float16:
		binary.LittleEndian.PutUint16(t.Raw[2*i:], ir.FloatToHalf(roundToOdd(x)))
	case ir.BFloat16:
		binary.LittleEndian.PutUint16(t.Raw[2*i:], bfloat16(roundToOdd(x)))
	case ir.Bool:
		t.Raw[i] = 0
		if x != 0 {
			t.Raw[i] = 1
		}
	case ir.Uint64:
		setInt(t, i, int64(toUint64(x)))
	default:
		setInt(t, i, toInt64(x))
	}
}

// toInt64 truncates, saturating where Go leaves the result open.
func toInt64(x float64) int64 {
	switch {
	case math.IsNaN(x):
		return 0
	case x >= math.MaxInt64:
		return math.MaxInt64
	case x <= math.MinInt64:
		return math.MinInt64
	}
	return int64(x)
}

func toUint64(x float64) uint64 {
	switch {
	case x >= math.MaxUint64:
		return math.MaxUint64
	case x > 0:
		return uint64(x)
	}
	return uint64(toInt64(x))
}

// roundToOdd narrows so that a second rounding, to 16 bits, is as if it had
// been made at once.
func roundToOdd(x float64) float32 {
	f := float32(x)
	b := math.Float32bits(f)
	if math.IsNaN(x) || math.IsInf(x, 0) || float64(f) == x {
		return f
	}
	if b&1 == 0 {
		if math.Abs(float64(f)) > math.Abs(x) {
			b--
		} else {
			b++
		}
	}
	return math.Float32frombits(b)
}

// bfloat16 rounds to nearest even.
func bfloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if f != f {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// setInts stores integers with the wraparound of the tensor's type.
func setInts(t *ir.Tensor, v []int64) {
	for i, x := range v {
		setInt(t, i, x)
	}
}

func setInt(t *ir.Tensor, i int, x int64) {
	switch t.DType {
	case ir.Int64, ir.Uint64:
		binary.LittleEndian.PutUint64(t.Raw[8*i:], uint64(x))
	case ir.Int32, ir.Uint32:
		binary.LittleEndian.PutUint32(t.Raw[4*i:], uint32(x))
	case ir.Int16, ir.Uint16:
		binary.LittleEndian.PutUint16(t.Raw[2*i:], uint16(x))
	case ir.Int8, ir.Uint8:
		t.Raw[i] = byte(x)
	case ir.Bool:
		t.Raw[i] = 0
		if x != 0 {
			t.Raw[i] = 1
		}
	default:
		setFloat(t, i, float64(x))
	}
}

// rowMajor gives the strides of a dense tensor.
func rowMajor(dims []int) []int {
	s := make([]int, len(dims))
	n := 1
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = n
		n *= dims[i]
	}
	return s
}

// copyView fills dst, dense and of shape dims, with the elements of src at
// offset + Σ index·stride, counted in elements of size bytes.
func copyView(dst, src []byte, size int, dims, strides []int, offset int) {
	if product(dims) == 0 {
		return
	}
	copyViewAt(dst, src, size, dims, strides, offset)
}

func copyViewAt(dst, src []byte, size int, dims, strides []int, offset int) []byte {
	if len(dims) == 0 {
		copy(dst[:size], src[offset*size:])
		return dst[size:]
	}
	n, step := dims[0], strides[0]
	if len(dims) > 1 {
		for i := range n {
			dst = copyViewAt(dst, src, size, dims[1:], strides[1:], offset+i*step)
		}
		return dst
	}
	if step == 1 {
		copy(dst[:n*size], src[offset*size:])
		return dst[n*size:]
	}
	for i := range n {
		copy(dst[i*size:(i+1)*size], src[(offset+i*step)*size:])
	}
	return dst[n*size:]
}

// broadcast is the common shape of several, by NumPy's rule.
func (c *call) broadcast(shapes ...[]int) []int {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			j := rank - len(s) + i
			switch {
			case d == out[j] || d == 1:
			case out[j] == 1:
				out[j] = d
			default:
				c.fail("cannot broadcast %s with %s", shapeString(shapes[0]), shapeString(s))
			}
		}
	}
	return out
}

// spreadStrides gives the strides with which a dense tensor of shape from is
// read as one of shape to.
func spreadStrides(from, to []int) []int {
	own, out := rowMajor(from), make([]int, len(to))
	for i, d := range from {
		if d != 1 {
			out[len(to)-len(from)+i] = own[i]
		}
	}
	return out
}

// spread broadcasts values of shape from to shape to.
func spread[T any](v []T, from, to []int) []T {
	n := product(to)
	if n == len(v) {
		return v
	}
	out := make([]T, 0, n)
	if n == 0 {
		return out
	}
	strides := spreadStrides(from, to)
	eachOffset(to, strides, func(at int) { out = append(out, v[at]) })
	return out
}

// eachOffset visits the positions of a shape in row-major order and calls visit
// with Σ index·stride.
func eachOffset(dims, strides []int, visit func(at int)) {
	if product(dims) == 0 {
		return
	}
	index, at := make([]int, len(dims)), 0
	for {
		visit(at)
		i := len(dims) - 1
		for ; i >= 0; i-- {
			index[i]++
			at += strides[i]
			if index[i] < dims[i] {
				break
			}
			at -= index[i] * strides[i]
			index[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

// split3 divides a shape around an axis: the product before it, its length, the
// product after it.
func split3(dims []int, axis int) (outer, n, inner int) {
	return product(dims[:axis]), dims[axis], product(dims[axis+1:])
}
