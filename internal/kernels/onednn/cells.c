//go:build onednn

#include "cells.h"
#include "rows.h"

#if defined(__x86_64__)
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC optimize("O3")
#pragma GCC target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")

#include "lanes.h"
#ifdef VL_EMULATED_TILES
#include "tiles_emulated.h"
#endif

enum { AHEAD = CELL_SIZE }; // numbers of a panel that are fetched before they are due

static int kind; // of products: 0 none, 1 vectors, 2 tiles
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void) {
	enum { REQUEST = 0x1023, TILES = 18 }; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	unsigned a, b, c, d;
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) return;
	// The vector instruction makes twice the products of float32 on AMD's cores and
	// half on Intel's.
	kind = __builtin_cpu_is("amd");
	__asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "0"(7), "2"(0));
	if ((d >> 22 & 1) && (d >> 24 & 1) && !syscall(SYS_arch_prctl, REQUEST, TILES)) kind = 2;
#ifdef VL_EMULATED_TILES
	kind = 2;
#endif
}

int vl_has_cells(void) {
	pthread_once(&once, find);
	return kind > 0;
}

int vl_has_tiles(void) { return vl_has_cells() && kind == 2; }

void vl_cells_without_tiles(int yes) {
	if (yes) kind = 1;
	else find();
}

void vl_cells_begin(void) {
	if (kind < 2) return;
	// Eight tiles of 16 rows of 64 bytes.
	static const struct {
		uint8_t palette, start, reserved[14];
		uint16_t bytes[16];
		uint8_t rows[16];
	} config = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
	_tile_loadconfig(&config);
}

void vl_cells_end(void) {
	_mm_sfence(); // for what went past the caches
	if (kind == 2) _tile_release();
}

// 32 numbers at a place that lies like y, those of m.
#define LIKE_Y(at, l, h) \
	do { \
		if (y16) { \
			__m512i v = _mm512_maskz_loadu_epi16(m, at); \
			l = vl_low(v), h = vl_high(v); \
		} else l = _mm512_maskz_loadu_ps((__mmask16)m, at), h = _mm512_maskz_loadu_ps((__mmask16)(m >> 16), (at) + 64); \
	} while (0)

// finished is what becomes of 32 sums; y is where they go.
INLINE void finished(const vl_finish *f, const int y16, const char *y, __mmask32 m, __m512 *lo, __m512 *hi) {
	__m512 l, h;
	const __m512 none = _mm512_setzero_ps();
	if (f->add) {
		LIKE_Y(y + f->add, l, h);
		*lo = _mm512_add_ps(*lo, l), *hi = _mm512_add_ps(*hi, h);
	}
	// The second operand is what becomes of two that do not compare: NaN stays.
	if (f->relu) *lo = _mm512_max_ps(none, *lo), *hi = _mm512_max_ps(none, *hi);
	if (f->mask) {
		LIKE_Y(y + f->mask, l, h);
		*lo = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(l, none, _CMP_GT_OQ), *lo);
		*hi = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(h, none, _CMP_GT_OQ), *hi);
	}
}

// put_sums writes one row of sums, those of m. more: there may be what acc and finish ask
// for.
INLINE void put_sums(const vl_cell_put *p, const int y16, int more, __mmask32 m, char *y, __m512 lo, __m512 hi) {
	__mmask16 m0 = (__mmask16)m, m1 = (__mmask16)(m >> 16);
	if (more && p->acc) {
		__m512 l, h;
		LIKE_Y(y, l, h);
		lo = _mm512_add_ps(lo, l), hi = _mm512_add_ps(hi, h);
	}
	if (more && p->finish) finished(p->finish, y16, y, m, &lo, &hi);
	int past = p->past && m == ~0u && !((size_t)y & 63);
	if (y16) {
		__m512i v = vl_narrow(lo, hi);
		if (past) _mm512_stream_si512((__m512i *)y, v);
		else _mm512_mask_storeu_epi16(y, m, v);
	} else if (past) _mm512_stream_ps((float *)y, lo), _mm512_stream_ps((float *)y + 16, hi);
	else _mm512_mask_storeu_ps(y, m0, lo), _mm512_mask_storeu_ps((float *)y + 16, m1, hi);
}
#undef LIKE_Y

