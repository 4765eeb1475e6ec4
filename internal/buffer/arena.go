package buffer

import (
	"fmt"
	"unsafe"
)

// Align is the alignment of everything in an [Arena], in bytes: a cache line,
// and the widest vector register.
const Align = 64

// Arena is a block of zeroed memory outside the Go heap, so that native kernels
// may keep its addresses and the garbage collector need not look at it.
type Arena struct {
	mem []byte
}

// NewArena reserves n bytes. Pages are only backed once they are touched.
func NewArena(n int) (*Arena, error) {
	if n <= 0 {
		n = Align
	}
	mem, err := reserve(n)
	if err != nil {
		return nil, fmt.Errorf("reserve %d MiB of memory: %w", n>>20, err)
	}
	return &Arena{mem}, nil
}

// Bytes is the arena's size.
func (a *Arena) Bytes() int { return len(a.mem) }

// At is a view of the arena from a byte offset on.
func (a *Arena) At(offset int, s Storage, shape ...int) *Buffer {
	b := At(unsafe.Pointer(&a.mem[offset]), s, 0, shape...)
	if end := offset + b.Bytes(); end > len(a.mem) {
		panic(fmt.Sprintf("buffer: view ends at byte %d of %d", end, len(a.mem)))
	}
	return b
}

// Free gives the memory back. No view of it may be used afterwards.
func (a *Arena) Free() {
	if a.mem != nil {
		release(a.mem)
		a.mem = nil
	}
}

// Padded rounds a number of bytes up to the alignment.
func Padded(n int) int { return (n + Align - 1) &^ (Align - 1) }
