package kernels

import "github.com/vislora/vislora/internal/buffer"

// A depthwise convolution has no product to tile: every output channel reads
// one input channel. The loops run over taps with the channels innermost, so
// that all accesses are rows. Weights are copied to (tap, channel) per Run: they
// may be trainable.

// transposeTaps writes weights (C, 1, KH, KW) as (tap, channel).
func transposeTaps[T buffer.Float](dst, w []T, c, kk int) {
	for i := range c {
		for k := range kk {
			dst[k*c+i] = w[i*kk+k]
		}
	}
}

func depthwise[T buffer.Float](p Conv, s convShape) Run {
	x, y, w := buffer.Floats[T](p.X), buffer.Floats[T](p.Y), buffer.Floats[T](p.W)
	var bias []T
	if p.Bias != nil {
		bias = buffer.Floats[T](p.Bias)
	}
	ts, c := taps(p, s), s.cin
	wt := make([]T, c*s.kk)
	return func() {
		transposeTaps(wt, w, c, s.kk)
		for i := range s.n * s.oh * s.ow {
			out := y[i*s.yp : i*s.yp+c]
			if !p.Accumulate {
				clear(out)
			}
			for j, b := range bias {
				out[j] += b
			}
			n, oh, ow := i/(s.oh*s.ow), i/s.ow%s.oh, i%s.ow
			for _, t := range ts {
				h, w := oh*p.Stride[0]+t.h, ow*p.Stride[1]+t.w
				if uint(h) >= uint(s.h) || uint(w) >= uint(s.w) {
					continue
				}
				at := ((n*s.h+h)*s.w + w) * s.xp
				in, k := x[at:at+c], wt[t.index*c:(t.index+1)*c]
				for j := range out {
					out[j] += in[j] * k[j]
				}
			}
		}
	}
}

func depthwiseBackwardData[T buffer.Float](p Conv, s convShape) Run {
	x, y, w := buffer.Floats[T](p.X), buffer.Floats[T](p.Y), buffer.Floats[T](p.W)
	ts, c := taps(p, s), s.cin
	wt := make([]T, c*s.kk)
	return func() {
		transposeTaps(wt, w, c, s.kk)
		if !p.Accumulate {
			for i := range s.n * s.h * s.w {
				clear(x[i*s.xp : i*s.xp+c])
			}
		}
		for i := range s.n * s.oh * s.ow {
			dy := y[i*s.yp : i*s.yp+c]
			n, oh, ow := i/(s.oh*s.ow), i/s.ow%s.oh, i%s.ow
			for _, t := range ts {
				h, w := oh*p.Stride[0]+t.h, ow*p.Stride[1]+t.w
				if uint(h) >= uint(s.h) || uint(w) >= uint(s.w) {
					continue
				}
				at := ((n*s.h+h)*s.w + w) * s.xp
				dx, k := x[at:at+c], wt[t.index*c:(t.index+1)*c]
				for j := range dy {
					dx[j] += dy[j] * k[j]
				}
			}
		}
	}
}

func depthwiseBackwardWeights[T buffer.Float](p Conv, s convShape) Run {
	x, y, w := buffer.Floats[T](p.X), buffer.Floats[T](p.Y), buffer.Floats[T](p.W)
	ts, c := taps(p, s), s.cin
	// A long sum of float32s: one row of outputs is summed as T, rows as float64.
	part, total := make([]T, c*s.kk), make([]float64, c*s.kk)
	return func() {
		clear(total)
		for row := range s.n * s.oh {
			clear(part)
			n, oh := row/s.oh, row%s.oh
			for _, t := range ts {
				h := oh*p.Stride[0] + t.h
				if uint(h) >= uint(s.h) {
					continue
				}
				sum := part[t.index*c : (t.index+1)*c]
				for ow := range s.ow {
					w := ow*p.Stride[1] + t.w
					if uint(w) >= uint(s.w) {
						continue
					}
					at := ((n*s.h+h)*s.w + w) * s.xp
					in, dy := x[at:at+c], y[(row*s.ow+ow)*s.yp:]
					for j := range in {
						sum[j] += in[j] * dy[j]
					}
				}
			}
			for j, v := range part {
				total[j] += float64(v)
			}
		}
		for i := range c {
			for k := range s.kk {
				v := T(total[k*c+i])
				if p.Accumulate {
					v += w[i*s.kk+k]
				}
				w[i*s.kk+k] = v
			}
		}
	}
}
