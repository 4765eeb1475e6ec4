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
	"github.com/vislora/vislora/internal/kernels/testkernel"
)

// narrow is a kernel set in bf16 whatever the size.
func narrow(t *testing.T) *Kernels { return opened(t, NewBF16) }

// paired is a kernel set in pairs of bf16 whatever the size.
func paired(t *testing.T) *Kernels { return opened(t, NewBF16x2) }

func opened(t *testing.T, open func() (*Kernels, bool, error)) *Kernels {
	locked(t)
	n, ok, err := open()
	if err != nil || !ok {
		t.Skipf("this is not faster on this processor (%v)", err)
	}
	t.Cleanup(n.Close)
	n.least, n.terms, n.rows, n.shared = 0, skinny, 0, 0
	return n
}

// parted is a kernel set for float32 in three numbers of bf16 whatever the size.
func parted(t *testing.T) *Kernels {
	return opened(t, func() (*Kernels, bool, error) { k, err := New(); return k, err == nil && k.parts == 3, err })
}

// TestBF16x3 runs the suite with float32 as sums of three numbers of bf16, and with
// products of whole numbers.
func TestBF16x3(t *testing.T) {
	k := parted(t)
	testkernel.Run(t, k, buffer.F32, 1e-5)
	testExact(t, k)
	testThin(t, k)
	k.withoutTiles(true)
	defer k.withoutTiles(false)
	testkernel.Run(t, k, buffer.F32, 1e-5)
	testThin(t, k)
}

// Large weights are packed once for the products of both directions.
func TestBF16x3Turned(t *testing.T) {
	k := parted(t)
	r := rand.New(rand.NewPCG(9, 1))
	for _, s := range []struct{ m, n, k int }{{75, 69, 54}, {600, 300, 290}, {33, 32, 1024}, {40, 800, 64}} {
		for opt := range 8 {
			trans, acc, rank := opt&1 != 0, opt&2 != 0, 5*(opt>>2)
			w := whole(r, 0, s.k, s.n)
			if trans {
				w = whole(r, 0, s.n, s.k)
			}
			w.Frozen = true
			there := kernels.MatMul{A: whole(r, 0, s.m, s.k), B: w, TransB: trans, M: s.m, N: s.n, K: s.k}
			back := kernels.MatMul{A: whole(r, 0, s.m, s.n), B: w, TransB: !trans, M: s.m, N: s.k, K: s.n, Accumulate: acc}
			start := whole(r, 0, s.m, s.k)
			if rank > 0 {
				back.Thin = &kernels.Thin{C: few(r, rank, s.k), Down: few(r, s.n, rank)}
			}
			var got, hs [2]*buffer.Buffer
			for i, set := range []kernels.Kernels{k, kernels.Go{}} {
				y, p := buffer.New(buffer.F32, s.m, s.n), back
				first := there
				first.Y, p.Y = y, clone(start)
				if rank > 0 {
					thin := *back.Thin
					thin.H = buffer.New(buffer.F32, s.m, rank)
					p.Thin, hs[i] = &thin, thin.H
				}
				f, err := set.MatMul(first)
				run(t, f, err)
				f, err = set.MatMul(p)
				run(t, f, err)
				got[i] = p.Y
			}
			name := fmt.Sprintf("%+v trans=%v acc=%v rank %d", s, trans, acc, rank)
			sameValues(t, name, got[0], got[1])
			if rank > 0 {
				sameValues(t, "h of "+name, hs[0], hs[1])
			}
			if n := len(k.panels[w.Pointer()]); n != 1 {
				t.Errorf("%s: the weights are packed %d times", name, n)
			}
		}
	}
}

