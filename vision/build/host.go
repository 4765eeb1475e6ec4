package build

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// host runs a node with the host evaluator, in the same straight line: integer
// arithmetic, selection, and rare operators that have no kernel. It has no
// gradient; when something that trains lies behind it, that is an error which
// names it, unless all that it reads or makes are integers, which have none
// anyway.
func (g *Graph) host(n *ir.Node) {
	integers := func(names []string) bool {
		return !slices.ContainsFunc(names, func(s string) bool { return s != "" && kindOf(g.IR.Types[s].DType) == buffer.F32 })
	}
	detached := integers(n.Inputs) || integers(n.Outputs)
	g.hostNode(n, detached)
	if !detached {
		g.Hosted = append(g.Hosted, n)
	}
}

// hostNode is host; detached lets it cut the gradient without a word.
func (g *Graph) hostNode(n *ir.Node, detached bool) {
	var in []*ops.Node
	var types []ir.Type
	var names []string
	fixed := make([]*ir.Tensor, len(n.Inputs)) // constants are handed over as they are
	index := make([]int, len(n.Inputs))        // −1: absent or constant
	for i, name := range n.Inputs {
		index[i] = -1
		if name == "" {
			continue
		}
		if t := g.IR.Tensors[name]; t != nil && g.net.params[name] == nil && (t.Len() == 0 || g.computes(n, i)) {
			fixed[i] = t
			continue
		}
		node := g.nat(g.val(name))
		if g.Needs(node) && !detached {
			ops.Fail("it has no gradient, and what trains lies behind it: put adapters after it, or cut the model before it")
		}
		index[i] = len(in)
		in = append(in, node)
		types = append(types, g.IR.Types[name])
		names = append(names, name)
	}
	if len(in) == 0 {
		ops.Fail("it has no inputs")
	}
	opset := g.IR.Opset
	first := g.IR.Types[n.Outputs[0]]
	spec := ops.Spec{Name: "host." + n.Op, In: in, Out: atLeastOne(first.Dims), Kind: kindOf(first.DType)}
	for _, out := range n.Outputs[1:] {
		t := ir.Type{DType: ir.Float, Dims: []int{1}}
		if out != "" {
			t = g.IR.Types[out]
		}
		spec.Slots = append(spec.Slots, ops.Slot{Shape: atLeastOne(t.Dims), Kind: kindOf(t.DType)})
	}
	spec.Bind = func(e *ops.Env) (kernels.Run, error) {
		outs := append([]*buffer.Buffer{e.Out}, e.Slots...)
		return func() {
			args := slices.Clone(fixed)
			for i, k := range index {
				if k >= 0 {
					args[i] = toTensor(names[k], e.In[k], types[k])
				}
			}
			res, err := eval.Eval(n, opset, args)
			if err != nil {
				ops.Abort(fmt.Errorf("node %s (%s): %w", nodeName(n), n.Op, err)) // an index out of range, say
			}
			for i, out := range outs {
				if out != nil && i < len(res) && res[i] != nil {
					fromTensor(out, res[i])
				}
			}
		}, nil
	}
	y := g.Apply(spec)
	g.set(n, g.hostValue(y, first))
	for i, out := range n.Outputs[1:] {
		if out != "" {
			t := g.IR.Types[out]
			sel := g.Apply(ops.Spec{Name: "selector", In: []*ops.Node{y}, Out: atLeastOne(t.Dims), Kind: kindOf(t.DType), Alias: true, Reads: []ops.Read{{Of: y, Slot: i}}})
			g.setOutput(n, i+1, g.hostValue(sel, t))
		}
	}
}

// computes reports whether a node has an input other than i that is not a
// constant: an operator needs one input to stand in a graph.
func (g *Graph) computes(n *ir.Node, i int) bool {
	for j, name := range n.Inputs {
		if name != "" && j != i && (g.IR.Tensors[name] == nil || g.net.params[name] != nil || j < i) {
			return true
		}
	}
	return false
}

func (g *Graph) hostValue(n *ops.Node, t ir.Type) val {
	return val{n, atLeastOne(t.Dims), identity(len(atLeastOne(t.Dims)))}
}

// toTensor copies a buffer into a tensor of the ONNX type. Float types are all
// computed in float32.
func toTensor(name string, b *buffer.Buffer, t ir.Type) *ir.Tensor {
	d := t.DType
	if kindOf(d) == buffer.F32 {
		d = ir.Float
	}
	out := &ir.Tensor{Name: name, DType: d, Dims: t.Dims, Raw: make([]byte, b.Len()*d.Size())}
	for i := range b.Len() {
		var bits uint64
		switch b.Storage {
		case buffer.F32:
			bits = uint64(math.Float32bits(b.F32()[i]))
		case buffer.F64:
			bits = uint64(math.Float32bits(float32(b.F64()[i])))
		default:
			bits = uint64(b.I64()[i])
		}
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], bits)
		copy(out.Raw[i*d.Size():], word[:d.Size()])
	}
	return out
}

func fromTensor(b *buffer.Buffer, t *ir.Tensor) {
	for i := range min(b.Len(), t.Len()) {
		switch b.Storage {
		case buffer.F32:
			b.F32()[i] = float32(t.Float(i))
		case buffer.F64:
			b.F64()[i] = t.Float(i)
		default:
			b.I64()[i] = t.Int(i)
		}
	}
}
