#include <stddef.h>
#include <stdint.h>

// What transform does in Go, to the byte, for processors with vectors.

// n outputs of each of some rows of packed RGB, which lie in bytes bytes:
// output i is the sum of count[i] pixels from first[i] on, weighted by
// weight[i*size…], in 22-bit fixed point.
void vislora_across(uint8_t *out, const uint8_t *in, size_t pitch, size_t bytes, int rows, int n, const intptr_t *first, const intptr_t *count, const int32_t *weight, int size);

// One row of n bytes: the sum of count rows, n bytes apart.
void vislora_down(uint8_t *out, const uint8_t *rows, int n, const int32_t *weight, int count);

// Every byte blended with v.
void vislora_blend(uint8_t *pix, size_t n, uint8_t v, float factor);

// Every pixel blended with its grey.
void vislora_saturate(uint8_t *pix, size_t pixels, float factor);

// The sum of the grey of all pixels.
int64_t vislora_grey(const uint8_t *pix, size_t pixels);
