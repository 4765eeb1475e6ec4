// Rows of bfloat16. Compiled once per instruction set; see rows.c.

static void T(narrow)(vl_n rows, vl_n c, float scale, const float *x, vl_n xp, uint16_t *y, vl_n yp) {
	if (xp == c && yp == c) c *= rows, rows = 1;
	for (vl_n r = 0; r < rows; r++, x += xp, y += yp)
		for (vl_n i = 0; i < c; i++) y[i] = vl_narrowed(x[i] * scale);
}

static void T(widen_rows)(vl_n rows, vl_n c, const uint16_t *x, vl_n xp, float *y) {
	if (xp == c) c *= rows, rows = 1;
	for (vl_n r = 0; r < rows; r++, x += xp, y += c)
		for (vl_n i = 0; i < c; i++) y[i] = vl_widened(x[i]);
}
