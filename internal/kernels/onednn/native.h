// The C side of package onednn: oneDNN primitives, and loops over own kernels.
// Pointers to caller's memory are arguments of the call that uses them; nothing
// here keeps one after it returns.
#ifndef VL_NATIVE_H
#define VL_NATIVE_H
#include "product16.h"
#include "rows.h"
#include "taps.h"
#include <oneapi/dnnl/dnnl.h>

int vl_init(void);
void vl_one_thread(void);
const char *vl_isa(void);
// Whether own convolutions in float32 are faster than oneDNN's: without AVX-512.
int vl_own_convolutions(void);
// Tests run the loops of lesser processors. Not while kernels run.
void vl_limit_isa(int limit);

// How many threads the kernels of the calling thread may use: 1, unless said.
void vl_share(int n);
int vl_shares(void);

// A sum over all bits of n floats that tells two weights at one address apart.
uint64_t vl_fingerprint(const float *p, vl_n n);

// y = op(a)·op(b) + bias.
typedef struct {
	vl_n m, n, k, lda, ldb, ldy;
	int ta, tb, acc;
} vl_gemm;

// The skinny products; scratch holds what has to be transposed.
enum { VL_DOTS, VL_WIDEN, VL_OUTER, VL_OUTER_T };
void vl_skinny(int kind, const vl_gemm *g, const float *a, const float *b, const float *bias, float *y);

// A primitive with its memory objects. Arguments are bound by position.
typedef struct vl_prim vl_prim;
void vl_prim_free(vl_prim *p);
const char *vl_prim_impl(const vl_prim *p);

typedef struct {
	vl_n n, h, w, cin, cout, oh, ow, kh, kw, groups;
	vl_n sh, sw, dh, dw, pt, pl, pb, pr;
	vl_n xp, yp; // pitches
	int bf16;         // factors are rounded to bf16, sums are float32
	int in16, out16;  // what is read and written is bf16 in memory
} vl_conv_shape;
enum { VL_FORWARD, VL_BACKWARD_DATA, VL_BACKWARD_WEIGHTS };
// NULL where oneDNN has nothing usable.
vl_prim *vl_conv(int kind, const vl_conv_shape *s, int bias, int acc);

// Weights packed for a primitive. same tells whether one fits another primitive.
typedef struct vl_packed vl_packed;
vl_packed *vl_pack(const vl_prim *p, const float *w);
int vl_packed_fits(const vl_packed *k, const vl_prim *p);
void vl_packed_free(vl_packed *k);
void vl_prim_use(vl_prim *p, const vl_packed *k);

// How much scratch a run takes.
size_t vl_prim_scratch(const vl_prim *p);

// Runs the primitive: in and out are its activations, w the weights unless
// packed ones are in use (for backward weights w is written).
int vl_prim_run(vl_prim *p, const void *in, void *out, float *w, const float *bias);

// Attention; stats is NULL where no backward pass follows. The scratch is that of
// one thread.
size_t vl_attention_scratch(const vl_attn *a, int backward);
void vl_attention(const vl_attn *a, const void *q, const void *k, const void *v, const float *mask, float *stats, void *o);
void vl_attention_backward(const vl_attn *a, const void *q, const void *k, const void *v, const float *mask, const float *stats, const void *go, void *dq, void *dk, void *dv);

// A box of up to 6 axes; the last strides are innermost.
typedef struct {
	int axes, acc;
	int src16, dst16; // bf16 in memory
	vl_n dim[6], src[6], dst[6];
	vl_n zero_rows, zero_cols, zero_pitch;
} vl_copy_box;
void vl_copy(const vl_copy_box *b, const void *src, void *dst, void *whole);

// The kernel set, by function.
int vl_unary(int f, float a, float b, vl_n rows, vl_n cols, vl_mat x, vl_mat y, vl_mat d);
void vl_slopes(int acc, vl_n rows, vl_n cols, vl_mat d, vl_mat dy, vl_mat dx);
int vl_unary_backward(int f, float a, float b, int acc, vl_n rows, vl_n cols, vl_mat x, vl_mat dy, vl_mat dx);
void vl_binary(int f, int acc, const vl_box *box, const void *x, const void *z, void *y);
void vl_affine(vl_n rows, vl_n c, vl_mat x, const float *scale, const float *shift, vl_mat y, int acc);
void vl_column_sum(vl_n rows, vl_n c, vl_mat x, vl_mat z, float *y, int acc);
void vl_reduce_columns(vl_n outer, vl_n rows, vl_n c, const float *x, vl_n xo, vl_n xp, float *y, float scale);
void vl_reduce_rows(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, float scale);
void vl_layer_norm(vl_n rows, vl_n c, vl_mat x, const float *g, const float *b, vl_mat y, vl_mat hat, float *mean, float *rstd, double eps);
void vl_layer_norm_backward(vl_n rows, vl_n c, vl_mat x, vl_mat dy, const float *g, const float *b, const float *mean, const float *rstd, vl_mat dx, int acc,
	float *dg, float *db);
void vl_softmax(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, vl_n yp, int log);
void vl_softmax_backward(vl_n rows, vl_n c, const float *y, vl_n yp, const float *dy, vl_n gp, float *dx, vl_n dp, int log, int acc);
void vl_pool(const vl_pool_shape *s, const void *x, void *y, uint8_t *index);
void vl_pool_backward(const vl_pool_shape *s, const void *dy, const uint8_t *index, void *dx, int acc);
void vl_depthwise_weights(const vl_pool_shape *s, const float *x, const float *dy, float *dw, int acc);

// Rows of bf16 to float32 without gaps, and back.
void vl_widen_rows(vl_n rows, vl_n c, const uint16_t *x, vl_n xp, float *y);
void vl_narrow_rows(vl_n rows, vl_n c, const float *x, uint16_t *y, vl_n yp);

// A block of the calling thread's own that stays where it is, for rows in float32;
// of the same size at every call.
void *vl_block(size_t bytes);

// Makes the calling thread's scratch hold at least so many bytes.
int vl_reserve(size_t bytes);

// The thread's scratch. A Run stays on the thread that bound it, where
// vl_reserve made it large enough; growing here only guards against a caller
// that broke the rule.
void *vl_scratch(size_t bytes);

// Memory aligned to a cache line, NULL where there is none, and its end.
void *vl_cache_aligned(size_t bytes);
void vl_release(void *p);
#endif