// Sums of three numbers of bf16 are float32 in all its bits: products of a layer with
// its adapter are off from those in float64 by as much as those of float32 itself,
// whatever the numbers' range. What is left is how sums are rounded.
func TestBF16x3Error(t *testing.T) {
	sets := []*Kernels{parted(t), vectors(t)}
	r := rand.New(rand.NewPCG(3, 4))
	const m, n, rank = 40, 48, 8
	for _, depth := range []int{33, 768, 3072} {
		for _, spread := range []float64{0, 10, 40} { // powers of two between the greatest and the least
			random := func(shape ...int) *buffer.Buffer {
				b := buffer.New(buffer.F32, shape...)
				for i := range b.F32() {
					b.F32()[i] = float32(r.NormFloat64() * math.Exp2(-spread*r.Float64()))
				}
				return b
			}
			a, w, c, down := random(m, depth), random(depth, n), random(rank, n), random(depth, rank)
			var exact, all [m * n]float64 // all: sums of magnitudes, which bound what rounding may do
			var h [m * rank]float64
			product := func(k, n int, a func(i, q int) float64, b *buffer.Buffer, add func(i, j int, v float64)) {
				for i := range m {
					for q := range k {
						for j := range n {
							add(i, j, a(i, q)*float64(b.F32()[q*n+j]))
						}
					}
				}
			}
			sum := func(i, j int, v float64) { exact[i*n+j] += v; all[i*n+j] += math.Abs(v) }
			left := func(i, q int) float64 { return float64(a.F32()[i*depth+q]) }
			product(depth, n, left, w, sum)
			product(depth, rank, left, down, func(i, j int, v float64) { h[i*rank+j] += v })
			product(rank, n, func(i, q int) float64 { return h[i*rank+q] }, c, sum)
			var off [2]float64
			for s, k := range sets {
				y := buffer.New(buffer.F32, m, n)
				f, err := k.MatMul(kernels.MatMul{A: a, B: w, Y: y, M: m, N: n, K: depth, Thin: &kernels.Thin{H: buffer.New(buffer.F32, m, rank), C: c, Down: down}})
				run(t, f, err)
				for i, v := range y.F32() {
					off[s] += math.Pow((float64(v)-exact[i])/all[i], 2) / (m * n)
				}
			}
			three, whole := math.Sqrt(off[0]), math.Sqrt(off[1])
			t.Logf("%d terms, 2^-%g: off by %.2g in three parts, %.2g in float32, of the sum of magnitudes", depth, spread, three, whole)
			// A term is six products, each of which is rounded.
			if three > 3*whole {
				t.Errorf("%d terms, 2^-%g: off by %g, more than three times the %g of float32", depth, spread, three, whole)
			}
		}
	}
}

// TestBF16x2 runs the suite with factors that are sums of two numbers of bf16, and
// with products of whole numbers.
func TestBF16x2(t *testing.T) {
	k := paired(t)
	testkernel.Run(t, k, buffer.F32, 2e-5)
	testExact(t, k)
	testThin(t, k)
}

// TestBF16 runs the suite with factors rounded to 8 significant bits.
func TestBF16(t *testing.T) { testkernel.Run(t, narrow(t), buffer.F32, 2e-2) }

// whole is a buffer of whole numbers from −8 to 8: bf16 holds them, and float32
// their products' sums, so that nothing may be lost.
func whole(r *rand.Rand, extra int, shape ...int) *buffer.Buffer {
	cols := shape[len(shape)-1]
	rows := 1
	for _, d := range shape[:len(shape)-1] {
		rows *= d
	}
	b := buffer.New(buffer.F32, rows, cols+extra)
	for i := range b.F32() {
		b.F32()[i] = float32(r.IntN(17) - 8)
	}
	return buffer.At(b.Pointer(), buffer.F32, cols+extra, shape...)
}

func sameValues(t *testing.T, name string, got, want *buffer.Buffer) {
	t.Helper()
	if !slices.Equal(got.F32(), want.F32()) {
		t.Errorf("%s: not exact", name)
	}
}

// sameConv is sameValues for what a convolution, or a gradient, makes: of tiles it is
// off by a little of the range.
func sameConv(t *testing.T, name string, got, want *buffer.Buffer, tiles bool) {
	t.Helper()
	if !tiles {
		sameValues(t, name, got, want)
		return
	}
	most, off := float32(0), float32(0)
	for i, v := range want.F32() {
		most, off = max(most, v, -v), max(off, v-got.F32()[i], got.F32()[i]-v)
	}
	if !(off <= 8e-6*most) {
		t.Errorf("%s: off by %.2g of the range", name, off/most)
	}
}