// put_row writes one row of sums.
INLINE void put_row(const vl_cell_put *p, const int y16, vl_n row) {
	__mmask16 m0 = vl_first(p->n), m1 = vl_first(p->n - 16);
	const float *s = p->s + row * CELL;
	if (!p->y[row]) return;
	__m512 lo = _mm512_loadu_ps(s), hi = _mm512_loadu_ps(s + 16);
	if (p->bias) lo = _mm512_add_ps(lo, _mm512_maskz_loadu_ps(m0, p->bias)), hi = _mm512_add_ps(hi, _mm512_maskz_loadu_ps(m1, p->bias + 16));
	put_sums(p, y16, 1, (__mmask32)m1 << 16 | m0, (char *)p->y[row] + p->at, lo, hi);
}

// put_rows is a call: the loops of products keep their registers.
__attribute__((noinline)) static void put_rows(const vl_cell_put *p, vl_n from, vl_n to) {
	if (to > p->rows) to = p->rows;
	if (p->y16)
		for (; from < to; from++) put_row(p, 1, from);
	else
		for (; from < to; from++) put_row(p, 0, from);
}

void vl_cells_put(const vl_cell_put *p) { put_rows(p, 0, p->rows); }

// Tiles 0 to 3 are sums, 4 and 5 rows of the first factor, 6 and 7 columns of the
// second. Between products all are zero. At times, of milliseconds to minutes, a
// processor holds its tiles back: loads and products take two to four times as long
// then, less so the fewer tiles hold numbers. So a tile is loaded when it is needed, and
// zeroed when it is not any more. The order is the fastest that was found, at other times
// too: what the first product needs is loaded first.
INLINE void load_row(const int tile, const uint16_t *x, vl_n ld) {
	if (tile == 4) _tile_loadd(4, x, 2 * ld);
	else _tile_loadd(5, x + 16 * ld, 2 * ld);
}

INLINE void load_column(const int tile, const int passing, const uint16_t *b) {
	if (tile == 6 && passing) _tile_stream_loadd(6, b, 64);
	else if (tile == 6) _tile_loadd(6, b, 64);
	else if (passing) _tile_stream_loadd(7, b + CELL_SIZE / 2, 64);
	else _tile_loadd(7, b + CELL_SIZE / 2, 64);
}

// use_columns adds the products of all rows and columns, and is the last to use the
// columns; rows_too: and the rows. Rows at x and columns at b are loaded, unless they
// are NULL.
INLINE void use_columns(const int mb, const int nb, const int passing, const uint16_t *x, vl_n ld, const uint16_t *b, const int rows_too) {
	if (b) load_column(6, passing, b);
	if (x) load_row(4, x, ld);
	if (x && mb > 1) load_row(5, x, ld);
	_tile_dpbf16ps(0, 4, 6);
	if (mb > 1) _tile_dpbf16ps(2, 5, 6);
	_tile_zero(6);
	if (nb > 1) {
		if (b) load_column(7, passing, b);
		if (mb > 1) _tile_dpbf16ps(3, 5, 7);
		if (mb > 1 && rows_too) _tile_zero(5);
		_tile_dpbf16ps(1, 4, 7);
		_tile_zero(7);
	} else if (mb > 1 && rows_too) _tile_zero(5);
	if (rows_too) _tile_zero(4);
}

