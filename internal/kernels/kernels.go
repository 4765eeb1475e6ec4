// Package kernels is the arithmetic under the operators: one interface, a
// portable implementation ([Go]) that is generic over float32 and float64, and
// a native one (package onednn, build tag onednn). One suite, testkernel, runs
// over both.
//
// A method binds: it checks shapes and storages, prepares whatever the shape
// needs (a JIT-compiled primitive, a packed weight) and returns a [Run] that
// works on exactly these buffers. A Run allocates nothing. It must be called on
// the thread that bound it, and not concurrently with itself.
//
// Unless a field says otherwise buffers may have a pitch. Layout is channels
// last: (N, H, W, C). Weights of convolutions are OIHW as in ONNX; a frozen
// buffer's packed form may be cached by the kernel set and shared between
// executors.
package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

// Run executes one bound kernel.
type Run func()

// Buf is short for the buffers that kernels work on.
type Buf = *buffer.Buffer

// Kernels is one implementation of the arithmetic.
type Kernels interface {
	// Name tells people which implementation runs: "go", "onednn".
	Name() string
	MatMul(MatMul) (Run, error)
	Conv(Conv) (Run, error)
	ConvBackwardData(Conv) (Run, error)
	ConvBackwardWeights(Conv) (Run, error)
	Attention(Attention) (Run, error)
	AttentionBackward(Attention) (Run, error)
	LayerNorm(LayerNorm) (Run, error)
	LayerNormBackward(LayerNorm) (Run, error)
	Softmax(Softmax) (Run, error)
	SoftmaxBackward(Softmax) (Run, error)
	Unary(Unary) (Run, error)
	UnaryBackward(Unary) (Run, error)
	Binary(Binary) (Run, error)
	ChannelAffine(ChannelAffine) (Run, error)
	ColumnSum(ColumnSum) (Run, error)
	Copy(Copy) (Run, error)
	Pool(Pool) (Run, error)
	PoolBackward(Pool) (Run, error)
	Reduce(Reduce) (Run, error)
}

// MatMul is a general matrix product over row-major matrices with pitches.
//
//	Y = op(A)·op(B) + bias        (Accumulate: Y += …)
//
//	op(A) (M, K), op(B) (K, N), bias (N) or nil, Y (M, N)
//
// A, B and Y are taken as two-dimensional: all axes but the last are rows (so a
// (N, T, C) activation is a matrix of N·T rows). With Batch > 1, Batch products
// are made, and the three operands advance by StrideA, StrideB, StrideY
// elements; M, K, N then count one product, and the buffers' own shapes are
// used only for pitch and bounds.
type MatMul struct {
	A, B, Bias, Y  Buf
	TransA, TransB bool
	M, N, K        int
	Accumulate     bool
	Batch          int // 0 and 1 mean one product
	StrideA        int
	StrideB        int
	StrideY        int
	Thin           *Thin   // of one product
	Finish         *Finish // of one product
}

// Conv is a two-dimensional cross-correlation over channels-last maps.
//
//	forward           Y = W ∗ X + bias              X (N, H, W, Cin), Y (N, OH, OW, Cout)
//	backward data     X = Wᵀ ∗ Y                    (X is written: the gradient of the input)
//	backward weights  W = Σ X ⋆ Y, Bias = Σ Y       (W, and Bias when not nil, are written)
//
// W is (Cout, Cin/Groups, KH, KW). OH = ⌊(H + Pads[0] + Pads[2] − Dilation[0]·(KH−1) − 1)/Stride[0]⌋ + 1.
// Accumulate adds to what is written instead of replacing it (also for Bias).
type Conv struct {
	X, W, Bias, Y Buf
	Stride        [2]int // h, w
	Pads          [4]int // top, left, bottom, right, as in ONNX
	Dilation      [2]int // 1 means none
	Groups        int
	Accumulate    bool
	Thin          *Thin   // with Groups 1, in Conv and ConvBackwardData
	Finish        *Finish // in Conv and ConvBackwardData
}

