package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// PyramidConfig holds the options of [NewPyramid]; Channels has no default.
type PyramidConfig struct {
	// Channels of the tokens; even.
	Channels int
	// Width is the number of channels of every map that comes out. Default 256.
	Width int
}

// Pyramid is the simple feature pyramid of ViTDet (Li et al. 2022,
// arXiv:2203.16527, §3): all maps are made of the last one of a plain ViT. With
// patches of 16 pixels the strides are 8, 16 and 32:
//
//	8:  2×2 transposed convolution of stride 2 to Channels/2 ┐
//	16: the tokens                                            ├─ 1×1, 3×3
//	32: 2×2 max pooling of stride 2                           ┘
//
// A LayerNorm over channels follows the last two convolutions; there is no
// activation. A grid with an odd side is pooled as if it went on: every token
// lies in a cell of the coarse map.
type Pyramid struct {
	parameters
	config PyramidConfig
	out    [3]chain
}

// NewPyramid lists the pyramid's parameters; Init gives them values.
func NewPyramid(c PyramidConfig) *Pyramid {
	if c.Width == 0 {
		c.Width = 256
	}
	p := &Pyramid{config: c}
	p.add("neck.up.weight", kaiming(c.Channels), c.Channels, c.Channels/2, 2, 2)
	p.add("neck.up.bias", start{}, c.Channels/2)
	for i, in := range []int{c.Channels / 2, c.Channels, c.Channels} {
		p.out[i] = chain{
			{name: fmt.Sprintf("neck.lateral.%d", i), in: in, out: c.Width, kernel: 1, stride: 1, linear: true},
			{name: fmt.Sprintf("neck.out.%d", i), in: c.Width, out: c.Width, kernel: 3, stride: 1, linear: true},
		}
		p.out[i].declare(&p.parameters)
	}
	return p
}

// Strides are those of the maps for a ViT with patches of the given size.
func (p *Pyramid) Strides(patch int) []int { return []int{patch / 2, patch, 2 * patch} }

// Forward adds the pyramid to a graph. maps holds the token grid alone.
//
//	tokens (N, H, W, C)   y (N, 2H, 2W, Width), (N, H, W, Width), (N, ⌈H/2⌉, ⌈W/2⌉, Width)
func (p *Pyramid) Forward(g *ops.Graph, leaf Leaf, maps []*ops.Node) []*ops.Node {
	return nodes(p.Build(OnGraph(g, leaf), Values(maps)))
}

// Build makes the pyramid.
func (p *Pyramid) Build(g Builder, maps []Value) []Value {
	checkMaps(g, "pyramid", maps, []int{p.config.Channels})
	x := maps[0]
	s := g.Shape(x)
	up := g.ConvTranspose(x, "neck.up.weight", "neck.up.bias", convolution(2), 2*s[1], 2*s[2])
	out := []Value{up, x, g.Halve(x)}
	for i := range out {
		out[i] = p.out[i].apply(g, out[i])
	}
	return out
}
