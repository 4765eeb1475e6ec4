package build

import (
	"slices"

	"github.com/vislora/vislora/internal/ops"
)

// val is an ONNX value: a node, and the order of its axes in memory. Memory
// axis j holds logical axis perm[j].
type val struct {
	node *ops.Node
	dims []int // logical
	perm []int
}

var channelsLast = []int{0, 2, 3, 1}

func identity(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	return p
}

func natural(node *ops.Node) val {
	d := slices.Clone(ops.Shape(node))
	return val{node, d, identity(len(d))}
}

// order lists the axes longer than 1 as they lie in memory.
func order(perm, dims []int) []int {
	var o []int
	for _, p := range perm {
		if dims[p] != 1 {
			o = append(o, p)
		}
	}
	return o
}

// as returns the node with its axes in memory order perm.
func (g *Graph) as(v val, perm []int) *ops.Node {
	if slices.Equal(v.perm, perm) {
		return v.node
	}
	at := make([]int, len(perm)) // where each logical axis is now
	for j, p := range v.perm {
		at[p] = j
	}
	move := make([]int, len(perm))
	for j, p := range perm {
		move[j] = at[p]
	}
	return g.Transpose(v.node, move...)
}

// nat returns the node in logical order.
func (g *Graph) nat(v val) *ops.Node { return g.as(v, identity(len(v.perm))) }

// with wraps a node whose memory order is perm.
func with(node *ops.Node, perm []int) val {
	s := ops.Shape(node)
	dims := make([]int, len(perm))
	for j, p := range perm {
		dims[p] = s[j]
	}
	return val{node, dims, perm}
}

// rowMajor returns v with its last logical axis last in memory; the other axes
// keep their order. That is all a row-wise operator asks for.
func (g *Graph) rowMajor(v val) val {
	return g.axisLast(v, len(v.dims)-1)
}

// axisLast returns v with the given logical axis last in memory.
func (g *Graph) axisLast(v val, axis int) val {
	n := len(v.perm)
	if n == 0 || v.perm[n-1] == axis {
		return v
	}
	perm := identity(n)
	if axis != n-1 || slices.Equal(order(v.perm, v.dims), order(identity(n), v.dims)) {
		perm = slices.Clone(v.perm)
	}
	perm = append(slices.DeleteFunc(perm, func(p int) bool { return p == axis }), axis)
	return val{g.as(v, perm), v.dims, perm}
}

// transpose changes the logical order: axis k of the result is axis perm[k].
func transpose(v val, perm []int) val {
	inv := make([]int, len(perm))
	for k, p := range perm {
		inv[p] = k
	}
	out := val{node: v.node, dims: make([]int, len(perm)), perm: make([]int, len(perm))}
	for k, p := range perm {
		out.dims[k] = v.dims[p]
	}
	for j, p := range v.perm {
		out.perm[j] = inv[p]
	}
	return out
}

// reshape changes the logical shape. It moves nothing when every group of axes
// that is merged or split lies together in memory.
func (g *Graph) reshape(v val, dims []int) val {
	perm, ok := reshapeView(v.dims, v.perm, dims)
	if !ok {
		return natural(g.Reshape(g.nat(v), dims...))
	}
	shape := make([]int, len(perm))
	for j, p := range perm {
		shape[j] = dims[p]
	}
	return val{g.Reshape(v.node, shape...), slices.Clone(dims), perm}
}

func reshapeView(old, perm, dims []int) ([]int, bool) {
	place := make([]int, len(old)) // position among the axes longer than 1
	for j, p := range order(perm, old) {
		place[p] = j
	}
	type group struct{ at, from, to int } // new axes from..to, by place in memory
	var groups []group
	i, k := 0, 0
	for {
		for i < len(old) && old[i] == 1 {
			i++
		}
		for k < len(dims) && dims[k] == 1 {
			k++
		}
		if i == len(old) || k == len(dims) {
			break
		}
		first, a, b := i, old[i], dims[k]
		prev, from := i, k
		i, k = i+1, k+1
		for a != b {
			if a < b {
				for i < len(old) && old[i] == 1 {
					i++
				}
				if i == len(old) || place[i] != place[prev]+1 {
					return nil, false
				}
				a *= old[i]
				prev, i = i, i+1
			} else {
				if k == len(dims) {
					return nil, false
				}
				b *= dims[k]
				k++
			}
		}
		groups = append(groups, group{place[first], from, k})
	}
	slices.SortFunc(groups, func(a, b group) int { return a.at - b.at })
	var out []int
	for _, gr := range groups {
		for k := gr.from; k < gr.to; k++ {
			if dims[k] != 1 {
				out = append(out, k)
			}
		}
	}
	// Axes of length 1 fit anywhere: put them where a usual layout has them.
	for _, usual := range [][]int{identity(len(dims)), channelsLast} {
		if len(usual) == len(dims) && slices.Equal(order(usual, dims), out) {
			return usual, true
		}
	}
	var ones []int
	for k, d := range dims {
		if d == 1 {
			ones = append(ones, k)
		}
	}
	return append(ones, out...), true
}

// memoryAxis is where a logical axis lies in memory.
func (v val) memoryAxis(axis int) int { return slices.Index(v.perm, axis) }
