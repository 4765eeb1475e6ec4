//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"unsafe"

	"github.com/vislora/vislora/internal/kernels"
)

// attention describes the sizes and views that both passes share, and reserves
// the thread's scratch. Small products are not worth rounding.
func (k *Kernels) attention(p kernels.Attention, backward, narrow bool) (*C.vl_attn, error) {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	a := &C.vl_attn{n: n(p.N), heads: n(p.Heads), tq: n(p.Tq), tk: n(p.Tk), d: n(p.D), dv: n(p.Dv), scale: C.float(p.Scale),
		qb: n(p.Q.Batch), qt: n(p.Q.Token), qh: n(p.Q.Head), kb: n(p.K.Batch), kt: n(p.K.Token), kh: n(p.K.Head),
		vb: n(p.V.Batch), vt: n(p.V.Token), vh: n(p.V.Head)}
	a.q16, a.k16, a.v16 = flag(half(p.Q.Buf)), flag(half(p.K.Buf)), flag(half(p.V.Buf))
	a.bf16 = flag(narrow || k.bf16 && p.Tq*p.Tk*(p.D+p.Dv) >= k.least>>4)
	if p.Mask != nil {
		batch, head, _ := p.MaskStrides()
		a.mb, a.mh, a.mpitch = n(batch), n(head), pitch(p.Mask)
	}
	return a, reserve(int(C.vl_attention_scratch(a, flag(backward))))
}

func empty(p kernels.Attention) bool { return p.N*p.Heads*p.Tq*p.Tk*p.D*p.Dv == 0 }

// place is the address of a view's first element.
func place(v kernels.View) unsafe.Pointer {
	if v.Buf == nil {
		return nil
	}
	return v.Buf.From(v.Offset)
}

// Attention implements [kernels.Kernels].
func (k *Kernels) Attention(p kernels.Attention) (kernels.Run, error) {
	narrow := half(p.Q.Buf, p.K.Buf, p.V.Buf, p.O.Buf)
	if s, err := p.Check(false); !narrow && !native(s, err, p.Q.Buf) || empty(p) {
		return k.Go.Attention(p)
	}
	a, err := k.attention(p, false, narrow)
	a.ob, a.ot, a.oh = C.vl_n(p.O.Batch), C.vl_n(p.O.Token), C.vl_n(p.O.Head)
	a.o16 = flag(half(p.O.Buf))
	q, kk, v, o, mask, stats := place(p.Q), place(p.K), place(p.V), place(p.O), ptr(p.Mask), ptr(p.Stats)
	return func() { C.vl_attention(a, q, kk, v, mask, stats, o) }, err
}

// AttentionBackward implements [kernels.Kernels].
func (k *Kernels) AttentionBackward(p kernels.Attention) (kernels.Run, error) {
	narrow := half(p.Q.Buf, p.K.Buf, p.V.Buf, p.DO.Buf, p.DQ.Buf, p.DK.Buf, p.DV.Buf)
	if s, err := p.Check(true); !narrow && !native(s, err, p.Q.Buf) || empty(p) {
		return k.Go.AttentionBackward(p)
	}
	a, err := k.attention(p, true, narrow)
	n := func(i int) C.vl_n { return C.vl_n(i) }
	a.ob, a.ot, a.oh = n(p.DO.Batch), n(p.DO.Token), n(p.DO.Head)
	a.dqb, a.dqt, a.dqh = n(p.DQ.Batch), n(p.DQ.Token), n(p.DQ.Head)
	a.dkb, a.dkt, a.dkh = n(p.DK.Batch), n(p.DK.Token), n(p.DK.Head)
	a.dvb, a.dvt, a.dvh = n(p.DV.Batch), n(p.DV.Token), n(p.DV.Head)
	a.o16, a.dq16, a.dk16, a.dv16 = flag(half(p.DO.Buf)), flag(half(p.DQ.Buf)), flag(half(p.DK.Buf)), flag(half(p.DV.Buf))
	q, kk, v, g, mask, stats := place(p.Q), place(p.K), place(p.V), place(p.DO), ptr(p.Mask), ptr(p.Stats)
	dq, dk, dv := place(p.DQ), place(p.DK), place(p.DV)
	return func() { C.vl_attention_backward(a, q, kk, v, mask, stats, g, dq, dk, dv) }, err
}
