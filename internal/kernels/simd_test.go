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
// differ by tol of the largest.
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
		restore()
		for i, b := range out {
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
