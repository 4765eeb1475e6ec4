// bfloat16: the upper half of a float32. Compiled once per instruction set; see
// rows.c.

static void T(narrow)(vl_n rows, vl_n c, float scale, const float *x, vl_n xp, uint16_t *y, vl_n yp) {
	if (xp == c && yp == c) c *= rows, rows = 1;
	for (vl_n r = 0; r < rows; r++, x += xp, y += yp) {
		for (vl_n i = 0; i < c; i++) {
			float f = x[i] * scale;
			uint32_t v;
			memcpy(&v, &f, sizeof v);
			uint32_t rounded = v + 0x7fff + (v >> 16 & 1);
			// Rounding could carry a NaN's payload into the sign.
			y[i] = (uint16_t)(((v & 0x7fffffff) > 0x7f800000 ? v | 0x400000 : rounded) >> 16);
		}
	}
}

static void T(widen_rows)(vl_n rows, vl_n c, const uint16_t *x, vl_n xp, float *y) {
	if (xp == c) c *= rows, rows = 1;
	for (vl_n r = 0; r < rows; r++, x += xp, y += c)
		for (vl_n i = 0; i < c; i++) {
			uint32_t v = (uint32_t)x[i] << 16;
			memcpy(y + i, &v, sizeof v);
		}
}
