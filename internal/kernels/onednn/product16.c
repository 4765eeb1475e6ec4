//go:build onednn

// Own products in bfloat16, of cells: what product.c is in float32. A layer's
// adapter rides along in both halves: the columns that make h are one more panel,
// and h times the other factor is one more step.

#include "product16.h"
#include "taps.h"
#include "thread.h"
#include <pthread.h>
#include <unistd.h>

#if defined(__x86_64__)
#pragma GCC optimize("O3")
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")

#include "lanes.h"

enum {
	SOME = 384 << 10,      // bytes of rows that the panels stream past
	BLOCKS = 16,           // of 32 rows
	ROWS = BLOCKS * CELL,
	TERMS = 64,            // cells that a sum over rows takes at once
	PASS = 24,             // cells of terms in parts that one pass adds up,
	TURNED = 12,           // and of those that are turned for it: more rows share the work
	CACHED = 1 << 20       // bytes of a result that are still there when it is read
};

// A thin factor in float32 is the sum of two numbers of bf16, or of three as the
// other factors. h has the parts of its products with c as so many terms more. One
// step of 32 terms has room for the greater parts' product and both mixed ones up to
// rank 10, for one of these up to rank 16; two steps for the six of three parts up to
// rank 10. Where the layer's own factors are rounded c is like them, but not h: that
// would double the error of gradients far before it (TestBF16Gradients).
enum { PRODUCTS = 6 };
static const struct {
	uint8_t h, c;
} products[PRODUCTS] = {{0, 0}, {1, 0}, {0, 1}, {2, 0}, {1, 1}, {0, 2}};

static vl_n up_parts(vl_n parts, vl_n r) {
	if (parts > 2) return PRODUCTS * r <= 2 * CELL ? PRODUCTS : 1;
	return parts > 1 && 3 * r <= CELL ? 3 : 2 * r <= CELL ? 2 : 1;
}
static vl_n term_parts(const vl_factor *f) { return f->split == VL_SPLIT_TERMS ? up_parts(f->parts, f->k) : 1; }

// The factor that makes h has a part's columns apart from the last part's: in a
// product whose own factors have three parts, three in one panel or in two halves.
static vl_n down_parts(vl_n parts, vl_n r) { return parts > 2 ? 3 : 2 * r <= CELL ? 2 : 1; }
static vl_n apart(vl_n parts, vl_n r) { return down_parts(parts, r) > 1 && down_parts(parts, r) * r > CELL ? CELL / 2 : r; }
static vl_n down_width(vl_n parts, vl_n r) { return (down_parts(parts, r) - 1) * apart(parts, r) + r; }

// Whether h is a first factor like any other: in parts, where it is too wide for all
// their products to have room.
int vl_thin_in_parts(const vl_product *p) { return p->parts > 1 && up_parts(p->parts, p->r) < 3; }

// How many cells of terms h has.
static vl_n thin_steps(const vl_product *p) { return vl_thin_in_parts(p) ? p->parts * vl_cells(p->r) : vl_cells(p->r * up_parts(p->parts, p->r)); }

INLINE __m512 greater_part(__m512 v) { return vl_wide((__m256i)_mm512_cvtneps_pbh(v)); }

// part writes the greatest part of what i parts leave of n numbers.
INLINE void part(vl_n n, const float *x, vl_n i, float *y) {
	for (vl_n e = 0; e < n; e += 16) {
		__mmask16 m = vl_first(n - e);
		__m512 v = _mm512_maskz_loadu_ps(m, x + e);
		for (vl_n q = 0; q < i; q++) v = _mm512_sub_ps(v, greater_part(v));
		_mm512_mask_storeu_ps(y + e, m, greater_part(v));
	}
}

static vl_n steps(const vl_factor *f) { return f->taps / f->join * vl_cells(f->join * f->k * term_parts(f)); }

// parts_of is how often a panel has all its terms.
static vl_n parts_of(const vl_factor *f) { return f->split ? 1 : f->parts; }

static vl_n width(const vl_factor *f) { return f->split == VL_SPLIT_COLUMNS ? down_width(f->parts, f->n) : f->n; }

vl_n vl_packed_cells(const vl_factor *f) { return vl_cells(width(f)) * steps(f) * parts_of(f) * CELL_SIZE; }

// turned writes a panel's columns as rows of float32, with their parts.
static void turned(const vl_factor *f, const float *w, vl_n j, vl_n cols, float *out) {
	vl_n parts = term_parts(f), apart_by = f->split == VL_SPLIT_COLUMNS ? apart(f->parts, f->n) : f->n;
	for (vl_n c = 0; c < cols; c++) {
		vl_n own = (j + c) / apart_by, i = (j + c) % apart_by;
		const float *column = w + i * f->sn;
		if (i >= f->n) { // between parts
			vl_n n = f->taps * f->k;
			memset(out, 0, 4 * n), out += n;
			continue;
		}
		for (vl_n p = 0; p < parts; p++)
			for (vl_n t = 0; t < f->taps; t++, out += f->k) {
				const float *x = column + t * f->st;
				if (f->sk == 1 && !f->split) {
					memcpy(out, x, 4 * f->k);
					continue;
				}
				if (f->sk != 1)
					for (vl_n q = 0; q < f->k; q++) out[q] = x[q * f->sk];
				if (f->split) part(f->k, f->sk == 1 ? x : out, f->split == VL_SPLIT_COLUMNS ? own : products[p].c, out);
			}
	}
}

void vl_pack_cells(const vl_factor *f, const float *w, uint16_t *out) {
	vl_n all = width(f), each = f->taps / f->join, k = f->join * f->k * term_parts(f), cells = vl_cells(k) * CELL_SIZE;
	int plain = !f->split && f->join == 1, whole = plain && (f->sn == 1 || f->sk == 1);
	for (vl_n j = 0; j < all; j += CELL) {
		vl_n cols = all - j < CELL ? all - j : CELL;
		const float *from = w + j * f->sn;
		vl_n st = f->st, sn = f->sn;
		if (!whole) {
			float *rows = vl_room(4 * CELL * each * k);
			turned(f, w, j, cols, rows);
			from = rows, st = k, sn = each * k;
		}
		int rows = whole && f->sn == 1;
		for (vl_n t = 0; t < each; t++) vl_cells_b_parts(from + t * st, !rows, rows ? f->sk : sn, cols, k, parts_of(f), each * cells, out + t * cells);
		out += parts_of(f) * each * cells;
	}
}

typedef struct {
	const vl_product *p;
	const void *a;
	const uint16_t *b, *hb, *d;
	float *h;
	const float *bias;
	void *y;
} call;

// Rows that the panels stream past, in blocks of up to 32.
typedef struct {
	vl_n blocks, rows[BLOCKS];
	vl_n steps, step, all;        // of the first factor in this pass, its first one, and those of all passes
	uint16_t *turned;             // a panel of a second factor that lies turned, or NULL
	vl_n packed, cells;           // of a block, in a: those of the first factor, and with h
	uint16_t *a;
	const uint16_t *map[2][BLOCKS]; // where a block begins in the maps of a and h, if they are not packed
	float *h[ROWS];
	void *to[ROWS];
	vl_origin at[ROWS];
	int next; // the first factor's next rows lie behind the last of a block, and are to be asked for
	vl_n n, mapped[2], ahead; // runs; those in the maps of a and h; cells that the next one passes over
	vl_cell_run runs[2 * VL_TAPS];
	vl_share_of_product own; // what is made
} chunk;

