//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import "github.com/vislora/vislora/internal/kernels"

// attention describes the sizes and views that both passes share.
func attention(p kernels.Attention) *C.vl_attn {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	a := &C.vl_attn{n: n(p.N), heads: n(p.Heads), tq: n(p.Tq), tk: n(p.Tk), d: n(p.D), dv: n(p.Dv), scale: C.float(p.Scale),
		qb: n(p.Q.Batch), qt: n(p.Q.Token), qh: n(p.Q.Head), kb: n(p.K.Batch), kt: n(p.K.Token), kh: n(p.K.Head),
		vb: n(p.V.Batch), vt: n(p.V.Token), vh: n(p.V.Head), ppitch: n(p.Tk)}
	if p.P != nil {
		a.ppitch = n(p.P.Pitch)
		a.pstep = n(p.Tq * p.P.Pitch)
	}
	return a
}

// products are those in bf16, nil for float32.
func (k *Kernels) products(a *C.vl_attn, backward C.int, prob kernels.Buf) (*C.vl_products, error) {
	if !k.bf16 || !prob.Dense() || int(a.tq*a.tk*(a.d+a.dv)) < k.least>>4 {
		return nil, nil
	}
	s := C.vl_attention_products(a, backward)
	if s == nil {
		return nil, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attentions = append(k.attentions, s)
	return s, reserve(int(C.vl_attention_scratch(a)))
}

func empty(p kernels.Attention) bool { return p.N*p.Heads*p.Tq*p.Tk*p.D*p.Dv == 0 }

// Attention implements [kernels.Kernels].
func (k *Kernels) Attention(p kernels.Attention) (kernels.Run, error) {
	s, err := p.Check(false)
	if !native(s, err, p.Q.Buf) || empty(p) {
		return k.Go.Attention(p)
	}
	a := attention(p)
	a.ob, a.ot, a.oh = C.vl_n(p.O.Batch), C.vl_n(p.O.Token), C.vl_n(p.O.Head)
	prob := p.P
	if prob == nil {
		prob = p.Scratch
	}
	if p.Mask != nil {
		batch, head, _ := p.MaskStrides()
		a.mb, a.mh, a.mpitch = C.vl_n(batch), C.vl_n(head), pitch(p.Mask)
	}
	q, kk, v, o := offset(p.Q.Buf, p.Q.Offset), offset(p.K.Buf, p.K.Offset), offset(p.V.Buf, p.V.Offset), offset(p.O.Buf, p.O.Offset)
	mask, scores := ptr(p.Mask), ptr(prob)
	products, err := k.products(a, 0, prob)
	return func() { done("Attention", C.vl_attention(a, products, q, kk, v, mask, scores, o)) }, err
}

// AttentionBackward implements [kernels.Kernels].
func (k *Kernels) AttentionBackward(p kernels.Attention) (kernels.Run, error) {
	s, err := p.Check(true)
	if !native(s, err, p.Q.Buf) || empty(p) {
		return k.Go.AttentionBackward(p)
	}
	a := attention(p)
	n := func(i int) C.vl_n { return C.vl_n(i) }
	a.ob, a.ot, a.oh = n(p.DO.Batch), n(p.DO.Token), n(p.DO.Head)
	a.dqb, a.dqt, a.dqh = n(p.DQ.Batch), n(p.DQ.Token), n(p.DQ.Head)
	a.dkb, a.dkt, a.dkh = n(p.DK.Batch), n(p.DK.Token), n(p.DK.Head)
	a.dvb, a.dvt, a.dvh = n(p.DV.Batch), n(p.DV.Token), n(p.DV.Head)
	q, kk, v := offset(p.Q.Buf, p.Q.Offset), offset(p.K.Buf, p.K.Offset), offset(p.V.Buf, p.V.Offset)
	prob, g, ds := ptr(p.P), offset(p.DO.Buf, p.DO.Offset), ptr(p.Scratch)
	dq, dk, dv := offset(p.DQ.Buf, p.DQ.Offset), offset(p.DK.Buf, p.DK.Offset), offset(p.DV.Buf, p.DV.Offset)
	products, err := k.products(a, 1, p.P)
	return func() {
		done("AttentionBackward", C.vl_attention_backward(a, products, q, kk, v, prob, g, ds, dq, dk, dv))
	}, err
}
