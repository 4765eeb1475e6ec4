package kernels

import "github.com/vislora/vislora/internal/buffer"

// zeroRows clears the rows of b and leaves what lies between them alone: the
// tail of a pitched row may belong to somebody else.
func zeroRows[T any](data []T, b Buf) {
	rows, c := b.Rows(), b.Cols()
	for r := range rows {
		clear(data[r*b.Pitch : r*b.Pitch+c])
	}
}

func copyNest(p Copy) *nest {
	return newNest(p.Dims, append([]int(nil), p.SrcStrides...), append([]int(nil), p.DstStrides...))
}

func copyFloat[T buffer.Float](p Copy) Run {
	if !p.Accumulate {
		return copyPlain(p, buffer.Floats[T])
	}
	src, dst := buffer.Floats[T](p.Src), buffer.Floats[T](p.Dst)
	walk := copyNest(p)
	n, ss, ds, _ := walk.inner()
	return func() {
		if p.Zero {
			zeroRows(dst, p.Dst)
		}
		if walk.empty {
			return
		}
		at := [3]int{p.SrcOffset, p.DstOffset}
		for {
			s, d := at[0], at[1]
			if ds == 0 { // a sum into one element
				sum := 0.0
				for range n {
					sum += float64(src[s])
					s += ss
				}
				dst[d] += T(sum)
			} else {
				i := 0
				if ss == 1 && ds == 1 {
					i = combined(Add, dst[d:d+n], src[s:s+n], dst[d:d+n])
				}
				for s, d := s+i*ss, d+i*ds; i < n; i++ {
					dst[d] += src[s]
					s, d = s+ss, d+ds
				}
			}
			if !walk.next(&at) {
				return
			}
		}
	}
}

// copyPlain moves without adding, for any element type.
func copyPlain[T any](p Copy, view func(*buffer.Buffer) []T) Run {
	src, dst := view(p.Src), view(p.Dst)
	walk := copyNest(p)
	n, ss, ds, _ := walk.inner()
	return func() {
		if p.Zero {
			zeroRows(dst, p.Dst)
		}
		if walk.empty {
			return
		}
		at := [3]int{p.SrcOffset, p.DstOffset}
		for {
			s, d := at[0], at[1]
			if ss == 1 && ds == 1 {
				copy(dst[d:d+n], src[s:s+n])
			} else {
				for range n {
					dst[d] = src[s]
					s, d = s+ss, d+ds
				}
			}
			if !walk.next(&at) {
				return
			}
		}
	}
}