static void add_run(chunk *k, vl_cell_run run) {
	run.skip += k->ahead, k->ahead = 0;
	k->runs[k->n++] = run;
}

// add_whole adds a factor whose parts follow each other: all steps of one, then those
// of the next. In a map they are a_part apart.
static void add_whole(chunk *k, vl_cell_run run, vl_n parts, vl_n a_part) {
	run.parts = parts, run.a_part = run.at ? a_part : run.steps * CELL_SIZE, run.b_part = run.panel, run.panel *= parts;
	add_run(k, run);
	if (!run.at) k->ahead = (parts - 1) * run.steps;
}

// fill divides rows into blocks, which are packed.
static void fill(chunk *k, vl_n rows) {
	for (k->blocks = 0; rows > 0; rows -= CELL) {
		k->map[0][k->blocks] = k->map[1][k->blocks] = NULL;
		k->rows[k->blocks++] = rows < CELL ? rows : CELL;
	}
}

// A row of r ≤ 16 numbers in float32, as the parts of it that follow each other in
// bf16.
typedef struct {
	__mmask16 r;
	struct {
		__mmask32 n;
		__m512i from; // of the 48 numbers of all parts
	} step[2];
} parts_order;

INLINE parts_order order(vl_n r, vl_n copies) {
	parts_order o = {vl_first(r)};
	vl_n n = copies > 1 ? copies * r : 0;
	for (vl_n s = 0; s < 2; s++, n -= CELL) {
		uint16_t from[CELL] = {0};
		for (vl_n i = 0; i < n && i < CELL; i++) from[i] = (s * CELL + i) % r + 16 * products[(s * CELL + i) / r].h;
		o.step[s].n = (__mmask32)vl_first(n - 16) << 16 | vl_first(n), o.step[s].from = _mm512_loadu_si512(from);
	}
	return o;
}

// parts_row writes a row's steps, each at its row of a cell.
INLINE void parts_row(__m512 v, const parts_order *o, vl_n steps, uint16_t *out) {
	__m512 lesser = _mm512_sub_ps(v, greater_part(v)), least = _mm512_sub_ps(lesser, greater_part(lesser));
	__m512i two = vl_narrow(v, lesser), third = vl_narrow(least, least);
	for (vl_n s = 0; s < steps; s++) _mm512_storeu_si512(out + s * CELL_SIZE, _mm512_maskz_permutex2var_epi16(o->step[s].n, two, o->step[s].from, third));
}

static int last_pass(const chunk *k) { return k->step + k->steps == k->all; }

// make_h is a·d for a block of rows, which the parts of both factors make of it.
static void make_h(const call *c, const chunk *k, vl_n block, const uint16_t *a, float *const *h) {
	const vl_product *p = c->p;
	vl_n r = p->r, parts = down_parts(p->parts, r), columns = down_width(p->parts, r), rows = k->rows[block];
	float s[2][CELL * CELL] __attribute__((aligned(64)));
	vl_cell_run run[3];
	for (vl_n i = 0; i < p->parts; i++) {
		run[i] = k->runs[0];
		run[i].b = c->d + k->step * CELL_SIZE, run[i].panel = k->all * CELL_SIZE, run[i].parts = 1, run[i].next = NULL;
		if (run[i].at) run[i].from = k->map[0][block] + i * run[i].a_part;
	}
	// The least part's columns of d in a tile of their own only meet a's greater part.
	int apart_least = parts == 3 && 2 * r <= CELL / 2;
	if (apart_least) {
		vl_cells_multiply(rows, CELL, a, run, 1, 0, s[0], NULL, NULL);
		vl_cells_multiply(rows, CELL / 2, a + run->steps * CELL_SIZE, run + 1, 2, 0, s[1], NULL, NULL);
		for (vl_n q = 0; q < rows; q++) _mm512_storeu_ps(s[0] + q * CELL, _mm512_add_ps(_mm512_loadu_ps(s[0] + q * CELL), _mm512_loadu_ps(s[1] + q * CELL)));
	}
	for (vl_n j = 0; !apart_least && j < vl_cells(columns); j++) {
		vl_n cols = columns - j * CELL < CELL ? columns - j * CELL : CELL;
		vl_cells_multiply(rows, cols, a, run, p->parts, j, s[j % 2], NULL, NULL);
		for (vl_n q = 0; parts == 1 && q < rows; q++)
			if (h[q]) memcpy(h[q] + j * CELL, s[j % 2] + q * CELL, 4 * cols);
	}
	for (vl_n q = 0; parts > 1 && q < rows; q++) {
		if (!h[q]) continue;
		__m512 v = k->step ? _mm512_maskz_loadu_ps(vl_first(r), h[q]) : _mm512_setzero_ps();
		for (vl_n i = parts - 1; i >= 0; i--) {
			vl_n at = i * apart(p->parts, r);
			v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(vl_first(r), s[at / CELL] + q * CELL + at % CELL));
		}
		_mm512_mask_storeu_ps(h[q], vl_first(r), v);
	}
}

// hidden makes h of a block, where it is made here, and its cells behind those of a.
static void hidden(const call *c, const chunk *k, vl_n i, const parts_order *o) {
	const vl_product *p = c->p;
	vl_n r = p->r, copies = up_parts(p->parts, r), steps = thin_steps(p), rows = k->rows[i];
	uint16_t *a = k->a + i * k->cells * CELL_SIZE, *cells = a + k->packed * CELL_SIZE;
	float *const *h = k->h + i * CELL;
	if (c->d) make_h(c, k, i, a, h);
	if (!last_pass(k)) return;
	if (copies == 1 || vl_thin_in_parts(p)) {
		const void *from[CELL];
		for (vl_n q = 0; q < CELL; q++) from[q] = q < rows ? h[q] : NULL;
		vl_cells_a_rows(from, 0, r, vl_thin_in_parts(p) ? p->parts : 1, vl_cells(r) * CELL_SIZE, cells);
		return;
	}
	for (vl_n q = 0; q < CELL; q++) parts_row(q < rows && h[q] ? _mm512_maskz_loadu_ps(o->r, h[q]) : _mm512_setzero_ps(), o, steps, cells + q * CELL);
}

// ahead asks for what will be read where a block's sums go: the lines lie too far
// apart for the processor to see them coming.
INLINE void ahead(const vl_product *p, int acc, const vl_finish *f, void *const *to, vl_n rows, vl_n at) {
	if (!acc && !f) return;
	for (vl_n q = 0; q < rows; q++) {
		const char *y = (const char *)to[q] + at;
		if (!to[q]) continue;
		for (vl_n line = 0; line < CELL * vl_bytes(p->y16); line += 64) {
			if (acc) _mm_prefetch(y + line, _MM_HINT_T0);
			if (f && f->add) _mm_prefetch(y + f->add + line, _MM_HINT_T0);
			if (f && f->mask) _mm_prefetch(y + f->mask + line, _MM_HINT_T0);
		}
	}
}

static vl_n own_cache, nearest; // bytes of a core's own, and of its nearest one
static pthread_once_t asked = PTHREAD_ONCE_INIT;

static void ask(void) {
	own_cache = sysconf(_SC_LEVEL2_CACHE_SIZE), nearest = sysconf(_SC_LEVEL1_DCACHE_SIZE);
	if (own_cache < SOME) own_cache = 1 << 20;
	if (nearest < 1) nearest = 32 << 10;
}

