//go:build onednn && cgo

package onednn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// TestFinish runs products that finish their results, and the portable kernel with
// the same done to its results afterwards. On whole numbers both are exact, in bf16
// to the rounding of what is written.
func TestFinish(t *testing.T) {
	t.Run("float32", func(t *testing.T) {
		k := vectors(t)
		Share(2)
		defer Share(1)
		testFinish(t, k, false)
	})
	t.Run("bf16x2", func(t *testing.T) { testFinish(t, paired(t), false) })
	t.Run("bf16x3", func(t *testing.T) {
		k := parted(t)
		Share(2)
		defer Share(1)
		testFinish(t, k, false)
	})
	t.Run("bf16", func(t *testing.T) {
		k := narrow(t)
		testFinish(t, k, false)
		testFinish(t, k, true)
		k.withoutTiles(true)
		defer k.withoutTiles(false)
		testFinish(t, k, true)
	})
}

func testFinish(t *testing.T, k *Kernels, halves bool) {
	r := rand.New(rand.NewPCG(7, 8))
	for opt := range 16 {
		acc, add, relu, mask := opt&1 != 0, opt&2 != 0, opt&4 != 0, opt&8 != 0
		// check runs one product by both sets; bind puts operands in the place of what
		// is written and gives the finish to it.
		check := func(name string, shape []int, bind func(set kernels.Kernels, y *buffer.Buffer, f *kernels.Finish) (kernels.Run, error)) {
			t.Helper()
			name = fmt.Sprintf("%s acc=%v add=%v relu=%v mask=%v halves=%v", name, acc, add, relu, mask, halves)
			y := whole(r, 0, shape...)
			want := clone(y)
			f := &kernels.Finish{Relu: relu}
			var a, m *buffer.Buffer
			if add {
				a = whole(r, 0, shape...)
				f.Add = a
			}
			if mask {
				m = whole(r, 0, shape...)
				f.Mask = m
			}
			got := y
			if halves {
				got = halved(y)
				if add {
					f.Add = halved(a)
				}
				if mask {
					f.Mask = halved(m)
				}
			}
			fn, err := bind(k, got, f)
			run(t, fn, err)
			if (add || relu || mask) && !f.Taken {
				t.Errorf("%s: not taken", name)
			}
			fn, err = bind(kernels.Go{}, want, nil)
			run(t, fn, err)
			for i, v := range want.F32() {
				if add {
					v += a.F32()[i]
				}
				if relu {
					v = max(v, 0)
				}
				if mask && m.F32()[i] <= 0 {
					v = 0
				}
				g, off := float32(0), float32(0)
				if k.parts != 2 {
					off = 5e-3 // of values up to a thousand: Winograd's algorithm is not exact
				}
				if halves {
					g, off = wideAt(got, i), off+max(v, -v)/256
				} else {
					g = got.F32()[i]
				}
				if g-v > off || v-g > off {
					t.Fatalf("%s: element %d is %v, want %v", name, i, g, v)
				}
			}
		}
		side := func(b *buffer.Buffer) *buffer.Buffer { // of a product, in the storage of y
			if halves {
				return halved(b)
			}
			return b
		}
		for _, s := range []struct{ m, n, k, r int }{{75, 64, 96, 0}, {40, 37, 54, 0}, {150, 96, 64, 5}, {64, 1056, 1024, 0}, {43, 70, 2048, 5}} {
			a, w := whole(r, 0, s.m, s.k), whole(r, 0, s.k, s.n)
			var h, c *buffer.Buffer
			if s.r > 0 {
				h, c = whole(r, 0, s.m, s.r), whole(r, 0, s.r, s.n)
			}
			check(fmt.Sprintf("MatMul %v", s), []int{s.m, s.n}, func(set kernels.Kernels, y *buffer.Buffer, f *kernels.Finish) (kernels.Run, error) {
				p := kernels.MatMul{A: a, B: w, Y: y, M: s.m, N: s.n, K: s.k, Accumulate: acc, Finish: f}
				if f != nil {
					p.A = side(a)
				}
				if s.r > 0 {
					p.Thin = &kernels.Thin{H: h, C: c}
				}
				return set.MatMul(p)
			})
		}
		for _, c := range []struct{ cin, cout, kernel, stride int }{{32, 64, 3, 1}, {32, 40, 3, 2}, {24, 33, 3, 1}, {32, 48, 1, 2}, {8, 24, 7, 2}} {
			const size = 13
			pad := c.kernel / 2
			out := (size+2*pad-c.kernel)/c.stride + 1
			w := whole(r, 0, c.cout, c.cin, c.kernel, c.kernel)
			w.Frozen = true
			p := kernels.Conv{W: w, Stride: [2]int{c.stride, c.stride}, Pads: [4]int{pad, pad, pad, pad}, Dilation: [2]int{1, 1}, Groups: 1, Accumulate: acc}
			x, y := whole(r, 0, 2, size, size, c.cin), whole(r, 0, 2, out, out, c.cout)
			check(fmt.Sprintf("Conv %v", c), y.Shape, func(set kernels.Kernels, y *buffer.Buffer, f *kernels.Finish) (kernels.Run, error) {
				q := p
				q.X, q.Y, q.Finish = x, y, f
				if f != nil {
					q.X = side(x)
				}
				return set.Conv(q)
			})
			check(fmt.Sprintf("ConvBackwardData %v", c), x.Shape, func(set kernels.Kernels, x *buffer.Buffer, f *kernels.Finish) (kernels.Run, error) {
				q := p
				q.X, q.Y, q.Finish = x, y, f
				if f != nil {
					q.Y = side(y)
				}
				return set.ConvBackwardData(q)
			})
		}
	}
}

// wideAt is element i of a buffer in bf16.
func wideAt(b *buffer.Buffer, i int) float32 { return math.Float32frombits(uint32(b.BF16()[i]) << 16) }
