package kernels

import "github.com/vislora/vislora/internal/buffer"

// isa is an instruction set that kernels for float32 are written in.
type isa int

const (
	noSIMD isa = iota
	avx2       // with FMA
	avx512     // F and DQ
)

// simd is what the kernels use. Only tests change it, while no kernel runs.
var simd = bestISA()

// floats32 is s where T is float32 and vectors are there.
func floats32[T buffer.Float](s []T) ([]float32, bool) {
	if simd == noSIMD {
		return nil, false
	}
	p, ok := any(&s).(*[]float32)
	if !ok {
		return nil, false
	}
	return *p, true
}

// turn packs rows of consecutive elements (see [strided]) as far as vectors
// reach, and returns how many of the wide rows are done.
func turn[T buffer.Float](panel []T, w int, rows []T, pitch, wide, kn int) int {
	src, ok := floats32(rows)
	if !ok || kn < 8 {
		return 0
	}
	dst, _ := floats32(panel)
	r := 0
	for ; r+8 <= wide; r += 8 {
		_, _ = src[(r+7)*pitch+kn-1], dst[(kn-1)*w+r+7]
		turn8(&dst[r], 4*w, &src[r*pitch], 4*pitch, kn/8)
		for k := kn &^ 7; k < kn; k++ {
			for i := range 8 {
				dst[k*w+r+i] = src[(r+i)*pitch+k]
			}
		}
	}
	return r
}
