package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

func softmax[T buffer.Float](p Softmax) Run {
	x, y := buffer.Floats[T](p.X), buffer.Floats[T](p.Y)
	rows, c := p.X.Rows(), p.X.Cols()
	return func() {
		for r := range rows {
			in, out := x[r*p.X.Pitch:r*p.X.Pitch+c], y[r*p.Y.Pitch:r*p.Y.Pitch+c]
			top := float64(highest(in))
			if p.Log {
				sum := 0.0
				for _, v := range in {
					sum += math.Exp(float64(v) - top)
				}
				log := math.Log(sum)
				for i, v := range in {
					out[i] = T(float64(v) - top - log)
				}
				continue
			}
			multiply(out, T(1/exps(out, in, T(top), 1)))
		}
	}
}

func softmaxBackward[T buffer.Float](p Softmax) Run {
	y, dy, dx := buffer.Floats[T](p.Y), buffer.Floats[T](p.DY), buffer.Floats[T](p.DX)
	rows, c := p.Y.Rows(), p.Y.Cols()
	return func() {
		for r := range rows {
			out, g, d := y[r*p.Y.Pitch:r*p.Y.Pitch+c], dy[r*p.DY.Pitch:r*p.DY.Pitch+c], dx[r*p.DX.Pitch:r*p.DX.Pitch+c]
			if !p.Log && !p.Accumulate {
				centre(d, out, g, T(dot(g, out)))
				continue
			}
			sum := 0.0
			for i, v := range g {
				if p.Log {
					sum += float64(v)
				} else {
					sum += float64(v) * float64(out[i])
				}
			}
			for i, v := range g {
				var w T
				if p.Log {
					w = T(float64(v) - math.Exp(float64(out[i]))*sum)
				} else {
					w = out[i] * (v - T(sum))
				}
				if p.Accumulate {
					w += d[i]
				}
				d[i] = w
			}
		}
	}
}
