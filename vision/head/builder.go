package head

import (
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// Value is a value of a [Builder]: of one of its own types.
type Value any

// Builder makes the nodes of heads and necks. Every module is written once, as
// its Build, and made by two builders: [OnGraph] for training and inference here,
// and the writer of ONNX files in vision/engine.
//
// Maps are (N, H, W, C) to a module, in whatever order a builder keeps them.
// Parameters are named as [Param] has them. A method that cannot do what is asked
// stops building with [ops.Fail].
type Builder interface {
	// Shape is (N, H, W, C), or (N, A, C) of what Cells makes; N is −1 where it is
	// open.
	Shape(x Value) []int
	// Conv is a convolution; bias is "" where there is none.
	Conv(x Value, weight, bias string, a ops.ConvAttr) Value
	// ConvTranspose makes height × width cells, as [ops.Graph.ConvTranspose].
	ConvTranspose(x Value, weight, bias string, a ops.ConvAttr, height, width int) Value
	// LayerNorm normalises the channels of every cell.
	LayerNorm(x Value, weight, bias string, epsilon float64) Value
	// SiLU is x·sigmoid(x), ReLU max(x, 0).
	SiLU(x Value) Value
	ReLU(x Value) Value
	Tanh(x Value) Value
	// Scores marks the logits of probabilities. Losses and [Decode] take them as
	// they are; an exported file may put their sigmoid out.
	Scores(x Value) Value
	Add(x, y Value) Value
	// Concat joins channels.
	Concat(xs ...Value) Value
	// Nearest enlarges a map by repeating cells: cell i of n reads ⌊i·old/n⌋.
	Nearest(x Value, height, width int) Value
	// Bilinear resizes a map as [ops.Graph.Bilinear].
	Bilinear(x Value, height, width int) Value
	// Halve is 2×2 max pooling of stride 2; a last odd row or column makes cells
	// of its own.
	Halve(x Value) Value
	// Cells lists a map's cells row by row, each as per rows of an equal share of
	// the channels: (N, H, W, C) → (N, H·W·per, C/per). Join puts such lists one
	// behind the other.
	Cells(x Value, per int) Value
	Join(xs ...Value) Value
}

// graphBuilder makes operators of a graph; its values are nodes.
type graphBuilder struct {
	g    *ops.Graph
	leaf Leaf
}

// OnGraph builds on a graph of vislora's operators. Its values are *[ops.Node].
func OnGraph(g *ops.Graph, leaf Leaf) Builder { return graphBuilder{g, leaf} }

func (b graphBuilder) param(name string) *ops.Node {
	if name == "" {
		return nil
	}
	return b.leaf(name)
}

func node(x Value) *ops.Node { return x.(*ops.Node) }

func (b graphBuilder) Shape(x Value) []int { return ops.Shape(node(x)) }

func (b graphBuilder) Conv(x Value, weight, bias string, a ops.ConvAttr) Value {
	return b.g.Conv(node(x), b.param(weight), b.param(bias), a)
}

func (b graphBuilder) ConvTranspose(x Value, weight, bias string, a ops.ConvAttr, height, width int) Value {
	return b.g.ConvTranspose(node(x), b.param(weight), b.param(bias), a, height, width)
}

func (b graphBuilder) LayerNorm(x Value, weight, bias string, epsilon float64) Value {
	return b.g.LayerNorm(node(x), b.param(weight), b.param(bias), epsilon)
}

func (b graphBuilder) SiLU(x Value) Value { return b.g.Unary(kernels.Silu, 0, 0, node(x)) }
func (b graphBuilder) ReLU(x Value) Value { return b.g.Unary(kernels.Relu, 0, 0, node(x)) }
func (b graphBuilder) Tanh(x Value) Value { return b.g.Unary(kernels.Tanh, 0, 0, node(x)) }

func (b graphBuilder) Scores(x Value) Value { return x }

func (b graphBuilder) Add(x, y Value) Value { return b.g.Add(node(x), node(y)) }

func (b graphBuilder) Concat(xs ...Value) Value { return b.g.Concat(3, nodes(xs)...) }

func (b graphBuilder) Nearest(x Value, height, width int) Value {
	y := node(x)
	for _, to := range [][2]int{{2, width}, {1, height}} {
		axis, n := to[0], to[1]
		old := ops.Shape(y)[axis]
		taps := make([][]ops.Tap, n)
		for i := range taps {
			taps[i] = []ops.Tap{{At: i * old / n, Weight: 1}}
		}
		y = b.g.AxisMap("upsample", y, axis, taps)
	}
	return y
}

func (b graphBuilder) Bilinear(x Value, height, width int) Value {
	return b.g.Bilinear(node(x), height, width)
}

func (b graphBuilder) Halve(x Value) Value {
	return b.g.Pool(node(x), ops.PoolAttr{Max: true, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}, Dilation: [2]int{1, 1}, CeilMode: true})
}

func (b graphBuilder) Cells(x Value, per int) Value {
	s := b.Shape(x)
	return b.g.Reshape(node(x), s[0], s[1]*s[2]*per, s[3]/per)
}

func (b graphBuilder) Join(xs ...Value) Value { return b.g.Concat(1, nodes(xs)...) }

// Values are nodes as a [Builder] takes them.
func Values(list []*ops.Node) []Value {
	out := make([]Value, len(list))
	for i, n := range list {
		out[i] = n
	}
	return out
}

// nodes are the values of [OnGraph] as what they are.
func nodes(list []Value) []*ops.Node {
	out := make([]*ops.Node, len(list))
	for i, v := range list {
		out[i] = node(v)
	}
	return out
}