// use_rows is the same with the two exchanged.
INLINE void use_rows(const int mb, const int nb, const uint16_t *x, vl_n ld, const uint16_t *b, const int columns_too) {
	if (x) load_row(4, x, ld);
	if (b) load_column(6, 0, b);
	if (b && nb > 1) load_column(7, 0, b);
	_tile_dpbf16ps(0, 4, 6);
	if (nb > 1) _tile_dpbf16ps(1, 4, 7);
	_tile_zero(4);
	if (mb > 1) {
		if (x) load_row(5, x, ld);
		if (nb > 1) _tile_dpbf16ps(3, 5, 7);
		if (nb > 1 && columns_too) _tile_zero(7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_zero(5);
	} else if (nb > 1 && columns_too) _tile_zero(7);
	if (columns_too) _tile_zero(6);
}

// add_step adds the products of two cells and of their parts, in an order in which one of
// the two stays: 0·2, 0·1, 1·1, 1·0, 2·0, 0·0 of three.
INLINE void add_step(const int mb, const int nb, const int parts, const int passing, const uint16_t *x, const vl_cell_run *run, vl_n ld, const uint16_t *b) {
	vl_n next = run->a_part, lesser = run->b_part;
	if (parts == 3) {
		use_columns(mb, nb, 0, x, ld, b + 2 * lesser, 0);
		use_rows(mb, nb, NULL, ld, b + lesser, 0);
		use_columns(mb, nb, 0, x + next, ld, NULL, 0);
		use_rows(mb, nb, NULL, ld, b, 0);
		use_rows(mb, nb, x + 2 * next, ld, NULL, 0);
		use_rows(mb, nb, x, ld, NULL, 1);
	} else if (parts == 2) {
		use_columns(mb, nb, 0, x, ld, b + lesser, 0);
		use_rows(mb, nb, NULL, ld, b, 0);
		use_rows(mb, nb, x + next, ld, NULL, 1);
	} else use_columns(mb, nb, passing, x, ld, b, 1);
}

INLINE void tiles(const int mb, const int nb, const uint16_t *a, const vl_cell_run *run, vl_n n, vl_n j, float *c, const vl_cell_put *put) {
	vl_n each = 0, row = 0;
	if (put) {
		vl_n all = 0;
		for (vl_n i = 0; i < n; i++) all += run[i].steps;
		each = all ? (put->rows + all - 1) / all : put->rows;
	}
	for (; n > 0; n--, run++) {
		const uint16_t *b = run->b + j * run->panel;
		vl_n ld = run->at ? run->ld : CELL;
		if (!run->at) a += run->skip * CELL_SIZE;
#define STEPS(parts, passing) \
	for (vl_n i = 0; i < run->steps; i++, b += CELL_SIZE) { \
		add_step(mb, nb, parts, passing, run->at ? run->from + run->at[i] : a, run, ld, b); \
		if (!run->at) a += CELL_SIZE; \
		if (put) put_rows(put, row, row + each), row += each; \
	}
		if (run->parts == 3) STEPS(3, 0)
		else if (run->parts == 2) STEPS(2, 0)
		else if (run->passing) STEPS(1, 1)
		else STEPS(1, 0)
#undef STEPS
	}
	_tile_stored(0, c, 4 * CELL);
	_tile_zero(0);
	if (nb > 1) {
		_tile_stored(1, c + 16, 4 * CELL);
		_tile_zero(1);
	}
	if (mb > 1) {
		_tile_stored(2, c + 16 * CELL, 4 * CELL);
		_tile_zero(2);
	}
	if (mb > 1 && nb > 1) {
		_tile_stored(3, c + 16 * CELL + 16, 4 * CELL);
		_tile_zero(3);
	}
	if (put) put_rows(put, row, put->rows);
}

// The same in vectors: mb rows from row on, mb and nb constants. plain: the first
// factor's cells follow each other and there are no parts. The processor does not look
// into a panel's next page.
INLINE void vectors(const int mb, const int nb, const int plain, const int asks, vl_n row, const uint16_t *a, const vl_cell_run *run, vl_n n, vl_n j, float *c, const vl_cell_put *put) {
	__m512 s[12][2];
#pragma GCC unroll 12
	for (int r = 0; r < mb; r++) s[r][0] = s[r][1] = _mm512_setzero_ps();
	for (; n > 0; n--, run++) {
		const uint16_t *b = run->b + j * run->panel;
		const vl_n ld = !plain && run->at ? run->ld : CELL, parts = !plain && run->parts > 1 ? run->parts : 1;
		if (plain || !run->at) a += run->skip * CELL_SIZE;
		vl_n count = asks && run->next ? run->next_to - run->next_from : 0, soon = run->next_from + count * row / CELL, until = run->next_from + count * (row + mb) / CELL;
		for (vl_n i = 0; i < run->steps; i++, b += CELL_SIZE) {
			const uint16_t *first = (!plain && run->at ? run->from + run->at[i] : a) + row * ld;
			if (plain || !run->at) a += CELL_SIZE;
			int end = run->terms && (run->every || i + 1 == run->steps) ? run->terms : CELL;
			for (vl_n r = soon; asks && r < until; r++) _mm_prefetch(run->next + r * run->ld + i * CELL, _MM_HINT_T0);
			for (vl_n u = 0; u < parts; u++)
				for (vl_n v = 0; u + v < parts; v++) {
					const uint16_t *x = first + u * run->a_part, *y = b + v * run->b_part;
					for (int p = 0; p < end; p += 2) {
						_mm_prefetch(y + p * 16 + AHEAD, _MM_HINT_T0);
						if (nb > 1) _mm_prefetch(y + CELL_SIZE / 2 + p * 16 + AHEAD, _MM_HINT_T0);
						__m512bh b0 = (__m512bh)_mm512_loadu_si512(y + p * 16), b1 = nb > 1 ? (__m512bh)_mm512_loadu_si512(y + CELL_SIZE / 2 + p * 16) : b0;
#pragma GCC unroll 12
						for (int r = 0; r < mb; r++) {
							int32_t pair;
							memcpy(&pair, x + r * ld + p, 4);
							__m512bh f = (__m512bh)_mm512_set1_epi32(pair);
							s[r][0] = _mm512_dpbf16_ps(s[r][0], f, b0);
							if (nb > 1) s[r][1] = _mm512_dpbf16_ps(s[r][1], f, b1);
						}
					}
				}
		}
	}
	if (nb > 1 && put && put->n == CELL) {
		const int more = put->acc || put->finish;
		const __m512 b0 = put->bias ? _mm512_loadu_ps(put->bias) : _mm512_setzero_ps(), b1 = put->bias ? _mm512_loadu_ps(put->bias + 16) : _mm512_setzero_ps();
#pragma GCC unroll 12
		for (int r = 0; r < mb; r++) s[r][0] = _mm512_add_ps(s[r][0], b0), s[r][1] = _mm512_add_ps(s[r][1], b1);
#define PUT(y16) \
	for (int r = 0; r < mb; r++) \
		if (row + r < put->rows && put->y[row + r]) put_sums(put, y16, more, ~0u, (char *)put->y[row + r] + put->at, s[r][0], s[r][1])
		if (put->y16) {
#pragma GCC unroll 12
			PUT(1);
		} else {
#pragma GCC unroll 12
			PUT(0);
		}
#undef PUT
		return;
	}
	c += row * CELL;
#pragma GCC unroll 12
	for (int r = 0; r < mb; r++) {
		_mm512_storeu_ps(c + r * CELL, s[r][0]);
		if (nb > 1) _mm512_storeu_ps(c + r * CELL + 16, s[r][1]);
	}
	if (put) put_rows(put, row, row + mb);
}

// asks: rows that come next are asked for meanwhile. It is a constant, and each of the two
// a function: in one the compiler makes both slower.
INLINE void by_vectors(const int asks, vl_n rows, vl_n cols, const uint16_t *a, const vl_cell_run *runs, vl_n n, vl_n j, float *c, const vl_cell_put *put) {
	int plain = !asks;
	for (vl_n i = 0; i < n && plain; i++) plain = !runs[i].at && runs[i].parts <= 1;
#define ROWS(count, from) \
	do { \
		if (cols > 16 && !asks && plain) vectors(count, 2, 1, 0, from, a, runs, n, j, c, put); \
		else if (cols > 16) vectors(count, 2, 0, asks, from, a, runs, n, j, c, put); \
		else vectors(count, 1, 0, asks, from, a, runs, n, j, c, put); \
	} while (0)
	if (rows > 16) {
		ROWS(12, 0);
		ROWS(12, 12);
		if (rows > 24) ROWS(8, 24);
	} else {
		ROWS(8, 0);
		if (rows > 8) ROWS(8, 8);
	}
#undef ROWS
}

__attribute__((noinline)) static void asking(vl_n rows, vl_n cols, const uint16_t *a, const vl_cell_run *runs, vl_n n, vl_n j, float *c, const vl_cell_put *put) {
	by_vectors(1, rows, cols, a, runs, n, j, c, put);
}

void vl_cells_multiply(vl_n rows, vl_n cols, const uint16_t *a, const vl_cell_run *runs, vl_n n, vl_n j, float *c, const vl_cell_put *put, vl_cell_put *before) {
	int mb = rows > 16 ? 2 : 1, nb = cols > 16 ? 2 : 1;
	if (kind < 2) {
		if (n && runs->next) asking(rows, cols, a, runs, n, j, c, put);
		else by_vectors(0, rows, cols, a, runs, n, j, c, put);
		return;
	}
	const vl_cell_put *now = put && before->rows ? before : NULL;
	if (mb > 1) {
		if (nb == 1) tiles(2, 1, a, runs, n, j, c, now);
		else if (now) tiles(2, 2, a, runs, n, j, c, now);
		else tiles(2, 2, a, runs, n, j, c, NULL);
	} else if (nb > 1) tiles(1, 2, a, runs, n, j, c, now);
	else tiles(1, 1, a, runs, n, j, c, now);
	if (put) *before = *put;
}

// The first n numbers, 32 at most, from element i of a row on, as bf16, or so many
// parts of them.
INLINE void take(const void *x, const int x16, vl_n i, vl_n n, const int parts, __m512i *v) {
	__mmask16 low = vl_first(n), high = vl_first(n - 16);
	if (x16) *v = _mm512_maskz_loadu_epi16((__mmask32)high << 16 | low, (const uint16_t *)x + i);
	else vl_split(_mm512_maskz_loadu_ps(low, (const float *)x + i), _mm512_maskz_loadu_ps(high, (const float *)x + i + 16), parts, v);
}

// 16 × 16 numbers of 32 bits, turned.
INLINE void turn(__m512i *r) {
	__m512i s[16];
#pragma GCC unroll 16
	for (int i = 0; i < 16; i += 2) s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]), s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4) {
		r[i] = _mm512_unpacklo_epi64(s[i], s[i + 2]), r[i + 1] = _mm512_unpackhi_epi64(s[i], s[i + 2]);
		r[i + 2] = _mm512_unpacklo_epi64(s[i + 1], s[i + 3]), r[i + 3] = _mm512_unpackhi_epi64(s[i + 1], s[i + 3]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		s[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), s[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
		s[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88), s[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		r[i] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0x88), r[i + 8] = _mm512_shuffle_i32x4(s[i], s[i + 8], 0xdd);
		r[i + 4] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0x88), r[i + 12] = _mm512_shuffle_i32x4(s[i + 4], s[i + 12], 0xdd);
	}
}

