package eval

import (
	"cmp"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers what selects elements by their value.
func init() {
	register("NonZero", operator{minIn: 1, maxIn: 1, since: 9,
		types: func(c *call) []ir.Type { c.wantNotString(0); return []ir.Type{{DType: ir.Int64}} },
		run: func(c *call, out []*ir.Tensor) {
			var hits []int
			for i, x := range c.floats(0) {
				if x != 0 {
					hits = append(hits, i)
				}
			}
			dims := c.dims(0)
			strides := rowMajor(dims)
			out[0] = newTensor(ir.Int64, []int{len(dims), len(hits)})
			for a := range dims {
				for j, i := range hits {
					setInt(out[0], a*len(hits)+j, int64(i/strides[a]%dims[a]))
				}
			}
		}})
	argTypes := func(c *call) []ir.Type {
		c.wantNumber(0)
		out := slices.Clone(c.dims(0))
		axis := c.axis(c.attrs().Int("axis", 0), len(out))
		if out[axis] == 0 {
			c.fail("axis %d of %s is empty", axis, shapeString(out))
		}
		if out[axis] = 1; c.attrs().Int("keepdims", 1) == 0 {
			out = slices.Delete(out, axis, axis+1)
		}
		return one(ir.Int64, out)
	}
	arg := func(better func(order int) bool) operator {
		return operator{minIn: 1, maxIn: 1, types: argTypes, run: func(c *call, out []*ir.Tensor) {
			v := sortKeys(c.constant(0))
			last := c.attrs().Int("select_last_index", 0) != 0
			outer, n, inner := split3(c.dims(0), c.axis(c.attrs().Int("axis", 0), c.rank(0)))
			for i := range outer * inner {
				at, best := i/inner*n*inner+i%inner, 0
				for k := range n {
					if d := v.compare(at+k*inner, at+best*inner); better(d) || last && d == 0 {
						best = k
					}
				}
				setInt(out[0], i, int64(best))
			}
		}}
	}
	register("ArgMax", arg(func(d int) bool { return d > 0 }))
	register("ArgMin", arg(func(d int) bool { return d < 0 }))
	register("TopK", operator{minIn: 1, maxIn: 2, run: runTopK,
		types: func(c *call) []ir.Type {
			c.wantNumber(0)
			dims := slices.Clone(c.dims(0))
			axis, k := c.axis(c.attrs().Int("axis", -1), len(dims)), 0
			if c.opset < 10 {
				k = c.attrs().Int("k", -1)
			} else {
				k = c.integer(1)
			}
			if k < 0 || k > dims[axis] {
				c.fail("cannot take %d of axis %d of %s", k, axis, shapeString(dims))
			}
			dims[axis] = k
			return []ir.Type{static(c.dtype(0), dims...), static(ir.Int64, dims...)}
		}})
	register("Compress", operator{minIn: 2, maxIn: 2, since: 9,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			c.wantType(1, ir.Bool)
			if c.rank(1) != 1 {
				c.fail("condition has shape %s, must have rank 1", shapeString(c.dims(1)))
			}
			if c.attrs().Has("axis") {
				c.axis(c.attrs().Int("axis", 0), c.rank(0))
			}
			return []ir.Type{{DType: c.dtype(0)}}
		},
		run: func(c *call, out []*ir.Tensor) {
			dims := []int{product(c.dims(0))}
			axis := 0
			if c.attrs().Has("axis") {
				dims = slices.Clone(c.dims(0))
				axis = c.axis(c.attrs().Int("axis", 0), len(dims))
			}
			outer, n, inner := split3(dims, axis)
			var keep []int
			for i, b := range c.constant(1).Raw {
				if b == 0 {
					continue
				}
				if i >= n {
					c.fail("condition selects element %d of %d", i, n)
				}
				keep = append(keep, i)
			}
			dims[axis] = len(keep)
			out[0] = newTensor(c.dtype(0), dims)
			row := inner * c.dtype(0).Size()
			for o := range outer {
				for j, i := range keep {
					copy(out[0].Raw[(o*len(keep)+j)*row:][:row], c.constant(0).Raw[(o*n+i)*row:])
				}
			}
		}})
	register("Unique", operator{minIn: 1, maxIn: 1, since: 11, run: runUnique,
		types: func(c *call) []ir.Type {
			c.wantNotString(0)
			if c.attrs().Has("axis") {
				c.axis(c.attrs().Int("axis", 0), c.rank(0))
			}
			return []ir.Type{{DType: c.dtype(0)}, {DType: ir.Int64}, {DType: ir.Int64}, {DType: ir.Int64}}
		}})
}

