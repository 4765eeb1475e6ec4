//go:build onednn

// Attention in bf16 on cells (cells.h). The scores of 32 queries at a time are made
// and consumed in the near cache. The backward pass works on them turned, keys
// down and queries across: statistics are vectors then, and sums over keys need
// none across a vector.

#include "attention.h"
#include "cells.h"

#if defined(__x86_64__)
#include <math.h>

#pragma GCC optimize("O3")
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")

#include "lanes.h"

#define LOG2E 1.44269504f

enum { CELL_BYTES = 2 * CELL_SIZE, WIDE_BYTES = 4 * CELL_SIZE };

// Between the two products are made, and what is too small for a normal float32 is
// zero.
static unsigned begin(void) {
	unsigned was = _mm_getcsr();
	_mm_setcsr(was | 0x8040);
	vl_cells_begin();
	return was;
}

static void end(unsigned was) {
	vl_cells_end();
	_mm_setcsr(was);
}

static inline vl_n least(vl_n a, vl_n b) { return a < b ? a : b; }

// How many of n rows or columns are those of cell i.
static inline vl_n of_cell(vl_n n, vl_n i) { return least(CELL, n - CELL * i); }

static inline void *element(const void *p, int is16, vl_n i) { return (char *)p + (is16 ? 2 : 4) * i; }

// 2^x by a polynomial of degree 3 on the part behind the point, to 2^-13.
INLINE __m512 exp2_of(__m512 x) {
	__m512 r = _mm512_reduce_ps(x, 1), p = _mm512_set1_ps(7.80245227e-2f);
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.26067155e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.95833541e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.99925219e-1f));
	return _mm512_scalef_ps(p, x);
}

// give writes the first rows and columns of a cell where they belong: times scale,
// and every row times its own where there are such.
static void give(const float *c, vl_n rows, vl_n cols, const float *own, float scale, void *y, int y16, vl_n yp) {
	__mmask16 lo = vl_first(cols), hi = vl_first(cols - 16);
	for (vl_n r = 0; r < rows; r++, c += CELL) {
		__m512 s = _mm512_set1_ps(own ? own[r] * scale : scale);
		__m512 a = _mm512_mul_ps(_mm512_loadu_ps(c), s), b = _mm512_mul_ps(_mm512_maskz_loadu_ps(hi, c + 16), s);
		if (y16) {
			_mm512_mask_storeu_epi16((uint16_t *)y + r * yp, (__mmask32)hi << 16 | lo, vl_narrow(a, b));
			continue;
		}
		_mm512_mask_storeu_ps((float *)y + r * yp, lo, a);
		_mm512_mask_storeu_ps((float *)y + r * yp + 16, hi, b);
	}
}

INLINE void fetch(const void *x, int x16, vl_n xp, vl_n n, vl_n d) {
	for (vl_n r = 0; r < n; r++) {
		const char *row = element(x, x16, r * xp), *end = row + vl_bytes(x16) * d;
		for (; row < end; row += 64) _mm_prefetch(row, _MM_HINT_T1);
	}
}

// fetch_next asks for queries, keys, values and gradients of head i from row at on,
// which will be read once this head is done: rows of a head lie too far apart for the
// processor to see them coming. (A call that only fetches the compiler would leave out.)
INLINE void fetch_next(const vl_heads *c, vl_n i, vl_n at) {
	const vl_attn *a = c->a;
	vl_n n = i / a->heads, h = i % a->heads, queries = least(CELL, a->tq - at), keys = least(CELL, a->tk - at);
	if (n >= a->n) return;
	fetch(element(c->q, a->q16, n * a->qb + h * a->qh + at * a->qt), a->q16, a->qt, queries, a->d);
	fetch(element(c->k, a->k16, n * a->kb + h * a->kh + at * a->kt), a->k16, a->kt, keys, a->d);
	fetch(element(c->v, a->v16, n * a->vb + h * a->vh + at * a->vt), a->v16, a->vt, keys, a->dv);
	if (c->go) fetch(element(c->go, a->o16, n * a->ob + h * a->oh + at * a->ot), a->o16, a->ot, queries, a->dv);
}

