// Package head holds the task heads that are put on a backbone's features.
package head

import (
	"math"
	"math/rand/v2"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// The names of a classifier's parameters.
const (
	Weight = "head.weight"
	Bias   = "head.bias"
)

// Classifier is a linear layer over pooled features.
//
//	logits = f·Wᵀ + b        f (N, In)   W (Classes, In)   b (Classes)
type Classifier struct {
	In, Classes int
}

// Init draws W and b as PyTorch's Linear does: uniform in ±1/√In. The stream
// depends on the seed alone.
func (c Classifier) Init(seed uint64) (weight, bias []float32) {
	rng := rand.New(rand.NewPCG(seed, 0x68656164)) // "head"
	limit := 1 / math.Sqrt(float64(c.In))
	draw := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32((2*rng.Float64() - 1) * limit)
		}
		return v
	}
	return draw(c.Classes * c.In), draw(c.Classes)
}

// Logits adds the layer to a graph.
func (c Classifier) Logits(g *ops.Graph, features, weight, bias *ops.Node) *ops.Node {
	return g.Linear(features, weight, bias, true)
}

// Pool is global average pooling of a channels-last map: (N, H, W, C) → (N, C).
func Pool(g *ops.Graph, m *ops.Node) *ops.Node {
	s := ops.Shape(m)
	return g.Reshape(g.Reduce(kernels.ReduceMean, m, 1, 2), s[0], s[3])
}

// MeanTokens is the mean over tokens: (N, T, C) → (N, C).
func MeanTokens(g *ops.Graph, tokens *ops.Node) *ops.Node {
	s := ops.Shape(tokens)
	return g.Reshape(g.Reduce(kernels.ReduceMean, tokens, 1), s[0], s[2])
}
