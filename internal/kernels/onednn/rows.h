// Own kernels for what is bound by memory or by exp: element-wise functions,
// normalisation, softmax, sums, skinny products. rows.c compiles rows_impl.h
// once per instruction set and picks one at run time.
#ifndef VL_ROWS_H
#define VL_ROWS_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "product.h"

// bfloat16 is the upper half of a float32: rounded to it, ties to even, and back.
// Rounding could carry a NaN's payload into the sign.
static inline __attribute__((always_inline)) uint16_t vl_narrowed(float f) {
	uint32_t v;
	memcpy(&v, &f, sizeof v);
	uint32_t rounded = v + 0x7fff + (v >> 16 & 1);
	return (uint16_t)(((v & 0x7fffffff) > 0x7f800000 ? v | 0x400000 : rounded) >> 16);
}

static inline __attribute__((always_inline)) float vl_widened(uint16_t x) {
	uint32_t v = (uint32_t)x << 16;
	float f;
	memcpy(&f, &v, sizeof f);
	return f;
}

// Rows of float32, or of bf16 where half; p is NULL for an operand that is absent.
// half is VL_SLOPES for the derivatives of kernels.Func.Slope, in bytes.
enum { VL_SLOPES = 2 };
typedef struct {
	void *p;
	vl_n pitch;
	int half;
} vl_mat;

// Element i of memory that holds float32, bf16 or bytes.
static inline __attribute__((always_inline)) void *vl_at(const void *p, vl_n i, int half) { return (char *)p + i * (half == VL_SLOPES ? 1 : half ? 2 : 4); }

// The operand from an element on.
static inline vl_mat vl_from_at(vl_mat m, vl_n row, vl_n col) {
	if (m.p) m.p = vl_at(m.p, row * m.pitch + col, m.half);
	return m;
}

// The functions, in the order of kernels.Func; behind them forms that are exact
// enough for results in bf16.
enum {
	VL_RELU, VL_LEAKY_RELU, VL_ELU, VL_SELU, VL_CELU, VL_GELU, VL_GELU_TANH, VL_SILU, VL_HARD_SWISH, VL_HARD_SIGMOID, VL_SIGMOID, VL_TANH,
	VL_SOFTPLUS, VL_SOFTSIGN, VL_MISH, VL_ERF, VL_EXP, VL_LOG, VL_SQRT, VL_RECIPROCAL, VL_NEG, VL_ABS, VL_CLIP, VL_POW_CONST, VL_AFFINE,
	VL_GELU_ROUGH = 64, VL_GELU_TANH_ROUGH, VL_SILU_ROUGH, VL_SIGMOID_ROUGH
};

// The functions of two scalars, in the order of kernels.BinaryFunc.
enum { VL_ADD, VL_SUB, VL_MUL, VL_DIV, VL_MAX, VL_MIN };

typedef struct {
	vl_n dim[3];
	vl_n x[3], z[3], y[3]; // strides; the innermost of x and z is 0 or 1, of y 1
	int x16, z16, y16;     // bf16 in memory
} vl_box;

// vl_attn describes an attention over strided views; see kernels.Attention.
typedef struct {
	vl_n n, heads, tq, tk, d, dv;
	float scale;
	vl_n qb, qt, qh, kb, kt, kh, vb, vt, vh, ob, ot, oh; // batch, token, head
	vl_n dqb, dqt, dqh, dkb, dkt, dkh, dvb, dvt, dvh;
	vl_n mpitch, mb, mh; // of the mask
	int bf16;            // factors are rounded to bf16
	int q16, k16, v16, o16, dq16, dk16, dv16; // bf16 in memory; o: o and its gradient
} vl_attn;

typedef struct {
	vl_n n, h, w, c, oh, ow, xp, yp;
	vl_n kh, kw, sh, sw, pt, pl, pb, pr, dh, dw;
	int max, include;
	int x16, y16; // bf16 in memory; x and y may be their gradients
} vl_pool_shape;

enum { VL_POOL_TAPS = 256 }; // of a pooling that has a gradient here

// Where a tile of 4 × 4 outputs goes, from a column on: rows of y, NULL outside of the
// map, in float32 or bf16. The r numbers of a row of h, times what lies in thin's panels,
// are added; bias and finish may be NULL.
typedef struct {
	void *y[16];
	const float *h[16], *thin, *bias;
	const vl_finish *finish;
	vl_n column, r;
	int acc, half;
} vl_outputs;

