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

// The k channels of 6 × 6 pixels, values at a point step apart from those at the next.
static void T(points_of)(const float *const *pixel, vl_n k, float *v, vl_n step) {
	for (vl_n c = 0; c < k; c += LANES) {
		vl_n n = k - c < LANES ? k - c : LANES;
		vf d[36], t[36];
		for (int i = 0; i < 36; i++) d[i] = T(get)(pixel[i], c, n, 0);
#pragma GCC unroll 6
		for (int i = 0; i < 6; i++) T(to_points)(d + i, 6, t + i, 6);
#pragma GCC unroll 6
		for (int i = 0; i < 6; i++) T(to_points)(t + 6 * i, 1, d + 6 * i, 1);
		for (int i = 0; i < 36; i++) T(put)(v + i * step, c, n, 0, d[i]);
	}
}

// The n columns of 4 × 4 outputs, NULL for those outside of the map.
static void T(of_points)(const float *m, vl_n step, vl_n n, const float *bias, int acc, const vl_finish *finish, float *const *y, vl_n column) {
	for (vl_n c = 0; c < n; c += LANES) {
		vl_n here = n - c < LANES ? n - c : LANES;
		vf d[36], t[24], o[16], b = {0};
		for (int i = 0; i < 36; i++) d[i] = T(get)(m + i * step, c, here, 0);
#pragma GCC unroll 6
		for (int i = 0; i < 6; i++) T(from_points)(d + i, 6, t + i, 6);
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) T(from_points)(t + 6 * i, 1, o + 4 * i, 1);
		if (bias) b = T(get)(bias, c, here, 0);
		for (int i = 0; i < 16; i++) {
			if (!y[i]) continue;
			float *to = y[i] + column + c;
			vf sum = o[i] + b;
			if (acc) sum += T(get)(to, 0, here, 0);
			if (finish) sum = T(finished)(finish, sum, (const char *)to, here);
			T(put)(to, 0, here, 0, sum);
		}
	}
}
#undef PA
#undef PB
#undef A2
#undef B2
