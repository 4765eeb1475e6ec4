//go:build onednn

// oneDNN's convolutions: their primitives, the packing of frozen weights, and runs
// on rows with gaps.

#include "thread.h"
#include <stdlib.h>
#include <string.h>

struct vl_prim {
	dnnl_primitive_desc_t pd;
	dnnl_primitive_t p;
	int kind; // VL_FORWARD, …
	int nargs;
	dnnl_exec_arg_t args[5]; // in, out, weights, bias, scratch
	size_t room; // of oneDNN's own scratch, which a thread's primitives share
	dnnl_memory_desc_t plain; // the caller's weights
	const dnnl_memory_desc_t *wmd;
	int packed; // the weights' memory is a vl_packed
	// Weights that may change are reordered per run, gradients on the way out.
	dnnl_primitive_t reorder;
	dnnl_exec_arg_t reorder_args[2];
	size_t wbytes;
	// Rows with gaps, and a gradient that is added, go through dense scratch; so
	// does what is read to be rounded to bf16 and is not so in memory.
	int acc_out, acc_w, narrow_in, narrow_out;
	int in16, out16; // bf16 in memory, without gaps
	vl_n in_rows, in_cols, in_pitch, out_rows, out_cols, out_pitch;
};

struct vl_packed {
	dnnl_memory_desc_t md, plain;
	void *mem;
};

const char *vl_prim_impl(const vl_prim *p) {
	const char *s = NULL;
	dnnl_primitive_desc_query(p->pd, dnnl_query_impl_info_str, 0, &s);
	return s ? s : "";
}

void vl_prim_free(vl_prim *p) {
	if (!p) return;
	for (int i = 0; i < 5; i++)
		if (p->args[i].memory) dnnl_memory_destroy(p->args[i].memory);
	for (int i = 0; i < 2; i++)
		if (p->reorder_args[i].memory) dnnl_memory_destroy(p->reorder_args[i].memory);
	if (p->reorder) dnnl_primitive_destroy(p->reorder);
	if (p->p) dnnl_primitive_destroy(p->p);
	if (p->pd) dnnl_primitive_desc_destroy(p->pd);
	free(p);
}

static int add_arg(vl_prim *p, int i, int arg, const dnnl_memory_desc_t *md) {
	p->args[i].arg = arg;
	if (i >= p->nargs) p->nargs = i + 1;
	return dnnl_memory_create(&p->args[i].memory, md, vl_engine, DNNL_MEMORY_NONE);
}

// Attributes of a primitive that adds to its result, or not.
static dnnl_primitive_attr_t sum_attr(int acc) {
	dnnl_primitive_attr_t at = NULL;
	dnnl_primitive_attr_create(&at);
	dnnl_primitive_attr_set_scratchpad_mode(at, dnnl_scratchpad_mode_user);
	if (acc) {
		dnnl_post_ops_t po;
		dnnl_post_ops_create(&po);
		dnnl_post_ops_append_sum(po, 1);
		dnnl_primitive_attr_set_post_ops(at, po);
		dnnl_post_ops_destroy(po);
	}
	return at;
}