// The terms of a column of a panel, over all taps.
static vl_n terms_of(const vl_product *p) { return (p->window ? p->at.kh * p->at.kw : 1) * p->k; }

// stays tells whether a block of rows and its sums stay in the nearest cache while
// panels pass by. Windows of one line overlap where they slide.
static int stays(const vl_product *p) {
	pthread_once(&asked, ask);
	return 2 * terms_of(p) / (vl_slides(p) ? p->at.kw : 1) * CELL * p->parts <= nearest * 5 / 8;
}

// fits tells whether all panels stay in a core's own cache. Then they pass by every
// block, so that its rows are written from their beginning to their end; else a panel
// in the nearest cache passes by all blocks.
static int fits(const vl_product *p) {
	pthread_once(&asked, ask);
	return 2 * terms_of(p) * p->n * p->parts <= (stays(p) ? own_cache * 3 / 4 : own_cache / 2);
}

// fetch asks for some rows that are read next: at once where they are few lines, else bit by
// bit while this run is.
static inline void fetch(const vl_product *p, vl_cell_run *run, const uint16_t *rows, vl_n from, vl_n to) {
	enum { FEW = 16 };
	int few = (to - from) * vl_cells(p->k) <= FEW;
	run->next = few ? NULL : rows, run->next_from = from, run->next_to = to;
	for (; few && from < to; from++)
		for (vl_n i = 0; i < p->k; i += CELL) _mm_prefetch(rows + from * p->lda + i, _MM_HINT_T0);
}

// turn makes panel j of this pass.
static void turn(const call *c, const chunk *k, vl_n j) {
	vl_n parts = c->p->parts, steps = vl_cells(c->p->n);
	for (vl_n q = 0; q < parts; q++)
		for (vl_n i = 0; i < k->steps; i++)
			vl_cells_b_turn(c->b + (((k->step + i) * parts + q) * steps + j) * CELL_SIZE, k->turned + (q * k->steps + i) * CELL_SIZE);
}

// flush multiplies a chunk by its panels. Where all of them pass by a block, the next one's
// rows are asked for meanwhile: the processor would only ask for them when the first panel
// comes to them.
static void flush(const call *c, chunk *k) {
	const vl_product *p = c->p;
	float s[2][CELL * CELL] __attribute__((aligned(64)));
	vl_n size = p->y16 ? 2 : 4;
	vl_cell_put last = {.rows = 0};
	int flip = 0, along = !k->turned && fits(p), acc = p->acc || k->step, past = !acc && last_pass(k) && p->m * p->n * size > (p->finish.add ? 4 * CACHED : CACHED);
	const vl_finish *finish = last_pass(k) && vl_finishes(&p->finish) ? &p->finish : NULL;
	const float *bias = k->step ? NULL : c->bias;
	vl_n panels = k->own.panels_end - k->own.panel;
	int passing = along && stays(p), thin = p->r && !p->wide;
	parts_order o;
	if (thin) o = order(p->r, up_parts(p->parts, p->r));
	if (thin && !along)
		for (vl_n i = 0; i < k->blocks; i++) hidden(c, k, i, &o);
	for (vl_n q = 0; q < k->n; q++) k->runs[q].passing = passing;
	for (vl_n u = 0; u < panels * k->blocks; u++, flip ^= 1) {
		vl_n i = along ? u / panels : u % k->blocks, j = k->own.panel + (along ? u % panels : u / k->blocks);
		vl_n rows = k->rows[i], cols = p->n - j * CELL < CELL ? p->n - j * CELL : CELL;
		if (k->turned && i == 0) turn(c, k, j);
		if (thin && along && u % panels == 0) hidden(c, k, i, &o);
		for (vl_n q = 0; q < k->mapped[0] + k->mapped[1]; q++) k->runs[q].from = k->map[q >= k->mapped[0]][i];
		if (along && k->next) fetch(p, k->runs, k->map[0][i] + CELL * p->lda, CELL * (u % panels) / panels, CELL * (u % panels + 1) / panels);
		ahead(p, acc, finish, k->to + i * CELL, rows, j * CELL * size);
		vl_cell_put put = {s[flip], bias ? bias + j * CELL : NULL, rows, cols, j * CELL * size, acc, p->y16, past, k->to + i * CELL, finish};
		vl_cells_multiply(rows, cols, k->a + i * k->cells * CELL_SIZE, k->runs, k->n, j, s[flip], &put, &last);
	}
	if (last.rows) vl_cells_put(&last);
}

// Bytes of rows at a time. Panels that do not stay in a core's own cache come from
// beyond it for each of these times: then rows take most of it.
static vl_n bytes_of_rows(vl_n k, vl_n n, vl_n parts) {
	pthread_once(&asked, ask);
	vl_n most = own_cache / 8 * (parts > 1 ? 3 : 5);
	return 2 * k * n * parts < own_cache / 2 || most < SOME ? SOME : most;
}

// Rows at a time: whole blocks, as equal as can be.
static vl_n rows_of(vl_n m, vl_n cells, vl_n bytes) {
	vl_n most = bytes / (cells * CELL_SIZE * 2), all = (m + CELL - 1) / CELL;
	most = most < 1 ? 1 : most > BLOCKS ? BLOCKS : most;
	vl_n chunks = (all + most - 1) / most;
	return chunks ? (all + chunks - 1) / chunks * CELL : CELL;
}

// add_thin adds the step of h, behind the cells of a.
static void add_thin(const call *c, chunk *k) {
	const vl_product *p = c->p;
	vl_n thin = thin_steps(p);
	if (!p->r) return;
	vl_n parts = vl_thin_in_parts(p) ? p->parts : 1, each = thin / parts;
	vl_n terms = parts > 1 ? p->r : p->r * up_parts(p->parts, p->r);
	add_whole(k, (vl_cell_run){c->hb, each, each * CELL_SIZE, .terms = terms % CELL}, parts, 0);
}

// Whether a first factor is taken from where it lies: whole cells of terms, on whole
// cache lines.
static int lies(const vl_product *p, const void *a) { return p->a16 && p->k % CELL == 0 && p->lda % CELL == 0 && (size_t)a % 64 == 0 && !vl_crowds(2 * p->lda); }

