package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers normalisations.
func init() {
	register("BatchNormalization", operator{minIn: 5, maxIn: 5, run: runBatchNorm,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			if c.rank(0) < 2 {
				c.fail("input has shape %s, must be (N, C, …)", shapeString(c.dims(0)))
			}
			ch := c.dims(0)[1]
			for i := 1; i < 5; i++ {
				c.wantFloat(i)
				c.wantVector(i, ch)
			}
			out := c.like(0)
			for i := 3; i < 5; i++ {
				out = append(out, c.typ(i))
			}
			if c.opset < 14 {
				out = append(out, c.typ(3), c.typ(4))
			}
			return out
		}})
	register("InstanceNormalization", operator{minIn: 3, maxIn: 3,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			c.wantSpatial(0)
			c.wantVector(1, c.dims(0)[1])
			c.wantVector(2, c.dims(0)[1])
			return c.like(0)
		},
		run: func(c *call, out []*ir.Tensor) {
			x, scale, bias := c.floats(0), c.floats(1), c.floats(2)
			inner := product(c.dims(0)[2:])
			for p := range product(c.dims(0)[:2]) {
				row, k := x[p*inner:][:inner], p%len(scale)
				standardise(row, c.attrs().Float("epsilon", 1e-5))
				for i := range row {
					row[i] = row[i]*scale[k] + bias[k]
				}
			}
			setFloats(out[0], x)
		}})
	register("GroupNormalization", operator{minIn: 3, maxIn: 3, since: 18,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			c.wantSpatial(0)
			groups, ch := c.attrs().Int("num_groups", 0), c.dims(0)[1]
			if groups < 1 || ch%groups != 0 {
				c.fail("cannot divide %d channels into %d groups", ch, groups)
			}
			n := groups // scale and bias are per group before opset 21
			if c.opset >= 21 {
				n = ch
			}
			c.wantVector(1, n)
			c.wantVector(2, n)
			return c.like(0)
		},
		run: func(c *call, out []*ir.Tensor) {
			x, scale, bias := c.floats(0), c.floats(1), c.floats(2)
			groups, ch, inner := c.attrs().Int("num_groups", 0), c.dims(0)[1], product(c.dims(0)[2:])
			size := ch / groups * inner
			for g := range c.dims(0)[0] * groups {
				standardise(x[g*size:][:size], c.attrs().Float("epsilon", 1e-5))
			}
			for i := range x {
				k := i / inner % ch * len(scale) / ch
				x[i] = x[i]*scale[k] + bias[k]
			}
			setFloats(out[0], x)
		}})
	register("LayerNormalization", operator{minIn: 2, maxIn: 3, since: 17, run: runLayerNorm,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			axis := c.axis(c.attrs().Int("axis", -1), c.rank(0))
			for i := 1; i <= 2; i++ {
				if c.has(i) && !slices.Equal(c.broadcast(c.dims(0)[axis:], c.dims(i)), c.dims(0)[axis:]) {
					c.fail("input %d has shape %s, must broadcast to %s", i, shapeString(c.dims(i)), shapeString(c.dims(0)[axis:]))
				}
			}
			stat := append([]int(nil), c.dims(0)...)
			for i := axis; i < len(stat); i++ {
				stat[i] = 1
			}
			return []ir.Type{c.typ(0), static(ir.Float, stat...), static(ir.Float, stat...)}
		}})
	register("LRN", operator{minIn: 1, maxIn: 1, run: runLRN,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			c.wantSpatial(0)
			if n := c.attrs().Int("size", 0); n < 1 || n > 1<<20 {
				c.fail("size is %d", n)
			}
			return c.like(0)
		}})
	register("MeanVarianceNormalization", operator{minIn: 1, maxIn: 1, since: 9, run: runMVN,
		types: func(c *call) []ir.Type { c.wantFloat(0); c.mvnStrides(); return c.like(0) }})
	register("LpNormalization", operator{minIn: 1, maxIn: 1,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			c.axis(c.attrs().Int("axis", -1), c.rank(0))
			return c.like(0)
		},
		run: func(c *call, out []*ir.Tensor) {
			outer, n, inner := split3(c.dims(0), c.axis(c.attrs().Int("axis", -1), c.rank(0)))
			x, p := c.floats(0), c.attrs().Int("p", 2)
			for o := range outer * inner {
				at, norm := o/inner*n*inner+o%inner, 0.0
				for k := range n {
					norm += math.Pow(math.Abs(x[at+k*inner]), float64(p))
				}
				if norm = math.Pow(norm, 1/float64(p)); norm == 0 {
					norm = 1
				}
				for k := range n {
					setFloat(out[0], at+k*inner, x[at+k*inner]/norm)
				}
			}
		}})
}

// moments gives the mean and the variance (over n, not n−1).
func moments(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		variance += (x - mean) * (x - mean)
	}
	return mean, variance / float64(len(v))
}

