package eval

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Clone copies a graph so that [Infer] may change the copy. Tensors, which
// nothing ever writes to, are shared; nodes, attributes and types are not.
func Clone(g *ir.Graph) *ir.Graph {
	if g == nil {
		return nil
	}
	out := *g
	out.Inputs, out.Outputs = cloneValues(g.Inputs), cloneValues(g.Outputs)
	out.Nodes = make([]*ir.Node, len(g.Nodes))
	for i, n := range g.Nodes {
		m := *n
		m.Inputs, m.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
		m.Attrs = maps.Clone(n.Attrs)
		if n.Subgraphs != nil {
			m.Subgraphs = make(map[string]*ir.Graph, len(n.Subgraphs))
			for name, s := range n.Subgraphs {
				m.Subgraphs[name] = Clone(s)
			}
		}
		out.Nodes[i] = &m
	}
	if out.Tensors = maps.Clone(g.Tensors); out.Tensors == nil {
		out.Tensors = map[string]*ir.Tensor{}
	}
	out.Types = make(map[string]ir.Type, len(g.Types))
	for name, t := range g.Types {
		out.Types[name] = cloneType(t)
	}
	return &out
}

func cloneValues(v []ir.Value) []ir.Value {
	out := make([]ir.Value, len(v))
	for i, x := range v {
		out[i] = ir.Value{Name: x.Name, Type: cloneType(x.Type)}
	}
	return out
}

func cloneType(t ir.Type) ir.Type {
	t.Dims, t.Params = slices.Clone(t.Dims), slices.Clone(t.Params)
	return t
}

// Prune drops the nodes, tensors and types that no output of the graph needs.
// Inputs stay, needed or not: they are the model's interface.
func Prune(g *ir.Graph) {
	producer, needed := g.Producer(), map[string]bool{}
	live := map[*ir.Node]bool{}
	stack := make([]string, 0, len(g.Outputs))
	for _, o := range g.Outputs {
		stack = append(stack, o.Name)
	}
	for len(stack) > 0 {
		name := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if name == "" || needed[name] {
			continue
		}
		needed[name] = true
		if n := producer[name]; n != nil && !live[n] {
			live[n] = true
			stack = append(stack, reads(n)...)
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *ir.Node) bool { return !live[n] })
	for _, v := range g.Inputs {
		needed[v.Name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			needed[o] = true // a second output that nobody reads still has a type
		}
	}
	maps.DeleteFunc(g.Tensors, func(name string, _ *ir.Tensor) bool { return !needed[name] })
	maps.DeleteFunc(g.Types, func(name string, _ ir.Type) bool { return !needed[name] })
}

// reads lists the values that a node reads, those of its subgraphs from outside
// included.
func reads(n *ir.Node) []string {
	list := slices.DeleteFunc(slices.Clone(n.Inputs), func(s string) bool { return s == "" })
	for _, key := range slices.Sorted(maps.Keys(n.Subgraphs)) {
		list = append(list, free(n.Subgraphs[key])...)
	}
	return list
}

// free lists the values that a subgraph reads and does not make.
func free(g *ir.Graph) []string {
	if g == nil {
		return nil
	}
	own := map[string]bool{"": true}
	for name := range g.Tensors {
		own[name] = true
	}
	for _, v := range g.Inputs {
		own[v.Name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			own[o] = true
		}
	}
	var list []string
	add := func(name string) {
		if !own[name] {
			own[name] = true
			list = append(list, name)
		}
	}
	for _, n := range g.Nodes {
		for _, name := range reads(n) {
			add(name)
		}
	}
	for _, o := range g.Outputs {
		add(o.Name)
	}
	return list
}

