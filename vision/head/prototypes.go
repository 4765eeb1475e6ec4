package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// PrototypesConfig holds the options of [NewPrototypes]; Channels has no default.
type PrototypesConfig struct {
	// Channels of the finest map.
	Channels int
	// Count is the number of prototypes. Default 32, the paper's. It is
	// DetectConfig.MaskCoefficients.
	Count int
	// Width is the number of channels inside. Default 128.
	Width int
	// Convs is the number of 3×3 convolutions before the map is enlarged.
	// Default 3, the paper's.
	Convs int
	// Depthwise replaces each 3×3 convolution by a depthwise and a 1×1 one.
	Depthwise bool
}

// Prototypes is YOLACT's protonet (Bolya et al. 2019, arXiv:1904.02689, §3.1): it
// makes the maps of which masks are sums, at twice the finest map's resolution:
//
//	Convs × (3×3 → Width) ── enlarge by 2 ── 3×3 ── 1×1 → Count, ReLU
//
// every 3×3 convolution followed by a LayerNorm over channels and SiLU. The
// prototypes have no upper bound, so that the net can be very sure of one, the
// background's for example. They start at the size of their inputs, and the
// coefficients near 0 ([Detect]): a product that starts with both factors near 0
// would hardly learn.
type Prototypes struct {
	parameters
	config     PrototypesConfig
	convs, out chain
	last       predictor
}

// NewPrototypes lists the parameters; Init gives them values.
func NewPrototypes(c PrototypesConfig) *Prototypes {
	if c.Count == 0 {
		c.Count = 32
	}
	if c.Width == 0 {
		c.Width = 128
	}
	if c.Convs == 0 {
		c.Convs = 3
	}
	p := &Prototypes{config: c, last: predictor{"head.protos", c.Width, c.Count}}
	in := c.Channels
	for i := range c.Convs {
		p.convs = append(p.convs, conv3x3(fmt.Sprintf("head.proto_convs.%d", i), in, c.Width, c.Depthwise)...)
		in = c.Width
	}
	p.out = conv3x3("head.proto_out", c.Width, c.Width, c.Depthwise)
	p.convs.declare(&p.parameters)
	p.out.declare(&p.parameters)
	p.add(p.last.name+".weight", kaiming(c.Width), c.Count, c.Width, 1, 1)
	p.add(p.last.name+".bias", start{}, c.Count)
	return p
}

// Stride is that of the prototypes, for a finest map of the given one. It is
// loss.MaskConfig's.
func (p *Prototypes) Stride(finest int) int { return finest / 2 }

// Forward adds the branch to a graph. maps begins with the finest one; the others
// are not read.
//
//	maps (N, H, W, C)   y (N, 2H, 2W, Count)
func (p *Prototypes) Forward(g *ops.Graph, leaf Leaf, maps []*ops.Node) *ops.Node {
	return node(p.Build(OnGraph(g, leaf), Values(maps)))
}

// Build makes the branch.
func (p *Prototypes) Build(g Builder, maps []Value) Value {
	x := p.convs.apply(g, finest(g, "prototypes", maps, p.config.Channels))
	s := g.Shape(x)
	x = p.out.apply(g, g.Bilinear(x, 2*s[1], 2*s[2]))
	return g.ReLU(p.last.apply(g, x))
}
