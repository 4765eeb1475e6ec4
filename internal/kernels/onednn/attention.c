//go:build onednn

// Attention: products per head on the strided views, and an own softmax between
// them while the scores are in cache.

#include "thread.h"
#include <stdlib.h>
#include <string.h>

static int attention_f32(const vl_attn *a, const float *q, const float *k, const float *v, const float *mask, float *p, float *o) {
	for (vl_n n = 0; n < a->n; n++)
		for (vl_n h = 0; h < a->heads; h++, p += a->pstep) {
			int s = dnnl_sgemm('N', 'T', a->tq, a->tk, a->d, a->scale, q + n * a->qb + h * a->qh, a->qt, k + n * a->kb + h * a->kh, a->kt, 0, p, a->ppitch);
			if (s) return s;
			vl_kernels->softmax(a->tq, a->tk, p, a->ppitch, mask ? mask + n * a->mb + h * a->mh : NULL, a->mpitch, p, a->ppitch, 0, 1);
			s = dnnl_sgemm('N', 'N', a->tq, a->dv, a->tk, 1, p, a->ppitch, v + n * a->vb + h * a->vh, a->vt, 0, o + n * a->ob + h * a->oh, a->ot);
			if (s) return s;
		}
	return 0;
}

static int backward_f32(const vl_attn *a, const float *q, const float *k, const float *v, const float *p, const float *go, float *ds, float *dq, float *dk, float *dv) {
	for (vl_n n = 0; n < a->n; n++)
		for (vl_n h = 0; h < a->heads; h++, p += a->pstep) {
			const float *g = go + n * a->ob + h * a->oh;
			int s = 0;
			if (dv) s = dnnl_sgemm('T', 'N', a->tk, a->dv, a->tq, 1, p, a->ppitch, g, a->ot, 0, dv + n * a->dvb + h * a->dvh, a->dvt);
			if (s) return s;
			if (!dq && !dk) continue;
			s = dnnl_sgemm('N', 'T', a->tq, a->tk, a->dv, 1, g, a->ot, v + n * a->vb + h * a->vh, a->vt, 0, ds, a->tk);
			if (s) return s;
			vl_kernels->softmax_backward(a->tq, a->tk, p, a->ppitch, ds, a->tk, ds, a->tk, 0, 0);
			if (dq) s = dnnl_sgemm('N', 'N', a->tq, a->d, a->tk, a->scale, ds, a->tk, k + n * a->kb + h * a->kh, a->kt, 0, dq + n * a->dqb + h * a->dqh, a->dqt);
			if (s) return s;
			if (dk) s = dnnl_sgemm('T', 'N', a->tk, a->d, a->tq, a->scale, ds, a->tk, q + n * a->qb + h * a->qh, a->qt, 0, dk + n * a->dkb + h * a->dkh, a->dkt);
			if (s) return s;
		}
	return 0;
}

// The products of one head in bf16: dense factors, float32 results.
enum { QK, PV, DV, DP, DQ, DK, PRODUCTS };

struct vl_products {
	struct {
		dnnl_primitive_t p;
		dnnl_exec_arg_t args[3];
	} of[PRODUCTS];
};

void vl_products_free(vl_products *s) {
	if (!s) return;
	for (int i = 0; i < PRODUCTS; i++) {
		for (int j = 0; j < 3; j++)
			if (s->of[i].args[j].memory) dnnl_memory_destroy(s->of[i].args[j].memory);
		if (s->of[i].p) dnnl_primitive_destroy(s->of[i].p);
	}
	free(s);
}

