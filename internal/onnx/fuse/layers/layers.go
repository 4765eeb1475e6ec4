package layers

import (
	"fmt"
	"strings"

	"github.com/vislora/vislora/internal/onnx/fuse"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// Layer is a Linear or Conv node of a fused graph.
type Layer struct {
	Node *ir.Node
	Conv bool
	// Path is the module path, "" when the file gives none.
	Path string
	// Site is the node's lasting identity, X and Y what it reads and makes.
	Site, X, Y   string
	Weight, Bias string
	In, Out      int
	Groups       int
	Kernel       [2]int
	Stride       [2]int
	Dilation     [2]int
	Pads         [4]int
	TransW       bool
}

// Find lists the layers of a fused graph in topological order, with paths
// where the file gives them, and notes about layers left out. Paths are not
// yet unique: see [Unique].
func Find(g *ir.Graph) (found []*Layer, notes []string) {
	uses := make(map[string]int)
	var all []*Layer
	for _, n := range g.Nodes {
		if l := layer(g, n); l != nil {
			all = append(all, l)
			uses[weightKey(g, l.Weight)]++
		}
	}
	told := make(map[string]bool)
	for _, l := range all {
		key := weightKey(g, l.Weight)
		if uses[key] == 1 {
			found = append(found, l)
			continue
		}
		if !told[key] {
			told[key] = true
			name := l.Path
			if name == "" {
				name = key
			}
			notes = append(notes, fmt.Sprintf("%s: one weight applied in %d places; it is left frozen", name, uses[key]))
		}
	}
	return found, notes
}

// weightKey names the memory behind a tensor: its initializer, unless the file
// ties equal values of different layers.
func weightKey(g *ir.Graph, name string) string {
	if t := g.Tensors[name]; t != nil && t.Origin != nil && t.Origin.Aliases == 0 {
		return t.Origin.Name
	}
	return name
}

func layer(g *ir.Graph, n *ir.Node) *Layer {
	if n.Domain != ir.DomainVislora || n.Op != ir.Linear && n.Op != ir.Conv {
		return nil
	}
	w := g.Tensors[n.In(1)]
	l := &Layer{Node: n, Conv: n.Op == ir.Conv, Site: n.Attrs.String(fuse.AttrSite, n.Outputs[0]), X: n.In(0), Y: n.Outputs[0],
		Weight: n.In(1), Bias: n.In(2), Groups: 1}
	if l.Conv {
		l.Groups = n.Attrs.Int("group", 1)
		l.Out, l.In = w.Dims[0], w.Dims[1]*l.Groups
		copy(l.Kernel[:], n.Attrs.Ints("kernel_shape"))
		copy(l.Stride[:], n.Attrs.Ints("strides"))
		copy(l.Dilation[:], n.Attrs.Ints("dilations"))
		copy(l.Pads[:], n.Attrs.Ints("pads"))
	} else {
		l.TransW = n.Attrs.Int("transW", 0) == 1
		l.In, l.Out = w.Dims[0], w.Dims[1]
		if l.TransW {
			l.In, l.Out = l.Out, l.In
		}
	}
	l.Path = path(g, l)
	return l
}

// path applies the naming rules of the package to one layer.
func path(g *ir.Graph, l *Layer) string {
	for _, name := range names(g, l.Weight) {
		if m, _, ok := FromParameter(name); ok {
			return m
		}
	}
	ops := []string{"MatMul", "Gemm"}
	if l.Conv {
		ops = []string{"Conv"}
	}
	p, _ := FromNode(l.Node.Name, ops...)
	for _, name := range names(g, l.Bias) {
		// A bias says more where a module applies its children's weights
		// itself (node "/attn/MatMul_1", bias "attn.proj.bias") and where
		// containers leave no trace ("/proj/MatMul", "blocks.0.proj.bias").
		m, _, ok := FromParameter(name)
		longer := strings.HasSuffix(name, ".bias") && (strings.HasPrefix(m, p+".") || strings.HasSuffix(m, "."+p))
		if ok && (p == "" || longer) {
			return m
		}
	}
	return p
}

// names lists the names a tensor goes by: its own, and that of the initializer
// it was made from unless that belongs to another layer as well.
func names(g *ir.Graph, tensor string) []string {
	t := g.Tensors[tensor]
	if t == nil {
		return nil
	}
	if t.Origin == nil {
		return []string{tensor}
	}
	if t.Origin.Aliases == 0 {
		return []string{t.Origin.Name, tensor}
	}
	if tensor == t.Origin.Name {
		return nil
	}
	return []string{tensor}
}

// Unique makes paths unique in order: repeated ones get "_1", "_2"…
func Unique(ls []*Layer) {
	seen := make(map[string]bool)
	for _, l := range ls {
		p := l.Path
		for i := 1; seen[p]; i++ {
			p = fmt.Sprintf("%s_%d", l.Path, i)
		}
		seen[p] = true
		l.Path = p
	}
}