static void pack_rows(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {
	for (vl_n i = 0; i < n; i += CELL, out += vl_cells(k) * CELL_SIZE) vl_cells_a(element(x, x16, i * xp), x16, xp, least(CELL, n - i), k, out);
}

// Scores of n queries, a cell per 32 keys, become e^(scale·s + mask − max) as rows
// of a first factor. sum is the reciprocal of a query's sum. moved: the scores are
// written back first, as powers of 2.
INLINE void probabilities(const int moved, vl_n n, vl_n tk, float *s, float scale, const float *mask, vl_n mp, uint16_t *p, float *sum, float *stats) {
	vl_n full = tk / CELL, rest = tk % CELL;
	__mmask16 lo = vl_first(rest), hi = vl_first(rest - 16);
	const __m512 none = _mm512_set1_ps(-INFINITY), by = _mm512_set1_ps(scale * LOG2E), log2e = _mm512_set1_ps(LOG2E);
	for (vl_n r = 0; r < n; r++, s += CELL, p += CELL) {
		__m512 t0 = none, t1 = none;
		float *at = s;
		for (vl_n t = 0; t < full; t++, at += CELL_SIZE) {
			__m512 a = _mm512_loadu_ps(at), b = _mm512_loadu_ps(at + 16);
			if (moved) {
				a = _mm512_mul_ps(a, by), b = _mm512_mul_ps(b, by);
				if (mask) {
					const float *m = mask + r * mp + t * CELL;
					a = _mm512_fmadd_ps(_mm512_loadu_ps(m), log2e, a), b = _mm512_fmadd_ps(_mm512_loadu_ps(m + 16), log2e, b);
				}
				_mm512_storeu_ps(at, a), _mm512_storeu_ps(at + 16, b);
			}
			t0 = _mm512_max_ps(a, t0), t1 = _mm512_max_ps(b, t1);
		}
		if (rest) {
			__m512 a = _mm512_maskz_loadu_ps(lo, at), b = _mm512_maskz_loadu_ps(hi, at + 16);
			if (moved) {
				a = _mm512_mul_ps(a, by), b = _mm512_mul_ps(b, by);
				if (mask) {
					const float *m = mask + r * mp + full * CELL;
					a = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lo, m), log2e, a), b = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(hi, m + 16), log2e, b);
				}
				_mm512_storeu_ps(at, a), _mm512_storeu_ps(at + 16, b);
			}
			t0 = _mm512_mask_max_ps(t0, lo, a, t0), t1 = _mm512_mask_max_ps(t1, hi, b, t1);
		}
		float top = _mm512_reduce_max_ps(_mm512_max_ps(t0, t1));
		if (!moved) top *= scale * LOG2E;
		if (top == -INFINITY) top = 0;
		const __m512 f = moved ? _mm512_set1_ps(1) : by, m = _mm512_set1_ps(top);
		__m512 s0 = _mm512_setzero_ps(), s1 = s0;
		uint16_t *to = p;
		at = s;
		for (vl_n t = 0; t < full; t++, at += CELL_SIZE, to += CELL_SIZE) {
			__m512 a = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(at), f, m)), b = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(at + 16), f, m));
			s0 = _mm512_add_ps(s0, a), s1 = _mm512_add_ps(s1, b);
			_mm512_storeu_si512(to, vl_narrow(a, b));
		}
		if (rest) {
			__m512 a = exp2_of(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(lo, at), f, m)), b = exp2_of(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(hi, at + 16), f, m));
			a = _mm512_maskz_mov_ps(lo, a), b = _mm512_maskz_mov_ps(hi, b);
			s0 = _mm512_add_ps(s0, a), s1 = _mm512_add_ps(s1, b);
			_mm512_storeu_si512(to, vl_narrow(a, b));
		}
		float total = _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
		sum[r] = total == 0 ? 0 : 1 / total;
		if (stats) stats[2 * r] = top * 0.693147181f, stats[2 * r + 1] = sum[r];
	}
}

