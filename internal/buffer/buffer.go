// Package buffer holds the typed, pitched memory that operators and kernels
// work on, and the environment in which an operator is bound to it.
//
// Conventions, everywhere in vislora:
//
//   - Shapes are logical and row-major. The last axis is contiguous. A "row" is
//     one run along the last axis; consecutive rows are Pitch elements apart.
//   - Feature maps are (N, H, W, C), token sequences (N, T, C).
//   - Pixels are RGB unless a name says otherwise.
package buffer

import (
	"fmt"
	"unsafe"
)

// Storage is the element type of a [Buffer]. gorgonia knows no bf16, so a node
// keeps the type Float32 (or Float64 in gradient checks) and the executor
// decides the storage of each value.
type Storage uint8

// The storages. F64 exists so that gradients can be checked in float64.
const (
	F32 Storage = iota
	F64
	BF16
	U8
	I64
)

// Size is the number of bytes of one element.
func (s Storage) Size() int {
	switch s {
	case F32:
		return 4
	case F64, I64:
		return 8
	case BF16:
		return 2
	}
	return 1
}

func (s Storage) String() string {
	return [...]string{"f32", "f64", "bf16", "u8", "i64"}[s]
}

// Float is the set of element types the portable kernels are generic over.
type Float interface{ float32 | float64 }

// Buffer is a typed view of memory: a logical shape, and the distance between
// its rows. It owns nothing.
type Buffer struct {
	Storage Storage
	// Shape is the logical shape; a scalar has the empty shape.
	Shape []int
	// Pitch is the number of elements from one row to the next; at least the
	// last dimension, and equal to it when the buffer is dense.
	Pitch int
	// Frozen promises that the contents never change while any executor that
	// reads them lives, so a kernel set may keep a packed copy.
	Frozen bool

	mem unsafe.Pointer
	n   int // elements reachable from mem
}

// Of returns a dense view of data with the given shape. It panics if the
// number of elements differs: a broken invariant, never a user's mistake.
func Of[T float32 | float64 | uint16 | uint8 | int64](data []T, shape ...int) *Buffer {
	var z T
	b := &Buffer{Shape: shape, n: len(data)}
	switch any(z).(type) {
	case float32:
		b.Storage = F32
	case float64:
		b.Storage = F64
	case uint16:
		b.Storage = BF16
	case uint8:
		b.Storage = U8
	case int64:
		b.Storage = I64
	}
	if b.Len() != len(data) {
		panic(fmt.Sprintf("buffer: %d elements for shape %v", len(data), shape))
	}
	b.Pitch = b.Cols()
	b.mem = unsafe.Pointer(unsafe.SliceData(data))
	return b
}

// At returns a view of raw memory: storage s, shape and pitch (0 = dense). The
// caller keeps mem alive.
func At(mem unsafe.Pointer, s Storage, pitch int, shape ...int) *Buffer {
	b := &Buffer{Storage: s, Shape: shape, mem: mem}
	b.Pitch = max(pitch, b.Cols())
	if rows := b.Rows(); rows > 0 {
		b.n = (rows-1)*b.Pitch + b.Cols()
	}
	return b
}

// New allocates a dense, zeroed buffer on the Go heap.
func New(s Storage, shape ...int) *Buffer {
	n := 1
	for _, d := range shape {
		n *= d
	}
	words := make([]uint64, (n*s.Size()+7)/8+1)
	return At(unsafe.Pointer(unsafe.SliceData(words)), s, 0, shape...)
}

// Len is the number of logical elements.
func (b *Buffer) Len() int {
	n := 1
	for _, d := range b.Shape {
		n *= d
	}
	return n
}

// Cols is the length of a row: the last dimension, 1 for a scalar.
func (b *Buffer) Cols() int {
	if len(b.Shape) == 0 {
		return 1
	}
	return b.Shape[len(b.Shape)-1]
}

// Rows is the number of rows: the product of all but the last dimension.
func (b *Buffer) Rows() int {
	n := 1
	for i := 0; i+1 < len(b.Shape); i++ {
		n *= b.Shape[i]
	}
	return n
}

// Dense reports whether rows follow each other without a gap.
func (b *Buffer) Dense() bool { return b.Pitch == b.Cols() || b.Rows() <= 1 }

// Pointer is the address of the first element.
func (b *Buffer) Pointer() unsafe.Pointer { return b.mem }

// Bytes is the size of the memory that the view spans.
func (b *Buffer) Bytes() int { return b.n * b.Storage.Size() }

// Reshape returns a view of a dense buffer under another shape.
func (b *Buffer) Reshape(shape ...int) *Buffer {
	c := *b
	c.Shape = shape
	if c.Len() != b.Len() || !b.Dense() {
		panic(fmt.Sprintf("buffer: reshape %v (pitch %d) to %v", b.Shape, b.Pitch, shape))
	}
	c.Pitch = c.Cols()
	return &c
}

// Slice returns the n rows from row r on as a matrix.
func (b *Buffer) Slice(r, n int) *Buffer {
	if r < 0 || n < 0 || r+n > b.Rows() {
		panic(fmt.Sprintf("buffer: rows %d to %d of %v", r, r+n, b.Shape))
	}
	return At(unsafe.Add(b.mem, r*b.Pitch*b.Storage.Size()), b.Storage, b.Pitch, n, b.Cols())
}

// From is the address of element i.
func (b *Buffer) From(i int) unsafe.Pointer {
	if i < 0 || i >= b.n {
		panic(fmt.Sprintf("buffer: element %d of %d", i, b.n))
	}
	return unsafe.Add(b.mem, i*b.Storage.Size())
}

func (b *Buffer) check(s Storage) {
	if b.Storage != s {
		panic(fmt.Sprintf("buffer: %v read as %v", b.Storage, s))
	}
}

// F32 is the spanned memory as float32s, gaps between rows included.
func (b *Buffer) F32() []float32 { b.check(F32); return unsafe.Slice((*float32)(b.mem), b.n) }

// F64 is the spanned memory as float64s, gaps between rows included.
func (b *Buffer) F64() []float64 { b.check(F64); return unsafe.Slice((*float64)(b.mem), b.n) }

// BF16 is the spanned memory as the upper halves of float32s.
func (b *Buffer) BF16() []uint16 { b.check(BF16); return unsafe.Slice((*uint16)(b.mem), b.n) }

// U8 is the spanned memory as bytes.
func (b *Buffer) U8() []uint8 { b.check(U8); return unsafe.Slice((*uint8)(b.mem), b.n) }

// I64 is the spanned memory as int64s.
func (b *Buffer) I64() []int64 { b.check(I64); return unsafe.Slice((*int64)(b.mem), b.n) }

// Floats is the spanned memory of an F32 or F64 buffer as T.
func Floats[T Float](b *Buffer) []T {
	var z T
	if _, ok := any(z).(float32); ok {
		b.check(F32)
	} else {
		b.check(F64)
	}
	return unsafe.Slice((*T)(b.mem), b.n)
}

// Raw is the spanned memory as bytes, in the order of this machine.
func (b *Buffer) Raw() []byte {
	return unsafe.Slice((*byte)(b.mem), b.Bytes())
}

// Raw is the memory of a slice as bytes, in the order of this machine.
func Raw[T float32 | uint8](v []T) []byte {
	var z T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(z)))
}
