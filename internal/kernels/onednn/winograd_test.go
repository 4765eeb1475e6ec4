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

// TestWinograd compares convolutions of tiles, and their gradients, with those of
// windows: within 8e-6 of the range over 512 channels, and the same bytes on any number of
// threads. An adapter rides along.
func TestWinograd(t *testing.T) {
	k := vectors(t)
	r := rand.New(rand.NewPCG(5, 6))
	noise := noiseOf(r)
	defer Share(1)
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
			for opt := range 32 {
				acc, backward, rank := opt&1 != 0, opt&2 != 0, []int{0, 3, 8, 40}[opt>>3]
				makes := rank > 0 && opt&4 != 0
				if rank == 0 && opt&4 != 0 {
					continue
				}
				p := kernels.Conv{X: noise(c.n, c.h, c.w, c.cin), W: noise(c.cout, c.cin, 3, 3), Y: noise(c.n, oh, ow, c.cout),
					Stride: [2]int{1, 1}, Pads: c.pads, Dilation: [2]int{1, 1}, Groups: 1, Accumulate: acc}
				p.W.Frozen = true
				var thin kernels.Thin
				if rank > 0 {
					down, up := noise(rank, c.cin, 3, 3), noise(c.cout, rank)
					if thin = (kernels.Thin{H: noise(c.n, oh, ow, rank), C: up}); makes {
						thin.Down = down
					}
					if backward {
						if thin.C = down; makes {
							thin.Down = up
						}
					}
				}
				out := &p.Y
				if backward {
					out = &p.X
				} else {
					p.Bias = noise(c.cout)
				}
				first := *out
				made := func(set kernels.Kernels) (y, h *buffer.Buffer) {
					if *out = clone(first); rank > 0 {
						own := thin
						own.H = clone(thin.H)
						p.Thin, h = &own, own.H
					}
					bind := set.Conv
					if backward {
						bind = set.ConvBackwardData
					}
					f, err := bind(p)
					run(t, f, err)
					return *out, h
				}
				name := fmt.Sprintf("%v, backward %v, accumulate %v, rank %d, makes %v, %s", c, backward, acc, rank, makes, k.ISA())
				want, wantH := made(kernels.Go{})
				if !k.winograd(p, backward) {
					t.Errorf("%s is not made by Winograd's algorithm", name)
				}
				var got, gotH [3]*buffer.Buffer
				for i := range got {
					Share(i + 1)
					got[i], gotH[i] = made(k)
				}
				sameConv(t, name, got[0], want, true)
				if rank > 0 {
					sameConv(t, "h of "+name, gotH[0], wantH, true)
				}
				for i := 1; i < 3; i++ {
					if !slices.Equal(got[0].F32(), got[i].F32()) || rank > 0 && !slices.Equal(gotH[0].F32(), gotH[i].F32()) {
						t.Errorf("%s: the bytes depend on the number of threads", name)
					}
				}
			}
		}
	}
}
