package testkernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

func (u *suite) attention(t *testing.T) {
	for opt := range 16 {
		keep, pitched := opt&4 != 0, opt&8 != 0
		const n, heads = 2, 3
		tq, tk, d, dv := 13, 13, 8, 8
		extra := 0
		if pitched {
			extra, tk, dv = 5, 17, 6
		}
		p := kernels.Attention{N: n, Heads: heads, Tq: tq, Tk: tk, D: d, Dv: dv, Scale: 0.3}
		if tk == tq { // packed qkv
			c := heads * d
			qkv, dqkv := u.buf(0, n, tq, 3*c), u.gaps(0, n, tq, 3*c)
			view := func(b *buffer.Buffer, i int) kernels.View {
				return kernels.View{Buf: b, Offset: i * c, Batch: tq * 3 * c, Token: 3 * c, Head: d}
			}
			p.Q, p.K, p.V = view(qkv, 0), view(qkv, 1), view(qkv, 2)
			p.DQ, p.DK, p.DV = view(dqkv, 0), view(dqkv, 1), view(dqkv, 2)
		} else { // (N, Heads, T, D) each
			view := func(b *buffer.Buffer, t int) kernels.View {
				return kernels.View{Buf: b, Batch: heads * t * b.Pitch, Token: b.Pitch, Head: t * b.Pitch}
			}
			p.Q, p.K, p.V = view(u.buf(extra, n, heads, tq, d), tq), view(u.buf(extra, n, heads, tk, d), tk), view(u.buf(extra, n, heads, tk, dv), tk)
			p.DQ, p.DK, p.DV = view(u.gaps(extra, n, heads, tq, d), tq), view(u.gaps(extra, n, heads, tk, d), tk), view(u.gaps(extra, n, heads, tk, dv), tk)
		}
		token := heads*dv + extra
		o, do := u.gaps(extra, n, tq, heads*dv), u.buf(extra, n, tq, heads*dv)
		p.O = kernels.View{Buf: o, Batch: tq * token, Token: token, Head: dv}
		p.DO = kernels.View{Buf: do, Batch: tq * token, Token: token, Head: dv}
		switch opt & 3 {
		case 1:
			p.Mask = u.buf(extra, tq, tk)
		case 2:
			p.Mask = u.buf(0, heads, tq, tk)
		case 3:
			p.Mask = u.buf(extra, n, heads, tq, tk)
			for j := range tk { // one row sees nothing, one only the first token
				set(p.Mask, j, math.Inf(-1))
				if j > 0 {
					set(p.Mask, p.Mask.Pitch+j, math.Inf(-1))
				}
			}
		}
		u.attend(t, fmt.Sprintf("mask=%d keep=%v pitched=%v", opt&3, keep, pitched), p, keep)
	}
	// Blocks and vectors that are full, one short, one over; a long row.
	for i, c := range [][4]int{{1, 1, 8, 8}, {1, 33, 24, 40}, {5, 31, 24, 24}, {31, 5, 80, 24}, {32, 32, 32, 64}, {33, 64, 64, 64}, {197, 197, 64, 64}, {70, 2100, 16, 8}} {
		const n, heads = 1, 2
		tq, tk, d, dv := c[0], c[1], c[2], c[3]
		view := func(b *buffer.Buffer, t, c int) kernels.View {
			return kernels.View{Buf: b, Batch: heads * t * c, Token: heads * c, Head: c}
		}
		p := kernels.Attention{N: n, Heads: heads, Tq: tq, Tk: tk, D: d, Dv: dv, Scale: 1 / math.Sqrt(float64(d))}
		p.Q, p.K, p.V = view(u.buf(0, n, tq, heads*d), tq, d), view(u.buf(0, n, tk, heads*d), tk, d), view(u.buf(0, n, tk, heads*dv), tk, dv)
		p.DQ, p.DK, p.DV = view(u.gaps(0, n, tq, heads*d), tq, d), view(u.gaps(0, n, tk, heads*d), tk, d), view(u.gaps(0, n, tk, heads*dv), tk, dv)
		p.O, p.DO = view(u.gaps(0, n, tq, heads*dv), tq, dv), view(u.buf(0, n, tq, heads*dv), tq, dv)
		if i%2 == 1 { // half of the keys, and all of the first query's
			p.Mask = u.buf(0, tq, tk)
			for j := range tq * tk {
				if j < tk || j%2 == 1 {
					set(p.Mask, j, math.Inf(-1))
				}
			}
		}
		u.attend(t, fmt.Sprint(c), p, true)
	}
}