func run(t *testing.T, f kernels.Run, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f()
}

// Products of whole numbers are exact, by tiles and by vectors.
func TestBF16Exact(t *testing.T) {
	k := narrow(t)
	testExact(t, k)
	k.withoutTiles(true)
	defer k.withoutTiles(false)
	testExact(t, k)
	testThin(t, k)
}

func testExact(t *testing.T, k *Kernels) {
	r := rand.New(rand.NewPCG(1, 2))
	for opt := range 32 {
		trans, frozen, acc, bias, extra := opt&1 != 0, opt&2 != 0, opt&4 != 0, opt&8 != 0, (opt>>4)*3
		const m, n, kk = 75, 37, 54
		w := whole(r, 0, kk, n)
		if trans {
			w = whole(r, 0, n, kk)
		}
		w.Frozen = frozen
		p := kernels.MatMul{A: whole(r, extra, m, kk), B: w, TransB: trans, M: m, N: n, K: kk, Accumulate: acc}
		if bias {
			p.Bias = whole(r, 0, n)
		}
		start := whole(r, extra, m, n)
		var got [2]*buffer.Buffer
		for i, set := range []kernels.Kernels{k, kernels.Go{}} {
			y := buffer.New(buffer.F32, m, n+extra)
			copy(y.F32(), start.F32())
			p.Y = buffer.At(y.Pointer(), buffer.F32, n+extra, m, n)
			f, err := set.MatMul(p)
			run(t, f, err)
			got[i] = p.Y
		}
		sameValues(t, fmt.Sprintf("MatMul trans=%v frozen=%v acc=%v bias=%v extra=%d", trans, frozen, acc, bias, extra), got[0], got[1])
	}
	for _, c := range []struct{ cin, cout, kernel, stride, dilation, groups, extra int }{
		{24, 40, 3, 1, 1, 1, 0}, {24, 40, 3, 2, 1, 1, 5}, {32, 32, 3, 1, 2, 2, 0}, {3, 24, 7, 2, 1, 1, 0}, {48, 20, 1, 2, 1, 1, 0}, {24, 24, 3, 1, 1, 24, 0},
	} {
		pad := c.dilation * (c.kernel / 2)
		out := (15+2*pad-c.dilation*(c.kernel-1)-1)/c.stride + 1
		p := kernels.Conv{W: whole(r, 0, c.cout, c.cin/c.groups, c.kernel, c.kernel), Stride: [2]int{c.stride, c.stride}, Pads: [4]int{pad, pad, pad, pad},
			Dilation: [2]int{c.dilation, c.dilation}, Groups: c.groups}
		x, y := whole(r, c.extra, 2, 15, 15, c.cin), whole(r, c.extra, 2, out, out, c.cout)
		for _, acc := range []bool{false, true} {
			var ys, xs [2]*buffer.Buffer
			for i, set := range []kernels.Kernels{k, kernels.Go{}} {
				p.Accumulate = acc
				p.X, p.Y = x, clone(y)
				f, err := set.Conv(p)
				run(t, f, err)
				ys[i] = p.Y
				p.X, p.Y = clone(x), y
				f, err = set.ConvBackwardData(p)
				run(t, f, err)
				xs[i] = p.X
			}
			sameValues(t, fmt.Sprintf("Conv %+v acc=%v", c, acc), ys[0], ys[1])
			sameValues(t, fmt.Sprintf("ConvBackwardData %+v acc=%v", c, acc), xs[0], xs[1])
		}
	}
}

