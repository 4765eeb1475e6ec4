package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// optionalFloats is the memory of b, or nil.
func optionalFloats[T buffer.Float](b Buf) []T {
	if b == nil {
		return nil
	}
	return buffer.Floats[T](b)
}

func layerNorm[T buffer.Float](p LayerNorm) Run {
	x, y := buffer.Floats[T](p.X), buffer.Floats[T](p.Y)
	gamma, beta := optionalFloats[T](p.Gamma), optionalFloats[T](p.Beta)
	mean, rstd := optionalFloats[T](p.Mean), optionalFloats[T](p.RStd)
	rows, c := p.X.Rows(), p.X.Cols()
	return func() {
		for r := range rows {
			in, out := x[r*p.X.Pitch:r*p.X.Pitch+c], y[r*p.Y.Pitch:r*p.Y.Pitch+c]
			sum, _ := moments(in, 0)
			mu := sum / float64(c)
			_, sum = moments(in, mu)
			rs := 1 / math.Sqrt(sum/float64(c)+p.Epsilon)
			for i := normalised(out, in, gamma, beta, mu, rs); i < c; i++ {
				n := T((float64(in[i]) - mu) * rs)
				if gamma != nil {
					n *= gamma[i]
				}
				if beta != nil {
					n += beta[i]
				}
				out[i] = n
			}
			if mean != nil {
				mean[r] = T(mu)
			}
			if rstd != nil {
				rstd[r] = T(rs)
			}
		}
	}
}

// layerNormBackward: with x̂ = (x − μ)·r and g = dy∘γ,
//
//	dx = r·(g − mean(g) − x̂·mean(g∘x̂))   dγ = Σ dy∘x̂   dβ = Σ dy
func layerNormBackward[T buffer.Float](p LayerNorm) Run {
	var centred []T // a row of x − μ, made of the results
	if p.X == nil {
		p.X, p.Mean = p.Y, p.RStd
		centred = make([]T, p.X.Cols())
	}
	x, dy := buffer.Floats[T](p.X), buffer.Floats[T](p.DY)
	gamma, beta, mean, rstd := optionalFloats[T](p.Gamma), optionalFloats[T](p.Beta), buffer.Floats[T](p.Mean), buffer.Floats[T](p.RStd)
	dx, dgamma, dbeta := optionalFloats[T](p.DX), optionalFloats[T](p.DGamma), optionalFloats[T](p.DBeta)
	rows, c := p.X.Rows(), p.X.Cols()
	var sumGamma, sumBeta []float64
	if dgamma != nil {
		sumGamma = make([]float64, c)
	}
	if dbeta != nil {
		sumBeta = make([]float64, c)
	}
	return func() {
		clear(sumGamma)
		clear(sumBeta)
		for r := range rows {
			in, g := x[r*p.X.Pitch:r*p.X.Pitch+c], dy[r*p.DY.Pitch:r*p.DY.Pitch+c]
			mu, rs := float64(mean[r]), float64(rstd[r])
			if centred != nil {
				mu = 0
				for i, v := range in {
					if beta != nil {
						v -= beta[i]
					}
					centred[i] = v / gamma[i] / T(rs)
				}
				in = centred
			}
			var sum, dot float64
			i := 0
			if sumGamma == nil && sumBeta == nil {
				i, sum, dot = normalSums(g, in, gamma, mu, rs)
			}
			for ; i < c; i++ {
				d, hat := float64(g[i]), (float64(in[i])-mu)*rs
				if sumGamma != nil {
					sumGamma[i] += d * hat
				}
				if sumBeta != nil {
					sumBeta[i] += d
				}
				if gamma != nil {
					d *= float64(gamma[i])
				}
				sum += d
				dot += d * hat
			}
			if dx == nil {
				continue
			}
			sum /= float64(c)
			dot /= float64(c)
			out := dx[r*p.DX.Pitch : r*p.DX.Pitch+c]
			for i := normalBack(out, g, in, gamma, mu, rs, sum, dot, p.AccumulateDX); i < c; i++ {
				d := float64(g[i])
				if gamma != nil {
					d *= float64(gamma[i])
				}
				d = rs * (d - sum - (float64(in[i])-mu)*rs*dot)
				if p.AccumulateDX {
					d += float64(out[i])
				}
				out[i] = T(d)
			}
		}
		for i, v := range sumGamma {
			dgamma[i] = T(v)
		}
		for i, v := range sumBeta {
			dbeta[i] = T(v)
		}
	}
}

// Inverts reports whether the normalised values can be had from the results to about
// the precision of these: of scale γ (C) and shift β (C) or nil, no scale is much
// smaller than others or than its shift.
func (p LayerNorm) Inverts() bool {
	const most = 64
	if p.Gamma == nil {
		return false
	}
	largest := float32(0)
	for _, v := range p.Gamma.F32() {
		largest = max(largest, v, -v)
	}
	for i, v := range p.Gamma.F32() {
		v, shift := max(v, -v), float32(0)
		if p.Beta != nil {
			shift = max(p.Beta.F32()[i], -p.Beta.F32()[i])
		}
		if !(v*most >= largest && v*most >= shift && v > 0) {
			return false
		}
	}
	return true
}
