// Package cnn recognises convolutional networks in a fused graph: plain (VGG),
// residual (ResNet, RegNet, ConvNeXt), inverted residual (MobileNet,
// EfficientNet), fire (SqueezeNet), branching (Inception, DenseNet, ShuffleNet)
// and the backbones of detectors. [Generic] does what it can for any graph.
//
// # Blocks and maps
//
// The trunk is the chain of nodes that every path from the image to the
// classifier passes. A block ends where branches join again on the trunk, in
// an addition or a concatenation (with the activation, norm or channel shuffle
// that follows it alone), or in the linear projection of an inverted residual
// without skip. The maps offered as features are, for each resolution, the
// last block's end, or the last trunk value where there is no block.
//
// The backbone ends where something is enlarged, or projected to be added to
// what was enlarged. Where maps of several resolutions are fused again and at
// least two of the fused maps go to heads (FPN, PAN), these are offered too, as
// "neck": for each resolution the last fusion with the block that follows it.
//
// # Detection heads
//
// A head whose file hands out raw predictions (YOLOX, NanoDet) is known by the
// nodes around the convolutions that predict. Where the file makes boxes of them
// itself, what it does is tried out instead: the part behind the predictions is
// run on random numbers and has to give what the decoding of a known kind gives
// (YOLOv8 and YOLOv6 with distributions, YOLOv5 and YOLOv7 with anchors, which
// are read off the same way). So a head that is recognised is decoded as its
// file does it, and a head that computes something else is not recognised.
//
// # Names
//
// A layer keeps the module path that the file carries (rules: package
// internal/onnx/fuse/layers). Where the file carries none, convolutions are
// called conv<n> and linear layers linear<n>, n counting that kind from 0 in
// the order of the graph; the classifier is called classifier.
//
// # Roles
//
//	classifier   the layer that makes the logits
//	stem         reads the image
//	depthwise    one group per channel
//	se           inside a squeeze-and-excitation gate
//	downsample   1×1 on the shortcut of a residual block
//	pointwise    any other 1×1, and linear layers on maps
//	conv         any other convolution
//
// In a hybrid the layers around a recognised attention are attn.qkv, attn.q,
// attn.k, attn.v and attn.proj, as in package vit.
package cnn
