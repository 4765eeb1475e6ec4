//go:build onednn

// Convolutions of 3 × 3 with frozen kernels, and their gradients, as 36 products over
// tiles of 4 × 4 outputs: a quarter of the multiplications; see winograd_impl.h. A
// layer's adapter rides along. Forward its first factor has columns of its own, and the
// second one is added to the outputs; backward the map that it reads has terms of its own.

#include "thread.h"

enum {
	SIDE = 4,        // of a tile of outputs
	PATCH = 6,       // of the inputs that it reads
	POINTS = PATCH * PATCH,
	MOST = 96,       // tiles at a time
	FEWEST = 12,     // for which kernels pay that are four times as large
	NEAR = 1 << 20,  // bytes of kernels, and of values at the points, that stay near
	LARGEST = 12 << 20 // bytes of kernels
};

// Outside of the map there are zeros.
static const float zeros[VL_WINOGRAD_TERMS + 16];

int vl_winograd_takes(vl_n k, vl_n n) { return k >= 16 && n >= 16 && k <= VL_WINOGRAD_TERMS && 4 * POINTS * k * n <= LARGEST; }

int vl_winograd(const vl_product *p) {
	const vl_window *w = &p->at;
	vl_n tiles = ((w->oh + SIDE - 1) / SIDE) * ((w->ow + SIDE - 1) / SIDE) * (p->m / (w->oh * w->ow));
	return p->window && w->kh == 3 && w->kw == 3 && w->sh * w->sw * w->dh * w->dw == 1 && vl_winograd_takes(p->k, p->n) &&
		p->r <= VL_WINOGRAD_TERMS && tiles >= FEWEST;
}

vl_n vl_winograd_floats(vl_n k, vl_n n) { return POINTS * vl_packed_floats(1, k, n); }

void vl_winograd_pack(vl_n k, vl_n n, vl_n st, vl_n sk, vl_n sn, const float *w, float *out) {
	vl_kernels->kernels_of(k, n, st, sk, sn, st < 0 ? w - 8 * st : w, out, vl_packed_floats(1, k, n));
}

typedef struct {
	const vl_product *p;
	const void *a;
	const float *u, *thin, *d, *bias;
	float *h;
	void *y;
} call;

// A map of k channels and its values at the points, of which most tiles have room.
typedef struct {
	const void *x;
	int half;
	vl_n ld, k, wide; // wide: k in whole vectors
	float *v;
} map;

// The tiles of this pass.
typedef struct {
	vl_n first, n, most, high, wide; // high and wide: tiles of a map
} pass;

static vl_n whole(vl_n n) { return (n + 15) / 16 * 16; }

// apart is how far the values of one point are from those of the next, a row of so many
// a tile: not so that all points share a set of the nearest cache.
static vl_n apart(const pass *s, vl_n wide) { return s->most * wide + 16; }

static void points_of(const vl_window *w, const pass *s, const map *m) {
	vl_n pt = w->backward ? 2 - w->pt : w->pt, pl = w->backward ? 2 - w->pl : w->pl;
	for (vl_n i = 0; i < s->n; i++) {
		vl_n t = s->first + i, picture = t / (s->high * s->wide), y0 = t / s->wide % s->high * SIDE - pt, x0 = t % s->wide * SIDE - pl;
		const void *pixel[POINTS];
		for (int q = 0; q < POINTS; q++) {
			vl_n y = y0 + q / PATCH, x = x0 + q % PATCH;
			pixel[q] = y < 0 || y >= w->h || x < 0 || x >= w->w ? zeros : vl_at(m->x, ((picture * w->h + y) * w->w + x) * m->ld, m->half);
		}
		vl_kernels->points_of(pixel, m->half, m->k, m->v + i * m->wide, apart(s, m->wide));
	}
}

// products makes columns of panels from … end at every point, of maps times their
// kernels. They lie in m, n to a row.
static void products(const pass *s, const map *maps, const float *const *u, int count, vl_n cols, vl_n from, vl_n end, float *m, vl_n n) {
	vl_n mr = vl_kernels->rows, width = vl_kernels->columns, rows = (s->n + mr - 1) / mr * mr;
	for (int q = 0; q < POINTS; q++) {
		const float *row[2][MOST + 16];
		float *to[MOST + 16];
		vl_segment seg[2];
		for (vl_n i = 0; i < rows; i++) {
			vl_n r = i < s->n ? i : s->n - 1;
			for (int f = 0; f < count; f++) row[f][i] = maps[f].v + q * apart(s, maps[f].wide) + r * maps[f].wide;
			to[i] = m + q * apart(s, n) + r * n - from * width;
		}
		for (int f = 0; f < count; f++) seg[f] = (vl_segment){row[f], u[f] + q * vl_packed_floats(1, maps[f].k, cols), maps[f].k, 1, maps[f].k * width};
		for (vl_n j = from; j < end; j++) vl_kernels->panel(seg, count, s->n, j, NULL, 0, NULL, to, cols - j * width < width ? cols - j * width : width);
	}
}

