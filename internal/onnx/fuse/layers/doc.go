// Package layers looks at a fused graph the way a person does: which layers
// hold weights and what are they called, what dominates what, where is the
// classifier. Packages vit and cnn share it.
//
// Module paths. A layer is called what its framework called it, so that an
// adapter file written by PEFT fits. The sources, first that applies:
//
//  1. the weight's name without its suffix, when it is a name and not a number:
//     "blocks.0.attn.proj.weight" → blocks.0.attn.proj,
//     "fire2/squeeze1x1_w_0" → fire2.squeeze1x1, "conv2d_0.w_0" → conv2d_0;
//  2. the node's name, when it is a path: the operator at its end goes, and a
//     component that extends the one before replaces it, as PyTorch repeats
//     the parent: "/layer1/layer1.0/conv1/Conv" → layer1.0.conv1;
//  3. the bias's name without its suffix; also when it extends the node's path,
//     as where a module applies the weights of its children itself, or ends in
//     it, as where containers leave no trace in node names;
//  4. nothing: vit and cnn then name the layer by its place in the structure.
//
// Names that an exporter made up ("onnx::MatMul_469", "const_fold_opt__12",
// "1177", "Conv_12") are never used. torch.nn.MultiheadAttention applies its
// packed projection itself, so that layer is called after the module, as PEFT
// does: "encoder.layers.encoder_layer_0.self_attention".
//
// Two layers never share a path: a second use gets "_1" and so on, and three
// projections inside one attention module ".q_proj", ".k_proj", ".v_proj".
// Layers that apply one and the same weight are not offered at all (an adapter
// on one of them could not be merged), but told in the notes.
package layers
