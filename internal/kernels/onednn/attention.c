//go:build onednn

// Attention: products per head on the strided views, and an own softmax between
// them while the scores are in cache.

#include "thread.h"
#include <stdlib.h>
#include <string.h>

// times makes y (m, n) = a·b, a (m, k) with rows lda apart and terms step apart,
// b's element (k, n) at k·sk + n·sn, times scale. panel holds b packed.
static void times(vl_n m, vl_n n, vl_n k, const float *a, vl_n lda, vl_n step, float scale, const float *b, vl_n sk, vl_n sn, float *panel, float *y, vl_n ldy) {
	vl_product p = {.m = m, .n = n, .k = k, .lda = lda, .step = step, .ldy = ldy};
	vl_pack_panels(1, k, n, 0, sk, sn, b, panel);
	if (scale != 1) {
		vl_n size = vl_packed_floats(1, k, n);
		vl_kernels->unary(VL_AFFINE, scale, 0, 1, size, panel, size, panel, size, NULL, 0);
	}
	vl_multiply(&p, a, panel, NULL, NULL, NULL, y);
}

// The largest factor that a head packs.
static size_t panel_bytes(const vl_attn *a) {
	vl_n tokens = a->tq > a->tk ? a->tq : a->tk, wide = a->d > a->dv ? a->d : a->dv, x = vl_packed_floats(1, tokens, wide), y = vl_packed_floats(1, wide, tokens);
	return sizeof(float) * (x > y ? x : y);
}

// What an attention is called with; the heads of all pictures are dealt out.
typedef struct {
	const vl_attn *a;
	const float *q, *k, *v, *mask, *go;
	float *p, *scores, *o, *ds, *dq, *dk, *dv;
} heads;

// own_scratch is room for a packed factor, and, where several threads share the
// heads, for the scores of the one in flight.
static float *own_scratch(const vl_attn *a, int parts, float **scores) {
	size_t bytes = vl_aligned(panel_bytes(a));
	char *at = vl_scratch(bytes + (parts > 1 ? sizeof(float) * a->tq * a->tk : 0));
	if (parts > 1) *scores = (float *)(at + bytes);
	return (float *)at;
}

static void attention_f32(void *arg, int part, int parts) {
	const heads *c = arg;
	const vl_attn *a = c->a;
	float *scores = c->scores, *panel = own_scratch(a, parts, &scores);
	vl_n all = a->n * a->heads;
	for (vl_n i = vl_from(all, 1, part, parts); i < vl_from(all, 1, part + 1, parts); i++) {
		vl_n n = i / a->heads, h = i % a->heads;
		float *p = c->p ? c->p + i * a->pstep : scores;
		times(a->tq, a->tk, a->d, c->q + n * a->qb + h * a->qh, a->qt, 1, a->scale, c->k + n * a->kb + h * a->kh, 1, a->kt, panel, p, a->ppitch);
		vl_kernels->softmax(a->tq, a->tk, p, a->ppitch, c->mask ? c->mask + n * a->mb + h * a->mh : NULL, a->mpitch, p, a->ppitch, 0, 1);
		times(a->tq, a->dv, a->tk, p, a->ppitch, 1, 1, c->v + n * a->vb + h * a->vh, a->vt, 1, panel, c->o + n * a->ob + h * a->oh, a->ot);
	}
}