static void turn_tile(uint16_t *t) {
	__m512i r[16];
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(t + i * CELL);
	turn(r);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) _mm512_storeu_si512(t + i * CELL, r[i]);
}

// Tiles of 16 × 16 from rows of 32 on, turned, to another place and back.
INLINE void turn_two(float *x, float *y) {
	__m512i r[16], s[16];
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(x + i * CELL);
	turn(r);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) s[i] = _mm512_loadu_si512(y + i * CELL), _mm512_storeu_si512(y + i * CELL, r[i]);
	if (x == y) return;
	turn(s);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) _mm512_storeu_si512(x + i * CELL, s[i]);
}

void vl_cells_turn(float *c) {
	turn_two(c, c);
	turn_two(c + 16, c + 16 * CELL);
	turn_two(c + 16 * CELL + 16, c + 16 * CELL + 16);
}

INLINE const void *at_row(const void *x, const int x16, vl_n i) { return (const char *)x + i * vl_bytes(x16); }

// Rows come from row, or where that is NULL they lie xp apart in x.
INLINE void rows(const void *const *row, const void *x, const int x16, vl_n xp, vl_n n, vl_n k, const int parts, vl_n apart, uint16_t *out) {
	for (vl_n i = 0; i < CELL; i++) {
		const void *from = row ? row[i] : i < n ? at_row(x, x16, i * xp) : NULL;
		uint16_t *to = out + i * CELL;
		for (vl_n t = 0; t < k; t += CELL, to += CELL_SIZE) {
			__m512i v[3] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
			if (from) take(from, x16, t, k - t, parts, v);
#pragma GCC unroll 3
			for (int p = 0; p < parts; p++) _mm512_storeu_si512(to + p * apart, v[p]);
		}
	}
}

