package eval

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// fold evaluates a node whose inputs are constant, or of which it needs the
// shapes only, and keeps the results as tensors.
func (inf *inferrer) fold(n *ir.Node, args []arg) (err error) {
	op, _ := lookup(n.Op, n.Domain, inf.g.Opset)
	c := &call{n: n, opset: inf.g.Opset, in: slices.Clone(args), limits: limits{inf.o.MaxElements, maxFoldWork}}
	var out []*ir.Tensor
	if slices.ContainsFunc(args, func(a arg) bool { return a.ok && a.t == nil }) {
		out, err = shapeOnly(c, op)
	} else {
		in := make([]*ir.Tensor, len(args))
		for i, a := range args {
			in[i] = a.t
		}
		out, err = evalWithin(n, inf.g.Opset, in, c.limits)
	}
	if err != nil {
		return err
	}
	bytes := 0
	for _, t := range out {
		if t != nil && !op.view {
			bytes += len(t.Raw)
		}
	}
	if inf.bytes+bytes > inf.o.MaxBytes {
		return &limitError{fmt.Errorf("%s: %s: makes a constant of %d bytes: with the %d folded before it more than the limit of %d", describe(n), n.Op, bytes, inf.bytes, inf.o.MaxBytes)}
	}
	inf.bytes += bytes
	for i, t := range out {
		if t == nil {
			continue
		}
		t.Name = n.Outputs[i]
		if i == 0 && len(args) > 0 && args[0].t != nil {
			t.Origin = traced(n, args[0].t, t)
		} else if t.Origin = nil; n.Op == "Constant" {
			t.Origin = &ir.Origin{Name: t.Name, Constant: true, DType: t.DType, Dims: t.Dims}
		}
		inf.g.Tensors[t.Name] = t
		inf.setType(t.Name, t.Type())
	}
	return nil
}

// shapeOnly runs an operator that needs no contents.
func shapeOnly(c *call, op operator) (out []*ir.Tensor, err error) {
	defer c.rescue(&err)
	for _, t := range c.outputTypes(op) {
		out = append(out, newTensor(t.DType, t.Dims))
	}
	op.run(c, out)
	return out, nil
}

// traced gives the origin of a tensor made by a node from one with an origin,
// nil if elements were changed or moved in a way that an Origin cannot say.
func traced(n *ir.Node, from, to *ir.Tensor) *ir.Origin {
	if from.Origin == nil {
		return nil
	}
	o := *from.Origin
	switch n.Op {
	case "Identity":
		o.Aliases++
	case "Cast", "CastLike":
		if !isFloat(from.DType) || !isFloat(to.DType) {
			return nil
		}
	case "Reshape", "Squeeze", "Unsqueeze", "Flatten":
	case "Transpose":
		perm := n.Attrs.Ints("perm")
		if perm == nil {
			perm = make([]int, len(from.Dims))
			for i := range perm {
				perm[i] = len(perm) - 1 - i
			}
		}
		var ok bool
		if o.Perm, ok = composed(&o, from.Dims, perm); !ok {
			return nil
		}
	default:
		return nil
	}
	return &o
}

// composed is the permutation of the file's tensor that equals transposing
// (dims) by perm after what the origin says. Axes of length 1 may have come and
// gone in between; any other reshaping cannot be said.
func composed(o *ir.Origin, dims, perm []int) ([]int, bool) {
	before := o.Perm
	if before == nil {
		before = make([]int, len(o.Dims))
		for i := range before {
			before[i] = i
		}
	}
	// place leads from an axis of dims to the one of the file's tensor.
	place, next := make([]int, len(dims)), 0
	for i, d := range dims {
		place[i] = -1
		if d == 1 {
			continue
		}
		for next < len(before) && o.Dims[before[next]] == 1 {
			next++
		}
		if next == len(before) || o.Dims[before[next]] != d {
			return nil, false
		}
		place[i] = before[next]
		next++
	}
	out := make([]int, 0, len(before))
	for _, p := range perm {
		if place[p] >= 0 {
			out = append(out, place[p])
		}
	}
	// Axes of length 1 go where they disturb nothing: same shape and no reshape
	// in between keeps their own places, else they lead.
	if len(dims) == len(before) {
		exact := make([]int, len(perm))
		same := true
		for i, p := range perm {
			exact[i] = before[p]
			same = same && o.Dims[before[p]] == dims[p]
		}
		if same {
			return identityAsNil(exact), true
		}
	}
	ones := make([]int, 0, len(before))
	for axis, d := range o.Dims {
		if d == 1 {
			ones = append(ones, axis)
		}
	}
	return identityAsNil(append(ones, out...)), true
}

// identityAsNil is nil for the permutation that moves nothing.
func identityAsNil(perm []int) []int {
	for i, p := range perm {
		if p != i {
			return perm
		}
	}
	return nil
}

// inline replaces an If on a constant condition by its branch.
func (inf *inferrer) inline(n *ir.Node, args []arg) error {
	if len(args) != 1 || !args[0].ok || args[0].t == nil {
		return &UnsupportedError{[]UnsupportedOp{{"If on a condition computed from the data", n.Domain, n.Name, inf.g.Opset}}}
	}
	branch, err := branch(n, []*ir.Tensor{args[0].t})
	if err != nil {
		return err
	}
	g := Clone(branch)
	if err := sortNodes(g, inf.names); err != nil {
		return err
	}
	// Two branches may use the same names; theirs must be unique here.
	own := map[string]string{}
	claim := func(name string) {
		to := name
		for i := 0; inf.names[to]; i++ {
			to = fmt.Sprintf("%s/%s", nodeName(n), name)
			if i > 0 {
				to = fmt.Sprintf("%s/%s_%d", nodeName(n), name, i)
			}
		}
		inf.names[to], own[name] = true, to
	}
	for _, name := range slices.Sorted(maps.Keys(g.Tensors)) {
		claim(name)
		t := *g.Tensors[name]
		t.Name = own[name]
		inf.g.Tensors[t.Name] = &t
		inf.setType(t.Name, t.Type())
	}
	for _, m := range g.Nodes {
		for _, o := range m.Outputs {
			if o != "" {
				claim(o)
			}
		}
	}
	for _, m := range g.Nodes {
		renameNode(m, own)
	}
	inf.markRead(g)
	for name, to := range own {
		inf.read[to] = inf.read[to] || inf.read[name]
	}
	inf.walk(g.Nodes)
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		from := g.Outputs[i].Name
		if to := own[from]; to != "" {
			from = to
		}
		from = inf.resolve(from)
		if _, ok := inf.g.Types[from]; !ok {
			return fmt.Errorf("%s: If: branch output %q is made by no node", describe(n), from)
		}
		inf.replace(name, from)
	}
	return nil
}

// renameNode renames the values that a node and its subgraphs use.
func renameNode(n *ir.Node, names map[string]string) {
	for _, list := range [][]string{n.Inputs, n.Outputs} {
		for i, name := range list {
			if to := names[name]; to != "" {
				list[i] = to
			}
		}
	}
	for _, g := range n.Subgraphs {
		inner := maps.Clone(names)
		maps.DeleteFunc(inner, func(name, _ string) bool { return !slices.Contains(free(g), name) })
		for _, m := range g.Nodes {
			renameNode(m, inner)
		}
		for i := range g.Outputs {
			if to := inner[g.Outputs[i].Name]; to != "" {
				g.Outputs[i].Name = to
			}
		}
	}
}
