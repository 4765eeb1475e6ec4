package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// attentionRows is how many rows of scores are in flight.
const attentionRows = 128

// AttentionScratch is how many elements of scratch an [Attention] takes: a block
// of scores, and one of their gradients.
func AttentionScratch(tq, tk int, backward bool) int {
	n := min(tq, attentionRows) * tk
	if backward {
		n *= 2
	}
	return n
}

// headView is the (tokens, channels) matrix of one head inside a view.
func headView[T buffer.Float](v View, data []T, n, h int) []T {
	return from(data, v.Offset+n*v.Batch+h*v.Head)
}

// attentionGemm prepares a product of M×K by K×N whose operands are set per head.
func attentionGemm[T buffer.Float](m, n, k int, ais, aks, bis, bks, rs int, alpha float64) (*gemm[T], *strided[T], *strided[T]) {
	a, b := &strided[T]{is: ais, ks: aks}, &strided[T]{is: bis, ks: bks}
	return &gemm[T]{m: m, n: n, factors: matrices(k, a, b), rs: rs, cs: 1, alpha: T(alpha)}, a, b
}

// maskOf is the mask as numbers, nil where there is none, and where the row of a
// query in it starts.
func maskOf[T buffer.Float](p Attention) ([]T, func(n, h, row int) int) {
	if p.Mask == nil {
		return nil, nil
	}
	batch, head, _ := p.MaskStrides()
	return buffer.Floats[T](p.Mask), func(n, h, row int) int { return n*batch + h*head + row*p.Mask.Pitch }
}

func attention[T buffer.Float](p Attention) Run {
	q, k, v, o := buffer.Floats[T](p.Q.Buf), buffer.Floats[T](p.K.Buf), buffer.Floats[T](p.V.Buf), buffer.Floats[T](p.O.Buf)
	s := buffer.Floats[T](p.Scratch)
	var stats []T
	if p.Stats != nil {
		stats = buffer.Floats[T](p.Stats)
	}
	mask, masked := maskOf[T](p)
	scores, sq, sk := attentionGemm[T](p.Tq, p.Tk, p.D, p.Q.Token, 1, p.K.Token, 1, p.Tk, p.Scale)
	out, op, ov := attentionGemm[T](p.Tq, p.Dv, p.Tk, p.Tk, 1, 1, p.V.Token, p.O.Token, 1)
	scores.c, op.data = s, s
	free := pooled[T]()
	free.put(free.get())
	return func() {
		ws := free.get()
		for i := range p.N * p.Heads {
			n, h := i/p.Heads, i%p.Heads
			sk.data, ov.data = headView(p.K, k, n, h), headView(p.V, v, n, h)
			for at := 0; at < p.Tq; at += attentionRows {
				rows := min(attentionRows, p.Tq-at)
				scores.m, sq.data = rows, from(headView(p.Q, q, n, h), at*p.Q.Token)
				scores.run(ws)
				for r := range rows {
					row := s[r*p.Tk : (r+1)*p.Tk]
					if mask != nil {
						from := masked(n, h, at+r)
						for j, m := range mask[from : from+p.Tk] {
							row[j] += m
						}
					}
					top, scale := attend(row)
					if stats != nil {
						place := 2 * (i*p.Tq + at + r)
						stats[place], stats[place+1] = top, scale
					}
				}
				out.m, out.c = rows, from(headView(p.O, o, n, h), at*p.O.Token)
				out.run(ws)
			}
		}
		free.put(ws)
	}
}

// attend is softmax in place, and its statistics. A row in which everything is
// masked by −∞ attends to nothing and becomes zero, not NaN.
func attend[T buffer.Float](row []T) (top, scale T) {
	top = highest(row)
	if math.IsInf(float64(top), -1) {
		clear(row)
		return 0, 0
	}
	scale = T(1 / exps(row, row, top, 1))
	multiply(row, scale)
	return top, scale
}

