package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// SegmentConfig holds the options of [NewSegment]; Classes and Channels have no
// default.
type SegmentConfig struct {
	Classes int
	// Channels of the maps, finest first; each has half the height and width of
	// the one before.
	Channels []int
	// Width is the number of channels inside. Default 128, the paper's.
	Width int
	// Depthwise replaces each 3×3 convolution by a depthwise and a 1×1 one.
	Depthwise bool
}

// Segment is the semantic head of Panoptic FPN (Kirillov et al. 2019,
// arXiv:1901.02446, §3.2) over the maps of a neck, or of a backbone. Each map is
// enlarged to the finest one's size in steps of two, a convolution before each;
// the sum is classified:
//
//	i = 0: 3×3 → Width                      ┐
//	i > 0: i × (3×3 → Width, enlarge by 2)  ┴ Σ ── 1×1 → K
//
// Every 3×3 convolution is followed by a LayerNorm over channels (where the
// paper has a GroupNorm, for the same reason: it knows no batch) and SiLU.
// Enlarging is bilinear and takes the next finer map's size, however the
// backbone rounded. Logits start near 0, all classes alike.
//
// The logits have the finest map's size, stride 4 in the paper; loss.Segment and
// [View.Labels] enlarge them to the pixels.
type Segment struct {
	parameters
	config SegmentConfig
	levels [][]chain
	class  predictor
}

// NewSegment lists the head's parameters; Init gives them values.
func NewSegment(c SegmentConfig) *Segment {
	if c.Width == 0 {
		c.Width = 128
	}
	s := &Segment{config: c, class: predictor{"head.pred", c.Width, c.Classes}}
	for i, in := range c.Channels {
		var steps []chain
		for j := range max(1, i) {
			step := conv3x3(fmt.Sprintf("head.scales.%d.%d", i, j), in, c.Width, c.Depthwise)
			step.declare(&s.parameters)
			steps, in = append(steps, step), c.Width
		}
		s.levels = append(s.levels, steps)
	}
	s.class.declare(&s.parameters, 0)
	return s
}

// Forward adds the head to a graph.
//
//	maps (N, Hᵢ, Wᵢ, Cᵢ)   y (N, H₀, W₀, K)
func (s *Segment) Forward(g *ops.Graph, leaf Leaf, maps []*ops.Node) *ops.Node {
	return node(s.Build(OnGraph(g, leaf), Values(maps)))
}

// Build makes the head.
func (s *Segment) Build(g Builder, maps []Value) Value {
	checkMaps(g, "segmentation head", maps, s.config.Channels)
	var sum Value
	for i, x := range maps {
		for j, step := range s.levels[i] {
			x = step.apply(g, x)
			if i > 0 {
				finer := g.Shape(maps[i-1-j])
				x = g.Bilinear(x, finer[1], finer[2])
			}
		}
		if sum == nil {
			sum = x
			continue
		}
		sum = g.Add(sum, x)
	}
	return s.class.apply(g, sum)
}
