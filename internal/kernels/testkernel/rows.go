package testkernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/vislora/vislora/internal/kernels"
)

// layerNormResults checks the gradient of x that is made of the results in its place.
func (u *suite) layerNormResults(t *testing.T, name string, p kernels.LayerNorm) {
	p.Gamma = u.buf(0, p.Gamma.Len())
	u.fill(p.Gamma, func() float64 { return 0.5 + math.Abs(u.rng.NormFloat64()) })
	p.DGamma, p.DBeta = nil, nil
	for _, beta := range []kernels.Buf{p.Beta, nil} {
		p.Beta = beta
		run, err := u.k.LayerNorm(p)
		u.exec(t, name, run, err)
		of := [2]kernels.LayerNorm{p, p}
		of[1].X, of[1].Mean = nil, nil
		for i := range of {
			of[i].DX, of[i].AccumulateDX = u.gaps(0, p.DX.Shape...), false
			run, err := u.k.LayerNormBackward(of[i])
			u.exec(t, name, run, err)
		}
		u.compare(t, name+" dx of the results", of[1].DX, values(of[0].DX))
	}
}

func (u *suite) layerNorm(t *testing.T) {
	for _, c := range []int{1, 3, 16, 37, 192} {
		for opt := range 8 {
			extra, acc, affine := 5*(opt&1), opt&2 != 0, opt&4 == 0
			p := kernels.LayerNorm{X: u.buf(extra, 3, 2, c), Y: u.gaps(extra, 3, 2, c), Mean: u.gaps(0, 6), RStd: u.gaps(0, 6), Epsilon: 1e-3,
				DY: u.buf(extra, 3, 2, c), DX: u.buf(extra, 3, 2, c), DGamma: u.gaps(0, c), DBeta: u.gaps(0, c), AccumulateDX: acc}
			u.fill(p.X, func() float64 { return 3 + u.rng.NormFloat64() })
			if affine {
				p.Gamma, p.Beta = u.buf(0, c), u.buf(0, c)
			}
			name := fmt.Sprintf("C=%d acc=%v gap=%d affine=%v", c, acc, extra, affine)
			x, dy := values(p.X), values(p.DY)
			y, dx, dg, db := make([]float64, len(x)), make([]float64, len(x)), make([]float64, c), make([]float64, c)
			var mean, rstd []float64
			gamma := func(i int) float64 {
				if p.Gamma == nil {
					return 1
				}
				return at(p.Gamma, i)
			}
			for r := 0; r < len(x); r += c {
				mu, v := 0.0, 0.0
				for i := range c {
					mu += x[r+i] / float64(c)
				}
				for i := range c {
					v += (x[r+i] - mu) * (x[r+i] - mu) / float64(c)
				}
				rs := 1 / math.Sqrt(v+p.Epsilon)
				mean, rstd = append(mean, mu), append(rstd, rs)
				g1, g2 := 0.0, 0.0
				for i := range c {
					hat := (x[r+i] - mu) * rs
					y[r+i] = hat * gamma(i)
					if p.Beta != nil {
						y[r+i] += at(p.Beta, i)
					}
					g1 += dy[r+i] * gamma(i) / float64(c)
					g2 += dy[r+i] * gamma(i) * hat / float64(c)
					dg[i] += dy[r+i] * hat
					db[i] += dy[r+i]
				}
				for i := range c {
					dx[r+i] = rs * (dy[r+i]*gamma(i) - g1 - (x[r+i]-mu)*rs*g2)
				}
			}
			run, err := u.k.LayerNorm(p)
			u.exec(t, name, run, err)
			u.compare(t, name+" y", p.Y, y)
			u.compare(t, name+" mean", p.Mean, mean)
			u.compare(t, name+" rstd", p.RStd, rstd)
			infer := p
			infer.Mean, infer.RStd = nil, nil
			run, err = u.k.LayerNorm(infer)
			u.exec(t, name, run, err)
			u.compare(t, name+" y in inference", p.Y, y)
			want := plus(acc, values(p.DX), dx)
			run, err = u.k.LayerNormBackward(p)
			u.exec(t, name, run, err)
			if c > 1 { // with one channel the gradient is rounding noise around 0
				u.compare(t, name+" dx", p.DX, want)
				u.compare(t, name+" dgamma", p.DGamma, dg)
			}
			u.compare(t, name+" dbeta", p.DBeta, db)
			if c > 1 && affine {
				u.layerNormResults(t, name, p)
			}
			part := p
			part.DX, part.DGamma, part.DBeta = nil, u.gaps(0, c), nil
			run, err = u.k.LayerNormBackward(part)
			u.exec(t, name, run, err)
			if c > 1 {
				u.compare(t, name+" dgamma alone", part.DGamma, dg)
			}
		}
	}
}

