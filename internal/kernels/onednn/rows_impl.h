// Compiled once per instruction set; see rows.c. No include guard on purpose.
typedef float T(vf) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t T(vi) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t T(vh) __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
#define vf T(vf)
#define vi T(vi)
#define vh T(vh)
#define INLINE static inline __attribute__((always_inline))

#include "math_impl.h"
#include "narrow_impl.h"
#include "elementwise_impl.h"
#include "pool_impl.h"

// Sums of 32 rows in float32, sums of those in float64.
INLINE void T(column_sums)(int xh, int zh, vl_n rows, vl_n c, vl_mat x, vl_mat z, float *y, int acc, float scale, double *sum) {
	memset(sum, 0, c * sizeof *sum);
	for (vl_n r0 = 0; r0 < rows; r0 += 32) {
		vl_n r1 = r0 + 32 < rows ? r0 + 32 : rows;
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			vf s = {0};
			for (vl_n r = r0; r < r1; r++) {
				vf v = T(get)(x.p, r * x.pitch + i, n, xh);
				if (z.p) v *= T(get)(z.p, r * z.pitch + i, n, zh);
				s += v;
			}
			for (int j = 0; j < n; j++) sum[i + j] += s[j];
		}
	}
	for (vl_n i = 0; i < c; i++) y[i] = (float)(sum[i] * scale + (acc ? y[i] : 0));
}

static void T(column_sum)(vl_n rows, vl_n c, vl_mat x, vl_mat z, float *y, int acc, float scale, double *sum) {
	if (x.half && (!z.p || z.half)) T(column_sums)(1, 1, rows, c, x, z, y, acc, scale, sum);
	else if (x.half || z.half) T(column_sums)(x.half, z.half, rows, c, x, z, y, acc, scale, sum);
	else T(column_sums)(0, 0, rows, c, x, z, y, acc, scale, sum);
}

INLINE double T(row_total)(vl_n c, const void *x, int half) {
	double total = 0;
	for (vl_n i = 0; i < c;) {
		vl_n end = c - i > 64 * LANES ? i + 64 * LANES : c;
		vf s = {0};
		for (; i + LANES <= end; i += LANES) s += T(get)(x, i, LANES, half);
		if (i < end) s += T(get)(x, i, end - i, half);
		i = end;
		total += T(sum)(s);
	}
	return total;
}

static void T(row_sum)(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, float scale) {
	for (vl_n r = 0; r < rows; r++) y[r] = (float)(T(row_total)(c, x + r * xp, 0) * scale);
}

INLINE void T(norm_rows)(int xh, int yh, vl_n rows, vl_n c, vl_mat x, const float *g, const float *b, vl_mat y, vl_mat hat, float *mean, float *rstd, double eps) {
	for (vl_n r = 0; r < rows; r++) {
		const void *px = vl_at(x.p, r * x.pitch, xh);
		void *py = vl_at(y.p, r * y.pitch, yh);
		float mu = (float)(T(row_total)(c, px, xh) / c);
		double total = 0, shift = 0;
		for (vl_n i = 0; i < c;) {
			vl_n end = c - i > 64 * LANES ? i + 64 * LANES : c;
			vf s = {0}, m = {0};
			for (; i + LANES <= end; i += LANES) {
				vf d = T(get)(px, i, LANES, xh) - mu;
				s += d * d;
				m += d;
			}
			total += T(sum)(s);
			shift += T(sum)(m);
			for (; i < end; i++) {
				double d = (double)T(get)(px, i, 1, xh)[0] - mu;
				total += d * d;
				shift += d;
			}
		}
		// Two passes, and the rounding of the mean taken out of both.
		double off = shift / c;
		float rs = (float)(1 / __builtin_sqrt(total / c - off * off + eps)), at = (float)off;
		if (mean) mean[r] = (float)(mu + off);
		if (rstd) rstd[r] = rs;
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			vf v = ((T(get)(px, i, n, xh) - mu) - at) * rs;
			if (hat.p) T(put)(vl_at(hat.p, r * hat.pitch, 1), i, n, 1, v);
			if (g) v *= T(get)(g, i, n, 0);
			if (b) v += T(get)(b, i, n, 0);
			T(put)(py, i, n, yh, v);
		}
	}
}

