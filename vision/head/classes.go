package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// Classes are new class layers for a detection head that is kept: a 1×1
// convolution on each level. Where the layers that they replace make boxes too,
// so do they, in B channels behind the classes.
//
//	maps (N, H, W, C)   W (K+B, C, 1, 1)   b (K+B)   y (N, H, W, K+B)
//
// The biases start at a probability of 1 %, as those of [Detect]; the rows of
// boxes wait for the caller to fill them.
type Classes struct {
	levels []predictor
	parameters
}

// NewClasses lists the layers' parameters; Init gives them values. channels are
// those of the maps, finest first.
func NewClasses(classes int, channels []int) *Classes { return NewPredictions(classes, 0, channels) }

// NewPredictions is [NewClasses] for layers that make boxes too.
func NewPredictions(classes, box int, channels []int) *Classes {
	c := &Classes{}
	for i, in := range channels {
		l := predictor{fmt.Sprintf("head.classes.%d", i), in, classes + box}
		l.declare(&c.parameters, priorBias)
		c.levels = append(c.levels, l)
	}
	return c
}

// Forward adds the layer of a level to a graph.
func (c *Classes) Forward(g *ops.Graph, leaf Leaf, level int, x *ops.Node) *ops.Node {
	return node(c.Build(OnGraph(g, leaf), level, x))
}

// Build makes the layer of a level.
func (c *Classes) Build(g Builder, level int, x Value) Value { return c.levels[level].apply(g, x) }
