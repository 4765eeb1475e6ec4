package cnn

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// network is what recognition collects.
type network struct {
	flow   *layers.Flow
	layers []*layers.Layer
	byNode map[*ir.Node]*layers.Layer
	role   map[*layers.Layer]string
	block  map[*layers.Layer]int
	head   layers.Head
	trunk  []*ir.Node
	blocks []block
	image  [2]int
	last   map[string]bool // channelsLast, remembered
	// enlarged depends on an enlarged map, beyond is everything behind the
	// backbone.
	enlarged, beyond map[*ir.Node]bool
	notes            []string
}

// Annotate recognises a convolutional network. ok is false when the graph has
// attention or fewer than two convolutions.
func Annotate(g *ir.Graph) (a *build.Annotation, ok bool) {
	convs := 0
	for _, n := range g.Nodes {
		switch {
		case layers.IsAttention(n), n.Op == "Softmax" && feedsProduct(g, n):
			return nil, false
		case n.Domain == ir.DomainVislora && n.Op == ir.Conv:
			convs++
		}
	}
	if convs < 2 {
		return nil, false
	}
	n := study(g)
	return n.annotation("cnn", n.arch()), true
}

// Generic annotates any graph: every layer as a site, what can be said about
// maps and classifier, family "hybrid".
func Generic(g *ir.Graph) *build.Annotation {
	n := study(g)
	convs, linears, attentions := 0, 0, 0
	for _, l := range n.layers {
		if l.Conv {
			convs++
		} else {
			linears++
		}
	}
	for _, node := range g.Nodes {
		if layers.IsAttention(node) {
			attentions++
		}
	}
	return n.annotation("hybrid", fmt.Sprintf("hybrid, %d convolutions, %d linear layers, %d attentions", convs, linears, attentions))
}

// feedsProduct tells attention that was not fused from a softmax at the end.
func feedsProduct(g *ir.Graph, soft *ir.Node) bool {
	for _, n := range g.Nodes {
		if (n.Op == "MatMul" || n.Op == "Einsum") && slices.Contains(n.Inputs, soft.Outputs[0]) {
			return true
		}
	}
	return false
}

func study(g *ir.Graph) *network {
	n := &network{flow: layers.NewFlow(g), byNode: make(map[*ir.Node]*layers.Layer), role: make(map[*layers.Layer]string),
		block: make(map[*layers.Layer]int), last: make(map[string]bool)}
	n.layers, n.notes = layers.Find(g)
	for _, l := range n.layers {
		n.byNode[l.Node] = l
	}
	n.image = n.imageSize()
	n.head = layers.FindHead(n.flow, n.layers)
	n.findNeck()
	n.findTrunk()
	n.findBlocks()
	n.assignRoles()
	n.nameLayers()
	return n
}

func (n *network) annotation(family, arch string) *build.Annotation {
	g := n.flow.Graph
	a := &build.Annotation{Family: family, Arch: arch, Logits: n.head.Logits, Classes: n.head.Classes, Notes: n.notes, Graph: g,
		Params: layers.Params(g, n.layers)}
	for _, l := range n.layers {
		s := site(l, n.role[l], n.block[l])
		a.Sites = append(a.Sites, s)
		if l == n.head.Classifier {
			a.Classifier, a.ClassifierInput = &s, n.head.Input
		}
	}
	for _, b := range n.blocks {
		a.Blocks = append(a.Blocks, b.end.Outputs[0])
	}
	if p := n.head.Pooled; p != "" {
		if d := n.flow.Dims(p); len(d) >= 2 {
			a.Features = append(a.Features, build.Feature{Value: p, Kind: "pooled", Channels: d[1], Pool: n.head.Pool})
		}
	}
	a.Features = append(a.Features, n.maps()...)
	a.Features = append(a.Features, n.neck()...)
	if a.Detector = n.detector(); a.Detector == nil && a.Classifier == nil {
		a.Segmenter = n.segmenter()
	}
	if n.head.Note != "" {
		a.Notes = append(a.Notes, n.head.Note)
	}
	return a
}

func site(l *layers.Layer, role string, block int) build.Site {
	s := build.Site{Path: l.Path, Kind: build.KindLinear, Output: l.Site, Weight: l.Weight, Bias: l.Bias, In: l.In, Out: l.Out,
		Groups: l.Groups, TransW: l.TransW, Block: block, Role: role}
	if l.Conv {
		s.Kind = build.KindConv
		s.Kernel, s.Stride, s.Dilation, s.Pads = l.Kernel, l.Stride, l.Dilation, l.Pads
	}
	return s
}

// imageSize is the height and width of the image input, zero if unknown.
func (n *network) imageSize() [2]int {
	for _, in := range n.flow.Graph.Inputs {
		d := n.flow.Dims(in.Name)
		if d == nil && in.Type.Static() {
			d = in.Type.Dims
		}
		if len(d) == 4 {
			if d[1] > 4 && d[3] <= 4 {
				return [2]int{d[1], d[2]}
			}
			return [2]int{d[2], d[3]}
		}
	}
	return [2]int{}
}

// nameLayers names what the file does not.
func (n *network) nameLayers() {
	convs, linears := 0, 0
	for _, l := range n.layers {
		name := fmt.Sprintf("conv%d", convs)
		if l.Conv {
			convs++
		} else {
			name = fmt.Sprintf("linear%d", linears)
			linears++
		}
		if l.Path == "" {
			if l.Path = name; l == n.head.Classifier {
				l.Path = "classifier"
			}
		}
	}
	layers.Unique(n.layers)
}
