package eval

import (
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// arg is one input of a call: absent, known by its static type, or constant.
type arg struct {
	ok  bool
	typ ir.Type
	t   *ir.Tensor // nil unless constant
}

// call is one application of an operator. Its methods read inputs and
// attributes and check them; a failed check leaves the operator at once by a
// private panic that rescue turns into an error at the package's boundary.
type call struct {
	n     *ir.Node
	opset int
	in    []arg
	// outShape is what the shape function of a view found, for its run.
	outShape []int
	limits
}

type (
	failure  struct{ err error }
	dynamism struct{ input int } // the contents of this input must be constant
)

// rescue ends a call: it turns the panics of fail, and as the last defence any
// other, into an error.
func (c *call) rescue(err *error) {
	switch r := recover().(type) {
	case nil:
	case failure:
		*err = r.err
	case dynamism:
		*err = fmt.Errorf("%s: %s: input %d must be constant", describe(c.n), c.n.Op, r.input)
	default:
		*err = fmt.Errorf("%s: %s: malformed node: %v", describe(c.n), c.n.Op, r)
	}
}

func (c *call) fail(format string, args ...any) {
	panic(failure{fmt.Errorf("%s: %s: %s", describe(c.n), c.n.Op, fmt.Sprintf(format, args...))})
}

// limitError says that a constant would be too big or take too long.
type limitError struct{ error }

func (c *call) overLimit(format string, args ...any) {
	panic(failure{&limitError{fmt.Errorf("%s: %s: %s", describe(c.n), c.n.Op, fmt.Sprintf(format, args...))}})
}

func (c *call) has(i int) bool { return i < len(c.in) && c.in[i].ok }

func (c *call) typ(i int) ir.Type {
	if !c.has(i) {
		c.fail("input %d is missing", i)
	}
	return c.in[i].typ
}

func (c *call) dims(i int) []int       { return c.typ(i).Dims }
func (c *call) rank(i int) int         { return len(c.typ(i).Dims) }
func (c *call) dtype(i int) ir.DType   { return c.typ(i).DType }
func (c *call) like(i int) []ir.Type   { return []ir.Type{c.typ(i)} }
func (c *call) attrs() ir.Attrs        { return c.n.Attrs }
func (c *call) floats(i int) []float64 { return floats(c.constant(i)) }
func (c *call) ints(i int) []int64     { return ints(c.constant(i)) }

// constant is input i, whose contents the operator needs.
func (c *call) constant(i int) *ir.Tensor {
	c.typ(i)
	t := c.in[i].t
	if t == nil {
		panic(dynamism{i})
	}
	if t.DType == ir.String {
		c.fail("input %d has strings, which are not supported", i)
	}
	return t
}

// list is the contents of an integer input of rank 0 or 1.
func (c *call) list(i int) []int {
	if t := c.typ(i); t.DType != ir.Int64 && t.DType != ir.Int32 || len(t.Dims) > 1 {
		c.fail("input %d is %v of shape %s, must be a list of int64", i, t.DType, shapeString(t.Dims))
	}
	if n := c.count(c.dims(i)); n > 1<<16 {
		c.fail("input %d lists %d numbers, at most %d make sense", i, n, 1<<16)
	}
	return c.constant(i).Ints()
}

// scalar is the only element of an input, as float64.
func (c *call) scalar(i int) float64 {
	t := c.constant(i)
	if t.Len() != 1 {
		c.fail("input %d has shape %s, must have one element", i, shapeString(t.Dims))
	}
	return t.Float(0)
}

// integer is the only element of an integer input.
func (c *call) integer(i int) int {
	t := c.constant(i)
	if t.Len() != 1 || isFloat(t.DType) {
		c.fail("input %d is %v of shape %s, must be one integer", i, t.DType, shapeString(t.Dims))
	}
	return int(t.Int(0))
}

// axis normalises an axis that may count from the end; rank is one more than
// the largest axis.
func (c *call) axis(axis, rank int) int {
	if axis < -rank || axis >= rank {
		c.fail("axis %d is outside rank %d", axis, rank)
	}
	if axis < 0 {
		axis += rank
	}
	return axis
}

// axes normalises a list of axes, without repetitions.
func (c *call) axes(axes []int, rank int) []int {
	out := make([]int, len(axes))
	for i, a := range axes {
		out[i] = c.axis(a, rank)
		if slices.Contains(out[:i], out[i]) {
			c.fail("axis %d is given twice", a)
		}
	}
	return out
}

// optionalList is a list that older opsets give as an attribute and newer ones
// as an input; ok is false when it is absent.
func (c *call) optionalList(attr string, input int) (list []int, ok bool) {
	if c.attrs().Has(attr) {
		list = c.attrs().Ints(attr)
		return list, list != nil
	}
	if !c.has(input) {
		return nil, false
	}
	return c.list(input), true
}

// count is the number of elements of a shape, which must be sane.
func (c *call) count(dims []int) int {
	n, zero := 1, false
	for _, d := range dims {
		if d < 0 {
			c.fail("shape %s has a negative dimension", shapeString(dims))
		}
		if d == 0 {
			zero = true
			continue
		}
		if n > maxElements/d {
			c.fail("shape %s has more than 2^40 elements", shapeString(dims))
		}
		n *= d
	}
	if zero {
		return 0
	}
	return n
}

// maxElements bounds every shape, so that products of dimensions and byte
// counts never overflow.
const maxElements = 1 << 40

// spend checks an estimate of the work of a call, in multiply-adds.
func (c *call) spend(factors ...int) {
	if c.work == 0 {
		return
	}
	n := 1.0
	for _, f := range factors {
		n *= float64(f)
	}
	if n > float64(c.work) {
		c.overLimit("takes %.0f multiply-adds on constants, more than the limit of %d", n, c.work)
	}
}

// wantRank checks an input's rank.
func (c *call) wantRank(i, rank int) {
	if c.rank(i) != rank {
		c.fail("input %d has shape %s, must have rank %d", i, shapeString(c.dims(i)), rank)
	}
}

// wantVector checks that an input has shape (n).
func (c *call) wantVector(i, n int) {
	if d := c.dims(i); len(d) != 1 || d[0] != n {
		c.fail("input %d has shape %s, must be (%d)", i, shapeString(d), n)
	}
}

// wantFloat checks that an input is floating point.
func (c *call) wantFloat(i int) {
	if !isFloat(c.dtype(i)) {
		c.fail("input %d is %v, must be floating point", i, c.dtype(i))
	}
}

// wantNumber checks that an input is neither boolean nor text.
func (c *call) wantNumber(i int) {
	if t := c.dtype(i); t == ir.Bool || t == ir.String {
		c.fail("input %d is %v, must be a number", i, t)
	}
}

// joinDType is the common element type of inputs: equal, or all floating point.
func (c *call) joinDType(inputs ...int) ir.DType {
	t := c.dtype(inputs[0])
	for _, i := range inputs[1:] {
		u := c.dtype(i)
		if u == t {
			continue
		}
		if !isFloat(t) || !isFloat(u) {
			c.fail("inputs have different types: %v and %v", t, u)
		}
		t = ir.Float
	}
	return t
}

func static(t ir.DType, dims ...int) ir.Type {
	if dims == nil {
		dims = []int{}
	}
	return ir.Type{DType: t, Dims: dims, Known: true}
}

// one is the result of a shape function with a single output.
func one(t ir.DType, dims []int) []ir.Type { return []ir.Type{static(t, dims...)} }

func isFloat(t ir.DType) bool {
	return t == ir.Float || t == ir.Double || t == ir.Float16 || t == ir.BFloat16
}

func isUnsigned(t ir.DType) bool {
	return t == ir.Uint8 || t == ir.Uint16 || t == ir.Uint32 || t == ir.Uint64
}

// bounds gives the range of an integer type as float64.
func bounds(t ir.DType) (lo, hi float64) {
	if t == ir.Bool {
		return 0, 1
	}
	bits := 8 * t.Size()
	if isUnsigned(t) {
		return 0, math.Ldexp(1, bits) - 1
	}
	return -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1) - 1
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