// finish makes the primitive, its memory objects and the weights' reorder.
static vl_prim *finish(vl_prim *p, int in, int out, int weights, int bias, const dnnl_memory_desc_t *wmd) {
	const dnnl_memory_desc_t *in_md = dnnl_primitive_desc_query_md(p->pd, dnnl_query_exec_arg_md, in);
	const dnnl_memory_desc_t *out_md = dnnl_primitive_desc_query_md(p->pd, dnnl_query_exec_arg_md, out);
	p->wmd = wmd;
	p->wbytes = vl_aligned(dnnl_memory_desc_get_size(wmd));
	int s = dnnl_primitive_create(&p->p, p->pd);
	if (!s) s = add_arg(p, 0, in, in_md);
	if (!s) s = add_arg(p, 1, out, out_md);
	if (!s) s = add_arg(p, 2, weights, wmd);
	if (!s && bias) s = add_arg(p, 3, DNNL_ARG_BIAS, dnnl_primitive_desc_query_md(p->pd, dnnl_query_exec_arg_md, DNNL_ARG_BIAS));
	const dnnl_memory_desc_t *room = dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0);
	p->room = dnnl_memory_desc_get_size(room);
	if (!s && p->room) s = add_arg(p, p->nargs, DNNL_ARG_SCRATCHPAD, room);
	int same = dnnl_memory_desc_equal(&p->plain, wmd);
	if (!s && (!same || p->acc_w)) {
		const dnnl_memory_desc_t *from = p->kind == VL_BACKWARD_WEIGHTS ? wmd : &p->plain;
		const dnnl_memory_desc_t *to = p->kind == VL_BACKWARD_WEIGHTS ? &p->plain : wmd;
		dnnl_primitive_attr_t at = sum_attr(p->acc_w);
		dnnl_primitive_attr_set_scratchpad_mode(at, dnnl_scratchpad_mode_library);
		dnnl_primitive_desc_t pd = NULL;
		s = dnnl_reorder_primitive_desc_create(&pd, from, vl_engine, to, vl_engine, at);
		dnnl_primitive_attr_destroy(at);
		if (!s) s = dnnl_primitive_create(&p->reorder, pd);
		if (pd) dnnl_primitive_desc_destroy(pd);
		p->reorder_args[0].arg = DNNL_ARG_FROM;
		p->reorder_args[1].arg = DNNL_ARG_TO;
		if (!s) s = dnnl_memory_create(&p->reorder_args[0].memory, from, vl_engine, DNNL_MEMORY_NONE);
		if (!s) s = dnnl_memory_create(&p->reorder_args[1].memory, to, vl_engine, DNNL_MEMORY_NONE);
	}
	if (s) {
		vl_prim_free(p);
		return NULL;
	}
	return p;
}

vl_prim *vl_conv(int kind, const vl_conv_shape *c, int bias, int acc) {
#if defined(__x86_64__)
	// Without AVX2 oneDNN 2.6 generates SSE4.1 convolutions that load rows of odd
	// length as if they were aligned, and crash.
	if (dnnl_get_effective_cpu_isa() < dnnl_cpu_isa_avx2) return NULL;
#endif
	vl_n g = c->groups;
	dnnl_dims_t xd = {c->n, c->cin, c->h, c->w}, yd = {c->n, c->cout, c->oh, c->ow}, bd = {c->cout};
	dnnl_dims_t w4 = {c->cout, c->cin, c->kh, c->kw}, w5 = {g, c->cout / g, c->cin / g, c->kh, c->kw};
	dnnl_dims_t st = {c->sh, c->sw}, di = {c->dh - 1, c->dw - 1}, pl = {c->pt, c->pl}, pr = {c->pb, c->pr};
	int nd = g > 1 ? 5 : 4;
	dnnl_memory_desc_t x, y, w, b;
	vl_prim *p = calloc(1, sizeof *p);
	p->kind = kind;
	p->narrow_in = c->bf16 && !c->in16;
	p->narrow_out = c->bf16 && !c->out16 && kind == VL_BACKWARD_WEIGHTS;
	p->in16 = c->in16, p->out16 = c->out16;
	dnnl_data_type_t factor = c->bf16 ? dnnl_bf16 : dnnl_f32;
	// The forward pass that a gradient is told of has no float32 in it.
	int s = dnnl_memory_desc_init_by_tag(&x, 4, xd, factor, dnnl_nhwc);
	if (!s) s = dnnl_memory_desc_init_by_tag(&y, 4, yd, kind == VL_FORWARD && !c->out16 ? dnnl_f32 : factor, dnnl_nhwc);
	if (!s) s = dnnl_memory_desc_init_by_tag(&w, nd, g > 1 ? w5 : w4, factor, dnnl_format_tag_any);
	if (!s) s = dnnl_memory_desc_init_by_tag(&p->plain, nd, g > 1 ? w5 : w4, dnnl_f32, g > 1 ? dnnl_goihw : dnnl_oihw);
	if (!s) s = dnnl_memory_desc_init_by_tag(&b, 1, bd, dnnl_f32, dnnl_x);
	dnnl_convolution_desc_t d;
	dnnl_primitive_desc_t hint = NULL;
	dnnl_primitive_attr_t at = sum_attr(acc && kind == VL_FORWARD);
	if (!s) s = dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct, &x, &w, bias && kind == VL_FORWARD ? &b : NULL, &y, st, di, pl, pr);
	if (!s) s = dnnl_primitive_desc_create(&hint, &d, at, vl_engine, NULL);
	dnnl_primitive_attr_destroy(at);
	if (s) {
		vl_prim_free(p);
		return NULL;
	}
	vl_n xr = c->n * c->h * c->w, yr = c->n * c->oh * c->ow;
	p->in_rows = xr, p->in_cols = c->cin, p->in_pitch = c->xp;
	p->out_rows = yr, p->out_cols = c->cout, p->out_pitch = c->yp;
	if (kind == VL_FORWARD) {
		p->pd = hint;
		return finish(p, DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WEIGHTS, bias, dnnl_primitive_desc_query_md(p->pd, dnnl_query_weights_md, 0));
	}
	if (kind == VL_BACKWARD_DATA) {
		p->in_rows = yr, p->in_cols = c->cout, p->in_pitch = c->yp;
		p->out_rows = xr, p->out_cols = c->cin, p->out_pitch = c->xp;
		p->acc_out = acc;
		if (!c->out16) x.data_type = dnnl_f32;
		s = dnnl_dilated_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &x, &w, &y, st, di, pl, pr);
	} else {
		p->acc_w = acc;
		w.data_type = dnnl_f32;
		s = dnnl_dilated_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &x, &w, NULL, &y, st, di, pl, pr);
	}
	at = sum_attr(0);
	if (!s) s = dnnl_primitive_desc_create(&p->pd, &d, at, vl_engine, hint);
	dnnl_primitive_attr_destroy(at);
	dnnl_primitive_desc_destroy(hint);
	if (s) {
		vl_prim_free(p);
		return NULL;
	}
	if (kind == VL_BACKWARD_DATA)
		return finish(p, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, dnnl_primitive_desc_query_md(p->pd, dnnl_query_weights_md, 0));
	return finish(p, DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, 0, dnnl_primitive_desc_query_md(p->pd, dnnl_query_diff_weights_md, 0));
}

