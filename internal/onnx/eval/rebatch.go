package eval

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// rebatch rewrites what a file with a fixed batch wrote down about it. The
// first walk, with the file's batch, tells which axis of a node's input the
// batch is: the one that has another length now.
func (inf *inferrer) rebatch(n *ir.Node, args []arg) error {
	if inf.respaced {
		return inf.respace(n, args)
	}
	if n.Op == "Concat" {
		return inf.rebatchConcat(n, args)
	}
	list := 1
	if n.Op == "Resize" {
		list = 3
	} else if n.Op != "Reshape" && n.Op != "Expand" {
		return nil
	}
	if list >= len(args) || args[list].t == nil || len(args[list].typ.Dims) != 1 || args[0].t != nil {
		return nil
	}
	was, is := inf.base[n.Inputs[0]], args[0].typ.Dims
	axis := changedAxis(was, is)
	out := inf.base[n.Outputs[0]]
	if axis < 0 || out == nil {
		return nil
	}
	written := args[list].t.Ints()
	want := slices.Clone(written)
	switch n.Op {
	case "Reshape":
		var err error
		if want, err = rebatchReshape(n, was, is, axis, out, written, inf.fileBatch()); err != nil {
			return err
		}
	case "Expand":
		if i := axis + len(written) - len(was); i >= 0 && written[i] == was[axis] && was[axis] != 1 {
			want[i] = is[axis]
		}
	case "Resize":
		if n.Attrs.Has("axes") || len(written) != len(is) {
			return nil
		}
		if written[axis] == was[axis] {
			want[axis] = is[axis]
		}
	}
	if slices.Equal(want, written) {
		return nil
	}
	inf.rewriteShape(n, args, list, want)
	return nil
}

// rewriteShape gives a node another list of lengths, of the file's type.
func (inf *inferrer) rewriteShape(n *ir.Node, args []arg, list int, lengths []int) {
	v := make([]int64, len(lengths))
	for i, d := range lengths {
		v[i] = int64(d)
	}
	t := newTensor(args[list].t.DType, []int{len(v)})
	setInts(t, v)
	inf.rewrite(n, args, list, "shape", t)
}

// rewrite puts a new constant in the place of one that a node reads, and notes
// it for those who write the file.
func (inf *inferrer) rewrite(n *ir.Node, args []arg, input int, suffix string, t *ir.Tensor) {
	n.Inputs[input] = inf.newTensor(n, suffix, t)
	args[input].t = inf.g.Tensors[n.Inputs[input]]
	args[input].typ = args[input].t.Type()
	inf.g.Rewritten = append(inf.g.Rewritten, ir.Rewrite{Node: n.Outputs[0], Input: input, Tensor: args[input].t})
}

// batchWithin finds the output dimension that holds the batch where axis is not
// one of its own: a factor that is the file's batch, split off from axis; or the
// dimension that axis was merged into, with what stands before or behind it. −1
// where there is more than one answer.
func batchWithin(was, out []int, axis, old int) int {
	if old < 2 || was[axis]%old != 0 {
		return -1
	}
	at := product(was[:axis])
	split, merged, before := -1, -1, 1
	for j, d := range out {
		if d == old && before >= at && before < at*was[axis] {
			if split >= 0 {
				return -1
			}
			split = j
		}
		if before <= at && before*d%(at*old) == 0 && before*d >= at*old && merged < 0 {
			merged = j
		}
		before *= d
	}
	if split >= 0 {
		return split
	}
	return merged
}

// fileBatch is the batch that the file fixes, 0 where it has none.
func (inf *inferrer) fileBatch() int {
	for _, in := range inf.g.Inputs {
		if d := inf.base[in.Name]; len(d) > 0 {
			return d[0]
		}
	}
	return 0
}

// batchStays reports whether the batch is the file's, or one that it leaves open.
func (inf *inferrer) batchStays() bool {
	for _, in := range inf.g.Inputs {
		if d := in.Type.Dims; len(d) > 0 {
			return d[0] == inf.fileBatch()
		}
	}
	return true
}

// changedAxis is the only axis in which two shapes differ, −1 if there is none
// or more than one.
func changedAxis(was, is []int) int {
	axis := -1
	if len(was) != len(is) {
		return -1
	}
	for i := range was {
		if was[i] != is[i] {
			if axis >= 0 {
				return -1
			}
			axis = i
		}
	}
	return axis
}

// rebatchReshape gives the shape to ask for, so that the batch, axis of the
// input, stays an axis of its own, or becomes part of one that was written as
// −1 or computed. was went to out with the file's batch, old. Where it is merged
// with what follows it (batch·heads of an attention), or split off again, it is
// the outermost factor.
func rebatchReshape(n *ir.Node, was, is []int, axis int, out, written []int, old int) ([]int, error) {
	allowZero := n.Attrs.Int("allowzero", 0) != 0
	asWritten, err := reshapeDims(is, written, allowZero)
	before := 1 // elements that the axis' index steps over, counted in slices
	for j := 0; j <= len(out); j++ {
		if before == product(was[:axis]) && j < len(out) {
			want := slices.Clone(out)
			want[j] = out[j] / max(1, was[axis]) * is[axis]
			split := old > 0 && was[axis] != old && was[axis]%old == 0 && out[j] == old && out[j]*is[axis]%was[axis] == 0
			if split {
				want[j] = out[j] * is[axis] / was[axis]
			}
			switch {
			case split && product(want) == product(is):
				return want, nil
			case split:
			case out[j] == was[axis] && err == nil && slices.Equal(asWritten, want):
				return written, nil
			case out[j] == was[axis]:
				return want, nil
			case out[j]%max(1, was[axis]) == 0 && err == nil && slices.Equal(asWritten, want):
				return written, nil
			}
		}
		if j < len(out) {
			before *= out[j]
		}
	}
	if j := batchWithin(was, out, axis, old); j >= 0 && out[j]*is[axis]%was[axis] == 0 {
		want := slices.Clone(out)
		want[j] = out[j] * is[axis] / was[axis]
		return want, nil
	}
	return nil, fmt.Errorf("%s: Reshape: cannot reshape %s to %s: the file was exported for %s, with a fixed batch: export it with a dynamic one, or use its batch",
		describe(n), shapeString(is), shapeString(written), shapeString(was))
}

