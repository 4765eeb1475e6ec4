//go:build onednn && cgo

package onednn

/*
#cgo CFLAGS: -O3 -fopenmp
#cgo LDFLAGS: -ldnnl -lgomp -lm
#include "native.h"
#cgo noescape vl_multiply
#cgo nocallback vl_multiply
#cgo noescape vl_multiply_winograd
#cgo nocallback vl_multiply_winograd
#cgo noescape vl_winograd_pack
#cgo nocallback vl_winograd_pack
#cgo noescape vl_multiply16
#cgo nocallback vl_multiply16
#cgo noescape vl_sum_rows
#cgo nocallback vl_sum_rows
#cgo noescape vl_pack_cells
#cgo nocallback vl_pack_cells
#cgo noescape vl_pack_panels
#cgo nocallback vl_pack_panels
#cgo noescape vl_skinny
#cgo nocallback vl_skinny
#cgo noescape vl_prim_run
#cgo nocallback vl_prim_run
#cgo noescape vl_attention
#cgo nocallback vl_attention
#cgo noescape vl_attention_backward
#cgo nocallback vl_attention_backward
#cgo noescape vl_copy
#cgo nocallback vl_copy
#cgo noescape vl_unary
#cgo nocallback vl_unary
#cgo noescape vl_unary_backward
#cgo nocallback vl_unary_backward
#cgo noescape vl_binary
#cgo nocallback vl_binary
#cgo noescape vl_affine
#cgo nocallback vl_affine
#cgo noescape vl_column_sum
#cgo nocallback vl_column_sum
#cgo noescape vl_reduce_columns
#cgo nocallback vl_reduce_columns
#cgo noescape vl_reduce_rows
#cgo nocallback vl_reduce_rows
#cgo noescape vl_layer_norm
#cgo nocallback vl_layer_norm
#cgo noescape vl_layer_norm_backward
#cgo nocallback vl_layer_norm_backward
#cgo noescape vl_softmax
#cgo nocallback vl_softmax
#cgo noescape vl_softmax_backward
#cgo nocallback vl_softmax_backward
#cgo noescape vl_pool
#cgo nocallback vl_pool
#cgo noescape vl_depthwise_weights
#cgo nocallback vl_depthwise_weights
#cgo noescape vl_widen_rows
#cgo nocallback vl_widen_rows
#cgo noescape vl_narrow_rows
#cgo nocallback vl_narrow_rows
#cgo noescape vl_fingerprint
#cgo nocallback vl_fingerprint
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// Kernels holds the primitives and packed weights of its executors. Binding is
// safe from several threads at once. What has no native form, and everything in
// float64, runs in the embedded portable kernels.
type Kernels struct {
	kernels.Go

	parts  int  // of products' factors: sums of so many numbers of bf16, 0 where they stay as they are
	bf16   bool // values may be bf16 in memory
	least  int  // multiplications that make it worth it,
	terms  int  // more than so many of them in a sum,
	rows   int  // and rows that weights are read for
	shared int  // weights from which one packing serves both directions: see turns

	mu     sync.Mutex
	prims  []*C.vl_prim
	packed map[unsafe.Pointer][]packed
	panels map[unsafe.Pointer][]packedPanels
}

// packed is one packed form of the weights at an address.
type packed struct {
	elements    int
	fingerprint C.uint64_t
	mem         *C.vl_packed
}

var _ kernels.Kernels = (*Kernels)(nil)

// New prepares oneDNN, for float32. Where the processor has tiles for bfloat16, three
// numbers of it are one of float32 in large products: they make its sums no less
// exactly, and faster.
func New() (*Kernels, error) {
	k, err := open()
	if err == nil && Tiles() {
		// Splitting rows is dear for few terms, and reading weights for few rows: they
		// are half as large again.
		k.parts, k.terms, k.rows = 3, 3*skinny, 64
	}
	return k, err
}

func open() (*Kernels, error) {
	if s := C.vl_init(); s != 0 {
		return nil, fmt.Errorf("kernels: create the oneDNN engine: status %d", int(s))
	}
	return &Kernels{least: 1 << 20, terms: skinny, shared: 2 << 20, packed: map[unsafe.Pointer][]packed{}, panels: map[unsafe.Pointer][]packedPanels{}}, nil
}

// NewBF16 is [New] with the factors of large products and convolutions rounded
// to bfloat16, and buffers of bfloat16 accepted where ops.Narrow says so; sums are
// float32. ok is false where the processor is not faster so.
func NewBF16() (k *Kernels, ok bool, err error) {
	if k, err = open(); err != nil {
		return nil, false, err
	}
	if k.bf16 = C.vl_has_cells() != 0; k.bf16 {
		k.parts = 1
	}
	return k, k.bf16, nil
}

// NewBF16x2 is [New] with the factors of large products and convolutions as sums of
// two numbers of bfloat16: 16 bits of each, where float32 has 24 and bfloat16 8. ok
// is false where the processor has no tiles for them.
func NewBF16x2() (k *Kernels, ok bool, err error) {
	if k, err = open(); err != nil {
		return nil, false, err
	}
	if Tiles() {
		k.parts = 2
	}
	return k, k.parts > 0, nil
}

// PackedBytes is what a weight of this shape takes in a copy for large products. slides:
// it is that of a convolution whose map is as large as its result, so that it may be
// Winograd's.
func (k *Kernels) PackedBytes(shape []int, slides bool) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if slides && len(shape) == 4 && shape[2] == 3 && shape[3] == 3 && k.winograds() {
		if cout, cin := C.vl_n(shape[0]), C.vl_n(shape[1]); C.vl_winograd_takes(cin, cout) != 0 {
			return 4 * int(C.vl_winograd_floats(cin, cout))
		}
	}
	if k.parts == 0 {
		return 4 * n
	}
	return 2 * k.parts * n
}

// BF16 reports whether products are made of bf16, and values may be bf16 in
// memory.
func (k *Kernels) BF16() bool { return k.bf16 }

// Available reports whether this build has oneDNN.
func Available() bool { return true }

// Tiles reports whether this processor multiplies tiles of bf16, which products in
// float32 then are sums of.
func Tiles() bool { return C.vl_has_tiles() != 0 }

// LockThread wires the calling goroutine to its thread and switches OpenMP off
// on it. Executors call it before they bind.
func LockThread() {
	runtime.LockOSThread()
	C.vl_one_thread()
}

// Share lets the kernels of the calling thread use n threads from now on, also
// those that it binds: for a batch that is too small to give every executor a
// shard. Results do not depend on n.
func Share(n int) { C.vl_share(C.int(n)) }

// Name implements [kernels.Kernels].
func (k *Kernels) Name() string { return "onednn" }

// ISA names the instruction set of the C loops: "AVX-512", "AVX2", "baseline".
func (k *Kernels) ISA() string { return C.GoString(C.vl_isa()) }

// limitISA makes the C loops those of a lesser processor: 0 baseline, 1 AVX2, 2
// AVX-512 without bf16, 3 whatever there is. Only for tests, while no kernel runs.
func (k *Kernels) limitISA(limit int) { C.vl_limit_isa(C.int(limit)) }

// withoutTiles makes products of bf16 those of processors without AMX. Only for
// tests, while no kernel runs.
func (k *Kernels) withoutTiles(yes bool) { C.vl_cells_without_tiles(flag(yes)) }

// Close releases all primitives and packed weights. No bound kernel may run
// afterwards.
func (k *Kernels) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.prims {
		C.vl_prim_free(p)
	}
	for _, forms := range k.packed {
		for _, f := range forms {
			C.vl_packed_free(f.mem)
		}
	}
	for _, forms := range k.panels {
		for _, f := range forms {
			C.vl_release(f.mem)
		}
	}
	k.prims, k.packed, k.panels = nil, map[unsafe.Pointer][]packed{}, map[unsafe.Pointer][]packedPanels{}
}

// keep registers a primitive for Close; packs its weights when they are frozen.
func (k *Kernels) keep(p *C.vl_prim, w *buffer.Buffer) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.prims = append(k.prims, p)
	if w.Frozen {
		m, err := k.pack(p, w)
		if err != nil {
			return err
		}
		C.vl_prim_use(p, m)
	}
	return reserve(int(C.vl_prim_scratch(p)))
}

// pack returns w in the layout that p wants, packing it at most once. The
// fingerprint guards against an address that holds other weights by now.
func (k *Kernels) pack(p *C.vl_prim, w *buffer.Buffer) (*C.vl_packed, error) {
	defer w.GiveBack()
	n := w.Bytes() / 4
	print := C.vl_fingerprint(ptr(w), C.vl_n(n))
	for _, f := range k.packed[w.Pointer()] {
		if f.elements == n && f.fingerprint == print && C.vl_packed_fits(f.mem, p) != 0 {
			return f.mem, nil
		}
	}
	m := C.vl_pack(p, ptr(w))
	if m == nil {
		return nil, fmt.Errorf("kernels: pack %d weights: oneDNN has no memory or no reorder for them", n)
	}
	k.packed[w.Pointer()] = append(k.packed[w.Pointer()], packed{n, print, m})
	return m, nil
}

// reserve grows the calling thread's scratch.
func reserve(bytes int) error {
	if C.vl_reserve(C.size_t(bytes)) != 0 {
		return errNoMemory(bytes)
	}
	return nil
}

func errNoMemory(bytes int) error {
	return fmt.Errorf("kernels: allocate %d bytes: out of memory", bytes)
}

// ptr is b's memory for C, nil for nil.
func ptr(b *buffer.Buffer) *C.float {
	if b == nil {
		return nil
	}
	return (*C.float)(b.Pointer())
}

// mat is b as rows for C, absent for nil.
func mat(b *buffer.Buffer) C.vl_mat {
	if b == nil {
		return C.vl_mat{}
	}
	m := C.vl_mat{p: b.Pointer(), pitch: C.vl_n(b.Pitch), half: flag(half(b))}
	if slopes(b) {
		m.half = C.VL_SLOPES
	}
	return m
}

// slopes reports whether b holds derivatives in bytes; see [kernels.Func.Slope].
func slopes(b *buffer.Buffer) bool { return b != nil && b.Storage == buffer.U8 }

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// done panics on a primitive that fails after it was bound: a broken invariant.
func done(kernel string, status C.int) {
	if status != 0 {
		panic(fmt.Sprintf("kernels: %s: oneDNN returns status %d", kernel, int(status)))
	}
}

// layout is the rows and the length of a row of equally shaped buffers: one
// long row when all of them are dense.
func layout(bufs ...*buffer.Buffer) (rows, cols C.vl_n) {
	b := bufs[0]
	for _, c := range bufs {
		if c != nil && !c.Dense() {
			return C.vl_n(b.Rows()), C.vl_n(b.Cols())
		}
	}
	return 1, C.vl_n(b.Len())
}

// pitch is the distance between rows; 0 for nil.
func pitch(b *buffer.Buffer) C.vl_n {
	if b == nil {
		return 0
	}
	return C.vl_n(b.Pitch)
}

// native reports whether a checked call has a native form at all.
func native(s buffer.Storage, err error, b *buffer.Buffer) bool {
	return err == nil && s == buffer.F32 && b.Len() > 0
}