vl_packed *vl_pack(const vl_prim *p, const float *w) {
	vl_packed *k = calloc(1, sizeof *k);
	dnnl_primitive_desc_t pd = NULL;
	dnnl_primitive_t r = NULL;
	dnnl_memory_t from = NULL, to = NULL;
	k->md = *p->wmd;
	k->plain = p->plain;
	k->mem = vl_cache_aligned(dnnl_memory_desc_get_size(&k->md));
	int s = k->mem ? 0 : dnnl_out_of_memory;
	if (!s) s = dnnl_reorder_primitive_desc_create(&pd, &p->plain, vl_engine, &k->md, vl_engine, NULL);
	if (!s) s = dnnl_primitive_create(&r, pd);
	if (!s) s = dnnl_memory_create(&from, &p->plain, vl_engine, (void *)w);
	if (!s) s = dnnl_memory_create(&to, &k->md, vl_engine, k->mem);
	dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
	if (!s) s = dnnl_primitive_execute(r, vl_this_thread()->stream, 2, args);
	if (from) dnnl_memory_destroy(from);
	if (to) dnnl_memory_destroy(to);
	if (r) dnnl_primitive_destroy(r);
	if (pd) dnnl_primitive_desc_destroy(pd);
	if (s) {
		vl_packed_free(k);
		return NULL;
	}
	return k;
}

int vl_packed_fits(const vl_packed *k, const vl_prim *p) { return dnnl_memory_desc_equal(&k->md, p->wmd) && dnnl_memory_desc_equal(&k->plain, &p->plain); }

void vl_packed_free(vl_packed *k) {
	free(k->mem);
	free(k);
}

void vl_prim_use(vl_prim *p, const vl_packed *k) {
	dnnl_memory_set_data_handle(p->args[2].memory, k->mem);
	p->packed = 1;
}