// The gradient of an adapter's kernel: thin rows in float32 and a map in bf16.
func TestBF16KernelGradient(t *testing.T) {
	k := narrow(t)
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		h, w, cin, cout, kh, kw, stride, dilation int
		pads                                      [4]int
	}{
		{40, 41, 40, 8, 3, 3, 1, 1, [4]int{1, 1, 1, 1}}, // more than a block of rows
		{7, 7, 64, 16, 3, 3, 1, 1, [4]int{1, 1, 1, 1}},
		{9, 11, 33, 5, 3, 5, 1, 2, [4]int{2, 4, 2, 4}},
		{12, 9, 32, 3, 4, 2, 1, 1, [4]int{}},
		{12, 9, 32, 3, 4, 2, 1, 1, [4]int{3, 1, 0, 0}},
		{6, 8, 32, 8, 3, 3, 1, 1, [4]int{0, 0, 2, 2}},
		{3, 4, 32, 8, 2, 2, 1, 1, [4]int{4, 4, 1, 1}}, // windows in the border alone
		{9, 9, 32, 8, 3, 3, 2, 1, [4]int{1, 1, 1, 1}},
		{9, 9, 32, 24, 3, 3, 1, 1, [4]int{1, 1, 1, 1}},
	} {
		for opt := range 4 {
			acc, extra := opt&1 != 0, 5*(opt>>1)
			oh, ow := (c.h+c.pads[0]+c.pads[2]-c.dilation*(c.kh-1)-1)/c.stride+1, (c.w+c.pads[1]+c.pads[3]-c.dilation*(c.kw-1)-1)/c.stride+1
			x, start := whole(r, extra, 2, c.h, c.w, c.cin), whole(r, 0, c.cout, c.cin, c.kh, c.kw)
			p := kernels.Conv{X: x, Y: whole(r, extra, 2, oh, ow, c.cout), Stride: [2]int{c.stride, c.stride}, Pads: c.pads, Dilation: [2]int{c.dilation, c.dilation}, Groups: 1, Accumulate: acc}
			p.W = clone(start)
			f, err := kernels.Go{}.ConvBackwardWeights(p)
			run(t, f, err)
			want := p.W
			half := halved(buffer.Of(clone(x).F32(), len(x.F32())))
			p.X, p.W = buffer.At(half.Pointer(), buffer.BF16, x.Pitch, x.Shape...), clone(start)
			f, err = k.ConvBackwardWeights(p)
			run(t, f, err)
			sameValues(t, fmt.Sprintf("%+v acc=%v extra=%d", c, acc, extra), p.W, want)
		}
	}
}

// few is a buffer of zeros with here and there a one, so that sums over it stay
// small.
func few(r *rand.Rand, shape ...int) *buffer.Buffer {
	b := buffer.New(buffer.F32, shape...)
	for i := range b.F32() {
		if r.IntN(16) == 0 {
			b.F32()[i] = 1
		}
	}
	return b
}

// A layer and its adapter in one product, whatever the rank: h is given, or made
// on the way.
func TestBF16Thin(t *testing.T) { testThin(t, narrow(t)) }

