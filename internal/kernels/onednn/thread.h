// What the C files share: the engine, the kernel set, and what a thread owns.
#ifndef VL_THREAD_H
#define VL_THREAD_H
#include "native.h"

extern dnnl_engine_t vl_engine;
extern const vl_rows *vl_kernels;

// What a thread owns: a stream (oneDNN's are not shared) and one growing block
// of scratch that every kernel of the thread uses in turn.
typedef struct {
	dnnl_stream_t stream;
	void *scratch;
	size_t size;
	void *block; // see vl_block
	void *room; // see vl_room
	size_t room_size;
} vl_thread;

vl_thread *vl_this_thread(void);

// vl_room is a second block of scratch, for what a kernel packs for itself.
void *vl_room(size_t bytes);

// vl_deal runs task for every part of a kernel, on as many threads as the calling
// one may use, and returns when all are done.
typedef void (*vl_task)(void *arg, int part, int parts);
void vl_deal(vl_task task, void *arg);

// The range of n things, in multiples of step, that belongs to a part.
static inline vl_n vl_from(vl_n n, vl_n step, int part, int parts) {
	vl_n units = (n + step - 1) / step, at = units * part / parts * step;
	return at < n ? at : n;
}

// What a thread makes of a product: rows, all panels of them, or panels of all rows.
typedef struct {
	vl_n row, rows_end, panel, panels_end;
} vl_share_of_product;

static inline vl_n vl_most_of(vl_n n, int parts) { return (n + parts - 1) / parts; }

// m rows are dealt in pieces of unit. Where the weights are the larger factor panels
// are: then every thread reads all of a and its part of b. So they are where that is
// fairer and rows need no packing. h belongs to rows.
static inline vl_share_of_product vl_share_of(const vl_product *p, vl_n m, vl_n unit, vl_n panels, int part, int parts) {
	vl_n taps = p->window ? p->at.kh * p->at.kw : 1, units = (m + unit - 1) / unit;
	int fairer = !p->window && p->parts <= 1 && vl_most_of(panels, parts) * units < vl_most_of(units, parts) * panels;
	if (parts > 1 && !p->r && (fairer || p->n * taps > p->m && (panels % parts == 0 || panels >= 4 * parts)))
		return (vl_share_of_product){0, m, vl_from(panels, 1, part, parts), vl_from(panels, 1, part + 1, parts)};
	return (vl_share_of_product){vl_from(m, unit, part, parts), vl_from(m, unit, part + 1, parts), 0, panels};
}

// vl_crowds tells whether rows so many bytes apart are in one set of the nearest cache.
static inline int vl_crowds(vl_n bytes) { return bytes % 4096 == 0; }

// Whole cache lines for so many bytes.
static inline size_t vl_aligned(size_t bytes) { return (bytes + 63) & ~(size_t)63; }
#endif
