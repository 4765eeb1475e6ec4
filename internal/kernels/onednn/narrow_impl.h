// Rows of bfloat16. Compiled once per instruction set; see rows.c.

static void T(narrow)(vl_n rows, vl_n c, const float *x, vl_n xp, uint16_t *y, vl_n yp) {
	if (xp == c && yp == c) c *= rows, rows = 1;
	for (vl_n r = 0; r < rows; r++, x += xp, y += yp) {
		vl_n i = 0;
		for (; i + LANES <= c; i += LANES) T(put)(y, i, LANES, 1, T(load)(x + i));
		if (i < c) T(put)(y, i, c - i, 1, T(load_n)(x + i, c - i));
	}
}

static void T(widen_rows)(vl_n rows, vl_n c, const uint16_t *x, vl_n xp, float *y) {
	if (xp == c) c *= rows, rows = 1;
	for (vl_n r = 0; r < rows; r++, x += xp, y += c) {
		vl_n i = 0;
		for (; i + LANES <= c; i += LANES) T(store)(y + i, T(get)(x, i, LANES, 1));
		if (i < c) T(store_n)(y + i, T(get)(x, i, c - i, 1), c - i);
	}
}
