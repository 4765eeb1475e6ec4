package layers

import "testing"

func TestFromNode(t *testing.T) {
	for _, c := range []struct{ name, op, want string }{
		{"/blocks/blocks.0/attn/qkv/MatMul", "MatMul", "blocks.0.attn.qkv"},
		{"/blocks.0/attn/qkv/MatMul_12", "MatMul", "blocks.0.attn.qkv"},
		{"/layer1/layer1.0/conv1/Conv", "Conv", "layer1.0.conv1"},
		{"/layer2/layer2.0/downsample/downsample.0/Conv", "Conv", "layer2.0.downsample.0"},
		{"/features/features.0/features.0.0/Conv", "Conv", "features.0.0"},
		{"/vit/encoder/layer.0/attention/attention/query/MatMul", "MatMul", "vit.encoder.layer.0.attention.attention.query"},
		{"/1/1.0/1.0.0/fn/fn.1/query/MatMul", "MatMul", "1.0.0.fn.1.query"},
		{"/encoder/layers/encoder_layer_0/self_attention/MatMul", "MatMul", "encoder.layers.encoder_layer_0.self_attention"},
		{"/model/backbone/stages.0/blocks/blocks.0/layers.0/conv/Conv", "Conv", "model.backbone.stages.0.blocks.0.layers.0.conv"},
		{"MobilenetV2/expanded_conv/project/BatchNorm/FusedBatchNorm", "Conv", "MobilenetV2.expanded_conv.project"},
		{"MobilenetV2/Conv/Relu6", "Conv", "MobilenetV2.Conv"},
		{"squeezenet0_conv0_fwd", "Conv", "squeezenet0_conv0"},
		{"/head/Gemm", "Gemm", "head"},
		{"Conv_12", "Conv", ""},
		{"MatMul_30", "MatMul", ""},
		{"p2o.Conv.7", "Conv", ""},
		{"node_conv2d_3", "Conv", ""},
		{"/Conv", "Conv", ""},
		{"118", "Conv", ""},
		{"", "Conv", ""},
	} {
		got, ok := FromNode(c.name, c.op)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("FromNode(%q) = %q, %v; want %q", c.name, got, ok, c.want)
		}
	}
}

func TestFromParameter(t *testing.T) {
	for _, c := range []struct{ name, module, kind string }{
		{"blocks.0.norm1.weight", "blocks.0.norm1", "weight"},
		{"/blocks.0/norm1.bias", "blocks.0.norm1", "bias"},
		{"fire2/squeeze1x1_w_0", "fire2.squeeze1x1", "weight"},
		{"conv1_b_0", "conv1", "bias"},
		{"conv2d_0.w_0", "conv2d_0", "weight"},
		{"squeezenet0_conv0_weight", "squeezenet0_conv0", "weight"},
		{"encoder.layers.encoder_layer_0.self_attention.in_proj_bias", "encoder.layers.encoder_layer_0.self_attention", "bias"},
		{"MobilenetV2/Conv/weights:0", "MobilenetV2.Conv", "weight"},
		{"model.0.weight", "model.0", "weight"},
		{"onnx::MatMul_469", "", ""},
		{"onnx::MatMul_/blocks.0/attn/qkv", "", ""},
		{"const_fold_opt__470", "", ""},
		{"1177", "", ""},
		{"weight", "", ""},
		{"cls_token", "", ""},
	} {
		m, k, ok := FromParameter(c.name)
		if m != c.module || k != c.kind || ok != (c.module != "") {
			t.Errorf("FromParameter(%q) = %q, %q, %v; want %q, %q", c.name, m, k, ok, c.module, c.kind)
		}
	}
}

func TestUnique(t *testing.T) {
	ls := []*Layer{{Path: "a"}, {Path: "a"}, {Path: "a_1"}, {Path: "a"}}
	Unique(ls)
	seen := map[string]bool{}
	for _, l := range ls {
		if seen[l.Path] {
			t.Errorf("path %q twice", l.Path)
		}
		seen[l.Path] = true
	}
	if ls[0].Path != "a" || ls[1].Path != "a_1" {
		t.Errorf("got %q and %q", ls[0].Path, ls[1].Path)
	}
}