static void multiply(void *arg, int part, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	vl_n own = vl_cells(p->k), thin = thin_steps(p), size = p->a16 ? 2 : 4;
	int direct = lies(p, c->a);
	chunk k;
	k.mapped[0] = direct, k.mapped[1] = 0, k.next = direct && !vl_has_tiles();
	k.own = vl_share_of(p, p->m, CELL, vl_cells(p->n), part, parts);
	// Rows in parts are long: passes over their terms leave room for more of them.
	vl_n pass = p->turned ? TURNED : PASS, passes = p->parts > 1 ? (own + pass - 1) / pass : 1, each = passes ? (own + passes - 1) / passes : 0;
	vl_n from = k.own.row, end = k.own.rows_end;
	vl_n most = rows_of(end - from, each * p->parts + thin, bytes_of_rows(p->k, p->n, p->parts));
	k.all = own, k.cells = (direct ? 0 : each * p->parts) + thin;
	// Rows that are missing of the last block are not read where they would lie.
	vl_n tail = direct ? p->lda * CELL * 2 : 0;
	vl_n turned = p->turned ? each * p->parts * CELL_SIZE * 2 : 0;
	char *space = vl_room(tail + turned + most * k.cells * CELL * 2 + own * sizeof(vl_n));
	uint16_t *last = (uint16_t *)space;
	k.turned = turned ? (uint16_t *)(space + tail) : NULL;
	k.a = (uint16_t *)(space + tail + turned);
	vl_n *at = (vl_n *)(space + tail + turned + most * k.cells * CELL * 2);
	for (vl_n i = 0; i < own; i++) at[i] = i * CELL;
	vl_cells_begin();
	for (vl_n i0 = from; i0 < end; i0 += most) {
		vl_n rows = end - i0 < most ? end - i0 : most;
		fill(&k, rows);
		for (vl_n i = 0; i < rows; i++) {
			k.to[i] = (char *)c->y + (i0 + i) * p->ldy * (p->y16 ? 2 : 4);
			if (thin) k.h[i] = c->h + (i0 + i) * p->ldh;
		}
		for (k.step = 0; k.step < own; k.step += each) {
			k.n = k.ahead = 0, k.steps = own - k.step < each ? own - k.step : each, k.packed = direct ? 0 : k.steps * p->parts;
			vl_n terms = p->k - k.step * CELL < k.steps * CELL ? p->k - k.step * CELL : k.steps * CELL;
			add_whole(&k, (vl_cell_run){c->b + k.step * CELL_SIZE, k.steps, own * CELL_SIZE, NULL, direct ? at : NULL, p->lda, .terms = terms % CELL}, p->parts, 0);
			if (turned) k.runs[0].b = k.turned, k.runs[0].panel = 0, k.runs[0].b_part = k.steps * CELL_SIZE;
			if (last_pass(&k)) add_thin(c, &k);
			for (vl_n i = 0; i < k.blocks; i++) {
				const char *a = (const char *)c->a + ((i0 + i * CELL) * p->lda + k.step * CELL) * size;
				if (!direct) {
					const void *row[CELL];
					for (vl_n q = 0; q < CELL; q++) row[q] = q < k.rows[i] ? a + q * p->lda * size : NULL;
					vl_cells_a_rows(row, p->a16, terms, p->parts, k.steps * CELL_SIZE, k.a + i * k.cells * CELL_SIZE);
				} else if (k.rows[i] == CELL) k.map[0][i] = (const uint16_t *)a;
				else k.map[0][i] = memcpy(last, a, ((k.rows[i] - 1) * p->lda + p->k) * 2);
			}
			flush(c, &k);
		}
	}
	vl_cells_end();
}

// A map that windows read: all of a tap's terms in cells of its own, or joined the
// terms of all taps in a row.
typedef struct {
	const char *x;
	int x16, joined;
	vl_n ld, k;
} map;

static vl_n map_terms(const map *m, vl_n taps) { return (m->joined ? taps * m->k : m->k) % CELL; }
static vl_n map_steps(const map *m, vl_n taps) { return m->joined ? vl_cells(taps * m->k) : taps * vl_cells(m->k); }

// join copies the terms of all taps of a row behind each other.
static void join(const vl_window *w, const vl_origin *at, const vl_phase *f, const map *m, char *to) {
	vl_n pixel = m->k * vl_bytes(m->x16), ld = m->ld * vl_bytes(m->x16);
	// A line of a window that lies inside the map is one piece.
	int line = !w->backward && w->dw == 1 && m->ld == m->k && at->x >= 0 && at->x + w->kw <= w->w;
	for (vl_n t = 0; t < f->n; t += line ? w->kw : 1) {
		vl_n x = vl_pixel_of(w, at, f->tap + t), n = line ? w->kw * pixel : pixel;
		if (x < 0) memset(to + t * pixel, 0, n);
		else memcpy(to + t * pixel, m->x + x * ld, n);
	}
}

// windows packs those of a block. What is joined first lies behind its cells, where
// nothing is yet.
static void windows(const vl_window *w, const chunk *k, vl_n i, const vl_phase *f, const map *m, vl_n parts, uint16_t *out) {
	vl_n size = vl_bytes(m->x16), apart = map_steps(m, f->n) * CELL_SIZE;
	const void *row[CELL];
	const vl_origin *at = k->at + i * CELL;
	if (m->joined) {
		char *joined = (char *)(out + parts * apart);
		for (vl_n q = 0; q < CELL; q++) {
			row[q] = q < k->rows[i] ? joined + q * f->n * m->k * size : NULL;
			if (row[q]) join(w, at + q, f, m, (char *)row[q]);
		}
		vl_cells_a_rows(row, m->x16, f->n * m->k, parts, apart, out);
		return;
	}
	for (vl_n t = 0; t < f->n; t++) {
		for (vl_n q = 0; q < CELL; q++) {
			vl_n x = q < k->rows[i] ? vl_pixel_of(w, at + q, f->tap + t) : -1;
			row[q] = x < 0 ? NULL : m->x + x * m->ld * size;
		}
		vl_cells_a_rows(row, m->x16, m->k, parts, apart, out + t * vl_cells(m->k) * CELL_SIZE);
	}
}

// steps_of lists a factor's cells at the taps of a phase. Without a stride they all
// follow each other.
static void steps_of(chunk *k, const vl_phase *f, vl_n all, const map *m, const uint16_t *b, vl_n parts) {
	vl_n steps = map_steps(m, all), panel = steps * CELL_SIZE, each = vl_cells(m->k), own = map_steps(m, f->n);
	if (f->n == all) {
		add_whole(k, (vl_cell_run){b, steps, panel, .terms = map_terms(m, all)}, parts, 0);
		return;
	}
	for (vl_n t = 0; t < f->n; t++) add_run(k, (vl_cell_run){b + f->tap[t].tap * each * CELL_SIZE, each, panel * parts, .parts = parts, .a_part = own * CELL_SIZE, .b_part = panel});
	k->ahead = (parts - 1) * own;
}

static void convolve(void *arg, int at, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	const vl_window *w = &p->at;
	map a = {c->a, p->a16, p->join > 1, p->lda, p->k}, h = {(const char *)c->h, 0, vl_phases(w) == 1, p->ldh, p->r};
	vl_n pictures = p->m / (w->oh * w->ow), all = w->kh * w->kw, pixel[ROWS];
	int wide = p->r && p->wide;
	vl_phase f;
	chunk k;
	k.next = 0, k.turned = NULL, k.mapped[0] = k.mapped[1] = 0;
	vl_cells_begin();
	for (vl_n phase = 0; phase < vl_phases(w); phase++) {
		vl_phase_of(w, phase, &f);
		vl_n own = map_steps(&a, f.n), thin = wide ? p->parts * map_steps(&h, f.n) : thin_steps(p), m = pictures * f.oh * f.ow;
		k.step = 0, k.steps = k.all = own, k.packed = p->parts * own, k.cells = k.packed + thin, k.n = k.ahead = 0;
		steps_of(&k, &f, all, &a, c->b, p->parts);
		if (wide) steps_of(&k, &f, all, &h, c->hb, p->parts);
		else add_thin(c, &k);
		k.own = vl_share_of(p, m, CELL, vl_cells(p->n), at, parts);
		vl_n from = k.own.row, end = k.own.rows_end, most = rows_of(end - from, k.cells + 1, bytes_of_rows(f.n * p->k, p->n, p->parts));
		// Joined terms may be float32: two blocks more.
		k.a = vl_room((most + 2 * CELL) * (k.cells + 1) * CELL * 2);
		for (vl_n i0 = from; i0 < end; i0 += most) {
			vl_n rows = end - i0 < most ? end - i0 : most;
			fill(&k, rows);
			vl_rows_of(w, &f, i0, rows, k.at, pixel);
			for (vl_n i = 0; i < rows; i++) {
				k.to[i] = (char *)c->y + pixel[i] * p->ldy * (p->y16 ? 2 : 4);
				if (thin && !wide) k.h[i] = c->h + pixel[i] * p->ldh;
			}
			for (vl_n i = 0; i < k.blocks; i++) {
				uint16_t *to = k.a + i * k.cells * CELL_SIZE;
				windows(w, &k, i, &f, &a, p->parts, to);
				if (wide) windows(w, &k, i, &f, &h, p->parts, to + k.packed * CELL_SIZE);
			}
			flush(c, &k);
		}
	}
	vl_cells_end();
}