static void T(layer_norm)(vl_n rows, vl_n c, vl_mat x, const float *g, const float *b, vl_mat y, vl_mat hat, float *mean, float *rstd, double eps) {
	if (x.half) T(norm_rows)(1, y.half, rows, c, x, g, b, y, hat, mean, rstd, eps);
	else if (y.half) T(norm_rows)(0, 1, rows, c, x, g, b, y, hat, mean, rstd, eps);
	else T(norm_rows)(0, 0, rows, c, x, g, b, y, hat, mean, rstd, eps);
}

// Where there is no mean x holds what is normalised already, or with b the results,
// of which b and g are taken. sums holds 2·c doubles and 3·c floats: totals, the rows
// in flight, and 1/g.
INLINE void T(norm_rows_backward)(int xh, int gh, int dh, vl_n rows, vl_n c, vl_mat x, vl_mat dy, const float *g, const float *b, const float *mean, const float *rstd,
	vl_mat dx, int acc, float *dg, float *db, double *sums) {
	float *part = (float *)(sums + 2 * c), *inverse = part + 2 * c;
	for (vl_n i = 0; b && i < c; i++) inverse[i] = 1 / g[i];
#define HAT(i, n) (b ? (T(get)(px, i, n, xh) - T(get)(b, i, n, 0)) * T(get)(inverse, i, n, 0) : (T(get)(px, i, n, xh) - mu) * by)
	int params = dg || db;
	if (params) memset(sums, 0, c * (2 * sizeof(double) + 2 * sizeof(float)));
	for (vl_n r = 0; r < rows; r++) {
		const void *px = vl_at(x.p, r * x.pitch, xh), *pg = vl_at(dy.p, r * dy.pitch, gh);
		float rs = rstd[r], mu = mean ? mean[r] : 0, by = mean ? rs : 1;
		vf s1 = {0}, s2 = {0};
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			vf d = T(get)(pg, i, n, gh), hat = HAT(i, n);
			if (params) {
				T(put)(part, i, n, 0, T(get)(part, i, n, 0) + d * hat);
				T(put)(part, c + i, n, 0, T(get)(part, c + i, n, 0) + d);
			}
			if (g) d *= T(get)(g, i, n, 0);
			s1 += d;
			s2 += d * hat;
		}
		if (dx.p) {
			void *pd = vl_at(dx.p, r * dx.pitch, dh);
			float m1 = T(sum)(s1) / c, m2 = T(sum)(s2) / c;
			for (vl_n i = 0; i < c; i += LANES) {
				vl_n n = c - i < LANES ? c - i : LANES;
				vf d = T(get)(pg, i, n, gh), hat = HAT(i, n);
				if (g) d *= T(get)(g, i, n, 0);
				d = (d - m1 - hat * m2) * rs;
				if (acc) d += T(get)(pd, i, n, dh);
				T(put)(pd, i, n, dh, d);
			}
		}
		if (params && (r % 32 == 31 || r + 1 == rows)) {
			for (vl_n i = 0; i < 2 * c; i++) sums[i] += part[i];
			memset(part, 0, 2 * c * sizeof *part);
		}
	}
	for (vl_n i = 0; i < c; i++) {
		if (dg) dg[i] = (float)sums[i];
		if (db) db[i] = (float)sums[c + i];
	}
#undef HAT
}

static void T(layer_norm_backward)(vl_n rows, vl_n c, vl_mat x, vl_mat dy, const float *g, const float *b, const float *mean, const float *rstd, vl_mat dx, int acc, float *dg,
	float *db, double *sums) {
	if (x.half && dy.half && !dx.half) T(norm_rows_backward)(1, 1, 0, rows, c, x, dy, g, b, mean, rstd, dx, acc, dg, db, sums);
	else if (x.half || dx.half) T(norm_rows_backward)(x.half, dy.half, dx.half, rows, c, x, dy, g, b, mean, rstd, dx, acc, dg, db, sums);
	else if (dy.half) T(norm_rows_backward)(0, 1, 0, rows, c, x, dy, g, b, mean, rstd, dx, acc, dg, db, sums);
	else T(norm_rows_backward)(0, 0, 0, rows, c, x, dy, g, b, mean, rstd, dx, acc, dg, db, sums);
}