// Two rows of x are a row of both tiles.
INLINE void pair(__m512i even, __m512i odd, vl_n t, uint16_t *out) {
	const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
	const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
	out += t / CELL * CELL_SIZE + t % CELL * 16;
	_mm512_storeu_si512(out, _mm512_permutex2var_epi16(even, low, odd));
	_mm512_storeu_si512(out + CELL_SIZE / 2, _mm512_permutex2var_epi16(even, high, odd));
}

INLINE void pairs(const void *const *row, const void *x, const int x16, vl_n xp, vl_n at, vl_n n, vl_n k, const int parts, vl_n apart, uint16_t *out) {
	for (vl_n t = 0; t < vl_cells(k) * CELL; t += 2) {
		__m512i v[2][3];
#pragma GCC unroll 2
		for (int i = 0; i < 2; i++) {
			const void *from = t + i >= k ? NULL : row ? row[t + i] : at_row(x, x16, (t + i) * xp);
			v[i][0] = v[i][1] = v[i][2] = _mm512_setzero_si512();
			if (from) take(from, x16, at, n, parts, v[i]);
		}
#pragma GCC unroll 3
		for (int p = 0; p < parts; p++) pair(v[0][p], v[1][p], t, out + p * apart);
	}
}

// What is taken is a constant in the loops.
#define BY_PARTS(call) \
	do { \
		if (x16) { enum { X16 = 1, PARTS = 1 }; call; } \
		else if (parts == 3) { enum { X16 = 0, PARTS = 3 }; call; } \
		else if (parts == 2) { enum { X16 = 0, PARTS = 2 }; call; } \
		else { enum { X16 = 0, PARTS = 1 }; call; } \
	} while (0)

