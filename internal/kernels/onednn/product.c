//go:build onednn

// What feeds the inner loop of own products (product_impl.h): b in panels of as
// many columns as a tile has, blocks of rows and terms that stay in the caches,
// and a table of the rows that a block reads.

#include "taps.h"
#include "thread.h"

enum {
	TILES = 8,     // of a block of rows: so often is a panel read from the near cache
	ROWS = 96,     // no less than those tiles have
	TERMS = 512,   // that one pass adds up: sums go out and come back between two
	SEGMENTS = 32  // of one pass
};

// Outside of the map there are zeros.
static const float zeros[TERMS];

// k terms in equal blocks, none longer than a pass.
static vl_n terms(vl_n k) {
	vl_n blocks = (k + TERMS - 1) / TERMS;
	return blocks ? (k + blocks - 1) / blocks : 0;
}

// room is how many terms a pass over taps of k terms takes: passes of equal
// length, and a thin pair fits behind.
static vl_n room(vl_n taps, vl_n k) {
	enum { THIN = 16 };
	vl_n block = terms(k), units = block ? taps * ((k + block - 1) / block) : 0;
	if (!units) return TERMS;
	vl_n fit = TERMS / block, passes = (units + fit - 1) / fit;
	return (units + passes - 1) / passes * block + THIN;
}

static vl_n panels(vl_n n) { return (n + vl_kernels->columns - 1) / vl_kernels->columns; }

vl_n vl_packed_floats(vl_n taps, vl_n k, vl_n n) { return taps * k * panels(n) * vl_kernels->columns; }

void vl_pack_panels(vl_n taps, vl_n k, vl_n n, vl_n st, vl_n sk, vl_n sn, const float *w, float *out) {
	vl_n width = vl_kernels->columns, block = terms(k);
	for (vl_n t = 0; t < taps; t++, w += st)
		for (vl_n k0 = 0; k0 < k; k0 += block) {
			vl_n kn = k - k0 < block ? k - k0 : block;
			for (vl_n j = 0; j < n; j += width, out += kn * width)
				vl_kernels->pack(kn, n - j < width ? n - j : width, sk, sn, w + k0 * sk + j * sn, out);
		}
}

// gather finds what a block of rows reads at one tap.
static void gather(const vl_window *w, const vl_origin *at, vl_n rows, const vl_tap *t, const float *a, vl_n lda, const float **out) {
	for (vl_n i = 0; i < rows; i++) {
		vl_n pixel = vl_pixel_of(w, at + i, t);
		out[i] = pixel < 0 ? zeros : a + pixel * lda;
	}
}

// A pass: the segments that are added up before y is written.
typedef struct {
	const vl_product *p;
	const float *bias;
	float *const *y;
	vl_n rows, room;
	int acc;
	vl_n from, end; // panels
	float *packed; // where rows are copied, pitch apart, or NULL
	vl_n pitch, segs, k;
	vl_segment seg[SEGMENTS];
} pass;

// flush writes what has been added up; finish: NULL unless all has.
static void flush(pass *s, const vl_finish *finish) {
	const vl_product *p = s->p;
	if (finish && !vl_finishes(finish)) finish = NULL;
	vl_n width = vl_kernels->columns;
	for (vl_n j = s->from; j < s->end; j++) {
		vl_n cols = p->n - j * width < width ? p->n - j * width : width;
		vl_kernels->panel(s->seg, s->segs, s->rows, j, s->bias ? s->bias + j * width : NULL, s->acc, finish, s->y, cols);
	}
	s->acc = 1, s->bias = NULL, s->segs = s->k = 0;
}

typedef struct {
	const float *rows[SEGMENTS][ROWS + 16];
} table;

// Rows that crowd the nearest cache, more than it has room for in a set, are copied
// for a pass, an odd number of lines apart.
static int crowded(vl_n ld) { return vl_crowds(4 * ld) && vl_kernels->rows > 8; }

static void room_for_copies(pass *s) {
	s->pitch = ((s->room + 15) / 16 | 1) * 16;
	s->packed = vl_room((ROWS + 16) * s->pitch * sizeof(float));
}

// whole_tap adds the k terms of a tap; first holds the first term of every row.
static void whole_tap(pass *s, table *t, const float *const *first, vl_n all, vl_n k, vl_n step, int packs, const float *b) {
	vl_n block = terms(k), width = panels(s->p->n) * vl_kernels->columns;
	for (vl_n k0 = 0; k0 < k; k0 += block) {
		vl_n kn = k - k0 < block ? k - k0 : block;
		if (s->segs == SEGMENTS || s->segs && s->k + kn > s->room) flush(s, NULL);
		const float **rows = t->rows[s->segs];
		for (vl_n i = 0; i < all; i++) {
			rows[i] = first[i] == zeros ? zeros : first[i] + k0 * step;
			if (packs && rows[i] != zeros) rows[i] = memcpy(s->packed + i * s->pitch + s->k, rows[i], kn * sizeof(float));
		}
		vl_segment g = {rows, b + k0 * width, kn, step, kn * vl_kernels->columns};
		s->seg[s->segs++] = g;
		s->k += kn;
	}
}