// y (m, n) = op(a)·op(b)
static int make(vl_products *s, int i, vl_n m, vl_n n, vl_n k, int ta, int tb) {
	dnnl_dims_t ad = {m, k}, bd = {k, n}, yd = {m, n};
	dnnl_memory_desc_t a, b, y;
	dnnl_matmul_desc_t d;
	dnnl_primitive_desc_t pd = NULL;
	int e = dnnl_memory_desc_init_by_tag(&a, 2, ad, dnnl_bf16, ta ? dnnl_ba : dnnl_ab);
	if (!e) e = dnnl_memory_desc_init_by_tag(&b, 2, bd, dnnl_bf16, tb ? dnnl_ba : dnnl_ab);
	if (!e) e = dnnl_memory_desc_init_by_tag(&y, 2, yd, dnnl_f32, dnnl_ab);
	if (!e) e = dnnl_matmul_desc_init(&d, &a, &b, NULL, &y);
	if (!e) e = dnnl_primitive_desc_create(&pd, &d, NULL, vl_engine, NULL);
	if (!e) e = dnnl_primitive_create(&s->of[i].p, pd);
	if (pd) dnnl_primitive_desc_destroy(pd);
	const int arg[3] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
	const dnnl_memory_desc_t *md[3] = {&a, &b, &y};
	for (int j = 0; j < 3 && !e; j++) {
		s->of[i].args[j].arg = arg[j];
		e = dnnl_memory_create(&s->of[i].args[j].memory, md[j], vl_engine, DNNL_MEMORY_NONE);
	}
	return e;
}

vl_products *vl_attention_products(const vl_attn *a, int backward) {
	vl_products *s = calloc(1, sizeof *s);
	int e;
	if (!backward) {
		e = make(s, QK, a->tq, a->tk, a->d, 0, 1);
		if (!e) e = make(s, PV, a->tq, a->dv, a->tk, 0, 0);
	} else {
		e = make(s, DV, a->tk, a->dv, a->tq, 1, 0);
		if (!e) e = make(s, DP, a->tq, a->tk, a->dv, 0, 1);
		if (!e) e = make(s, DQ, a->tq, a->d, a->tk, 0, 0);
		if (!e) e = make(s, DK, a->tk, a->d, a->tq, 1, 0);
	}
	if (e) {
		vl_products_free(s);
		return NULL;
	}
	return s;
}

static int multiply(const vl_products *s, int i, const uint16_t *a, const uint16_t *b, float *y) {
	const dnnl_exec_arg_t *args = s->of[i].args;
	dnnl_memory_set_data_handle(args[0].memory, (void *)a);
	dnnl_memory_set_data_handle(args[1].memory, (void *)b);
	dnnl_memory_set_data_handle(args[2].memory, y);
	return dnnl_primitive_execute(s->of[i].p, vl_this_thread()->stream, 3, args);
}

// The scratch of a head: factors in bf16, and a result whose rows have gaps where
// it goes.
typedef struct {
	uint16_t *q, *k, *v, *g, *p;
	float *y;
	size_t bytes;
} head;

