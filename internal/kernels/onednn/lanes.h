// Vectors of 16 numbers in bf16: what cells.c, product16.c and attention_cells.c
// share. To be included behind their target.
#ifndef VL_LANES_H
#define VL_LANES_H
#include "product.h"
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

// The first n lanes, whatever n is.
INLINE __mmask16 vl_first(vl_n n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1); }

INLINE __m512 vl_wide(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }

// 32 numbers of bf16 as two vectors, and back.
INLINE __m512 vl_low(__m512i x) { return vl_wide(_mm512_castsi512_si256(x)); }
INLINE __m512 vl_high(__m512i x) { return vl_wide(_mm512_extracti64x4_epi64(x, 1)); }
INLINE __m512i vl_narrow(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

// 32 numbers of float32 rounded to bf16, what that leaves, and what that leaves, in
// turn rounded: so many parts of them.
INLINE void vl_split(__m512 low, __m512 high, const int parts, __m512i *v) {
#pragma GCC unroll 3
	for (int i = 0; i < parts; i++) {
		v[i] = vl_narrow(low, high);
		low = _mm512_sub_ps(low, vl_low(v[i])), high = _mm512_sub_ps(high, vl_high(v[i]));
	}
}
#endif
