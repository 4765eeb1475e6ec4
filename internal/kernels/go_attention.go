package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// headView is the (tokens, channels) matrix of one head inside a view.
func headView[T buffer.Float](v View, data []T, n, h int) []T {
	return from(data, v.Offset+n*v.Batch+h*v.Head)
}

// attentionGemm prepares a product of M×K by K×N whose operands are set per head.
func attentionGemm[T buffer.Float](m, n, k int, ais, aks, bis, bks, rs int, alpha float64) (*gemm[T], *strided[T], *strided[T]) {
	a, b := &strided[T]{is: ais, ks: aks}, &strided[T]{is: bis, ks: bks}
	return &gemm[T]{m: m, n: n, k: k, a: a.pack, b: b.pack, rs: rs, cs: 1, alpha: T(alpha)}, a, b
}

func attention[T buffer.Float](p Attention) Run {
	q, k, v, o := buffer.Floats[T](p.Q.Buf), buffer.Floats[T](p.K.Buf), buffer.Floats[T](p.V.Buf), buffer.Floats[T](p.O.Buf)
	var prob, mask []T
	pitch, step := p.Tk, 0
	if p.P != nil {
		prob, pitch = buffer.Floats[T](p.P), p.P.Pitch
		step = p.Tq * pitch
	} else {
		prob = buffer.Floats[T](p.Scratch)
	}
	var maskBatch, maskHead int
	if p.Mask != nil {
		mask = buffer.Floats[T](p.Mask)
		maskBatch, maskHead, _ = p.MaskStrides()
	}
	scores, sq, sk := attentionGemm[T](p.Tq, p.Tk, p.D, p.Q.Token, 1, p.K.Token, 1, pitch, p.Scale)
	out, op, ov := attentionGemm[T](p.Tq, p.Dv, p.Tk, pitch, 1, 1, p.V.Token, p.O.Token, 1)
	free := pooled[T]()
	free.put(free.get())
	return func() {
		ws := free.get()
		for i := range p.N * p.Heads {
			n, h := i/p.Heads, i%p.Heads
			s := from(prob, i*step)
			sq.data, sk.data, scores.c = headView(p.Q, q, n, h), headView(p.K, k, n, h), s
			scores.run(ws)
			for r := range p.Tq {
				row := s[r*pitch : r*pitch+p.Tk]
				if mask != nil {
					at := n*maskBatch + h*maskHead + r*p.Mask.Pitch
					for j, m := range mask[at : at+p.Tk] {
						row[j] += m
					}
				}
				maskedSoftmax(row)
			}
			op.data, ov.data, out.c = s, headView(p.V, v, n, h), headView(p.O, o, n, h)
			out.run(ws)
		}
		free.put(ws)
	}
}

// maskedSoftmax is softmax in place. A row in which everything is masked by −∞
// attends to nothing and becomes zero, not NaN.
func maskedSoftmax[T buffer.Float](row []T) {
	top := T(math.Inf(-1))
	for _, v := range row {
		top = max(top, v)
	}
	if math.IsInf(float64(top), -1) {
		clear(row)
		return
	}
	sum := 0.0
	for i, v := range row {
		e := math.Exp(float64(v - top))
		row[i] = T(e)
		sum += e
	}
	scale := T(1 / sum)
	for i := range row {
		row[i] *= scale
	}
}

func attentionBackward[T buffer.Float](p Attention) Run {
	q, k, v, do := buffer.Floats[T](p.Q.Buf), buffer.Floats[T](p.K.Buf), buffer.Floats[T](p.V.Buf), buffer.Floats[T](p.DO.Buf)
	prob, ds := buffer.Floats[T](p.P), buffer.Floats[T](p.Scratch)
	optional := func(v View) []T {
		if v.Buf == nil {
			return nil
		}
		return buffer.Floats[T](v.Buf)
	}
	dq, dk, dv := optional(p.DQ), optional(p.DK), optional(p.DV)
	pitch := p.P.Pitch
	// dP = dO·Vᵀ, dS = P∘(dP − Σ dP∘P), dQ = s·dS·K, dK = s·dSᵀ·Q, dV = Pᵀ·dO.
	gp, pdo, pv := attentionGemm[T](p.Tq, p.Tk, p.Dv, p.DO.Token, 1, p.V.Token, 1, p.Tk, 1)
	gq, qs, qk := attentionGemm[T](p.Tq, p.D, p.Tk, p.Tk, 1, 1, p.K.Token, p.DQ.Token, p.Scale)
	gk, ks, kq := attentionGemm[T](p.Tk, p.D, p.Tq, 1, p.Tk, 1, p.Q.Token, p.DK.Token, p.Scale)
	gv, vp, vo := attentionGemm[T](p.Tk, p.Dv, p.Tq, 1, pitch, 1, p.DO.Token, p.DV.Token, 1)
	free := pooled[T]()
	free.put(free.get())
	return func() {
		ws := free.get()
		for i := range p.N * p.Heads {
			n, h := i/p.Heads, i%p.Heads
			pr, g := from(prob, i*p.Tq*pitch), headView(p.DO, do, n, h)
			if dv != nil {
				vp.data, vo.data, gv.c = pr, g, headView(p.DV, dv, n, h)
				gv.run(ws)
			}
			if dq == nil && dk == nil {
				continue
			}
			pdo.data, pv.data, gp.c = g, headView(p.V, v, n, h), ds
			gp.run(ws)
			for r := range p.Tq {
				y, d := pr[r*pitch:r*pitch+p.Tk], ds[r*p.Tk:(r+1)*p.Tk]
				sum := 0.0
				for j := range d {
					sum += float64(d[j]) * float64(y[j])
				}
				for j := range d {
					d[j] = y[j] * (d[j] - T(sum))
				}
			}
			if dq != nil {
				qs.data, qk.data, gq.c = ds, headView(p.K, k, n, h), headView(p.DQ, dq, n, h)
				gq.run(ws)
			}
			if dk != nil {
				ks.data, kq.data, gk.c = ds, headView(p.Q, q, n, h), headView(p.DK, dk, n, h)
				gk.run(ws)
			}
		}
		free.put(ws)
	}
}
