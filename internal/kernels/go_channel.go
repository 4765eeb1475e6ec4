package kernels

import "github.com/vislora/vislora/internal/buffer"

func channelAffine[T buffer.Float](p ChannelAffine) Run {
	x, y := buffer.Floats[T](p.X), buffer.Floats[T](p.Y)
	scale, shift := optionalFloats[T](p.Scale), optionalFloats[T](p.Shift)
	rows, c := p.X.Rows(), p.X.Cols()
	return func() {
		for r := range rows {
			in, out := x[r*p.X.Pitch:r*p.X.Pitch+c], y[r*p.Y.Pitch:r*p.Y.Pitch+c]
			for i, v := range in {
				if scale != nil {
					v *= scale[i]
				}
				if shift != nil {
					v += shift[i]
				}
				if p.Accumulate {
					v += out[i]
				}
				out[i] = v
			}
		}
	}
}

func columnSum[T buffer.Float](p ColumnSum) Run {
	x, y, z := buffer.Floats[T](p.X), buffer.Floats[T](p.Y), optionalFloats[T](p.Z)
	rows, c := p.X.Rows(), p.X.Cols()
	sum := make([]float64, c)
	return func() {
		clear(sum)
		for r := range rows {
			in := x[r*p.X.Pitch : r*p.X.Pitch+c]
			if z == nil {
				for i, v := range in {
					sum[i] += float64(v)
				}
				continue
			}
			other := z[r*p.Z.Pitch : r*p.Z.Pitch+c]
			for i, v := range in {
				sum[i] += float64(v) * float64(other[i])
			}
		}
		for i, v := range sum {
			if p.Accumulate {
				v += float64(y[i])
			}
			y[i] = T(v)
		}
	}
}
