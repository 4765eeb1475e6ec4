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
// products read.
type panels struct {
	taps, k, n int
	st, sk, sn int // distances of taps, rows and columns in the weights
}

func (l panels) floats() int {
	return int(C.vl_packed_floats(C.vl_n(l.taps), C.vl_n(l.k), C.vl_n(l.n)))
}

func (l panels) pack(w *C.float, out *C.float) {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	C.vl_pack_panels(n(l.taps), n(l.k), n(l.n), n(l.st), n(l.sk), n(l.sn), w, out)
}

// matrix is the layout of op(B) (K, N), rows pitch apart in memory.
func matrix(trans bool, k, n, pitch int) panels {
	if trans {
		return panels{1, k, n, 0, 1, pitch}
	}
	return panels{1, k, n, 0, pitch, 1}
}

// factor is a packed second factor: made once if it is frozen, in the thread's
// scratch at every run if not.
type factor struct {
	layout panels
	from   *C.float
	mem    *C.float // nil: packed at every run
	at     int      // in floats from the scratch's beginning
}

func (f *factor) get(scratch unsafe.Pointer) *C.float {
	if f.mem != nil || f.from == nil {
		return f.mem
	}
	out := (*C.float)(unsafe.Add(scratch, 4*f.at))
	f.layout.pack(f.from, out)
	return out
}

// factor prepares an operand; scratch grows by what it takes at a run.
func (k *Kernels) factor(o operand, scratch *int) (*factor, error) {
	b, l := o.buf, o.layout
	f := &factor{layout: l, from: ptr(b), at: *scratch}
	if !b.Frozen {
		*scratch += (l.floats() + 15) &^ 15
		return f, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer b.GiveBack()
	n := b.Bytes() / 4
	print := C.vl_fingerprint(ptr(b), C.vl_n(n))
	for _, p := range k.panels[b.Pointer()] {
		if p.elements == n && p.fingerprint == print && p.layout == l {
			f.mem = p.mem
			return f, nil
		}
	}
	mem := (*C.float)(C.vl_cache_aligned(C.size_t(4 * l.floats())))
	if mem == nil {
		return nil, errNoMemory(4 * l.floats())
	}
	l.pack(ptr(b), mem)
	k.panels[b.Pointer()] = append(k.panels[b.Pointer()], packedPanels{n, print, l, mem})
	f.mem = mem
	return f, nil
}

// packedPanels is one packed form of the weights at an address.
type packedPanels struct {
	elements    int
	fingerprint C.uint64_t
	layout      panels
	mem         *C.float
}

// operand is a second factor and how it lies.
type operand struct {
	buf    *buffer.Buffer
	layout panels
}

// multiply binds an own product.
func (k *Kernels) multiply(p *C.vl_product, a *buffer.Buffer, b operand, h *buffer.Buffer, c operand, bias, y *buffer.Buffer) (kernels.Run, error) {
	scratch := 0
	fb, err := k.factor(b, &scratch)
	if err != nil {
		return nil, err
	}
	fc := &factor{}
	if h != nil {
		if fc, err = k.factor(c, &scratch); err != nil {
			return nil, err
		}
	}
	if err := reserve(4 * scratch); err != nil {
		return nil, err
	}
	ap, hp, biasp, yp, bytes := ptr(a), ptr(h), ptr(bias), ptr(y), C.size_t(4*scratch)
	if bytes == 0 {
		return func() { C.vl_multiply(p, ap, fb.mem, hp, fc.mem, biasp, yp) }, nil
	}
	return func() {
		s := C.vl_scratch(bytes)
		C.vl_multiply(p, ap, fb.get(s), hp, fc.get(s), biasp, yp)
	}, nil
}

// own reports whether a product runs in own loops.
func (k *Kernels) own(p kernels.MatMul) bool {
	if half(p.A, p.B, p.Y) || p.Batch > 1 || p.Alpha != 0 && p.Alpha != 1 || k.large(p) {
		return false
	}
	return p.Thin == nil || !half(p.Thin.H)
}

// ownProduct is a matrix product by own loops.
func (k *Kernels) ownProduct(p kernels.MatMul) (kernels.Run, error) {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	g := &C.vl_product{m: n(p.M), n: n(p.N), k: n(p.K), lda: pitch(p.A), step: 1, ldy: pitch(p.Y), acc: flag(p.Accumulate)}
	if p.TransA {
		g.lda, g.step = 1, pitch(p.A)
	}
	main := operand{p.B, matrix(p.TransB, p.K, p.N, p.B.Pitch)}
	if p.Thin == nil {
		return k.multiply(g, p.A, main, nil, operand{}, p.Bias, p.Y)
	}
	t := p.Thin
	r := t.H.Cols()
	g.r, g.ldh = n(r), pitch(t.H)
	return k.multiply(g, p.A, main, t.H, operand{t.C, matrix(t.Trans, r, p.N, t.C.Pitch)}, p.Bias, p.Y)
}

// ownConv reports whether a convolution runs in own loops: where oneDNN's are
// slower. Weights that may change are packed at every run, which pays over many
// pixels; three channels are too few for a tap.
func (k *Kernels) ownConv(p kernels.Conv, backward bool) bool {
	const fewest, taps = 8, 64
	w := p.W.Shape
	terms, pixels := w[1], p.Y.Rows()
	if backward {
		terms, pixels = w[0], p.X.Rows()
	}
	return C.vl_own_convolutions() != 0 && !k.bf16 && !half(p.X, p.Y, p.W) && p.Groups == 1 && terms >= fewest && w[2]*w[3] <= taps &&
		(p.W.Frozen || pixels >= 1024)
}

// convolve is a convolution, or the gradient of its input, by own loops.
func (k *Kernels) convolve(p kernels.Conv, backward bool) (kernels.Run, error) {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	w := p.W.Shape
	cout, cin, taps := w[0], w[1], w[2]*w[3]
	from, to := p.X, p.Y
	l := panels{taps: taps, k: cin, n: cout, st: 1, sk: taps, sn: cin * taps}
	if backward {
		from, to = p.Y, p.X
		l = panels{taps: taps, k: cout, n: cin, st: 1, sk: cin * taps, sn: taps}
	}
	g := &C.vl_product{m: n(to.Rows()), n: n(l.n), k: n(l.k), lda: pitch(from), step: 1, ldy: pitch(to), acc: flag(p.Accumulate), window: 1}
	g.at = C.vl_window{h: n(from.Shape[1]), w: n(from.Shape[2]), oh: n(to.Shape[1]), ow: n(to.Shape[2]), kh: n(w[2]), kw: n(w[3]),
		sh: n(p.Stride[0]), sw: n(p.Stride[1]), dh: n(p.Dilation[0]), dw: n(p.Dilation[1]), pt: n(p.Pads[0]), pl: n(p.Pads[1]), backward: flag(backward)}
	bias := p.Bias
	if backward {
		bias = nil
	}
	if p.Thin == nil {
		return k.multiply(g, from, operand{p.W, l}, nil, operand{}, bias, to)
	}
	t := p.Thin
	r := t.H.Cols()
	g.r, g.ldh, g.wide = n(r), pitch(t.H), g.at.backward
	lh := matrix(true, r, cout, t.C.Pitch)
	if backward {
		lh = panels{taps: taps, k: r, n: cin, st: 1, sk: cin * taps, sn: taps}
	}
	return k.multiply(g, from, operand{p.W, l}, t.H, operand{t.C, lh}, bias, to)
}
