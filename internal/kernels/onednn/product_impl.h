// The inner loop of own products: a tile of MR rows and two vectors of columns
// whose sums stay in registers while the terms stream by. Compiled once per
// instruction set; see rows.c. product.c feeds it.

// MR·2 sums, two vectors of b and one factor fill the registers.
#if LANES == 16
#define MR 12
#else
#define MR 6
#endif

// mb rows from row i, nv vectors of columns from panel j, mb and nv constants.
INLINE void T(tile)(const int mb, const int nv, const vl_segment *seg, vl_n segs, vl_n i, vl_n j, const float *bias, int acc, float *const *y, vl_n column, vl_n rows, vl_n cols) {
	vf s[MR][2];
#pragma GCC unroll 12
	for (int r = 0; r < mb; r++) s[r][0] = s[r][1] = (vf){0};
	for (; segs > 0; segs--, seg++) {
		const float *a[MR], *b = seg->b + j * seg->panel, *end = b + seg->k * (2 * LANES);
#pragma GCC unroll 12
		for (int r = 0; r < mb; r++) a[r] = seg->rows[i + r];
		vl_n k = 0, step = seg->step;
		for (; b < end; b += 2 * LANES, k += step) {
			vf b0 = T(load)(b), b1 = nv > 1 ? T(load)(b + LANES) : b0;
#pragma GCC unroll 12
			for (int r = 0; r < mb; r++) {
				vf f = T(set)(a[r][k]);
				s[r][0] += f * b0;
				if (nv > 1) s[r][1] += f * b1;
			}
		}
	}
	if (rows >= mb && cols == nv * LANES) {
#pragma GCC unroll 12
		for (int r = 0; r < mb; r++)
#pragma GCC unroll 2
			for (int v = 0; v < nv; v++) {
				float *to = y[i + r] + column + v * LANES;
				vf sum = s[r][v];
				if (bias) sum += T(load)(bias + v * LANES);
				if (acc) sum += T(load)(to);
				T(store)(to, sum);
			}
		return;
	}
	for (int r = 0; r < mb && r < rows; r++) {
		float sum[2 * LANES], *to = y[i + r] + column;
		memcpy(sum, s[r], sizeof sum);
		for (vl_n c = 0; c < cols; c++) {
			float v = sum[c];
			if (bias) v += bias[c];
			to[c] = acc ? to[c] + v : v;
		}
	}
}

// cols columns from panel j on, of m rows.
static void T(panel)(const vl_segment *seg, vl_n segs, vl_n m, vl_n j, const float *bias, int acc, float *const *y, vl_n cols) {
	vl_n at = j * 2 * LANES;
#define EACH(MB, NV) T(tile)(MB, NV, seg, segs, i, j, bias, acc, y, at, m - i, cols)
	for (vl_n i = 0; i < m; i += MR) {
		if (m - i == 1) {
			if (cols > LANES) EACH(1, 2);
			else EACH(1, 1);
		} else if (cols > LANES) EACH(MR, 2);
		else EACH(MR, 1);
	}
#undef EACH
}