// outputs writes tiles of n columns. Of o is known what all tiles have in common; rows of
// y and h lie ldy and ldh apart.
static void outputs(const vl_window *w, const pass *s, const float *m, vl_n pitch, vl_n n, vl_outputs *o, void *y, vl_n ldy, const float *h, vl_n ldh) {
	for (vl_n i = 0; i < s->n; i++) {
		vl_n t = s->first + i, picture = t / (s->high * s->wide), y0 = t / s->wide % s->high * SIDE, x0 = t % s->wide * SIDE;
		for (int q = 0; q < SIDE * SIDE; q++) {
			vl_n py = y0 + q / SIDE, px = x0 + q % SIDE, pixel = (picture * w->oh + py) * w->ow + px;
			int inside = py < w->oh && px < w->ow;
			o->y[q] = inside ? vl_at(y, pixel * ldy, o->half) : NULL;
			o->h[q] = inside && o->r ? h + pixel * ldh : zeros;
		}
		vl_kernels->of_points(m + i * pitch, apart(s, pitch), n, o);
	}
}

static void convolve(void *arg, int part, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	const vl_window *w = &p->at;
	int wide = p->r && p->wide;
	pass s = {.high = (w->oh + SIDE - 1) / SIDE, .wide = (w->ow + SIDE - 1) / SIDE};
	vl_n mr = vl_kernels->rows, width = vl_kernels->columns, panels = (p->n + width - 1) / width;
	vl_share_of_product own = vl_share_of(p, p->m / (w->oh * w->ow) * s.high * s.wide, mr, panels, part, parts);
	vl_n cols = (own.panels_end < panels ? own.panels_end * width : p->n) - own.panel * width, tiles = own.rows_end - own.row;
	map maps[2] = {{c->a, p->a16, p->lda, p->k, whole(p->k)}, {c->h, 0, p->ldh, p->r, wide ? whole(p->r) : 0}};
	const float *u[2] = {c->u, c->thin};
	vl_n n = whole(cols > p->r ? cols : p->r), k = maps[0].wide + maps[1].wide;
	// Kernels from further away pass by as few times as can be.
	vl_n most = 4 * POINTS * vl_packed_floats(1, p->k, p->n) > NEAR ? MOST : NEAR / (4 * POINTS * (k + n)) / mr * mr;
	most = most < mr ? mr : most > MOST ? MOST : most;
	vl_n blocks = (tiles + most - 1) / most;
	if (!blocks || cols <= 0) return;
	s.most = ((tiles + blocks - 1) / blocks + mr - 1) / mr * mr;
	vl_n first = POINTS * apart(&s, maps[0].wide), second = POINTS * apart(&s, maps[1].wide);
	maps[0].v = vl_room(4 * (first + second + POINTS * apart(&s, n))), maps[1].v = maps[0].v + first;
	float *m = maps[1].v + second;
	vl_outputs hidden = {.r = 0}, o = {.thin = c->thin, .bias = c->bias, .finish = vl_finishes(&p->finish) ? &p->finish : NULL,
		.column = own.panel * width, .r = wide ? 0 : p->r, .acc = p->acc, .half = p->y16};
	for (s.first = own.row; s.first < own.rows_end; s.first += s.most) {
		s.n = own.rows_end - s.first < s.most ? own.rows_end - s.first : s.most;
		points_of(w, &s, maps);
		if (wide) points_of(w, &s, maps + 1);
		if (c->d) {
			products(&s, maps, &c->d, 1, p->r, 0, (p->r + width - 1) / width, m, n);
			outputs(w, &s, m, n, p->r, &hidden, c->h, p->ldh, NULL, 0);
		}
		products(&s, maps, u, wide ? 2 : 1, p->n, own.panel, own.panels_end, m, n);
		outputs(w, &s, m, n, cols, &o, c->y, p->ldy, c->h, p->ldh);
	}
}

void vl_multiply_winograd(const vl_product *p, const void *a, const float *u, float *h, const float *thin, const float *d, const float *bias, void *y) {
	call c = {p, a, u, thin, d, bias, h, y};
	vl_deal(convolve, &c);
}
