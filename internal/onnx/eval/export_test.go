package eval

import "github.com/vislora/vislora/internal/onnx/ir"

// EvalBounded is Eval with bounds on one output's elements and on the work.
func EvalBounded(n *ir.Node, opset int, in []*ir.Tensor, elements, work int) ([]*ir.Tensor, error) {
	return evalWithin(n, opset, in, limits{elements, work})
}

// ResamplePositions interpolates a position embedding.
var ResamplePositions = resamplePositions
