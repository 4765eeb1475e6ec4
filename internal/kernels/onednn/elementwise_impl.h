// Element-wise functions of one and two operands. Compiled once per instruction
// set; see rows.c.

// The form of f for results that are rounded to bf16.
INLINE int T(rough)(int f) {
	switch (f) {
	case VL_GELU: return VL_GELU_ROUGH;
	case VL_GELU_TANH: return VL_GELU_TANH_ROUGH;
	case VL_SILU: return VL_SILU_ROUGH;
	case VL_SIGMOID: return VL_SIGMOID_ROUGH;
	}
	return f;
}

// The function f and its derivative; what the caller drops is not computed.
INLINE void T(fd)(const int f, vf x, float a, float b, vf *y, vf *d) {
	const vf one = T(set)(1), nil = {0};
	switch (f) {
	case VL_RELU: *y = T(sel)(x < 0, nil, x); *d = T(sel)(x > 0, one, nil); return;
	case VL_LEAKY_RELU: *y = T(sel)(x < 0, x * a, x); *d = T(sel)(x > 0, one, T(set)(a)); return;
	case VL_GELU: {
		vf c = 0.5f + 0.5f * T(erf)(x * 0.707106781f);
		*y = x * c;
		*d = c + x * 0.398942280f * T(exp_down)(-0.5f * x * x);
		return;
	}
	case VL_GELU_TANH: {
		vf s = x * x, t = T(tanh)(0.797884561f * x * (1.0f + 0.044715f * s));
		vf h = 0.5f + 0.5f * t;
		*y = x * h;
		*d = h + 0.5f * x * (1.0f - t * t) * (0.797884561f * (1.0f + 0.134145f * s));
		return;
	}
	case VL_SILU: {
		vf s = T(sigmoid)(x);
		*y = x * s;
		*d = s * (1.0f + x * (1.0f - s));
		return;
	}
	case VL_HARD_SWISH: {
		vf g = T(atmost)(T(atleast)(x * (1.0f / 6) + 0.5f, 0), 1);
		*y = x * g;
		*d = T(sel)(x < -3, nil, T(sel)(x > 3, one, x * (1.0f / 3) + 0.5f));
		return;
	}
	case VL_HARD_SIGMOID: {
		vf g = x * a + b;
		*y = T(atmost)(T(atleast)(g, 0), 1);
		*d = T(sel)((g > 0) & (g < 1), T(set)(a), nil);
		return;
	}
	case VL_SIGMOID: *y = T(sigmoid)(x); *d = *y * (1.0f - *y); return;
	case VL_TANH: *y = T(tanh)(x); *d = 1.0f - *y * *y; return;
	case VL_ERF: *y = T(erf)(x); *d = 1.12837917f * T(exp_down)(-x * x); return;
	case VL_EXP: *y = T(exp)(x); *d = *y; return;
	case VL_SQRT: *y = T(sqrt)(x); *d = 0.5f / *y; return;
	case VL_RECIPROCAL: *y = 1.0f / x; *d = -(*y * *y); return;
	case VL_NEG: *y = -x; *d = -one; return;
	case VL_GELU_ROUGH: {
		// a = |x|, e = exp(−a²/2), and Φ(−a) = e·m: y = max(x, 0) − a·Φ(−a). A
		// derivative of x and that of −x make 1. Up to a = 5 the polynomial is off by
		// no more than 2⁻¹¹ of the results or of 2⁻⁷; beyond e makes both vanish.
		vf c = T(atmost)(T(abs)(x), 13), e = T(exp_rough)(-0.5f * c * c);
		vf m = 3.16839168e-4f * c - 4.58228204e-3f;
		m = m * c + 2.81981134e-2f;
		m = m * c - 9.93929211e-2f;
		m = m * c + 2.31981648e-1f;
		m = m * c - 3.94670463e-1f;
		m = m * c + 4.99783428e-1f;
		*y = T(atleast)(x, 0) - e * (c * m);
		vf w = e * (m - 0.398942280f * c);
		*d = T(sel)(x > 0, 1.0f - w, w);
		return;
	}
	case VL_GELU_TANH_ROUGH: { // x·sigmoid(2·…), as the tanh form is
		vf s = x * x, p, q;
		T(sigmoids_rough)(1.595769122f * x * (1.0f + 0.044715f * s), &p, &q);
		*y = x * p;
		*d = p + x * p * q * (1.595769122f * (1.0f + 0.134145f * s));
		return;
	}
	case VL_SILU_ROUGH: {
		vf p, q;
		T(sigmoids_rough)(x, &p, &q);
		*y = x * p;
		*d = p * (1.0f + x * q);
		return;
	}
	case VL_SIGMOID_ROUGH: {
		vf q;
		T(sigmoids_rough)(x, y, &q);
		*d = *y * q;
		return;
	}
	case VL_ABS: *y = T(abs)(x); *d = T(sel)(x > 0, one, T(sel)(x < 0, -one, x)); return;
	case VL_CLIP: *y = T(atmost)(T(atleast)(x, a), b); *d = T(sel)((x > a) & (x < b), one, nil); return;
	default: *y = x * a + b; *d = T(set)(a); return; // VL_AFFINE
	}
}

