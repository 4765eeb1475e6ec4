package testkernel

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

type convCase struct {
	n, h, w, cin, cout, kh, kw int
	stride                     [2]int
	pads                       [4]int
	dilation                   [2]int
	groups                     int
}

var convCases = []convCase{
	{2, 7, 6, 5, 4, 3, 3, [2]int{1, 1}, [4]int{1, 1, 1, 1}, [2]int{1, 1}, 1},
	{1, 9, 8, 3, 16, 3, 3, [2]int{2, 2}, [4]int{0, 1, 1, 0}, [2]int{1, 1}, 1},
	{2, 5, 5, 17, 33, 1, 1, [2]int{1, 1}, [4]int{}, [2]int{1, 1}, 1},
	{1, 6, 7, 8, 8, 1, 1, [2]int{2, 2}, [4]int{}, [2]int{1, 1}, 1},
	{1, 11, 10, 8, 12, 3, 2, [2]int{1, 2}, [4]int{2, 0, 1, 1}, [2]int{2, 3}, 4},
	{2, 8, 8, 16, 32, 3, 3, [2]int{1, 1}, [4]int{1, 1, 1, 1}, [2]int{1, 1}, 2},
	{1, 16, 16, 3, 24, 4, 4, [2]int{4, 4}, [4]int{}, [2]int{1, 1}, 1},
	{2, 9, 7, 16, 16, 3, 3, [2]int{1, 1}, [4]int{1, 1, 1, 1}, [2]int{1, 1}, 16},
	{1, 9, 9, 20, 20, 5, 5, [2]int{2, 2}, [4]int{2, 1, 2, 3}, [2]int{1, 1}, 20},
	{1, 12, 11, 32, 32, 7, 7, [2]int{1, 1}, [4]int{3, 3, 3, 3}, [2]int{1, 1}, 32},
	{1, 10, 10, 6, 6, 3, 3, [2]int{1, 1}, [4]int{2, 2, 2, 2}, [2]int{2, 2}, 6},
	{1, 6, 6, 6, 12, 3, 3, [2]int{1, 1}, [4]int{1, 1, 1, 1}, [2]int{1, 1}, 6},
	{2, 6, 5, 32, 8, 3, 3, [2]int{2, 1}, [4]int{1, 1, 1, 1}, [2]int{1, 1}, 1},
	{1, 5, 9, 64, 48, 3, 3, [2]int{3, 3}, [4]int{1, 0, 0, 1}, [2]int{1, 1}, 1},
	{2, 13, 12, 24, 40, 3, 3, [2]int{1, 1}, [4]int{1, 1, 1, 1}, [2]int{1, 1}, 1},
	{1, 15, 14, 16, 24, 3, 3, [2]int{2, 2}, [4]int{1, 1, 1, 1}, [2]int{1, 1}, 1},
	{1, 9, 9, 300, 10, 3, 3, [2]int{1, 1}, [4]int{2, 2, 2, 2}, [2]int{2, 2}, 1},
	{2, 8, 9, 20, 36, 1, 1, [2]int{2, 2}, [4]int{}, [2]int{1, 1}, 1},
	{1, 4, 5, 1024, 12, 2, 2, [2]int{1, 1}, [4]int{1, 0, 0, 1}, [2]int{1, 1}, 1},
}

func (u *suite) conv(t *testing.T) {
	for i, c := range convCases {
		for opt := range 8 {
			acc, bias := opt&1 != 0, opt&2 != 0
			extra := 3 * (opt >> 2)
			p := c.params(u, extra, opt%2 == 0)
			p.Accumulate = acc
			if bias {
				p.Bias = u.buf(0, c.cout)
			}
			name := fmt.Sprintf("case %d acc=%v bias=%v gap=%d", i, acc, bias, extra)
			y, dx, dw, db := naiveConv(p)

			f := p
			f.Y = u.buf(extra, p.Y.Shape...)
			want := values(f.Y)
			for j := range want {
				if !acc {
					want[j] = 0
				}
				want[j] += y[j]
				if bias {
					want[j] += at(p.Bias, j%c.cout)
				}
			}
			run, err := u.k.Conv(f)
			u.exec(t, name, run, err)
			u.compare(t, name+" forward", f.Y, want)
			u.thinConv(t, name, p)

			d := p
			d.X, d.Bias = u.buf(extra, p.X.Shape...), nil
			want = plus(acc, values(d.X), dx)
			run, err = u.k.ConvBackwardData(d)
			u.exec(t, name, run, err)
			u.compare(t, name+" backward data", d.X, want)

			g := p
			g.W = u.buf(0, p.W.Shape...)
			want = plus(acc, values(g.W), dw)
			var wantBias []float64
			if bias {
				g.Bias = u.buf(0, c.cout)
				wantBias = plus(acc, values(g.Bias), db)
			}
			run, err = u.k.ConvBackwardWeights(g)
			u.exec(t, name, run, err)
			u.compare(t, name+" backward weights", g.W, want)
			if bias {
				u.compare(t, name+" backward bias", g.Bias, wantBias)
			}
		}
	}
}

