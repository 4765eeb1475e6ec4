package layers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Head is how a graph ends.
type Head struct {
	// Logits is the value before a final softmax or sigmoid, Classes its
	// width; "" when the graph does not end in one vector per image.
	Logits  string
	Classes int
	// Classifier is the final Linear or 1×1 convolution and Input what it
	// reads; nil when the graph ends in features.
	Classifier *Layer
	Input      string
	// Pooled is the feature vector (N, C), "" if there is none, and Pool how
	// it is made: "token", "avg" or "" if in another way.
	Pooled string
	Pool   string
	// Note is a word for people, or "".
	Note string
}

// FindHead looks for a classifier at the end of the graph.
func FindHead(f *Flow, ls []*Layer) Head {
	out := vectorOutput(f)
	if out == "" {
		return Head{}
	}
	byNode := make(map[*ir.Node]*Layer, len(ls))
	for _, l := range ls {
		byNode[l.Node] = l
	}
	logits := out
	softened := false
	for v, n := out, f.prod[out]; n != nil; n = f.prod[v] {
		if n.Op == "Softmax" || n.Op == "LogSoftmax" || n.Op == "Sigmoid" {
			logits, softened = n.In(0), true
			break
		}
		if !Moves(n) {
			break
		}
		v = n.In(0)
	}
	h := Head{}
	n := back(f, logits)
	if n != nil && !softened && namedFeatures(out) {
		n = nil
	}
	if l := byNode[n]; l != nil && !l.Conv {
		h.Classifier = l
	} else if l := pooledConv(f, n, byNode); l != nil {
		h.Classifier = l
	}
	if h.Classifier == nil {
		if several := mixed(f, n, byNode); len(several) > 1 {
			h.Logits, h.Classes = logits, width(f.Dims(logits))
			h.Pooled, h.Pool = several[0].X, poolOf(f, several[0].X)
			h.Note = fmt.Sprintf("the logits mix %d linear layers; a new head reads the pooled feature of the first and replaces them all", len(several))
			return h
		}
	}
	if h.Classifier == nil && !softened {
		h.Pooled, h.Pool = out, poolOf(f, out)
		return h
	}
	h.Logits, h.Classes = logits, width(f.Dims(logits))
	if h.Classifier != nil {
		h.Input = h.Classifier.X
		if d := f.Dims(h.Input); len(d) == 2 {
			h.Pooled, h.Pool = h.Input, poolOf(f, h.Input)
		}
	}
	return h
}

// mixed lists the linear layers that a sum or mean of classifiers adds up, as
// in the distilled DeiT (Touvron et al., arXiv:2012.12877), in graph order.
func mixed(f *Flow, n *ir.Node, byNode map[*ir.Node]*Layer) []*Layer {
	var out []*Layer
	seen := make(map[*ir.Node]bool)
	var walk func(n *ir.Node)
	walk = func(n *ir.Node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		switch {
		case byNode[n] != nil:
			if l := byNode[n]; !l.Conv && len(f.Dims(l.Y)) == 2 {
				out = append(out, l)
			}
		case n.Op == "Add" || n.Op == "Mul" || n.Op == "Div":
			for _, in := range f.Computed(n) {
				walk(f.prod[in])
			}
		}
	}
	walk(n)
	slices.SortFunc(out, func(a, b *Layer) int { return f.index[a.Node] - f.index[b.Node] })
	return out
}

// vectorOutput returns the first output that holds one vector of numbers per
// image. Integers, and what was picked from a list of candidates (a detector's
// labels and scores), are no features.
func vectorOutput(f *Flow) string {
	for _, o := range f.Graph.Outputs {
		switch f.Graph.Types[o.Name].DType {
		case ir.Float, ir.Float16, ir.BFloat16, ir.Double:
		default:
			continue
		}
		if d := f.Dims(o.Name); len(d) >= 2 && width(d) > 0 && f.prod[o.Name] != nil && !picked(f, f.prod[o.Name]) {
			return o.Name
		}
	}
	return ""
}

// picked reports whether a node depends on a choice among candidates.
func picked(f *Flow, node *ir.Node) bool {
	for a := range f.Ancestors(node) {
		if a.Op == "TopK" || a.Op == "NonMaxSuppression" {
			return true
		}
	}
	return false
}

// width is C of (N, C), (N, C, 1, 1) or (N, 1, 1, C); 0 for other shapes.
func width(d []int) int {
	if len(d) != 2 && len(d) != 4 {
		return 0
	}
	rest := slices.DeleteFunc(slices.Clone(d[1:]), func(x int) bool { return x == 1 })
	switch len(rest) {
	case 0:
		return 1
	case 1:
		return rest[0]
	}
	return 0
}

func namedFeatures(output string) bool {
	s := strings.ToLower(output)
	return strings.Contains(s, "feature") || strings.Contains(s, "embed")
}

// back returns the first node behind a value that does more than move.
func back(f *Flow, value string) *ir.Node {
	n := f.prod[value]
	for Moves(n) {
		n = f.prod[n.In(0)]
	}
	return n
}

// pooledConv recognises the heads that are convolutions: 1×1 over the map with
// the pooling after it (SqueezeNet), or 1×1 after the pooling.
func pooledConv(f *Flow, n *ir.Node, byNode map[*ir.Node]*Layer) *Layer {
	if pools(n) {
		n = back(f, n.In(0))
		if Activates(n) {
			n = back(f, n.In(0))
		}
	}
	if l := byNode[n]; l != nil && l.Conv && l.Kernel == [2]int{1, 1} && l.Groups == 1 {
		return l
	}
	return nil
}

func pools(n *ir.Node) bool {
	return n != nil && slices.Contains([]string{"GlobalAveragePool", "AveragePool", "ReduceMean"}, n.Op)
}

// poolOf follows a feature vector back to where it was pooled.
func poolOf(f *Flow, value string) string {
	for n := f.prod[value]; n != nil; n = f.prod[n.In(0)] {
		switch {
		case pools(n):
			return "avg"
		case n.Op == "Gather" || n.Op == "Slice":
			return "token"
		case n.Op == ir.Linear || Moves(n) || Activates(n) || Normalises(n):
		default:
			return ""
		}
	}
	return ""
}
