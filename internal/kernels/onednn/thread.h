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
} vl_thread;

vl_thread *vl_this_thread(void);

// Whole cache lines for so many bytes.
static inline size_t vl_aligned(size_t bytes) { return (bytes + 63) & ~(size_t)63; }
#endif
