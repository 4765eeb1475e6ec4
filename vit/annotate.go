package vit

import (
	"fmt"
	"math"
	"strings"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// maxPrefix is the most class and register tokens taken for a prefix.
const maxPrefix = 16

// encoder is what recognition collects.
type encoder struct {
	flow   *layers.Flow
	layers []*layers.Layer
	byNode map[*ir.Node]*layers.Layer
	role   map[*layers.Layer]string
	block  map[*layers.Layer]int
	blocks []block
	patch  *layers.Layer
	dim    int
	tokens int
	grid   [2]int
	prefix int
	stride int
	head   layers.Head
	notes  []string
}

// block is one encoder block.
type block struct {
	attention *ir.Node
	mid       *ir.Node // the residual addition after attention
	end       *ir.Node // the one after the MLP; mid when there is no MLP
}

// Annotate recognises a vision transformer. ok is false when the graph is
// something else.
func Annotate(g *ir.Graph) (a *build.Annotation, ok bool) {
	e := &encoder{flow: layers.NewFlow(g), byNode: make(map[*ir.Node]*layers.Layer), role: make(map[*layers.Layer]string),
		block: make(map[*layers.Layer]int)}
	e.layers, e.notes = layers.Find(g)
	for _, l := range e.layers {
		e.byNode[l.Node] = l
		e.block[l] = -1
	}
	if !e.findBlocks() || !e.findPatchEmbedding() {
		return nil, false
	}
	e.assignRoles()
	e.head = layers.FindHead(e.flow, e.layers)
	if c := e.head.Classifier; c != nil {
		e.role[c], e.block[c] = "classifier", -1
	}
	e.nameLayers()
	return e.annotation(), true
}

func (e *encoder) annotation() *build.Annotation {
	g := e.flow.Graph
	a := &build.Annotation{Family: "vit", Logits: e.head.Logits, Classes: e.head.Classes, Notes: e.notes, Graph: g,
		Params: layers.Params(g, e.layers)}
	for _, l := range e.layers {
		s := site(l, e.role[l], e.block[l])
		a.Sites = append(a.Sites, s)
		if l == e.head.Classifier {
			a.Classifier, a.ClassifierInput = &s, e.head.Input
		}
	}
	for _, b := range e.blocks {
		a.Blocks = append(a.Blocks, b.end.Outputs[0])
	}
	if p := e.head.Pooled; p != "" {
		if d := e.flow.Dims(p); len(d) >= 2 {
			a.Features = append(a.Features, build.Feature{Value: p, Kind: "pooled", Channels: d[1], Pool: e.head.Pool})
		}
	}
	a.Features = append(a.Features, build.Feature{Value: e.lastTokens(), Kind: "tokens", Channels: e.dim, Stride: e.stride,
		Grid: e.grid, Prefix: e.prefix})
	heads := e.blocks[0].attention.Attrs.Int("heads", 1)
	a.Arch = fmt.Sprintf("ViT (%s), %d blocks, %d heads, dim %d, patch %d", e.style(), len(e.blocks), heads, e.dim, e.stride)
	if e.head.Note != "" {
		a.Notes = append(a.Notes, e.head.Note)
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

// lastTokens is the token sequence after the last block, normalised when a
// norm over the tokens follows.
func (e *encoder) lastTokens() string {
	v := e.blocks[len(e.blocks)-1].end.Outputs[0]
	for n := e.flow.Only(v); n != nil && n.Op == "LayerNormalization"; n = e.flow.Only(v) {
		v = n.Outputs[0]
	}
	return v
}

// style tells people where the names come from.
func (e *encoder) style() string {
	for _, l := range e.layers {
		switch {
		case strings.Contains(l.Path, "encoder_layer_"):
			return "torchvision style"
		case strings.Contains(l.Path, ".attention.attention."):
			return "Hugging Face style"
		case strings.Contains(l.Path, "blocks.0.attn."):
			return "timm style"
		}
	}
	return "own style"
}

// findPatchEmbedding locates the convolution (or linear layer) that makes the
// tokens and checks that the sequence is its grid and a short prefix.
func (e *encoder) findPatchEmbedding() bool {
	before := e.flow.Ancestors(e.blocks[0].attention)
	for _, l := range e.layers {
		if before[l.Node] && l.Conv && l.Groups == 1 {
			e.patch = l
		}
	}
	size := e.imageSize()
	if e.patch != nil {
		d := e.flow.Dims(e.patch.Y)
		if len(d) != 4 {
			return false
		}
		e.grid = [2]int{d[2], d[3]}
	} else {
		// Patches cut by reshapes and a linear layer before the first block.
		first := e.flow.Ancestors(e.blocks[0].mid)
		for _, l := range e.layers {
			if first[l.Node] && !e.inAttention(l) {
				e.patch = l
				break
			}
		}
		side := int(math.Sqrt(float64(e.tokens)))
		e.grid = [2]int{side, side}
	}
	e.prefix = e.tokens - e.grid[0]*e.grid[1]
	if e.prefix < 0 || e.prefix > maxPrefix {
		return false
	}
	if size[0] > 0 && e.grid[0] > 0 {
		e.stride = (size[0] + e.grid[0]/2) / e.grid[0]
	}
	return true
}

// imageSize is the height and width of the image input, zero if unknown.
func (e *encoder) imageSize() [2]int {
	for _, in := range e.flow.Graph.Inputs {
		d := e.flow.Dims(in.Name)
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
