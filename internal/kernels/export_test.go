package kernels

// LimitISA makes the kernels those of a lesser processor until restore is called:
// 0 pure Go, 1 AVX2, 2 AVX-512. It reports false where this one has less.
func LimitISA(limit int) (restore func(), ok bool) {
	was := simd
	if isa(limit) > bestISA() {
		return nil, false
	}
	simd = isa(limit)
	return func() { simd = was }, true
}