// rebatchConcat repeats what is concatenated with data along the batch, so that
// it fits: class and position tokens, which do not depend on the data.
func (inf *inferrer) rebatchConcat(n *ir.Node, args []arg) error {
	axis, rank, to, along := -1, 0, 0, 0
	for i, a := range args {
		if was := inf.base[n.Inputs[i]]; a.t == nil && !slices.Equal(was, a.typ.Dims) && len(was) == len(a.typ.Dims) {
			rank = len(was)
			if along = n.Attrs.Int("axis", 0); along < 0 {
				along += rank
			}
			was, is := slices.Clone(was), slices.Clone(a.typ.Dims)
			if along >= 0 && along < rank { // lengths along it need not agree
				was[along] = is[along]
			}
			if slices.Equal(was, is) {
				continue
			}
			if axis = changedAxis(was, is); axis < 0 {
				return nil
			}
			to = is[axis]
		}
	}
	if axis < 0 {
		return nil
	}
	for i, a := range args {
		d := a.typ.Dims
		if len(d) != rank || d[axis] == 0 || d[axis] == to {
			continue
		}
		if to%d[axis] != 0 { // a token that the file repeats for its own batch
			if !inf.repeated(n.Inputs[i], a, axis) {
				continue
			}
			one := &ir.Node{Op: "Slice", Name: nodeName(n) + "/one", Attrs: ir.Attrs{}, Outputs: []string{inf.newName(n, "one")}, Inputs: []string{n.Inputs[i],
				inf.newTensor(n, "first", ir.FromInt64s("", []int64{0}, 1)), inf.newTensor(n, "end", ir.FromInt64s("", []int64{1}, 1)),
				inf.newTensor(n, "axis", ir.FromInt64s("", []int64{int64(axis)}, 1))}}
			if err := inf.node(one); err != nil {
				return err
			}
			n.Inputs[i] = one.Outputs[0]
			d = inf.g.Types[n.Inputs[i]].Dims
			args[i] = arg{ok: true, typ: inf.g.Types[n.Inputs[i]], t: inf.g.Tensors[n.Inputs[i]]}
			if to == 1 {
				continue
			}
		}
		repeats := make([]int64, rank)
		for j := range repeats {
			repeats[j] = 1
		}
		repeats[axis] = int64(to / d[axis])
		tile := &ir.Node{Op: "Tile", Name: nodeName(n) + "/batch", Attrs: ir.Attrs{},
			Inputs:  []string{n.Inputs[i], inf.newTensor(n, "repeats", ir.FromInt64s("", repeats, rank))},
			Outputs: []string{inf.newName(n, "batch")}}
		if err := inf.node(tile); err != nil {
			return err
		}
		n.Inputs[i] = tile.Outputs[0]
		args[i] = arg{ok: true, typ: inf.g.Types[n.Inputs[i]], t: inf.g.Tensors[n.Inputs[i]]}
	}
	return nil
}

// repeated reports whether a value that does not depend on the data is the same
// all along an axis: the output of an Expand along it, or such a constant.
func (inf *inferrer) repeated(name string, a arg, axis int) bool {
	if a.t == nil {
		i := slices.IndexFunc(inf.nodes, func(n *ir.Node) bool { return slices.Contains(n.Outputs, name) })
		if i < 0 || inf.nodes[i].Op != "Expand" || inf.g.Tensors[inf.nodes[i].Inputs[0]] == nil {
			return false
		}
		in := inf.g.Types[inf.nodes[i].Inputs[0]].Dims
		at := axis - (len(a.typ.Dims) - len(in))
		return at < 0 || in[at] == 1
	}
	outer, n, inner := split3(a.typ.Dims, axis)
	inner *= a.t.DType.Size()
	for o := range outer {
		block := a.t.Raw[o*n*inner : (o+1)*n*inner]
		for k := 1; k < n; k++ {
			if !bytes.Equal(block[:inner], block[k*inner:(k+1)*inner]) {
				return false
			}
		}
	}
	return true
}

// newTensor adds a constant to the graph under a name made from the node's.
func (inf *inferrer) newTensor(n *ir.Node, suffix string, t *ir.Tensor) string {
	c := *t
	c.Name = inf.newName(n, suffix)
	inf.g.Tensors[c.Name] = &c
	inf.setType(c.Name, c.Type())
	return c.Name
}

func (inf *inferrer) newName(n *ir.Node, suffix string) string {
	name := n.Outputs[0] + "/" + suffix
	for i := 1; inf.names[name]; i++ {
		name = fmt.Sprintf("%s/%s_%d", n.Outputs[0], suffix, i)
	}
	return name
}
