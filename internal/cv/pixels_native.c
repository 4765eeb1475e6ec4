//go:build cgo && gocv_specific_modules

#include "pixels.h"

#include <string.h>

// Products are rounded before they are added, as in Go and Pillow.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

// The loader of shared libraries picks the version for the processor.
#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__)
#define VERSIONS __attribute__((target_clones("avx2", "default")))
#else
#define VERSIONS
#endif

enum { precision = 22 };

typedef uint8_t bytes8 __attribute__((vector_size(8)));
typedef int32_t ints8 __attribute__((vector_size(32)));

static inline uint8_t clip(int32_t v) {
	v >>= precision;
	return v < 0 ? 0 : v > 255 ? 255 : v;
}

VERSIONS void vislora_across(uint8_t *out, const uint8_t *in, size_t pitch, size_t bytes, int rows, int n, const intptr_t *first, const intptr_t *count, const int32_t *weight, int size) {
	const int32_t half = 1 << (precision - 1);
	const uint8_t *end = in + bytes;
	for (int y = 0; y < rows; y += 2) {
		// Two rows at a time; of an odd last one twice the same.
		const uint8_t *a = in + (size_t)y * pitch, *b = y + 1 < rows ? a + pitch : a;
		uint8_t *to = out + (size_t)y * n * 3, *also = y + 1 < rows ? to + (size_t)n * 3 : to;
		for (int i = 0; i < n; i++) {
			const uint8_t *p = a + 3 * first[i], *q = b + 3 * first[i];
			const int32_t *k = weight + (size_t)i * size;
			int many = count[i];
			ints8 s = {half, half, half, 0, half, half, half, 0};
			int t = 0;
			// A pixel is read with the byte behind it, which the last one lacks.
			int safe = q + 3 * many < end ? many : many - 1;
			for (; t < safe; t++, p += 3, q += 3) {
				uint32_t u, v;
				memcpy(&u, p, 4);
				memcpy(&v, q, 4);
				uint64_t both = u | (uint64_t)v << 32;
				bytes8 x;
				memcpy(&x, &both, 8);
				s += __builtin_convertvector(x, ints8) * k[t];
			}
			for (; t < many; t++, p += 3, q += 3) s += (ints8){p[0], p[1], p[2], 0, q[0], q[1], q[2], 0} * k[t];
			to[3 * i] = clip(s[0]), to[3 * i + 1] = clip(s[1]), to[3 * i + 2] = clip(s[2]);
			also[3 * i] = clip(s[4]), also[3 * i + 1] = clip(s[5]), also[3 * i + 2] = clip(s[6]);
		}
	}
}

VERSIONS void vislora_down(uint8_t *out, const uint8_t *rows, int n, const int32_t *weight, int count) {
	int j = 0;
	for (; j + 8 <= n; j += 8) {
		ints8 s = {0};
		s += 1 << (precision - 1);
		for (int t = 0; t < count; t++) {
			bytes8 x;
			memcpy(&x, rows + (size_t)t * n + j, 8);
			s += __builtin_convertvector(x, ints8) * weight[t];
		}
		s >>= precision;
		s &= s >= 0;
		ints8 high = s > 255;
		s = (s & ~high) | (high & 255);
		bytes8 y = __builtin_convertvector(s, bytes8);
		memcpy(out + j, &y, 8);
	}
	for (; j < n; j++) {
		int32_t s = 1 << (precision - 1);
		for (int t = 0; t < count; t++) s += rows[(size_t)t * n + j] * weight[t];
		out[j] = clip(s);
	}
}

static inline uint8_t blend(int a, int b, float factor) {
	float v = (float)a + factor * (float)(b - a);
	v = v < 0 ? 0 : v;
	v = v > 255 ? 255 : v;
	return (uint8_t)(int32_t)v;
}

VERSIONS void vislora_blend(uint8_t *pix, size_t n, uint8_t v, float factor) {
	for (size_t i = 0; i < n; i++) pix[i] = blend(v, pix[i], factor);
}

static inline int grey(const uint8_t *p) { return (19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 0x8000) >> 16; }

VERSIONS void vislora_saturate(uint8_t *pix, size_t pixels, float factor) {
	for (size_t i = 0; i < pixels; i++, pix += 3) {
		int g = grey(pix);
		pix[0] = blend(g, pix[0], factor), pix[1] = blend(g, pix[1], factor), pix[2] = blend(g, pix[2], factor);
	}
}

VERSIONS int64_t vislora_grey(const uint8_t *pix, size_t pixels) {
	int64_t sum = 0;
	while (pixels > 0) {
		int32_t part = 0; // narrow sums fit more into a vector
		size_t n = pixels < 1 << 20 ? pixels : 1 << 20;
		for (size_t i = 0; i < n; i++) part += grey(pix + 3 * i);
		sum += part, pix += 3 * n, pixels -= n;
	}
	return sum;
}