// The scratch of the forward pass: packed factors of a head, and 32 queries.
typedef struct {
	uint16_t *k, *v, *q, *p;
	float *s, *c, *sum;
	size_t bytes;
} forward;

static forward place_forward(const vl_attn *a, char *block) {
	forward f = {0};
	vl_n ks = vl_cells(a->tk), ds = vl_cells(a->d);
	f.k = vl_place(block, &f.bytes, ks * ds * CELL_BYTES);
	f.v = vl_place(block, &f.bytes, ks * vl_cells(a->dv) * CELL_BYTES);
	f.q = vl_place(block, &f.bytes, ds * CELL_BYTES);
	f.p = vl_place(block, &f.bytes, ks * CELL_BYTES);
	f.s = vl_place(block, &f.bytes, ks * WIDE_BYTES);
	f.c = vl_place(block, &f.bytes, WIDE_BYTES);
	f.sum = vl_place(block, &f.bytes, CELL * sizeof(float));
	return f;
}

void vl_attention_cells(void *arg, int part, int parts) {
	const vl_heads *c = arg;
	const vl_attn *a = c->a;
	forward f = place_forward(a, vl_scratch(place_forward(a, NULL).bytes));
	vl_n ks = vl_cells(a->tk), ds = vl_cells(a->d), done = 0;
	vl_cell_run keys = {f.k, ds, ds * CELL_SIZE, .terms = a->d % CELL}, values = {f.v, ks, ks * CELL_SIZE, .terms = a->tk % CELL};
	unsigned state = begin();
	for (vl_queries own; vl_next_queries(a, CELL, part, parts, &done, &own);) {
		vl_n i = own.head, n = i / a->heads, h = i % a->heads;
		const void *q = element(c->q, a->q16, n * a->qb + h * a->qh), *k = element(c->k, a->k16, n * a->kb + h * a->kh), *v = element(c->v, a->v16, n * a->vb + h * a->vh);
		void *o = element(c->o, a->o16, n * a->ob + h * a->oh);
		for (vl_n t = 0; t < ks; t++)
			vl_cells_b_turned(element(k, a->k16, t * CELL * a->kt), a->k16, a->kt, of_cell(a->tk, t), a->d, f.k + t * ds * CELL_SIZE);
		for (vl_n e = 0; e < vl_cells(a->dv); e++)
			vl_cells_b(element(v, a->v16, e * CELL), a->v16, a->vt, of_cell(a->dv, e), a->tk, f.v + e * ks * CELL_SIZE);
		for (vl_n at = own.from; at < own.to; at += CELL) {
			vl_n rows = least(CELL, a->tq - at);
			fetch_next(c, i + 1, at);
			vl_cells_a(element(q, a->q16, at * a->qt), a->q16, a->qt, rows, a->d, f.q);
			for (vl_n t = 0; t < ks; t++) vl_cells_multiply(rows, of_cell(a->tk, t), f.q, &keys, 1, t, f.s + t * CELL_SIZE, NULL, NULL);
			float *stats = c->stats ? c->stats + 2 * (i * a->tq + at) : NULL;
			const float *mask = c->mask ? c->mask + n * a->mb + h * a->mh + at * a->mpitch : NULL;
			if (mask || a->scale < 0) probabilities(1, rows, a->tk, f.s, a->scale, mask, a->mpitch, f.p, f.sum, stats);
			else probabilities(0, rows, a->tk, f.s, a->scale, NULL, 0, f.p, f.sum, stats);
			for (vl_n e = 0; e < vl_cells(a->dv); e++) {
				vl_cells_multiply(rows, of_cell(a->dv, e), f.p, &values, 1, e, f.c, NULL, NULL);
				give(f.c, rows, of_cell(a->dv, e), f.sum, 1, element(o, a->o16, at * a->ot + e * CELL), a->o16, a->ot);
			}
		}
	}
	end(state);
}

