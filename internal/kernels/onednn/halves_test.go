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

// noiseOf makes dense buffers of noise.
func noiseOf(r *rand.Rand) func(shape ...int) *buffer.Buffer {
	return func(shape ...int) *buffer.Buffer {
		b := buffer.New(buffer.F32, shape...)
		for i := range b.F32() {
			b.F32()[i] = float32(r.NormFloat64())
		}
		return b
	}
}

// TestHalves runs every kernel on operands in bf16, and on float32 copies of
// them: the results differ by the rounding of what is written.
func TestHalves(t *testing.T) {
	k := narrow(t)
	k.least = 1 << 12
	r := rand.New(rand.NewPCG(3, 4))
	noise := noiseOf(r)
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
		// What is normalised, in bf16, serves in the place of x.
		l.Hat = halved(noise(rows, cols))
		f, err := k.LayerNorm(l)
		run(t, f, err)
		hat := l.Hat
		l.Hat = nil
		for i, v := range l.X.F32() {
			r := i / cols
			want := (v - l.Mean.F32()[r]) * l.RStd.F32()[r]
			if got := math.Float32frombits(uint32(hat.BF16()[i]) << 16); math.Abs(float64(got-want)) > 1.0/256*math.Abs(float64(want))+1e-6 {
				t.Fatalf("row %d is normalised to %g, not to %g", r, got, want)
			}
		}
		start := clone(l.DX)
		f, err = k.LayerNormBackward(l)
		run(t, f, err)
		want := l.DX
		l.DX, l.Hat, l.X, l.Mean = start, hat, nil, nil
		f, err = k.LayerNormBackward(l)
		run(t, f, err)
		for i, v := range l.DX.F32() {
			if w := want.F32()[i]; math.Abs(float64(v-w)) > .03 {
				t.Fatalf("gradient %d from what is normalised is %g, from x %g", i, v, w)
			}
		}
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

// TestHalvesOnEveryProcessor holds the loops over bf16 of each instruction set to
// the portable kernels in float32: every mix of operands, rows with gaps, NaN.
func TestHalvesOnEveryProcessor(t *testing.T) {
	k := locked(t)
	defer k.limitISA(3)
	for limit := range 4 {
		k.limitISA(limit)
		testMixes(t, k, limit)
	}
}

func testMixes(t *testing.T, k *Kernels, limit int) {
	r := rand.New(rand.NewPCG(5, 6))
	const rows, cols, gap = 3, 549, 11 // more than one piece, and a rest
	noise := func(shape ...int) *buffer.Buffer {
		b := whole(r, gap, shape...)
		for i := range b.F32() {
			b.F32()[i] = float32(r.NormFloat64())
		}
		halved(buffer.Of(b.F32(), len(b.F32())))
		return b
	}
	inBF16 := func(b *buffer.Buffer) *buffer.Buffer {
		h := halved(buffer.Of(clone(b).F32(), len(b.F32())))
		return buffer.At(h.Pointer(), buffer.BF16, b.Pitch, b.Shape...)
	}
	at := func(b *buffer.Buffer, i int) float64 {
		if b.Storage == buffer.BF16 {
			return float64(math.Float32frombits(uint32(b.BF16()[i]) << 16))
		}
		return float64(b.F32()[i])
	}
	// every runs bind with each mix of storages; fields from out on are written.
	// Rounding to bf16 is off by 2⁻⁸ at most, a rough form by 2⁻¹⁰ more; below floor
	// they are of floor.
	every := func(name string, floor float64, fields []*kernels.Buf, out int, bind func(k kernels.Kernels) (kernels.Run, error)) {
		t.Helper()
		start := make([]kernels.Buf, len(fields))
		want := make([]kernels.Buf, len(fields))
		for i, f := range fields {
			start[i], *f = *f, clone(*f)
			want[i] = *f
		}
		f, err := bind(kernels.Go{})
		run(t, f, err)
		for mix := range 1 << len(fields) {
			for i, f := range fields {
				*f = clone(start[i])
				if mix>>i&1 != 0 {
					*f = inBF16(start[i])
				}
			}
			f, err := bind(k)
			run(t, f, err)
			for i := out; i < len(fields); i++ {
				got := *fields[i]
				for j, w := range want[i].F32() { // gaps included
					g, w := at(got, j), float64(w)
					if !(g == w || math.Abs(g-w) <= max(math.Abs(w), floor)*5/1024 || math.IsNaN(g) && math.IsNaN(w)) {
						t.Fatalf("%s, limit %d, mix %b: result %d at %d is %v, want %v", name, limit, mix, i, j, g, w)
					}
				}
			}
		}
		for i, f := range fields {
			*f = start[i]
		}
	}
	type bufs = []*kernels.Buf
	x, y, z, d := noise(rows, cols), noise(rows, cols), noise(rows, cols), noise(rows, cols)
	for i := range x.F32() {
		x.F32()[i] *= 3
	}
	halved(buffer.Of(x.F32(), len(x.F32())))
	const small = 1. / 128
	for _, f := range []kernels.Func{kernels.Relu, kernels.LeakyRelu, kernels.Elu, kernels.Gelu, kernels.GeluTanh, kernels.Silu, kernels.HardSwish, kernels.HardSigmoid,
		kernels.Sigmoid, kernels.Tanh, kernels.Erf, kernels.Exp, kernels.Abs, kernels.Clip, kernels.Affine} {
		u := kernels.Unary{Func: f, A: .25, B: .5, X: x, Y: y, Deriv: d}
		every("Unary", small, bufs{&u.X, &u.Y, &u.Deriv}, 1, func(k kernels.Kernels) (kernels.Run, error) { return k.Unary(u) })
		u.Deriv, u.X = nil, clone(x)
		copy(u.X.F32(), []float32{float32(math.NaN()), math.Float32frombits(0xffff0000), 300, -300, 0, 20, -20, math.Float32frombits(0x7f7f0000), float32(math.Inf(1))})
		every("Unary without Deriv", small, bufs{&u.X, &u.Y}, 1, func(k kernels.Kernels) (kernels.Run, error) { return k.Unary(u) })
		for _, acc := range []bool{false, true} {
			u = kernels.Unary{Func: f, A: .25, B: .5, X: x, DY: y, DX: d, Accumulate: acc}
			every("UnaryBackward", 1, bufs{&u.X, &u.DY, &u.DX}, 2, func(k kernels.Kernels) (kernels.Run, error) { return k.UnaryBackward(u) })
		}
	}
	for _, f := range []kernels.Func{kernels.Gelu, kernels.GeluTanh, kernels.Silu} {
		want := clone(d)
		whole, err := kernels.Go{}.Unary(kernels.Unary{Func: f, X: x, Y: clone(y), Deriv: want})
		run(t, whole, err)
		bytes := buffer.New(buffer.U8, rows, cols)
		slope := func(i, j int) float64 { return (float64(bytes.U8()[i*cols+j]) - 26) / 200 }
		u := kernels.Unary{Func: f, X: x, Y: y}
		every("Unary with slopes", small, bufs{&u.X, &u.Y}, 1, func(set kernels.Kernels) (kernels.Run, error) {
			if set != kernels.Kernels(k) {
				return set.Unary(u)
			}
			u := u
			u.Deriv = bytes
			made, err := set.Unary(u)
			return func() {
				made()
				for i := range rows {
					for j := range cols {
						if got, want := slope(i, j), float64(want.F32()[i*want.Pitch+j]); math.Abs(got-want) > 1./400+1./512 {
							t.Fatalf("limit %d: function %d has the slope %v at %v, want %v", limit, f, got, x.F32()[i*x.Pitch+j], want)
						}
					}
				}
			}, err
		})
		read := clone(d)
		for i := range rows {
			for j := range cols {
				read.F32()[i*read.Pitch+j] = float32(slope(i, j))
			}
		}
		for _, acc := range []bool{false, true} {
			u := kernels.Unary{Func: f, DY: y, DX: z, Accumulate: acc}
			every("UnaryBackward from slopes", 1, bufs{&u.DY, &u.DX}, 1, func(set kernels.Kernels) (kernels.Run, error) {
				u := u
				if u.Deriv = bytes; set != kernels.Kernels(k) {
					u.Deriv = read
				}
				return set.UnaryBackward(u)
			})
		}
	}
	for _, acc := range []bool{false, true} {
		u := kernels.Unary{Func: kernels.Gelu, DY: y, DX: z, Deriv: d, Accumulate: acc}
		every("UnaryBackward from Deriv", 1, bufs{&u.DY, &u.Deriv, &u.DX}, 2, func(k kernels.Kernels) (kernels.Run, error) { return k.UnaryBackward(u) })
		for _, f := range []kernels.BinaryFunc{kernels.Add, kernels.Sub, kernels.Mul, kernels.Max, kernels.Min} {
			for _, other := range []*buffer.Buffer{z, noise(cols), noise(rows, 1)} {
				b := kernels.Binary{Func: f, X: x, Z: other, Y: y, Accumulate: acc}
				every("Binary", 1, bufs{&b.X, &b.Z, &b.Y}, 2, func(k kernels.Kernels) (kernels.Run, error) { return k.Binary(b) })
			}
		}
		vector := func(n int) *buffer.Buffer { return buffer.Of(noise(1, n).F32(), n) }
		c := kernels.ChannelAffine{X: x, Scale: vector(cols), Shift: vector(cols), Y: y, Accumulate: acc}
		every("ChannelAffine", 1, bufs{&c.X, &c.Y}, 1, func(k kernels.Kernels) (kernels.Run, error) { return k.ChannelAffine(c) })
		l := kernels.LayerNorm{X: x, Gamma: vector(cols), Beta: vector(cols), Y: y, Mean: vector(rows), RStd: vector(rows), Epsilon: 1e-6}
		every("LayerNorm", small, bufs{&l.X, &l.Y}, 1, func(k kernels.Kernels) (kernels.Run, error) { return k.LayerNorm(l) })
		l.DY, l.DX, l.AccumulateDX, l.DGamma, l.DBeta = z, d, acc, vector(cols), vector(cols)
		every("LayerNormBackward", 1, bufs{&l.X, &l.DY, &l.DX}, 2, func(k kernels.Kernels) (kernels.Run, error) { return k.LayerNormBackward(l) })
		for _, most := range []bool{false, true} {
			p := kernels.Pool{Max: most, X: noise(2, 9, 8, 37), Y: noise(2, 5, 4, 37), Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pads: [4]int{1, 1, 1, 1},
				Dilation: [2]int{1, 1}, Accumulate: acc}
			if most {
				p.Index = buffer.New(p.IndexStorage(), p.Y.Shape...)
			}
			every("Pool", 1, bufs{&p.X, &p.Y}, 1, func(k kernels.Kernels) (kernels.Run, error) { return k.Pool(p) })
			p.DX, p.DY = noise(p.X.Shape...), noise(p.Y.Shape...)
			every("PoolBackward", 1, bufs{&p.DY, &p.DX}, 1, func(k kernels.Kernels) (kernels.Run, error) { return k.PoolBackward(p) })
		}
		s := kernels.ColumnSum{X: x, Z: z, Y: vector(cols), Accumulate: acc}
		sums := buffer.Of(append([]float32(nil), s.Y.F32()...), cols)
		q := s
		q.Y = sums
		f, err := kernels.Go{}.ColumnSum(q)
		run(t, f, err)
		for mix := range 4 {
			q := s
			q.Y = buffer.Of(append([]float32(nil), s.Y.F32()...), cols)
			if mix&1 != 0 {
				q.X = inBF16(x)
			}
			if mix&2 != 0 {
				q.Z = inBF16(z)
			}
			f, err := k.ColumnSum(q)
			run(t, f, err)
			for i, w := range sums.F32() {
				if g := q.Y.F32()[i]; math.Abs(float64(g-w)) > 1e-4 {
					t.Fatalf("ColumnSum, limit %d, mix %b: %v at %d, want %v", limit, mix, g, i, w)
				}
			}
		}
	}
}