// attend compares both passes. Without keep there is nothing for the second.
func (u *suite) attend(t *testing.T, name string, p kernels.Attention, keep bool) {
	p.Scratch = u.gaps(0, kernels.AttentionScratch(p.Tq, p.Tk, true))
	wantP, wantStats, wantO := naiveAttention(p)
	if keep {
		p.Stats = u.gaps(0, p.N, p.Heads, p.Tq, 2)
	}
	run, err := u.k.Attention(p)
	u.exec(t, name, run, err)
	o := make([]float64, 0, len(wantO))
	for i := range len(wantO) {
		n, h, tok, c := i/(p.Heads*p.Tq*p.Dv), i/(p.Tq*p.Dv)%p.Heads, i/p.Dv%p.Tq, i%p.Dv
		o = append(o, wantO[((n*p.Tq+tok)*p.Heads+h)*p.Dv+c])
	}
	u.compareView(t, name+" O", p.O, p.Tq, p.Dv, p, o)
	if !keep {
		return
	}
	u.compare(t, name+" Stats", p.Stats, wantStats)
	run, err = u.k.AttentionBackward(p)
	u.exec(t, name+" backward", run, err)
	q, k, v := naiveAttentionBackward(p, wantP)
	u.compareView(t, name+" dQ", p.DQ, p.Tq, p.D, p, q)
	u.compareView(t, name+" dK", p.DK, p.Tk, p.D, p, k)
	u.compareView(t, name+" dV", p.DV, p.Tk, p.Dv, p, v)
	for i, w := range [][]float64{q, k, v} { // one alone is asked for
		only, all := p, []*kernels.View{&p.DQ, &p.DK, &p.DV}
		tokens, dims := []int{p.Tq, p.Tk, p.Tk}[i], []int{p.D, p.D, p.Dv}[i]
		for j, view := range []*kernels.View{&only.DQ, &only.DK, &only.DV} {
			if i != j {
				*view = kernels.View{}
			}
		}
		run, err = u.k.AttentionBackward(only)
		u.exec(t, name+" backward alone", run, err)
		u.compareView(t, fmt.Sprintf("%s gradient %d alone", name, i), *all[i], tokens, dims, p, w)
	}
}

// element is the physical place of (b, t, h, c).
func element(v kernels.View, b, t, h, c int) int {
	return v.Offset + b*v.Batch + t*v.Token + h*v.Head + c
}

// compareView compares a view, read as (N, Heads, T, D).
func (u *suite) compareView(t *testing.T, name string, v kernels.View, tokens, dims int, p kernels.Attention, want []float64) {
	t.Helper()
	got := u.gaps(0, p.N, p.Heads, tokens, dims)
	i := 0
	for n := range p.N {
		for h := range p.Heads {
			for tok := range tokens {
				for c := range dims {
					set(got, i, at(v.Buf, element(v, n, tok, h, c)))
					i++
				}
			}
		}
	}
	u.compare(t, name, got, want)
}

// naiveAttention returns P (N, Heads, Tq, Tk), Stats and O (N, Tq, Heads·Dv).
func naiveAttention(p kernels.Attention) (prob, stats, out []float64) {
	out = make([]float64, p.N*p.Tq*p.Heads*p.Dv)
	for n := range p.N {
		for h := range p.Heads {
			for i := range p.Tq {
				row := make([]float64, p.Tk)
				sum, top := 0.0, math.Inf(-1)
				for j := range row {
					s := 0.0
					for c := range p.D {
						s += at(p.Q.Buf, element(p.Q, n, i, h, c)) * at(p.K.Buf, element(p.K, n, j, h, c))
					}
					s *= p.Scale
					if m := p.Mask; m != nil {
						r := i
						switch len(m.Shape) {
						case 3:
							r += h * p.Tq
						case 4:
							r += (n*p.Heads + h) * p.Tq
						}
						s += at(m, r*m.Pitch+j)
					}
					row[j] = math.Exp(s)
					sum += row[j]
					top = max(top, s)
				}
				if sum > 0 {
					stats = append(stats, top, math.Exp(top)/sum)
				} else {
					stats = append(stats, 0, 0)
				}
				for j := range row {
					if sum > 0 {
						row[j] /= sum
					}
					for c := range p.Dv {
						out[((n*p.Tq+i)*p.Heads+h)*p.Dv+c] += row[j] * at(p.V.Buf, element(p.V, n, j, h, c))
					}
				}
				prob = append(prob, row...)
			}
		}
	}
	return prob, stats, out
}

// naiveAttentionBackward returns the gradients as (N, Heads, T, D).
func naiveAttentionBackward(p kernels.Attention, prob []float64) (dq, dk, dv []float64) {
	dq, dk = make([]float64, p.N*p.Heads*p.Tq*p.D), make([]float64, p.N*p.Heads*p.Tk*p.D)
	dv = make([]float64, p.N*p.Heads*p.Tk*p.Dv)
	for n := range p.N {
		for h := range p.Heads {
			nh := n*p.Heads + h
			for i := range p.Tq {
				row := prob[(nh*p.Tq+i)*p.Tk:][:p.Tk]
				dp, mean := make([]float64, p.Tk), 0.0
				for j := range dp {
					for c := range p.Dv {
						g := at(p.DO.Buf, element(p.DO, n, i, h, c))
						dp[j] += g * at(p.V.Buf, element(p.V, n, j, h, c))
						dv[(nh*p.Tk+j)*p.Dv+c] += row[j] * g
					}
					mean += dp[j] * row[j]
				}
				for j := range dp {
					ds := row[j] * (dp[j] - mean) * p.Scale
					for c := range p.D {
						dq[(nh*p.Tq+i)*p.D+c] += ds * at(p.K.Buf, element(p.K, n, j, h, c))
						dk[(nh*p.Tk+j)*p.D+c] += ds * at(p.Q.Buf, element(p.Q, n, i, h, c))
					}
				}
			}
		}
	}
	return dq, dk, dv
}
