package testkernel

import (
	"fmt"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

func (u *suite) matMul(t *testing.T) {
	sizes := [][3]int{{1, 1, 1}, {3, 5, 7}, {17, 33, 9}, {70, 8, 300}, {67, 96, 8}, {67, 50, 8}, {8, 129, 70}, {5, 7, 8}, {16, 40, 33}, {130, 530, 20}, {33, 16, 64}, {40, 3, 5}, {64, 64, 64}, {37, 40, 1024}, {4, 4, 0}, {0, 3, 2}}
	for i, m := range sizes {
		for opt := range 16 {
			ta, tb, acc, bias := opt&1 != 0, opt&2 != 0, opt&4 != 0, opt&8 != 0
			extra := []int{0, 3, 16}[(i+opt)%3]
			p := kernels.MatMul{M: m[0], N: m[1], K: m[2], TransA: ta, TransB: tb, Accumulate: acc}
			ar, ac, br, bc := p.M, p.K, p.K, p.N
			if ta {
				ar, ac = ac, ar
			}
			if tb {
				br, bc = bc, br
			}
			p.A, p.B, p.Y = u.buf(extra, ar, ac), u.buf((extra+opt)%3, br, bc), u.buf(extra, p.M, p.N)
			if i%2 == 0 {
				u.frozen(p.B)
			}
			if bias {
				p.Bias = u.buf(0, p.N)
			}
			name := fmt.Sprintf("%v transA=%v transB=%v acc=%v bias=%v gap=%d", m, ta, tb, acc, bias, extra)
			want := plus(acc, values(p.Y), product(p))
			run, err := u.k.MatMul(p)
			u.exec(t, name, run, err)
			u.compare(t, name, p.Y, want)
			if p.M == 0 {
				continue
			}
			h, c := u.buf(extra, p.M, 3), u.buf(extra, 3, p.N)
			p.Thin = &kernels.Thin{H: h, C: c}
			want = plus(acc, values(p.Y), product(p))
			for j, v := range product(kernels.MatMul{A: h, B: c, M: p.M, N: p.N, K: 3}) {
				want[j] += v
			}
			run, err = u.k.MatMul(p)
			u.exec(t, name, run, err)
			u.compare(t, name+" with a thin pair", p.Y, want)
		}
	}
	u.matMulBatched(t)
	u.matMulFrozenTwice(t)
}

// product is op(A)·op(B) + bias by definition.
func product(p kernels.MatMul) []float64 {
	out := make([]float64, 0, p.M*p.N)
	for i := range p.M {
		for j := range p.N {
			sum := 0.0
			for k := range p.K {
				ia, ib := i*p.A.Pitch+k, k*p.B.Pitch+j
				if p.TransA {
					ia = k*p.A.Pitch + i
				}
				if p.TransB {
					ib = j*p.B.Pitch + k
				}
				sum += at(p.A, ia) * at(p.B, ib)
			}
			if p.Bias != nil {
				sum += at(p.Bias, j)
			}
			out = append(out, sum)
		}
	}
	return out
}

// matMulBatched multiplies heads that lie interleaved in one buffer, and with a
// broadcast B (stride 0).
func (u *suite) matMulBatched(t *testing.T) {
	const n, m, k, heads = 11, 9, 6, 3
	for _, broadcast := range []bool{false, true} {
		a, b, y := u.buf(2, m, heads*k), u.buf(0, heads*n, k), u.buf(0, heads, m, n)
		p := kernels.MatMul{A: a, B: b, Y: y, TransB: true, M: m, N: n, K: k, Batch: heads, StrideA: k, StrideB: n * k, StrideY: m * n}
		if broadcast {
			p.StrideB = 0
		}
		var want []float64
		for h := range heads {
			for i := range m {
				for j := range n {
					sum := 0.0
					for c := range k {
						sum += at(a, i*a.Pitch+h*k+c) * at(b, h*p.StrideB+j*k+c)
					}
					want = append(want, sum)
				}
			}
		}
		run, err := u.k.MatMul(p)
		u.exec(t, "batched", run, err)
		u.compare(t, "batched", y, want)
	}
}

// matMulFrozenTwice binds one frozen weight for the forward and the backward
// product, twice each: packed copies must not be confused.
func (u *suite) matMulFrozenTwice(t *testing.T) {
	w := u.frozen(u.buf(0, 40, 24)) // (K, N) and, transposed, (N, K)
	for range 2 {
		for _, trans := range []bool{false, true} {
			p := kernels.MatMul{B: w, TransB: trans, M: 21, K: 40, N: 24}
			if trans {
				p.K, p.N = p.N, p.K
			}
			p.A, p.Y = u.buf(0, p.M, p.K), u.gaps(0, p.M, p.N)
			run, err := u.k.MatMul(p)
			u.exec(t, "frozen", run, err)
			u.compare(t, "frozen", p.Y, product(p))
		}
	}
}

// refuses checks that broken calls are errors and not crashes.
func (u *suite) refuses(t *testing.T) {
	a, b := u.buf(0, 3, 4), u.buf(0, 4, 5)
	other := buffer.New(map[buffer.Storage]buffer.Storage{buffer.F32: buffer.F64, buffer.F64: buffer.F32}[u.s], 3, 5)
	for name, bind := range map[string]func() (kernels.Run, error){
		"storages differ":  func() (kernels.Run, error) { return u.k.MatMul(kernels.MatMul{A: a, B: b, Y: other, M: 3, N: 5, K: 4}) },
		"inner dimensions": func() (kernels.Run, error) { return u.k.MatMul(kernels.MatMul{A: a, B: a, Y: a, M: 3, N: 4, K: 4}) },
		"no Y":             func() (kernels.Run, error) { return u.k.MatMul(kernels.MatMul{A: a, B: b, M: 3, N: 5, K: 4}) },
		"batch too long": func() (kernels.Run, error) {
			return u.k.MatMul(kernels.MatMul{A: a, B: b, Y: u.buf(0, 3, 5), M: 3, N: 5, K: 4, Batch: 2, StrideY: 15})
		},
		"output size": func() (kernels.Run, error) {
			return u.k.Conv(kernels.Conv{X: u.buf(0, 1, 5, 5, 2), W: u.buf(0, 3, 2, 3, 3), Y: u.buf(0, 1, 5, 5, 3),
				Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1})
		},
		"copy outside": func() (kernels.Run, error) {
			return u.k.Copy(kernels.Copy{Src: a, Dst: b, Dims: []int{13}, SrcStrides: []int{1}, DstStrides: []int{1}})
		},
		"broadcast": func() (kernels.Run, error) { return u.k.Binary(kernels.Binary{X: a, Z: b, Y: a}) },
		"shapes":    func() (kernels.Run, error) { return u.k.Unary(kernels.Unary{X: a, Y: b}) },
	} {
		if _, err := bind(); err == nil {
			t.Errorf("%s: bound without an error", name)
		}
	}
}
