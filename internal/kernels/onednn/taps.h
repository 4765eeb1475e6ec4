// What a row of a convolution reads: windows as a list of taps.
#ifndef VL_TAPS_H
#define VL_TAPS_H
#include "product.h"

enum { VL_TAPS = 64 }; // of a window

// A row: the picture it belongs to and the pixel of tap (0, 0).
typedef struct {
	vl_n picture, y, x;
} vl_origin;

// A tap with the distance of its pixel from a row's origin.
typedef struct {
	vl_n tap, y, x;
} vl_tap;

// The pixels that are written in one phase: with a stride the taps that reach a
// pixel of a gradient depend on where the pixel stands between two strides.
typedef struct {
	vl_n py, px;         // the phase
	vl_n ph, pw, oh, ow; // how many there are, and the pixels of this one
	vl_n n;
	vl_tap tap[VL_TAPS];
} vl_phase;

static inline vl_n vl_phases(const vl_window *w) { return w->backward ? w->sh * w->sw : 1; }

// vl_phase_of lists the taps whose windows reach the pixels of phase i.
static inline void vl_phase_of(const vl_window *w, vl_n i, vl_phase *out) {
	out->ph = w->backward ? w->sh : 1, out->pw = w->backward ? w->sw : 1;
	out->py = i / out->pw, out->px = i % out->pw;
	out->oh = (w->oh - out->py + out->ph - 1) / out->ph, out->ow = (w->ow - out->px + out->pw - 1) / out->pw;
	out->n = 0;
	for (vl_n ky = 0; ky < w->kh; ky++)
		for (vl_n kx = 0; kx < w->kw; kx++) {
			vl_tap t = {ky * w->kw + kx, ky * w->dh, kx * w->dw};
			if (w->backward) {
				vl_n y = (out->py + w->pt) % w->sh - t.y, x = (out->px + w->pl) % w->sw - t.x;
				if (y % w->sh || x % w->sw) continue;
				t.y = y / w->sh, t.x = x / w->sw;
			}
			out->tap[out->n++] = t;
		}
}

// vl_rows_of finds the origins of rows from row i on, and their pixels in the map
// that is written.
static inline void vl_rows_of(const vl_window *w, const vl_phase *f, vl_n i, vl_n rows, vl_origin *at, vl_n *pixel) {
	vl_n picture = i / (f->oh * f->ow), oy = i / f->ow % f->oh, ox = i % f->ow;
	for (vl_n q = 0; q < rows; q++) {
		vl_n y = oy * f->ph + f->py, x = ox * f->pw + f->px;
		pixel[q] = (picture * w->oh + y) * w->ow + x;
		at[q].picture = picture;
		at[q].y = w->backward ? (y + w->pt) / w->sh : y * w->sh - w->pt;
		at[q].x = w->backward ? (x + w->pl) / w->sw : x * w->sw - w->pl;
		if (++ox == f->ow) ox = 0, oy++;
		if (oy == f->oh) oy = 0, picture++;
	}
}

// vl_pixel_of is the pixel of the map that is read at a tap, −1 outside of it.
static inline vl_n vl_pixel_of(const vl_window *w, const vl_origin *at, const vl_tap *t) {
	vl_n y = at->y + t->y, x = at->x + t->x;
	return (size_t)y < (size_t)w->h && (size_t)x < (size_t)w->w ? (at->picture * w->h + y) * w->w + x : -1;
}
#endif
