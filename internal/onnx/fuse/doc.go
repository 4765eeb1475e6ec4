// Package fuse rewrites a planned graph so that what a framework calls one
// layer is one node again. Exporters write LayerNorm as nine nodes, GELU as
// five, attention as twenty; training wants one operator with one gradient.
//
// The graph must come from package eval: every value with a static type where
// one exists, constants in Graph.Tensors, Identity, Dropout and Cast gone.
//
// The passes, in order:
//
//   - Dropout that drops nothing goes;
//   - activations: Gelu, Silu, HardSwish, HardSigmoid and Mish, recognised by
//     what the scalar expression computes, not by how it is spelt;
//   - LayerNormalization from its pieces; the operator of opset 17 normalised;
//   - Linear from MatMul or Gemm with a constant weight, and the bias;
//   - Attention from softmax(q·kᵀ)·v where q, k and v are strided views;
//   - Conv with resolved padding, a separate bias, and a folded
//     BatchNormalization or per-channel affine as scale and shift.
//
// Identity of nodes. A fused node takes the output name of the last node that
// it replaces, so consumers and graph outputs are untouched. Linear and Conv,
// the places for adapters, also keep who they were: Name is the name of the
// original MatMul, Gemm or Conv, and the attribute "site" its output.
//
// A pass that does not recognise something leaves it; every graph stays valid.
package fuse
