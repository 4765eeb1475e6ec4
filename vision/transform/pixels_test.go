package transform

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// The loops in C give the bytes of those in Go, up to the last byte of memory
// that is exactly as long as the rows.
func TestPixelsInC(t *testing.T) {
	if !cv.HasPixels {
		t.Skip("not in this build")
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		in, out, rows := 1+rng.IntN(40), 1+rng.IntN(40), 1+rng.IntN(5)
		k := kernels[vision.Bicubic]
		if rng.IntN(2) == 0 {
			k = kernels[vision.Bilinear]
		}
		var x taps
		x.compute(in, out, 0, out, k)
		src := make([]uint8, 3*in*rows)
		for i := range src {
			src[i] = uint8(rng.IntN(256))
		}
		want, got := make([]uint8, 3*out*rows), make([]uint8, 3*out*rows)
		for y := range rows {
			x.row(want[3*out*y:][:3*out], src[3*in*y:][:3*in])
		}
		cv.Across(got, src, 3*in, rows, x.first, x.count, x.weight, x.size)
		if !bytes.Equal(got, want) {
			t.Fatalf("across, %d rows of %d to %d: differs", rows, in, out)
		}
		weights := make([]int32, rows)
		for i := range weights {
			weights[i] = int32(rng.IntN(1<<precision)) - 1<<18
		}
		want, got = make([]uint8, 3*in), make([]uint8, 3*in)
		column(want, src, make([]int32, 3*in), weights)
		if cv.Down(got, src, weights); !bytes.Equal(got, want) {
			t.Fatalf("down, %d rows of %d: differs", rows, in)
		}

		f, v, sum := float32(rng.Float64()*3), uint8(rng.IntN(256)), 0
		blended, saturated := bytes.Clone(src), bytes.Clone(src)
		cv.Blend(blended, v, f)
		cv.Saturate(saturated, f)
		for i := 0; i < len(src); i += 3 {
			g := grey(src[i], src[i+1], src[i+2])
			sum += int(g)
			for c := range 3 {
				if p := src[i+c]; blended[i+c] != blend(v, p, f) || saturated[i+c] != blend(g, p, f) {
					t.Fatalf("%d blended with %d or %d by %v: %d, %d", p, v, g, f, blended[i+c], saturated[i+c])
				}
			}
		}
		if got := cv.Grey(src); got != sum {
			t.Fatalf("grey %d, want %d", got, sum)
		}
	}
}