// The scratch of the backward pass: keys and values as rows and keys turned, once
// for a head; queries and gradients of a chunk of queries, and what their
// probabilities and scores' gradients are as first factors; 32 queries. Where
// there are several chunks, gradients of keys and values are summed up.
typedef struct {
	uint16_t *k, *v, *kt, *q, *g, *p, *ds, *qt, *gt, *pairs;
	float *s, *dp, *c, *mask, *dk, *dv;
	size_t bytes;
	vl_n chunk; // in cells
} backward;

static backward place_backward(const vl_attn *a, char *block) {
	enum { CHUNK = 1 << 20 }; // bytes: a part of a core's own cache
	backward f = {0};
	vl_n qs = vl_cells(a->tq), ks = vl_cells(a->tk), ds = vl_cells(a->d), vs = vl_cells(a->dv);
	vl_n fit = CHUNK / (2 * CELL_BYTES * ks), chunks = fit > 1 ? (qs + fit - 1) / fit : qs;
	f.chunk = (qs + chunks - 1) / chunks;
	f.k = vl_place(block, &f.bytes, ks * ds * CELL_BYTES);
	f.v = vl_place(block, &f.bytes, ks * vs * CELL_BYTES);
	f.kt = vl_place(block, &f.bytes, ks * ds * CELL_BYTES);
	f.q = vl_place(block, &f.bytes, f.chunk * ds * CELL_BYTES);
	f.g = vl_place(block, &f.bytes, f.chunk * vs * CELL_BYTES);
	f.p = vl_place(block, &f.bytes, f.chunk * ks * CELL_BYTES);
	f.ds = vl_place(block, &f.bytes, f.chunk * ks * CELL_BYTES);
	f.qt = vl_place(block, &f.bytes, ds * CELL_BYTES);
	f.gt = vl_place(block, &f.bytes, vs * CELL_BYTES);
	f.pairs = vl_place(block, &f.bytes, ks * CELL_BYTES);
	f.s = vl_place(block, &f.bytes, 2 * WIDE_BYTES);
	f.dp = vl_place(block, &f.bytes, ks * WIDE_BYTES);
	f.c = vl_place(block, &f.bytes, WIDE_BYTES);
	f.mask = vl_place(block, &f.bytes, WIDE_BYTES);
	if (chunks > 1) {
		f.dk = vl_place(block, &f.bytes, ks * ds * WIDE_BYTES);
		f.dv = vl_place(block, &f.bytes, ks * vs * WIDE_BYTES);
	}
	return f;
}

// What a block of 32 queries knows of itself: maxima as powers of 2, reciprocals
// of sums, 0 for queries that are not there, and the mask of its first query.
typedef struct {
	vl_n n;
	__m512 top[2], inverse[2], mean[2];
	const float *mask;
	vl_n pitch;
} queries;

static void statistics(queries *b, const float *stats) {
	const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0), odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
	for (int i = 0; i < 2; i++) {
		vl_n n = 2 * (b->n - 16 * i);
		__m512 lo = _mm512_maskz_loadu_ps(vl_first(n), stats + 32 * i), hi = _mm512_maskz_loadu_ps(vl_first(n - 16), stats + 32 * i + 16);
		b->top[i] = _mm512_mul_ps(_mm512_permutex2var_ps(lo, even, hi), _mm512_set1_ps(LOG2E));
		b->inverse[i] = _mm512_permutex2var_ps(lo, odd, hi);
	}
}

