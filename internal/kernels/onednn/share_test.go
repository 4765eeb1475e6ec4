//go:build onednn && cgo

package onednn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// TestShare: kernels that use several threads give the bytes that one gives,
// however the rows and heads divide.
func TestShare(t *testing.T) {
	k := locked(t)
	defer Share(1)
	fill := func(seed int, shape ...int) *buffer.Buffer {
		b := buffer.New(buffer.F32, shape...)
		for i := range b.F32() {
			b.F32()[i] = float32((i*7919+seed)%1013)/1013 - .5
		}
		return b
	}
	x, w, h, up := fill(1, 197, 96), fill(2, 96, 130), fill(3, 197, 8), fill(4, 130, 8)
	image, kernel := fill(5, 1, 29, 31, 24), fill(6, 40, 24, 3, 3)
	wide := fill(7, 300, 200)
	qkv := fill(8, 2, 60, 3*3*16)
	view := func(b *buffer.Buffer, offset, token int) kernels.View {
		return kernels.View{Buf: b, Offset: offset, Batch: 60 * token, Token: token, Head: 16}
	}
	type outputs struct{ y, map1, dx, gelu, sum, norm, o, o2, dqkv *buffer.Buffer }
	run := func(threads int) outputs {
		Share(threads)
		o := outputs{fill(0, 197, 130), fill(0, 1, 15, 16, 40), fill(0, 1, 29, 31, 24), fill(0, 300, 200), fill(0, 300, 200), fill(0, 300, 200), fill(0, 2, 60, 48), fill(0, 2, 60, 48), fill(0, 2, 60, 144)}
		conv := kernels.Conv{X: image, W: kernel, Y: o.map1, Stride: [2]int{2, 2}, Pads: [4]int{1, 1, 1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
		back := conv
		back.X = o.dx
		att := kernels.Attention{N: 2, Heads: 3, Tq: 60, Tk: 60, D: 16, Dv: 16, Scale: .25, Q: view(qkv, 0, 144), K: view(qkv, 48, 144), V: view(qkv, 96, 144), O: view(o.o, 0, 48), Scratch: fill(0, kernels.AttentionScratch(60, 60, true))}
		kept := att
		kept.O, kept.Stats = view(o.o2, 0, 48), fill(0, 2, 3, 60, 2)
		grad := kept
		grad.DO, grad.DQ, grad.DK, grad.DV = view(o.o2, 0, 48), view(o.dqkv, 0, 144), view(o.dqkv, 48, 144), view(o.dqkv, 96, 144)
		for _, bind := range []func() (kernels.Run, error){
			func() (kernels.Run, error) {
				return k.MatMul(kernels.MatMul{A: x, B: w, Y: o.y, M: 197, N: 130, K: 96, Thin: &kernels.Thin{H: h, C: up, Trans: true}})
			},
			func() (kernels.Run, error) { return k.Conv(conv) },
			func() (kernels.Run, error) { return k.ConvBackwardData(back) },
			func() (kernels.Run, error) {
				return k.Unary(kernels.Unary{Func: kernels.Gelu, X: wide, Y: o.gelu})
			},
			func() (kernels.Run, error) {
				return k.Binary(kernels.Binary{Func: kernels.Add, X: wide, Z: o.gelu, Y: o.sum})
			},
			func() (kernels.Run, error) {
				return k.LayerNorm(kernels.LayerNorm{X: wide, Gamma: fill(9, 200), Y: o.norm, Epsilon: 1e-6})
			},
			func() (kernels.Run, error) { return k.Attention(att) },
			func() (kernels.Run, error) { return k.Attention(kept) },
			func() (kernels.Run, error) { return k.AttentionBackward(grad) },
		} {
			r, err := bind()
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				r()
			}
		}
		return o
	}
	one := run(1)
	for _, threads := range []int{2, 3, 5} {
		o := run(threads)
		for i, pair := range [][2]*buffer.Buffer{{one.y, o.y}, {one.map1, o.map1}, {one.dx, o.dx}, {one.gelu, o.gelu}, {one.sum, o.sum}, {one.norm, o.norm}, {one.o, o.o}, {one.o2, o.o2}, {one.dqkv, o.dqkv}} {
			// With AVX-512 one thread's convolutions are oneDNN's.
			if conv := i == 1 || i == 2; conv && k.ISA() == "AVX-512" {
				continue
			}
			if !slices.Equal(pair[0].F32(), pair[1].F32()) {
				t.Errorf("%d threads: output %d differs from one thread's", threads, i)
			}
		}
	}
}

// TestShareCells: the same for products in cells, and the bytes of a second run.
func TestShareCells(t *testing.T) {
	for name, k := range map[string]*Kernels{"bf16": narrow(t), "bf16x2": paired(t)} {
		defer Share(1)
		r := rand.New(rand.NewPCG(11, 12))
		noise := noiseOf(r)
		x, w, up, down := noise(197, 96), noise(96, 130), noise(130, 8), noise(8, 96)
		picture, stem := noise(2, 121, 117, 3), noise(64, 3, 7, 7)
		image, kernel, a, b := noise(1, 29, 31, 64), noise(48, 64, 3, 3), noise(8, 64, 3, 3), noise(48, 8)
		conv := func(x, w, y *buffer.Buffer, stride, pad int) kernels.Conv {
			return kernels.Conv{X: x, W: w, Y: y, Stride: [2]int{stride, stride}, Pads: [4]int{pad, pad, pad, pad}, Dilation: [2]int{1, 1}, Groups: 1}
		}
		outputs := func(threads int) []*buffer.Buffer {
			Share(threads)
			y, y16, h := buffer.New(buffer.F32, 197, 130), buffer.New(buffer.F32, 197, 130), buffer.New(buffer.F32, 197, 8)
			s, m, dx, hm := buffer.New(buffer.F32, 2, 61, 59, 64), buffer.New(buffer.F32, 1, 29, 31, 48), buffer.New(buffer.F32, 1, 29, 31, 64), buffer.New(buffer.F32, 1, 29, 31, 8)
			layer := kernels.MatMul{A: x, B: w, Y: y, M: 197, N: 130, K: 96, Thin: &kernels.Thin{H: h, C: up, Trans: true, Down: down, DownTrans: true}}
			lies := kernels.MatMul{A: x, B: w, Y: y16, M: 197, N: 130, K: 96}
			if k.bf16 {
				lies.A = halved(clone(x))
			}
			c := conv(image, kernel, m, 1, 1)
			c.Thin = &kernels.Thin{H: hm, C: b, Down: a}
			back := conv(dx, kernel, m, 1, 1)
			for _, bind := range []func() (kernels.Run, error){
				func() (kernels.Run, error) { return k.MatMul(layer) },
				func() (kernels.Run, error) { return k.MatMul(lies) },
				func() (kernels.Run, error) { return k.Conv(conv(picture, stem, s, 2, 3)) },
				func() (kernels.Run, error) { return k.Conv(c) },
				func() (kernels.Run, error) { return k.ConvBackwardData(back) },
			} {
				f, err := bind()
				run(t, f, err)
				f()
			}
			return []*buffer.Buffer{y, h, y16, s, m, hm, dx}
		}
		one := outputs(1)
		for _, threads := range []int{1, 2, 3, 5} {
			for i, got := range outputs(threads) {
				sameValues(t, fmt.Sprintf("%s: output %d on %d threads", name, i, threads), got, one[i])
			}
		}
	}
}
