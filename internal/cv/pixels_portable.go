//go:build !cgo || !gocv_specific_modules

package cv

// HasPixels is false: what package transform has in Go is used.
const HasPixels = false

const noPixels = "cv: not in this build"

// Across is not in this build.
func Across(out, in []uint8, pitch, rows int, first, count []int, weight []int32, size int) {
	panic(noPixels)
}

// Down is not in this build.
func Down(out, rows []uint8, weight []int32) { panic(noPixels) }

// Blend is not in this build.
func Blend(pix []uint8, v uint8, factor float32) { panic(noPixels) }

// Saturate is not in this build.
func Saturate(pix []uint8, factor float32) { panic(noPixels) }

// Grey is not in this build.
func Grey(pix []uint8) int { panic(noPixels) }
