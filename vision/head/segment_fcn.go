package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// SegmentFCNConfig holds the options of [NewSegmentFCN]; Classes and Channels
// have no default.
type SegmentFCNConfig struct {
	Classes int
	// Channels of the map.
	Channels int
	// Width is the number of channels inside. Default 128.
	Width int
	// Convs is the number of 3×3 convolutions. Default 2.
	Convs int
	// Depthwise replaces each by a depthwise and a 1×1 convolution.
	Depthwise bool
}

// SegmentFCN is the simplest head that sees around a pixel, after Long et al.
// 2015, arXiv:1411.4038: 3×3 convolutions on one map, then a 1×1 one to classes.
// It has no pyramid of dilated convolutions (ASPP): where context matters, a
// [Neck] or the backbone has brought it into the map. It is for one fine map: the
// finest of a neck, or the last of a backbone that keeps its resolution.
//
//	Convs × (3×3 → Width, LayerNorm, SiLU) ── 1×1 → K
type SegmentFCN struct {
	parameters
	config SegmentFCNConfig
	convs  chain
	class  predictor
}

// NewSegmentFCN lists the head's parameters; Init gives them values.
func NewSegmentFCN(c SegmentFCNConfig) *SegmentFCN {
	if c.Width == 0 {
		c.Width = 128
	}
	if c.Convs == 0 {
		c.Convs = 2
	}
	s := &SegmentFCN{config: c, class: predictor{"head.pred", c.Width, c.Classes}}
	in := c.Channels
	for i := range c.Convs {
		s.convs = append(s.convs, conv3x3(fmt.Sprintf("head.convs.%d", i), in, c.Width, c.Depthwise)...)
		in = c.Width
	}
	s.convs.declare(&s.parameters)
	s.class.declare(&s.parameters, 0)
	return s
}

// Forward adds the head to a graph. maps holds one map; further, coarser ones are
// not read.
//
//	maps (N, H, W, C)   y (N, H, W, K)
func (s *SegmentFCN) Forward(g *ops.Graph, leaf Leaf, maps []*ops.Node) *ops.Node {
	return node(s.Build(OnGraph(g, leaf), Values(maps)))
}

// Build makes the head.
func (s *SegmentFCN) Build(g Builder, maps []Value) Value {
	return s.class.apply(g, s.convs.apply(g, finest(g, "segmentation head", maps, s.config.Channels)))
}

// finest is the first map, checked.
func finest(g Builder, what string, maps []Value, channels int) Value {
	if len(maps) == 0 {
		ops.Fail("head: %s: no map", what)
	}
	checkMaps(g, what, maps[:1], []int{channels})
	return maps[0]
}
