//go:build cgo && gocv_specific_modules

package cv

/*
#cgo CFLAGS: -O3
#include "pixels.h"
*/
import "C"

import "unsafe"

// HasPixels tells whether [Across], [Down], [Blend], [Saturate] and [Grey] are
// there: loops of package transform in C, to the byte.
const HasPixels = true

func bytesOf(p []uint8) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(p)) }

// Across resamples rows of packed RGB, pitch bytes apart in in, to len(first)
// pixels each. Output i of a row is the sum of count[i] pixels from first[i] on,
// with the weights from i·size on in 22-bit fixed point.
func Across(out, in []uint8, pitch, rows int, first, count []int, weight []int32, size int) {
	n := len(first)
	_ = out[3*n*rows-1]
	C.vislora_across(bytesOf(out), bytesOf(in), C.size_t(pitch), C.size_t(len(in)), C.int(rows), C.int(n),
		(*C.intptr_t)(unsafe.Pointer(unsafe.SliceData(first))), (*C.intptr_t)(unsafe.Pointer(unsafe.SliceData(count))), (*C.int32_t)(unsafe.SliceData(weight)), C.int(size))
}

// Down makes out the weighted sum of rows that are len(out) bytes apart.
func Down(out, rows []uint8, weight []int32) {
	_ = rows[len(out)*len(weight)-1]
	C.vislora_down(bytesOf(out), bytesOf(rows), C.int(len(out)), (*C.int32_t)(unsafe.SliceData(weight)), C.int(len(weight)))
}

// Blend blends every byte with v.
func Blend(pix []uint8, v uint8, factor float32) {
	C.vislora_blend(bytesOf(pix), C.size_t(len(pix)), C.uint8_t(v), C.float(factor))
}

// Saturate blends every pixel with its grey.
func Saturate(pix []uint8, factor float32) {
	C.vislora_saturate(bytesOf(pix), C.size_t(len(pix)/3), C.float(factor))
}

// Grey is the sum of the grey of all pixels.
func Grey(pix []uint8) int { return int(C.vislora_grey(bytesOf(pix), C.size_t(len(pix)/3))) }
