// Products with one short side, as low-rank adapters make them (r ≤ 16): they
// read or write the long matrix once and are bound by memory, where a general
// product packs it first. Compiled once per instruction set; see rows.c.

// Two rows of x against nb rows of b, nb a constant: 2·nb sums in registers.
INLINE void T(dot_tile)(const int mb, const int nb, vl_n k, const float *x, vl_n xp, const float *b, vl_n bp, const float *bias, float *y, vl_n yp, int acc) {
	vf s[2][8] = {{{0}}};
	vl_n i = 0;
	for (; i + LANES <= k; i += LANES) {
		vf x0 = T(load)(x + i), x1 = mb > 1 ? T(load)(x + xp + i) : x0;
#pragma GCC unroll 8
		for (int j = 0; j < nb; j++) {
			vf w = T(load)(b + j * bp + i);
			s[0][j] += x0 * w;
			if (mb > 1) s[1][j] += x1 * w;
		}
	}
	if (i < k) {
		vf x0 = T(load_n)(x + i, k - i), x1 = mb > 1 ? T(load_n)(x + xp + i, k - i) : x0;
#pragma GCC unroll 8
		for (int j = 0; j < nb; j++) {
			vf w = T(load_n)(b + j * bp + i, k - i);
			s[0][j] += x0 * w;
			if (mb > 1) s[1][j] += x1 * w;
		}
	}
#pragma GCC unroll 2
	for (int r = 0; r < mb; r++)
#pragma GCC unroll 8
		for (int j = 0; j < nb; j++) {
			float v = T(sum)(s[r][j]);
			if (bias) v += bias[j];
			if (acc) v += y[r * yp + j];
			y[r * yp + j] = v;
		}
}

static void T(dots)(vl_n m, vl_n n, vl_n k, const float *x, vl_n xp, const float *b, vl_n bp, const float *bias, float *y, vl_n yp, int acc) {
	for (vl_n i = 0; i < m; i += 2) {
		int two = i + 1 < m;
		vl_n j = 0;
		for (; j + 8 <= n; j += 8) {
			const float *bj = bias ? bias + j : NULL;
			if (two) T(dot_tile)(2, 8, k, x + i * xp, xp, b + j * bp, bp, bj, y + i * yp + j, yp, acc);
			else T(dot_tile)(1, 8, k, x + i * xp, xp, b + j * bp, bp, bj, y + i * yp + j, yp, acc);
		}
		for (; j + 4 <= n; j += 4) {
			const float *bj = bias ? bias + j : NULL;
			if (two) T(dot_tile)(2, 4, k, x + i * xp, xp, b + j * bp, bp, bj, y + i * yp + j, yp, acc);
			else T(dot_tile)(1, 4, k, x + i * xp, xp, b + j * bp, bp, bj, y + i * yp + j, yp, acc);
		}
		for (; j < n; j++) {
			const float *bj = bias ? bias + j : NULL;
			if (two) T(dot_tile)(2, 1, k, x + i * xp, xp, b + j * bp, bp, bj, y + i * yp + j, yp, acc);
			else T(dot_tile)(1, 1, k, x + i * xp, xp, b + j * bp, bp, bj, y + i * yp + j, yp, acc);
		}
	}
}

// mb rows of y get kb terms, mb and kb constants: the mb·kb factors stay in
// registers while a row of y streams by.
INLINE void T(widen_tile)(const int mb, const int kb, vl_n n, const float *h, vl_n hr, vl_n hc, const float *b, vl_n bp, const float *bias, float *y, vl_n yp,
	int acc) {
	vf f[2][8];
#pragma GCC unroll 2
	for (int r = 0; r < mb; r++)
#pragma GCC unroll 8
		for (int k = 0; k < kb; k++) f[r][k] = T(set)(h[r * hr + k * hc]);
	vl_n i = 0;
	for (; i + LANES <= n; i += LANES) {
		vf v[2] = {{0}};
#pragma GCC unroll 2
		for (int r = 0; r < mb; r++) {
			if (acc) v[r] = T(load)(y + r * yp + i);
			if (bias) v[r] += T(load)(bias + i);
		}
#pragma GCC unroll 8
		for (int k = 0; k < kb; k++) {
			vf w = T(load)(b + k * bp + i);
			v[0] += f[0][k] * w;
			if (mb > 1) v[1] += f[1][k] * w;
		}
#pragma GCC unroll 2
		for (int r = 0; r < mb; r++) T(store)(y + r * yp + i, v[r]);
	}
	for (; i < n; i++)
		for (int r = 0; r < mb; r++) {
			float v = (acc ? y[r * yp + i] : 0) + (bias ? bias[i] : 0);
			for (int k = 0; k < kb; k++) v += f[r][k][0] * b[k * bp + i];
			y[r * yp + i] = v;
		}
}

