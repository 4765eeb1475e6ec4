package eval

import (
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
)

func init() {
	register("Einsum", operator{minIn: 1, maxIn: -1, since: 12, run: runEinsum,
		types: func(c *call) []ir.Type {
			all := make([]int, len(c.in))
			for i := range all {
				all[i] = i
				c.wantNumber(i)
			}
			e := c.einsum()
			dims := make([]int, 0, len(e.out))
			for _, l := range e.out {
				dims = append(dims, e.size[l])
			}
			return one(c.joinDType(all...), dims)
		}})
}

// einsum is a parsed equation: a label per axis of each input and the output.
// The axes of an ellipsis have the labels '0', '1', … counted from its end.
type einsum struct {
	in   [][]rune
	out  []rune
	sum  []rune // labels that are summed over
	size map[rune]int
}

func (c *call) einsum() einsum {
	equation := strings.ReplaceAll(c.attrs().String("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(c.in) {
		c.fail("equation %q has %d terms for %d inputs", equation, len(terms), len(c.in))
	}
	e := einsum{size: map[rune]int{}}
	count, dots := map[rune]int{}, 0
	for i, term := range terms {
		labels := c.labels(equation, term, c.rank(i))
		for j, l := range labels {
			d := c.dims(i)[j]
			if old, seen := e.size[l]; seen && old != d && d != 1 && old != 1 {
				c.fail("equation %q gives %q the lengths %d and %d", equation, l, old, d)
			} else if !seen || old == 1 {
				e.size[l] = d
			}
			count[l]++
			if l < 'A' {
				dots = max(dots, int(l-'0')+1)
			}
		}
		e.in = append(e.in, labels)
	}
	if explicit {
		rank := len(strings.ReplaceAll(right, "...", ""))
		if strings.Contains(right, "...") {
			rank += dots
		}
		e.out = c.labels(equation, right, rank)
		for i, l := range e.out {
			if _, known := e.size[l]; !known || slices.Contains(e.out[:i], l) {
				c.fail("equation %q has a wrong output label %q", equation, l)
			}
		}
	} else {
		for i := dots - 1; i >= 0; i-- {
			e.out = append(e.out, '0'+rune(i))
		}
		var once []rune
		for l, n := range count {
			if n == 1 && l >= 'A' {
				once = append(once, l)
			}
		}
		slices.Sort(once)
		e.out = append(e.out, once...)
	}
	for l := range e.size {
		if !slices.Contains(e.out, l) {
			e.sum = append(e.sum, l)
		}
	}
	slices.Sort(e.sum)
	return e
}

// labels reads one term of an equation for a tensor of a rank.
func (c *call) labels(equation, term string, rank int) []rune {
	before, after, dots := strings.Cut(term, "...")
	extra := rank - len(before) - len(after)
	if !dots && extra != 0 || extra < 0 || extra > 9 {
		c.fail("equation %q: term %q does not fit rank %d", equation, term, rank)
	}
	out := []rune(before)
	if dots {
		for i := extra - 1; i >= 0; i-- {
			out = append(out, '0'+rune(i))
		}
		out = append(out, []rune(after)...)
	}
	for _, l := range before + after {
		if !(l >= 'a' && l <= 'z' || l >= 'A' && l <= 'Z') {
			c.fail("equation %q has the label %q", equation, l)
		}
	}
	return out
}

// runEinsum sums the products over every assignment of the labels.
func runEinsum(c *call, out []*ir.Tensor) {
	e := c.einsum()
	labels := slices.Concat(e.out, e.sum)
	dims := make([]int, len(labels))
	for i, l := range labels {
		dims[i] = e.size[l]
	}
	c.spend(append(slices.Clone(dims), len(c.in))...)
	total, inner := product(dims), product(dims[len(e.out):])
	if total == 0 {
		return
	}
	acc := make([]float64, total/inner)
	terms := make([]float64, total)
	for i := range terms {
		terms[i] = 1
	}
	for i, in := range e.in {
		own, strides := rowMajor(c.dims(i)), make([]int, len(labels))
		for axis, l := range in {
			if c.dims(i)[axis] != 1 {
				strides[slices.Index(labels, l)] += own[axis]
			}
		}
		v, at := c.floats(i), 0
		eachOffset(dims, strides, func(j int) { terms[at] *= v[j]; at++ })
	}
	for i, x := range terms {
		acc[i/inner] += x
	}
	setFloats(out[0], acc)
}
