//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/vislora/vislora/internal/kernels"
)

// attention describes the sizes and views that both passes share.
func attention(p kernels.Attention) *C.vl_attn {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	a := &C.vl_attn{n: n(p.N), heads: n(p.Heads), tq: n(p.Tq), tk: n(p.Tk), d: n(p.D), dv: n(p.Dv), scale: C.float(p.Scale),
		qb: n(p.Q.Batch), qt: n(p.Q.Token), qh: n(p.Q.Head), kb: n(p.K.Batch), kt: n(p.K.Token), kh: n(p.K.Head),
		vb: n(p.V.Batch), vt: n(p.V.Token), vh: n(p.V.Head), ppitch: n(p.Tk)}
	a.q16, a.k16, a.v16, a.p16 = flag(half(p.Q.Buf)), flag(half(p.K.Buf)), flag(half(p.V.Buf)), flag(half(p.P))
	if p.P != nil {
		a.ppitch = n(p.P.Pitch)
		a.pstep = n(p.Tq * p.P.Pitch)
	}
	return a
}

// products are those in bf16, nil for float32.
func (k *Kernels) products(a *C.vl_attn, backward C.int, prob kernels.Buf, narrow bool) (*C.vl_products, error) {
	if !narrow && (!k.bf16 || prob != nil && !prob.Dense() || int(a.tq*a.tk*(a.d+a.dv)) < k.least>>4) {
		return nil, reserve(int(C.vl_attention_scratch(a, nil)))
	}
	s := C.vl_attention_products(a, backward)
	if s == nil {
		if narrow {
			return nil, fmt.Errorf("kernels: oneDNN has no products for attention in bf16 over %d×%d tokens", a.tq, a.tk)
		}
		return nil, reserve(int(C.vl_attention_scratch(a, nil)))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attentions = append(k.attentions, s)
	return s, reserve(int(C.vl_attention_scratch(a, s)))
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
	narrow := half(p.Q.Buf, p.K.Buf, p.V.Buf, p.O.Buf, p.P)
	if s, err := p.Check(false); !narrow && !native(s, err, p.Q.Buf) || empty(p) {
		return k.Go.Attention(p)
	}
	a := attention(p)
	a.ob, a.ot, a.oh = C.vl_n(p.O.Batch), C.vl_n(p.O.Token), C.vl_n(p.O.Head)
	a.o16 = flag(half(p.O.Buf))
	if p.Mask != nil {
		batch, head, _ := p.MaskStrides()
		a.mb, a.mh, a.mpitch = C.vl_n(batch), C.vl_n(head), pitch(p.Mask)
	}
	q, kk, v, o := place(p.Q), place(p.K), place(p.V), place(p.O)
	mask, scores := ptr(p.Mask), ptr(p.Scratch)
	var prob unsafe.Pointer
	if p.P != nil {
		prob = p.P.Pointer()
	}
	products, err := k.products(a, 0, p.P, narrow)
	return func() { done("Attention", C.vl_attention(a, products, q, kk, v, mask, prob, scores, o)) }, err
}

// AttentionBackward implements [kernels.Kernels].
func (k *Kernels) AttentionBackward(p kernels.Attention) (kernels.Run, error) {
	narrow := half(p.Q.Buf, p.K.Buf, p.V.Buf, p.DO.Buf, p.P, p.DQ.Buf, p.DK.Buf, p.DV.Buf)
	if s, err := p.Check(true); !narrow && !native(s, err, p.Q.Buf) || empty(p) {
		return k.Go.AttentionBackward(p)
	}
	a := attention(p)
	n := func(i int) C.vl_n { return C.vl_n(i) }
	a.ob, a.ot, a.oh = n(p.DO.Batch), n(p.DO.Token), n(p.DO.Head)
	a.dqb, a.dqt, a.dqh = n(p.DQ.Batch), n(p.DQ.Token), n(p.DQ.Head)
	a.dkb, a.dkt, a.dkh = n(p.DK.Batch), n(p.DK.Token), n(p.DK.Head)
	a.dvb, a.dvt, a.dvh = n(p.DV.Batch), n(p.DV.Token), n(p.DV.Head)
	a.o16, a.dq16, a.dk16, a.dv16 = flag(half(p.DO.Buf)), flag(half(p.DQ.Buf)), flag(half(p.DK.Buf)), flag(half(p.DV.Buf))
	q, kk, v, g := place(p.Q), place(p.K), place(p.V), place(p.DO)
	prob, ds := p.P.Pointer(), ptr(p.Scratch)
	dq, dk, dv := place(p.DQ), place(p.DK), place(p.DV)
	products, err := k.products(a, 1, p.P, narrow)
	return func() {
		done("AttentionBackward", C.vl_attention_backward(a, products, q, kk, v, prob, g, ds, dq, dk, dv))
	}, err
}