#define EACH_FUNCTION(DO) \
	DO(VL_RELU) DO(VL_LEAKY_RELU) DO(VL_GELU) DO(VL_GELU_TANH) DO(VL_SILU) DO(VL_HARD_SWISH) DO(VL_HARD_SIGMOID) DO(VL_SIGMOID) DO(VL_TANH) \
	DO(VL_ERF) DO(VL_EXP) DO(VL_SQRT) DO(VL_RECIPROCAL) DO(VL_NEG) DO(VL_ABS) DO(VL_CLIP) DO(VL_AFFINE)
// In bf16: those that a rough form takes the place of are not made.
#define EACH_HALF_FUNCTION(DO) \
	DO(VL_RELU) DO(VL_LEAKY_RELU) DO(VL_GELU_ROUGH) DO(VL_GELU_TANH_ROUGH) DO(VL_SILU_ROUGH) DO(VL_HARD_SWISH) DO(VL_HARD_SIGMOID) DO(VL_SIGMOID_ROUGH) \
	DO(VL_TANH) DO(VL_ERF) DO(VL_EXP) DO(VL_SQRT) DO(VL_RECIPROCAL) DO(VL_NEG) DO(VL_ABS) DO(VL_CLIP) DO(VL_AFFINE)

// Where some operands are float32 and others bf16, pieces of rows that stay in the
// first cache are widened and narrowed: what fits no single loop is rare.
enum { T(CHUNK) = 512 };
#define CHUNK T(CHUNK)

// Where n elements of a row in float32 are written: there, or into wide.
INLINE float *T(floats)(vl_mat m, vl_n r, vl_n i, float *wide) { return m.half ? wide : vl_from_at(m, r, i).p; }
static const float *T(widened)(vl_mat m, vl_n r, vl_n i, vl_n n, float *wide) {
	if (m.half) T(widen_rows)(1, n, vl_from_at(m, r, i).p, n, wide);
	return T(floats)(m, r, i, wide);
}
static void T(narrowed)(vl_mat m, vl_n r, vl_n i, vl_n n, const float *wide) {
	if (m.half == VL_SLOPES) {
		uint8_t *to = vl_from_at(m, r, i).p;
		for (vl_n k = 0; k < n; k += LANES) T(put_slope)(to, k, n - k < LANES ? n - k : LANES, T(load_n)(wide + k, n - k < LANES ? n - k : LANES));
	} else if (m.half) T(narrow)(1, n, wide, n, vl_from_at(m, r, i).p, n);
}

INLINE void T(map_step)(const int f, const int half, const int slopes, float a, float b, vl_n i, vl_n n, const void *x, void *y, void *d) {
	vf v, w;
	T(fd)(f, T(get)(x, i, n, half), a, b, &v, &w);
	T(put)(y, i, n, half, v);
	if (d && slopes) T(put_slope)(d, i, n, w);
	else if (d) T(put)(d, i, n, half, w);
}

INLINE void T(map_row)(const int f, const int half, const int slopes, float a, float b, vl_n cols, const void *x, void *y, void *d) {
	vl_n i = 0;
	for (; i + LANES <= cols; i += LANES) T(map_step)(f, half, slopes, a, b, i, LANES, x, y, d);
	if (i < cols) T(map_step)(f, half, slopes, a, b, i, cols - i, x, y, d);
}