static vl_n padded(vl_n rows) {
	vl_n mr = vl_kernels->rows;
	return (rows + mr - 1) / mr * mr;
}

// Rows at a time: whole tiles in blocks as equal as can be, for every block passes
// over all panels.
static vl_n rows_of(vl_n m) {
	vl_n mr = vl_kernels->rows, tiles = (m + mr - 1) / mr, blocks = (tiles + TILES - 1) / TILES;
	return blocks ? (tiles + blocks - 1) / blocks * mr : mr;
}

// What a product is called with.
typedef struct {
	const vl_product *p;
	const float *a, *b, *h, *hb, *bias;
	float *y;
} call;

static void multiply(void *arg, int part, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	const float *a = c->a, *h = c->h;
	float *y = c->y;
	table t;
	float *to[ROWS + 16];
	const float *first[ROWS + 16];
	vl_share_of_product own = vl_share_of(p, p->m, vl_kernels->rows, panels(p->n), part, parts);
	vl_n most = rows_of(own.rows_end - own.row);
	int packs = p->step == 1 && crowded(p->lda);
	for (vl_n i0 = own.row; i0 < own.rows_end; i0 += most) {
		vl_n rows = own.rows_end - i0 < most ? own.rows_end - i0 : most, all = padded(rows);
		pass s = {p, c->bias, to, rows, room(1, p->k), p->acc, own.panel, own.panels_end};
		if (packs) room_for_copies(&s);
		for (vl_n i = 0; i < all; i++) {
			vl_n row = i0 + (i < rows ? i : rows - 1);
			to[i] = y + row * p->ldy;
			first[i] = a + row * p->lda;
		}
		whole_tap(&s, &t, first, all, p->k, p->step, packs, c->b);
		if (p->r) {
			for (vl_n i = 0; i < all; i++) first[i] = h + (i0 + (i < rows ? i : rows - 1)) * p->ldh;
			whole_tap(&s, &t, first, all, p->r, 1, 0, c->hb);
		}
		if (s.segs || !p->k && !p->r) flush(&s, &p->finish);
	}
}

static void convolve(void *arg, int part, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	const float *a = c->a, *b = c->b, *h = c->h, *hb = c->hb;
	const vl_window *w = &p->at;
	table t;
	float *to[ROWS + 16];
	const float *first[ROWS + 16];
	vl_origin at[ROWS];
	vl_n pixel[ROWS];
	vl_phase f;
	int packs = crowded(p->lda);
	vl_n width = panels(p->n) * vl_kernels->columns, pictures = p->m / (w->oh * w->ow);
	for (vl_n phase = 0; phase < vl_phases(w); phase++) {
		vl_phase_of(w, phase, &f);
		vl_share_of_product own = vl_share_of(p, pictures * f.oh * f.ow, vl_kernels->rows, panels(p->n), part, parts);
		vl_n most = rows_of(own.rows_end - own.row);
		for (vl_n i0 = own.row; i0 < own.rows_end; i0 += most) {
			vl_n rows = own.rows_end - i0 < most ? own.rows_end - i0 : most, all = padded(rows);
			pass s = {p, c->bias, to, rows, room(f.n, p->k), p->acc, own.panel, own.panels_end};
			if (packs) room_for_copies(&s);
			vl_rows_of(w, &f, i0, rows, at, pixel);
			for (vl_n i = 0; i < rows; i++) to[i] = c->y + pixel[i] * p->ldy;
			for (vl_n i = rows; i < all; i++) to[i] = to[rows - 1], first[i] = zeros;
			for (vl_n k = 0; k < f.n; k++) {
				gather(w, at, rows, f.tap + k, a, p->lda, first);
				whole_tap(&s, &t, first, all, p->k, 1, packs, b + f.tap[k].tap * p->k * width);
			}
			for (vl_n k = 0; p->r && p->wide && k < f.n; k++) {
				gather(w, at, rows, f.tap + k, h, p->ldh, first);
				whole_tap(&s, &t, first, all, p->r, 1, 0, hb + f.tap[k].tap * p->r * width);
			}
			if (p->r && !p->wide) {
				for (vl_n i = 0; i < rows; i++) first[i] = h + (i0 + i) * p->ldh;
				whole_tap(&s, &t, first, all, p->r, 1, 0, hb);
			}
			if (s.segs || !f.n && (!p->acc || vl_finishes(&p->finish))) flush(&s, &p->finish);
		}
	}
}

void vl_multiply(const vl_product *p, const float *a, const float *b, const float *h, const float *hb, const float *bias, float *y) {
	call c = {p, a, b, h, hb, bias, y};
	vl_task task = p->window ? convolve : multiply;
	// A hundred thousand multiplications take longer than waking a helper.
	if (p->m * p->n * (p->k + p->r) < 100000) task(&c, 0, 1);
	else vl_deal(task, &c);
}
