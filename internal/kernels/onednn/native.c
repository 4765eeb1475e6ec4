//go:build onednn

#include "cells.h"
#include "thread.h"
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const vl_rows *vl_kernels;

dnnl_engine_t vl_engine;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int init_status;
static __thread vl_thread *self;

static void thread_free(void *p) {
	vl_thread *t = p;
	if (t->stream) dnnl_stream_destroy(t->stream);
	free(t->scratch);
	free(t->block);
	free(t->room);
	free(t);
}

static void init(void) {
	vl_kernels = vl_rows_select(3);
	pthread_key_create(&key, thread_free);
	init_status = dnnl_engine_create(&vl_engine, dnnl_cpu, 0);
	dnnl_set_primitive_cache_capacity(4096);
}

int vl_init(void) {
	pthread_once(&once, init);
	return init_status;
}

void vl_one_thread(void) { omp_set_num_threads(1); }

void vl_limit_isa(int limit) { vl_kernels = vl_rows_select(limit); }

const char *vl_isa(void) { return vl_kernels->isa; }

int vl_own_convolutions(void) { return vl_kernels->columns <= 16 || vl_shares() > 1; }

vl_thread *vl_this_thread(void) {
	if (!self) {
		self = calloc(1, sizeof *self);
		dnnl_stream_create(&self->stream, vl_engine, dnnl_stream_default_flags);
		pthread_setspecific(key, self);
	}
	return self;
}

void *vl_cache_aligned(size_t bytes) {
	void *p = NULL;
	return posix_memalign(&p, 64, bytes ? bytes : 64) ? NULL : p;
}

void vl_release(void *p) { free(p); }

int vl_reserve(size_t bytes) {
	vl_thread *t = vl_this_thread();
	if (bytes <= t->size) return 0;
	void *p = vl_cache_aligned(bytes);
	if (!p) return dnnl_out_of_memory;
	free(t->scratch);
	t->scratch = p;
	t->size = bytes;
	return 0;
}

void *vl_block(size_t bytes) {
	vl_thread *t = vl_this_thread();
	if (!t->block) t->block = vl_cache_aligned(bytes);
	return t->block;
}

void vl_widen_rows(vl_n rows, vl_n c, const uint16_t *x, vl_n xp, float *y) { vl_kernels->widen_rows(rows, c, x, xp, y); }
void vl_narrow_rows(vl_n rows, vl_n c, const float *x, uint16_t *y, vl_n yp) { vl_kernels->narrow(rows, c, x, c, y, yp); }

void *vl_scratch(size_t bytes) {
	vl_thread *t = vl_this_thread();
	if (bytes > t->size && vl_reserve(bytes)) abort();
	return t->scratch;
}

void *vl_room(size_t bytes) {
	vl_thread *t = vl_this_thread();
	if (bytes > t->room_size) {
		free(t->room);
		if (!(t->room = vl_cache_aligned(bytes))) abort();
		t->room_size = bytes;
	}
	return t->room;
}

uint64_t vl_fingerprint(const float *p, vl_n n) {
	uint64_t h[4] = {1, 2, 3, 4};
	const unsigned char *b = (const unsigned char *)p;
	vl_n bytes = n * 4, i = 0;
	for (; i + 32 <= bytes; i += 32)
		for (int j = 0; j < 4; j++) {
			uint64_t w;
			memcpy(&w, b + i + 8 * j, 8);
			h[j] = (h[j] ^ w) * 0x9e3779b97f4a7c15u;
			h[j] ^= h[j] >> 29;
		}
	for (; i < bytes; i++) h[0] = (h[0] ^ b[i]) * 0x100000001b3u;
	return h[0] ^ h[1] * 3 ^ h[2] * 5 ^ h[3] * 7;
}

