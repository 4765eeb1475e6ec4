package eval

import (
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers Softmax, LogSoftmax and Hardmax. Before opset 13 they work on
// the matrix that flattening at the axis gives.
func init() {
	normalise := func(name string, f func(row []float64)) {
		register(name, operator{minIn: 1, maxIn: 1,
			types: func(c *call) []ir.Type {
				c.wantFloat(0)
				c.softmaxAxis()
				return c.like(0)
			},
			run: func(c *call, out []*ir.Tensor) {
				outer, n, inner := c.softmaxAxis()
				v, row := c.floats(0), make([]float64, n)
				for i := range outer * inner {
					at := i/inner*n*inner + i%inner
					for k := range row {
						row[k] = v[at+k*inner]
					}
					f(row)
					for k, x := range row {
						setFloat(out[0], at+k*inner, x)
					}
				}
			}})
	}
	normalise("Softmax", func(row []float64) {
		m, sum := maximum(row), 0.0
		for i, x := range row {
			row[i] = math.Exp(x - m)
			sum += row[i]
		}
		for i := range row {
			row[i] /= sum
		}
	})
	normalise("LogSoftmax", func(row []float64) {
		m, sum := maximum(row), 0.0
		for _, x := range row {
			sum += math.Exp(x - m)
		}
		for i, x := range row {
			row[i] = x - m - math.Log(sum)
		}
	})
	normalise("Hardmax", func(row []float64) {
		m, found := maximum(row), false
		for i, x := range row {
			row[i] = 0
			if x == m && !found {
				row[i], found = 1, true
			}
		}
	})
}

func maximum(row []float64) float64 {
	m := math.Inf(-1)
	for _, x := range row {
		m = math.Max(m, x)
	}
	return m
}

func (c *call) softmaxAxis() (outer, n, inner int) {
	if c.opset >= 13 {
		return split3(c.dims(0), c.axis(c.attrs().Int("axis", -1), c.rank(0)))
	}
	axis := c.axis(c.attrs().Int("axis", 1), c.rank(0)+1)
	return product(c.dims(0)[:axis]), product(c.dims(0)[axis:]), 1
}
