// Own products in float32: matrices, and convolutions as products whose rows are
// gathered by pointer, both with a second thin pair of factors that rides in the
// first. product_impl.h holds the inner loop, product.c what feeds it.
#ifndef VL_PRODUCT_H
#define VL_PRODUCT_H
#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t vl_n;

// Terms that a tile adds up: k factors of every row, step apart, times k rows of
// a packed panel.
typedef struct {
	const float *const *rows;
	const float *b;
	vl_n k, step, panel; // panel: from one panel of b to the next
} vl_segment;

// The windows of a convolution over the map that is read.
typedef struct {
	vl_n h, w;   // of the map that is read
	vl_n oh, ow; // of the map that is written
	vl_n kh, kw, sh, sw, dh, dw, pt, pl;
	int backward; // the map that is read is the gradient of the output
} vl_window;

// What else happens to a result before it is written, in this order: what lies add
// bytes behind its place is added; negative ones become zero; so do those where what
// lies mask bytes behind their place is not positive. Both lie like y, 0 is none.
typedef struct {
	ptrdiff_t add, mask;
	int relu;
} vl_finish;

static inline int vl_finishes(const vl_finish *f) { return f->add || f->mask || f->relu; }

//	y (m, n) = a·b + h·hb + bias       (acc: y += …)
//
// Without a window row i of a starts lda·i after a and its k terms are step
// apart. With one a is a map of k channels, pixels lda apart, b has a matrix
// (k, n) for every tap. h has r channels: rows of y where wide is 0, else it is a
// map like a, and hb has a matrix (r, n) for every tap.
// a16, y16: bf16 in memory; join: so many taps' terms of a follow each other; parts:
// numbers of float32 are sums of so many of bf16; turned: b is packed as that of the
// product with bᵀ; see product16.h.
typedef struct {
	vl_n m, n, k, r;
	vl_n lda, step, ldh, ldy;
	int acc, window, wide, a16, y16, join, parts, turned;
	vl_window at;
	vl_finish finish;
} vl_product;

// How many floats b or hb take packed, and their packing: element (tap, k, n) of
// w is at tap·st + k·sk + n·sn.
vl_n vl_packed_floats(vl_n taps, vl_n k, vl_n n);
void vl_pack_panels(vl_n taps, vl_n k, vl_n n, vl_n st, vl_n sk, vl_n sn, const float *w, float *out);

// Whether Winograd's algorithm makes a product of windows, the packing of a factor for
// it, and the product: see winograd.c. Taps lie in their order backwards where st is
// negative. Unless d is NULL h is written first, with a's windows; thin is packed like
// other panels, or where p->wide like u and d.
enum { VL_WINOGRAD_TERMS = 512 };
int vl_winograd(const vl_product *p);
int vl_winograd_takes(vl_n k, vl_n n); // as far as the factor goes
vl_n vl_winograd_floats(vl_n k, vl_n n);
void vl_winograd_pack(vl_n k, vl_n n, vl_n st, vl_n sk, vl_n sn, const float *w, float *out);
void vl_multiply_winograd(const vl_product *p, const void *a, const float *u, float *h, const float *thin, const float *d, const float *bias, void *y);

void vl_multiply(const vl_product *p, const float *a, const float *b, const float *h, const float *hb, const float *bias, float *y);
#endif
