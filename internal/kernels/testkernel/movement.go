package testkernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

func (u *suite) copy(t *testing.T) {
	for i, c := range []kernels.Copy{
		{Dims: []int{4, 5}, SrcStrides: []int{5, 1}, DstStrides: []int{7, 1}, DstOffset: 2},
		{Dims: []int{13, 37}, SrcStrides: []int{1, 13}, DstStrides: []int{37, 1}},
		{Dims: []int{2, 33, 18}, SrcStrides: []int{600, 18, 1}, DstStrides: []int{600, 1, 33}},
		{Dims: []int{3, 4, 5}, SrcStrides: []int{0, 5, 1}, DstStrides: []int{20, 5, 1}},
		{Dims: []int{2, 3, 4, 5}, SrcStrides: []int{1, 2, 6, 24}, DstStrides: []int{60, 20, 5, 1}, SrcOffset: 3},
		{Dims: []int{9}, SrcStrides: []int{-2}, DstStrides: []int{1}, SrcOffset: 16},
		{Dims: []int{}, SrcStrides: []int{}, DstStrides: []int{}, SrcOffset: 5, DstOffset: 6},
		{Dims: []int{0, 3}, SrcStrides: []int{3, 1}, DstStrides: []int{3, 1}},
		{Dims: []int{2, 1, 6, 8}, SrcStrides: []int{200, 9, 16, 1}, DstStrides: []int{48, 5, 8, 1}},
	} {
		for opt := range 4 {
			p := c
			p.Accumulate, p.Zero = opt&1 != 0, opt&2 != 0
			p.Src, p.Dst = u.buf(0, 1300), u.buf(3, 100, 13)
			u.copyOne(t, fmt.Sprintf("case %d option %d", i, opt), p)
		}
	}
	// A sum: stride 0 in the destination.
	for _, d := range [][2][]int{{{30, 1}, {0, 1}}, {{1, 30}, {1, 0}}, {{30, 1}, {0, 0}}} {
		p := kernels.Copy{Dims: []int{20, 30}, SrcStrides: d[0], DstStrides: d[1], Accumulate: true, Src: u.buf(0, 1300), Dst: u.buf(3, 100, 13)}
		u.copyOne(t, fmt.Sprintf("sum %v", d), p)
	}
	src, dst := buffer.Of([]int64{1, 2, 3, 4, 5, 6}, 2, 3), buffer.New(buffer.I64, 3, 2)
	run, err := u.k.Copy(kernels.Copy{Src: src, Dst: dst, Dims: []int{3, 2}, SrcStrides: []int{1, 3}, DstStrides: []int{2, 1}})
	u.exec(t, "int64", run, err)
	for i, want := range []int64{1, 4, 2, 5, 3, 6} {
		if dst.I64()[i] != want {
			t.Errorf("int64: element %d is %d, want %d", i, dst.I64()[i], want)
		}
	}
}

func (u *suite) copyOne(t *testing.T, name string, p kernels.Copy) {
	t.Helper()
	// The reference works on the spanned memory, gaps included: strides are
	// physical and may step over row ends.
	span := make([]float64, p.Dst.Bytes()/p.Dst.Storage.Size())
	for i := range span {
		span[i] = at(p.Dst, i)
		if p.Zero && i%p.Dst.Pitch < p.Dst.Cols() {
			span[i] = 0
		}
	}
	total := 1
	for _, d := range p.Dims {
		total *= d
	}
	for i := range total {
		s, d, rest := p.SrcOffset, p.DstOffset, i
		for k := len(p.Dims) - 1; k >= 0; k-- {
			j := rest % p.Dims[k]
			rest /= p.Dims[k]
			s, d = s+j*p.SrcStrides[k], d+j*p.DstStrides[k]
		}
		if !p.Accumulate {
			span[d] = 0
		}
		span[d] += at(p.Src, s)
	}
	run, err := u.k.Copy(p)
	u.exec(t, name, run, err)
	for i, want := range span {
		got := at(p.Dst, i)
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) && !(math.Abs(got-want) <= 10*u.tol*max(1, math.Abs(want))) {
			t.Fatalf("%s: element %d is %v, want %v", name, i, got, want)
		}
	}
}

func (u *suite) reduce(t *testing.T) {
	for _, sh := range [][2][]int{
		{{2, 5, 7, 19}, {2, 1, 1, 19}}, {{2, 5, 7, 19}, {2, 5, 7, 1}}, {{2, 5, 7, 19}, {1, 1, 1, 1}}, {{2, 5, 7, 19}, {1, 5, 1, 19}},
		{{40, 33}, {1, 33}}, {{40, 33}, {40, 1}}, {{6}, {1}}, {{3, 4}, {3, 4}}, {{1, 1}, {1, 1}}, {{3, 200, 17}, {3, 1, 17}},
	} {
		for f := kernels.ReduceSum; f <= kernels.ReduceMin; f++ {
			for _, extra := range []int{0, 5} {
				p := kernels.Reduce{Func: f, X: u.buf(extra, sh[0]...), Y: u.gaps(0, sh[1]...)}
				want, n := naiveReduce(p), p.X.Len()/p.Y.Len()
				name := fmt.Sprintf("%v → %v function %d gap=%d (%d each)", sh[0], sh[1], f, extra, n)
				run, err := u.k.Reduce(p)
				u.exec(t, name, run, err)
				u.compare(t, name, p.Y, want)
			}
		}
	}
}

func naiveReduce(p kernels.Reduce) []float64 {
	x := values(p.X)
	out := make([]float64, p.Y.Len())
	seen := make([]int, len(out))
	for i, v := range x {
		flat, step, rest := 0, 1, i
		for axis := len(p.X.Shape) - 1; axis >= 0; axis-- {
			j := rest % p.X.Shape[axis]
			rest /= p.X.Shape[axis]
			if p.Y.Shape[axis] != 1 {
				flat += j * step
			}
			step *= p.Y.Shape[axis]
		}
		switch {
		case seen[flat] == 0 || (p.Func == kernels.ReduceMax && v > out[flat]) || (p.Func == kernels.ReduceMin && v < out[flat]):
			out[flat] = v
		case p.Func <= kernels.ReduceMean:
			out[flat] += v
		}
		seen[flat]++
	}
	if p.Func == kernels.ReduceMean {
		for i := range out {
			out[i] /= float64(seen[i])
		}
	}
	return out
}