// thinConv checks that a thin pair adds what it does as kernels of its own.
func (u *suite) thinConv(t *testing.T, name string, p kernels.Conv) {
	if p.Groups > 1 {
		return
	}
	const r = 5
	o, w := p.Y.Shape, p.W.Shape
	thin := p
	thin.W, thin.Y, thin.Bias = u.buf(0, r, w[1], w[2], w[3]), u.buf(2, o[0], o[1], o[2], r), nil
	up := u.buf(1, o[3], r)

	f := p
	f.Y = u.buf(1, o...)
	y, dx, _, _ := naiveConv(p)
	want := plus(p.Accumulate, values(f.Y), y)
	for i, v := range product(kernels.MatMul{A: thin.Y, B: up, TransB: true, M: thin.Y.Rows(), N: o[3], K: r}) {
		want[i] += v
		if p.Bias != nil {
			want[i] += at(p.Bias, i%o[3])
		}
	}
	f.Thin = &kernels.Thin{H: thin.Y, C: up}
	run, err := u.k.Conv(f)
	u.exec(t, name, run, err)
	u.compare(t, name+" forward with a thin pair", f.Y, want)

	d := p
	d.X, d.Bias, d.Thin = u.buf(2, p.X.Shape...), nil, &kernels.Thin{H: thin.Y, C: thin.W}
	want = plus(p.Accumulate, values(d.X), dx)
	_, more, _, _ := naiveConv(thin)
	for i, v := range more {
		want[i] += v
	}
	run, err = u.k.ConvBackwardData(d)
	u.exec(t, name, run, err)
	u.compare(t, name+" backward data with a thin pair", d.X, want)
}

func (c convCase) params(u *suite, extra int, frozen bool) kernels.Conv {
	oh := (c.h+c.pads[0]+c.pads[2]-c.dilation[0]*(c.kh-1)-1)/c.stride[0] + 1
	ow := (c.w+c.pads[1]+c.pads[3]-c.dilation[1]*(c.kw-1)-1)/c.stride[1] + 1
	p := kernels.Conv{
		X: u.buf(extra, c.n, c.h, c.w, c.cin), W: u.buf(0, c.cout, c.cin/c.groups, c.kh, c.kw), Y: u.buf(extra, c.n, oh, ow, c.cout),
		Stride: c.stride, Pads: c.pads, Dilation: c.dilation, Groups: c.groups,
	}
	p.W.Frozen = frozen
	return p
}

// naiveConv makes all four results by definition: Y = W ∗ X without bias, and,
// with p.Y as the gradient of the output, those of X, W and the bias.
func naiveConv(p kernels.Conv) (y, dx, dw, db []float64) {
	x, w, o := p.X.Shape, p.W.Shape, p.Y.Shape
	y, dx, dw, db = make([]float64, p.Y.Len()), make([]float64, p.X.Len()), make([]float64, p.W.Len()), make([]float64, o[3])
	vx, vw, vy := values(p.X), values(p.W), values(p.Y)
	og := o[3] / p.Groups
	for n := range o[0] {
		for oh := range o[1] {
			for ow := range o[2] {
				for co := range o[3] {
					iy := ((n*o[1]+oh)*o[2]+ow)*o[3] + co
					db[co] += vy[iy]
					for ci := range w[1] {
						for kh := range w[2] {
							for kw := range w[3] {
								h := oh*p.Stride[0] - p.Pads[0] + kh*p.Dilation[0]
								c := ow*p.Stride[1] - p.Pads[1] + kw*p.Dilation[1]
								if h < 0 || h >= x[1] || c < 0 || c >= x[2] {
									continue
								}
								ix := ((n*x[1]+h)*x[2]+c)*x[3] + co/og*w[1] + ci
								iw := ((co*w[1]+ci)*w[2]+kh)*w[3] + kw
								y[iy] += vx[ix] * vw[iw]
								dx[ix] += vy[iy] * vw[iw]
								dw[iw] += vy[iy] * vx[ix]
							}
						}
					}
				}
			}
		}
	}
	return y, dx, dw, db
}

