package ops

import "slices"

// Rows says how an operator is made for one place of an axis of its output:
// axes[i] is the axis to take that place of in input i, -1 where the input is
// needed whole, and make builds the operator on such inputs. axes is nil where
// the operator has to see the whole axis.
type Rows func(axis int) (axes []int, make func(in []*Node, at int) *Node)

// leastForRow is the length of an axis from which on one place is few: what
// somebody else reads whole too is then computed little more than once.
const leastForRow = 16

// row is place at of an axis of x (which stays, of length 1), computed alone
// where that is possible. A classifier reads one token of a transformer's last
// block, so the last norm, the block's MLP and projection and its queries are
// only needed there. Keys and values stop the way up, see [Graph.oneQuery].
//
// An operator is made anew if nobody reads its output but operators that are,
// so that nothing is computed twice. What is added to the graph later may still
// read the whole value; the one row is then computed twice.
func (g *Graph) row(x *Node, axis, at int) *Node {
	axes := g.alone(x, axis)
	type place struct {
		of   *Node
		axis int
	}
	made := map[place]*Node{}
	var cut func(n *Node, axis int) *Node
	cut = func(n *Node, axis int) *Node {
		y := made[place{n, axis}]
		if y != nil {
			return y
		}
		defer func() { made[place{n, axis}] = y }()
		if _, ok := axes[n]; !ok {
			y = g.slice(n, axis, at, 1, 1)
			return y
		}
		op := OpOf(n)
		from, build := op.Rows(axis)
		in := slices.Clone(op.In)
		for i, a := range from {
			if a >= 0 {
				in[i] = cut(in[i], a)
			}
		}
		y = build(in, at)
		return y
	}
	return cut(x, axis)
}

// alone finds the operators to make anew, with the axis of each.
func (g *Graph) alone(x *Node, axis int) map[*Node]int {
	axes := map[*Node]int{}
	reached := map[*Node]int{x: axis} // -1 if readers want different axes
	for len(reached) > 0 {
		var n *Node // the latest: all its readers were decided on
		for r := range reached {
			if n == nil || r.ID() > n.ID() {
				n = r
			}
		}
		a := reached[n]
		delete(reached, n)
		op := OpOf(n)
		if op == nil || op.Rows == nil || a < 0 || g.readElsewhere(n, axes) {
			continue
		}
		from, _ := op.Rows(a)
		if from == nil {
			continue
		}
		axes[n] = a
		for i, b := range from {
			if old, ok := reached[op.In[i]]; ok && old != b {
				b = -1
			}
			reached[op.In[i]] = b
		}
	}
	return axes
}

// readElsewhere reports whether an operator that is not in the set reads n.
func (g *Graph) readElsewhere(n *Node, set map[*Node]int) bool {
	for it := g.X.To(n.ID()); it.Next(); {
		if _, ok := set[it.Node().(*Node)]; !ok {
			return true
		}
	}
	return false
}

// rowOf is the [Rows] of operators that work on each row by itself: the listed
// inputs have the output's leading axes, the others are parameters.
func rowOf(out []int, in []*Node, rowwise []int, make func(in []*Node) *Node) Rows {
	lead := len(out) - 1
	return func(axis int) ([]int, func([]*Node, int) *Node) {
		if axis >= lead {
			return nil, nil
		}
		axes := slices.Repeat([]int{-1}, len(in))
		for _, i := range rowwise {
			if s := Shape(in[i]); len(s) != len(out) || !slices.Equal(s[:lead], out[:lead]) {
				return nil, nil
			}
			axes[i] = axis
		}
		return axes, func(in []*Node, _ int) *Node { return make(in) }
	}
}

// rowOfBroadcast is the [Rows] of element-wise operators with broadcasting.
func rowOfBroadcast(out []int, in []*Node, make func(in []*Node) *Node) Rows {
	return func(axis int) ([]int, func([]*Node, int) *Node) {
		axes := slices.Repeat([]int{-1}, len(in))
		for i, n := range in {
			s := Shape(n)
			if k := axis - (len(out) - len(s)); k >= 0 && s[k] == out[axis] {
				axes[i] = k
			}
		}
		return axes, func(in []*Node, _ int) *Node { return make(in) }
	}
}

// rowOfReshape is the [Rows] of a view: the axis has to be one of the input's.
func (g *Graph) rowOfReshape(x *Node, out []int) Rows {
	return func(axis int) ([]int, func([]*Node, int) *Node) {
		s := Shape(x)
		for k := range s {
			if s[k] == out[axis] && size(s[:k]) == size(out[:axis]) {
				shape := slices.Clone(out)
				shape[axis] = 1
				return []int{k}, func(in []*Node, _ int) *Node { return g.Reshape(in[0], shape...) }
			}
		}
		return nil, nil
	}
}