// Without a stride a window's pixels move on as the row does, so that a map in bf16
// with a border of zeros holds every tap's cells as they are: only the border is
// made, and rows that reach from one line into the next are left out. Tiles make these
// for nothing; without tiles they take longer than packing.
int vl_slides(const vl_product *p) {
	const vl_window *w = &p->at;
	return p->window && vl_has_tiles() && p->join == 1 && p->k % CELL == 0 && w->sh * w->sw == 1;
}

// A strip of lines of one picture with its border.
typedef struct {
	vl_n picture, y, lines; // that are written
	uint16_t *a, *h;
} strip;

enum { STRIPS = 16 };

typedef struct {
	vl_n line, above;           // of the map with its border: pixels, and lines more than are written
	vl_n y0, x0;                // of the map at the border's corner
	vl_n wide;                  // numbers in a pixel of h's map, which holds those of a window's line
	vl_n whole;                 // pixels of a strip's map: so far behind it is that of its next part
} border;

// map_of copies the lines that a strip reads of a, or parts of them.
INLINE void map_of(const call *c, const border *b, const strip *t, const int a16, const int parts) {
	const vl_product *p = c->p;
	const vl_window *w = &p->at;
	vl_n k = p->k, line = b->line * k, apart = b->whole * k, ld = p->lda * vl_bytes(a16);
	uint16_t *to = t->a;
	for (vl_n y = 0; y < t->lines + b->above; y++, to += line) {
		vl_n sy = t->y + y + b->y0, from = b->x0 < 0 ? -b->x0 : 0, sx = b->x0 + from, n = b->line - from < w->w - sx ? b->line - from : w->w - sx;
		int there = sy >= 0 && sy < w->h && n > 0;
		vl_n before = there ? from * k : line, end = there ? (from + n) * k : line;
		for (vl_n q = 0; q < parts; q++) {
			memset(to + q * apart, 0, before * 2);
			memset(to + q * apart + end, 0, (line - end) * 2);
		}
		vl_n each = p->lda == k ? n * k : k;
		const char *x = (const char *)c->a + ((t->picture * w->h + sy) * w->w + sx) * ld;
		for (uint16_t *pixel = to + before; pixel < to + end; pixel += each, x += ld) {
			if (a16) {
				memcpy(pixel, x, each * 2);
				continue;
			}
			for (vl_n i = 0; i < each; i += CELL) {
				__m512i v[3];
				vl_split(_mm512_loadu_ps((const float *)x + i), _mm512_loadu_ps((const float *)x + i + 16), parts, v);
#pragma GCC unroll 3
				for (int q = 0; q < parts; q++) _mm512_storeu_si512(pixel + q * apart + i, v[q]);
			}
		}
	}
}

// bordered copies what a strip reads.
static void bordered(const call *c, const border *b, const strip *t) {
	const vl_product *p = c->p;
	const vl_window *w = &p->at;
	if (p->a16) map_of(c, b, t, 1, 1);
	else if (p->parts == 2) map_of(c, b, t, 0, 2);
	else map_of(c, b, t, 0, 1);
	if (!t->h) return;
	// Every pixel of h goes to the places where windows read it.
	vl_n bytes = (t->lines + b->above) * b->line * b->wide * 2, apart = b->whole * b->wide;
	for (vl_n i = 0; i < p->parts; i++) memset(t->h + i * apart, 0, bytes);
	for (vl_n y = 0; y < t->lines + b->above; y++) {
		vl_n sy = t->y + y + b->y0;
		for (vl_n sx = 0; sy >= 0 && sy < w->h && sx < w->w; sx++) {
			const float *h = c->h + ((t->picture * w->h + sy) * w->w + sx) * p->ldh;
			for (vl_n kx = 0; kx < w->kw; kx++) {
				vl_n x = sx - b->x0 - (w->kw - 1 - kx) * w->dw;
				if (x < 0 || x >= b->line) continue;
				vl_n to = (y * b->line + x) * b->wide + kx * p->r;
				for (vl_n i = 0; i < p->r; i += 16) {
					__mmask16 m = vl_first(p->r - i);
					__m512 v = _mm512_maskz_loadu_ps(m, h + i);
					for (vl_n q = 0; q < p->parts; q++, v = _mm512_sub_ps(v, greater_part(v)))
						_mm256_mask_storeu_epi16(t->h + q * apart + to + i, m, (__m256i)_mm512_cvtneps_pbh(v));
				}
			}
		}
	}
}