// One set of kernels per instruction set.
typedef struct {
	const char *isa;
	// f(x) into y, and f'(x) into d unless absent; 0 when the function is not here.
	int (*map)(int f, float a, float b, vl_n rows, vl_n cols, vl_mat x, vl_mat y, vl_mat d);
	int (*map_backward)(int f, float a, float b, int acc, vl_n rows, vl_n cols, vl_mat x, vl_mat dy, vl_mat dx);
	// dx = dy·d, where d are slopes
	void (*slopes)(int acc, vl_n rows, vl_n cols, vl_mat d, vl_mat dy, vl_mat dx);
	void (*binary)(int f, int acc, const vl_box *box, const void *x, const void *z, void *y);
	void (*affine)(vl_n rows, vl_n c, vl_mat x, const float *scale, const float *shift, vl_mat y, int acc);
	void (*column_sum)(vl_n rows, vl_n c, vl_mat x, vl_mat z, float *y, int acc, float scale, double *sum);
	void (*row_sum)(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, float scale);
	void (*layer_norm)(vl_n rows, vl_n c, vl_mat x, const float *g, const float *b, vl_mat y, vl_mat hat, float *mean, float *rstd, double eps);
	void (*layer_norm_backward)(vl_n rows, vl_n c, vl_mat x, vl_mat dy, const float *g, const float *b, const float *mean, const float *rstd, vl_mat dx, int acc, float *dg,
		float *db, double *sums);
	void (*softmax)(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, vl_n yp, int log);
	void (*softmax_backward)(vl_n rows, vl_n c, const float *y, vl_n yp, const float *dy, vl_n gp, float *dx, vl_n dp, int log, int acc);
	// Scores of attention, in place; see attention_impl.h.
	void (*attend)(vl_n rows, vl_n c, float *s, vl_n sp, const float *mask, vl_n mp, float *sum, float *stats);
	void (*attend_backward)(vl_n rows, vl_n c, float *s, vl_n sp, const float *mask, vl_n mp, const float *stats, float *g, vl_n gp);
	void (*add_rows)(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, vl_n yp);
	// y = x rounded to bf16, ties to even; NaN stays NaN
	void (*narrow)(vl_n rows, vl_n c, const float *x, vl_n xp, uint16_t *y, vl_n yp);
	// y = x, which is bf16
	void (*widen_rows)(vl_n rows, vl_n c, const uint16_t *x, vl_n xp, float *y);
	// y (m, n) = x (m, k)·b (n, k)ᵀ + bias, n small
	void (*dots)(vl_n m, vl_n n, vl_n k, const float *x, vl_n xp, const float *b, vl_n bp, const float *bias, float *y, vl_n yp, int acc);
	// y (m, n) = h (m, k)·b (k, n) + bias, k small
	void (*widen)(vl_n m, vl_n n, vl_n k, const float *h, vl_n hr, vl_n hc, const float *b, vl_n bp, const float *bias, float *y, vl_n yp, int acc);
	// y (r, n) = u (m, r)ᵀ·x (m, n), r small; y is written
	void (*outer)(vl_n m, vl_n r, vl_n n, const float *u, vl_n up, const float *x, vl_n xp, float *y, vl_n yp, int acc);
	// index: the taps that were taken, NULL where nobody asks
	void (*pool)(const vl_pool_shape *s, const void *x, void *y, uint8_t *index);
	void (*pool_backward)(const vl_pool_shape *s, const void *dy, const uint8_t *index, void *dx, int acc);
	void (*depthwise_weights)(const vl_pool_shape *s, const float *x, const float *dy, float *part, double *total, float *dw, int acc);
	// The packing and the inner loop of own products, and the size of its tiles.
	void (*pack)(vl_n k, vl_n cols, vl_n sk, vl_n sn, const float *w, float *out);
	void (*panel)(const vl_segment *seg, vl_n segs, vl_n m, vl_n j, const float *bias, int acc, const vl_finish *finish, float *const *y, vl_n cols);
	vl_n rows, columns;
	// The transforms of winograd_impl.h.
	void (*points_of)(const void *const *pixel, int half, vl_n k, float *v, vl_n step);
	void (*of_points)(const float *m, vl_n step, vl_n n, const vl_outputs *p);
	void (*kernels_of)(vl_n k, vl_n n, vl_n st, vl_n sk, vl_n sn, const float *w, float *out, vl_n matrix);
} vl_rows;

// The best set for this processor that is not above limit: 0 baseline, 1 AVX2,
// 2 AVX-512, 3 that with its conversion to bf16.
const vl_rows *vl_rows_select(int limit);
#endif