// standardise is (x − mean)/√(variance + ε) in place.
func standardise(v []float64, epsilon float64) {
	mean, variance := moments(v)
	r := 1 / math.Sqrt(variance+epsilon)
	for i, x := range v {
		v[i] = (x - mean) * r
	}
}

// runBatchNorm uses the running statistics, or with training_mode the batch's,
// and then also gives the running statistics' new values.
func runBatchNorm(c *call, out []*ir.Tensor) {
	x, scale, bias, mean, variance := c.floats(0), c.floats(1), c.floats(2), c.floats(3), c.floats(4)
	n, ch, inner := c.dims(0)[0], c.dims(0)[1], product(c.dims(0)[2:])
	training := c.attrs().Int("training_mode", 0) != 0
	if len(out) > 1 && !training {
		c.fail("has %d outputs without training_mode", len(out))
	}
	if training {
		momentum := c.attrs().Float("momentum", 0.9)
		all := make([]float64, n*inner)
		for k := range ch {
			for b := range n {
				copy(all[b*inner:][:inner], x[(b*ch+k)*inner:])
			}
			m, v := moments(all)
			for i, new := range []float64{m, v} {
				running := []float64{mean[k], variance[k]}[i]
				if i+1 < len(out) && out[i+1] != nil {
					setFloat(out[i+1], k, running*momentum+new*(1-momentum))
				}
			}
			mean[k], variance[k] = m, v
		}
	}
	epsilon := c.attrs().Float("epsilon", 1e-5)
	for i, v := range x {
		k := i / inner % ch
		x[i] = (v-mean[k])/math.Sqrt(variance[k]+epsilon)*scale[k] + bias[k]
	}
	if out[0] != nil {
		setFloats(out[0], x)
	}
}

// runLayerNorm also gives the means and the reciprocal deviations.
func runLayerNorm(c *call, out []*ir.Tensor) {
	axis := c.axis(c.attrs().Int("axis", -1), c.rank(0))
	tail := c.dims(0)[axis:]
	n, epsilon := product(tail), c.attrs().Float("epsilon", 1e-5)
	x, scale := c.floats(0), spread(c.floats(1), c.dims(1), tail)
	bias := make([]float64, n)
	if c.has(2) {
		bias = spread(c.floats(2), c.dims(2), tail)
	}
	for r := range product(c.dims(0)[:axis]) {
		row := x[r*n:][:n]
		mean, variance := moments(row)
		inv := 1 / math.Sqrt(variance+epsilon)
		for i, v := range row {
			row[i] = (v-mean)*inv*scale[i] + bias[i]
		}
		for i, v := range []float64{mean, inv} {
			if i+1 < len(out) && out[i+1] != nil {
				setFloat(out[i+1], r, v)
			}
		}
	}
	if out[0] != nil {
		setFloats(out[0], x)
	}
}

// runLRN divides by (bias + alpha/size · Σ x²)^beta over the neighbouring
// channels.
func runLRN(c *call, out []*ir.Tensor) {
	size := c.attrs().Int("size", 1)
	alpha, beta, bias := c.attrs().Float("alpha", 1e-4), c.attrs().Float("beta", 0.75), c.attrs().Float("bias", 1)
	x, ch, inner := c.floats(0), c.dims(0)[1], product(c.dims(0)[2:])
	c.spend(len(x), min(size, ch))
	for i, v := range x {
		k, sum := i/inner%ch, 0.0
		for j := max(0, k-(size-1)/2); j <= min(ch-1, k+size/2); j++ {
			u := x[i+(j-k)*inner]
			sum += u * u
		}
		setFloat(out[0], i, v/math.Pow(bias+alpha/float64(size)*sum, beta))
	}
}

// mvnStrides maps positions of the input to statistics.
func (c *call) mvnStrides() (strides []int, n int) {
	axes := c.attrs().Ints("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	dims := append([]int(nil), c.dims(0)...)
	n = 1
	axes = c.axes(axes, len(dims))
	for _, a := range axes {
		n *= dims[a]
		dims[a] = 1
	}
	strides = rowMajor(dims)
	for _, a := range axes {
		strides[a] = 0
	}
	return strides, n
}

func runMVN(c *call, out []*ir.Tensor) {
	strides, n := c.mvnStrides()
	x := c.floats(0)
	sum, square := make([]float64, len(x)), make([]float64, len(x))
	i := 0
	eachOffset(c.dims(0), strides, func(at int) { sum[at] += x[i] / float64(n); i++ })
	i = 0
	eachOffset(c.dims(0), strides, func(at int) { x[i] -= sum[at]; square[at] += x[i] * x[i] / float64(n); i++ })
	i = 0
	eachOffset(c.dims(0), strides, func(at int) { setFloat(out[0], i, x[i]/(math.Sqrt(square[at])+1e-9)); i++ })
}
