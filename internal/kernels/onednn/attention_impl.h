// Rows of scores to probabilities and back. Compiled once per instruction set;
// see rows.c.

// s becomes e^(s + mask − max). sum is the reciprocal of a row's sum; stats, unless
// NULL, the maximum and that. A row that is −∞ everywhere is 0, and so are both.
static void T(attend)(vl_n rows, vl_n c, float *s, vl_n sp, const float *mask, vl_n mp, float *sum, float *stats) {
	for (vl_n r = 0; r < rows; r++, s += sp) {
		vf top = T(set)(-INFINITY), second = top;
		vl_n i = 0;
		if (mask) {
			for (; i + LANES <= c; i += LANES) {
				vf v = T(load)(s + i) + T(load)(mask + i);
				T(store)(s + i, v);
				top = T(max)(v, top);
			}
			for (vl_n j = i; j < c; j++) s[j] += mask[j];
			mask += mp;
		}
		for (; i + 2 * LANES <= c; i += 2 * LANES) {
			top = T(max)(T(load)(s + i), top);
			second = T(max)(T(load)(s + i + LANES), second);
		}
		for (; i + LANES <= c; i += LANES) top = T(max)(T(load)(s + i), top);
		float m = T(top)(T(max)(top, second));
		for (; i < c; i++) m = s[i] > m ? s[i] : m;
		if (m == -INFINITY) m = 0;
		double total = 0;
		vf t = {0}, e;
		for (i = 0; i + LANES <= c; i += LANES) {
			e = T(exp_down)(T(load)(s + i) - m);
			t += e;
			T(store)(s + i, e);
		}
		if (i < c) {
			e = T(exp_down)(T(load_n)(s + i, c - i) - m);
			T(store_n)(s + i, e, c - i);
			for (int j = 0; j < c - i; j++) total += e[j];
		}
		total += T(sum)(t);
		sum[r] = total == 0 ? 0 : (float)(1 / total);
		if (stats) stats[2 * r] = m, stats[2 * r + 1] = sum[r];
	}
}

// s becomes the probabilities, and g, unless NULL, the gradient of what they were
// made from; it held that of the probabilities.
static void T(attend_backward)(vl_n rows, vl_n c, float *s, vl_n sp, const float *mask, vl_n mp, const float *stats, float *g, vl_n gp) {
	for (vl_n r = 0; r < rows; r++, s += sp) {
		float m = stats[2 * r], scale = stats[2 * r + 1];
		vf sum = {0};
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			int full = n == LANES;
			vf v = full ? T(load)(s + i) : T(load_n)(s + i, n);
			if (mask) v += full ? T(load)(mask + i) : T(load_n)(mask + i, n);
			// Rounding may leave a score above the maximum, though never far.
			vf p = T(exp_down)(v - m) * scale;
			if (full) T(store)(s + i, p);
			else T(store_n)(s + i, p, n);
			if (g) sum += p * (full ? T(load)(g + i) : T(load_n)(g + i, n));
		}
		if (mask) mask += mp;
		if (!g) continue;
		float total = T(sum)(sum);
		for (vl_n i = 0; i < c; i += LANES) {
			vl_n n = c - i < LANES ? c - i : LANES;
			if (n == LANES) T(store)(g + i, T(load)(s + i) * (T(load)(g + i) - total));
			else T(store_n)(g + i, T(load_n)(s + i, n) * (T(load_n)(g + i, n) - total), n);
		}
		g += gp;
	}
}
