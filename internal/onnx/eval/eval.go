// Package eval is the host side of an imported model: it runs single ONNX
// operators on host tensors ([Eval]) and whole graphs of them ([Run]), infers
// the static shape of every value, folds what is constant ([Infer]) and drops
// what no output needs ([Prune]).
//
// It is correctness-first: floating point goes through float64 and is rounded
// once to the element type, integers through int64 with the wraparound of their
// type. The fast operators are compared with it, and it runs constants and the
// tails that have no gradient (NonMaxSuppression, TopK, shape arithmetic).
//
// Operators follow the ONNX specification, https://onnx.ai/onnx/operators/, of
// opsets 7 to 21, in the default domain.
package eval

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// MinOpset is the oldest opset whose operators this package knows. Opsets newer
// than 21 are read as 21.
const MinOpset = 7

// operator is one ONNX operator: its shape function and its implementation.
type operator struct {
	minIn, maxIn int // number of inputs; maxIn < 0 is variadic
	// types gives the outputs' types from the inputs' types and, where a shape
	// depends on them, the inputs' contents. An output whose size depends on
	// what the operator computes has Known false.
	types func(*call) []ir.Type
	// run fills the outputs. Those with a static type are allocated and zero
	// unless view is set; the others are nil, and run makes them. An output
	// that nobody wants is nil too, and run may leave it so.
	run  func(*call, []*ir.Tensor)
	view bool // run makes the outputs itself, sharing the input's memory
	// since and until bound the opsets that have the operator; 0 is no bound.
	since, until int
}

var operators = map[string]operator{}

func register(name string, op operator) {
	if _, twice := operators[name]; twice {
		panic("eval: operator " + name + " registered twice")
	}
	operators[name] = op
}

func lookup(op, domain string, opset int) (operator, bool) {
	if domain != "" && domain != "ai.onnx" || opset < MinOpset {
		return operator{}, false
	}
	o, ok := operators[op]
	if !ok || o.since > opset || o.until != 0 && o.until < opset {
		return operator{}, false
	}
	return o, true
}

// Supported reports whether [Eval] runs an operator at an opset. An If is
// supported; whether its condition is constant is for [Infer] to find out.
func Supported(op, domain string, opset int) bool {
	_, ok := lookup(op, domain, opset)
	return ok || op == "If" && (domain == "" || domain == "ai.onnx") && opset >= MinOpset
}

// Eval runs one ONNX operator on host tensors. Entries of in that are nil, or
// missing at the end, are absent optional inputs. The result has one tensor per
// name in n.Outputs, nil where the name is empty. Outputs may share memory with
// inputs; nothing is ever written to a tensor after it is made.
//
// Float inputs of different widths are accepted together and give float32: a
// half-precision model runs in float32 around its half-precision constants.
//
// It returns an [UnsupportedError] for an operator that it does not know, and
// otherwise an error naming the node, the operator and the numbers that do not
// fit; an output of more than 2^29 elements is one. An If runs its branch, which then must not read values from outside.
func Eval(n *ir.Node, opset int, in []*ir.Tensor) ([]*ir.Tensor, error) {
	if n.Op == "If" && Supported(n.Op, n.Domain, opset) {
		return evalIf(n, opset, in, nil)
	}
	return evalWithin(n, opset, in, limits{elements: maxEvalElements})
}

// maxEvalElements bounds an output of Eval, so that a hostile shape is an error
// and not the end of the process.
const maxEvalElements = 1 << 29

// limits bound what one operator may make; zero is no bound.
type limits struct {
	elements int // of one output
	work     int // multiply-adds
}

func evalWithin(n *ir.Node, opset int, in []*ir.Tensor, lim limits) (out []*ir.Tensor, err error) {
	op, ok := lookup(n.Op, n.Domain, opset)
	if !ok {
		return nil, &UnsupportedError{Ops: []UnsupportedOp{{n.Op, n.Domain, n.Name, opset}}}
	}
	c := &call{n: n, opset: opset, limits: lim, in: make([]arg, len(in))}
	defer c.rescue(&err)
	for i, t := range in {
		if t != nil {
			c.checkTensor(i, t)
			c.in[i] = arg{ok: true, typ: t.Type(), t: t}
		}
	}
	types := c.outputTypes(op)
	out = make([]*ir.Tensor, len(types))
	for i, t := range types {
		if op.view || !t.Static() || n.Outputs[i] == "" {
			continue
		}
		out[i] = newTensor(t.DType, t.Dims)
	}
	op.run(c, out)
	for i, t := range out {
		if t != nil {
			t.Name = n.Outputs[i]
		}
		if n.Outputs[i] == "" {
			out[i] = nil
		} else if t == nil {
			c.fail("made no output %d (%q)", i, n.Outputs[i])
		}
	}
	return out, nil
}

