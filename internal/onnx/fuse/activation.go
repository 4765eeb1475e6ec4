package fuse

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// An activation is recognised by its values. Frameworks and converters write
// GELU in dozens of orders (x·0.5·(1+erf(x/√2)), 0.5·x·…, x·(0.5·erf(x·0.7071)+0.5)…),
// so a pattern per order never ends. Instead every scalar expression of one
// variable is evaluated at sample points and compared with the known functions.
type activation struct {
	op    string
	attrs ir.Attrs
	f     func(float64) float64
}

var activations = []activation{
	{"Gelu", ir.Attrs{"approximate": "none"}, func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }},
	{"Gelu", ir.Attrs{"approximate": "tanh"}, func(x float64) float64 {
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}},
	{"Silu", ir.Attrs{}, func(x float64) float64 { return x * sigmoid(x) }},
	{"HardSwish", ir.Attrs{}, func(x float64) float64 { return x * clamp(x/6+0.5, 0, 1) }},
	{"HardSigmoid", ir.Attrs{"alpha": float32(1.0 / 6), "beta": float32(0.5)}, func(x float64) float64 { return clamp(x/6+0.5, 0, 1) }},
	{"HardSigmoid", ir.Attrs{"alpha": float32(0.2), "beta": float32(0.5)}, func(x float64) float64 { return clamp(x*0.2+0.5, 0, 1) }},
	{"Mish", ir.Attrs{}, func(x float64) float64 { return x * math.Tanh(softplus(x)) }},
}

// samples cover both tails, the kinks of the piecewise functions and the place
// where the two forms of GELU differ most (|x| about 2.3).
var samples = []float64{-8, -4, -3.5, -3, -2.75, -2.3, -1.5, -1, -0.5, -0.1, 0, 0.1, 0.5, 1, 1.5, 2.3, 2.6, 3, 3.5, 4, 8}

const (
	// activationTolerance, times 1+|x|, admits constants rounded to float16.
	// The two forms of GELU differ by 5e-4; of several fits the best is taken.
	activationTolerance = 1e-4
	// maxExpression bounds the nodes of an expression (GELU with tanh has 8,
	// some converters add a few).
	maxExpression = 16
)

func fuseActivations(g *ir.Graph) bool {
	m := newMatcher(g)
	changed := false
	// Last node first, so that x·HardSigmoid(x) is seen before HardSigmoid.
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		if m.dead(n) || !m.elementwise(n) {
			continue
		}
		if a, x := m.activation(n); a != nil {
			m.replace(n, &ir.Node{Op: a.op, Domain: ir.DomainVislora, Name: n.Name, Inputs: []string{x},
				Outputs: []string{n.Outputs[0]}, Attrs: cloneAttrs(a.attrs)})
			changed = true
		}
	}
	return changed
}

func cloneAttrs(a ir.Attrs) ir.Attrs {
	out := make(ir.Attrs, len(a))
	for k, v := range a {
		out[k] = v
	}
	return out
}

// activation finds the variable x for which the expression that ends in root
// is a known function of x, and that function.
func (m *matcher) activation(root *ir.Node) (*activation, string) {
	out, ok := m.dims(root.Outputs[0])
	if !ok {
		return nil, ""
	}
	// The frontier holds the values that the expression depends on. Expanding
	// the latest of them first, it shrinks to one value exactly at each value
	// that everything passes through: the candidates for x.
	frontier := m.variables(root)
	expr := []*ir.Node{root}
	for len(expr) <= maxExpression {
		if len(frontier) == 1 && len(expr) > 1 {
			if d, ok := m.dims(frontier[0]); ok && slices.Equal(d, out) {
				if a := m.identify(expr, frontier[0]); a != nil {
					return a, frontier[0]
				}
			}
		}
		last, at := -1, -1
		for i, v := range frontier {
			if p := m.prod[v]; p != nil && m.elementwise(p) && m.index[p] > last {
				last, at = m.index[p], i
			}
		}
		if at < 0 {
			return nil, ""
		}
		p := m.prod[frontier[at]]
		// Only expand the latest: a frontier value made later than p that
		// cannot be expanded is never passed through.
		for _, v := range frontier {
			if q := m.prod[v]; q != nil && m.index[q] > last {
				return nil, ""
			}
		}
		expr = append(expr, p)
		frontier = slices.Delete(frontier, at, at+1)
		for _, v := range m.variables(p) {
			if !slices.Contains(frontier, v) {
				frontier = append(frontier, v)
			}
		}
	}
	return nil, ""
}