static void transpose(vl_n rows, vl_n cols, const float *x, vl_n xp, float *y, vl_n yp, int acc) {
	for (vl_n i0 = 0; i0 < rows; i0 += 16)
		for (vl_n j0 = 0; j0 < cols; j0 += 16) {
			vl_n i1 = i0 + 16 < rows ? i0 + 16 : rows, j1 = j0 + 16 < cols ? j0 + 16 : cols;
			for (vl_n j = j0; j < j1; j++)
				for (vl_n i = i0; i < i1; i++) {
					float v = x[i * xp + j];
					y[j * yp + i] = acc ? y[j * yp + i] + v : v;
				}
		}
}

void vl_skinny(int kind, const vl_gemm *g, const float *a, const float *b, const float *bias, float *y) {
	vl_n bp = g->ldb;
	switch (kind) {
	case VL_DOTS: // few columns: b as (n, k)
		if (!g->tb) {
			float *t = vl_scratch(g->n * g->k * sizeof *t);
			transpose(g->k, g->n, b, g->ldb, t, g->k, 0);
			b = t, bp = g->k;
		}
		vl_kernels->dots(g->m, g->n, g->k, a, g->lda, b, bp, bias, y, g->ldy, g->acc);
		return;
	case VL_WIDEN: // few terms: b as (k, n)
		if (g->tb) {
			float *t = vl_scratch(g->n * g->k * sizeof *t);
			transpose(g->n, g->k, b, g->ldb, t, g->n, 0);
			b = t, bp = g->n;
		}
		vl_kernels->widen(g->m, g->n, g->k, a, g->ta ? 1 : g->lda, g->ta ? g->lda : 1, b, bp, bias, y, g->ldy, g->acc);
		return;
	case VL_OUTER: // few rows, aᵀ·b
		vl_kernels->outer(g->k, g->m, g->n, a, g->lda, b, g->ldb, y, g->ldy, g->acc);
		return;
	default: { // few columns, aᵀ·b as (bᵀ·a)ᵀ
		float *t = vl_scratch(g->n * g->m * sizeof *t);
		vl_kernels->outer(g->k, g->n, g->m, b, g->ldb, a, g->lda, t, g->m, 0);
		transpose(g->n, g->m, t, g->m, y, g->ldy, g->acc);
	}
	}
}

static void copy_axes(const vl_copy_box *b, int axis, const float *src, float *dst) {
	vl_n n = b->dim[axis], ss = b->src[axis], ds = b->dst[axis];
	int left = b->axes - axis;
	if (left == 1) {
		if (ss == 1 && ds == 1) {
			if (b->acc) vl_kernels->add_rows(1, n, src, n, dst, n);
			else memcpy(dst, src, n * sizeof *dst);
			return;
		}
		if (b->acc) for (vl_n i = 0; i < n; i++) dst[i * ds] += src[i * ss];
		else for (vl_n i = 0; i < n; i++) dst[i * ds] = src[i * ss];
		return;
	}
	if (left == 2 && ss == 1 && b->dst[axis + 1] == 1 && b->src[axis + 1] != 1) {
		// dst rows are src columns.
		transpose(b->dim[axis + 1], n, src, b->src[axis + 1], dst, ds, b->acc);
		return;
	}
	for (vl_n i = 0; i < n; i++) copy_axes(b, axis + 1, src + i * ss, dst + i * ds);
}

// copy_halves is copy_axes where one side, or both, are bf16.
static void copy_halves(const vl_copy_box *b, int axis, const char *src, char *dst) {
	vl_n n = b->dim[axis], ss = b->src[axis], ds = b->dst[axis], sb = b->src16 ? 2 : 4, db = b->dst16 ? 2 : 4;
	if (b->axes - axis > 1) {
		for (vl_n i = 0; i < n; i++) copy_halves(b, axis + 1, src + i * ss * sb, dst + i * ds * db);
		return;
	}
	if (ss == 1 && ds == 1 && !b->acc) {
		if (b->src16 && b->dst16) memcpy(dst, src, 2 * n);
		else if (b->src16) vl_kernels->widen_rows(1, n, (const uint16_t *)src, n, (float *)dst);
		else vl_kernels->narrow(1, n, (const float *)src, n, (uint16_t *)dst, n);
		return;
	}
	for (vl_n i = 0; i < n; i++) {
		const char *from = src + i * ss * sb;
		char *to = dst + i * ds * db;
		float v = b->src16 ? vl_widened(*(const uint16_t *)from) : *(const float *)from;
		if (b->acc) v += b->dst16 ? vl_widened(*(uint16_t *)to) : *(float *)to;
		if (b->dst16) *(uint16_t *)to = vl_narrowed(v);
		else *(float *)to = v;
	}
}