// sortNodes puts nodes into topological order, keeping the file's where it is
// one already. It names a node that waits for itself or for nothing at all.
func sortNodes(g *ir.Graph, outer map[string]bool) error {
	ready := maps.Clone(outer)
	if ready == nil {
		ready = map[string]bool{}
	}
	for name := range g.Tensors {
		ready[name] = true
	}
	for _, v := range g.Inputs {
		ready[v.Name] = true
	}
	rest, sorted := g.Nodes, make([]*ir.Node, 0, len(g.Nodes))
	waiting := map[string][]int{} // value → nodes that wait for it
	missing := make([]int, len(rest))
	emit := func(i int) {
		for queue := []int{i}; len(queue) > 0; {
			n := rest[queue[0]]
			queue = queue[1:]
			sorted = append(sorted, n)
			for _, o := range n.Outputs {
				if o == "" || ready[o] {
					continue
				}
				ready[o] = true
				for _, j := range waiting[o] {
					if missing[j]--; missing[j] == 0 {
						queue = append(queue, j)
					}
				}
				delete(waiting, o)
			}
		}
	}
	for i, n := range rest {
		for _, name := range reads(n) {
			if !ready[name] {
				missing[i]++
				waiting[name] = append(waiting[name], i)
			}
		}
		if missing[i] == 0 {
			emit(i)
		}
	}
	if len(sorted) < len(rest) {
		for i, n := range rest {
			if missing[i] == 0 {
				continue
			}
			for _, name := range reads(n) {
				if !ready[name] {
					return fmt.Errorf("%s: %s: input %q is made by no node before it", describe(n), n.Op, name)
				}
			}
		}
	}
	g.Nodes = sorted
	return nil
}

// Run evaluates a graph node by node and returns the wanted values, the graph's
// outputs by default. Values are freed when nothing waits for them any more.
func Run(g *ir.Graph, in map[string]*ir.Tensor, want ...string) (map[string]*ir.Tensor, error) {
	if len(want) == 0 {
		for _, o := range g.Outputs {
			want = append(want, o.Name)
		}
	}
	return runGraph(g, g.Opset, in, nil, want)
}

// runGraph is Run inside the values outer.
func runGraph(g *ir.Graph, opset int, in, outer map[string]*ir.Tensor, want []string) (map[string]*ir.Tensor, error) {
	values := maps.Clone(in)
	if values == nil {
		values = map[string]*ir.Tensor{}
	}
	for _, v := range g.Inputs {
		if values[v.Name] == nil {
			return nil, fmt.Errorf("run graph: input %q is not given", v.Name)
		}
	}
	get := func(name string) *ir.Tensor {
		for _, m := range []map[string]*ir.Tensor{values, g.Tensors, outer} {
			if t := m[name]; t != nil {
				return t
			}
		}
		return nil
	}
	uses := map[string]int{}
	for _, n := range g.Nodes {
		for _, name := range reads(n) {
			uses[name]++
		}
	}
	for _, name := range want {
		uses[name]++
	}
	for _, n := range g.Nodes {
		args := make([]*ir.Tensor, len(n.Inputs))
		for i, name := range n.Inputs {
			if args[i] = get(name); name != "" && args[i] == nil {
				return nil, fmt.Errorf("%s: %s: input %q is not computed before it", describe(n), n.Op, name)
			}
		}
		var out []*ir.Tensor
		var err error
		if n.Op == "If" {
			around := maps.Clone(outer)
			if around == nil {
				around = map[string]*ir.Tensor{}
			}
			maps.Copy(around, g.Tensors)
			maps.Copy(around, values)
			out, err = evalIf(n, opset, args, around)
		} else {
			out, err = Eval(n, opset, args)
		}
		if err != nil {
			return nil, err
		}
		for i, name := range n.Outputs {
			if name != "" && uses[name] > 0 {
				values[name] = out[i]
			}
		}
		for _, name := range reads(n) {
			if uses[name]--; uses[name] == 0 {
				delete(values, name)
			}
		}
	}
	result := make(map[string]*ir.Tensor, len(want))
	for _, name := range want {
		if result[name] = get(name); result[name] == nil {
			return nil, fmt.Errorf("run graph: value %q is not computed", name)
		}
	}
	return result, nil
}