// One element-wise loop for all functions: after inlining f and half are
// constants, and d may be NULL as one. slopes: d is in bytes.
INLINE void T(map_rows)(const int f, const int half, const int slopes, float a, float b, vl_n rows, vl_n cols, vl_mat x, vl_mat y, vl_mat d) {
	for (vl_n r = 0; r < rows; r++) {
		const void *px = vl_at(x.p, r * x.pitch, half);
		void *py = vl_at(y.p, r * y.pitch, half);
		if (d.p) T(map_row)(f, half, slopes, a, b, cols, px, py, vl_at(d.p, r * d.pitch, slopes ? VL_SLOPES : half));
		else T(map_row)(f, half, slopes, a, b, cols, px, py, NULL);
	}
}

// map in float32
static int T(unary)(int f, float a, float b, vl_n rows, vl_n cols, vl_mat x, vl_mat y, vl_mat d) {
	switch (f) {
#define DO(F) case F: T(map_rows)(F, 0, 0, a, b, rows, cols, x, y, d); return 1;
	EACH_FUNCTION(DO)
#undef DO
	}
	return 0;
}

static int T(map)(int f, float a, float b, vl_n rows, vl_n cols, vl_mat x, vl_mat y, vl_mat d) {
	if (!x.half && !y.half && !d.half) return T(unary)(f, a, b, rows, cols, x, y, d);
#if HALVES
	if (x.half && y.half && d.half == VL_SLOPES) {
		switch (f) {
		case VL_GELU: T(map_rows)(VL_GELU_ROUGH, 1, 1, a, b, rows, cols, x, y, d); return 1;
		case VL_GELU_TANH: T(map_rows)(VL_GELU_TANH_ROUGH, 1, 1, a, b, rows, cols, x, y, d); return 1;
		case VL_SILU: T(map_rows)(VL_SILU_ROUGH, 1, 1, a, b, rows, cols, x, y, d); return 1;
		}
		return 0;
	}
	if (x.half && y.half && (!d.p || d.half)) {
		switch (T(rough)(f)) {
#define DO(F) case F: T(map_rows)(F, 1, 0, a, b, rows, cols, x, y, d); return 1;
		EACH_HALF_FUNCTION(DO)
#undef DO
		}
		return 0;
	}
#endif
	float bx[CHUNK], by[CHUNK], bd[CHUNK];
	for (vl_n r = 0; r < rows; r++)
		for (vl_n i = 0; i < cols; i += CHUNK) {
			vl_n n = cols - i < CHUNK ? cols - i : CHUNK;
			vl_mat wx = {(void *)T(widened)(x, r, i, n, bx), n}, wy = {T(floats)(y, r, i, by), n}, wd = {T(floats)(d, r, i, bd), n};
			if (!T(unary)(f, a, b, 1, n, wx, wy, wd)) return 0;
			T(narrowed)(y, r, i, n, by);
			T(narrowed)(d, r, i, n, bd);
		}
	return 1;
}

INLINE void T(back_step)(const int f, const int half, int acc, float a, float b, vl_n i, vl_n n, const void *x, const void *dy, void *dx) {
	vf v, w;
	T(fd)(f, T(get)(x, i, n, half), a, b, &v, &w);
	w *= T(get)(dy, i, n, half);
	if (acc) w += T(get)(dx, i, n, half);
	T(put)(dx, i, n, half, w);
}

INLINE void T(back_rows)(const int f, const int half, int acc, float a, float b, vl_n rows, vl_n cols, vl_mat x, vl_mat dy, vl_mat dx) {
	for (vl_n r = 0; r < rows; r++) {
		const void *px = vl_at(x.p, r * x.pitch, half), *pg = vl_at(dy.p, r * dy.pitch, half);
		void *pd = vl_at(dx.p, r * dx.pitch, half);
		vl_n i = 0;
		for (; i + LANES <= cols; i += LANES) T(back_step)(f, half, acc, a, b, i, LANES, px, pg, pd);
		if (i < cols) T(back_step)(f, half, acc, a, b, i, cols - i, px, pg, pd);
	}
}

