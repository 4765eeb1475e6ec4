// Vectors and the functions exp, erf, tanh on them. Compiled once per
// instruction set; see rows.c.

INLINE vf T(set)(float a) { return a - (vf){0}; }
INLINE vf T(load)(const float *p) { return *(const vf *)p; }
INLINE void T(store)(float *p, vf v) { *(vf *)p = v; }
// The last n < LANES elements of a row.
#if LANES == 16
INLINE vf T(load_n)(const float *p, vl_n n) { return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE void T(store_n)(float *p, vf v, vl_n n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#else
INLINE vf T(load_n)(const float *p, vl_n n) {
	vf v = {0};
	memcpy(&v, p, n * 4);
	return v;
}
INLINE void T(store_n)(float *p, vf v, vl_n n) { memcpy(p, &v, n * 4); }
#endif

// bf16 to float32, and back: to nearest, ties to even, NaN stays NaN. The
// processor's own conversion makes 0 of denormals.
INLINE vf T(wider)(vh h) { return (vf)(__builtin_convertvector(h, vi) << 16); }
#if HALVES
INLINE vh T(narrower)(vf v) { return (vh)_mm512_cvtneps_pbh((__m512)v); }
#else
INLINE vh T(narrower)(vf v) {
	vi u = (vi)v, nan = v != v, rounded = u + 0x7fff + (u >> 16 & 1);
	return __builtin_convertvector(((rounded & ~nan) | ((u | 0x400000) & nan)) >> 16, vh);
}
#endif
// n ≤ LANES elements from i on of memory in float32, or in bf16 where half.
INLINE vf T(get)(const void *p, vl_n i, vl_n n, int half) {
	p = vl_at(p, i, half);
	if (!half) return n == LANES ? T(load)(p) : T(load_n)(p, n);
	if (n == LANES) return T(wider)(*(const vh *)p);
#if LANES == 16
	return T(wider)((vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
	vh h = {0};
	memcpy(&h, p, n * 2);
	return T(wider)(h);
#endif
}
INLINE void T(put)(void *p, vl_n i, vl_n n, int half, vf v) {
	p = vl_at(p, i, half);
	if (!half) {
		if (n == LANES) T(store)(p, v);
		else T(store_n)(p, v, n);
		return;
	}
	vh h = T(narrower)(v);
	if (n == LANES) *(vh *)p = h;
	else memcpy(p, &h, n * 2);
}

// n bytes as numbers, and back.
typedef uint8_t T(bytes) __attribute__((vector_size(LANES)));
INLINE vi T(from_bytes)(const uint8_t *p, vl_n n) {
	T(bytes) b = {0};
	if (n == LANES) memcpy(&b, p, LANES);
	else memcpy(&b, p, n);
#if LANES == 16
	return (vi)_mm512_cvtepu8_epi32((__m128i)b);
#elif LANES == 8
	return (vi)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)b));
#else
	return __builtin_convertvector(b, vi);
#endif
}
INLINE void T(to_bytes)(uint8_t *p, vi v, vl_n n) {
#if LANES == 16
	T(bytes) b = (T(bytes))_mm512_cvtepi32_epi8((__m512i)v);
#else
	T(bytes) b = __builtin_convertvector(v, T(bytes));
#endif
	if (n == LANES) memcpy(p, &b, LANES);
	else memcpy(p, &b, n);
}

// Slopes; see kernels.Func.Slope.
INLINE vf T(get_slope)(const void *p, vl_n i, vl_n n) { return (__builtin_convertvector(T(from_bytes)((const uint8_t *)p + i, n), vf) - 26) * 0.005f; }
INLINE void T(put_slope)(void *p, vl_n i, vl_n n, vf v) { T(to_bytes)((uint8_t *)p + i, __builtin_convertvector(v * 200 + 26.5f, vi), n); }

INLINE vf T(sel)(vi m, vf a, vf b) { return (vf)(((vi)a & m) | ((vi)b & ~m)); }
INLINE vf T(max)(vf a, vf b) { return T(sel)(a > b, a, b); }
INLINE vf T(min)(vf a, vf b) { return T(sel)(a < b, a, b); }
// a limited from above or below; NaN stays NaN.
INLINE vf T(atmost)(vf a, float b) { return T(sel)(a > b, T(set)(b), a); }
INLINE vf T(atleast)(vf a, float b) { return T(sel)(a < b, T(set)(b), a); }
INLINE vf T(abs)(vf a) { return (vf)((vi)a & 0x7fffffff); }
INLINE vf T(copysign)(vf a, vf s) { return (vf)(((vi)a & 0x7fffffff) | ((vi)s & (int32_t)0x80000000)); }
INLINE float T(sum)(vf v) {
	float s[LANES];
	memcpy(s, &v, sizeof s);
	for (int w = LANES / 2; w; w /= 2)
		for (int i = 0; i < w; i++) s[i] += s[i + w];
	return s[0];
}
INLINE float T(top)(vf v) {
	float m = v[0];
	for (int i = 1; i < LANES; i++) m = v[i] > m ? v[i] : m;
	return m;
}

// exp by 2ⁿ·e^r, |r| ≤ ln2/2, polynomial of degree 6; about 1 ulp. Two factors
// 2ⁿ, because n may be 128 where the result still is finite.
INLINE vf T(exp_parts)(vf c, vi *e) {
	vf t = c * 1.44269504f + 12582912.0f;
	vf n = t - 12582912.0f;
	vf r = c - n * 0.693145752f;
	r = r - n * 1.42860677e-6f;
	vf p = T(set)(1.37805939e-3f);
	p = p * r + 8.37312452e-3f;
	p = p * r + 4.16695364e-2f;
	p = p * r + 1.66664720e-1f;
	p = p * r + 4.99999851e-1f;
	p = p * r + 1.0f;
	p = p * r + 1.0f;
	*e = (vi)t - 0x4b400000;
	return p;
}
// Any x; results that would be denormal are 0.
INLINE vf T(exp)(vf x) {
	vi e;
	vf p = T(exp_parts)(T(atleast)(T(atmost)(x, 88.8f), -88.0f), &e);
	vi h = e >> 1;
	vf y = p * (vf)((h + 127) << 23) * (vf)((e - h + 127) << 23);
	y = T(sel)(x > 88.7228394f, T(set)(INFINITY), y);
	return T(sel)(x < -87.3365479f, T(set)(0), y);
}
// −87 ≤ x ≤ 88
INLINE vf T(exp_in)(vf x) {
	vi e;
	vf p = T(exp_parts)(x, &e);
	return p * (vf)((e + 127) << 23);
}
// x ≤ 0
INLINE vf T(exp_down)(vf x) { return T(sel)(x < -87, T(set)(0), T(exp_in)(T(atleast)(x, -87))); }

// −87 ≤ x ≤ 88, to 2⁻¹³ of the result
INLINE vf T(exp_rough)(vf x) {
	vf t = x * 1.44269504f + 12582912.0f, r = x * 1.44269504f - (t - 12582912.0f);
	vf p = 0.0551710105f * r + 0.242611198f;
	p = p * r + 0.693261079f;
	p = p * r + 0.999928074f;
	return p * (vf)(((vi)t + (127 - 0x4b400000)) << 23);
}

// erf in two ranges, about 1 ulp (N. Juffa's approximation).
INLINE vf T(erf)(vf x) {
	vf t = T(atmost)(T(abs)(x), 4.0f), s = t * t;
	vf r = -1.72853470e-5f * t + 3.83197126e-4f;
	vf u = -3.88396438e-3f * t + 2.42546219e-2f;
	r = r * s + u;
	r = r * t - 1.06777877e-1f;
	r = r * t - 6.34846687e-1f;
	r = r * t - 1.28717512e-1f;
	r = r * t - t;
	vf far = T(copysign)(1.0f - T(exp_in)(r), x);
	vf p = T(set)(-5.96761703e-4f);
	p = p * s + 4.99119423e-3f;
	p = p * s - 2.67681349e-2f;
	p = p * s + 1.12819925e-1f;
	p = p * s - 3.76125336e-1f;
	p = p * s + 1.28379166e-1f;
	vf near = p * x + x;
	return T(sel)(t > 0.927734375f, far, near);
}

// tanh: odd polynomial near 0 (Cephes), 1 − 2/(e²ˣ+1) beyond.
INLINE vf T(tanh)(vf x) {
	vf a = T(abs)(x), s = x * x;
	vf far = T(copysign)(1.0f - 2.0f / (T(exp_in)(T(atmost)(2.0f * a, 88)) + 1.0f), x);
	vf p = T(set)(-5.70498872745e-3f);
	p = p * s + 2.06390887954e-2f;
	p = p * s - 5.37397155531e-2f;
	p = p * s + 1.33314422036e-1f;
	p = p * s - 3.33332819422e-1f;
	vf near = p * s * x + x;
	vf y = T(sel)(a > 0.625f, far, near);
	return T(sel)(x != x, x, y);
}

INLINE vf T(sigmoid)(vf x) { return 1.0f / (1.0f + T(exp_in)(T(atleast)(T(atmost)(-x, 88), -87))); }

// 1/x to 2⁻¹¹
#if LANES == 16
INLINE vf T(inverse_rough)(vf x) { return (vf)_mm512_rcp14_ps((__m512)x); }
#elif LANES == 8
INLINE vf T(inverse_rough)(vf x) { return (vf)_mm256_rcp_ps((__m256)x); }
#else
INLINE vf T(inverse_rough)(vf x) { return 1.0f / x; }
#endif

// The sigmoid of x into s, of −x into c.
INLINE void T(sigmoids_rough)(vf x, vf *s, vf *c) {
	vf e = T(exp_rough)(T(atleast)(T(atmost)(-x, 40), -40));
	*s = T(inverse_rough)(1.0f + e);
	*c = e * *s;
}

INLINE vf T(sqrt)(vf x) {
	for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
	return x;
}