static size_t in_bytes(const vl_prim *p) {
	if (p->in16) return 0;
	if (p->narrow_in) return vl_aligned(p->in_rows * p->in_cols * sizeof(uint16_t));
	return p->in_pitch > p->in_cols ? vl_aligned(p->in_rows * p->in_cols * sizeof(float)) : 0;
}
static size_t out_bytes(const vl_prim *p) {
	if (p->out16) return 0;
	if (p->narrow_out) return vl_aligned(p->out_rows * p->out_cols * sizeof(uint16_t));
	return p->out_pitch > p->out_cols || p->acc_out ? vl_aligned(p->out_rows * p->out_cols * sizeof(float)) : 0;
}

size_t vl_prim_scratch(const vl_prim *p) { return (p->reorder && !p->packed ? p->wbytes : 0) + in_bytes(p) + out_bytes(p); }

static void copy_rows(vl_n rows, vl_n cols, const float *x, vl_n xp, float *y, vl_n yp) {
	for (vl_n r = 0; r < rows; r++) memcpy(y + r * yp, x + r * xp, cols * sizeof *y);
}

int vl_prim_run(vl_prim *p, const void *in, void *out, float *w, const float *bias) {
	char *tmp = vl_scratch(vl_prim_scratch(p));
	float *weights = w, *dense_in = (float *)in, *dense_out = out;
	dnnl_stream_t stream = vl_this_thread()->stream;
	int s = 0;
	if (p->reorder && !p->packed) {
		weights = (float *)tmp;
		tmp += p->wbytes;
	}
	if (in_bytes(p)) {
		dense_in = (float *)tmp;
		tmp += in_bytes(p);
		if (p->narrow_in) vl_kernels->narrow(p->in_rows, p->in_cols, in, p->in_pitch, (uint16_t *)dense_in, p->in_cols);
		else copy_rows(p->in_rows, p->in_cols, in, p->in_pitch, dense_in, p->in_cols);
	}
	if (out_bytes(p)) {
		dense_out = (float *)tmp;
		// The gradient's second operand is read; so is an output that is added to.
		if (p->narrow_out) vl_kernels->narrow(p->out_rows, p->out_cols, out, p->out_pitch, (uint16_t *)dense_out, p->out_cols);
		else if (!p->acc_out) copy_rows(p->out_rows, p->out_cols, out, p->out_pitch, dense_out, p->out_cols);
	}
	dnnl_memory_set_data_handle(p->args[0].memory, dense_in);
	dnnl_memory_set_data_handle(p->args[1].memory, dense_out);
	for (int i = 3; i < p->nargs; i++) dnnl_memory_set_data_handle(p->args[i].memory, p->args[i].arg == DNNL_ARG_BIAS ? (void *)bias : vl_room(p->room));
	if (!p->packed) {
		if (p->reorder && p->kind != VL_BACKWARD_WEIGHTS) {
			dnnl_memory_set_data_handle(p->reorder_args[0].memory, w);
			dnnl_memory_set_data_handle(p->reorder_args[1].memory, weights);
			s = dnnl_primitive_execute(p->reorder, stream, 2, p->reorder_args);
		}
		dnnl_memory_set_data_handle(p->args[2].memory, weights);
	}
	if (!s) s = dnnl_primitive_execute(p->p, stream, p->nargs, p->args);
	if (!s && p->reorder && p->kind == VL_BACKWARD_WEIGHTS) {
		dnnl_memory_set_data_handle(p->reorder_args[0].memory, weights);
		dnnl_memory_set_data_handle(p->reorder_args[1].memory, w);
		s = dnnl_primitive_execute(p->reorder, stream, 2, p->reorder_args);
	}
	if (!s && out_bytes(p) && p->kind != VL_BACKWARD_WEIGHTS) {
		if (p->acc_out) vl_kernels->add_rows(p->out_rows, p->out_cols, dense_out, p->out_cols, out, p->out_pitch);
		else copy_rows(p->out_rows, p->out_cols, dense_out, p->out_cols, out, p->out_pitch);
	}
	return s;
}
