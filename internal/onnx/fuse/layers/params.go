package layers

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Params maps module parameter names to tensors of the planned graph: weight
// and bias of every layer, scale and bias of every normalisation, and loose
// parameters such as position embeddings, class tokens and layer scales. Only
// what goes back to an initializer (or a Constant node, for layers) counts;
// computed values, a folded BatchNormalization among them, do not.
// Paths of ls must be set and unique.
func Params(g *ir.Graph, ls []*Layer) map[string]string {
	p := &params{g: g, byName: make(map[string]string), taken: make(map[string]bool)}
	for _, l := range ls {
		p.enter(l.Path+".weight", l.Weight)
		if l.Bias != "" {
			p.enter(p.biasName(l), l.Bias)
		}
	}
	for _, n := range g.Nodes {
		switch n.Op {
		case ir.Linear, ir.Conv:
			if n.Domain == ir.DomainVislora {
				continue
			}
		case "LayerNormalization", "BatchNormalization", "InstanceNormalization", "GroupNormalization":
			module, _ := FromNode(n.Name, normOps...)
			p.enter(p.name(n.In(1), module, "weight"), n.In(1))
			p.enter(p.name(n.In(2), module, "bias"), n.In(2))
			continue
		}
		for _, in := range n.Inputs {
			p.loose(in)
		}
	}
	return p.byName
}

// normOps are the operators at the end of a normalisation's node path: the
// first node of a decomposed one names the fused node.
var normOps = []string{"LayerNormalization", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "Div", "Mul", "Add"}

type params struct {
	g      *ir.Graph
	byName map[string]string
	taken  map[string]bool // tensors
}

// enter adds a trainable tensor under a name; a name that is taken by another
// tensor gets a number.
func (p *params) enter(name, tensor string) {
	t := p.g.Tensors[tensor]
	if name == "" || t == nil || p.taken[tensor] || !trainable(t) {
		return
	}
	p.taken[tensor] = true
	unique := name
	for i := 1; p.byName[unique] != ""; i++ {
		unique = fmt.Sprintf("%s_%d", name, i)
	}
	p.byName[unique] = tensor
}

func trainable(t *ir.Tensor) bool {
	return t.Origin != nil && slices.Contains([]ir.DType{ir.Float, ir.Double, ir.Float16, ir.BFloat16}, t.DType)
}

// biasName is path.bias, or in_proj_bias for MultiheadAttention.
func (p *params) biasName(l *Layer) string {
	for _, n := range names(p.g, l.Bias) {
		if own := parameterName(n); own == l.Path+".in_proj_bias" {
			return own
		}
	}
	return l.Path + ".bias"
}

// name is a normalisation's parameter name: the file's if it has one.
func (p *params) name(tensor, module, kind string) string {
	for _, n := range names(p.g, tensor) {
		if m, k, ok := FromParameter(n); ok && k == kind {
			return m + "." + k
		}
	}
	if module == "" {
		return ""
	}
	return module + "." + kind
}

// loose enters a constant that is a parameter by its name: an initializer of
// more than one element that the file names.
func (p *params) loose(tensor string) {
	t := p.g.Tensors[tensor]
	if t == nil || t.Origin == nil || t.Origin.Constant || t.Len() < 2 {
		return
	}
	for _, n := range names(p.g, tensor) {
		if own := parameterName(n); own != "" {
			p.enter(own, tensor)
			return
		}
	}
}
