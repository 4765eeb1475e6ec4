//go:build linux

package kernels_test

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"unsafe"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// fence hands out buffers with a page on either side that faults on access: they
// begin right behind the first, or end right before the second.
type fence struct {
	t   *testing.T
	end bool
}

func (f fence) buf(shape ...int) *buffer.Buffer {
	n := 4
	for _, d := range shape {
		n *= d
	}
	page := syscall.Getpagesize()
	size := (n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = syscall.Munmap(mem) })
	for _, guard := range [][]byte{mem[:page], mem[page+size:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			f.t.Fatal(err)
		}
	}
	at := page
	if f.end {
		at += size - n
	}
	b := buffer.At(unsafe.Pointer(&mem[at]), buffer.F32, 0, shape...)
	for i := range b.F32() {
		b.F32()[i] = float32(rng.Float64()*2 - 1)
	}
	return b
}

// against runs a kernel in pure Go and in assembly on equal memory, and compares
// what it wrote: NaN and infinities must lie in the same places, numbers may
// differ by tol of the largest. A second run must give the same bytes.
func against(t *testing.T, name string, tol float64, bind func() (kernels.Run, error), out ...*buffer.Buffer) {
	t.Helper()
	var before, want [][]float32
	for _, b := range out {
		before = append(before, append([]float32(nil), b.F32()...))
	}
	for limit := 0; ; limit++ {
		restore, ok := kernels.LimitISA(limit)
		if !ok {
			return
		}
		run, err := bind()
		if err != nil {
			t.Fatal(err)
		}
		run()
		var once [][]float32
		for i, b := range out {
			once = append(once, append([]float32(nil), b.F32()...))
			copy(b.F32(), before[i])
		}
		run()
		restore()
		for i, b := range out {
			for j, v := range b.F32() {
				if math.Float32bits(v) != math.Float32bits(once[i][j]) {
					t.Fatalf("%s: ISA %d: output %d, element %d is %v and then %v", name, limit, i, j, once[i][j], v)
				}
			}
			if limit == 0 {
				want = append(want, append([]float32(nil), b.F32()...))
			}
			scale := 0.0
			for _, w := range want[i] {
				if w := math.Abs(float64(w)); w <= math.MaxFloat32 {
					scale = max(scale, w)
				}
			}
			for j, got := range b.F32() {
				w := float64(want[i][j])
				if d := math.Abs(float64(got) - w); float64(got) != w && !(math.IsNaN(w) && got != got) && !(d <= tol*scale) {
					t.Fatalf("%s: ISA %d: output %d, element %d is %v, pure Go has %v", name, limit, i, j, got, w)
				}
			}
			copy(b.F32(), before[i])
		}
	}
}

// TestSIMDMatMul: tiles and their remainders in every direction, at the edge of
// what may be touched.
func TestSIMDMatMul(t *testing.T) {
	for _, m := range []int{1, 3, 4, 5, 11, 12, 13, 23, 97, 200} {
		for _, n := range []int{1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 70, 530} {
			for i, k := range []int{1, 2, 8, 9, 31, 257} {
				if m*n*k > 1<<20 {
					continue
				}
				for opt := range 4 {
					f := fence{t, (i+opt)%2 == 0}
					p := kernels.MatMul{A: f.buf(m, k), B: f.buf(k, n), Y: f.buf(m, n), M: m, N: n, K: k, TransA: opt&1 != 0, TransB: opt&2 != 0, Accumulate: i%2 == 0}
					if p.TransA {
						p.A = p.A.Reshape(k, m)
					}
					if p.TransB {
						p.B = p.B.Reshape(n, k)
					}
					if i%3 == 0 {
						p.Bias = f.buf(n)
					}
					p.A.F32()[0] = float32(math.NaN())
					p.B.F32()[k*n-1] = float32(math.Inf(1))
					against(t, fmt.Sprintf("%d×%d×%d option %d", m, n, k, opt), 1e-6, func() (kernels.Run, error) { return kernels.Go{}.MatMul(p) }, p.Y)
				}
			}
		}
	}
}

