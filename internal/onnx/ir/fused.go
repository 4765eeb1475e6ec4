package ir

// Fused operations, all in the domain "vislora". They stand in planned graphs
// only; every one equals the ONNX nodes it replaced.
const (
	// Linear is y = x·W + b over the last axis. Inputs x (…, K), W, b or "".
	// Attribute transW: 0 when W is (K, N), 1 when it is (N, K).
	Linear = "Linear"
	// Attention is multi-head attention on strided views of its inputs.
	// Inputs q, k, v: the tensors that the views lie in (the same name three
	// times for a packed qkv), and optionally an additive mask. For each of
	// q, k, v the attributes <q|k|v>_view = [offset, batch, head, token,
	// channel] give the strides in elements inside that (dense, row-major)
	// input; the channel stride is always 1. Attributes heads, tq, tk, d, dv,
	// scale (float). The output is (N, Heads, Tq, Dv), the shape that the
	// replaced MatMul had; the builder stores it as (N, Tq, Heads, Dv), so the
	// transpose that follows is free.
	Attention = "Attention"
	// Conv carries the standard attributes of Conv (pads, strides, dilations,
	// group, kernel_shape; auto_pad resolved into pads). Inputs x, W, b or "",
	// scale or "", shift or "": y = conv(x, W, b)·scale + shift per output
	// channel, scale and shift being a folded BatchNormalization. W and b stay
	// the file's own: an adapter means the unfolded layer.
	Conv = "Conv"
	// Unary names: Gelu (attribute approximate none|tanh), Silu, HardSwish and
	// the rest keep their ONNX names in the domain "vislora" when fused from
	// several nodes. LayerNormalization keeps its own with attributes axis and
	// epsilon, inputs x, scale, bias or "".
)

// DomainVislora marks fused operations.
const DomainVislora = "vislora"