// View places a (batch, token, head, channel) tensor inside a buffer:
// element (b, t, h, d) is at Offset + b·Batch + t·Token + h·Head + d elements
// from the buffer's first one.
type View struct {
	Buf                Buf
	Offset             int
	Batch, Token, Head int
}

// Attention is scaled dot-product attention over strided views, so that a
// packed qkv is consumed where it lies.
//
//	P = softmax(Scale · Q·Kᵀ + Mask)   O = P·V
//
// Q and O (N, Tq, Heads, D), K (N, Tk, Heads, D), V (N, Tk, Heads, Dv). P is
// never in memory: backward makes it again from Q, K, Mask and Stats, reads V and
// DO too, and writes those of DQ, DK, DV that are there; with a packed qkv these
// are disjoint views of one buffer. Stats is (N, Heads, Tq, 2), written by the
// forward pass (nil in inference): the maximum of a row of Scale · Q·Kᵀ + Mask,
// and the reciprocal of the sum of e^(score − maximum). Mask is nil or (Tq, Tk),
// (Heads, Tq, Tk) or (N, Heads, Tq, Tk), added before the softmax. A row that it
// masks everywhere by −∞ attends to nothing: its output and statistics are zero.
// Source: Dao et al. 2022, arXiv:2205.14135.
type Attention struct {
	N, Heads, Tq, Tk, D, Dv int
	Scale                   float64
	Q, K, V, O              View
	Stats                   Buf
	Mask                    Buf
	DO, DQ, DK, DV          View
	// Scratch holds at least as many elements as AttentionScratch says.
	Scratch Buf
}

// LayerNorm normalises rows.
//
//	y = (x − μ)/√(σ² + ε) · γ + β     rows of C
//
// Forward writes Y and, unless nil, Mean and RStd (rows each). Backward reads
// DY, X, Mean, RStd, Gamma and writes those of DX (rows, C), DGamma (C), DBeta
// (C) that are not nil. Beta may be nil. AccumulateDX adds to DX. Hat is
// (x − μ)/√(σ² + ε) in bf16, for kernels that have it: forward writes it unless it
// is nil, backward reads it in the place of X and Mean. Backward with X nil reads
// (Y − β)/γ: see [LayerNorm.Inverts].
// Source: Ba et al. 2016, arXiv:1607.06450.
type LayerNorm struct {
	X, Gamma, Beta, Y Buf
	Mean, RStd, Hat   Buf
	Epsilon           float64
	DY, DX            Buf
	DGamma, DBeta     Buf
	AccumulateDX      bool
}

// Softmax works on rows: Y = softmax(X), or log-softmax when Log is set.
// Backward: DX = Y ∘ (DY − Σ DY∘Y), or DX = DY − softmax·Σ DY when Log.
type Softmax struct {
	X, Y, DY, DX Buf
	Log          bool
	Accumulate   bool // of DX
}

// Func names a scalar function.
type Func uint8

// The scalar functions. A and B are the parameters of [Unary].
const (
	Relu            Func = iota
	LeakyRelu            // x<0: A·x
	Elu                  // x<0: A·(eˣ−1)
	Selu                 // B·x, x<0: B·A·(eˣ−1)
	Celu                 // max(0,x) + min(0, A·(e^(x/A)−1))
	Gelu                 // x·Φ(x), by erf (Hendrycks & Gimpel, arXiv:1606.08415)
	GeluTanh             // its tanh approximation
	Silu                 // x·σ(x)
	HardSwish            // x·clip(x/6+1/2, 0, 1)  (arXiv:1905.02244)
	HardSigmoid          // clip(A·x+B, 0, 1)
	Sigmoid              //
	Tanh                 //
	Softplus             // ln(1+eˣ)
	Softsign             // x/(1+|x|)
	Mish                 // x·tanh(softplus(x))
	Erf                  //
	Exp                  //
	Log                  //
	Sqrt                 //
	Reciprocal           //
	Neg                  //
	Abs                  //
	Clip                 // min(max(x, A), B)
	PowConst             // x^A
	Affine               // A·x + B
	Sin                  //
	Cos                  //
	Floor                // gradient 0, as are those of the next three
	Ceil                 //
	Round                // halves to even
	Sign                 //
	ThresholdedRelu      // x>A: x, else 0
)