// identify evaluates the expression (last node first) at the sample points.
func (m *matcher) identify(expr []*ir.Node, x string) *activation {
	errs := make([]float64, len(activations))
	values := make(map[string]float64, len(expr)+1)
	for _, s := range samples {
		clear(values)
		values[x] = s
		for i := len(expr) - 1; i >= 0; i-- {
			y, ok := m.evaluate(expr[i], values)
			if !ok {
				return nil
			}
			values[expr[i].Outputs[0]] = y
		}
		y := values[expr[0].Outputs[0]]
		for i := range activations {
			errs[i] = math.Max(errs[i], math.Abs(y-activations[i].f(s))/(1+math.Abs(s)))
		}
	}
	best := 0
	for i, e := range errs {
		// A NaN compares false and never becomes the best.
		if e < errs[best] {
			best = i
		}
	}
	if errs[best] < activationTolerance {
		return &activations[best]
	}
	return nil
}

// variables lists the distinct computed inputs of a node.
func (m *matcher) variables(n *ir.Node) []string {
	var out []string
	for _, in := range n.Inputs {
		if in != "" && m.constant(in) == nil && !slices.Contains(out, in) {
			out = append(out, in)
		}
	}
	return out
}

// elementwise reports whether evaluate knows the node: a scalar function whose
// constants have one element.
func (m *matcher) elementwise(n *ir.Node) bool {
	scalarOp := standard(n, "Mul", "Add", "Sub", "Div", "Pow", "Erf", "Tanh", "Sigmoid", "Exp", "Softplus", "Relu",
		"Clip", "HardSigmoid", "Neg", "Min", "Max", "Log", "Reciprocal", "Sqrt") ||
		n.Domain == ir.DomainVislora && n.Op == "HardSigmoid"
	if !scalarOp || len(n.Outputs) != 1 {
		return false
	}
	for _, in := range n.Inputs {
		if t := m.constant(in); t != nil && (t.Len() != 1 || t.DType == ir.String || t.DType == ir.Undefined) {
			return false
		}
	}
	return true
}

// evaluate computes one scalar node.
func (m *matcher) evaluate(n *ir.Node, values map[string]float64) (float64, bool) {
	var in [3]float64
	if len(n.Inputs) > 3 || len(n.Inputs) == 0 {
		return 0, false
	}
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if v, ok := values[name]; ok {
			in[i] = v
		} else if v, ok := m.scalar(name); ok {
			in[i] = v
		} else {
			return 0, false
		}
	}
	a, b := in[0], in[1]
	binary := len(n.Inputs) == 2
	switch n.Op {
	case "Mul":
		return a * b, binary
	case "Add":
		return a + b, binary
	case "Sub":
		return a - b, binary
	case "Div":
		return a / b, binary
	case "Pow":
		return math.Pow(a, b), binary
	case "Min":
		return math.Min(a, b), binary
	case "Max":
		return math.Max(a, b), binary
	case "Erf":
		return math.Erf(a), true
	case "Tanh":
		return math.Tanh(a), true
	case "Sigmoid":
		return sigmoid(a), true
	case "Exp":
		return math.Exp(a), true
	case "Log":
		return math.Log(a), true
	case "Sqrt":
		return math.Sqrt(a), true
	case "Reciprocal":
		return 1 / a, true
	case "Neg":
		return -a, true
	case "Softplus":
		return softplus(a), true
	case "Relu":
		return math.Max(a, 0), true
	case "HardSigmoid":
		return clamp(n.Attrs.Float("alpha", 0.2)*a+n.Attrs.Float("beta", 0.5), 0, 1), true
	case "Clip":
		lo, hi := n.Attrs.Float("min", -math.MaxFloat32), n.Attrs.Float("max", math.MaxFloat32)
		if n.In(1) != "" {
			lo = in[1]
		}
		if n.In(2) != "" {
			hi = in[2]
		}
		return clamp(a, lo, hi), true
	}
	return 0, false
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is ln(1+eˣ) without overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func clamp(x, lo, hi float64) float64 { return math.Min(math.Max(x, lo), hi) }
