// Pooling over channels-last maps and its gradient, the channels innermost. Compiled
// once per instruction set; see rows.c.

// What a sum over the window at (h, w) is multiplied with.
INLINE float T(mean_of)(const vl_pool_shape *s, vl_n h, vl_n w) {
	vl_n nh = 0, nw = 0;
	for (vl_n k = 0; k < s->kh; k++) {
		vl_n y = h + k * s->dh;
		nh += s->include ? y < s->h + s->pb : y >= 0 && y < s->h;
	}
	for (vl_n k = 0; k < s->kw; k++) {
		vl_n x = w + k * s->dw;
		nw += s->include ? x < s->w + s->pr : x >= 0 && x < s->w;
	}
	return 1.0f / (nh * nw > 1 ? nh * nw : 1);
}

INLINE void T(pool_rows)(const int xh, const int yh, const vl_pool_shape *s, const void *x, void *y, uint8_t *index) {
	vl_n c = s->c;
	const int32_t none = (int32_t)(s->kh * s->kw);
	for (vl_n i = 0; i < s->n * s->oh * s->ow; i++) {
		vl_n h = i / s->ow % s->oh * s->sh - s->pt, w = i % s->ow * s->sw - s->pl;
		const void *pic = vl_at(x, i / (s->oh * s->ow) * s->h * s->w * s->xp, xh);
		void *out = vl_at(y, i * s->yp, yh);
		float scale = s->max ? 1 : T(mean_of)(s, h, w);
		for (vl_n j = 0; j < c; j += LANES) {
			vl_n n = c - j < LANES ? c - j : LANES;
			vf best = T(set)(s->max ? -INFINITY : 0);
			vi at = (vi)T(set)(0) + none;
			for (vl_n kh = 0; kh < s->kh; kh++) {
				vl_n r = h + kh * s->dh;
				if (r < 0 || r >= s->h) continue;
				for (vl_n kw = 0; kw < s->kw; kw++) {
					vl_n q = w + kw * s->dw;
					if (q < 0 || q >= s->w) continue;
					vf v = T(get)(pic, (r * s->w + q) * s->xp + j, n, xh);
					if (s->max) {
						vi take = (v > best) | (v != v) | (at == none);
						best = T(sel)(take, v, best);
						at = (at & ~take) | (take & (int32_t)(kh * s->kw + kw));
					} else {
						best += v;
					}
				}
			}
			T(put)(out, j, n, yh, best * scale);
			if (index) T(to_bytes)(index + i * c + j, at, n);
		}
	}
}

static void T(pool)(const vl_pool_shape *s, const void *x, void *y, uint8_t *index) {
	if (!s->x16 && !s->y16) T(pool_rows)(0, 0, s, x, y, index);
	else if (s->x16 && s->y16) T(pool_rows)(1, 1, s, x, y, index);
	else T(pool_rows)(s->x16, s->y16, s, x, y, index);
}

// Every pixel of dx collects from the outputs that it reaches, so that it is
// written once.
INLINE void T(pool_back)(const int xh, const int yh, const vl_pool_shape *s, const void *dy, const uint8_t *index, void *dx, int acc) {
	struct {
		vl_n at; // an output
		int32_t tap;
		float scale;
	} reach[VL_POOL_TAPS];
	vl_n c = s->c, skip[VL_POOL_TAPS], rest[VL_POOL_TAPS]; // of a tap: whole strides, and what is left
	for (vl_n kw = 0; kw < s->kw; kw++) skip[kw] = kw * s->dw / s->sw, rest[kw] = kw * s->dw % s->sw;
	for (vl_n i = 0; i < s->n; i++)
		for (vl_n r = 0; r < s->h; r++)
			for (vl_n q = 0; q < s->w; q++) {
				int n = 0;
				vl_n w = q + s->pl, last = w / s->sw, left = w % s->sw;
				for (vl_n kh = 0; kh < s->kh; kh++) {
					vl_n h = r + s->pt - kh * s->dh, oh = h / s->sh;
					if (h < 0 || oh * s->sh != h || oh >= s->oh) continue;
					for (vl_n kw = 0; kw < s->kw; kw++) {
						vl_n ow = last - skip[kw];
						if (rest[kw] != left || ow < 0 || ow >= s->ow) continue;
						reach[n].at = (i * s->oh + oh) * s->ow + ow;
						reach[n].tap = (int32_t)(kh * s->kw + kw);
						if (!s->max) reach[n].scale = T(mean_of)(s, h - s->pt, ow * s->sw - s->pl);
						n++;
					}
				}
				void *out = vl_at(dx, ((i * s->h + r) * s->w + q) * s->xp, xh);
				for (vl_n j = 0; j < c; j += LANES) {
					vl_n m = c - j < LANES ? c - j : LANES;
					vf sum = acc ? T(get)(out, j, m, xh) : (vf){0};
					for (int k = 0; k < n; k++) {
						vf g = T(get)(dy, reach[k].at * s->yp + j, m, yh);
						if (!s->max) {
							sum += g * reach[k].scale;
							continue;
						}
						sum += T(sel)(T(from_bytes)(index + reach[k].at * c + j, m) == reach[k].tap, g, (vf){0});
					}
					T(put)(out, j, m, xh, sum);
				}
			}
}

static void T(pool_backward)(const vl_pool_shape *s, const void *dy, const uint8_t *index, void *dx, int acc) {
	if (!s->x16 && !s->y16) T(pool_back)(0, 0, s, dy, index, dx, acc);
	else if (s->x16 && s->y16) T(pool_back)(1, 1, s, dy, index, dx, acc);
	else T(pool_back)(s->x16, s->y16, s, dy, index, dx, acc);
}
