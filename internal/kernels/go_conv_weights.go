package kernels

import "github.com/vislora/vislora/internal/buffer"

// convWeightsInPlace is the gradient of a convolution to few channels, as an
// adapter's first factor is: packing what the taps read would take longer than the
// products. Line by line and tap by tap both maps are matrices where they lie. nil
// where channels do not fill vectors.
func convWeightsInPlace(p Conv, s convShape) Run {
	if simd == noSIMD || p.X.Storage != buffer.F32 || s.og > fewRows || s.cg%simd.columns() != 0 {
		return nil
	}
	x, y, w := p.X.F32(), p.Y.F32(), p.W.F32()
	ts, width := taps(p, s), simd.columns()
	sum, zero, rows := make([]float32, s.kk*s.og*s.cg), make([]float32, width), make([]int, s.og)
	for i := range rows {
		rows[i] = i * s.cg
	}
	return func() {
		for g := range s.groups {
			clear(sum)
			args := tileArgs{rows: &rows[0], bias: &zero[0], m: s.og, acc: 1, alpha: 1}
			for row := range s.n * s.oh {
				for _, t := range ts {
					h := row%s.oh*p.Stride[0] + t.h
					lo, hi := inside(t.w, p.Stride[1], s.w, s.ow)
					if uint(h) >= uint(s.h) || lo >= hi {
						continue
					}
					a := y[(row*s.ow+lo)*s.yp+g*s.og:]
					b := x[((row/s.oh*s.h+h)*s.w+lo*p.Stride[1]+t.w)*s.xp+g*s.cg:]
					_, _ = a[(hi-lo-1)*s.yp+s.og-1], b[(hi-lo-1)*s.xp*p.Stride[1]+s.cg-1]
					args.pairs[0] = pair{a: &a[0], k: hi - lo, is: 4, ks: 4 * s.yp, bs: 4 * s.xp * p.Stride[1]}
					for j := 0; j < s.cg; j += width {
						args.pairs[0].b, args.c = &b[j], &sum[t.index*s.og*s.cg+j]
						args.run()
					}
				}
			}
			for i := range s.og * s.cg {
				for t := range s.kk {
					v := sum[t*s.og*s.cg+i]
					at := (g*s.og*s.cg+i)*s.kk + t
					if p.Accumulate {
						v += w[at]
					}
					w[at] = v
				}
			}
		}
	}
}

// inside gives the outputs lo … hi−1 whose tap at offset t lies in a map of size.
func inside(t, stride, size, outputs int) (lo, hi int) {
	if t < 0 {
		lo = (-t + stride - 1) / stride
	}
	if size > t {
		hi = min(outputs, (size-1-t)/stride+1)
	}
	return lo, hi
}
