package eval

import (
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers MatMul, Gemm and their integer forms.
func init() {
	register("MatMul", operator{minIn: 2, maxIn: 2,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			return one(c.joinDType(0, 1), c.matmulDims(0, 1))
		},
		run: func(c *call, out []*ir.Tensor) {
			if isFloat(out[0].DType) {
				setFloats(out[0], matmul(c, c.floats(0), c.floats(1), c.dims(0), c.dims(1)))
				return
			}
			setInts(out[0], matmul(c, c.ints(0), c.ints(1), c.dims(0), c.dims(1)))
		}})
	register("MatMulInteger", operator{minIn: 2, maxIn: 4, since: 10,
		types: func(c *call) []ir.Type { return one(ir.Int32, c.matmulDims(0, 1)) },
		run: func(c *call, out []*ir.Tensor) {
			rank := c.rank(0)
			a := c.centered(0, 2, max(0, rank-2))
			b := c.centered(1, 3, c.rank(1)-1)
			setInts(out[0], matmul(c, a, b, c.dims(0), c.dims(1)))
		}})
	register("Gemm", operator{minIn: 2, maxIn: 3, run: runGemm,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			m, _, n := c.gemmDims()
			t := c.joinDType(0, 1)
			if c.has(2) {
				t = c.joinDType(0, 1, 2)
				if got := c.broadcast([]int{m, n}, c.dims(2)); !slices.Equal(got, []int{m, n}) {
					c.fail("cannot broadcast C %s to %s", shapeString(c.dims(2)), shapeString([]int{m, n}))
				}
			}
			return one(t, []int{m, n})
		}})
}

// matmulDims is the shape of a·b by NumPy's rule: vectors are rows on the left
// and columns on the right, leading axes broadcast.
func (c *call) matmulDims(i, j int) []int {
	a, b := c.dims(i), c.dims(j)
	if len(a) == 0 || len(b) == 0 {
		c.fail("cannot multiply %s with %s", shapeString(a), shapeString(b))
	}
	am, bm := asMatrix(a, true), asMatrix(b, false)
	if am[len(am)-1] != bm[len(bm)-2] {
		c.fail("cannot multiply %s with %s: inner lengths %d and %d differ", shapeString(a), shapeString(b), am[len(am)-1], bm[len(bm)-2])
	}
	out := c.broadcast(am[:len(am)-2], bm[:len(bm)-2])
	if len(a) > 1 {
		out = append(out, am[len(am)-2])
	}
	if len(b) > 1 {
		out = append(out, bm[len(bm)-1])
	}
	return out
}

func asMatrix(dims []int, left bool) []int {
	switch {
	case len(dims) > 1:
		return dims
	case left:
		return []int{1, dims[0]}
	}
	return []int{dims[0], 1}
}

func matmul[T float64 | int64](c *call, a, b []T, aDims, bDims []int) []T {
	aDims, bDims = asMatrix(aDims, true), asMatrix(bDims, false)
	ra, rb := len(aDims), len(bDims)
	m, k, n := aDims[ra-2], aDims[ra-1], bDims[rb-1]
	batch := c.broadcast(aDims[:ra-2], bDims[:rb-2])
	c.spend(product(batch), m, k, n)
	out := make([]T, product(batch)*m*n)
	at, from := 0, make([]int, 0, product(batch))
	eachOffset(batch, spreadStrides(bDims[:rb-2], batch), func(j int) { from = append(from, j) })
	eachOffset(batch, spreadStrides(aDims[:ra-2], batch), func(i int) {
		multiply(out[at*m*n:][:m*n], a[i*m*k:], b[from[at]*k*n:], m, k, n)
		at++
	})
	return out
}

// multiply adds the product of a (m, k) and b (k, n) to out.
func multiply[T float64 | int64](out, a, b []T, m, k, n int) {
	if n == 0 {
		return
	}
	for i := range m {
		row := out[i*n:][:n]
		for l := range k {
			axpy(row, a[i*k+l], b[l*n:][:n])
		}
	}
}

// axpy adds a·x to y.
func axpy[T float64 | int64](y []T, a T, x []T) {
	for i, v := range x[:len(y)] {
		y[i] += a * v
	}
}

// centered gives an integer input less its zero point, which is input zero: one
// number, or one per index of an axis.
func (c *call) centered(i, zero, axis int) []int64 {
	c.wantInteger(i)
	v := slices.Clone(c.ints(i))
	if !c.has(zero) {
		return v
	}
	z := c.ints(zero)
	switch {
	case len(z) == 1:
		for j := range v {
			v[j] -= z[0]
		}
	case axis < c.rank(i) && len(z) == c.dims(i)[axis]:
		inner := product(c.dims(i)[axis+1:])
		for j := range v {
			v[j] -= z[j/inner%len(z)]
		}
	default:
		c.fail("has %d zero points for %s", len(z), shapeString(c.dims(i)))
	}
	return v
}

func (c *call) gemmDims() (m, k, n int) {
	c.wantRank(0, 2)
	c.wantRank(1, 2)
	a, b := c.dims(0), c.dims(1)
	m, k = a[0], a[1]
	if c.attrs().Int("transA", 0) != 0 {
		m, k = k, m
	}
	k2, n := b[0], b[1]
	if c.attrs().Int("transB", 0) != 0 {
		k2, n = n, k2
	}
	if k != k2 {
		c.fail("cannot multiply %s with %s: inner lengths %d and %d differ", shapeString(a), shapeString(b), k, k2)
	}
	return m, k, n
}

func transposed[T any](v []T, rows, cols int) []T {
	out := make([]T, len(v))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = v[i*cols+j]
		}
	}
	return out
}

// runGemm is alpha·A'·B' + beta·C.
func runGemm(c *call, out []*ir.Tensor) {
	m, k, n := c.gemmDims()
	c.spend(m, k, n)
	a, b := c.floats(0), c.floats(1)
	if c.attrs().Int("transA", 0) != 0 {
		a = transposed(a, k, m)
	}
	if c.attrs().Int("transB", 0) != 0 {
		b = transposed(b, n, k)
	}
	y := make([]float64, m*n)
	multiply(y, a, b, m, k, n)
	alpha, beta := c.attrs().Float("alpha", 1), c.attrs().Float("beta", 1)
	var bias []float64
	if c.has(2) {
		bias = spread(c.floats(2), c.dims(2), []int{m, n})
	}
	for i := range y {
		y[i] *= alpha
		if bias != nil {
			y[i] += beta * bias[i]
		}
	}
	setFloats(out[0], y)
}