static void slide(void *arg, int part, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	const vl_window *w = &p->at;
	int wide = p->r && p->wide, back = w->backward;
	vl_n taps = w->kh * w->kw, each = vl_cells(p->k), lines = p->m / w->ow, thin = wide ? 0 : thin_steps(p);
	border b = {.line = w->ow + (w->kw - 1) * w->dw, .above = (w->kh - 1) * w->dh, .wide = wide ? vl_cells(w->kw * p->r) * CELL : 0};
	b.y0 = back ? w->pt - b.above : -w->pt, b.x0 = back ? w->pl - (w->kw - 1) * w->dw : -w->pl;
	// As many lines at a time as stay in the cache, of several pictures where they are
	// small. A tile reads up to 31 pixels beyond the last row.
	vl_n pixel = (p->k + b.wide) * p->parts, bytes = bytes_of_rows(taps * p->k, p->n, p->parts), most = bytes / (b.line * pixel * 2) - b.above;
	most = most < 1 ? 1 : most > w->oh ? w->oh : most;
	b.whole = (most + b.above) * b.line + CELL;
	vl_n fit = bytes / (b.whole * pixel * 2);
	fit = fit < 1 ? 1 : fit > STRIPS ? STRIPS : fit;
	// Where steps begin in the maps of a and h.
	vl_n steps[2] = {taps * each, w->kh * b.wide / CELL}, size = fit * b.whole * pixel * 2 + BLOCKS * thin * CELL_SIZE * 2;
	char *space = vl_room(size + (steps[0] + steps[1]) * sizeof(vl_n));
	uint16_t *room = (uint16_t *)space;
	vl_n *at[2] = {(vl_n *)(space + size), (vl_n *)(space + size) + steps[0]};
	for (vl_n ky = 0; ky < w->kh; ky++) {
		vl_n y = (back ? w->kh - 1 - ky : ky) * w->dh;
		for (vl_n kx = 0; kx < w->kw; kx++)
			for (vl_n i = 0; i < each; i++) at[0][(ky * w->kw + kx) * each + i] = (y * b.line + (back ? w->kw - 1 - kx : kx) * w->dw) * p->k + i * CELL;
		for (vl_n i = 0; i < b.wide / CELL; i++) at[1][ky * (b.wide / CELL) + i] = y * b.line * b.wide + i * CELL;
	}
	chunk k;
	k.next = 0, k.turned = NULL, k.n = k.ahead = k.packed = k.step = 0, k.steps = k.all = steps[0], k.cells = thin, k.a = room + fit * b.whole * pixel;
	add_whole(&k, (vl_cell_run){c->b, steps[0], steps[0] * CELL_SIZE, NULL, at[0], p->k}, p->parts, b.whole * p->k);
	k.mapped[0] = k.n;
	if (wide) add_whole(&k, (vl_cell_run){c->hb, steps[1], steps[1] * CELL_SIZE, NULL, at[1], b.wide}, p->parts, b.whole * b.wide);
	else add_thin(c, &k);
	k.mapped[1] = wide ? k.n - k.mapped[0] : 0;
	strip s[STRIPS];
	k.own = vl_share_of(p, lines, 1, vl_cells(p->n), part, parts);
	vl_cells_begin();
	for (vl_n l = k.own.row, end = k.own.rows_end; l < end;) {
		vl_n n = 0;
		for (; n < fit && l < end; n++, l += s[n - 1].lines) {
			vl_n y = l % w->oh, here = w->oh - y < end - l ? w->oh - y : end - l;
			uint16_t *to = room + n * b.whole * pixel;
			s[n] = (strip){l / w->oh, y, here < most ? here : most, to, wide ? to + b.whole * p->k * p->parts : NULL};
			bordered(c, &b, s + n);
		}
		k.blocks = 0;
		for (vl_n i = 0; i < n; i++) {
			vl_n rows = s[i].lines * b.line - (b.line - w->ow);
			for (vl_n m = 0; m < rows; m += CELL) {
				vl_n f = k.blocks++;
				k.rows[f] = rows - m < CELL ? rows - m : CELL;
				k.map[0][f] = s[i].a + m * p->k, k.map[1][f] = s[i].h + m * b.wide;
				vl_n x = m % b.line, line = (s[i].picture * w->oh + s[i].y + m / b.line) * w->ow;
				for (vl_n q = 0; q < k.rows[f]; q++, x++) {
					if (x == b.line) x = 0, line += w->ow;
					vl_n to = line + x;
					int inside = x < w->ow;
					k.to[f * CELL + q] = inside ? (char *)c->y + to * p->ldy * (p->y16 ? 2 : 4) : NULL;
					k.h[f * CELL + q] = inside && thin ? c->h + to * p->ldh : NULL;
				}
				if (k.blocks < BLOCKS && (m + CELL < rows || i + 1 < n)) continue;
				flush(c, &k);
				k.blocks = 0;
			}
		}
	}
	vl_cells_end();
}

// With few channels, as of a picture, a line of a window has room in one step: its
// terms follow each other in the map, and tiles take them from there, the windows of
// a line overlapping as they do. What a step reads behind them meets zeros.
int vl_steps_are_lines(const vl_product *p) {
	const vl_window *w = &p->at;
	return p->window && !w->backward && p->parts == 1 && p->lda == p->k && w->dw == 1 && w->kw * p->k <= CELL && w->kw > 1;
}

static void lines(void *arg, int part, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	const vl_window *w = &p->at;
	// Of a strip: pixels in a line, the lines of a result and of the map.
	vl_n thin = thin_steps(p), line = (w->ow - 1) * w->sw + w->kw, size = vl_bytes(p->a16);
	vl_n right = line - w->pl < w->w ? line - w->pl : w->w; // pixels of the map that are read
	if (line < w->pl + right) line = w->pl + right;
	vl_n width = line * p->k, above = (w->kh - 1) * w->dh + 1, most = (SOME / (2 * width) - above) / w->sh + 1;
	most = most < 1 ? 1 : most > w->oh ? w->oh : most;
	vl_n behind = CELL * w->sw * p->k + CELL, map = ((most - 1) * w->sh + above) * width + behind, bytes = vl_aligned(2 * map);
	char *space = vl_room(bytes + BLOCKS * thin * CELL_SIZE * 2);
	uint16_t *strip = (uint16_t *)space;
	vl_n at[VL_TAPS];
	for (vl_n ky = 0; ky < w->kh; ky++) at[ky] = ky * w->dh * width;
	chunk k;
	k.next = 0, k.turned = NULL, k.n = k.ahead = k.packed = k.step = 0, k.steps = k.all = w->kh, k.cells = thin, k.a = (uint16_t *)(space + bytes);
	add_whole(&k, (vl_cell_run){c->b, w->kh, w->kh * CELL_SIZE, NULL, at, w->sw * p->k, .terms = w->kw * p->k, .every = 1}, 1, 0);
	k.mapped[0] = 1, k.mapped[1] = 0;
	add_thin(c, &k);
	k.own = vl_share_of(p, p->m / w->ow, 1, vl_cells(p->n), part, parts);
	vl_cells_begin();
	for (vl_n l = k.own.row, end = k.own.rows_end, n; l < end; l += n) {
		vl_n picture = l / w->oh, y0 = l % w->oh;
		n = w->oh - y0 < end - l ? w->oh - y0 : end - l;
		n = n < most ? n : most;
		memset(strip, 0, 2 * map);
		for (vl_n i = 0; i < (n - 1) * w->sh + above; i++) {
			vl_n y = y0 * w->sh - w->pt + i;
			if (y < 0 || y >= w->h) continue;
			uint16_t *to = strip + i * width + w->pl * p->k;
			const char *x = (const char *)c->a + (picture * w->h + y) * w->w * p->k * size;
			if (p->a16) memcpy(to, x, 2 * right * p->k);
			else
				for (vl_n q = 0; q < right * p->k; q += 16) {
					__mmask16 m = vl_first(right * p->k - q);
					_mm256_mask_storeu_epi16(to + q, m, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(m, (const float *)x + q)));
				}
		}
		k.blocks = 0;
		for (vl_n y = 0; y < n; y++)
			for (vl_n x = 0; x < w->ow; x += CELL) {
				vl_n f = k.blocks++, first = (l + y) * w->ow + x;
				k.rows[f] = w->ow - x < CELL ? w->ow - x : CELL;
				k.map[0][f] = strip + y * w->sh * width + x * w->sw * p->k;
				for (vl_n q = 0; q < k.rows[f]; q++) {
					k.to[f * CELL + q] = (char *)c->y + (first + q) * p->ldy * (p->y16 ? 2 : 4);
					k.h[f * CELL + q] = thin ? c->h + (first + q) * p->ldh : NULL;
				}
				if (k.blocks < BLOCKS && (x + CELL < w->ow || y + 1 < n)) continue;
				flush(c, &k);
				k.blocks = 0;
			}
	}
	vl_cells_end();
}

void vl_multiply16(const vl_product *p, const void *a, const uint16_t *b, float *h, const uint16_t *hb, const uint16_t *d, const float *bias, void *y) {
	call c = {p, a, b, hb, d, h, bias, y};
	vl_task task = !p->window ? multiply : vl_slides(p) ? slide : vl_steps_are_lines(p) ? lines : convolve;
	if (p->m * p->n * (p->k + p->r) < 1000000) task(&c, 0, 1);
	else vl_deal(task, &c);
}

typedef struct {
	const vl_row_sum *p;
	const void *a, *b;
	float *y;
} sum_call;

// A side of such a sum: its rows, and how many columns they have.
typedef struct {
	const char *x;
	int x16;
	vl_n n, ld;
} side;

