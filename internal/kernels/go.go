package kernels

import (
	"github.com/vislora/vislora/internal/buffer"
)

// Go is the portable implementation: no cgo, float32 or float64. Where the
// processor is an amd64 with AVX2 or AVX-512, loops over float32 that bound a step
// are in assembly (files simd*, tile*), found out when the program starts; pure Go
// does the same everywhere else, in float64, and with the tag purego. Sums that
// decide accuracy (statistics, column sums, reductions) run in float64, and every
// order of summation is fixed, so the same input gives the same bytes. It holds no
// state; values may be shared and copied freely.
type Go struct{}

var _ Kernels = Go{}

// Name implements [Kernels].
func (Go) Name() string { return "go" }

// typed picks the instantiation of a generic binder by the call's storage.
func typed[P any](p P, s buffer.Storage, err error, f32, f64 func(P) Run) (Run, error) {
	if err != nil {
		return nil, err
	}
	if s == buffer.F64 {
		return f64(p), nil
	}
	return f32(p), nil
}

// MatMul implements [Kernels] by a packed, register-tiled product.
func (g Go) MatMul(p MatMul) (Run, error) {
	s, err := p.Check()
	if err == nil && p.Thin.Makes() {
		return SplitMatMul(g, p)
	}
	return typed(p, s, err, matMul[float32], matMul[float64])
}

// Conv implements [Kernels] by an implicit matrix product per group, or
// directly when the convolution is depthwise.
func (g Go) Conv(p Conv) (Run, error) {
	s, err := p.Check()
	if err == nil && p.Thin.Makes() {
		return SplitConv(g, p)
	}
	return typed(p, s, err, convForward[float32], convForward[float64])
}

// ConvBackwardData implements [Kernels].
func (g Go) ConvBackwardData(p Conv) (Run, error) {
	s, err := p.Check()
	if err == nil && p.Thin.Makes() {
		return SplitConvBackwardData(g, p)
	}
	return typed(p, s, err, convBackwardData[float32], convBackwardData[float64])
}

// ConvBackwardWeights implements [Kernels].
func (Go) ConvBackwardWeights(p Conv) (Run, error) {
	s, err := p.Check()
	return typed(p, s, err, convBackwardWeights[float32], convBackwardWeights[float64])
}

// Attention implements [Kernels].
func (Go) Attention(p Attention) (Run, error) {
	s, err := p.Check(false)
	return typed(p, s, err, attention[float32], attention[float64])
}

// AttentionBackward implements [Kernels].
func (Go) AttentionBackward(p Attention) (Run, error) {
	s, err := p.Check(true)
	return typed(p, s, err, attentionBackward[float32], attentionBackward[float64])
}

// LayerNorm implements [Kernels].
func (Go) LayerNorm(p LayerNorm) (Run, error) {
	s, err := p.Check(false)
	return typed(p, s, err, layerNorm[float32], layerNorm[float64])
}

// LayerNormBackward implements [Kernels].
func (Go) LayerNormBackward(p LayerNorm) (Run, error) {
	s, err := p.Check(true)
	return typed(p, s, err, layerNormBackward[float32], layerNormBackward[float64])
}

// Softmax implements [Kernels].
func (Go) Softmax(p Softmax) (Run, error) {
	s, err := p.Check(false)
	return typed(p, s, err, softmax[float32], softmax[float64])
}

// SoftmaxBackward implements [Kernels].
func (Go) SoftmaxBackward(p Softmax) (Run, error) {
	s, err := p.Check(true)
	return typed(p, s, err, softmaxBackward[float32], softmaxBackward[float64])
}

// Unary implements [Kernels].
func (Go) Unary(p Unary) (Run, error) {
	s, err := p.Check(false)
	return typed(p, s, err, unary[float32], unary[float64])
}

// UnaryBackward implements [Kernels].
func (Go) UnaryBackward(p Unary) (Run, error) {
	s, err := p.Check(true)
	return typed(p, s, err, unaryBackward[float32], unaryBackward[float64])
}

// Binary implements [Kernels].
func (Go) Binary(p Binary) (Run, error) {
	s, err := p.Check()
	return typed(p, s, err, binary[float32], binary[float64])
}

// ChannelAffine implements [Kernels].
func (Go) ChannelAffine(p ChannelAffine) (Run, error) {
	s, err := p.Check()
	return typed(p, s, err, channelAffine[float32], channelAffine[float64])
}

// ColumnSum implements [Kernels].
func (Go) ColumnSum(p ColumnSum) (Run, error) {
	s, err := p.Check()
	return typed(p, s, err, columnSum[float32], columnSum[float64])
}

// Copy implements [Kernels]. Without Accumulate it moves every storage.
func (Go) Copy(p Copy) (Run, error) {
	s, err := p.Check()
	if err != nil {
		return nil, err
	}
	switch s {
	case buffer.F64:
		return copyFloat[float64](p), nil
	case buffer.BF16:
		return copyPlain(p, (*buffer.Buffer).BF16), nil
	case buffer.U8:
		return copyPlain(p, (*buffer.Buffer).U8), nil
	case buffer.I64:
		return copyPlain(p, (*buffer.Buffer).I64), nil
	}
	return copyFloat[float32](p), nil
}

// Pool implements [Kernels].
func (Go) Pool(p Pool) (Run, error) {
	s, err := p.Check(false)
	return typed(p, s, err, pool[float32], pool[float64])
}

// PoolBackward implements [Kernels].
func (Go) PoolBackward(p Pool) (Run, error) {
	s, err := p.Check(true)
	return typed(p, s, err, poolBackward[float32], poolBackward[float64])
}

// Reduce implements [Kernels].
func (Go) Reduce(p Reduce) (Run, error) {
	s, err := p.Check()
	return typed(p, s, err, reduce[float32], reduce[float64])
}
