// The inner loop of own products: a tile of MR rows and two vectors of columns
// whose sums stay in registers while the terms stream by. Compiled once per
// instruction set; see rows.c. product.c feeds it.

// Terms of b that are fetched before they are due.
#define AHEAD 32

// MR·2 sums, two vectors of b and one factor fill the registers.
#undef MR
#if LANES == 16
#define MR 12
#else
#define MR 6
#endif

// finished is what becomes of n sums; y is where they go, bf16 where half.
INLINE vf T(finished)(const vl_finish *f, vf sum, const char *y, vl_n n, const int half) {
	const vf none = {0};
	if (f->add) sum += T(get)(y + f->add, 0, n, half);
	if (f->relu) sum = T(sel)(sum < none, none, sum);
	if (f->mask) sum = T(sel)(T(get)(y + f->mask, 0, n, half) > none, sum, none);
	return sum;
}

// mb rows from row i, nv vectors of columns from panel j, mb and nv constants.
INLINE void T(tile)(const int mb, const int nv, const vl_segment *seg, vl_n segs, vl_n i, vl_n j, const float *bias, int acc, const vl_finish *finish, float *const *y, vl_n column, vl_n rows, vl_n cols) {
	vf s[MR][2];
#pragma GCC unroll 12
	for (int r = 0; r < mb; r++) {
		s[r][0] = s[r][1] = (vf){0};
		// Where the sums will go; a row of the tile need not begin with a line.
		__builtin_prefetch(y[i + r] + column, 1);
		__builtin_prefetch(y[i + r] + column + nv * LANES - 1, 1);
	}
	for (; segs > 0; segs--, seg++) {
		const float *a[MR], *b = seg->b + j * seg->panel, *end = b + seg->k * (2 * LANES);
#pragma GCC unroll 12
		for (int r = 0; r < mb; r++) a[r] = seg->rows[i + r];
		vl_n k = 0, step = seg->step;
		for (; b < end; b += 2 * LANES, k += step) {
			// The processor does not look into the next page.
			__builtin_prefetch(b + AHEAD * 2 * LANES);
			__builtin_prefetch(b + AHEAD * 2 * LANES + LANES);
			vf b0 = T(load)(b), b1 = nv > 1 ? T(load)(b + LANES) : b0;
#pragma GCC unroll 12
			for (int r = 0; r < mb; r++) {
				vf f = T(set)(a[r][k]);
				s[r][0] += f * b0;
				if (nv > 1) s[r][1] += f * b1;
			}
		}
	}
	vl_n left = cols - (nv - 1) * LANES; // in the last vector
#pragma GCC unroll 12
	for (int r = 0; r < mb; r++) {
		if (r >= rows) return;
#pragma GCC unroll 2
		for (int v = 0; v < nv; v++) {
			float *to = y[i + r] + column + v * LANES;
			vf sum = s[r][v];
			if (v < nv - 1 || left == LANES) {
				if (bias) sum += T(load)(bias + v * LANES);
				if (acc) sum += T(load)(to);
				if (finish) sum = T(finished)(finish, sum, (const char *)to, LANES, 0);
				T(store)(to, sum);
			} else {
				if (bias) sum += T(load_n)(bias + v * LANES, left);
				if (acc) sum += T(load_n)(to, left);
				if (finish) sum = T(finished)(finish, sum, (const char *)to, left, 0);
				T(store_n)(to, sum, left);
			}
		}
	}
}

#if LANES >= 8
// Eight columns of eight terms, as rows: y's rows are a panel's width apart.
INLINE void T(turn8)(const float *x, vl_n xp, float *y) {
	__m256 r[8], s[8];
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(x + i * xp);
#pragma GCC unroll 4
	for (int i = 0; i < 8; i += 2) s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
#pragma GCC unroll 2
	for (int i = 0; i < 8; i += 4) {
		r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44), r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
		r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44), r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		_mm256_storeu_ps(y + i * 2 * LANES, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
		_mm256_storeu_ps(y + (i + 4) * 2 * LANES, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
	}
}
#endif

// k terms of up to a panel's columns; element (k, n) of w is at k·sk + n·sn.
static void T(pack)(vl_n k, vl_n cols, vl_n sk, vl_n sn, const float *w, float *out) {
	const vl_n width = 2 * LANES;
	if (sn == 1 && cols == width) {
		for (vl_n q = 0; q < k; q++, out += width)
#pragma GCC unroll 2
			for (int v = 0; v < 2; v++) T(store)(out + v * LANES, T(load)(w + q * sk + v * LANES));
		return;
	}
	vl_n c = 0;
#if LANES >= 8
	if (sk == 1) // rows of w are columns here
		for (; c + 8 <= cols; c += 8) {
			vl_n q = 0;
			for (; q + 8 <= k; q += 8) T(turn8)(w + q + c * sn, sn, out + q * width + c);
			for (; q < k; q++)
				for (vl_n i = c; i < c + 8; i++) out[q * width + i] = w[q + i * sn];
		}
#endif
	for (vl_n q = 0; q < k; q++) {
		for (vl_n i = c; i < cols; i++) out[q * width + i] = w[q * sk + i * sn];
		for (vl_n i = cols; i < width; i++) out[q * width + i] = 0;
	}
}

// cols columns from panel j on, of m rows.
static void T(panel)(const vl_segment *seg, vl_n segs, vl_n m, vl_n j, const float *bias, int acc, const vl_finish *finish, float *const *y, vl_n cols) {
	vl_n at = j * 2 * LANES;
#define EACH(MB, NV) T(tile)(MB, NV, seg, segs, i, j, bias, acc, finish, y, at, m - i, cols)
	for (vl_n i = 0; i < m; i += MR) {
		if (m - i == 1) {
			if (cols > LANES) EACH(1, 2);
			else EACH(1, 1);
		} else if (m - i <= 4) {
			if (cols > LANES) EACH(4, 2);
			else EACH(4, 1);
#if MR > 8
		} else if (m - i <= 8) {
			if (cols > LANES) EACH(8, 2);
			else EACH(8, 1);
#endif
		} else if (cols > LANES) EACH(MR, 2);
		else EACH(MR, 1);
	}
#undef EACH
}
