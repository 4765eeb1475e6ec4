//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"unsafe"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// panels is a matrix, or one for every tap of a kernel, in the layout that own
// products read: panels of float32, or cells of bf16.
type panels struct {
	taps, k, n int
	st, sk, sn int // distances of taps, rows and columns in the weights
	cells      bool
	join       int   // of cells: so many taps' terms in a row; 0 is 1
	split      C.int // of cells: which way a thin factor is two numbers
	parts      int   // of cells: a number is a sum of so many
	winograd   bool  // panels of the values at Winograd's points
}

func (l panels) factor() C.vl_factor {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	return C.vl_factor{taps: n(l.taps), k: n(l.k), n: n(l.n), st: n(l.st), sk: n(l.sk), sn: n(l.sn), join: C.int(max(l.join, 1)), split: l.split, parts: C.int(max(l.parts, 1))}
}

func (l panels) bytes() int {
	f := l.factor()
	switch {
	case l.cells:
		return 2 * int(C.vl_packed_cells(&f))
	case l.winograd:
		return 4 * int(C.vl_winograd_floats(f.k, f.n))
	}
	return 4 * int(C.vl_packed_floats(f.taps, f.k, f.n))
}

func (l panels) pack(w *C.float, out unsafe.Pointer) {
	f := l.factor()
	switch {
	case l.cells:
		C.vl_pack_cells(&f, w, (*C.uint16_t)(out))
		return
	case l.winograd:
		C.vl_winograd_pack(f.k, f.n, f.st, f.sk, f.sn, w, (*C.float)(out))
		return
	}
	C.vl_pack_panels(f.taps, f.k, f.n, f.st, f.sk, f.sn, w, (*C.float)(out))
}

// matrix is the layout of op(B) (K, N), rows pitch apart in memory.
func matrix(trans bool, k, n, pitch int) panels {
	if trans {
		return panels{taps: 1, k: k, n: n, sk: 1, sn: pitch}
	}
	return panels{taps: 1, k: k, n: n, sk: pitch, sn: 1}
}

// factor is a packed second factor: made once if it is frozen, in the thread's
// scratch at every run if not.
type factor struct {
	layout panels
	turned bool // mem is the packing of the other product with these weights
	from   *C.float
	mem    unsafe.Pointer // nil: packed at every run
	at     int            // in bytes from the scratch's beginning
}

func (f *factor) get(scratch unsafe.Pointer) unsafe.Pointer {
	if f.mem != nil || f.from == nil {
		return f.mem
	}
	out := unsafe.Add(scratch, f.at)
	f.layout.pack(f.from, out)
	return out
}