func (u *suite) pool(t *testing.T) {
	type c struct {
		h, w, oh, ow             int
		kernel, stride, dilation [2]int
		pads                     [4]int
	}
	for i, c := range []c{
		{6, 6, 3, 3, [2]int{2, 2}, [2]int{2, 2}, [2]int{1, 1}, [4]int{}},
		{7, 8, 4, 4, [2]int{3, 3}, [2]int{2, 2}, [2]int{1, 1}, [4]int{1, 1, 1, 1}},
		{6, 7, 3, 4, [2]int{3, 2}, [2]int{2, 2}, [2]int{1, 1}, [4]int{0, 0, 0, 0}}, // ceil mode: windows cut
		{9, 9, 5, 7, [2]int{3, 2}, [2]int{1, 1}, [2]int{2, 3}, [4]int{0, 1, 0, 0}},
		{5, 4, 1, 1, [2]int{5, 4}, [2]int{1, 1}, [2]int{1, 1}, [4]int{}},
		{17, 16, 2, 1, [2]int{16, 16}, [2]int{1, 1}, [2]int{1, 1}, [4]int{}}, // more taps than a byte holds
	} {
		for opt := range 16 {
			isMax, include, acc := opt&1 != 0, opt&2 != 0, opt&4 != 0
			extra := 3 * (opt >> 3)
			const n, ch = 2, 5
			p := kernels.Pool{Max: isMax, X: u.buf(extra, n, c.h, c.w, ch), Y: u.gaps(extra, n, c.oh, c.ow, ch), Kernel: c.kernel, Stride: c.stride,
				Pads: c.pads, Dilation: c.dilation, CountIncludePad: include, Accumulate: acc}
			if isMax {
				p.Index = buffer.New(p.IndexStorage(), n, c.oh, c.ow, ch)
				// Many ties: the first of the largest counts.
				u.fill(p.X, func() float64 { return float64(u.rng.IntN(3) - 1) })
			}
			p.DY, p.DX = u.buf(extra, p.Y.Shape...), u.buf(extra, p.X.Shape...)
			name := fmt.Sprintf("case %d max=%v include=%v acc=%v gap=%d", i, isMax, include, acc, extra)
			y, dx, index := naivePool(p)
			want := plus(acc, values(p.DX), dx)
			run, err := u.k.Pool(p)
			u.exec(t, name, run, err)
			u.compare(t, name, p.Y, y)
			if isMax {
				taken := taps(p.Index)
				if !slices.Equal(taken, index) {
					t.Fatalf("%s: took the taps %d, want %d", name, taken, index)
				}
			}
			run, err = u.k.PoolBackward(p)
			u.exec(t, name, run, err)
			u.compare(t, name+" backward", p.DX, want)
		}
	}
}

// taps is an index of max pooling.
func taps(index *buffer.Buffer) (out []int64) {
	if index.Storage == buffer.I64 {
		return index.I64()
	}
	for _, t := range index.U8() {
		out = append(out, int64(t))
	}
	return out
}

func naivePool(p kernels.Pool) (y, dx []float64, index []int64) {
	x, o := p.X.Shape, p.Y.Shape
	vx, dy := values(p.X), values(p.DY)
	dx = make([]float64, len(vx))
	for n := range o[0] {
		for oh := range o[1] {
			for ow := range o[2] {
				for c := range o[3] {
					took, sum, inside, padded := -1, 0.0, 0, 0
					tap := int64(p.Kernel[0] * p.Kernel[1])
					g := dy[len(y)]
					var reads []int
					for kh := range p.Kernel[0] {
						for kw := range p.Kernel[1] {
							h := oh*p.Stride[0] - p.Pads[0] + kh*p.Dilation[0]
							w := ow*p.Stride[1] - p.Pads[1] + kw*p.Dilation[1]
							if h < x[1]+p.Pads[2] && w < x[2]+p.Pads[3] {
								padded++
							}
							if h < 0 || w < 0 || h >= x[1] || w >= x[2] {
								continue
							}
							inside++
							i := ((n*x[1]+h)*x[2]+w)*x[3] + c
							reads = append(reads, i)
							sum += vx[i]
							if took < 0 || vx[i] > vx[took] {
								took, tap = i, int64(kh*p.Kernel[1]+kw)
							}
						}
					}
					index = append(index, tap)
					if p.Max {
						y = append(y, vx[took])
						dx[took] += g
						continue
					}
					if p.CountIncludePad {
						inside = padded
					}
					y = append(y, sum/float64(inside))
					for _, i := range reads {
						dx[i] += g / float64(inside)
					}
				}
			}
		}
	}
	return y, dx, index
}
