package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// CoefficientsConfig holds the options of [NewCoefficients]; Channels has no
// default.
type CoefficientsConfig struct {
	// Channels of the maps, finest first.
	Channels []int
	// Count is the number of prototypes. Default 32.
	Count int
	// Width is the number of channels inside. Default 64.
	Width int
}

// Coefficients is the branch of [Detect] that makes coefficients of masks, for a
// detection head that is kept and knows none:
//
//	1×1 → Width ── 2 × (3×3 depthwise, 1×1) ── 1×1 → Count, tanh
//
// on each level, every convolution but the last followed by a LayerNorm over
// channels and SiLU.
//
// Source: YOLACT, Bolya et al. 2019, arXiv:1904.02689, §3.1.
type Coefficients struct {
	parameters
	levels []coefficientLevel
}

type coefficientLevel struct {
	stem  block
	convs chain
	last  predictor
}

// NewCoefficients lists the parameters; Init gives them values.
func NewCoefficients(c CoefficientsConfig) *Coefficients {
	if c.Count == 0 {
		c.Count = 32
	}
	if c.Width == 0 {
		c.Width = 64
	}
	m := &Coefficients{}
	for i, channels := range c.Channels {
		l := coefficientLevel{
			stem: block{name: fmt.Sprintf("head.mask_stems.%d", i), in: channels, out: c.Width, kernel: 1, stride: 1},
			last: predictor{fmt.Sprintf("head.mask_preds.%d", i), c.Width, c.Count},
		}
		for j := range 2 {
			l.convs = append(l.convs, conv3x3(fmt.Sprintf("head.mask_convs.%d.%d", i, j), c.Width, c.Width, true)...)
		}
		l.stem.declare(&m.parameters)
		l.convs.declare(&m.parameters)
		l.last.declare(&m.parameters, 0)
		m.levels = append(m.levels, l)
	}
	return m
}

// Forward adds the branch of a level to a graph.
//
//	x (N, H, W, C)   y (N, H, W, Count)
func (m *Coefficients) Forward(g *ops.Graph, leaf Leaf, level int, x *ops.Node) *ops.Node {
	return node(m.Build(OnGraph(g, leaf), level, x))
}

// Build makes the branch of a level.
func (m *Coefficients) Build(g Builder, level int, x Value) Value {
	l := m.levels[level]
	return g.Tanh(l.last.apply(g, l.convs.apply(g, l.stem.apply(g, x))))
}
