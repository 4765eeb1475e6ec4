// AMX's tiles in vectors (-DVL_EMULATED_TILES): what only processors with tiles run is
// tested on those without. The meaning of the instructions is that of Intel's Architecture
// Instruction Set Extensions reference, chapter 3. Use outside of
// vl_cells_begin and vl_cells_end is an error here as it is there, and a tile that a
// product leaves behind too, which is none there but costs time (see load_row).
#include <stdio.h>
#include <stdlib.h>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_dpbf16ps

static __thread struct {
	int ready;
	__m512i row[8][16];
} emulated;

static inline __m512i *emulated_tile(int t) {
	if (!emulated.ready) fprintf(stderr, "tile %d is used before vl_cells_begin\n", t), abort();
	return emulated.row[t];
}

static inline void emulated_zero(int t) {
	for (int r = 0; r < 16; r++) emulated_tile(t)[r] = _mm512_setzero_si512();
}

static inline void emulated_begin(void) {
	emulated.ready = 1;
	for (int t = 0; t < 8; t++) emulated_zero(t);
}

static inline void emulated_end(void) {
	for (int t = 0; t < 8; t++)
		for (int r = 0; r < 16; r++)
			if (_mm512_test_epi32_mask(emulated_tile(t)[r], _mm512_set1_epi32(-1))) fprintf(stderr, "tile %d is not zero at vl_cells_end\n", t), abort();
	emulated.ready = 0;
}

static inline void emulated_load(int t, const void *x, size_t stride) {
	for (int r = 0; r < 16; r++) emulated_tile(t)[r] = _mm512_loadu_si512((const char *)x + r * stride);
}

static inline void emulated_store(int t, void *x, size_t stride) {
	for (int r = 0; r < 16; r++) _mm512_storeu_si512((char *)x + r * stride, emulated_tile(t)[r]);
}

static inline void emulated_multiply(int c, int a, int b) {
	for (int r = 0; r < 16; r++) {
		uint32_t pair[16];
		memcpy(pair, &emulated_tile(a)[r], 64);
		__m512 s = (__m512)emulated_tile(c)[r];
		for (int k = 0; k < 16; k++) s = _mm512_dpbf16_ps(s, (__m512bh)_mm512_set1_epi32((int)pair[k]), (__m512bh)emulated_tile(b)[k]);
		emulated_tile(c)[r] = (__m512i)s;
	}
}

#define _tile_loadconfig(config) ((void)(config), emulated_begin())
#define _tile_release emulated_end
#define _tile_zero emulated_zero
#define _tile_loadd emulated_load
#define _tile_stream_loadd emulated_load
#define _tile_stored emulated_store
#define _tile_dpbf16ps emulated_multiply