// The mask of 32 keys, from key at of tk on, turned.
static void turned_mask(const queries *b, vl_n at, vl_n tk, float *out) {
	vl_n n = least(CELL, tk - at);
	const __m512 log2e = _mm512_set1_ps(LOG2E);
	for (vl_n r = 0; r < CELL; r++) {
		const float *m = b->mask + r * b->pitch + at;
		vl_n have = r < b->n ? n : 0;
		_mm512_storeu_ps(out + r * CELL, _mm512_mul_ps(_mm512_maskz_loadu_ps(vl_first(have), m), log2e));
		_mm512_storeu_ps(out + r * CELL + 16, _mm512_mul_ps(_mm512_maskz_loadu_ps(vl_first(have - 16), m + 16), log2e));
	}
	vl_cells_turn(out);
}

// Turned scores of n keys, in a cell, become probabilities as rows of a first
// factor. Where there is dp, their gradient, the products of both are added up
// over the keys. halves: of 16 queries.
INLINE void again(const int halves, queries *b, vl_n n, const float *s, float scale, const float *mask, uint16_t *p, const float *dp) {
	const __m512 by = _mm512_set1_ps(scale * LOG2E), zero = _mm512_setzero_ps();
	const __m512 t0 = b->top[0], t1 = b->top[1], i0 = b->inverse[0], i1 = b->inverse[1];
	__m512 m0 = b->mean[0], m1 = b->mean[1];
	for (vl_n r = 0; r < n * CELL; r += CELL) {
		__m512 lo = _mm512_fmsub_ps(_mm512_loadu_ps(s + r), by, t0), hi = halves > 1 ? _mm512_fmsub_ps(_mm512_loadu_ps(s + r + 16), by, t1) : zero;
		if (mask) lo = _mm512_add_ps(lo, _mm512_loadu_ps(mask + r)), hi = _mm512_add_ps(hi, _mm512_loadu_ps(mask + r + 16));
		lo = _mm512_mul_ps(exp2_of(lo), i0);
		hi = halves > 1 ? _mm512_mul_ps(exp2_of(hi), i1) : zero;
		__m512i x = vl_narrow(lo, hi);
		_mm512_storeu_si512(p + r, x);
		if (!dp) continue;
		m0 = _mm512_fmadd_ps(lo, _mm512_loadu_ps(dp + r), m0);
		if (halves > 1) m1 = _mm512_fmadd_ps(hi, _mm512_loadu_ps(dp + r + 16), m1);
	}
	b->mean[0] = m0, b->mean[1] = m1;
}

// p∘(dp − mean), the gradient of the scores of all keys, as rows of a first factor,
// step apart for 32 keys, and as pairs of keys of a second one.
INLINE void scores_gradient(const int halves, const queries *b, vl_n tk, const uint16_t *p, const float *dp, uint16_t *rows, vl_n step, uint16_t *pairs) {
	const __m512i mix = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
	const __m512 m0 = b->mean[0], m1 = b->mean[1], zero = _mm512_setzero_ps();
#define GRADIENT(i, at, m) _mm512_mul_ps(vl_wide(_mm256_loadu_si256((const __m256i *)(p + (at)) + i)), _mm512_sub_ps(_mm512_loadu_ps(dp + (at) + 16 * i), m))
	for (vl_n t = 0; t < tk; t += CELL, p += step, dp += CELL_SIZE, pairs += CELL_SIZE, rows += step) {
		vl_n n = least(CELL, tk - t);
		for (vl_n r = 0; r < n; r += 2) {
			vl_n x = r * CELL, y = x + CELL;
			int odd = r + 1 < n;
			__m512 a0 = GRADIENT(0, x, m0), a1 = halves > 1 ? GRADIENT(1, x, m1) : zero;
			__m512 b0 = odd ? GRADIENT(0, y, m0) : zero, b1 = odd && halves > 1 ? GRADIENT(1, y, m1) : zero;
			_mm512_storeu_si512(rows + x, vl_narrow(a0, a1));
			_mm512_storeu_si512(rows + y, vl_narrow(b0, b1));
			_mm512_storeu_si512(pairs + x / 2, _mm512_permutexvar_epi16(mix, vl_narrow(a0, b0)));
			if (halves > 1) _mm512_storeu_si512(pairs + CELL_SIZE / 2 + x / 2, _mm512_permutexvar_epi16(mix, vl_narrow(a1, b1)));
		}
	}
#undef GRADIENT
}

