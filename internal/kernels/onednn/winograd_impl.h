// The transforms of Winograd's convolution F(4×4, 3×3), a vector of channels at a
// time. Compiled once per instruction set; see rows.c. winograd.c feeds them.
//
// In one dimension four outputs of a kernel of three come of six inputs d as
// Aᵀ·((G·g) ∘ (Bᵀ·d)), the product of two polynomials by their values at the points
// 0, ±a, ±b and ∞. With a = 3/4 and b = 3/2 the transforms' factors are exact, and
// errors about a quarter of those with the usual 1 and 2.
// Source: Lavin & Gray 2015, arXiv:1509.09308; Barabasz et al. 2018, arXiv:1803.10986.

#define PA 0.75f
#define PB 1.5f
#define A2 (PA * PA)
#define B2 (PB * PB)

// Six inputs to their values at the points.
INLINE void T(to_points)(const vf *d, vl_n step, vf *o, vl_n to) {
	vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
	vf even = d4 - B2 * d2, odd = PA * (d3 - B2 * d1);
	o[0] = A2 * B2 * d0 - (A2 + B2) * d2 + d4;
	o[to] = even + odd, o[2 * to] = even - odd;
	even = d4 - A2 * d2, odd = PB * (d3 - A2 * d1);
	o[3 * to] = even + odd, o[4 * to] = even - odd;
	o[5 * to] = A2 * B2 * d1 - (A2 + B2) * d3 + d5;
}

// Values at six points to four outputs.
INLINE void T(from_points)(const vf *m, vl_n step, vf *o, vl_n to) {
	vf s1 = m[step] + m[2 * step], d1 = PA * (m[step] - m[2 * step]), s2 = m[3 * step] + m[4 * step], d2 = PB * (m[3 * step] - m[4 * step]);
	o[0] = m[0] + s1 + s2;
	o[to] = d1 + d2;
	o[2 * to] = A2 * s1 + B2 * s2;
	o[3 * to] = A2 * d1 + B2 * d2 + m[5 * step];
}

// The k channels of 6 × 6 pixels, of float32 or bf16, values at a point step apart from
// those at the next.
static void T(points_of)(const void *const *pixel, int half, vl_n k, float *v, vl_n step) {
	for (vl_n c = 0; c < k; c += LANES) {
		vl_n n = k - c < LANES ? k - c : LANES;
		vf d[36], t[36];
		if (half)
			for (int i = 0; i < 36; i++) d[i] = T(get)(pixel[i], c, n, 1);
		else
			for (int i = 0; i < 36; i++) d[i] = T(get)(pixel[i], c, n, 0);
#pragma GCC unroll 6
		for (int i = 0; i < 6; i++) T(to_points)(d + i, 6, t + i, 6);
#pragma GCC unroll 6
		for (int i = 0; i < 6; i++) T(to_points)(t + 6 * i, 1, d + 6 * i, 1);
		for (int i = 0; i < 36; i++) T(put)(v + i * step, c, n, 0, d[i]);
	}
}

// The n columns of 4 × 4 outputs.
INLINE void T(outputs)(const float *m, vl_n step, vl_n n, const vl_outputs *p, const int half) {
	for (vl_n c = 0; c < n; c += LANES) {
		vl_n here = n - c < LANES ? n - c : LANES, column = p->column + c;
		vf d[36], t[24], o[16], b = {0};
		for (int i = 0; i < 36; i++) d[i] = T(get)(m + i * step, c, here, 0);
#pragma GCC unroll 6
		for (int i = 0; i < 6; i++) T(from_points)(d + i, 6, t + i, 6);
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) T(from_points)(t + 6 * i, 1, o + 4 * i, 1);
		const float *w = p->thin + column / (2 * LANES) * p->r * (2 * LANES) + column % (2 * LANES);
		for (vl_n j = 0; j < p->r; j++, w += 2 * LANES) {
			vf f = T(load)(w);
#pragma GCC unroll 16
			for (int i = 0; i < 16; i++) o[i] += f * T(set)(p->h[i][j]);
		}
		if (p->bias) b = T(get)(p->bias, column, here, 0);
		for (int i = 0; i < 16; i++) {
			if (!p->y[i]) continue;
			void *to = vl_at(p->y[i], column, half);
			vf sum = o[i] + b;
			if (p->acc) sum += T(get)(to, 0, here, half);
			if (p->finish) sum = T(finished)(p->finish, sum, to, here, half);
			T(put)(to, 0, here, half, sum);
		}
	}
}

static void T(of_points)(const float *m, vl_n step, vl_n n, const vl_outputs *p) {
	if (p->half) T(outputs)(m, step, n, p, 1);
	else T(outputs)(m, step, n, p, 0);
}

// Kernels of k terms and n columns, element (tap, k, n) at tap·st + k·sk + n·sn, in the
// panels that products with their values at the points read, point after point matrix
// apart. G has a point's powers over the product of its distances from the others.
static void T(kernels_of)(vl_n k, vl_n n, vl_n st, vl_n sk, vl_n sn, const float *w, float *out, vl_n matrix) {
	const float na = 2 * A2 * (A2 - B2), nb = 2 * B2 * (B2 - A2);
	const float g[6][3] = {{1 / (A2 * B2), 0, 0}, {1 / na, PA / na, A2 / na}, {1 / na, -PA / na, A2 / na}, {1 / nb, PB / nb, B2 / nb}, {1 / nb, -PB / nb, B2 / nb}, {0, 0, 1}};
	const vl_n width = 2 * LANES;
	for (vl_n j = 0; j < (n + width - 1) / width * width; j += LANES)
		for (vl_n c = 0; c < k; c++) {
			vf x[9], t[18];
			for (int q = 0; q < 9; q++)
				for (int i = 0; i < LANES; i++) x[q][i] = j + i < n ? w[q * st + c * sk + (j + i) * sn] : 0;
			float *to = out + (j / width * k + c) * width + j % width;
			for (int q = 0; q < 18; q++) t[q] = g[q / 3][0] * x[q % 3] + g[q / 3][1] * x[q % 3 + 3] + g[q / 3][2] * x[q % 3 + 6];
			for (int q = 0; q < 36; q++, to += matrix) T(store)(to, g[q % 6][0] * t[q / 6 * 3] + g[q % 6][1] * t[q / 6 * 3 + 1] + g[q % 6][2] * t[q / 6 * 3 + 2]);
		}
}
#undef PA
#undef PB
#undef A2
#undef B2