// Values in bf16 are for the set that keeps them.
func testThin(t *testing.T, k *Kernels) {
	r := rand.New(rand.NewPCG(5, 6))
	ranks := []int{1, 3, 8, 10, 12, 16, 20, 40}
	if testing.Short() {
		ranks = []int{3, 8, 16, 40} // one for every way to split a factor
	}
	for _, rank := range ranks {
		if k.parts == 3 && rank > skinny {
			continue // apart from its layer
		}
		for opt := range 8 {
			down, trans, acc := opt&1 != 0, opt&2 != 0, opt&4 != 0
			name := fmt.Sprintf("rank %d down=%v trans=%v acc=%v", rank, down, trans, acc)
			const m, n, kk = 75, 69, 54
			turned := func(yes bool, rows, cols int) *buffer.Buffer {
				if yes {
					rows, cols = cols, rows
				}
				return few(r, rows, cols)
			}
			start, h := whole(r, 3, m, n), whole(r, 0, m, rank)
			w := whole(r, 0, n, kk)
			w.Frozen = true
			p := kernels.MatMul{A: whole(r, 0, m, kk), B: w, TransB: true, Bias: whole(r, 0, n), M: m, N: n, K: kk, Accumulate: acc,
				Thin: &kernels.Thin{C: turned(trans, rank, n), Trans: trans}}
			if down {
				p.Thin.Down, p.Thin.DownTrans = turned(!trans, kk, rank), !trans
			}
			var ys, hs [2]*buffer.Buffer
			for i, set := range []kernels.Kernels{k, kernels.Go{}} {
				thin := *p.Thin
				thin.H = clone(h)
				p.Y, p.Thin = clone(start), &thin
				f, err := set.MatMul(p)
				run(t, f, err)
				ys[i], hs[i] = p.Y, thin.H
			}
			sameValues(t, "MatMul "+name, ys[0], ys[1])
			sameValues(t, "h of MatMul "+name, hs[0], hs[1])
		}
		for _, c := range []struct{ cin, cout, kernel, stride, dilation, size, pictures int }{
			{32, 40, 3, 1, 1, 15, 2}, {64, 32, 3, 2, 1, 15, 2}, {24, 40, 3, 2, 1, 15, 2}, {3, 24, 4, 4, 1, 15, 2}, {64, 33, 1, 1, 1, 15, 2}, {64, 64, 1, 2, 1, 15, 2},
			{32, 64, 3, 1, 1, 7, 5}, {64, 32, 5, 1, 1, 9, 3}, {32, 32, 3, 1, 2, 13, 1}, {32, 32, 2, 1, 1, 40, 1},
		} {
			for opt := range 8 {
				down, acc, inBF16 := opt&1 != 0, opt&2 != 0, opt&4 != 0
				if inBF16 && !k.bf16 || k.parts == 3 && c.kernel > 1 {
					continue // of three parts there are products alone
				}
				name := fmt.Sprintf("rank %d of %+v down=%v acc=%v bf16=%v", rank, c, down, acc, inBF16)
				pad := c.dilation * (c.kernel / 2)
				out := (c.size+2*pad-c.dilation*(c.kernel-1)-1)/c.stride + 1
				p := kernels.Conv{W: whole(r, 0, c.cout, c.cin, c.kernel, c.kernel), Stride: [2]int{c.stride, c.stride}, Pads: [4]int{pad, pad, pad, pad},
					Dilation: [2]int{c.dilation, c.dilation}, Groups: 1, Accumulate: acc}
				p.W.Frozen = true
				n := c.pictures
				x, y, h := whole(r, 0, n, c.size, c.size, c.cin), whole(r, 0, n, out, out, c.cout), whole(r, 0, n, out, out, rank)
				x16, y16 := halved(x), halved(y)
				a, b := few(r, rank, c.cin, c.kernel, c.kernel), few(r, c.cout, rank)
				var ys, xs, hs, gs [2]*buffer.Buffer
				for i, set := range []kernels.Kernels{k, kernels.Go{}} {
					p.X, p.Y, p.Thin = x, clone(y), &kernels.Thin{H: clone(h), C: b}
					if inBF16 && i == 0 {
						p.X = x16
					}
					if down {
						p.Thin.Down = a
					}
					f, err := set.Conv(p)
					run(t, f, err)
					ys[i], hs[i] = p.Y, p.Thin.H
					p.X, p.Y, p.Thin = clone(x), y, &kernels.Thin{H: clone(h), C: a}
					if inBF16 && i == 0 {
						p.Y = y16
					}
					if down {
						p.Thin.Down = b
					}
					f, err = set.ConvBackwardData(p)
					run(t, f, err)
					xs[i], gs[i] = p.X, p.Thin.H
				}
				sameConv(t, "Conv "+name, ys[0], ys[1], k.winograd(p, false))
				sameConv(t, "h of Conv "+name, hs[0], hs[1], k.winograd(p, false))
				// Here h is rounded to bf16, and what its windows make may be large.
				if !down || k.parts > 1 {
					sameConv(t, "ConvBackwardData "+name, xs[0], xs[1], k.winograd(p, true))
				}
				sameValues(t, "h of ConvBackwardData "+name, gs[0], gs[1])
			}
		}
	}
}

func clone(b *buffer.Buffer) *buffer.Buffer {
	n := buffer.New(buffer.F32, b.Rows(), b.Pitch)
	copy(n.F32(), b.F32())
	return buffer.At(n.Pointer(), buffer.F32, b.Pitch, b.Shape...)
}