static void T(widen)(vl_n m, vl_n n, vl_n k, const float *h, vl_n hr, vl_n hc, const float *b, vl_n bp, const float *bias, float *y, vl_n yp, int acc) {
	for (vl_n i = 0; i < m; i += 2) {
		int two = i + 1 < m, more = acc;
		const float *bi = bias;
		for (vl_n k0 = 0; k0 < k;) {
			const float *hk = h + i * hr + k0 * hc, *bk = b + k0 * bp;
			float *yi = y + i * yp;
#define STEP(KB) \
	if (two) T(widen_tile)(2, KB, n, hk, hr, hc, bk, bp, bi, yi, yp, more); \
	else T(widen_tile)(1, KB, n, hk, hr, hc, bk, bp, bi, yi, yp, more); \
	k0 += KB;
			if (k - k0 >= 8) {
				STEP(8)
			} else if (k - k0 >= 4) {
				STEP(4)
			} else {
				STEP(1)
			}
#undef STEP
			more = 1, bi = NULL;
		}
	}
}

// rb rows of y over w columns, summed over the rows m0 … m1 of u and x.
INLINE void T(outer_tile)(const int rb, const int nb, vl_n m, const float *u, vl_n up, const float *x, vl_n xp, float *y, vl_n yp, int acc) {
	vf s[8][2] = {{{0}}};
	for (vl_n i = 0; i < m; i++) {
		vf x0 = T(load)(x + i * xp), x1 = nb > 1 ? T(load)(x + i * xp + LANES) : x0;
#pragma GCC unroll 8
		for (int r = 0; r < rb; r++) {
			vf f = T(set)(u[i * up + r]);
			s[r][0] += f * x0;
			if (nb > 1) s[r][1] += f * x1;
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < rb; r++)
#pragma GCC unroll 2
		for (int j = 0; j < nb; j++) {
			vf v = s[r][j];
			if (acc) v += T(load)(y + r * yp + j * LANES);
			T(store)(y + r * yp + j * LANES, v);
		}
}

static void T(outer)(vl_n m, vl_n r, vl_n n, const float *u, vl_n up, const float *x, vl_n xp, float *y, vl_n yp, int acc) {
	if (m == 0 && !acc)
		for (vl_n i = 0; i < r; i++) memset(y + i * yp, 0, n * sizeof *y);
	// Blocks of rows that stay in the second-level cache while y is updated.
	for (vl_n m0 = 0; m0 < m; m0 += 64) {
		vl_n mn = m - m0 < 64 ? m - m0 : 64;
		int more = acc || m0 > 0;
		const float *pu = u + m0 * up, *px = x + m0 * xp;
		for (vl_n r0 = 0; r0 < r;) {
			int rb = r - r0 >= 8 ? 8 : r - r0 >= 4 ? 4 : 1;
			vl_n i = 0;
#define STEP(RB, NB) T(outer_tile)(RB, NB, mn, pu + r0, up, px + i, xp, y + r0 * yp + i, yp, more)
			for (; i + 2 * LANES <= n; i += 2 * LANES) {
				if (rb == 8) STEP(8, 2);
				else if (rb == 4) STEP(4, 2);
				else STEP(1, 2);
			}
			for (; i + LANES <= n; i += LANES) {
				if (rb == 8) STEP(8, 1);
				else if (rb == 4) STEP(4, 1);
				else STEP(1, 1);
			}
#undef STEP
			for (; i < n; i++)
				for (int q = 0; q < rb; q++) {
					float v = 0;
					for (vl_n k = 0; k < mn; k++) v += pu[k * up + r0 + q] * px[k * xp + i];
					float *p = y + (r0 + q) * yp + i;
					*p = v + (more ? *p : 0);
				}
			r0 += rb;
		}
	}
}
