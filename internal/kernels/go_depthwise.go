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

// tapSum is y += Σ x∘w over the taps of one cell: at gives where each begins in x
// and in w.
func tapSum[T buffer.Float](y, x, w []T, at [][2]int) {
	done := 0
	if out, ok := floats32(y); ok && len(y) >= 8 && len(at) > 0 {
		in, _ := floats32(x)
		k, _ := floats32(w)
		for _, o := range at {
			_, _ = in[o[0]+len(y)-1], k[o[1]+len(y)-1]
		}
		taps8(&out[0], &in[0], &k[0], &at[0], len(at), len(y))
		done = len(y) &^ 7
	}
	if done == len(y) {
		return
	}
	for _, o := range at {
		in, k := x[o[0]:o[0]+len(y)], w[o[1]:o[1]+len(y)]
		for j := done; j < len(y); j++ {
			y[j] += in[j] * k[j]
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
	wt, at := make([]T, c*s.kk), make([][2]int, s.kk)
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
			at := at[:0]
			for _, t := range ts {
				h, w := oh*p.Stride[0]+t.h, ow*p.Stride[1]+t.w
				if uint(h) < uint(s.h) && uint(w) < uint(s.w) {
					at = append(at, [2]int{((n*s.h+h)*s.w + w) * s.xp, t.index * c})
				}
			}
			tapSum(out, x, wt, at)
		}
	}
}

func depthwiseBackwardData[T buffer.Float](p Conv, s convShape) Run {
	x, y, w := buffer.Floats[T](p.X), buffer.Floats[T](p.Y), buffer.Floats[T](p.W)
	ts, c := taps(p, s), s.cin
	wt, at := make([]T, c*s.kk), make([][2]int, s.kk)
	// Which output reads row h of the map by tap t is in rows[h·taps + t], and so
	// are columns; none is −1.
	readers := func(size, stride, outputs int, offset func(t tap) int) []int {
		var of []int
		for place := range size {
			for _, t := range ts {
				at := place - offset(t)
				if at < 0 || at%stride != 0 || at/stride >= outputs {
					at = -stride
				}
				of = append(of, at/stride)
			}
		}
		return of
	}
	rows := readers(s.h, p.Stride[0], s.oh, func(t tap) int { return t.h })
	cols := readers(s.w, p.Stride[1], s.ow, func(t tap) int { return t.w })
	return func() {
		transposeTaps(wt, w, c, s.kk)
		for i := range s.n * s.h * s.w {
			dx := x[i*s.xp : i*s.xp+c]
			if !p.Accumulate {
				clear(dx)
			}
			n, h, w := i/(s.h*s.w), i/s.w%s.h, i%s.w
			at := at[:0]
			for k, t := range ts {
				if oh, ow := rows[h*len(ts)+k], cols[w*len(ts)+k]; oh >= 0 && ow >= 0 {
					at = append(at, [2]int{((n*s.oh+oh)*s.ow + ow) * s.yp, t.index * c})
				}
			}
			tapSum(dx, y, wt, at)
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
					multiplied(sum, in, dy[:c], true)
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