// give adds one panel's sums to y, or writes them: h rows from row i on, which are
// columns where turn.
static void give(const sum_call *c, const float *s, vl_n h, vl_n i, vl_n j, vl_n cols, vl_n tap, int turn, int acc) {
	const vl_row_sum *p = c->p;
	vl_n taps = p->window ? p->at.kh * p->at.kw : 1;
	if (!turn && taps == 1) {
		void *to[CELL];
		for (vl_n q = 0; q < h; q++) to[q] = c->y + (i + q) * p->ldy;
		vl_cell_put put = {s, NULL, h, cols, 4 * j, acc, 0, 0, to, NULL};
		vl_cells_put(&put);
		return;
	}
	for (vl_n q = 0; q < h; q++) {
		float *y = turn ? c->y + j * p->ldy + i + q : c->y + (i + q) * p->ldy + j * taps + tap;
		vl_n step = turn ? p->ldy : taps;
		for (vl_n e = 0; e < cols; e++) y[e * step] = s[q * CELL + e] + (acc ? y[e * step] : 0);
	}
}

// fold adds the sums of n rows' lesser parts, which lie below, to those of the greater.
static void fold(float *s, vl_n n, vl_n rows, vl_n copies) {
	for (vl_n q = 0; copies > 1 && q < rows; q++)
		for (vl_n e = 0; e < CELL; e++) s[q * CELL + e] += s[(n + q) * CELL + e];
}

// The side with fewer columns is packed once, as rows; the other passes by, a panel
// of columns at a time, at every tap of a window.
static void sum_rows(void *arg, int at, int parts) {
	const sum_call *c = arg;
	const vl_row_sum *p = c->p;
	side few = {c->a, p->a16, p->m, p->lda}, many = {c->b, p->b16, p->n, p->ldb};
	int turn = !p->window && (!p->b16 || p->a16 && p->n < p->m); // y is made turned
	if (turn) {
		side swap = few;
		few = many, many = swap;
	}
	vl_n copies = few.x16 ? 1 : down_parts(1, few.n), wide = copies * few.n, most = p->k < TERMS * CELL ? p->k : TERMS * CELL, cells = vl_cells(most);
	uint16_t *rows = vl_room((vl_cells(wide) + 2) * cells * CELL_SIZE * 2), *panel = rows + vl_cells(wide) * cells * CELL_SIZE, *split = panel + cells * CELL_SIZE;
	float s[CELL * CELL] __attribute__((aligned(64)));
	parts_order o = order(few.n, copies);
	vl_phase f = {.n = 1};
	if (p->window) vl_phase_of(&p->at, 0, &f);
	vl_n panels = vl_cells(many.n), all = f.n * panels, pixel[TERMS * CELL];
	vl_origin origin[TERMS * CELL];
	const void *row[TERMS * CELL];
	vl_cells_begin();
	for (vl_n k0 = 0; k0 < p->k; k0 += most) {
		vl_n k = p->k - k0 < most ? p->k - k0 : most;
		side from = few;
		from.x += k0 * few.ld * (few.x16 ? 2 : 4);
		if (copies > 1) {
			for (vl_n i = 0; i < k; i++) parts_row(_mm512_maskz_loadu_ps(o.r, (const float *)from.x + i * few.ld), &o, 1, split + i * CELL);
			from = (side){(const char *)split, 1, wide, CELL};
		}
		for (vl_n i = 0; i < wide; i += CELL)
			vl_cells_a_turned(from.x + i * (from.x16 ? 2 : 4), from.x16, from.ld, wide - i < CELL ? wide - i : CELL, k, rows + i / CELL * cells * CELL_SIZE);
		if (p->window) vl_rows_of(&p->at, &f, k0, k, origin, pixel);
		vl_cell_run run = {panel, vl_cells(k), 0};
		vl_n size = many.x16 ? 2 : 4, last = -1;
		for (vl_n u = vl_from(all, 1, at, parts), end = vl_from(all, 1, at + 1, parts); u < end; u++) {
			vl_n tap = u / panels, j = u % panels * CELL, cols = many.n - j < CELL ? many.n - j : CELL;
			if (!p->window) {
				vl_cells_b(many.x + (k0 * many.ld + j) * size, many.x16, many.ld, cols, k, panel);
			} else {
				for (vl_n i = 0; tap != last && i < k; i++) {
					vl_n x = vl_pixel_of(&p->at, origin + i, f.tap + tap);
					row[i] = x < 0 ? NULL : many.x + x * many.ld * size;
				}
				last = tap;
				vl_cells_b_rows(row, many.x16, j, cols, k, panel);
			}
			for (vl_n i = 0; i < few.n; i += CELL) {
				vl_n here = few.n - i < CELL ? few.n - i : CELL;
				vl_cells_multiply(here * copies, cols, rows + i / CELL * cells * CELL_SIZE, &run, 1, 0, s, NULL, NULL);
				fold(s, few.n, here, copies);
				give(c, s, here, i, j, cols, tap, turn, p->acc || k0);
			}
		}
	}
	vl_cells_end();
}

// A thin side in float32 pairs with a map in bf16 by vectors: so few columns leave
// tiles empty, and what they need turned costs more than the products. The map's
// even and odd columns are widened apart. Rows that stay in the near cache pass 32
// columns at a time; part of the sums are kept meanwhile.
enum { THIN = 8, NEAR = 128 << 10 };

typedef struct {
	const float *few;
	const char *many;
	vl_n ldf, ldm; // in floats, and in bytes
} thin_rows;

// thin_sums adds up rows at r ≤ THIN columns and 32 of the map, of which n are there.
INLINE void thin_sums(const int r, const int whole, const thin_rows *t, vl_n rows, vl_n n, float *sums, int begins) {
	const __m512i odd = _mm512_set1_epi32(0xffff0000);
	const __mmask32 m = (__mmask32)vl_first(n - 16) << 16 | vl_first(n);
	__m512 s[THIN][2];
#pragma GCC unroll 8
	for (int i = 0; i < r; i++) {
		s[i][0] = begins ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + i * CELL);
		s[i][1] = begins ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + i * CELL + 16);
	}
	const float *f = t->few;
	const char *x = t->many;
	for (; rows > 0; rows--, f += t->ldf, x += t->ldm) {
		_mm_prefetch(x + 128, _MM_HINT_T0);
		__m512i v = whole ? _mm512_loadu_si512(x) : _mm512_maskz_loadu_epi16(m, x);
		__m512 a = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)), b = _mm512_castsi512_ps(_mm512_and_si512(v, odd));
#pragma GCC unroll 8
		for (int i = 0; i < r; i++) {
			__m512 w = _mm512_set1_ps(f[i]);
			s[i][0] = _mm512_fmadd_ps(w, a, s[i][0]), s[i][1] = _mm512_fmadd_ps(w, b, s[i][1]);
		}
	}
#pragma GCC unroll 8
	for (int i = 0; i < r; i++) _mm512_storeu_ps(sums + i * CELL, s[i][0]), _mm512_storeu_ps(sums + i * CELL + 16, s[i][1]);
}

