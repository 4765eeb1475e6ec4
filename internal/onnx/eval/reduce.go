package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers the reductions and CumSum.
func init() {
	id := func(x float64) float64 { return x }
	reduction := func(name string, start float64, term func(float64) float64, fold func(acc, x float64) float64, finish func(acc float64, n int) float64) {
		register(name, operator{minIn: 1, maxIn: 2, types: reducedTypes,
			run: func(c *call, out []*ir.Tensor) {
				runReduce(c, out[0], start, term, fold, finish)
			}})
	}
	keep := func(acc float64, _ int) float64 { return acc }
	add := func(acc, x float64) float64 { return acc + x }
	square := func(x float64) float64 { return x * x }
	reduction("ReduceSum", 0, id, add, keep)
	reduction("ReduceMean", 0, id, add, func(acc float64, n int) float64 { return acc / float64(n) })
	reduction("ReduceProd", 1, id, func(acc, x float64) float64 { return acc * x }, keep)
	reduction("ReduceL1", 0, math.Abs, add, keep)
	reduction("ReduceL2", 0, square, add, func(acc float64, _ int) float64 { return math.Sqrt(acc) })
	reduction("ReduceSumSquare", 0, square, add, keep)
	reduction("ReduceLogSum", 0, id, add, func(acc float64, _ int) float64 { return math.Log(acc) })
	reduction("ReduceMax", math.Inf(-1), id, math.Max, keep)
	reduction("ReduceMin", math.Inf(1), id, math.Min, keep)
	register("ReduceLogSumExp", operator{minIn: 1, maxIn: 2, types: reducedTypes, run: runLogSumExp})
	register("CumSum", operator{minIn: 2, maxIn: 2, since: 11, run: runCumSum,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			c.wantIndices(1)
			return c.like(0)
		}})
}

// reducedAxes are the axes to reduce; none means all, or none of them where the
// attribute noop_with_empty_axes says so.
func (c *call) reducedAxes() []bool {
	rank := c.rank(0)
	out := make([]bool, rank)
	axes, _ := c.optionalList("axes", 1)
	if len(axes) == 0 && c.attrs().Int("noop_with_empty_axes", 0) == 0 {
		for i := range out {
			out[i] = true
		}
	}
	for _, a := range c.axes(axes, rank) {
		out[a] = true
	}
	return out
}

func reducedTypes(c *call) []ir.Type {
	if c.dtype(0) == ir.Bool && c.n.Op != "ReduceMax" && c.n.Op != "ReduceMin" {
		c.wantNumber(0)
	}
	c.wantNotString(0)
	keep, out := c.attrs().Int("keepdims", 1) != 0, []int{}
	for i, r := range c.reducedAxes() {
		switch {
		case !r:
			out = append(out, c.dims(0)[i])
		case keep:
			out = append(out, 1)
		}
	}
	return one(c.dtype(0), out)
}

// reducedStrides gives the strides by which the input's positions fall on the
// output's, and how many fall on each.
func (c *call) reducedStrides() (strides []int, n int) {
	dims, n := slices.Clone(c.dims(0)), 1
	reduced := c.reducedAxes()
	for i, r := range reduced {
		if r {
			n *= dims[i]
			dims[i] = 1
		}
	}
	strides = rowMajor(dims)
	for i, r := range reduced {
		if r {
			strides[i] = 0
		}
	}
	return strides, n
}

func runReduce(c *call, out *ir.Tensor, start float64, term func(float64) float64, fold func(acc, x float64) float64, finish func(acc float64, n int) float64) {
	strides, n := c.reducedStrides()
	if !isFloat(out.DType) {
		runReduceInts(c, out, strides, n)
		return
	}
	acc, in, i := make([]float64, out.Len()), c.floats(0), 0
	for j := range acc {
		acc[j] = start
	}
	eachOffset(c.dims(0), strides, func(at int) {
		acc[at] = fold(acc[at], term(in[i]))
		i++
	})
	for j, a := range acc {
		setFloat(out, j, finish(a, n))
	}
}