// factor prepares an operand; scratch grows by what it takes at a run.
func (k *Kernels) factor(o operand, scratch *int) (*factor, error) {
	b, l := o.buf, o.layout
	f := &factor{layout: l, from: ptr(b), at: *scratch}
	if !b.Frozen {
		*scratch += buffer.Padded(l.bytes())
		return f, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer b.GiveBack()
	n := b.Bytes() / 4
	print := C.vl_fingerprint(ptr(b), C.vl_n(n))
	for _, p := range k.panels[b.Pointer()] {
		if p.elements != n || p.fingerprint != print {
			continue
		}
		if f.turned = k.turns(p.layout, l); f.turned || p.layout == l {
			f.mem = p.mem
			return f, nil
		}
	}
	mem := C.vl_cache_aligned(C.size_t(l.bytes()))
	if mem == nil {
		return nil, errNoMemory(l.bytes())
	}
	l.pack(ptr(b), mem)
	k.panels[b.Pointer()] = append(k.panels[b.Pointer()], packedPanels{n, print, l, mem})
	f.mem = mem
	return f, nil
}

// turns reports whether a packing is shared by a product and the one with its weights
// turned, the gradient of its input: where they are large and take more memory than
// they do as float32.
func (k *Kernels) turns(packed, l panels) bool {
	l.k, l.n, l.sk, l.sn = l.n, l.k, l.sn, l.sk
	return packed == l && l.parts > 2 && l.st == 0 && l.split == C.VL_WHOLE && l.k*l.n >= k.shared
}

// packedPanels is one packed form of the weights at an address.
type packedPanels struct {
	elements    int
	fingerprint C.uint64_t
	layout      panels
	mem         unsafe.Pointer
}

// operand is a second factor and how it lies.
type operand struct {
	buf    *buffer.Buffer
	layout panels
}

// A product's operands beside its sizes.
type operands struct {
	a, h, bias, y *buffer.Buffer
	b, c, down    operand // of h: c the other factor, down what makes it
}

// multiply binds an own product.
func (k *Kernels) multiply(p *C.vl_product, o operands) (kernels.Run, error) {
	scratch := 0
	factors := [3]*factor{}
	for i, f := range [3]operand{o.b, o.c, o.down} {
		factors[i] = &factor{}
		if f.buf == nil {
			continue
		}
		var err error
		if factors[i], err = k.factor(f, &scratch); err != nil {
			return nil, err
		}
	}
	if err := reserve(scratch); err != nil {
		return nil, err
	}
	b, c, down := factors[0], factors[1], factors[2]
	p.turned = flag(b.turned)
	a, h, bias, y, bytes := ptr(o.a), ptr(o.h), ptr(o.bias), ptr(o.y), C.size_t(scratch)
	if o.b.layout.cells {
		return func() {
			s := C.vl_scratch(bytes)
			C.vl_multiply16(p, unsafe.Pointer(a), (*C.uint16_t)(b.get(s)), h, (*C.uint16_t)(c.get(s)), (*C.uint16_t)(down.get(s)), bias, unsafe.Pointer(y))
		}, nil
	}
	if o.b.layout.winograd {
		return func() {
			s := C.vl_scratch(bytes)
			C.vl_multiply_winograd(p, unsafe.Pointer(a), (*C.float)(b.mem), h, (*C.float)(c.get(s)), (*C.float)(down.get(s)), bias, unsafe.Pointer(y))
		}, nil
	}
	return func() {
		s := C.vl_scratch(bytes)
		C.vl_multiply(p, a, (*C.float)(b.get(s)), h, (*C.float)(c.get(s)), bias, y)
	}, nil
}

// wide reports whether second factors are in float32.
func wide(p kernels.MatMul) bool {
	return !half(p.B, p.Bias) && (p.Thin == nil || !half(p.Thin.H, p.Thin.C, p.Thin.Down))
}

// cells reports whether a product's factors are rounded to bf16, or sums of two such
// numbers.
func (k *Kernels) cells(p kernels.MatMul) bool {
	return wide(p) && !p.TransA && (k.bf16 && half(p.A, p.Y) || k.large(p)) && (k.bf16 || thinEnough(p.Thin))
}

// thinEnough reports whether a thin pair has room for both parts of its numbers.
func thinEnough(t *kernels.Thin) bool { return t == nil || t.H.Cols() <= skinny }

// finishing is what a product does with its results, where it can: what it reads has
// to lie like y.
func finishing(f *kernels.Finish, y *buffer.Buffer) (c C.vl_finish) {
	if f == nil || !y.Dense() {
		return c
	}
	for _, b := range [2]*buffer.Buffer{f.Add, f.Mask} {
		if b != nil && (b.Storage != y.Storage || b.Len() != y.Len() || !b.Dense() || b.Pointer() == y.Pointer()) {
			return c
		}
	}
	behind := func(b *buffer.Buffer) C.ptrdiff_t {
		if b == nil {
			return 0
		}
		return C.ptrdiff_t(uintptr(b.Pointer()) - uintptr(y.Pointer()))
	}
	f.Taken = true
	return C.vl_finish{add: behind(f.Add), mask: behind(f.Mask), relu: flag(f.Relu)}
}

// ownProduct is a matrix product by own loops, in cells or in float32.
func (k *Kernels) ownProduct(p kernels.MatMul, cells bool) (kernels.Run, error) {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	g := &C.vl_product{m: n(p.M), n: n(p.N), k: n(p.K), lda: pitch(p.A), step: 1, ldy: pitch(p.Y), acc: flag(p.Accumulate), a16: flag(half(p.A)), y16: flag(half(p.Y)), finish: finishing(p.Finish, p.Y)}
	if p.TransA {
		g.lda, g.step = 1, pitch(p.A)
	}
	o := operands{a: p.A, bias: p.Bias, y: p.Y, b: operand{p.B, matrix(p.TransB, p.K, p.N, p.B.Pitch)}}
	if t := p.Thin; t != nil {
		r := t.H.Cols()
		g.r, g.ldh = n(r), pitch(t.H)
		o.h, o.c = t.H, operand{t.C, matrix(t.Trans, r, p.N, t.C.Pitch)}
		if t.Down != nil {
			o.down = operand{t.Down, matrix(t.DownTrans, p.K, r, t.Down.Pitch)}
		}
	}
	if cells {
		o = k.inCells(g, o)
	}
	return k.multiply(g, o)
}

// inCells is the operands of a product with their second factors in cells.
func (k *Kernels) inCells(g *C.vl_product, o operands) operands {
	o.b.layout.cells, o.c.layout.cells, o.down.layout.cells = true, true, true
	o.c.layout.split, o.down.layout.split = C.VL_SPLIT_TERMS, C.VL_SPLIT_COLUMNS
	g.parts, o.b.layout.parts, o.c.layout.parts, o.down.layout.parts = C.int(k.parts), k.parts, k.parts, k.parts
	if C.vl_thin_in_parts(g) != 0 {
		o.c.layout.split = C.VL_WHOLE
	}
	return o
}

// cellsConv reports whether a convolution that runs in own loops does so in cells. In
// three parts that are kernels of one tap with a stride, products of every other pixel:
// where Winograd's algorithm fits, that is faster, and what is left are few layers.
func (k *Kernels) cellsConv(p kernels.Conv, backward bool) bool {
	w, pixels := p.W.Shape, p.Y.Rows()
	switch {
	case k.winograd(p, backward):
		return false
	case k.bf16:
		return true
	case !thinEnough(p.Thin):
		return false
	case k.parts == 2:
		return w[0] > skinny && pixels*p.W.Len() >= k.least
	}
	return w[2]*w[3] == 1 && p.Stride != [2]int{1, 1} && k.worth(pixels, w[0], w[1])
}

// ownConv reports whether a convolution runs in own loops: in cells, and where
// oneDNN's are slower. Weights that may change are packed at every run, which pays
// over many pixels; three channels are too few for a tap.
func (k *Kernels) ownConv(p kernels.Conv, backward bool) bool {
	const fewest, taps = 8, C.VL_TAPS
	w := p.W.Shape
	terms, pixels := w[1], p.Y.Rows()
	if backward {
		terms, pixels = w[0], p.X.Rows()
	}
	if p.Groups != 1 || half(p.W) || w[2]*w[3] > taps {
		return false
	}
	if k.winograd(p, backward) || k.cellsConv(p, backward) {
		return true
	}
	// oneDNN adds a gradient to another, such as an adapter's to its layer's, by way
	// of a copy of the map.
	adds := backward && p.Accumulate
	return (adds || C.vl_own_convolutions() != 0 && terms >= fewest) && (p.W.Frozen || pixels >= 1024) && !p.Thin.Makes()
}

// winograd reports whether a convolution, or the gradient of its input, is made by
// Winograd's algorithm, in float32 whatever the maps are: a quarter of the
// multiplications is less work than all of them in bf16, unless tiles make those.
func (k *Kernels) winograd(p kernels.Conv, backward bool) bool {
	if !p.W.Frozen || p.Groups != 1 || half(p.W) || !k.winograds() {
		return false
	}
	g := k.windows(p, backward)
	return C.vl_winograd(g) != 0
}

func (k *Kernels) winograds() bool { return !(k.bf16 || k.parts == 2) || !Tiles() }

// windows describes a convolution, or the gradient of its input, as a product.
func (k *Kernels) windows(p kernels.Conv, backward bool) *C.vl_product {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	from, to, terms, cols := p.X, p.Y, p.W.Shape[1], p.W.Shape[0]
	if backward {
		from, to, terms, cols = p.Y, p.X, cols, terms
	}
	g := &C.vl_product{m: n(to.Rows()), n: n(cols), k: n(terms), lda: pitch(from), step: 1, ldy: pitch(to), acc: flag(p.Accumulate), window: 1,
		a16: flag(half(from)), y16: flag(half(to)), parts: C.int(k.parts), at: window(p, from, to, backward)}
	if p.Thin != nil {
		g.r, g.ldh, g.wide = n(p.Thin.H.Cols()), pitch(p.Thin.H), g.at.backward
	}
	return g
}

// convolve is a convolution, or the gradient of its input, by own loops.
func (k *Kernels) convolve(p kernels.Conv, backward bool) (kernels.Run, error) {
	w := p.W.Shape
	cout, cin, taps := w[0], w[1], w[2]*w[3]
	from, to := p.X, p.Y
	l := panels{taps: taps, k: cin, n: cout, st: 1, sk: taps, sn: cin * taps}
	if backward {
		from, to = p.Y, p.X
		l = panels{taps: taps, k: cout, n: cin, st: 1, sk: cin * taps, sn: taps}
	}
	// Without a stride all taps reach every pixel, so their terms may lie in a row.
	whole := !backward || p.Stride == [2]int{1, 1}
	cells := k.cellsConv(p, backward)
	g := k.windows(p, backward)
	g.finish = finishing(p.Finish, to)
	switch {
	case k.winograd(p, backward):
		if l.winograd = true; backward {
			l.st = -1 // a gradient reads windows the other way
		}
	case cells && C.vl_steps_are_lines(g) != 0:
		l.join = w[3]
	case cells && whole && l.k%C.CELL != 0:
		l.join = taps
	}
	g.join = C.int(max(l.join, 1))
	o := operands{a: from, y: to, b: operand{p.W, l}}
	if !backward {
		o.bias = p.Bias
	}
	if t := p.Thin; t != nil {
		r := t.H.Cols()
		o.h, o.c = t.H, operand{t.C, matrix(true, r, cout, t.C.Pitch)}
		if backward {
			o.c.layout = l
			o.c.layout.k, o.c.layout.join = r, 0
		}
		if t.Down != nil {
			o.down = operand{t.Down, l}
			o.down.layout.n = r
		}
	}
	if cells {
		o = k.inCells(g, o)
	}
	if backward {
		o.c.layout.split = C.VL_WHOLE
		if cells && whole { // see slide and windows
			o.c.layout.join = taps
			if C.vl_slides(g) != 0 {
				o.c.layout.join = w[3]
			}
		}
	}
	return k.multiply(g, o)
}

// window describes what a convolution reads of from to make to.
func window(p kernels.Conv, from, to *buffer.Buffer, backward bool) C.vl_window {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	return C.vl_window{h: n(from.Shape[1]), w: n(from.Shape[2]), oh: n(to.Shape[1]), ow: n(to.Shape[2]), kh: n(p.W.Shape[2]), kw: n(p.W.Shape[3]),
		sh: n(p.Stride[0]), sw: n(p.Stride[1]), dh: n(p.Dilation[0]), dw: n(p.Dilation[1]), pt: n(p.Pads[0]), pl: n(p.Pads[1]), backward: flag(backward)}
}

// sumRows is a product over rows, the gradient of a factor, one of them or both in
// bf16; nil for others.
func (k *Kernels) sumRows(p kernels.MatMul) kernels.Run {
	if !k.bf16 || !p.TransA || p.TransB || p.Bias != nil || p.Thin != nil || half(p.Y) || !half(p.A) && !half(p.B) {
		return nil
	}
	s := &C.vl_row_sum{m: C.vl_n(p.M), n: C.vl_n(p.N), k: C.vl_n(p.K), lda: pitch(p.A), ldb: pitch(p.B), ldy: pitch(p.Y),
		a16: flag(half(p.A)), b16: flag(half(p.B)), acc: flag(p.Accumulate)}
	a, b, y := p.A.Pointer(), p.B.Pointer(), ptr(p.Y)
	return func() { C.vl_sum_rows(s, a, b, y) }
}

// sumWindows is the gradient of a kernel, where the map or the other gradient is in
// bf16; nil where neither is.
func (k *Kernels) sumWindows(p kernels.Conv) kernels.Run {
	w := p.W.Shape
	if !k.bf16 || !half(p.X) && !half(p.Y) || half(p.W) || p.Groups != 1 || w[2]*w[3] > C.VL_TAPS {
		return nil
	}
	n := func(i int) C.vl_n { return C.vl_n(i) }
	s := &C.vl_row_sum{m: n(w[0]), n: n(w[1]), k: n(p.Y.Rows()), lda: pitch(p.Y), ldb: pitch(p.X), ldy: n(w[1] * w[2] * w[3]),
		a16: flag(half(p.Y)), b16: flag(half(p.X)), acc: flag(p.Accumulate), window: 1, at: window(p, p.X, p.Y, false)}
	a, b, y := p.Y.Pointer(), p.X.Pointer(), ptr(p.W)
	return func() { C.vl_sum_rows(s, a, b, y) }
}
