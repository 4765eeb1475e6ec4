//go:build onednn

// Convolutions of 3 × 3 with frozen kernels as 36 products over tiles of 4 × 4
// outputs: a quarter of the multiplications; see winograd_impl.h.

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

int vl_winograd(const vl_product *p) {
	const vl_window *w = &p->at;
	vl_n tiles = ((w->oh + SIDE - 1) / SIDE) * ((w->ow + SIDE - 1) / SIDE) * (p->m / (w->oh * w->ow));
	return p->window && !w->backward && w->kh == 3 && w->kw == 3 && w->sh * w->sw * w->dh * w->dw == 1 && p->k >= 16 && p->n >= 16 &&
		p->k <= VL_WINOGRAD_TERMS && 4 * POINTS * p->k * p->n <= LARGEST && tiles >= FEWEST;
}

vl_n vl_winograd_floats(vl_n k, vl_n n) { return POINTS * vl_packed_floats(1, k, n); }

void vl_winograd_pack(vl_n k, vl_n n, vl_n st, vl_n sk, vl_n sn, const float *w, float *out) {
	static const double a = 0.75, b = 1.5;
	double n0 = a * a * b * b, na = 2 * a * a * (a * a - b * b), nb = 2 * b * b * (b * b - a * a);
	const double g[PATCH][3] = {{1 / n0, 0, 0}, {1 / na, a / na, a * a / na}, {1 / na, -a / na, a * a / na}, {1 / nb, b / nb, b * b / nb}, {1 / nb, -b / nb, b * b / nb}, {0, 0, 1}};
	float *u = vl_room(4 * k * n);
	for (int i = 0; i < POINTS; i++, out += vl_packed_floats(1, k, n)) {
		const double *gy = g[i / PATCH], *gx = g[i % PATCH];
		for (vl_n c = 0; c < k; c++)
			for (vl_n q = 0; q < n; q++) {
				const float *x = w + c * sk + q * sn;
				double sum = 0;
				for (int t = 0; t < 9; t++) sum += gy[t / 3] * gx[t % 3] * x[t * st];
				u[c * n + q] = (float)sum;
			}
		vl_pack_panels(1, k, n, 0, n, 1, u, out);
	}
}

typedef struct {
	const vl_product *p;
	const float *a, *u, *bias;
	float *y;
} call;

static void convolve(void *arg, int part, int parts) {
	const call *c = arg;
	const vl_product *p = c->p;
	const vl_window *w = &p->at;
	vl_n mr = vl_kernels->rows, width = vl_kernels->columns, panels = (p->n + width - 1) / width, matrix = vl_packed_floats(1, p->k, p->n);
	vl_n high = (w->oh + SIDE - 1) / SIDE, wide = (w->ow + SIDE - 1) / SIDE, all = p->m / (w->oh * w->ow) * high * wide;
	vl_share_of_product own = vl_share_of(p, all, mr, panels, part, parts);
	vl_n first = own.panel * width, cols = (own.panels_end < panels ? own.panels_end * width : p->n) - first;
	vl_n k = (p->k + 15) / 16 * 16, n = (cols + 15) / 16 * 16, tiles = own.rows_end - own.row;
	// Kernels from further away pass by as few times as can be.
	vl_n most = 4 * POINTS * matrix > NEAR ? MOST : NEAR / (4 * POINTS * (k + n)) / mr * mr;
	most = most < mr ? mr : most > MOST ? MOST : most;
	vl_n blocks = (tiles + most - 1) / most;
	if (!blocks || cols <= 0) return;
	most = ((tiles + blocks - 1) / blocks + mr - 1) / mr * mr;
	float *v = vl_room(4 * POINTS * most * (k + n)), *m = v + POINTS * most * k;
	const vl_finish *finish = vl_finishes(&p->finish) ? &p->finish : NULL;
	for (vl_n t0 = own.row; t0 < own.rows_end; t0 += most) {
		vl_n here = own.rows_end - t0 < most ? own.rows_end - t0 : most, rows = (here + mr - 1) / mr * mr;
		for (vl_n i = 0; i < here; i++) {
			vl_n t = t0 + i, picture = t / (high * wide), y0 = t / wide % high * SIDE - w->pt, x0 = t % wide * SIDE - w->pl;
			const float *pixel[POINTS];
			for (int q = 0; q < POINTS; q++) {
				vl_n y = y0 + q / PATCH, x = x0 + q % PATCH;
				pixel[q] = y < 0 || y >= w->h || x < 0 || x >= w->w ? zeros : c->a + ((picture * w->h + y) * w->w + x) * p->lda;
			}
			vl_kernels->points_of(pixel, p->k, v + i * k, most * k);
		}
		for (int q = 0; q < POINTS; q++) {
			const float *row[MOST + 16];
			float *to[MOST + 16];
			for (vl_n i = 0; i < rows; i++) {
				vl_n r = i < here ? i : here - 1;
				row[i] = v + (q * most + r) * k;
				to[i] = m + (q * most + r) * n - first;
			}
			vl_segment s = {row, c->u + q * matrix, p->k, 1, p->k * width};
			for (vl_n j = own.panel; j < own.panels_end; j++) vl_kernels->panel(&s, 1, here, j, NULL, 0, NULL, to, p->n - j * width < width ? p->n - j * width : width);
		}
		for (vl_n i = 0; i < here; i++) {
			vl_n t = t0 + i, picture = t / (high * wide), y0 = t / wide % high * SIDE, x0 = t % wide * SIDE;
			float *to[SIDE * SIDE];
			for (int q = 0; q < SIDE * SIDE; q++) {
				vl_n y = y0 + q / SIDE, x = x0 + q % SIDE;
				to[q] = y >= w->oh || x >= w->ow ? NULL : c->y + ((picture * w->oh + y) * w->ow + x) * p->ldy;
			}
			vl_kernels->of_points(m + i * n, most * n, cols, c->bias ? c->bias + first : NULL, p->acc, finish, to, first);
		}
	}
}

void vl_multiply_winograd(const vl_product *p, const float *a, const float *u, const float *bias, float *y) {
	call c = {p, a, u, bias, y};
	vl_deal(convolve, &c);
}