void vl_cells_a(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {
	if (x16) rows(NULL, x, 1, xp, n, k, 1, 0, out);
	else rows(NULL, x, 0, xp, n, k, 1, 0, out);
}

void vl_cells_a_rows(const void *const *row, int x16, vl_n k, vl_n parts, vl_n apart, uint16_t *out) {
	BY_PARTS(rows(row, NULL, X16, 0, CELL, k, PARTS, apart, out));
}

void vl_cells_b(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {
	if (x16) pairs(NULL, x, 1, xp, 0, n, k, 1, 0, out);
	else pairs(NULL, x, 0, xp, 0, n, k, 1, 0, out);
}

void vl_cells_b_rows(const void *const *row, int x16, vl_n at, vl_n n, vl_n k, uint16_t *out) {
	if (x16) pairs(row, NULL, 1, 0, at, n, k, 1, 0, out);
	else pairs(row, NULL, 0, 0, at, n, k, 1, 0, out);
}

// A tile turned is one of the other factor.
static void turn_tiles(vl_n k, uint16_t *out) {
	for (vl_n t = 0; t < 2 * vl_cells(k); t++) turn_tile(out + t * CELL_SIZE / 2);
}

void vl_cells_a_turned(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {
	vl_cells_b(x, x16, xp, n, k, out);
	turn_tiles(k, out);
}

void vl_cells_b_turned(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {
	vl_cells_a(x, x16, xp, n, k, out);
	turn_tiles(k, out);
}

void vl_cells_b_parts(const float *x, int turned, vl_n xp, vl_n n, vl_n k, vl_n parts, vl_n apart, uint16_t *out) {
	const int x16 = 0;
	if (!turned) {
		BY_PARTS(pairs(NULL, x, X16, xp, 0, n, k, PARTS, apart, out));
		return;
	}
	BY_PARTS(rows(NULL, x, X16, xp, n, k, PARTS, apart, out));
	for (vl_n i = 0; i < parts; i++) turn_tiles(k, out + i * apart);
}

void vl_cells_b_turn(const uint16_t *cell, uint16_t *out) {
	for (int half = 0; half < 2; half++, cell += CELL_SIZE / 2) {
		__m512i r[16];
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(cell + i * CELL);
		turn(r); // a column's terms are a row
#pragma GCC unroll 8
		for (int i = 0; i < 16; i += 2) pair(r[i], r[i + 1], 16 * half + i, out);
	}
}

#else
int vl_has_cells(void) { return 0; }
int vl_has_tiles(void) { return 0; }
void vl_cells_without_tiles(int yes) {}
void vl_cells_begin(void) {}
void vl_cells_end(void) {}
void vl_cells_multiply(vl_n rows, vl_n cols, const uint16_t *a, const vl_cell_run *runs, vl_n n, vl_n j, float *c, const vl_cell_put *put, vl_cell_put *before) {}
void vl_cells_put(const vl_cell_put *put) {}
void vl_cells_turn(float *c) {}
void vl_cells_a(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {}
void vl_cells_a_rows(const void *const *row, int x16, vl_n k, vl_n parts, vl_n apart, uint16_t *out) {}
void vl_cells_a_turned(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {}
void vl_cells_b(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {}
void vl_cells_b_rows(const void *const *row, int x16, vl_n at, vl_n n, vl_n k, uint16_t *out) {}
void vl_cells_b_turned(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out) {}
void vl_cells_b_parts(const float *x, int turned, vl_n xp, vl_n n, vl_n k, vl_n parts, vl_n apart, uint16_t *out) {}
void vl_cells_b_turn(const uint16_t *cell, uint16_t *out) {}
#endif
