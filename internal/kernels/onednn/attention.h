// What the two forms of attention share: attention.c in float32, and
// attention_cells.c in bf16.
#ifndef VL_ATTENTION_H
#define VL_ATTENTION_H
#include "thread.h"

// What an attention is called with; the heads of all pictures are dealt out, and forward
// their queries.
typedef struct {
	const vl_attn *a;
	const void *q, *k, *v, *go;
	const float *mask;
	float *stats;
	void *o, *dq, *dk, *dv;
} vl_heads;

// The queries of a head that a part of a forward pass makes.
typedef struct {
	vl_n head, from, to;
} vl_queries;

// vl_next_queries is a part's next head and its queries, behind the units of them that are
// done; heads may be divided in blocks of unit. 0 where nothing is left.
static inline int vl_next_queries(const vl_attn *a, vl_n unit, int part, int parts, vl_n *done, vl_queries *q) {
	vl_n units = (a->tq + unit - 1) / unit, all = a->n * a->heads * units, at = vl_from(all, 1, part, parts) + *done, end = vl_from(all, 1, part + 1, parts);
	if (at >= end) return 0;
	vl_n first = at % units, n = units - first < end - at ? units - first : end - at;
	q->head = at / units, q->from = first * unit, q->to = first + n < units ? (first + n) * unit : a->tq;
	*done += n;
	return 1;
}

// Places in a thread's block, and how much of it is taken so far.
static inline void *vl_place(char *block, size_t *taken, size_t bytes) {
	char *p = block + *taken;
	*taken += vl_aligned(bytes);
	return p;
}

// A part of the heads, products on cells.
void vl_attention_cells(void *heads, int part, int parts);
void vl_attention_backward_cells(void *heads, int part, int parts);
size_t vl_attention_cells_scratch(const vl_attn *a, int backward);
#endif
