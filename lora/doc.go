// Package lora holds what low-rank adaptation is as data: the configuration in
// PEFT's words, the choice of layers, shapes, initial values, the files of an
// adapter, and the arithmetic that merges it. Running an adapter in a graph is
// the business of package vision/build.
//
// For a linear layer with weight W (out, in):
//
//	y = x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ        A (r, in), B (out, r), s = alpha/r
//
// For a convolution with weight W (out, in/g, kH, kW) in g groups, A is a
// convolution of the same geometry (r, in/g, kH, kW) and B a 1×1 convolution
// (out, r/g, 1, 1) in g groups:
//
//	ΔW[o,i,u,v] = s · Σ_k B[o,k] · A[group(o)·r/g + k, i, u, v]
//
// so the sum of the two paths is one convolution with weight W + ΔW, whatever
// the stride, padding, dilation and groups.
//
// Names, defaults and files are those of PEFT 0.20 except where
// docs/format/adapter.md says otherwise.
//
// Sources: LoRA, https://arxiv.org/abs/2106.09685; rsLoRA,
// https://arxiv.org/abs/2312.03732; DoRA, https://arxiv.org/abs/2402.09353.
package lora