func (u *suite) softmax(t *testing.T) {
	for _, c := range []int{1, 2, 7, 16, 50, 197} {
		for opt := range 8 {
			extra, acc, log := 5*(opt&1), opt&2 != 0, opt&4 != 0
			p := kernels.Softmax{X: u.buf(extra, 2, 3, c), Y: u.gaps(extra, 2, 3, c), DY: u.buf(extra, 2, 3, c), DX: u.buf(extra, 2, 3, c), Log: log, Accumulate: acc}
			u.fill(p.X, func() float64 { return 100 + 5*u.rng.NormFloat64() })
			name := fmt.Sprintf("C=%d acc=%v gap=%d log=%v", c, acc, extra, log)
			x, dy := values(p.X), values(p.DY)
			y, dx := make([]float64, len(x)), make([]float64, len(x))
			for r := 0; r < len(x); r += c {
				sum, dot, all := 0.0, 0.0, 0.0
				for i := range c {
					sum += math.Exp(x[r+i] - 100)
				}
				for i := range c {
					y[r+i] = math.Exp(x[r+i]-100) / sum
					dot += y[r+i] * dy[r+i]
					all += dy[r+i]
				}
				for i := range c {
					if log {
						dx[r+i] = dy[r+i] - y[r+i]*all
						y[r+i] = x[r+i] - 100 - math.Log(sum)
					} else {
						dx[r+i] = y[r+i] * (dy[r+i] - dot)
					}
				}
			}
			run, err := u.k.Softmax(p)
			u.exec(t, name, run, err)
			if c > 1 || !log { // the logarithm of 1 is rounding noise around 0
				u.compare(t, name, p.Y, y)
			}
			want := plus(acc, values(p.DX), dx)
			run, err = u.k.SoftmaxBackward(p)
			u.exec(t, name, run, err)
			if c > 1 || acc {
				u.compare(t, name+" backward", p.DX, want)
			}
		}
	}
}

func (u *suite) channelAffine(t *testing.T) {
	for _, c := range []int{1, 5, 16, 67} {
		for opt := range 16 {
			extra, acc := 3*(opt&1), opt&2 != 0
			p := kernels.ChannelAffine{X: u.buf(extra, 3, 4, c), Y: u.buf(2*extra, 3, 4, c), Accumulate: acc}
			if opt&4 != 0 {
				p.Scale = u.buf(0, c)
			}
			if opt&8 != 0 {
				p.Shift = u.buf(0, c)
			}
			want := values(p.X)
			for i := range want {
				if p.Scale != nil {
					want[i] *= at(p.Scale, i%c)
				}
				if p.Shift != nil {
					want[i] += at(p.Shift, i%c)
				}
			}
			name := fmt.Sprintf("C=%d option %d", c, opt)
			want = plus(acc, values(p.Y), want)
			run, err := u.k.ChannelAffine(p)
			u.exec(t, name, run, err)
			u.compare(t, name, p.Y, want)
		}
	}
}

func (u *suite) columnSum(t *testing.T) {
	for _, c := range []int{1, 5, 16, 67, 300} {
		for opt := range 8 {
			extra, acc := 3*(opt&1), opt&2 != 0
			p := kernels.ColumnSum{X: u.buf(extra, 9, 71, c), Y: u.buf(0, c), Accumulate: acc}
			x := values(p.X)
			if opt&4 != 0 {
				p.Z = u.buf(2*extra, 9, 71, c)
				for i, z := range values(p.Z) {
					x[i] *= z
				}
			}
			sum := make([]float64, c)
			for i, v := range x {
				sum[i%c] += v
			}
			name := fmt.Sprintf("C=%d option %d", c, opt)
			want := plus(acc, values(p.Y), sum)
			run, err := u.k.ColumnSum(p)
			u.exec(t, name, run, err)
			u.compare(t, name, p.Y, want)
		}
	}
}
