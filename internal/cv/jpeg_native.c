//go:build cgo && gocv_specific_modules && libjpeg

#include "jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

struct vislora_jpeg {
	struct jpeg_decompress_struct d;
	struct jpeg_error_mgr errors;
	jmp_buf out;
	uint8_t *row;
	size_t room;
};

static void leave(j_common_ptr d) { longjmp(*(jmp_buf *)d->client_data, 1); }

// A warning is a damaged picture: OpenCV shall say what it makes of it.
static void warn(j_common_ptr d, int level) {
	if (level < 0) leave(d);
}

static void quiet(j_common_ptr d) { (void)d; }

vislora_jpeg *vislora_jpeg_new(void) {
	vislora_jpeg *j = calloc(1, sizeof *j);
	if (!j) return NULL;
	j->d.err = jpeg_std_error(&j->errors);
	j->errors.error_exit = leave;
	j->errors.emit_message = warn;
	j->errors.output_message = quiet;
	j->d.client_data = &j->out;
	if (setjmp(j->out)) {
		free(j);
		return NULL;
	}
	jpeg_create_decompress(&j->d);
	return j;
}

void vislora_jpeg_free(vislora_jpeg *j) {
	if (!j) return;
	jpeg_destroy_decompress(&j->d);
	free(j->row);
	free(j);
}

int vislora_jpeg_read(vislora_jpeg *j, const uint8_t *data, size_t n, int width, int height, int scale, int x, int y, int w, int h, uint8_t *dst) {
	struct jpeg_decompress_struct *d = &j->d;
	if (setjmp(j->out)) {
		jpeg_abort_decompress(d);
		return 1;
	}
	jpeg_mem_src(d, data, n);
	jpeg_read_header(d, TRUE);
	if ((int)d->image_width != width || (int)d->image_height != height || d->data_precision != 8) leave((j_common_ptr)d);
	if (d->jpeg_color_space != JCS_YCbCr && d->jpeg_color_space != JCS_GRAYSCALE && d->jpeg_color_space != JCS_RGB) leave((j_common_ptr)d);
	d->out_color_space = JCS_RGB;
	d->scale_num = 1;
	d->scale_denom = scale;
	jpeg_start_decompress(d);
	if (x < 0 || y < 0 || w <= 0 || h <= 0 || x + w > (int)d->output_width || y + h > (int)d->output_height) leave((j_common_ptr)d);

	// Chroma is smoothed over the borders of blocks, so one more block on every
	// side keeps the pixels what they are in the whole picture.
	int block = 16 * (d->max_h_samp_factor > d->max_v_samp_factor ? d->max_h_samp_factor : d->max_v_samp_factor);
	int left = 0;
	if (w < (int)d->output_width) {
		int right = x + w + block;
		if (right > (int)d->output_width) right = d->output_width;
		JDIMENSION from = x > block ? x - block : 0, wide = right - from;
		jpeg_crop_scanline(d, &from, &wide);
		left = x - from;
	}
	size_t bytes = (size_t)d->output_width * 3;
	if (bytes > j->room) {
		uint8_t *row = realloc(j->row, bytes);
		if (!row) leave((j_common_ptr)d);
		j->row = row, j->room = bytes;
	}
	if (y > block) jpeg_skip_scanlines(d, y - block);
	JSAMPROW rows[1];
	while ((int)d->output_scanline < y + h) {
		int at = (int)d->output_scanline - y;
		int whole = at >= 0 && left == 0 && (int)d->output_width == w;
		rows[0] = whole ? dst + (size_t)at * w * 3 : j->row;
		if (jpeg_read_scanlines(d, rows, 1) != 1) leave((j_common_ptr)d);
		if (at >= 0 && !whole) memcpy(dst + (size_t)at * w * 3, j->row + (size_t)left * 3, (size_t)w * 3);
	}
	jpeg_abort_decompress(d); // what lies below is not read
	return 0;
}

int vislora_jpeg_write(const uint8_t *rgb, int width, int height, int quality, uint8_t **out, unsigned long *n) {
	if (width < 1 || height < 1 || width > JPEG_MAX_DIMENSION || height > JPEG_MAX_DIMENSION) return 1;
	struct {
		struct jpeg_compress_struct c;
		struct jpeg_error_mgr errors;
		jmp_buf out;
	} e;
	struct jpeg_compress_struct *c = &e.c;
	*out = NULL, *n = 0;
	c->err = jpeg_std_error(&e.errors);
	c->client_data = &e.out;
	e.errors.error_exit = leave;
	e.errors.output_message = quiet;
	if (setjmp(e.out)) { // no memory; *out may be freed already
		jpeg_destroy_compress(c);
		return 1;
	}
	jpeg_create_compress(c);
	jpeg_mem_dest(c, out, n);
	c->image_width = width, c->image_height = height;
	c->input_components = 3;
	c->in_color_space = JCS_RGB;
	jpeg_set_defaults(c);
	jpeg_set_quality(c, quality, TRUE);
	jpeg_start_compress(c, TRUE);
	while ((int)c->next_scanline < height) {
		JSAMPROW row = (JSAMPROW)rgb + (size_t)c->next_scanline * width * 3;
		jpeg_write_scanlines(c, &row, 1);
	}
	jpeg_finish_compress(c);
	jpeg_destroy_compress(c);
	return 0;
}
