#include <stddef.h>
#include <stdint.h>

typedef struct vislora_jpeg vislora_jpeg;

vislora_jpeg *vislora_jpeg_new(void);
void vislora_jpeg_free(vislora_jpeg *j);

// Decodes the pixels from (x, y) to (x+w, y+h) of the picture made smaller by
// scale (1, 2, 4 or 8) into dst, packed RGB. width and height are the whole
// picture's, unscaled. Returns 0, or 1 if this is not a plain sound picture.
int vislora_jpeg_read(vislora_jpeg *j, const uint8_t *data, size_t n, int width, int height, int scale, int x, int y, int w, int h, uint8_t *dst);

// Encodes packed RGB at a quality from 1 to 100, as OpenCV does. What *out points to,
// *n bytes, is to be freed. Returns 0, or 1 where libjpeg does not take it.
int vislora_jpeg_write(const uint8_t *rgb, int width, int height, int quality, uint8_t **out, unsigned long *n);