// TestSIMDRows: lengths with every remainder, with NaN and ∞ among the numbers.
func TestSIMDRows(t *testing.T) {
	k := kernels.Go{}
	for c := 1; c < 44; c++ {
		f := fence{t, c%2 == 0}
		x, z, y, d, finite := f.buf(3, c), f.buf(3, c), f.buf(3, c), f.buf(3, c), f.buf(3, c)
		for i := range x.F32() {
			x.F32()[i] *= 6
		}
		x.F32()[c-1], z.F32()[0] = float32(math.NaN()), float32(math.Inf(1))
		x.F32()[2*c] = float32(math.Inf(1))
		for i, v := range x.F32() {
			if !math.IsInf(float64(v), 0) {
				finite.F32()[i] = v
			}
		}
		for fn := kernels.Relu; fn <= kernels.ThresholdedRelu; fn++ {
			x := x
			if fn >= kernels.Gelu && fn <= kernels.Silu {
				x = finite // pure Go has NaN for the derivative at ∞, which is 1
			}
			u := kernels.Unary{Func: fn, A: -1, B: 2, X: x, Y: y, Deriv: d}
			name := fmt.Sprintf("function %d of %d", fn, c)
			against(t, name, 1e-6, func() (kernels.Run, error) { return k.Unary(u) }, y, d)
			for opt := range 4 {
				v := kernels.Unary{Func: fn, A: -1, B: 2, X: x, DY: z, DX: y, Accumulate: opt&1 != 0}
				if opt&2 != 0 {
					v.X, v.Deriv = nil, x
				}
				against(t, name+" backward", 1e-6, func() (kernels.Run, error) { return k.UnaryBackward(v) }, y)
			}
		}
		for fn := kernels.Add; fn <= kernels.Min; fn++ {
			for _, acc := range []bool{false, true} {
				against(t, fmt.Sprintf("binary %d of %d", fn, c), 1e-6, func() (kernels.Run, error) {
					return k.Binary(kernels.Binary{Func: fn, X: x, Z: z, Y: y, Accumulate: acc})
				}, y)
			}
		}
		against(t, "sum of copies", 1e-6, func() (kernels.Run, error) {
			return k.Copy(kernels.Copy{Src: x, Dst: y, Dims: []int{3 * c}, SrcStrides: []int{1}, DstStrides: []int{1}, Accumulate: true})
		}, y)
		against(t, "softmax", 1e-6, func() (kernels.Run, error) { return k.Softmax(kernels.Softmax{X: x, Y: y}) }, y)
		against(t, "softmax backward", 1e-6, func() (kernels.Run, error) { return k.SoftmaxBackward(kernels.Softmax{Y: z, DY: x, DX: y}) }, y)
		x.F32()[c-1], x.F32()[2*c] = float32(math.Inf(-1)), 3
		against(t, "softmax beside −∞", 1e-6, func() (kernels.Run, error) { return k.Softmax(kernels.Softmax{X: x, Y: y}) }, y)
	}
}

// TestSIMDNorm: all of LayerNorm, on the edge.
func TestSIMDNorm(t *testing.T) {
	k := kernels.Go{}
	for c := 1; c < 44; c++ {
		f := fence{t, c%2 == 0}
		p := kernels.LayerNorm{X: f.buf(3, c), Gamma: f.buf(c), Beta: f.buf(c), Y: f.buf(3, c), Mean: f.buf(3), RStd: f.buf(3), Epsilon: 1e-3, DY: f.buf(3, c), DX: f.buf(3, c), AccumulateDX: c%3 == 0}
		p.X.F32()[0] = float32(math.NaN())
		against(t, fmt.Sprint("LayerNorm of ", c), 1e-5, func() (kernels.Run, error) { return k.LayerNorm(p) }, p.Y, p.Mean, p.RStd)
		against(t, fmt.Sprint("LayerNorm backward of ", c), 1e-5, func() (kernels.Run, error) { return k.LayerNormBackward(p) }, p.DX)
	}
}