static int T(map_backward)(int f, float a, float b, int acc, vl_n rows, vl_n cols, vl_mat x, vl_mat dy, vl_mat dx) {
	if (!x.half && !dy.half && !dx.half) {
		switch (f) {
#define DO(F) case F: T(back_rows)(F, 0, acc, a, b, rows, cols, x, dy, dx); return 1;
		EACH_FUNCTION(DO)
#undef DO
		}
		return 0;
	}
#if HALVES
	if (x.half && dy.half && dx.half) {
		switch (T(rough)(f)) {
#define DO(F) case F: T(back_rows)(F, 1, acc, a, b, rows, cols, x, dy, dx); return 1;
		EACH_HALF_FUNCTION(DO)
#undef DO
		}
		return 0;
	}
#endif
	float bx[CHUNK], bg[CHUNK], bd[CHUNK];
	for (vl_n r = 0; r < rows; r++)
		for (vl_n i = 0; i < cols; i += CHUNK) {
			vl_n n = cols - i < CHUNK ? cols - i : CHUNK;
			vl_mat wx = {(void *)T(widened)(x, r, i, n, bx), n}, wg = {(void *)T(widened)(dy, r, i, n, bg), n}, wd = {T(floats)(dx, r, i, bd), n};
			if (acc) T(widened)(dx, r, i, n, bd);
			if (!T(map_backward)(f, a, b, acc, 1, n, wx, wg, wd)) return 0;
			T(narrowed)(dx, r, i, n, bd);
		}
	return 1;
}

INLINE void T(slope_rows)(const int gh, const int dh, int acc, vl_n rows, vl_n cols, vl_mat d, vl_mat dy, vl_mat dx) {
	for (vl_n r = 0; r < rows; r++) {
		const void *s = vl_at(d.p, r * d.pitch, VL_SLOPES), *g = vl_at(dy.p, r * dy.pitch, gh);
		void *to = vl_at(dx.p, r * dx.pitch, dh);
		for (vl_n i = 0; i < cols; i += LANES) {
			vl_n n = cols - i < LANES ? cols - i : LANES;
			vf v = T(get_slope)(s, i, n) * T(get)(g, i, n, gh);
			if (acc) v += T(get)(to, i, n, dh);
			T(put)(to, i, n, dh, v);
		}
	}
}

static void T(slopes)(int acc, vl_n rows, vl_n cols, vl_mat d, vl_mat dy, vl_mat dx) {
	if (dy.half && dx.half) T(slope_rows)(1, 1, acc, rows, cols, d, dy, dx);
	else T(slope_rows)(dy.half, dx.half, acc, rows, cols, d, dy, dx);
}

INLINE vf T(op)(const int f, vf x, vf z) {
	switch (f) {
	case VL_ADD: return x + z;
	case VL_SUB: return x - z;
	case VL_MUL: return x * z;
	case VL_DIV: return x / z;
	case VL_MAX: return T(sel)(x != x, x, T(sel)(z > x, z, T(sel)(z != z, z, x)));
	default: return T(sel)(x != x, x, T(sel)(z < x, z, T(sel)(z != z, z, x)));
	}
}

INLINE void T(op_step)(const int f, const int half, const int acc, vl_n i, vl_n n, const void *x, const int xs, vf bx, const void *z, const int zs, vf bz, void *y) {
	vf v = T(op)(f, xs ? T(get)(x, i, n, half) : bx, zs ? T(get)(z, i, n, half) : bz);
	if (acc) v += T(get)(y, i, n, half);
	T(put)(y, i, n, half, v);
}

// xs and zs: 0 for an operand that is one number.
INLINE void T(op_row)(const int f, const int half, const int acc, vl_n n, const void *x, const int xs, const void *z, const int zs, void *y) {
	vl_n i = 0;
	vf bx = T(set)(half ? vl_widened(*(const uint16_t *)x) : *(const float *)x), bz = T(set)(half ? vl_widened(*(const uint16_t *)z) : *(const float *)z);
	for (; i + LANES <= n; i += LANES) T(op_step)(f, half, acc, i, LANES, x, xs, bx, z, zs, bz, y);
	if (i < n) T(op_step)(f, half, acc, i, n - i, x, xs, bx, z, zs, bz, y);
}