// collect makes the gradient of keys or values of a chunk: rows by the chunk's
// queries or gradients. Cells of sums hold what earlier chunks gave.
static void collect(vl_n tk, vl_n d, const uint16_t *rows, vl_n step, vl_cell_run run, float *c, float *sums, int begins, int ends, float scale, void *y, int y16, vl_n yp) {
	for (vl_n t = 0; t < vl_cells(tk); t++, rows += step)
		for (vl_n e = 0; e < vl_cells(d); e++) {
			float *to = begins && sums && !ends ? sums : c;
			vl_cells_multiply(of_cell(tk, t), of_cell(d, e), rows, &run, 1, e, to, NULL, NULL);
			if (sums) {
				if (!begins)
					for (vl_n i = 0; i < CELL_SIZE; i += 16) {
						__m512 v = _mm512_add_ps(_mm512_loadu_ps(c + i), _mm512_loadu_ps(sums + i));
						_mm512_storeu_ps(ends ? c + i : sums + i, v);
					}
				sums += CELL_SIZE;
			}
			if (ends) give(c, of_cell(tk, t), of_cell(d, e), NULL, scale, element(y, y16, t * CELL * yp + e * CELL), y16, yp);
		}
}

void vl_attention_backward_cells(void *arg, int part, int parts) {
	const vl_heads *c = arg;
	const vl_attn *a = c->a;
	backward f = place_backward(a, vl_scratch(place_backward(a, NULL).bytes));
	vl_n all = a->n * a->heads, qs = vl_cells(a->tq), ks = vl_cells(a->tk), ds = vl_cells(a->d), vs = vl_cells(a->dv), step = f.chunk * CELL_SIZE;
	int scores = c->dq || c->dk;
	vl_cell_run qt = {f.qt, ds, 0, .terms = a->d % CELL}, gt = {f.gt, vs, 0, .terms = a->dv % CELL}, pairs = {f.pairs, ks, 0, .terms = a->tk % CELL};
	unsigned state = begin();
	for (vl_n i = vl_from(all, 1, part, parts); i < vl_from(all, 1, part + 1, parts); i++) {
		vl_n n = i / a->heads, h = i % a->heads;
		const void *q = element(c->q, a->q16, n * a->qb + h * a->qh), *k = element(c->k, a->k16, n * a->kb + h * a->kh), *v = element(c->v, a->v16, n * a->vb + h * a->vh);
		const void *g = element(c->go, a->o16, n * a->ob + h * a->oh);
		pack_rows(k, a->k16, a->kt, a->tk, a->d, f.k);
		if (scores) pack_rows(v, a->v16, a->vt, a->tk, a->dv, f.v);
		for (vl_n e = 0; c->dq && e < ds; e++)
			vl_cells_a_turned(element(k, a->k16, e * CELL), a->k16, a->kt, of_cell(a->d, e), a->tk, f.kt + e * ks * CELL_SIZE);
		memset(f.pairs + (ks - 1) * CELL_SIZE, 0, CELL_BYTES);
		for (vl_n j0 = 0; j0 < qs; j0 += f.chunk) {
			vl_n steps = least(f.chunk, qs - j0), terms = least(steps * CELL, a->tq - j0 * CELL);
			for (vl_n e = 0; c->dv && e < vs; e++)
				vl_cells_b(element(g, a->o16, j0 * CELL * a->ot + e * CELL), a->o16, a->ot, of_cell(a->dv, e), terms, f.g + e * step);
			for (vl_n e = 0; c->dk && e < ds; e++)
				vl_cells_b(element(q, a->q16, j0 * CELL * a->qt + e * CELL), a->q16, a->qt, of_cell(a->d, e), terms, f.q + e * step);
			for (vl_n j = 0; j < steps; j++) {
				vl_n at = (j0 + j) * CELL;
				queries b = {.n = least(CELL, a->tq - at), .mask = c->mask ? c->mask + n * a->mb + h * a->mh + at * a->mpitch : NULL, .pitch = a->mpitch};
				int both = b.n > 16; // halves of a vector of queries
				fetch_next(c, i + 1, at);
				statistics(&b, c->stats + 2 * (i * a->tq + at));
				vl_cells_b_turned(element(q, a->q16, at * a->qt), a->q16, a->qt, b.n, a->d, f.qt);
				if (scores) vl_cells_b_turned(element(g, a->o16, at * a->ot), a->o16, a->ot, b.n, a->dv, f.gt);
				uint16_t *p = f.p + j * CELL_SIZE, *rows = f.ds + j * CELL_SIZE;
				// The processor makes the products of the next keys while it works on
				// these.
				for (vl_n t = 0; t <= ks; t++) {
					if (t < ks) {
						vl_cells_multiply(of_cell(a->tk, t), b.n, f.k + t * ds * CELL_SIZE, &qt, 1, 0, f.s + t % 2 * CELL_SIZE, NULL, NULL);
						if (scores) vl_cells_multiply(of_cell(a->tk, t), b.n, f.v + t * vs * CELL_SIZE, &gt, 1, 0, f.dp + t * CELL_SIZE, NULL, NULL);
					}
					if (!t) continue;
					const float *s = f.s + (t - 1) % 2 * CELL_SIZE, *dp = scores ? f.dp + (t - 1) * CELL_SIZE : NULL, *mask = b.mask ? f.mask : NULL;
					vl_n keys = of_cell(a->tk, t - 1);
					if (mask) turned_mask(&b, (t - 1) * CELL, a->tk, f.mask);
					if (both) again(2, &b, keys, s, a->scale, mask, p + (t - 1) * step, dp);
					else again(1, &b, keys, s, a->scale, mask, p + (t - 1) * step, dp);
				}
				if (!scores) continue;
				if (both) scores_gradient(2, &b, a->tk, p, f.dp, rows, step, f.pairs);
				else scores_gradient(1, &b, a->tk, p, f.dp, rows, step, f.pairs);
				for (vl_n e = 0; c->dq && e < ds; e++) {
					vl_cells_multiply(of_cell(a->d, e), b.n, f.kt + e * ks * CELL_SIZE, &pairs, 1, 0, f.c, NULL, NULL);
					vl_cells_turn(f.c);
					give(f.c, b.n, of_cell(a->d, e), NULL, a->scale, element(c->dq, a->dq16, n * a->dqb + h * a->dqh + at * a->dqt + e * CELL), a->dq16, a->dqt);
				}
			}
			int begins = j0 == 0, ends = j0 + steps == qs;
			if (c->dv) {
				vl_cell_run run = {f.g, steps, step, .terms = ends ? a->tq % CELL : 0};
				collect(a->tk, a->dv, f.p, step, run, f.c, f.dv, begins, ends, 1, element(c->dv, a->dv16, n * a->dvb + h * a->dvh), a->dv16, a->dvt);
			}
			if (c->dk) {
				vl_cell_run run = {f.q, steps, step, .terms = ends ? a->tq % CELL : 0};
				collect(a->tk, a->d, f.ds, step, run, f.c, f.dk, begins, ends, a->scale, element(c->dk, a->dk16, n * a->dkb + h * a->dkh), a->dk16, a->dkt);
			}
		}
	}
	end(state);
}

size_t vl_attention_cells_scratch(const vl_attn *a, int back) { return back ? place_backward(a, NULL).bytes : place_forward(a, NULL).bytes; }

#else
void vl_attention_cells(void *heads, int part, int parts) {}
void vl_attention_backward_cells(void *heads, int part, int parts) {}
size_t vl_attention_cells_scratch(const vl_attn *a, int backward) { return 0; }
#endif
