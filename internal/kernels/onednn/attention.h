// What the two forms of attention share: attention.c in float32, and
// attention_cells.c in bf16.
#ifndef VL_ATTENTION_H
#define VL_ATTENTION_H
#include "native.h"

// What an attention is called with; the heads of all pictures are dealt out.
typedef struct {
	const vl_attn *a;
	const void *q, *k, *v, *go;
	const float *mask;
	float *stats;
	void *o, *dq, *dk, *dv;
} vl_heads;

// Places in a thread's block, and how much of it is taken so far.
static inline void *vl_place(char *block, size_t *taken, size_t bytes) {
	char *p = block + *taken;
	*taken += (bytes + 63) & ~(size_t)63;
	return p;
}

// A part of the heads, products on cells.
void vl_attention_cells(void *heads, int part, int parts);
void vl_attention_backward_cells(void *heads, int part, int parts);
size_t vl_attention_cells_scratch(const vl_attn *a, int backward);
#endif