static void backward_f32(void *arg, int part, int parts) {
	const heads *c = arg;
	const vl_attn *a = c->a;
	float *ds = c->ds, *panel = own_scratch(a, parts, &ds);
	vl_n all = a->n * a->heads;
	for (vl_n i = vl_from(all, 1, part, parts); i < vl_from(all, 1, part + 1, parts); i++) {
		vl_n n = i / a->heads, h = i % a->heads;
		const float *p = c->p + i * a->pstep, *g = c->go + n * a->ob + h * a->oh;
		if (c->dv) times(a->tk, a->dv, a->tq, p, 1, a->ppitch, 1, g, a->ot, 1, panel, c->dv + n * a->dvb + h * a->dvh, a->dvt);
		if (!c->dq && !c->dk) continue;
		times(a->tq, a->tk, a->dv, g, a->ot, 1, 1, c->v + n * a->vb + h * a->vh, 1, a->vt, panel, ds, a->tk);
		vl_kernels->softmax_backward(a->tq, a->tk, p, a->ppitch, ds, a->tk, ds, a->tk, 0, 0);
		if (c->dq) times(a->tq, a->d, a->tk, ds, a->tk, 1, a->scale, c->k + n * a->kb + h * a->kh, a->kt, 1, panel, c->dq + n * a->dqb + h * a->dqh, a->dqt);
		if (c->dk) times(a->tk, a->d, a->tq, ds, 1, a->tk, a->scale, c->q + n * a->qb + h * a->qh, a->qt, 1, panel, c->dk + n * a->dkb + h * a->dkh, a->dkt);
	}
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

// The scratch of a head: factors in bf16, a result before it goes where its rows
// have gaps, and probabilities in float32 where they are kept in bf16.
typedef struct {
	uint16_t *q, *k, *v, *g, *p;
	float *y, *wide;
	size_t bytes;
} head;

static head place(const vl_attn *a, char *at) {
	head h;
	char *from = at;
	vl_n most = a->d > a->dv ? a->d : a->dv;
	h.q = (uint16_t *)at, at += vl_aligned(2 * a->tq * a->d);
	h.k = (uint16_t *)at, at += vl_aligned(2 * a->tk * a->d);
	h.v = (uint16_t *)at, at += vl_aligned(2 * a->tk * a->dv);
	h.g = (uint16_t *)at, at += vl_aligned(2 * a->tq * a->dv);
	h.p = (uint16_t *)at, at += vl_aligned(2 * a->tq * a->tk);
	h.y = (float *)at, at += vl_aligned(4 * (a->tq > a->tk ? a->tq : a->tk) * most);
	h.wide = (float *)at, at += a->p16 ? vl_aligned(4 * a->tq * a->tk) : 0;
	h.bytes = at - from;
	return h;
}

size_t vl_attention_scratch(const vl_attn *a, const vl_products *s) { return s ? place(a, NULL).bytes : panel_bytes(a); }

static const void *element(const void *p, int is16, vl_n i) { return (const char *)p + (is16 ? 2 : 4) * i; }

// take makes a factor, scaled: rounding to bf16 is relative. tmp holds it in
// float32.
static void take(vl_n rows, vl_n c, float scale, const void *x, int x16, vl_n xp, uint16_t *y, float *tmp) {
	if (!x16) {
		vl_kernels->narrow(rows, c, scale, x, xp, y, c);
	} else if (scale != 1) {
		vl_kernels->widen_rows(rows, c, x, xp, tmp);
		vl_kernels->narrow(rows, c, scale, tmp, c, y, c);
	} else {
		for (vl_n r = 0; r < rows; r++) memcpy(y + r * c, (const uint16_t *)x + r * xp, c * sizeof *y);
	}
}

// give puts a result where it belongs.
static void give(vl_n rows, vl_n c, const float *x, const void *y, int y16, vl_n yp) {
	if (y16) {
		vl_kernels->narrow(rows, c, 1, x, c, (uint16_t *)y, yp);
		return;
	}
	for (vl_n r = 0; r < rows; r++) memcpy((float *)y + r * yp, x + r * c, c * sizeof *x);
}

static int attention_bf16(const vl_attn *a, const vl_products *s, const void *q, const void *k, const void *v, const float *mask, void *p, float *scores, void *o) {
	head t = place(a, vl_scratch(place(a, NULL).bytes));
	for (vl_n n = 0; n < a->n; n++)
		for (vl_n h = 0; h < a->heads; h++) {
			float *prob = a->p16 || !p ? scores : (float *)p + (n * a->heads + h) * a->tq * a->tk;
			uint16_t *narrow = a->p16 ? (uint16_t *)p + (n * a->heads + h) * a->tq * a->tk : t.p;
			take(a->tq, a->d, a->scale, element(q, a->q16, n * a->qb + h * a->qh), a->q16, a->qt, t.q, t.y);
			take(a->tk, a->d, 1, element(k, a->k16, n * a->kb + h * a->kh), a->k16, a->kt, t.k, t.y);
			take(a->tk, a->dv, 1, element(v, a->v16, n * a->vb + h * a->vh), a->v16, a->vt, t.v, t.y);
			int e = multiply(s, QK, t.q, t.k, prob);
			if (e) return e;
			vl_kernels->softmax(a->tq, a->tk, prob, a->tk, mask ? mask + n * a->mb + h * a->mh : NULL, a->mpitch, prob, a->tk, 0, 1);
			vl_kernels->narrow(a->tq, a->tk, 1, prob, a->tk, narrow, a->tk);
			if ((e = multiply(s, PV, narrow, t.v, t.y))) return e;
			give(a->tq, a->dv, t.y, element(o, a->o16, n * a->ob + h * a->oh), a->o16, a->ot);
		}
	return 0;
}

static int backward_bf16(const vl_attn *a, const vl_products *s, const void *q, const void *k, const void *v, const void *p, const void *go, float *ds, void *dq, void *dk,
	void *dv) {
	head t = place(a, vl_scratch(place(a, NULL).bytes));
	for (vl_n n = 0; n < a->n; n++)
		for (vl_n h = 0; h < a->heads; h++) {
			const void *ph = element(p, a->p16, (n * a->heads + h) * a->tq * a->tk);
			int e;
			take(a->tq, a->dv, 1, element(go, a->o16, n * a->ob + h * a->oh), a->o16, a->ot, t.g, t.y);
			if (dv) {
				const uint16_t *narrow = a->p16 ? ph : t.p;
				if (!a->p16) vl_kernels->narrow(a->tq, a->tk, 1, ph, a->tk, t.p, a->tk);
				if ((e = multiply(s, DV, narrow, t.g, t.y))) return e;
				give(a->tk, a->dv, t.y, element(dv, a->dv16, n * a->dvb + h * a->dvh), a->dv16, a->dvt);
			}
			if (!dq && !dk) continue;
			take(a->tk, a->dv, 1, element(v, a->v16, n * a->vb + h * a->vh), a->v16, a->vt, t.v, t.y);
			if ((e = multiply(s, DP, t.g, t.v, ds))) return e;
			if (a->p16) vl_kernels->widen_rows(a->tq, a->tk, ph, a->tk, t.wide);
			vl_kernels->softmax_backward(a->tq, a->tk, a->p16 ? t.wide : ph, a->tk, ds, a->tk, ds, a->tk, 0, 0);
			vl_kernels->narrow(a->tq, a->tk, a->scale, ds, a->tk, t.p, a->tk);
			if (dq) {
				take(a->tk, a->d, 1, element(k, a->k16, n * a->kb + h * a->kh), a->k16, a->kt, t.k, t.y);
				if ((e = multiply(s, DQ, t.p, t.k, t.y))) return e;
				give(a->tq, a->d, t.y, element(dq, a->dq16, n * a->dqb + h * a->dqh), a->dq16, a->dqt);
			}
			if (dk) {
				take(a->tq, a->d, 1, element(q, a->q16, n * a->qb + h * a->qh), a->q16, a->qt, t.q, t.y);
				if ((e = multiply(s, DK, t.p, t.q, t.y))) return e;
				give(a->tk, a->d, t.y, element(dk, a->dk16, n * a->dkb + h * a->dkh), a->dk16, a->dkt);
			}
		}
	return 0;
}

int vl_attention(const vl_attn *a, const vl_products *s, const void *q, const void *k, const void *v, const float *mask, void *p, float *scores, void *o) {
	if (s) return attention_bf16(a, s, q, k, v, mask, p, scores, o);
	heads c = {.a = a, .q = q, .k = k, .v = v, .mask = mask, .p = p, .scores = scores, .o = o};
	vl_deal(attention_f32, &c);
	return 0;
}

int vl_attention_backward(const vl_attn *a, const vl_products *s, const void *q, const void *k, const void *v, const void *p, const void *go, float *ds, void *dq, void *dk,
	void *dv) {
	if (s) return backward_bf16(a, s, q, k, v, p, go, ds, dq, dk, dv);
	heads c = {.a = a, .q = q, .k = k, .v = v, .p = (float *)p, .go = go, .ds = ds, .dq = dq, .dk = dk, .dv = dv};
	vl_deal(backward_f32, &c);
	return 0;
}
