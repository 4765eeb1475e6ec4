// The gradient of depthwise kernels over channels-last maps, the channels innermost.
// Compiled once per instruction set; see rows.c.

// The gradient of a depthwise kernel: part holds kh·kw·c floats, the sums of one
// row of outputs; total as many doubles.
static void T(depthwise_weights)(const vl_pool_shape *s, const float *x, const float *dy, float *part, double *total, float *dw, int acc) {
	vl_n c = s->c, taps = s->kh * s->kw;
	memset(total, 0, taps * c * sizeof *total);
	for (vl_n row = 0; row < s->n * s->oh; row++) {
		vl_n n = row / s->oh, h = row % s->oh * s->sh - s->pt;
		const float *g = dy + row * s->ow * s->yp;
		memset(part, 0, taps * c * sizeof *part);
		for (vl_n kh = 0; kh < s->kh; kh++) {
			vl_n r = h + kh * s->dh;
			if (r < 0 || r >= s->h) continue;
			const float *in = x + (n * s->h + r) * s->w * s->xp;
			for (vl_n kw = 0; kw < s->kw; kw++) {
				vl_n w0 = kw * s->dw - s->pl;
				// The outputs whose tap lies inside the map.
				vl_n first = w0 < 0 ? (-w0 + s->sw - 1) / s->sw : 0, last = s->ow;
				while (last > first && (last - 1) * s->sw + w0 >= s->w) last--;
				float *sum = part + (kh * s->kw + kw) * c;
				for (vl_n j = 0; j < c; j += LANES) {
					vl_n m = c - j < LANES ? c - j : LANES;
					vf v = {0};
					if (m == LANES)
						for (vl_n o = first; o < last; o++) v += T(load)(in + (o * s->sw + w0) * s->xp + j) * T(load)(g + o * s->yp + j);
					else
						for (vl_n o = first; o < last; o++) v += T(load_n)(in + (o * s->sw + w0) * s->xp + j, m) * T(load_n)(g + o * s->yp + j, m);
					T(store_n)(sum + j, v, m);
				}
			}
		}
		for (vl_n i = 0; i < taps * c; i++) total[i] += part[i];
	}
	for (vl_n i = 0; i < c; i++)
		for (vl_n k = 0; k < taps; k++) dw[i * taps + k] = (float)(total[k * c + i] + (acc ? dw[i * taps + k] : 0));
}
