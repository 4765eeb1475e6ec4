// Element-wise functions of one and two operands. Compiled once per instruction
// set; see rows.c.

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
	case VL_ABS: *y = T(abs)(x); *d = T(sel)(x > 0, one, T(sel)(x < 0, -one, x)); return;
	case VL_CLIP: *y = T(atmost)(T(atleast)(x, a), b); *d = T(sel)((x > a) & (x < b), one, nil); return;
	default: *y = x * a + b; *d = T(set)(a); return; // VL_AFFINE
	}
}

// One element-wise loop for all functions: f is a constant after inlining.
INLINE void T(map)(const int f, float a, float b, vl_n rows, vl_n cols, const float *x, vl_n xp, float *y, vl_n yp, float *d, vl_n dp) {
	for (vl_n r = 0; r < rows; r++, x += xp, y += yp) {
		vl_n i = 0;
		vf v, w;
		if (d) {
			for (; i + LANES <= cols; i += LANES) {
				T(fd)(f, T(load)(x + i), a, b, &v, &w);
				T(store)(y + i, v);
				T(store)(d + i, w);
			}
			if (i < cols) {
				T(fd)(f, T(load_n)(x + i, cols - i), a, b, &v, &w);
				T(store_n)(y + i, v, cols - i);
				T(store_n)(d + i, w, cols - i);
			}
			d += dp;
			continue;
		}
		for (; i + LANES <= cols; i += LANES) {
			T(fd)(f, T(load)(x + i), a, b, &v, &w);
			T(store)(y + i, v);
		}
		if (i < cols) {
			T(fd)(f, T(load_n)(x + i, cols - i), a, b, &v, &w);
			T(store_n)(y + i, v, cols - i);
		}
	}
}

INLINE void T(map_backward)(const int f, float a, float b, const int acc, vl_n rows, vl_n cols, const float *x, vl_n xp, const float *dy, vl_n gp, float *dx, vl_n dp) {
	for (vl_n r = 0; r < rows; r++, x += xp, dy += gp, dx += dp) {
		vl_n i = 0;
		vf v, w;
		for (; i + LANES <= cols; i += LANES) {
			T(fd)(f, T(load)(x + i), a, b, &v, &w);
			w *= T(load)(dy + i);
			if (acc) w += T(load)(dx + i);
			T(store)(dx + i, w);
		}
		if (i < cols) {
			T(fd)(f, T(load_n)(x + i, cols - i), a, b, &v, &w);
			w *= T(load_n)(dy + i, cols - i);
			if (acc) w += T(load_n)(dx + i, cols - i);
			T(store_n)(dx + i, w, cols - i);
		}
	}
}

#define EACH_FUNCTION(DO) \
	DO(VL_RELU) DO(VL_LEAKY_RELU) DO(VL_GELU) DO(VL_GELU_TANH) DO(VL_SILU) DO(VL_HARD_SWISH) DO(VL_HARD_SIGMOID) DO(VL_SIGMOID) DO(VL_TANH) \
	DO(VL_ERF) DO(VL_EXP) DO(VL_SQRT) DO(VL_RECIPROCAL) DO(VL_NEG) DO(VL_ABS) DO(VL_CLIP) DO(VL_AFFINE)

static int T(unary)(int f, float a, float b, vl_n rows, vl_n cols, const float *x, vl_n xp, float *y, vl_n yp, float *d, vl_n dp) {
	switch (f) {
#define DO(F) case F: T(map)(F, a, b, rows, cols, x, xp, y, yp, d, dp); return 1;
	EACH_FUNCTION(DO)
#undef DO
	}
	return 0;
}

static int T(unary_backward)(int f, float a, float b, int acc, vl_n rows, vl_n cols, const float *x, vl_n xp, const float *dy, vl_n gp, float *dx, vl_n dp) {
	switch (f) {
#define DO(F) \
	case F: \
		if (acc) T(map_backward)(F, a, b, 1, rows, cols, x, xp, dy, gp, dx, dp); \
		else T(map_backward)(F, a, b, 0, rows, cols, x, xp, dy, gp, dx, dp); \
		return 1;
	EACH_FUNCTION(DO)
#undef DO
	}
	return 0;
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

INLINE void T(op_row)(const int f, const int acc, vl_n n, const float *x, const int xs, const float *z, const int zs, float *y) {
	vl_n i = 0;
	vf bx = T(set)(*x), bz = T(set)(*z);
	for (; i + LANES <= n; i += LANES) {
		vf v = T(op)(f, xs ? T(load)(x + i) : bx, zs ? T(load)(z + i) : bz);
		if (acc) v += T(load)(y + i);
		T(store)(y + i, v);
	}
	if (i < n) {
		vf v = T(op)(f, xs ? T(load_n)(x + i, n - i) : bx, zs ? T(load_n)(z + i, n - i) : bz);
		if (acc) v += T(load_n)(y + i, n - i);
		T(store_n)(y + i, v, n - i);
	}
}

INLINE void T(op_box)(const int f, int acc, const vl_box *b, const float *x, const float *z, float *y) {
	for (vl_n i = 0; i < b->dim[0]; i++)
		for (vl_n j = 0; j < b->dim[1]; j++) {
			const float *px = x + i * b->x[0] + j * b->x[1], *pz = z + i * b->z[0] + j * b->z[1];
			float *py = y + i * b->y[0] + j * b->y[1];
			switch ((acc ? 4 : 0) + (b->x[2] ? 2 : 0) + (b->z[2] ? 1 : 0)) {
			case 0: T(op_row)(f, 0, b->dim[2], px, 0, pz, 0, py); break;
			case 1: T(op_row)(f, 0, b->dim[2], px, 0, pz, 1, py); break;
			case 2: T(op_row)(f, 0, b->dim[2], px, 1, pz, 0, py); break;
			case 3: T(op_row)(f, 0, b->dim[2], px, 1, pz, 1, py); break;
			case 4: T(op_row)(f, 1, b->dim[2], px, 0, pz, 0, py); break;
			case 5: T(op_row)(f, 1, b->dim[2], px, 0, pz, 1, py); break;
			case 6: T(op_row)(f, 1, b->dim[2], px, 1, pz, 0, py); break;
			default: T(op_row)(f, 1, b->dim[2], px, 1, pz, 1, py); break;
			}
		}
}

static void T(binary)(int f, int acc, const vl_box *b, const float *x, const float *z, float *y) {
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
	for (vl_n r = 0; r < rows; r++) T(op_row)(VL_ADD, 1, c, x + r * xp, 1, &zero, 0, y + r * yp);
}

static void T(affine)(vl_n rows, vl_n c, const float *x, vl_n xp, const float *scale, const float *shift, float *y, vl_n yp, int acc) {
	for (vl_n r = 0; r < rows; r++, x += xp, y += yp) {
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			int full = n == LANES;
			vf v = full ? T(load)(x + i) : T(load_n)(x + i, n);
			if (scale) v *= full ? T(load)(scale + i) : T(load_n)(scale + i, n);
			if (shift) v += full ? T(load)(shift + i) : T(load_n)(shift + i, n);
			if (acc) v += full ? T(load)(y + i) : T(load_n)(y + i, n);
			if (full) T(store)(y + i, v);
			else T(store_n)(y + i, v, n);
		}
	}
}
