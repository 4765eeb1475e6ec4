//go:build onednn

// Attention in float32: products per head on the strided views, and between them
// probabilities that never leave the cache. The backward pass makes them again.

#include "attention.h"

// How many queries a block has: their scores stay in a core's own cache.
static vl_n block_rows(const vl_attn *a) {
	enum { SCORES = 1 << 16, FEWEST = 32 };
	vl_n fit = SCORES / a->tk;
	if (fit < FEWEST) fit = FEWEST;
	return fit < a->tq ? fit : a->tq;
}

static vl_n pitch_of(const vl_attn *a) { return (a->tk + 15) & ~(vl_n)15; }

static void times_number(vl_n n, float *x, float by) {
	vl_mat row = {x, n};
	vl_kernels->map(VL_AFFINE, by, 0, 1, n, row, row, (vl_mat){0});
}

// pack makes the second factor (k, n) of a product, its element at k·sk + n·sn.
static const float *pack(vl_n k, vl_n n, float scale, const float *b, vl_n sk, vl_n sn, float *out) {
	vl_pack_panels(1, k, n, 0, sk, sn, b, out);
	if (scale != 1) times_number(vl_packed_floats(1, k, n), out, scale);
	return out;
}

// times makes y (m, n) = a·b, a (m, k) with rows lda apart and terms step apart.
static void times(vl_n m, vl_n n, vl_n k, const float *a, vl_n lda, vl_n step, const float *b, int acc, float *y, vl_n ldy) {
	vl_product p = {.m = m, .n = n, .k = k, .lda = lda, .step = step, .ldy = ldy, .acc = acc};
	vl_multiply(&p, a, b, NULL, NULL, NULL, y);
}

// The scratch of a thread: packed factors, and the block in flight.
typedef struct {
	float *kt, *v, *vt, *k, *g, *scores, *ds, *sum;
	size_t bytes;
} scratch;

static scratch place(const vl_attn *a, int backward, char *block) {
	scratch s = {0};
	vl_n rows = block_rows(a), wide = a->d > a->dv ? a->d : a->dv;
	s.kt = vl_place(block, &s.bytes, sizeof(float) * vl_packed_floats(1, a->d, a->tk));
	s.scores = vl_place(block, &s.bytes, sizeof(float) * rows * pitch_of(a));
	if (backward) {
		s.vt = vl_place(block, &s.bytes, sizeof(float) * vl_packed_floats(1, a->dv, a->tk));
		s.k = vl_place(block, &s.bytes, sizeof(float) * vl_packed_floats(1, a->tk, a->d));
		s.g = vl_place(block, &s.bytes, sizeof(float) * vl_packed_floats(1, rows, wide));
		s.ds = vl_place(block, &s.bytes, sizeof(float) * rows * pitch_of(a));
	} else {
		s.v = vl_place(block, &s.bytes, sizeof(float) * vl_packed_floats(1, a->tk, a->dv));
		s.sum = vl_place(block, &s.bytes, sizeof(float) * rows);
	}
	return s;
}

static void forward(void *arg, int part, int parts) {
	const vl_heads *c = arg;
	const vl_attn *a = c->a;
	scratch s = place(a, 0, vl_scratch(place(a, 0, NULL).bytes));
	vl_n block = block_rows(a), pitch = pitch_of(a), done = 0;
	for (vl_queries own; vl_next_queries(a, vl_kernels->rows, part, parts, &done, &own);) {
		vl_n i = own.head, n = i / a->heads, h = i % a->heads;
		const float *q = (const float *)c->q + n * a->qb + h * a->qh;
		float *o = (float *)c->o + n * a->ob + h * a->oh;
		pack(a->d, a->tk, a->scale, (const float *)c->k + n * a->kb + h * a->kh, 1, a->kt, s.kt);
		pack(a->tk, a->dv, 1, (const float *)c->v + n * a->vb + h * a->vh, a->vt, 1, s.v);
		for (vl_n at = own.from; at < own.to; at += block) {
			vl_n rows = own.to - at < block ? own.to - at : block;
			times(rows, a->tk, a->d, q + at * a->qt, a->qt, 1, s.kt, 0, s.scores, pitch);
			vl_kernels->attend(rows, a->tk, s.scores, pitch, c->mask ? c->mask + n * a->mb + h * a->mh + at * a->mpitch : NULL, a->mpitch, s.sum,
				c->stats ? c->stats + 2 * (i * a->tq + at) : NULL);
			float *y = o + at * a->ot;
			times(rows, a->dv, a->tk, s.scores, pitch, 1, s.v, 0, y, a->ot);
			for (vl_n r = 0; r < rows; r++) times_number(a->dv, y + r * a->ot, s.sum[r]);
		}
	}
}

