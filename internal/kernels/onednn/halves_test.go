//go:build onednn && cgo

package onednn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// halved is b in bf16. Its values are rounded in b too, so that both hold the
// same.
func halved(b *buffer.Buffer) *buffer.Buffer {
	h := buffer.New(buffer.BF16, b.Shape...)
	for i, v := range b.F32() {
		u := math.Float32bits(v)
		u += 0x7fff + u>>16&1
		h.BF16()[i] = uint16(u >> 16)
		b.F32()[i] = math.Float32frombits(u &^ 0xffff)
	}
	return h
}

// TestHalves runs every kernel on operands in bf16, and on float32 copies of
// them: the results differ by the rounding of what is written.
func TestHalves(t *testing.T) {
	k := narrow(t)
	k.least = 1 << 12
	r := rand.New(rand.NewPCG(3, 4))
	noise := func(shape ...int) *buffer.Buffer {
		b := buffer.New(buffer.F32, shape...)
		for i := range b.F32() {
			b.F32()[i] = float32(r.NormFloat64())
		}
		return b
	}
	const rows, cols = 700, 300 // some blocks
	type bufs = []**buffer.Buffer
	// check runs bind twice: fields lists all operands that are halved, out what
	// is written.
	check := func(name string, fields bufs, out bufs, bind func() (kernels.Run, error)) {
		t.Helper()
		wide := map[**buffer.Buffer]*buffer.Buffer{}
		twins := map[*buffer.Buffer]*buffer.Buffer{}
		var want [][]float32
		for _, f := range fields {
			b := *f
			if twins[b] == nil {
				twins[b] = halved(b)
			}
			wide[f] = b
		}
		start := map[*buffer.Buffer][]float32{}
		for _, f := range out {
			start[*f] = append([]float32(nil), (*f).F32()...)
		}
		f, err := bind()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f()
		for _, o := range out {
			want = append(want, append([]float32(nil), (*o).F32()...))
			copy((*o).F32(), start[*o])
		}
		for f, b := range wide {
			*f = twins[b]
		}
		if f, err = bind(); err != nil {
			t.Fatalf("%s in bf16: %v", name, err)
		}
		f()
		for i, o := range out {
			worst, span := 0.0, 0.0
			for j, w := range want[i] {
				var got float32
				if (*o).Storage == buffer.BF16 {
					got = math.Float32frombits(uint32((*o).BF16()[j]) << 16)
				} else {
					got = (*o).F32()[j]
				}
				worst, span = max(worst, math.Abs(float64(got-w))), max(span, math.Abs(float64(w)))
			}
			if !(worst <= 6e-3*span) || span == 0 {
				t.Errorf("%s: result %d off by %.2g, of %.2g", name, i, worst, span)
			}
		}
		for f, b := range wide {
			*f = b
		}
	}
	x, y, z, d := noise(rows, cols), noise(rows, cols), noise(rows, cols), noise(rows, cols)
	for _, acc := range []bool{false, true} {
		u := kernels.Unary{Func: kernels.Gelu, X: x, Y: y, Deriv: z}
		check("Unary", bufs{&u.X, &u.Y, &u.Deriv}, bufs{&u.Y, &u.Deriv}, func() (kernels.Run, error) { return k.Unary(u) })
		u = kernels.Unary{Func: kernels.Relu, X: x, DY: y, DX: z, Accumulate: acc}
		check("UnaryBackward", bufs{&u.DY, &u.DX}, bufs{&u.DX}, func() (kernels.Run, error) { return k.UnaryBackward(u) })
		u = kernels.Unary{Func: kernels.Gelu, DY: y, DX: z, Deriv: d, Accumulate: acc}
		check("UnaryBackward from Deriv", bufs{&u.DY, &u.Deriv}, bufs{&u.DX}, func() (kernels.Run, error) { return k.UnaryBackward(u) })
		b := kernels.Binary{Func: kernels.Add, X: x, Z: z, Y: y, Accumulate: acc}
		check("Binary", bufs{&b.X, &b.Z, &b.Y}, bufs{&b.Y}, func() (kernels.Run, error) { return k.Binary(b) })
		check("Binary, one", bufs{&b.Z}, bufs{&b.Y}, func() (kernels.Run, error) { return k.Binary(b) })
		in := kernels.Binary{Func: kernels.Mul, X: y, Z: z, Y: y}
		check("Binary in place", bufs{&in.X, &in.Y}, bufs{&in.Y}, func() (kernels.Run, error) { return k.Binary(in) })
		c := kernels.ChannelAffine{X: x, Scale: noise(cols), Shift: noise(cols), Y: y, Accumulate: acc}
		check("ChannelAffine", bufs{&c.X, &c.Y}, bufs{&c.Y}, func() (kernels.Run, error) { return k.ChannelAffine(c) })
		s := kernels.ColumnSum{X: x, Z: z, Y: noise(cols), Accumulate: acc}
		check("ColumnSum", bufs{&s.X, &s.Z}, bufs{&s.Y}, func() (kernels.Run, error) { return k.ColumnSum(s) })
		l := kernels.LayerNorm{X: x, Gamma: noise(cols), Beta: noise(cols), Y: y, Mean: noise(rows), RStd: noise(rows), Epsilon: 1e-6}
		check("LayerNorm", bufs{&l.X, &l.Y}, bufs{&l.Y, &l.Mean, &l.RStd}, func() (kernels.Run, error) { return k.LayerNorm(l) })
		l.DY, l.DX, l.AccumulateDX = z, d, acc
		check("LayerNormBackward", bufs{&l.DY}, bufs{&l.DX}, func() (kernels.Run, error) { return k.LayerNormBackward(l) })
		for _, trans := range []bool{false, true} {
			w := noise(cols, 96)
			if trans {
				w = noise(96, cols)
			}
			m := kernels.MatMul{A: x, B: w, TransB: trans, Bias: noise(96), Y: noise(rows, 96), M: rows, N: 96, K: cols, Accumulate: acc}
			check("MatMul", bufs{&m.A, &m.Y}, bufs{&m.Y}, func() (kernels.Run, error) { return k.MatMul(m) })
			check("MatMul of A", bufs{&m.A}, bufs{&m.Y}, func() (kernels.Run, error) { return k.MatMul(m) })
			check("MatMul to Y", bufs{&m.Y}, bufs{&m.Y}, func() (kernels.Run, error) { return k.MatMul(m) })
		}
		down := kernels.MatMul{A: x, B: noise(8, cols), TransB: true, Y: noise(rows, 8), M: rows, N: 8, K: cols, Accumulate: acc}
		check("down", bufs{&down.A}, bufs{&down.Y}, func() (kernels.Run, error) { return k.MatMul(down) })
		up := kernels.MatMul{A: noise(rows, 8), B: noise(cols, 8), TransB: true, Y: y, M: rows, N: cols, K: 8, Accumulate: acc}
		check("up", bufs{&up.Y}, bufs{&up.Y}, func() (kernels.Run, error) { return k.MatMul(up) })
		dw := kernels.MatMul{A: noise(rows, 8), TransA: true, B: x, Y: noise(8, cols), M: 8, N: cols, K: rows, Accumulate: acc}
		check("gradient of down", bufs{&dw.B}, bufs{&dw.Y}, func() (kernels.Run, error) { return k.MatMul(dw) })
		full := kernels.MatMul{A: x, TransA: true, B: z, Y: noise(cols, cols), M: cols, N: cols, K: rows, Accumulate: acc}
		check("gradient of a weight", bufs{&full.A, &full.B}, bufs{&full.Y}, func() (kernels.Run, error) { return k.MatMul(full) })
		for _, size := range [][3]int{{32, 48, 3}, {3, 40, 7}, {40, 8, 3}, {64, 36, 1}} {
			cin, cout, kernel := size[0], size[1], size[2]
			pad := kernel / 2
			c := kernels.Conv{X: noise(2, 16, 16, cin), W: noise(cout, cin, kernel, kernel), Y: noise(2, 16, 16, cout), Stride: [2]int{1, 1},
				Pads: [4]int{pad, pad, pad, pad}, Dilation: [2]int{1, 1}, Groups: 1, Accumulate: acc}
			check("Conv", bufs{&c.X, &c.Y}, bufs{&c.Y}, func() (kernels.Run, error) { return k.Conv(c) })
			check("Conv of X", bufs{&c.X}, bufs{&c.Y}, func() (kernels.Run, error) { return k.Conv(c) })
			check("ConvBackwardData", bufs{&c.Y}, bufs{&c.X}, func() (kernels.Run, error) { return k.ConvBackwardData(c) })
			if !acc {
				check("ConvBackwardData to X", bufs{&c.X, &c.Y}, bufs{&c.X}, func() (kernels.Run, error) { return k.ConvBackwardData(c) })
			}
			check("ConvBackwardWeights", bufs{&c.X, &c.Y}, bufs{&c.W}, func() (kernels.Run, error) { return k.ConvBackwardWeights(c) })
			check("ConvBackwardWeights of X", bufs{&c.X}, bufs{&c.W}, func() (kernels.Run, error) { return k.ConvBackwardWeights(c) })
			check("ConvBackwardWeights of Y", bufs{&c.Y}, bufs{&c.W}, func() (kernels.Run, error) { return k.ConvBackwardWeights(c) })
		}
	}
	for _, dst := range [][]int{{cols, 1}, {1, rows}} { // as it lies, and transposed
		for _, acc := range []bool{false, true} {
			c := kernels.Copy{Src: x, Dst: y, Dims: []int{rows, cols - 7}, SrcStrides: []int{cols, 1}, SrcOffset: 3, DstStrides: dst, DstOffset: 4, Accumulate: acc, Zero: !acc}
			check("Copy", bufs{&c.Src, &c.Dst}, bufs{&c.Dst}, func() (kernels.Run, error) { return k.Copy(c) })
			check("Copy of Src", bufs{&c.Src}, bufs{&c.Dst}, func() (kernels.Run, error) { return k.Copy(c) })
			check("Copy to Dst", bufs{&c.Dst}, bufs{&c.Dst}, func() (kernels.Run, error) { return k.Copy(c) })
		}
	}
	const n, heads, tokens, dim = 2, 3, 33, 16
	c := heads * dim
	qkv, dqkv := noise(n, tokens, 3*c), noise(n, tokens, 3*c)
	view := func(b *buffer.Buffer, i int) kernels.View {
		return kernels.View{Buf: b, Offset: i * c, Batch: tokens * 3 * c, Token: 3 * c, Head: dim}
	}
	out := func(b *buffer.Buffer) kernels.View {
		return kernels.View{Buf: b, Batch: tokens * c, Token: c, Head: dim}
	}
	a := kernels.Attention{N: n, Heads: heads, Tq: tokens, Tk: tokens, D: dim, Dv: dim, Scale: .3, Q: view(qkv, 0), K: view(qkv, 1), V: view(qkv, 2),
		O: out(noise(n, tokens, c)), DO: out(noise(n, tokens, c)), DQ: view(dqkv, 0), DK: view(dqkv, 1), DV: view(dqkv, 2),
		Stats: noise(n, heads, tokens, 2), Scratch: noise(kernels.AttentionScratch(tokens, tokens, true))}
	check("Attention", bufs{&a.Q.Buf, &a.K.Buf, &a.V.Buf, &a.O.Buf}, bufs{&a.O.Buf, &a.Stats}, func() (kernels.Run, error) { return k.Attention(a) })
	check("AttentionBackward", bufs{&a.Q.Buf, &a.K.Buf, &a.V.Buf, &a.DO.Buf, &a.DQ.Buf, &a.DK.Buf, &a.DV.Buf}, bufs{&a.DQ.Buf},
		func() (kernels.Run, error) { return k.AttentionBackward(a) })
	a.Stats = nil
	check("Attention without Stats", bufs{&a.Q.Buf, &a.K.Buf, &a.V.Buf}, bufs{&a.O.Buf}, func() (kernels.Run, error) { return k.Attention(a) })
}