// outputTypes checks the number of inputs, runs the shape function and checks
// what it says. The result has one entry per output of the node.
func (c *call) outputTypes(op operator) []ir.Type {
	for len(c.in) > 0 && !c.in[len(c.in)-1].ok {
		c.in = c.in[:len(c.in)-1]
	}
	if op.maxIn >= 0 && len(c.in) > op.maxIn {
		c.fail("has %d inputs, takes at most %d", len(c.in), op.maxIn)
	}
	for i := range op.minIn {
		if !c.has(i) {
			c.fail("input %d is missing", i)
		}
	}
	types := op.types(c)
	for i, name := range c.n.Outputs {
		if name != "" && i >= len(types) {
			c.fail("has output %d (%q), makes at most %d", i, name, len(types))
		}
	}
	if len(types) > len(c.n.Outputs) {
		types = types[:len(c.n.Outputs)]
	}
	for _, t := range types {
		if !t.Known {
			continue
		}
		if n := c.count(t.Dims); c.elements > 0 && n > c.elements && !op.view {
			c.overLimit("makes a tensor of shape %s: %d elements, more than the limit of %d", shapeString(t.Dims), n, c.elements)
		}
	}
	// Outputs beyond what the operator makes are unnamed: pad.
	for len(types) < len(c.n.Outputs) {
		types = append(types, ir.Type{})
	}
	return types
}

func (c *call) checkTensor(i int, t *ir.Tensor) {
	n := c.count(t.Dims)
	if t.DType == ir.String {
		if len(t.Strings) != n {
			c.fail("input %d of shape %s has %d strings, wants %d", i, shapeString(t.Dims), len(t.Strings), n)
		}
		return
	}
	if t.DType.Size() == 0 {
		c.fail("input %d has element type %d, which is not supported", i, t.DType)
	}
	if len(t.Raw) != n*t.DType.Size() {
		c.fail("input %d of shape %s and type %v has %d bytes, wants %d", i, shapeString(t.Dims), t.DType, len(t.Raw), n*t.DType.Size())
	}
}

// evalIf runs the branch of an If on a constant condition; outer holds the
// values around it.
func evalIf(n *ir.Node, opset int, in []*ir.Tensor, outer map[string]*ir.Tensor) ([]*ir.Tensor, error) {
	g, err := branch(n, in)
	if err != nil {
		return nil, err
	}
	want := make([]string, len(g.Outputs))
	for i, o := range g.Outputs {
		want[i] = o.Name
	}
	values, err := runGraph(g, opset, nil, outer, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", describe(n), err)
	}
	out := make([]*ir.Tensor, len(n.Outputs))
	for i, name := range n.Outputs {
		if name != "" {
			t := *values[want[i]]
			t.Name = name
			out[i] = &t
		}
	}
	return out, nil
}

// branch picks the branch of an If.
func branch(n *ir.Node, in []*ir.Tensor) (*ir.Graph, error) {
	if len(in) != 1 || in[0] == nil || in[0].DType != ir.Bool || len(in[0].Raw) != 1 {
		return nil, fmt.Errorf("%s: If: wants one boolean condition", describe(n))
	}
	name := "else_branch"
	if in[0].Raw[0] != 0 {
		name = "then_branch"
	}
	g := n.Subgraphs[name]
	if g == nil {
		return nil, fmt.Errorf("%s: If: %s is missing", describe(n), name)
	}
	if len(g.Outputs) < len(n.Outputs) {
		return nil, fmt.Errorf("%s: If: has %d outputs, its %s %d", describe(n), len(n.Outputs), name, len(g.Outputs))
	}
	return g, nil
}

// Operators lists the names of the supported operators, sorted.
func Operators() []string {
	names := []string{"If"}
	for name := range operators {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
