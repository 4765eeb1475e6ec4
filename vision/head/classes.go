package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// Classes are new class layers for a detection head that is kept: a 1×1
// convolution on each level.
//
//	maps (N, H, W, C)   W (K, C, 1, 1)   b (K)   y (N, H, W, K)
//
// The biases start at a probability of 1 %, as those of [Detect].
type Classes struct {
	levels []predictor
	parameters
}

// NewClasses lists the layers' parameters; Init gives them values. channels are
// those of the maps, finest first.
func NewClasses(classes int, channels []int) *Classes {
	c := &Classes{}
	for i, in := range channels {
		l := predictor{fmt.Sprintf("head.classes.%d", i), in, classes}
		l.declare(&c.parameters, priorBias)
		c.levels = append(c.levels, l)
	}
	return c
}

// Forward adds the layer of a level to a graph.
func (c *Classes) Forward(g *ops.Graph, leaf Leaf, level int, x *ops.Node) *ops.Node {
	return c.levels[level].apply(g, leaf, x)
}
