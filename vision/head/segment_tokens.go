package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// SegmentTokensConfig holds the options of [NewSegmentTokens]; Classes and
// Channels have no default.
type SegmentTokensConfig struct {
	Classes int
	// Channels of the tokens.
	Channels int
	// Width is the number of channels inside. Default 128.
	Width int
	// Steps is how often the grid is enlarged by two. Default 2: from patches of
	// 16 pixels to cells of 4.
	Steps int
	// Depthwise replaces each 3×3 convolution by a depthwise and a 1×1 one.
	Depthwise bool
	// Linear classifies the tokens as they are, without a step: the linear
	// decoder of Segmenter (Strudel et al. 2021, arXiv:2105.05633, §3.2).
	Linear bool
}

// SegmentTokens makes logits of the token grid of a plain ViT by enlarging it
// step by step, a convolution at each, after SETR-PUP (Zheng et al. 2021,
// arXiv:2012.15840, §3.3):
//
//	1×1 → Width ── Steps × (enlarge by 2, 3×3 → Width) ── 1×1 → K
//
// every convolution but the last followed by a LayerNorm over channels and SiLU.
//
// It is chosen over the linear decoder because a token has to say where in its
// 16×16 pixels a border runs: a linear map has one answer per token, and
// enlarging that 16 times bilinearly puts borders between the centres of
// patches. The convolutions see the neighbours at 8, then at 4 pixels. Here they
// follow the enlargement and in SETR precede it: one in front of a 1×1
// convolution could as well come behind it, where loss.Segment and [View.Labels]
// enlarge anyway, and adds nothing. SETR goes on to the pixels; two more steps
// would cost sixteen times these two, to move borders within cells of 4 pixels.
// The linear decoder remains for what is coarse anyway, and as a probe of the
// backbone.
type SegmentTokens struct {
	parameters
	config SegmentTokensConfig
	stem   chain // empty with Linear
	steps  []chain
	class  predictor
}

// NewSegmentTokens lists the head's parameters; Init gives them values.
func NewSegmentTokens(c SegmentTokensConfig) *SegmentTokens {
	if c.Width == 0 {
		c.Width = 128
	}
	if c.Steps == 0 {
		c.Steps = 2
	}
	s := &SegmentTokens{config: c, class: predictor{"head.pred", c.Channels, c.Classes}}
	if !c.Linear {
		s.stem = chain{{name: "head.stem", in: c.Channels, out: c.Width, kernel: 1, stride: 1}}
		for i := range c.Steps {
			s.steps = append(s.steps, conv3x3(fmt.Sprintf("head.steps.%d", i), c.Width, c.Width, c.Depthwise))
		}
		s.class.in = c.Width
	}
	s.stem.declare(&s.parameters)
	for _, step := range s.steps {
		step.declare(&s.parameters)
	}
	s.class.declare(&s.parameters, 0)
	return s
}

// Stride is that of the logits for a ViT with patches of the given size.
func (s *SegmentTokens) Stride(patch int) int { return max(1, patch>>len(s.steps)) }

// Forward adds the head to a graph. maps holds the token grid alone.
//
//	tokens (N, H, W, C)   y (N, H·2^Steps, W·2^Steps, K), with Linear (N, H, W, K)
func (s *SegmentTokens) Forward(g *ops.Graph, leaf Leaf, maps []*ops.Node) *ops.Node {
	return node(s.Build(OnGraph(g, leaf), Values(maps)))
}

// Build makes the head.
func (s *SegmentTokens) Build(g Builder, maps []Value) Value {
	checkMaps(g, "segmentation head", maps, []int{s.config.Channels})
	x := s.stem.apply(g, maps[0])
	for _, step := range s.steps {
		size := g.Shape(x)
		x = step.apply(g, g.Bilinear(x, 2*size[1], 2*size[2]))
	}
	return s.class.apply(g, x)
}