// Slope reports whether f′ is flat on the left, 1 on the right, and from −0.13 to
// 1.145 between, so that a byte b holds it as (b − 26)/200: 0 and 1 exactly, others
// to 1/400, where bf16 has 1/512 near 1.
func (f Func) Slope() bool { return f == Gelu || f == GeluTanh || f == Silu }

// Unary applies Func elementwise. X and Y have the same shape. Forward may run
// in place (Y is X) only where the operator says so. Backward reads X (the
// forward input) and DY and writes DX = DY ∘ f′(X). When Deriv is not nil the
// forward writes f′(X) into it, and the backward then reads Deriv and not X. Where
// a kernel set has bf16, Deriv may be bytes (U8) for functions with a [Func.Slope].
type Unary struct {
	Func         Func
	A, B         float64
	X, Y, DY, DX Buf
	Deriv        Buf
	Accumulate   bool // of DX
}

// BinaryFunc names a function of two scalars.
type BinaryFunc uint8

// The functions of two scalars.
const (
	Add BinaryFunc = iota
	Sub
	Mul
	Div
	Max
	Min
	Pow
)

// Binary is Y = f(X, Z) with NumPy broadcasting of X and Z to Y's shape
// (aligned at the last axis). Accumulate adds to Y.
type Binary struct {
	Func       BinaryFunc
	X, Z, Y    Buf
	Accumulate bool
}

// ChannelAffine scales and shifts the last axis: Y = X·Scale + Shift, with
// Scale and Shift (C) or nil.
type ChannelAffine struct {
	X, Scale, Shift, Y Buf
	Accumulate         bool
}

// ColumnSum reduces rows into (C): Y = Σ_rows X, or Σ_rows X∘Z when Z is not
// nil; the gradients of a bias and of a channel scale.
type ColumnSum struct {
	X, Z, Y    Buf
	Accumulate bool
}

// Copy moves an N-dimensional box: for every index i in Dims,
//
//	Dst[DstOffset + Σ iₖ·DstStrides[k]] (+)= Src[SrcOffset + Σ iₖ·SrcStrides[k]]
//
// in elements from each buffer's first one. A source stride of 0 broadcasts; a
// destination stride of 0 with Accumulate sums. Transpose, slice, concatenate,
// split, expand, pad and all their gradients are this. With Zero set the whole
// destination buffer is cleared first.
type Copy struct {
	Src, Dst               Buf
	Dims                   []int
	SrcStrides, DstStrides []int
	SrcOffset, DstOffset   int
	Accumulate, Zero       bool
}

// Pool is max or average pooling over channels-last maps.
//
// Forward reads X (N, H, W, C) and writes Y (N, OH, OW, C) and, for max pooling
// unless nil, Index: for every output the tap kh·KW+kw of its window that it took,
// KH·KW where no tap lies inside the picture ([Pool.IndexStorage], dense). Backward reads DY (and Index) and writes DX. Average pooling divides
// by the window's size, or by the pixels inside the picture unless
// CountIncludePad. OH and OW come from Y's shape (ceil mode is the caller's
// affair; windows are cut at the padded border, as ONNX Runtime does).
type Pool struct {
	Max             bool
	X, Y, Index     Buf
	DY, DX          Buf
	Kernel          [2]int
	Stride          [2]int
	Pads            [4]int // top, left, bottom, right
	Dilation        [2]int
	CountIncludePad bool
	Accumulate      bool // of DX
}

// IndexStorage is what Index is kept in: bytes where they hold every tap.
func (p Pool) IndexStorage() buffer.Storage {
	if p.Kernel[0]*p.Kernel[1] <= math.MaxUint8 {
		return buffer.U8
	}
	return buffer.I64
}

// Reduction names a reduction.
type Reduction uint8

// The reductions.
const (
	ReduceSum Reduction = iota
	ReduceMean
	ReduceMax
	ReduceMin
)

// Reduce reduces the axes of X on which Y has length 1. Y has as many axes as X
// (keepdims); dense.
type Reduce struct {
	Func Reduction
	X, Y Buf
}
