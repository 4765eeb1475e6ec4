//go:build onednn && cgo

package onednn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// TestAttentionHalves: attention on packed buffers of bf16, or with some of
// float32, against the portable one on the same numbers; and two threads give the
// bytes of one.
func TestAttentionHalves(t *testing.T) {
	k := narrow(t)
	defer Share(1)
	r := rand.New(rand.NewPCG(5, 6))
	noise := noiseOf(r)
	const n, heads = 2, 3
	for i, c := range [][4]int{{1, 1, 8, 8}, {5, 33, 24, 80}, {31, 32, 32, 32}, {33, 5, 80, 24}, {64, 31, 64, 8}, {197, 197, 64, 64}, {40, 5000, 32, 32}} {
		tq, tk, d, dv := c[0], c[1], c[2], c[3]
		long := max(tq, tk)
		row := heads * (2*d + dv)
		// What is read lies packed, and so does what is written.
		qkv, dqkv, o, g := noise(n, long, row), noise(n, long, row), noise(n, tq, heads*dv), noise(n, tq, heads*dv)
		qkv16, g16 := halved(qkv), halved(g)
		var mask *buffer.Buffer
		if i%2 == 1 {
			mask = noise(heads, tq, tk)
			for j := range mask.F32() {
				if j%3 == 1 || j/tk == tq-1 {
					mask.F32()[j] = float32(math.Inf(-1))
				}
			}
		}
		bind := func(in, grad, out, gout *buffer.Buffer) kernels.Attention {
			packed := func(b *buffer.Buffer, at, dims int) kernels.View {
				return kernels.View{Buf: b, Offset: at * heads, Batch: long * row, Token: row, Head: dims}
			}
			plain := func(b *buffer.Buffer) kernels.View {
				return kernels.View{Buf: b, Batch: tq * heads * dv, Token: heads * dv, Head: dv}
			}
			return kernels.Attention{N: n, Heads: heads, Tq: tq, Tk: tk, D: d, Dv: dv, Scale: 1 / math.Sqrt(float64(d)), Mask: mask,
				Q: packed(in, 0, d), K: packed(in, d, d), V: packed(in, 2*d, dv), O: plain(out), DO: plain(gout),
				DQ: packed(grad, 0, d), DK: packed(grad, d, d), DV: packed(grad, 2*d, dv),
				Stats: noise(n, heads, tq, 2), Scratch: noise(kernels.AttentionScratch(tq, tk, true))}
		}
		both := func(set kernels.Kernels, a kernels.Attention) {
			t.Helper()
			f, err := set.Attention(a)
			run(t, f, err)
			f, err = set.AttentionBackward(a)
			run(t, f, err)
		}
		want := bind(qkv, dqkv, o, g)
		both(kernels.Go{}, want)
		for form, name := range []string{"bf16", "bf16 to float32", "float32 to bf16"} {
			in, gout, kind := qkv16, g16, buffer.BF16
			if form == 1 {
				kind = buffer.F32
			}
			if form == 2 {
				in, gout = qkv, g
			}
			var first []*buffer.Buffer
			for _, threads := range []int{1, 2, 3} {
				Share(threads)
				out, grad := buffer.New(kind, n, tq, heads*dv), buffer.New(kind, n, long, row)
				// What lies between the views stays.
				if kind == buffer.F32 {
					copy(grad.F32(), dqkv.F32())
				} else {
					copy(grad.BF16(), halved(clone(dqkv)).BF16())
				}
				a := bind(in, grad, out, gout)
				both(k, a)
				got := []*buffer.Buffer{out, grad, a.Stats}
				if first == nil {
					first = got
					for j, w := range []*buffer.Buffer{o, dqkv, want.Stats} {
						near(t, fmt.Sprintf("%v %s result %d", c, name, j), got[j], w)
					}
					continue
				}
				for j := range got {
					if !slices.Equal(bytesOf(got[j]), bytesOf(first[j])) {
						t.Errorf("%v %s: result %d of %d threads differs from that of one", c, name, j, threads)
					}
				}
			}
			Share(1)
		}
	}
}

// bytesOf is what lies in a buffer, as bits.
func bytesOf(b *buffer.Buffer) []uint32 {
	var bits []uint32
	if b.Storage == buffer.BF16 {
		for _, v := range b.BF16() {
			bits = append(bits, uint32(v)<<16)
		}
		return bits
	}
	for _, v := range b.F32() {
		bits = append(bits, math.Float32bits(v))
	}
	return bits
}

// near allows for the rounding of factors.
func near(t *testing.T, name string, got, want *buffer.Buffer) {
	t.Helper()
	worst, span := 0.0, 0.0
	for i, bits := range bytesOf(got) {
		w := float64(want.F32()[i])
		d := math.Abs(float64(math.Float32frombits(bits)) - w)
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		worst, span = max(worst, d), max(span, math.Abs(w))
	}
	if worst > 1e-2*span {
		t.Errorf("%s: off by %.2g, of %.2g", name, worst, span)
	}
}
