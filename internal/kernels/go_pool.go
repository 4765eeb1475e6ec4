package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// span is the part of one window along one axis: taps first … last−1 lie inside
// the picture, and padded of them inside the picture with its padding.
func (p *Pool) span(axis, out, size int) (start, first, last, padded int) {
	start = out*p.Stride[axis] - p.Pads[axis]
	first = p.Kernel[axis]
	for k := range p.Kernel[axis] {
		at := start + k*p.Dilation[axis]
		if at < size+p.Pads[axis+2] {
			padded++
		}
		if at >= 0 && at < size {
			first = min(first, k)
			last = k + 1
		}
	}
	return start, first, last, padded
}

// divisor is the number of pixels an average is taken over; at least 1.
func (p *Pool) divisor(h0, h1, ph, w0, w1, pw int) int {
	if p.CountIncludePad {
		return max(ph*pw, 1)
	}
	return max((h1-h0)*(w1-w0), 1)
}

// taken is what Index is made of.
type taken interface{ uint8 | int64 }

// byIndex picks the loop for what Index is kept in; averages have none.
func byIndex(p Pool, bytes func(Pool, []uint8) Run, wide func(Pool, []int64) Run) Run {
	switch {
	case !p.Max || p.Index == nil:
		return bytes(p, nil)
	case p.Index.Storage == buffer.U8:
		return bytes(p, p.Index.U8())
	}
	return wide(p, p.Index.I64())
}

func pool[T buffer.Float](p Pool) Run { return byIndex(p, poolOf[T, uint8], poolOf[T, int64]) }

func poolOf[T buffer.Float, I taken](p Pool, index []I) Run {
	x, y := buffer.Floats[T](p.X), buffer.Floats[T](p.Y)
	n, h, w, c := p.X.Shape[0], p.X.Shape[1], p.X.Shape[2], p.X.Shape[3]
	oh, ow := p.Y.Shape[1], p.Y.Shape[2]
	none := I(p.Kernel[0] * p.Kernel[1]) // of no use without index
	return func() {
		for i := range n * oh * ow {
			sh, h0, h1, ph := p.span(0, i/ow%oh, h)
			sw, w0, w1, pw := p.span(1, i%ow, w)
			pic := i / (oh * ow) * h
			out := y[i*p.Y.Pitch : i*p.Y.Pitch+c]
			var best []I
			if p.Max {
				for j := range out {
					out[j] = T(math.Inf(-1))
				}
				if index != nil {
					best = index[i*c : (i+1)*c]
					for j := range best {
						best[j] = none
					}
				}
			} else {
				clear(out)
			}
			for kh := h0; kh < h1; kh++ {
				for kw := w0; kw < w1; kw++ {
					at := (sh+kh*p.Dilation[0])*w + sw + kw*p.Dilation[1]
					row := (pic*w + at) * p.X.Pitch
					in := x[row : row+c]
					switch {
					case !p.Max:
						for j, v := range in {
							out[j] += v
						}
					case best == nil:
						for j, v := range in {
							out[j] = max(out[j], v)
						}
					default:
						here := I(kh*p.Kernel[1] + kw)
						if kh == h0 && kw == w0 {
							copy(out, in)
							for j := range best {
								best[j] = here
							}
							continue
						}
						for j := larger(out, best, in, here); j < c; j++ {
							if v := in[j]; v > out[j] || v != v {
								out[j], best[j] = v, here
							}
						}
					}
				}
			}
			if !p.Max {
				scale := 1 / T(p.divisor(h0, h1, ph, w0, w1, pw))
				for j := range out {
					out[j] *= scale
				}
			}
		}
	}
}

func poolBackward[T buffer.Float](p Pool) Run {
	return byIndex(p, poolBackwardOf[T, uint8], poolBackwardOf[T, int64])
}

func poolBackwardOf[T buffer.Float, I taken](p Pool, index []I) Run {
	dy, dx := buffer.Floats[T](p.DY), buffer.Floats[T](p.DX)
	n, h, w, c := p.DX.Shape[0], p.DX.Shape[1], p.DX.Shape[2], p.DX.Shape[3]
	oh, ow := p.DY.Shape[1], p.DY.Shape[2]
	return func() {
		if !p.Accumulate {
			zeroRows(dx, p.DX)
		}
		for i := range n * oh * ow {
			sh, h0, h1, ph := p.span(0, i/ow%oh, h)
			sw, w0, w1, pw := p.span(1, i%ow, w)
			pic := i / (oh * ow) * h
			g := dy[i*p.DY.Pitch : i*p.DY.Pitch+c]
			scale := 1 / T(p.divisor(h0, h1, ph, w0, w1, pw))
			for kh := h0; kh < h1; kh++ {
				for kw := w0; kw < w1; kw++ {
					row := (pic*w + (sh+kh*p.Dilation[0])*w + sw + kw*p.Dilation[1]) * p.DX.Pitch
					out := dx[row : row+c]
					if !p.Max {
						for j, v := range g {
							out[j] += v * scale
						}
						continue
					}
					here := I(kh*p.Kernel[1] + kw)
					for j, at := range index[i*c : (i+1)*c] {
						if at == here {
							out[j] += g[j]
						}
					}
				}
			}
		}
	}
}
