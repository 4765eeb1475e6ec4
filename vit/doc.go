// Package vit recognises vision transformers in a fused graph: patch
// embedding, encoder blocks of attention and MLP on one residual stream of
// tokens, and a head on the class token or the mean.
//
// It is the structure that is recognised, not the exporter: timm, torchvision,
// Hugging Face ViT and DeiT, and plain PyTorch code look the same here. Graphs
// whose attention does not run over one fixed sequence of all patches (Swin,
// MaxViT, DETR) are not this package's: [Annotate] says no.
//
// # Names
//
// A layer keeps the module path that the file carries (rules: package
// internal/onnx/fuse/layers). Where the file carries none, as in exports
// without node names, it gets timm's:
//
//	patch_embed.proj
//	blocks.<i>.attn.qkv          one projection for queries, keys and values
//	blocks.<i>.attn.q, .k, .v    separate projections
//	blocks.<i>.attn.proj
//	blocks.<i>.mlp.fc1, .fc2
//	head
//
// Roles are the same words without the block. Linear layers outside any block
// (a pooler, a bottleneck before the classifier) have the role "" and, unnamed,
// the path linear<n>.
package vit