static size_t lines(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static head place(const vl_attn *a, char *at) {
	head h;
	char *from = at;
	vl_n most = a->d > a->dv ? a->d : a->dv;
	h.q = (uint16_t *)at, at += lines(2 * a->tq * a->d);
	h.k = (uint16_t *)at, at += lines(2 * a->tk * a->d);
	h.v = (uint16_t *)at, at += lines(2 * a->tk * a->dv);
	h.g = (uint16_t *)at, at += lines(2 * a->tq * a->dv);
	h.p = (uint16_t *)at, at += lines(2 * a->tq * a->tk);
	h.y = (float *)at, at += lines(4 * (a->tq > a->tk ? a->tq : a->tk) * most);
	h.bytes = at - from;
	return h;
}

size_t vl_attention_scratch(const vl_attn *a) { return place(a, NULL).bytes; }

static void spread(vl_n rows, vl_n c, const float *x, float *y, vl_n yp) {
	for (vl_n r = 0; r < rows; r++) memcpy(y + r * yp, x + r * c, c * sizeof *y);
}

// The scale goes into a factor: rounding to bf16 is relative.
static int attention_bf16(const vl_attn *a, const vl_products *s, const float *q, const float *k, const float *v, const float *mask, float *p, float *o) {
	head t = place(a, vl_scratch(vl_attention_scratch(a)));
	for (vl_n n = 0; n < a->n; n++)
		for (vl_n h = 0; h < a->heads; h++, p += a->pstep) {
			vl_kernels->narrow(a->tq, a->d, a->scale, q + n * a->qb + h * a->qh, a->qt, t.q);
			vl_kernels->narrow(a->tk, a->d, 1, k + n * a->kb + h * a->kh, a->kt, t.k);
			vl_kernels->narrow(a->tk, a->dv, 1, v + n * a->vb + h * a->vh, a->vt, t.v);
			int e = multiply(s, QK, t.q, t.k, p);
			if (e) return e;
			vl_kernels->softmax(a->tq, a->tk, p, a->tk, mask ? mask + n * a->mb + h * a->mh : NULL, a->mpitch, p, a->tk, 0, 1);
			vl_kernels->narrow(a->tq, a->tk, 1, p, a->tk, t.p);
			if ((e = multiply(s, PV, t.p, t.v, t.y))) return e;
			spread(a->tq, a->dv, t.y, o + n * a->ob + h * a->oh, a->ot);
		}
	return 0;
}

static int backward_bf16(const vl_attn *a, const vl_products *s, const float *q, const float *k, const float *v, const float *p, const float *go, float *ds, float *dq,
	float *dk, float *dv) {
	head t = place(a, vl_scratch(vl_attention_scratch(a)));
	for (vl_n n = 0; n < a->n; n++)
		for (vl_n h = 0; h < a->heads; h++, p += a->pstep) {
			int e;
			vl_kernels->narrow(a->tq, a->dv, 1, go + n * a->ob + h * a->oh, a->ot, t.g);
			if (dv) {
				vl_kernels->narrow(a->tq, a->tk, 1, p, a->tk, t.p);
				if ((e = multiply(s, DV, t.p, t.g, t.y))) return e;
				spread(a->tk, a->dv, t.y, dv + n * a->dvb + h * a->dvh, a->dvt);
			}
			if (!dq && !dk) continue;
			vl_kernels->narrow(a->tk, a->dv, 1, v + n * a->vb + h * a->vh, a->vt, t.v);
			if ((e = multiply(s, DP, t.g, t.v, ds))) return e;
			vl_kernels->softmax_backward(a->tq, a->tk, p, a->tk, ds, a->tk, ds, a->tk, 0, 0);
			vl_kernels->narrow(a->tq, a->tk, a->scale, ds, a->tk, t.p);
			if (dq) {
				vl_kernels->narrow(a->tk, a->d, 1, k + n * a->kb + h * a->kh, a->kt, t.k);
				if ((e = multiply(s, DQ, t.p, t.k, t.y))) return e;
				spread(a->tq, a->d, t.y, dq + n * a->dqb + h * a->dqh, a->dqt);
			}
			if (dk) {
				vl_kernels->narrow(a->tq, a->d, 1, q + n * a->qb + h * a->qh, a->qt, t.q);
				if ((e = multiply(s, DK, t.p, t.q, t.y))) return e;
				spread(a->tk, a->d, t.y, dk + n * a->dkb + h * a->dkh, a->dkt);
			}
		}
	return 0;
}

int vl_attention(const vl_attn *a, const vl_products *s, const float *q, const float *k, const float *v, const float *mask, float *p, float *o) {
	return s ? attention_bf16(a, s, q, k, v, mask, p, o) : attention_f32(a, q, k, v, mask, p, o);
}

int vl_attention_backward(const vl_attn *a, const vl_products *s, const float *q, const float *k, const float *v, const float *p, const float *go, float *ds, float *dq,
	float *dk, float *dv) {
	return s ? backward_bf16(a, s, q, k, v, p, go, ds, dq, dk, dv) : backward_f32(a, q, k, v, p, go, ds, dq, dk, dv);
}
