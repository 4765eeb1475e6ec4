package head_test

import (
	"testing"

	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/head"
)

func TestCoefficientsGradients(t *testing.T) {
	m := head.NewCoefficients(head.CoefficientsConfig{Channels: []int{2, 3}, Count: 3, Width: 2})
	gradients(t, "coefficients", m, [][]int{{1, 2, 3, 2}, {1, 1, 2, 3}}, func(g *ops.Graph, leaf head.Leaf, maps []*ops.Node) *ops.Node {
		out := make([]*ops.Node, len(maps))
		for i, x := range maps {
			out[i] = m.Forward(g, leaf, i, x)
		}
		return joined(g, out)
	})
}