// TestSIMDConv: lines, borders, strides and groups, on the edge.
func TestSIMDConv(t *testing.T) {
	k := kernels.Go{}
	for i, c := range []struct{ cin, cout, kernel, stride, dilation, groups int }{
		{3, 20, 7, 2, 1, 1}, {32, 8, 3, 1, 1, 1}, {64, 24, 3, 2, 1, 1}, {40, 33, 3, 1, 2, 1}, {32, 16, 1, 2, 1, 1}, {64, 64, 3, 1, 1, 2}, {32, 32, 3, 1, 1, 8},
		{8, 8, 3, 1, 1, 8}, {43, 43, 3, 2, 1, 43}, {5, 5, 5, 1, 1, 5}, {72, 72, 3, 2, 2, 72},
	} {
		for _, end := range []bool{false, true} {
			const n, h, w = 2, 11, 9
			pad := c.dilation * (c.kernel - 1) / 2
			out := func(size int) int { return (size+2*pad-c.dilation*(c.kernel-1)-1)/c.stride + 1 }
			f := fence{t, end}
			p := kernels.Conv{X: f.buf(n, h, w, c.cin), W: f.buf(c.cout, c.cin/c.groups, c.kernel, c.kernel), Bias: f.buf(c.cout), Y: f.buf(n, out(h), out(w), c.cout),
				Stride: [2]int{c.stride, c.stride}, Pads: [4]int{pad, pad, pad, pad}, Dilation: [2]int{c.dilation, c.dilation}, Groups: c.groups, Accumulate: i%2 == 0}
			name := fmt.Sprintf("%+v", c)
			against(t, name, 2e-6, func() (kernels.Run, error) { return k.Conv(p) }, p.Y)
			against(t, name+" weights", 4e-6, func() (kernels.Run, error) { return k.ConvBackwardWeights(p) }, p.W, p.Bias)
			p.Bias = nil
			against(t, name+" data", 2e-6, func() (kernels.Run, error) { return k.ConvBackwardData(p) }, p.X)
		}
	}
}

// TestSIMDAttention: blocks of queries and their remainders, on the edge.
func TestSIMDAttention(t *testing.T) {
	k := kernels.Go{}
	for _, c := range [][3]int{{1, 1, 8}, {5, 7, 16}, {33, 50, 24}, {129, 131, 64}} {
		f := fence{t, c[0]%2 == 0}
		tq, tk, d := c[0], c[1], c[2]
		const heads = 2
		view := func(tokens int) kernels.View {
			return kernels.View{Buf: f.buf(1, tokens, heads*d), Batch: tokens * heads * d, Token: heads * d, Head: d}
		}
		p := kernels.Attention{N: 1, Heads: heads, Tq: tq, Tk: tk, D: d, Dv: d, Scale: 0.5, Q: view(tq), K: view(tk), V: view(tk), O: view(tq), Stats: f.buf(1, heads, tq, 2),
			DO: view(tq), DQ: view(tq), DK: view(tk), DV: view(tk), Scratch: f.buf(kernels.AttentionScratch(tq, tk, true))}
		against(t, fmt.Sprint("attention ", c), 2e-6, func() (kernels.Run, error) { return k.Attention(p) }, p.O.Buf, p.Stats)
		run, err := k.Attention(p)
		if err != nil {
			t.Fatal(err)
		}
		run()
		against(t, fmt.Sprint("attention backward ", c), 4e-6, func() (kernels.Run, error) { return k.AttentionBackward(p) }, p.DQ.Buf, p.DK.Buf, p.DV.Buf)
	}
}

// TestSIMDPool: the largest of a window and its place, NaN included.
func TestSIMDPool(t *testing.T) {
	k := kernels.Go{}
	for c := 1; c < 44; c++ {
		f := fence{t, c%2 == 0}
		p := kernels.Pool{Max: true, X: f.buf(2, 7, 6, c), Y: f.buf(2, 4, 3, c), Index: buffer.New(buffer.U8, 2, 4, 3, c), Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Pads: [4]int{1, 1, 1, 1}, Dilation: [2]int{1, 1},
			DY: f.buf(2, 4, 3, c), DX: f.buf(2, 7, 6, c)}
		for i := range p.X.F32() { // many that are equal: the first is taken
			p.X.F32()[i] = float32(math.Round(3 * float64(p.X.F32()[i])))
		}
		p.X.F32()[3*c] = float32(math.NaN())
		against(t, fmt.Sprint("pool of ", c), 0, func() (kernels.Run, error) { return k.Pool(p) }, p.Y)
		against(t, fmt.Sprint("pool of ", c, ", backward"), 0, func() (kernels.Run, error) {
			forward, err := k.Pool(p)
			if err != nil {
				return nil, err
			}
			forward()
			return k.PoolBackward(p)
		}, p.DX)
	}
}