// keys orders the elements of a tensor exactly, whatever their type. NaN is
// smaller than every number.
type keys struct {
	f []float64
	i []int64
}

func sortKeys(t *ir.Tensor) keys {
	if isFloat(t.DType) {
		return keys{f: floats(t)}
	}
	k := ints(t)
	if t.DType == ir.Uint64 {
		for j := range k {
			k[j] ^= math.MinInt64
		}
	}
	return keys{i: k}
}

func (k keys) compare(a, b int) int {
	if k.f != nil {
		return cmp.Compare(k.f[a], k.f[b])
	}
	return cmp.Compare(k.i[a], k.i[b])
}

// runTopK sorts; equal values keep their order.
func runTopK(c *call, out []*ir.Tensor) {
	in, size := c.constant(0), c.dtype(0).Size()
	axis := c.axis(c.attrs().Int("axis", -1), c.rank(0))
	outer, n, inner := split3(in.Dims, axis)
	v, sign := sortKeys(in), -1
	if c.attrs().Int("largest", 1) == 0 {
		sign = 1
	}
	var k int
	for _, t := range out {
		if t != nil {
			k = t.Dims[axis]
		}
	}
	order := make([]int, n)
	for o := range outer * inner {
		base := o/inner*n*inner + o%inner
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return sign * v.compare(base+a*inner, base+b*inner) })
		for j, i := range order[:k] {
			to := (o/inner*k+j)*inner + o%inner
			if out[0] != nil {
				copy(out[0].Raw[to*size:][:size], in.Raw[(base+i*inner)*size:])
			}
			if len(out) > 1 && out[1] != nil {
				setInt(out[1], to, int64(i))
			}
		}
	}
}

// runUnique finds the distinct elements, or the distinct slices along an axis.
func runUnique(c *call, out []*ir.Tensor) {
	in, dims := c.constant(0), []int{product(c.dims(0))}
	axis := 0
	if c.attrs().Has("axis") {
		dims = slices.Clone(c.dims(0))
		axis = c.axis(c.attrs().Int("axis", 0), len(dims))
	}
	outer, n, inner := split3(dims, axis)
	v := sortKeys(in)
	compare := func(a, b int) int {
		for o := range outer {
			for i := range inner {
				if d := v.compare((o*n+a)*inner+i, (o*n+b)*inner+i); d != 0 {
					return d
				}
			}
		}
		return 0
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, compare)
	var groups [][]int
	for i, k := range order {
		if i == 0 || compare(order[i-1], k) != 0 {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], k)
	}
	if c.attrs().Int("sorted", 1) == 0 {
		slices.SortFunc(groups, func(a, b []int) int { return a[0] - b[0] })
	}
	dims[axis] = len(groups)
	out[0] = newTensor(in.DType, dims)
	row := inner * in.DType.Size()
	first, inverse, counts := make([]int64, len(groups)), make([]int64, n), make([]int64, len(groups))
	for g, members := range groups {
		first[g], counts[g] = int64(members[0]), int64(len(members))
		for _, k := range members {
			inverse[k] = int64(g)
		}
		for o := range outer {
			copy(out[0].Raw[(o*len(groups)+g)*row:][:row], in.Raw[(o*n+members[0])*row:])
		}
	}
	for i, list := range [][]int64{first, inverse, counts} {
		if i+1 < len(out) {
			out[i+1] = ir.FromInt64s("", list, len(list))
		}
	}
}
