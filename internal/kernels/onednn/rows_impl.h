// Compiled once per instruction set; see rows.c. No include guard on purpose.
typedef float T(vf) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t T(vi) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define vf T(vf)
#define vi T(vi)
#define INLINE static inline __attribute__((always_inline))

#include "math_impl.h"
#include "elementwise_impl.h"

// Sums of 32 rows in float32, sums of those in float64.
static void T(column_sum)(vl_n rows, vl_n c, const float *x, vl_n xp, const float *z, vl_n zp, float *y, int acc, float scale, double *sum) {
	memset(sum, 0, c * sizeof *sum);
	for (vl_n r0 = 0; r0 < rows; r0 += 32) {
		vl_n r1 = r0 + 32 < rows ? r0 + 32 : rows;
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			vf s = {0};
			if (n == LANES) {
				if (z) for (vl_n r = r0; r < r1; r++) s += T(load)(x + r * xp + i) * T(load)(z + r * zp + i);
				else for (vl_n r = r0; r < r1; r++) s += T(load)(x + r * xp + i);
			} else {
				for (vl_n r = r0; r < r1; r++) {
					vf v = T(load_n)(x + r * xp + i, n);
					if (z) v *= T(load_n)(z + r * zp + i, n);
					s += v;
				}
			}
			for (int j = 0; j < n; j++) sum[i + j] += s[j];
		}
	}
	for (vl_n i = 0; i < c; i++) y[i] = (float)(sum[i] * scale + (acc ? y[i] : 0));
}

INLINE double T(row_total)(vl_n c, const float *x) {
	double total = 0;
	for (vl_n i = 0; i < c;) {
		vl_n end = c - i > 64 * LANES ? i + 64 * LANES : c;
		vf s = {0};
		for (; i + LANES <= end; i += LANES) s += T(load)(x + i);
		if (i < end) s += T(load_n)(x + i, end - i);
		i = end;
		total += T(sum)(s);
	}
	return total;
}

static void T(row_sum)(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, float scale) {
	for (vl_n r = 0; r < rows; r++) y[r] = (float)(T(row_total)(c, x + r * xp) * scale);
}

static void T(layer_norm)(vl_n rows, vl_n c, const float *x, vl_n xp, const float *g, const float *b, float *y, vl_n yp, float *mean, float *rstd, double eps) {
	for (vl_n r = 0; r < rows; r++, x += xp, y += yp) {
		float mu = (float)(T(row_total)(c, x) / c);
		double total = 0, shift = 0;
		for (vl_n i = 0; i < c;) {
			vl_n end = c - i > 64 * LANES ? i + 64 * LANES : c;
			vf s = {0}, m = {0};
			for (; i + LANES <= end; i += LANES) {
				vf d = T(load)(x + i) - mu;
				s += d * d;
				m += d;
			}
			total += T(sum)(s);
			shift += T(sum)(m);
			for (; i < end; i++) {
				double d = (double)x[i] - mu;
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
			int full = n == LANES;
			vf v = (((full ? T(load)(x + i) : T(load_n)(x + i, n)) - mu) - at) * rs;
			if (g) v *= full ? T(load)(g + i) : T(load_n)(g + i, n);
			if (b) v += full ? T(load)(b + i) : T(load_n)(b + i, n);
			if (full) T(store)(y + i, v);
			else T(store_n)(y + i, v, n);
		}
	}
}

// sums holds 2·c doubles and 2·c floats: totals, and the rows in flight.
static void T(layer_norm_backward)(vl_n rows, vl_n c, const float *x, vl_n xp, const float *dy, vl_n gp, const float *g, const float *mean, const float *rstd,
	float *dx, vl_n dp, int acc, float *dg, float *db, double *sums) {
	float *part = (float *)(sums + 2 * c);
	int params = dg || db;
	if (params) memset(sums, 0, c * (2 * sizeof(double) + 2 * sizeof(float)));
	for (vl_n r = 0; r < rows; r++, x += xp, dy += gp) {
		float mu = mean[r], rs = rstd[r];
		vf s1 = {0}, s2 = {0};
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			int full = n == LANES;
			vf d = full ? T(load)(dy + i) : T(load_n)(dy + i, n);
			vf hat = ((full ? T(load)(x + i) : T(load_n)(x + i, n)) - mu) * rs;
			if (params) {
				if (full) {
					T(store)(part + i, T(load)(part + i) + d * hat);
					T(store)(part + c + i, T(load)(part + c + i) + d);
				} else {
					T(store_n)(part + i, T(load_n)(part + i, n) + d * hat, n);
					T(store_n)(part + c + i, T(load_n)(part + c + i, n) + d, n);
				}
			}
			if (g) d *= full ? T(load)(g + i) : T(load_n)(g + i, n);
			s1 += d;
			s2 += d * hat;
		}
		if (dx) {
			float m1 = T(sum)(s1) / c, m2 = T(sum)(s2) / c;
			for (vl_n i = 0; i < c; i += LANES) {
				vl_n n = c - i < LANES ? c - i : LANES;
				int full = n == LANES;
				vf d = full ? T(load)(dy + i) : T(load_n)(dy + i, n);
				vf hat = ((full ? T(load)(x + i) : T(load_n)(x + i, n)) - mu) * rs;
				if (g) d *= full ? T(load)(g + i) : T(load_n)(g + i, n);
				d = (d - m1 - hat * m2) * rs;
				if (acc) d += full ? T(load)(dx + i) : T(load_n)(dx + i, n);
				if (full) T(store)(dx + i, d);
				else T(store_n)(dx + i, d, n);
			}
			dx += dp;
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
}

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
#include "narrow_impl.h"
#include "skinny_impl.h"
#include "window_impl.h"
#include "product_impl.h"

static const vl_rows T(rows) = {ISA_NAME, T(unary), T(unary_backward), T(binary), T(affine), T(column_sum), T(row_sum), T(layer_norm), T(layer_norm_backward),
	T(softmax), T(softmax_backward), T(attend), T(attend_backward), T(add_rows), T(narrow), T(widen_rows), T(dots), T(widen), T(outer), T(pool), T(depthwise_weights), T(pack), T(panel), MR, 2 * LANES};

#undef EACH_FUNCTION
#undef MR
#undef INLINE
#undef vf
#undef vi
