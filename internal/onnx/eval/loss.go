package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers the losses. ONNX expands both to primitive operators; models
// that were exported with their loss carry them whole.
func init() {
	register("NegativeLogLikelihoodLoss", operator{minIn: 2, maxIn: 3, since: 12, types: lossTypes,
		run: func(c *call, out []*ir.Tensor) { runNLL(c, out[0], c.floats(0)) }})
	register("SoftmaxCrossEntropyLoss", operator{minIn: 2, maxIn: 3, since: 12,
		types: func(c *call) []ir.Type { return append(lossTypes(c), c.typ(0)) },
		run: func(c *call, out []*ir.Tensor) {
			x := c.floats(0)
			outer, n, inner := split3(c.dims(0), 1)
			for i := range outer * inner {
				at, m, sum := i/inner*n*inner+i%inner, math.Inf(-1), 0.0
				for k := range n {
					m = math.Max(m, x[at+k*inner])
				}
				for k := range n {
					sum += math.Exp(x[at+k*inner] - m)
				}
				for k := range n {
					x[at+k*inner] -= m + math.Log(sum)
				}
			}
			if out[0] != nil {
				runNLL(c, out[0], x)
			}
			if len(out) > 1 && out[1] != nil {
				setFloats(out[1], x)
			}
		}})
}

// lossTypes checks log-probabilities (N, C, …), labels (N, …) and weights (C).
func lossTypes(c *call) []ir.Type {
	c.wantFloat(0)
	c.wantIndices(1)
	x := c.dims(0)
	if len(x) < 2 || !slices.Equal(slices.Delete(slices.Clone(x), 1, 2), c.dims(1)) {
		c.fail("has labels %s for %s", shapeString(c.dims(1)), shapeString(x))
	}
	if c.has(2) {
		c.wantVector(2, x[1])
	}
	switch r := c.attrs().String("reduction", "mean"); r {
	case "none":
		return one(c.dtype(0), c.dims(1))
	case "mean", "sum":
		return one(c.dtype(0), nil)
	default:
		c.fail("reduction %q is not known", r)
		return nil
	}
}

// runNLL is −weight[label]·x[label], reduced; the mean is over the weights.
func runNLL(c *call, out *ir.Tensor, x []float64) {
	_, n, inner := split3(c.dims(0), 1)
	ignored, ignore := int64(c.attrs().Int("ignore_index", 0)), c.attrs().Has("ignore_index")
	reduction := c.attrs().String("reduction", "mean")
	var weights []float64
	if c.has(2) {
		weights = c.floats(2)
	}
	sum, total := 0.0, 0.0
	for i, label := range c.ints(1) {
		loss, w := 0.0, 1.0
		if ignore && label == ignored {
			w = 0
		} else {
			if label < 0 || label >= int64(n) {
				c.fail("label %d is outside %d classes", label, n)
			}
			if weights != nil {
				w = weights[label]
			}
			loss = -w * x[(i/inner*n+int(label))*inner+i%inner]
		}
		if reduction == "none" {
			setFloat(out, i, loss)
		}
		sum += loss
		total += w
	}
	switch reduction {
	case "sum":
		setFloat(out, 0, sum)
	case "mean":
		setFloat(out, 0, sum/total)
	}
}
