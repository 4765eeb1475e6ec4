//go:build onednn && cgo

package onednn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// TestWinograd compares convolutions of tiles with those of windows: within 6e-6 of
// the range over 512 channels, and the same bytes on any number of threads.
func TestWinograd(t *testing.T) {
	k := locked(t)
	r := rand.New(rand.NewPCG(5, 6))
	noise := noiseOf(r)
	for _, isa := range []int{3, 1, 0} {
		k.limitISA(isa)
		defer k.limitISA(3)
		for _, c := range []struct {
			n, h, w, cin, cout int
			pads               [4]int
		}{
			{1, 28, 28, 64, 64, [4]int{1, 1, 1, 1}},
			{3, 9, 10, 17, 51, [4]int{1, 1, 1, 1}},
			{1, 18, 15, 24, 100, [4]int{0, 0, 0, 0}},
			{2, 13, 17, 16, 16, [4]int{2, 0, 0, 1}},
			{13, 4, 4, 512, 24, [4]int{1, 1, 1, 1}},
		} {
			oh, ow := c.h+c.pads[0]+c.pads[2]-2, c.w+c.pads[1]+c.pads[3]-2
			for _, acc := range []bool{false, true} {
				p := kernels.Conv{X: noise(c.n, c.h, c.w, c.cin), W: noise(c.cout, c.cin, 3, 3), Bias: noise(c.cout), Y: noise(c.n, oh, ow, c.cout),
					Stride: [2]int{1, 1}, Pads: c.pads, Dilation: [2]int{1, 1}, Groups: 1, Accumulate: acc}
				p.W.Frozen = true
				if !winograd(p) {
					t.Errorf("%v is not made by Winograd's algorithm", c)
				}
				first := p.Y
				var got []*buffer.Buffer
				for _, threads := range []int{1, 2, 3} {
					Share(threads)
					p.Y = clone(first)
					f, err := k.Conv(p)
					run(t, f, err)
					got = append(got, p.Y)
				}
				Share(1)
				p.Y = clone(first)
				f, err := kernels.Go{}.Conv(p)
				run(t, f, err)
				most, off := float32(0), float32(0)
				for i, v := range p.Y.F32() {
					most, off = max(most, v, -v), max(off, v-got[0].F32()[i], got[0].F32()[i]-v)
				}
				name := fmt.Sprintf("%v, accumulate %v, %s", c, acc, k.ISA())
				if off > 6e-6*most {
					t.Errorf("%s: off by %.2g of the range", name, off/most)
				}
				if !slices.Equal(got[0].F32(), got[1].F32()) || !slices.Equal(got[0].F32(), got[2].F32()) {
					t.Errorf("%s: the bytes depend on the number of threads", name)
				}
			}
		}
	}
}