static void sum_thin(void *arg, int part, int parts) {
	const sum_call *c = arg;
	const vl_row_sum *p = c->p;
	int turn = !p->b16;
	const float *few = turn ? c->b : c->a;
	const char *many = turn ? c->a : c->b;
	vl_n r = turn ? p->n : p->m, n = turn ? p->m : p->n, ldf = turn ? p->ldb : p->lda, ldm = 2 * (turn ? p->lda : p->ldb);
	vl_n from = vl_from(n, CELL, part, parts), end = vl_from(n, CELL, part + 1, parts), each = NEAR / (2 * (end - from) + 1);
	float *sums = vl_room(4 * r * (vl_cells(end - from) + 1) * CELL);
	each = each < CELL ? CELL : each;
	for (vl_n k0 = 0; k0 < p->k; k0 += each) {
		vl_n rows = p->k - k0 < each ? p->k - k0 : each;
		for (vl_n j = from; j < end; j += CELL)
			for (vl_n i = 0; i < r; i += THIN) {
				thin_rows t = {few + k0 * ldf + i, many + k0 * ldm + 2 * j, ldf, ldm};
				float *to = sums + (j - from) * r + i * CELL;
				vl_n here = r - i, cols = n - j;
				if (here >= THIN && cols >= CELL) thin_sums(THIN, 1, &t, rows, CELL, to, !k0);
				else if (here >= THIN) thin_sums(THIN, 0, &t, rows, cols, to, !k0);
				else
					for (vl_n q = 0; q < here; q++, t.few++) thin_sums(1, 0, &t, rows, cols, to + q * CELL, !k0);
			}
	}
	for (vl_n j = from; j < end; j++)
		for (vl_n i = 0; i < r; i++) {
			float v = sums[(j / CELL * CELL - from) * r + i * CELL + j % 2 * 16 + j % CELL / 2], *y = turn ? c->y + j * p->ldy + i : c->y + i * p->ldy + j;
			*y = p->acc ? *y + v : v;
		}
}

// Without a stride every tap pairs a map with the same thin rows, moved: the map is
// packed once, and the taps differ in where its partner's terms begin. These lie
// turned, a row of terms for each column, once for every column of the window, where
// the ends of lines differ; between two pictures are lines of zeros. As many columns
// of the window as have room are rows of one first factor. The thin rows are rounded
// like the map that they meet.
static int moves(const vl_row_sum *p) {
	const vl_window *w = &p->at;
	return p->window && w->sh * w->sw == 1 && !p->a16 && p->m <= CELL / 2 && w->pt <= (w->kh - 1) * w->dh;
}

// Row v of a map whose pictures have so many lines, those of zeros among them, and
// the row behind it.
INLINE vl_origin place_of(const vl_window *w, vl_n lines, vl_n v) { return (vl_origin){v / w->w / lines, v / w->w % lines, v % w->w}; }

INLINE void step(const vl_window *w, vl_n lines, vl_origin *p) {
	if (++p->x == w->w) p->x = 0, p->y++;
	if (p->y == lines) p->y = 0, p->picture++;
}

static void sum_moved(void *arg, int part, int parts) {
	const sum_call *c = arg;
	const vl_row_sum *p = c->p;
	const vl_window *w = &p->at;
	vl_n above = (w->kh - 1) * w->dh, together = CELL / p->m, lines = (w->h > w->oh ? w->h : w->oh) + above;
	vl_n pictures = p->k / (w->oh * w->ow), all = pictures * lines * w->w, most = all < TERMS * CELL ? vl_cells(all) * CELL : TERMS * CELL;
	// Terms before the block, and behind it: so far do taps move them. Rows of an odd
	// number of lines of the cache do not share its sets.
	vl_n before = (above - w->pt) * w->w, terms = (vl_cells(before + most + w->pt * w->w) | 1) * CELL, size = p->b16 ? 2 : 4;
	uint16_t *panel = vl_room((most * CELL + (2 * CELL + w->kw * p->m + CELL) * terms) * 2), *split = panel + most * CELL, *turned = split + terms * CELL, *few = turned + terms * CELL;
	float s[CELL * CELL] __attribute__((aligned(64)));
	const __mmask16 m = vl_first(p->m);
	const void *row[TERMS * CELL];
	vl_n steps[TERMS], panels = vl_cells(p->n);
	for (vl_n i = 0; i < TERMS; i++) steps[i] = i * CELL;
	vl_cells_begin();
	for (vl_n v0 = 0; v0 < all; v0 += most) {
		vl_n n = all - v0 < most ? all - v0 : most;
		for (vl_n kx = 0; kx < w->kw; kx++) {
			vl_n first = v0 - before, skip = first < 0 ? -first : 0, dx = w->pl - kx * w->dw;
			memset(split, 0, skip * CELL * 2);
			vl_origin at = place_of(w, lines, first + skip);
			for (vl_n i = skip; i < terms; i++, step(w, lines, &at)) {
				vl_n x = at.x + dx;
				int there = at.picture < pictures && at.y < w->oh && x >= 0 && x < w->ow;
				__m512 v = there ? _mm512_maskz_loadu_ps(m, (const float *)c->a + ((at.picture * w->oh + at.y) * w->ow + x) * p->lda) : _mm512_setzero_ps();
				_mm256_storeu_si256((__m256i *)(split + i * CELL), (__m256i)_mm512_cvtneps_pbh(v));
			}
			vl_cells_a_turned(split, 1, CELL, p->m, terms, turned);
			for (vl_n q = 0; q < p->m; q++)
				for (vl_n i = 0; i < terms; i += CELL) memcpy(few + (kx * p->m + q) * terms + i, turned + i * CELL + q * CELL, 2 * CELL);
		}
		vl_origin to = place_of(w, lines, v0);
		for (vl_n i = 0; i < n; i++, step(w, lines, &to)) row[i] = to.y < w->h ? (const char *)c->b + ((to.picture * w->h + to.y) * w->w + to.x) * p->ldb * size : NULL;
		for (vl_n j = vl_from(panels, 1, part, parts), end = vl_from(panels, 1, part + 1, parts); j < end; j++) {
			vl_n cols = p->n - j * CELL < CELL ? p->n - j * CELL : CELL;
			vl_cells_b_rows(row, p->b16, j * CELL, cols, n, panel);
			for (vl_n t = 0; t < w->kh * w->kw;) {
				vl_n ky = t / w->kw, kx = t % w->kw, taps = w->kw - kx < together ? w->kw - kx : together;
				vl_cell_run run = {panel, vl_cells(n), 0, few + kx * p->m * terms + (above - ky * w->dh) * w->w, steps, terms};
				vl_cells_multiply(taps * p->m, cols, NULL, &run, 1, 0, s, NULL, NULL);
				for (vl_n end = t + taps, at = 0; t < end; t++, at += p->m * CELL) give(c, s + at, p->m, 0, j * CELL, cols, t, 0, p->acc || v0);
			}
		}
	}
	vl_cells_end();
}

void vl_sum_rows(const vl_row_sum *p, const void *a, const void *b, float *y) {
	sum_call c = {p, a, b, y};
	vl_task task = moves(p) ? sum_moved : !p->window && p->a16 != p->b16 && (p->a16 ? p->n : p->m) <= 2 * THIN ? sum_thin : sum_rows;
	if (p->m * p->n * p->k < 1000000) task(&c, 0, 1);
	else vl_deal(task, &c);
}
#else
int vl_thin_in_parts(const vl_product *p) { return 0; }
int vl_slides(const vl_product *p) { return 0; }
int vl_steps_are_lines(const vl_product *p) { return 0; }
vl_n vl_packed_cells(const vl_factor *f) { return 0; }
void vl_pack_cells(const vl_factor *f, const float *w, uint16_t *out) {}
void vl_multiply16(const vl_product *p, const void *a, const uint16_t *b, float *h, const uint16_t *hb, const uint16_t *d, const float *bias, void *y) {}
void vl_sum_rows(const vl_row_sum *p, const void *a, const void *b, float *y) {}
#endif
