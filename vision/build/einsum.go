package build

import (
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// term is an operand of an Einsum: a node and one letter per axis.
type term struct {
	node   *ops.Node
	labels string
}

// lowerEinsum lowers an Einsum to sums, transposes and batched products, two
// operands at a time from the left. Ellipses, diagonals and broadcast axes are
// left to the host evaluator.
func lowerEinsum(g *Graph, n *ir.Node) {
	equation := strings.ReplaceAll(n.Attrs.String("equation", ""), " ", "")
	left, out, explicit := strings.Cut(equation, "->")
	parts := strings.Split(left, ",")
	size := map[rune]int{}
	ok := len(parts) == len(n.Inputs) && !strings.Contains(equation, ".")
	var terms []term
	for i, labels := range parts {
		if !ok {
			break
		}
		x := g.val(n.In(i))
		ok = len(labels) == len(x.dims)
		for k, c := range labels {
			if !ok || strings.Count(labels, string(c)) > 1 || size[c] != 0 && size[c] != x.dims[k] {
				ok = false
				break
			}
			size[c] = x.dims[k]
		}
		if ok {
			terms = append(terms, term{g.nat(x), labels})
		}
	}
	if !explicit && ok { // letters that stand once, in order
		for c := range size {
			if strings.Count(left, string(c)) == 1 {
				out += string(c)
			}
		}
		sorted := []rune(out)
		slices.Sort(sorted)
		out = string(sorted)
	}
	for _, c := range out {
		ok = ok && size[c] != 0 && strings.Count(out, string(c)) == 1
	}
	if !ok || out == "" {
		g.host(n)
		return
	}
	acc := terms[0]
	for i, t := range terms[1:] {
		keep := out
		for _, later := range terms[i+2:] {
			keep += later.labels
		}
		acc = g.contract(acc, t, keep, size)
	}
	acc = g.sumOut(acc, out)
	perm := make([]int, len(out))
	for i, c := range out {
		perm[i] = strings.IndexRune(acc.labels, c)
	}
	g.set(n, natural(g.Transpose(acc.node, perm...)))
}

// sumOut sums the axes that nobody keeps.
func (g *Graph) sumOut(t term, keep string) term {
	var axes, shape []int
	labels := ""
	for i, c := range t.labels {
		if strings.ContainsRune(keep, c) {
			labels += string(c)
			shape = append(shape, ops.Shape(t.node)[i])
		} else {
			axes = append(axes, i)
		}
	}
	if axes == nil {
		return t
	}
	if shape == nil {
		shape = []int{1}
	}
	return term{g.Reshape(g.Reduce(kernels.ReduceSum, t.node, axes...), shape...), labels}
}

// contract is the product of two operands, summed over what is not kept: one
// batched matrix product (batch, free of a, free of b).
func (g *Graph) contract(a, b term, keep string, size map[rune]int) term {
	a, b = g.sumOut(a, keep+b.labels), g.sumOut(b, keep+a.labels)
	var batch, summed, freeA, freeB string
	for _, c := range a.labels {
		switch {
		case !strings.ContainsRune(b.labels, c):
			freeA += string(c)
		case strings.ContainsRune(keep, c):
			batch += string(c)
		default:
			summed += string(c)
		}
	}
	for _, c := range b.labels {
		if !strings.ContainsRune(a.labels, c) {
			freeB += string(c)
		}
	}
	count := func(labels string) int {
		n := 1
		for _, c := range labels {
			n *= size[c]
		}
		return n
	}
	arrange := func(t term, labels string, shape ...int) *ops.Node {
		if t.labels == "" {
			return g.Reshape(t.node, shape...)
		}
		perm := make([]int, len(labels))
		for i, c := range labels {
			perm[i] = strings.IndexRune(t.labels, c)
		}
		return g.Reshape(g.Transpose(t.node, perm...), shape...)
	}
	y := g.MatMul(arrange(a, batch+freeA+summed, count(batch), count(freeA), count(summed)),
		arrange(b, batch+summed+freeB, count(batch), count(summed), count(freeB)))
	labels := batch + freeA + freeB
	shape := []int{}
	for _, c := range labels {
		shape = append(shape, size[c])
	}
	if len(shape) == 0 {
		shape = []int{1}
	}
	return term{g.Reshape(y, shape...), labels}
}