void vl_copy(const vl_copy_box *b, const void *src, void *dst, void *whole) {
	vl_n size = b->dst16 ? 2 : 4;
	for (vl_n r = 0; r < b->zero_rows; r++) memset((char *)whole + r * b->zero_pitch * size, 0, b->zero_cols * size);
	if (!b->axes) return;
	if (b->src16 || b->dst16) copy_halves(b, 0, src, dst);
	else copy_axes(b, 0, src, dst);
}

// Kernels over rows, or over one long row, dealt out. Few values are not worth it.
enum { FEW = 1 << 15 };

typedef struct {
	int f;
	float a, b;
	vl_n rows, cols;
	vl_mat x, y, d;
} unary_call;

static void unary_part(void *arg, int part, int parts) {
	const unary_call *c = arg;
	if (c->rows == 1) {
		vl_n at = vl_from(c->cols, 64, part, parts), n = vl_from(c->cols, 64, part + 1, parts) - at;
		if (n) vl_kernels->map(c->f, c->a, c->b, 1, n, vl_from_at(c->x, 0, at), vl_from_at(c->y, 0, at), vl_from_at(c->d, 0, at));
		return;
	}
	vl_n at = vl_from(c->rows, 1, part, parts), n = vl_from(c->rows, 1, part + 1, parts) - at;
	if (n) vl_kernels->map(c->f, c->a, c->b, n, c->cols, vl_from_at(c->x, at, 0), vl_from_at(c->y, at, 0), vl_from_at(c->d, at, 0));
}

int vl_unary(int f, float a, float b, vl_n rows, vl_n cols, vl_mat x, vl_mat y, vl_mat d) {
	if (vl_shares() == 1 || rows * cols < FEW) return vl_kernels->map(f, a, b, rows, cols, x, y, d);
	if (!vl_kernels->map(f, a, b, 0, 0, x, y, d)) return 0;
	unary_call c = {f, a, b, rows, cols, x, y, d};
	vl_deal(unary_part, &c);
	return 1;
}
void vl_slopes(int acc, vl_n rows, vl_n cols, vl_mat d, vl_mat dy, vl_mat dx) { vl_kernels->slopes(acc, rows, cols, d, dy, dx); }
int vl_unary_backward(int f, float a, float b, int acc, vl_n rows, vl_n cols, vl_mat x, vl_mat dy, vl_mat dx) {
	return vl_kernels->map_backward(f, a, b, acc, rows, cols, x, dy, dx);
}

typedef struct {
	int f, acc, axis;
	const vl_box *box;
	const void *x, *z;
	void *y;
} binary_call;

static void binary_part(void *arg, int part, int parts) {
	const binary_call *c = arg;
	vl_box box = *c->box;
	int i = c->axis;
	vl_n step = i == 2 ? 64 : 1, at = vl_from(box.dim[i], step, part, parts), n = vl_from(box.dim[i], step, part + 1, parts) - at;
	box.dim[i] = n;
	if (n) vl_kernels->binary(c->f, c->acc, &box, vl_at(c->x, at * box.x[i], box.x16), vl_at(c->z, at * box.z[i], box.z16), vl_at(c->y, at * box.y[i], box.y16));
}