func attentionBackward[T buffer.Float](p Attention) Run {
	q, k, v, do := buffer.Floats[T](p.Q.Buf), buffer.Floats[T](p.K.Buf), buffer.Floats[T](p.V.Buf), buffer.Floats[T](p.DO.Buf)
	stats, scratch := buffer.Floats[T](p.Stats), buffer.Floats[T](p.Scratch)
	half := AttentionScratch(p.Tq, p.Tk, false)
	pr, ds := scratch[:half], scratch[half:]
	mask, masked := maskOf[T](p)
	optional := func(v View) []T {
		if v.Buf == nil {
			return nil
		}
		return buffer.Floats[T](v.Buf)
	}
	dq, dk, dv := optional(p.DQ), optional(p.DK), optional(p.DV)
	// P again, dP = dO·Vᵀ, dS = P∘(dP − Σ dP∘P), dQ = s·dS·K, dK = s·dSᵀ·Q, dV = Pᵀ·dO.
	scores, sq, sk := attentionGemm[T](p.Tq, p.Tk, p.D, p.Q.Token, 1, p.K.Token, 1, p.Tk, p.Scale)
	gp, pdo, pv := attentionGemm[T](p.Tq, p.Tk, p.Dv, p.DO.Token, 1, p.V.Token, 1, p.Tk, 1)
	gq, qs, qk := attentionGemm[T](p.Tq, p.D, p.Tk, p.Tk, 1, 1, p.K.Token, p.DQ.Token, p.Scale)
	gk, ks, kq := attentionGemm[T](p.Tk, p.D, p.Tq, 1, p.Tk, 1, p.Q.Token, p.DK.Token, p.Scale)
	gv, vp, vo := attentionGemm[T](p.Tk, p.Dv, p.Tq, 1, p.Tk, 1, p.DO.Token, p.DV.Token, 1)
	scores.c, vp.data, gp.c, qs.data, ks.data = pr, pr, ds, ds, ds
	free := pooled[T]()
	free.put(free.get())
	return func() {
		ws := free.get()
		for i := range p.N * p.Heads {
			n, h := i/p.Heads, i%p.Heads
			sk.data, pv.data, qk.data = headView(p.K, k, n, h), headView(p.V, v, n, h), headView(p.K, k, n, h)
			// Without queries the gradients of keys and values are zero.
			for at := 0; at == 0 || at < p.Tq; at += attentionRows {
				rows := min(attentionRows, p.Tq-at)
				g := from(headView(p.DO, do, n, h), at*p.DO.Token)
				scores.m, sq.data = rows, from(headView(p.Q, q, n, h), at*p.Q.Token)
				scores.run(ws)
				for r := range rows {
					row, place := pr[r*p.Tk:(r+1)*p.Tk], 2*(i*p.Tq+at+r)
					if mask != nil {
						from := masked(n, h, at+r)
						for j, m := range mask[from : from+p.Tk] {
							row[j] += m
						}
					}
					exps(row, row, stats[place], stats[place+1])
				}
				if dv != nil {
					gv.k, gv.acc, vo.data, gv.c = rows, at > 0, g, headView(p.DV, dv, n, h)
					gv.run(ws)
				}
				if dq == nil && dk == nil {
					continue
				}
				gp.m, pdo.data = rows, g
				gp.run(ws)
				for r := range rows {
					y, d := pr[r*p.Tk:(r+1)*p.Tk], ds[r*p.Tk:(r+1)*p.Tk]
					centre(d, y, d, T(dot(d, y)))
				}
				if dq != nil {
					gq.m, gq.c = rows, from(headView(p.DQ, dq, n, h), at*p.DQ.Token)
					gq.run(ws)
				}
				if dk != nil {
					gk.k, gk.acc, kq.data, gk.c = rows, at > 0, sq.data, headView(p.DK, dk, n, h)
					gk.run(ws)
				}
			}
		}
		free.put(ws)
	}
}