#ifndef REST
static void T(softmax)(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, vl_n yp, int log) {
	for (vl_n r = 0; r < rows; r++, x += xp, y += yp) {
		vf top = T(set)(-INFINITY);
		vl_n i = 0;
		for (; i + LANES <= c; i += LANES) top = T(max)(T(load)(x + i), top);
		float m = T(top)(top);
		for (; i < c; i++) m = x[i] > m ? x[i] : m;
		double total = 0;
		vf s = {0}, e;
		for (i = 0; i + LANES <= c; i += LANES) {
			e = T(exp_down)(T(load)(x + i) - m);
			s += e;
			if (!log) T(store)(y + i, e);
		}
		if (i < c) {
			e = T(exp_down)(T(load_n)(x + i, c - i) - m);
			if (!log) T(store_n)(y + i, e, c - i);
			for (int j = 0; j < c - i; j++) total += e[j];
		}
		total += T(sum)(s);
		if (log) {
			float shift = (float)__builtin_log(total);
			for (i = 0; i + LANES <= c; i += LANES) T(store)(y + i, (T(load)(x + i) - m) - shift);
			for (; i < c; i++) y[i] = (x[i] - m) - shift;
			continue;
		}
		float scale = (float)(1 / total);
		for (i = 0; i + LANES <= c; i += LANES) T(store)(y + i, T(load)(y + i) * scale);
		for (; i < c; i++) y[i] *= scale;
	}
}

static void T(softmax_backward)(vl_n rows, vl_n c, const float *y, vl_n yp, const float *dy, vl_n gp, float *dx, vl_n dp, int log, int acc) {
	for (vl_n r = 0; r < rows; r++, y += yp, dy += gp, dx += dp) {
		vf s = {0};
		vl_n i = 0;
		for (; i + LANES <= c; i += LANES) {
			vf d = T(load)(dy + i);
			if (!log) d *= T(load)(y + i);
			s += d;
		}
		if (i < c) {
			vf d = T(load_n)(dy + i, c - i);
			if (!log) d *= T(load_n)(y + i, c - i);
			s += d;
		}
		float total = T(sum)(s);
		for (i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			int full = n == LANES;
			vf d = full ? T(load)(dy + i) : T(load_n)(dy + i, n), p = full ? T(load)(y + i) : T(load_n)(y + i, n);
			if (log) d -= T(exp)(p) * total;
			else d = p * (d - total);
			if (acc) d += full ? T(load)(dx + i) : T(load_n)(dx + i, n);
			if (full) T(store)(dx + i, d);
			else T(store_n)(dx + i, d, n);
		}
	}
}

#include "attention_impl.h"
#include "skinny_impl.h"
#include "window_impl.h"
#include "product_impl.h"
#include "winograd_impl.h"
#define REST ISA
#endif
#define R(name) CAT(name, REST)

static const vl_rows T(rows) = {ISA_NAME, T(map), T(map_backward), T(slopes), T(binary), T(affine), T(column_sum), T(row_sum), T(layer_norm), T(layer_norm_backward),
	R(softmax), R(softmax_backward), R(attend), R(attend_backward), T(add_rows), T(narrow), T(widen_rows), R(dots), R(widen), R(outer), T(pool), T(pool_backward), R(depthwise_weights), R(pack), R(panel), MR, 2 * LANES, R(points_of), R(of_points), R(kernels_of)};

#undef EACH_FUNCTION
#undef EACH_HALF_FUNCTION
#undef CHUNK
#undef R
#undef REST
#undef INLINE
#undef vf
#undef vi
#undef vh