// runReduceInts keeps 64-bit integers exact.
func runReduceInts(c *call, out *ir.Tensor, strides []int, n int) {
	acc, in, i := make([]int64, out.Len()), c.ints(0), 0
	seen := make([]bool, len(acc))
	flip := int64(0)
	if out.DType == ir.Uint64 {
		flip = math.MinInt64
	}
	eachOffset(c.dims(0), strides, func(at int) {
		x := in[i]
		i++
		if c.n.Op == "ReduceL1" && x < 0 && flip == 0 {
			x = -x
		}
		if c.n.Op == "ReduceL2" || c.n.Op == "ReduceSumSquare" {
			x *= x
		}
		if !seen[at] {
			seen[at], acc[at] = true, x
			return
		}
		switch c.n.Op {
		case "ReduceProd":
			acc[at] *= x
		case "ReduceMax":
			acc[at] = max(acc[at]^flip, x^flip) ^ flip
		case "ReduceMin":
			acc[at] = min(acc[at]^flip, x^flip) ^ flip
		default:
			acc[at] += x
		}
	})
	lo, hi := bounds(out.DType)
	for j, a := range acc {
		switch c.n.Op {
		case "ReduceMean":
			if n == 0 {
				c.fail("takes the mean of nothing")
			}
			if a /= int64(n); flip != 0 {
				a = int64(uint64(acc[j]) / uint64(n))
			}
		case "ReduceL2":
			a = int64(math.Sqrt(float64(a)))
		case "ReduceLogSum":
			a = int64(math.Log(float64(a)))
		case "ReduceProd":
			if !seen[j] {
				a = 1
			}
		case "ReduceMax":
			if !seen[j] {
				setFloat(out, j, lo)
				continue
			}
		case "ReduceMin":
			if !seen[j] {
				setFloat(out, j, hi)
				continue
			}
		}
		setInt(out, j, a)
	}
}

// runLogSumExp is log Σ exp(x), with the largest x taken out first.
func runLogSumExp(c *call, out []*ir.Tensor) {
	strides, _ := c.reducedStrides()
	n := out[0].Len()
	peak, acc, in, i := make([]float64, n), make([]float64, n), c.floats(0), 0
	for j := range peak {
		peak[j] = math.Inf(-1)
	}
	eachOffset(c.dims(0), strides, func(at int) { peak[at] = math.Max(peak[at], in[i]); i++ })
	for j, p := range peak {
		if math.IsInf(p, 0) {
			peak[j] = 0
		}
	}
	i = 0
	eachOffset(c.dims(0), strides, func(at int) { acc[at] += math.Exp(in[i] - peak[at]); i++ })
	for j, a := range acc {
		setFloat(out[0], j, peak[j]+math.Log(a))
	}
}

func runCumSum(c *call, out []*ir.Tensor) {
	axis := c.axis(c.integer(1), c.rank(0))
	outer, n, inner := split3(c.dims(0), axis)
	exclusive, reverse := c.attrs().Int("exclusive", 0) != 0, c.attrs().Int("reverse", 0) != 0
	scan := func(get func(at int), put func(at int)) {
		for o := range outer * inner {
			base := o/inner*n*inner + o%inner
			get(-1)
			for k := range n {
				if reverse {
					k = n - 1 - k
				}
				at := base + k*inner
				if exclusive {
					put(at)
					get(at)
				} else {
					get(at)
					put(at)
				}
			}
		}
	}
	if isFloat(out[0].DType) {
		in, acc := c.floats(0), 0.0
		scan(func(at int) {
			if at < 0 {
				acc = 0
			} else {
				acc += in[at]
			}
		}, func(at int) { setFloat(out[0], at, acc) })
		return
	}
	in, acc := c.ints(0), int64(0)
	scan(func(at int) {
		if at < 0 {
			acc = 0
		} else {
			acc += in[at]
		}
	}, func(at int) { setInt(out[0], at, acc) })
}