void vl_binary(int f, int acc, const vl_box *box, const void *x, const void *z, void *y) {
	if (vl_shares() == 1 || box->dim[0] * box->dim[1] * box->dim[2] < FEW) {
		vl_kernels->binary(f, acc, box, x, z, y);
		return;
	}
	int axis = box->dim[0] > 1 ? 0 : box->dim[1] > 1 ? 1 : 2;
	binary_call c = {f, acc, axis, box, x, z, y};
	vl_deal(binary_part, &c);
}
void vl_affine(vl_n rows, vl_n c, vl_mat x, const float *scale, const float *shift, vl_mat y, int acc) {
	vl_kernels->affine(rows, c, x, scale, shift, y, acc);
}
void vl_column_sum(vl_n rows, vl_n c, vl_mat x, vl_mat z, float *y, int acc) {
	vl_kernels->column_sum(rows, c, x, z, y, acc, 1, vl_scratch(c * sizeof(double)));
}
void vl_reduce_columns(vl_n outer, vl_n rows, vl_n c, const float *x, vl_n xo, vl_n xp, float *y, float scale) {
	double *sum = vl_scratch(c * sizeof(double));
	for (vl_n i = 0; i < outer; i++) vl_kernels->column_sum(rows, c, (vl_mat){(void *)(x + i * xo), xp}, (vl_mat){0}, y + i * c, 0, scale, sum);
}
void vl_reduce_rows(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, float scale) { vl_kernels->row_sum(rows, c, x, xp, y, scale); }

typedef struct {
	vl_n rows, c;
	vl_mat x;
	const float *g, *b;
	vl_mat y, hat;
	float *mean, *rstd;
	double eps;
} norm_call;

static void norm_part(void *arg, int part, int parts) {
	const norm_call *c = arg;
	vl_n at = vl_from(c->rows, 1, part, parts), n = vl_from(c->rows, 1, part + 1, parts) - at;
	vl_kernels->layer_norm(n, c->c, vl_from_at(c->x, at, 0), c->g, c->b, vl_from_at(c->y, at, 0), vl_from_at(c->hat, at, 0), c->mean ? c->mean + at : NULL, c->rstd ? c->rstd + at : NULL, c->eps);
}

void vl_layer_norm(vl_n rows, vl_n c, vl_mat x, const float *g, const float *b, vl_mat y, vl_mat hat, float *mean, float *rstd, double eps) {
	norm_call n = {rows, c, x, g, b, y, hat, mean, rstd, eps};
	if (rows * c < FEW) norm_part(&n, 0, 1);
	else vl_deal(norm_part, &n);
}
void vl_layer_norm_backward(vl_n rows, vl_n c, vl_mat x, vl_mat dy, const float *g, const float *b, const float *mean, const float *rstd, vl_mat dx, int acc,
	float *dg, float *db) {
	vl_kernels->layer_norm_backward(rows, c, x, dy, g, b, mean, rstd, dx, acc, dg, db, vl_scratch(c * 28));
}
void vl_softmax(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, vl_n yp, int log) { vl_kernels->softmax(rows, c, x, xp, y, yp, log); }
void vl_softmax_backward(vl_n rows, vl_n c, const float *y, vl_n yp, const float *dy, vl_n gp, float *dx, vl_n dp, int log, int acc) {
	vl_kernels->softmax_backward(rows, c, y, yp, dy, gp, dx, dp, log, acc);
}
void vl_pool(const vl_pool_shape *s, const void *x, void *y, uint8_t *index) { vl_kernels->pool(s, x, y, index); }
void vl_pool_backward(const vl_pool_shape *s, const void *dy, const uint8_t *index, void *dx, int acc) { vl_kernels->pool_backward(s, dy, index, dx, acc); }
void vl_depthwise_weights(const vl_pool_shape *s, const float *x, const float *dy, float *dw, int acc) {
	size_t n = s->c * s->kh * s->kw;
	double *total = vl_scratch(n * 12);
	vl_kernels->depthwise_weights(s, x, dy, (float *)(total + n), total, dw, acc);
}