INLINE void T(op_forms)(const int f, const int half, const int acc, vl_n n, const void *x, int xs, const void *z, int zs, void *y) {
	switch ((xs ? 2 : 0) + (zs ? 1 : 0)) {
	case 0: T(op_row)(f, half, acc, n, x, 0, z, 0, y); break;
	case 1: T(op_row)(f, half, acc, n, x, 0, z, 1, y); break;
	case 2: T(op_row)(f, half, acc, n, x, 1, z, 0, y); break;
	default: T(op_row)(f, half, acc, n, x, 1, z, 1, y); break;
	}
}

INLINE void T(op_box)(const int f, int acc, const vl_box *b, const void *x, const void *z, void *y) {
	vl_n c = b->dim[2], xs = b->x[2], zs = b->z[2];
	int halves = b->x16 + b->z16 + b->y16, all = HALVES && halves == 3, mixed = halves && !all;
	float bx[CHUNK], bz[CHUNK], by[CHUNK];
	for (vl_n i = 0; i < b->dim[0]; i++)
		for (vl_n j = 0; j < b->dim[1]; j++)
			for (vl_n k = 0, n = mixed ? CHUNK : c; k < c; k += n) {
				if (n > c - k) n = c - k;
				vl_mat mx = {vl_at(x, i * b->x[0] + j * b->x[1] + k * xs, b->x16), 0, b->x16}, mz = {vl_at(z, i * b->z[0] + j * b->z[1] + k * zs, b->z16), 0, b->z16},
					my = {vl_at(y, i * b->y[0] + j * b->y[1] + k, b->y16), 0, b->y16};
				const void *px = mx.p, *pz = mz.p;
				void *py = my.p;
				if (mixed) {
					px = T(widened)(mx, 0, 0, xs ? n : 1, bx), pz = T(widened)(mz, 0, 0, zs ? n : 1, bz), py = T(floats)(my, 0, 0, by);
					if (acc) T(widened)(my, 0, 0, n, by);
				}
				if (all && acc) T(op_forms)(f, 1, 1, n, px, xs, pz, zs, py);
				else if (all) T(op_forms)(f, 1, 0, n, px, xs, pz, zs, py);
				else if (acc) T(op_forms)(f, 0, 1, n, px, xs, pz, zs, py);
				else T(op_forms)(f, 0, 0, n, px, xs, pz, zs, py);
				if (mixed) T(narrowed)(my, 0, 0, n, by);
			}
}

static void T(binary)(int f, int acc, const vl_box *b, const void *x, const void *z, void *y) {
	switch (f) {
	case VL_ADD: T(op_box)(VL_ADD, acc, b, x, z, y); return;
	case VL_SUB: T(op_box)(VL_SUB, acc, b, x, z, y); return;
	case VL_MUL: T(op_box)(VL_MUL, acc, b, x, z, y); return;
	case VL_DIV: T(op_box)(VL_DIV, acc, b, x, z, y); return;
	case VL_MAX: T(op_box)(VL_MAX, acc, b, x, z, y); return;
	default: T(op_box)(VL_MIN, acc, b, x, z, y); return;
	}
}

static void T(add_rows)(vl_n rows, vl_n c, const float *x, vl_n xp, float *y, vl_n yp) {
	const float zero = 0;
	for (vl_n r = 0; r < rows; r++) T(op_row)(VL_ADD, 0, 1, c, x + r * xp, 1, &zero, 0, y + r * yp);
}

INLINE void T(affine_rows)(int xh, int yh, vl_n rows, vl_n c, vl_mat x, const float *scale, const float *shift, vl_mat y, int acc) {
	for (vl_n r = 0; r < rows; r++) {
		const void *px = vl_at(x.p, r * x.pitch, xh);
		void *py = vl_at(y.p, r * y.pitch, yh);
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			vf v = T(get)(px, i, n, xh);
			if (scale) v *= T(get)(scale, i, n, 0);
			if (shift) v += T(get)(shift, i, n, 0);
			if (acc) v += T(get)(py, i, n, yh);
			T(put)(py, i, n, yh, v);
		}
	}
}

static void T(affine)(vl_n rows, vl_n c, vl_mat x, const float *scale, const float *shift, vl_mat y, int acc) {
	if (x.half && y.half) T(affine_rows)(1, 1, rows, c, x, scale, shift, y, acc);
	else if (x.half || y.half) T(affine_rows)(x.half, y.half, rows, c, x, scale, shift, y, acc);
	else T(affine_rows)(0, 0, rows, c, x, scale, shift, y, acc);
}
