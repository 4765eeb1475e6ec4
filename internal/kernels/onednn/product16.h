// Own products in bfloat16; see product.h, whose descriptions they share.
#ifndef VL_PRODUCT16_H
#define VL_PRODUCT16_H
#include "cells.h"

// A second factor as it lies in float32: element (tap, k, n) at tap·st + k·sk +
// n·sn. join: so many taps' terms in a row, where 1 gives every tap cells of its
// own. parts: of numbers, as in the product; a panel's lesser parts lie behind its
// greater ones. split: a thin factor's lie side by side, as terms of its products or
// as columns, and are two where others' are one.
enum { VL_WHOLE, VL_SPLIT_TERMS, VL_SPLIT_COLUMNS };
typedef struct {
	vl_n taps, k, n, st, sk, sn;
	int join, split, parts;
} vl_factor;

// How many numbers of bf16 a factor takes in cells, and its packing.
vl_n vl_packed_cells(const vl_factor *f);
void vl_pack_cells(const vl_factor *f, const float *w, uint16_t *out);

// vl_multiply16 is vl_multiply with factors rounded to bf16, or as sums of p->parts
// such numbers. Of two parts' four products only that of both lesser ones is left
// out, which leaves 2^-17 of the product, where bf16 leaves 2^-8. Three parts hold all
// 24 bits of float32; of their nine products the three are left out that are below
// 2^-26: less than float32 rounds off (arXiv 1904.06376). a and y are bf16 where
// p->a16 and p->y16. Unless d is NULL h is written first: its r channels are a·d, with
// a's windows. An infinite factor makes NaN where parts are more than one.
// p->turned: one packing of large weights serves the product with them and that with
// them turned, a panel of which is made when rows pass by; not with windows.
void vl_multiply16(const vl_product *p, const void *a, const uint16_t *b, float *h, const uint16_t *hb, const uint16_t *d, const float *bias, void *y);

// Whether hb is in parts like b; else it is split.
int vl_thin_in_parts(const vl_product *p);

// Whether a convolution reads its map where it lies. The taps of a line of h are
// joined then where the map is a gradient.
int vl_slides(const vl_product *p);
// Whether a line of a window is a step: then so many taps are joined.
int vl_steps_are_lines(const vl_product *p);

// vl_sum_rows is y (m, n) = aᵀ·b over the rows of a (k, m) and b (k, n), one of
// them float32 and thin, or both bf16. With a window b is a map of n channels, and
// y (m, n, taps) has a sum for every tap.
typedef struct {
	vl_n m, n, k, lda, ldb, ldy;
	int a16, b16, acc, window;
	vl_window at;
} vl_row_sum;
void vl_sum_rows(const vl_row_sum *p, const void *a, const void *b, float *y);
#endif