static void backward(void *arg, int part, int parts) {
	const vl_heads *c = arg;
	const vl_attn *a = c->a;
	scratch s = place(a, 1, vl_scratch(place(a, 1, NULL).bytes));
	vl_n all = a->n * a->heads, block = block_rows(a), pitch = pitch_of(a);
	int scores = c->dq || c->dk;
	for (vl_n i = vl_from(all, 1, part, parts); i < vl_from(all, 1, part + 1, parts); i++) {
		vl_n n = i / a->heads, h = i % a->heads;
		const float *q = (const float *)c->q + n * a->qb + h * a->qh, *k = (const float *)c->k + n * a->kb + h * a->kh;
		const float *g = (const float *)c->go + n * a->ob + h * a->oh;
		float *dq = (float *)c->dq + n * a->dqb + h * a->dqh, *dk = (float *)c->dk + n * a->dkb + h * a->dkh, *dv = (float *)c->dv + n * a->dvb + h * a->dvh;
		pack(a->d, a->tk, a->scale, k, 1, a->kt, s.kt);
		if (scores) pack(a->dv, a->tk, 1, (const float *)c->v + n * a->vb + h * a->vh, 1, a->vt, s.vt);
		if (c->dq) pack(a->tk, a->d, a->scale, k, a->kt, 1, s.k);
		for (vl_n at = 0; at < a->tq; at += block, q += block * a->qt, g += block * a->ot) {
			vl_n rows = a->tq - at < block ? a->tq - at : block;
			times(rows, a->tk, a->d, q, a->qt, 1, s.kt, 0, s.scores, pitch);
			if (scores) times(rows, a->tk, a->dv, g, a->ot, 1, s.vt, 0, s.ds, pitch);
			vl_kernels->attend_backward(rows, a->tk, s.scores, pitch, c->mask ? c->mask + n * a->mb + h * a->mh + at * a->mpitch : NULL, a->mpitch,
				c->stats + 2 * (i * a->tq + at), scores ? s.ds : NULL, pitch);
			if (c->dv) times(a->tk, a->dv, rows, s.scores, 1, pitch, pack(rows, a->dv, 1, g, a->ot, 1, s.g), at > 0, dv, a->dvt);
			if (c->dq) times(rows, a->d, a->tk, s.ds, pitch, 1, s.k, 0, dq + at * a->dqt, a->dqt);
			if (c->dk) times(a->tk, a->d, rows, s.ds, 1, pitch, pack(rows, a->d, a->scale, q, a->qt, 1, s.g), at > 0, dk, a->dkt);
		}
	}
}

size_t vl_attention_scratch(const vl_attn *a, int back) { return a->bf16 ? vl_attention_cells_scratch(a, back) : place(a, back, NULL).bytes; }

void vl_attention(const vl_attn *a, const void *q, const void *k, const void *v, const float *mask, float *stats, void *o) {
	vl_heads c = {.a = a, .q = q, .k = k, .v = v, .mask = mask, .stats = stats, .o = o};
	vl_deal(a->bf16 ? vl_attention_cells : forward, &c);
}

void vl_attention_backward(const vl_attn *a, const void *q, const void *k, const void *v, const float *mask, const float *stats, const void *go, void *dq, void *dk, void *dv) {
	vl_heads c = {.a = a, .q = q, .k = k, .v = v, .mask = mask, .stats = (float *)stats, .go = go, .dq = dq, .dk = dk, .dv = dv};
	vl_deal(a->bf16 ? vl_attention_backward_cells : backward, &c);
}
