package eval

import (
	"maps"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// removable reports whether a node on data only passes its first input on. A
// cast that stays is rewritten to the element type that activations have.
func (inf *inferrer) removable(n *ir.Node, args []arg) bool {
	if len(args) == 0 || !args[0].ok || args[0].t != nil || len(n.Outputs) == 0 || n.Outputs[0] == "" {
		return false
	}
	switch n.Op {
	case "Identity":
		return true
	case "Dropout":
		training := len(args) > 2 && args[2].ok && (args[2].t == nil || args[2].t.DType != ir.Bool || len(args[2].t.Raw) != 1 || args[2].t.Raw[0] != 0)
		mask := len(n.Outputs) > 1 && inf.read[n.Outputs[1]]
		return !training && !mask
	case "CastLike":
		if len(args) < 2 || !args[1].ok {
			return false
		}
		n.Op, n.Inputs, n.Attrs = "Cast", n.Inputs[:1], ir.Attrs{"to": int64(args[1].typ.DType)}
		fallthrough
	case "Cast":
		to := asFloat(ir.DType(n.Attrs.Int("to", 0)))
		if n.Attrs = maps.Clone(n.Attrs); n.Attrs == nil {
			n.Attrs = ir.Attrs{}
		}
		n.Attrs["to"] = int64(to)
		return to == args[0].typ.DType
	}
	return false
}

// replace lets the readers of a value read another.
func (inf *inferrer) replace(name, by string) {
	inf.alias[name] = by
	if s, ok := inf.shapes[by]; ok {
		inf.shapes[name] = s
	}
	inf.g.Types[name] = inf.g.Types[by]
}

// nameOutputs gives the graph's outputs their names back where the node that
// made them was removed.
func (inf *inferrer) nameOutputs() {
	g := inf.g
	taken := map[string]bool{}
	for _, v := range g.Inputs {
		taken[v.Name] = true
	}
	for _, v := range g.Outputs {
		if inf.resolve(v.Name) == v.Name {
			taken[v.Name] = true
		}
	}
	renamed := map[string]string{}
	for _, v := range g.Outputs {
		from := inf.resolve(v.Name)
		if from == v.Name {
			continue
		}
		t := g.Types[from]
		g.Types[v.Name] = t
		switch to := renamed[from]; {
		case g.Tensors[from] != nil:
			c := *g.Tensors[from]
			c.Name = v.Name
			g.Tensors[v.Name] = &c
		case taken[from]:
			inf.copyOutput(from, v.Name)
		case to != "":
			inf.copyOutput(to, v.Name)
		default:
			renamed[from] = v.Name
		}
	}
	for _, n := range g.Nodes {
		for _, list := range [][]string{n.Inputs, n.Outputs} {
			for i, name := range list {
				if to := renamed[name]; to != "" {
					list[i] = to
				}
			}
		}
	}
}

func (inf *inferrer) copyOutput(from, to string) {
	inf.g.Nodes = append(inf.g.Nodes, &ir.Node{Op: "Identity", Inputs: []string{from}, Outputs: []string{to}, Attrs: ir.Attrs{}})
}
