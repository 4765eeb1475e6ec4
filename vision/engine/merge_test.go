package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/lora"
)

// layer is a small model around one kind of layer, and what merging may touch.
type layer struct {
	name, target string
	model        func(b *onnxtest.Builder, w weights) *onnxtest.Builder
	rank         int      // default 2
	half         bool     // a float16 file
	sites        int      // adapted layers, default 1
	depth        int      // layers that add up rounding; default 1
	keeps        []string // initializers that must stay though they look involved
	noDoRA       bool
}

// conv writes one convolution of 8 channels into out channels between the
// input and the output.
func convModel(out, in, group int, kernel [2]int, attrs ir.Attrs) func(*onnxtest.Builder, weights) *onnxtest.Builder {
	return func(b *onnxtest.Builder, w weights) *onnxtest.Builder {
		attrs = mapsClone(attrs)
		attrs["kernel_shape"], attrs["group"] = kernel[:], group
		b.Input("x", ir.Float, -1, in, 16, 16)
		b.Init("conv.weight", []int{out, in / group, kernel[0], kernel[1]}, w.fan(out, in/group, kernel[0], kernel[1])).Init("conv.bias", []int{out}, w.normal(.3, out))
		b.Node("Conv", attrs, []string{"x", "conv.weight", "conv.bias"}, []string{"conv_y"})
		return pooledOutput(b, "conv_y", out)
	}
}

func mapsClone(a ir.Attrs) ir.Attrs {
	out := ir.Attrs{}
	for k, v := range a {
		out[k] = v
	}
	return out
}

// pooledOutput ends a model in a Relu and the mean over the picture.
func pooledOutput(b *onnxtest.Builder, x string, channels int) *onnxtest.Builder {
	b.Node("Relu", nil, []string{x}, []string{"act"})
	b.Node("GlobalAveragePool", nil, []string{"act"}, []string{"pooled"})
	b.Node("Flatten", nil, []string{"pooled"}, []string{"y"})
	return b.Output("y", ir.Float, -1, channels)
}

// flatInput flattens a picture of 3×4×4 values into rows of 48.
func flatInput(b *onnxtest.Builder) *onnxtest.Builder {
	return b.Input("x", ir.Float, -1, 3, 4, 4).Node("Flatten", nil, []string{"x"}, []string{"flat"})
}

var layerKinds = []layer{
	{name: "conv 3×3", target: "all", model: convModel(12, 3, 1, [2]int{3, 3}, ir.Attrs{"pads": []int{1, 1, 1, 1}})},
	{name: "conv stride 2", target: "all", model: convModel(12, 3, 1, [2]int{3, 3}, ir.Attrs{"strides": []int{2, 2}, "pads": []int{1, 1, 1, 1}})},
	{name: "conv stride 2×1, kernel 5×3", target: "all", model: convModel(12, 3, 1, [2]int{5, 3}, ir.Attrs{"strides": []int{2, 1}, "pads": []int{2, 1, 2, 1}})},
	{name: "asymmetric padding", target: "all", model: convModel(12, 3, 1, [2]int{3, 3}, ir.Attrs{"strides": []int{2, 2}, "pads": []int{0, 1, 1, 2}})},
	{name: "SAME_UPPER", target: "all", model: convModel(12, 3, 1, [2]int{4, 4}, ir.Attrs{"strides": []int{2, 2}, "auto_pad": "SAME_UPPER"})},
	{name: "dilation 2", target: "all", model: convModel(12, 3, 1, [2]int{3, 3}, ir.Attrs{"dilations": []int{2, 2}, "pads": []int{2, 2, 2, 2}})},
	{name: "1×1", rank: 1, target: "all", model: convModel(12, 3, 1, [2]int{1, 1}, nil)},
	{name: "1×1 stride 2", rank: 1, target: "all", model: convModel(12, 3, 1, [2]int{1, 1}, ir.Attrs{"strides": []int{2, 2}})},
	{name: "patch embedding", target: "all", model: convModel(16, 3, 1, [2]int{4, 4}, ir.Attrs{"strides": []int{4, 4}})},
	{name: "groups 2, behind a stem", target: "grouped", depth: 2, keeps: []string{"stem.weight", "stem.bias"}, model: stemmed(func(b *onnxtest.Builder, w weights) {
		b.Init("grouped.weight", []int{16, 4, 3, 3}, w.fan(16, 4, 3, 3)).Init("grouped.bias", []int{16}, w.normal(.1, 16))
		b.NodeNamed("/grouped/Conv", "", "Conv", ir.Attrs{"kernel_shape": []int{3, 3}, "group": 2, "dilations": []int{1, 2}, "pads": []int{1, 2, 1, 2}}, []string{"stem", "grouped.weight", "grouped.bias"}, []string{"body"})
	}, 16)},
	{name: "depthwise by name", target: "dw", noDoRA: true, depth: 2, keeps: []string{"stem.weight"}, model: stemmed(func(b *onnxtest.Builder, w weights) {
		b.Init("dw.weight", []int{8, 1, 3, 3}, w.fan(8, 1, 3, 3))
		b.NodeNamed("/dw/Conv", "", "Conv", ir.Attrs{"kernel_shape": []int{3, 3}, "group": 8, "pads": []int{1, 1, 1, 1}, "strides": []int{2, 2}}, []string{"stem", "dw.weight"}, []string{"body"})
	}, 8)},
	{name: "conv and batch normalisation", target: "bnconv", depth: 2, keeps: []string{"stem.weight", "bn.scale", "bn.shift", "bn.mean", "bn.var"}, model: stemmed(func(b *onnxtest.Builder, w weights) {
		b.Init("bnconv.weight", []int{10, 8, 3, 3}, w.fan(10, 8, 3, 3))
		b.Init("bn.scale", []int{10}, w.between(-1.5, 1.5, 10)).Init("bn.shift", []int{10}, w.normal(.3, 10)).Init("bn.mean", []int{10}, w.normal(.3, 10)).Init("bn.var", []int{10}, w.between(.1, 3, 10))
		b.NodeNamed("/bnconv/Conv", "", "Conv", ir.Attrs{"kernel_shape": []int{3, 3}}, []string{"stem", "bnconv.weight"}, []string{"raw"})
		b.Node("BatchNormalization", ir.Attrs{"epsilon": float32(1e-3)}, []string{"raw", "bn.scale", "bn.shift", "bn.mean", "bn.var"}, []string{"body"})
	}, 10)},
	{name: "weight in a Constant node", target: "constconv", depth: 2, keeps: []string{"stem.weight"}, model: stemmed(func(b *onnxtest.Builder, w weights) {
		b.Const("kernel", onnxtest.Floats("", []int{12, 8, 3, 3}, w.fan(12, 8, 3, 3)))
		b.NodeNamed("/constconv/Conv", "", "Conv", ir.Attrs{"kernel_shape": []int{3, 3}}, []string{"stem", "kernel"}, []string{"body"})
	}, 12)},
	{name: "float16 conv", target: "all", half: true, model: convModel(12, 3, 1, [2]int{3, 3}, ir.Attrs{"pads": []int{1, 1, 1, 1}})},
	{name: "MatMul", target: "all", model: func(b *onnxtest.Builder, w weights) *onnxtest.Builder {
		flatInput(b).Init("onnx::MatMul_9", []int{48, 20}, w.normal(.15, 48, 20)).Init("fc.bias", []int{20}, w.normal(.2, 20))
		b.NodeNamed("/fc/MatMul", "", "MatMul", nil, []string{"flat", "onnx::MatMul_9"}, []string{"m"})
		b.NodeNamed("/fc/Add", "", "Add", nil, []string{"fc.bias", "m"}, []string{"s"})
		return b.Node("Relu", nil, []string{"s"}, []string{"y"}).Output("y", ir.Float, -1, 20)
	}},
	{name: "Gemm transB 1", target: "all", model: gemm(1)},
	{name: "Gemm transB 0", target: "all", model: gemm(0)},
	{name: "Gemm in float16", target: "all", half: true, model: gemm(1)},
	{name: "one weight behind an Identity", target: "second", depth: 2, keeps: []string{"first.weight"}, model: func(b *onnxtest.Builder, w weights) *onnxtest.Builder {
		b.Init("first.weight", []int{48, 48}, w.normal(.15, 48, 48)).Node("Identity", nil, []string{"first.weight"}, []string{"second.weight"})
		flatInput(b).NodeNamed("/first/MatMul", "", "MatMul", nil, []string{"flat", "first.weight"}, []string{"a"})
		b.Node("Tanh", nil, []string{"a"}, []string{"t"}).NodeNamed("/second/MatMul", "", "MatMul", nil, []string{"t", "second.weight"}, []string{"u"})
		return b.Node("Tanh", nil, []string{"u"}, []string{"y"}).Output("y", ir.Float, -1, 48)
	}},
	{name: "a transposed weight", target: "all", model: func(b *onnxtest.Builder, w weights) *onnxtest.Builder {
		b.Init("fc.weight", []int{20, 48}, w.normal(.15, 20, 48)).Node("Transpose", ir.Attrs{"perm": []int{1, 0}}, []string{"fc.weight"}, []string{"fc.weight_t"})
		flatInput(b).NodeNamed("/fc/MatMul", "", "MatMul", nil, []string{"flat", "fc.weight_t"}, []string{"m"})
		return b.Node("Tanh", nil, []string{"m"}, []string{"y"}).Output("y", ir.Float, -1, 20)
	}},
	{name: "whole CNN", target: "all", depth: 9, sites: 3, keeps: []string{"dw.weight", "fc.weight", "bn.weight"}, model: nil},
	{name: "whole ViT", target: "all", depth: 9, sites: 9, keeps: []string{"pos_embed", "head.weight"}, model: nil},
}

// stemmed puts a 3×3 stem of 8 channels before a body that ends in "body".
func stemmed(body func(*onnxtest.Builder, weights), channels int) func(*onnxtest.Builder, weights) *onnxtest.Builder {
	return func(b *onnxtest.Builder, w weights) *onnxtest.Builder {
		b.Input("x", ir.Float, -1, 3, 16, 16)
		b.Init("stem.weight", []int{8, 3, 3, 3}, w.fan(8, 3, 3, 3)).Init("stem.bias", []int{8}, w.normal(.1, 8))
		b.NodeNamed("/stem/Conv", "", "Conv", ir.Attrs{"kernel_shape": []int{3, 3}, "pads": []int{1, 1, 1, 1}}, []string{"x", "stem.weight", "stem.bias"}, []string{"stem_y"})
		b.Node("Relu", nil, []string{"stem_y"}, []string{"stem"})
		body(b, w)
		return pooledOutput(b, "body", channels)
	}
}

func gemm(transB int) func(*onnxtest.Builder, weights) *onnxtest.Builder {
	return func(b *onnxtest.Builder, w weights) *onnxtest.Builder {
		dims := []int{48, 20}
		if transB == 1 {
			dims = []int{20, 48}
		}
		flatInput(b).Init("fc.weight", dims, w.normal(.15, dims...)).Init("fc.bias", []int{20}, w.normal(.2, 20))
		b.NodeNamed("/fc/Gemm", "", "Gemm", ir.Attrs{"transB": transB}, []string{"flat", "fc.weight", "fc.bias"}, []string{"m"})
		return b.Node("Relu", nil, []string{"m"}, []string{"y"}).Output("y", ir.Float, -1, 20)
	}
}

// toHalf turns every float of a model into float16.
func toHalf(b *onnxtest.Builder) *onnxtest.Builder {
	g := b.Proto().Graph
	for _, t := range g.Initializer {
		if t.GetDataType() != int32(ir.Float) {
			continue
		}
		old := &ir.Tensor{DType: ir.Float, Raw: t.RawData}
		for _, d := range t.Dims {
			old.Dims = append(old.Dims, int(d))
		}
		var raw []byte
		for _, v := range old.Float32s() {
			h := ir.FloatToHalf(v)
			raw = append(raw, byte(h), byte(h>>8))
		}
		dt := int32(ir.Float16)
		t.DataType, t.RawData = &dt, raw
	}
	for _, v := range append(slices.Clone(g.Input), g.Output...) {
		dt := int32(ir.Float16)
		v.Type.GetTensorType().ElemType = &dt
	}
	return b
}

func (l layer) file(t *testing.T) string {
	t.Helper()
	var b *onnxtest.Builder
	switch {
	case l.name == "whole CNN":
		b = tinyCNN(5, 32)
	case l.name == "whole ViT":
		b = tinyViT(5)
	default:
		b = l.model(onnxtest.New(13), newWeights(uint64(len(l.name))))
	}
	b.Metadata("author", "somebody").Metadata("names", "not to be lost")
	if l.half {
		toHalf(b)
	}
	return b.File(t)
}

// TestMergeKinds merges every kind of layer, with LoRA and DoRA and biases.
func TestMergeKinds(t *testing.T) {
	s, err := openSession(2, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, l := range layerKinds {
		for _, mode := range []string{"lora", "dora", "rslora, biases"} {
			if mode == "dora" && l.noDoRA {
				continue
			}
			t.Run(l.name+"/"+mode, func(t *testing.T) { l.check(t, s, mode) })
		}
	}
}

func (l layer) check(t *testing.T, s *session, mode string) {
	model := l.file(t)
	n, err := OpenNetwork(model, NetworkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	cfg := lora.DefaultConfig()
	cfg.R, cfg.LoraAlpha, cfg.TargetModules = cmp.Or(l.rank, 2), 3, lora.ParseModules(l.target)
	cfg.UseDoRA, cfg.UseRSLoRA = mode == "dora", mode != "lora"
	if mode == "rslora, biases" {
		cfg.Bias = "lora_only"
	}
	batch := 3
	d := slices.Clone(n.Annotation.Graph.Types[n.Picture.Name].Dims)
	d[0] = batch
	nchw := newWeights(5).normal(1, d...)
	x := channelsLast(nchw, d[0], d[1], d[2], d[3])
	base := wide(infer(t, s, n, x, batch))
	if l.target == "all" && l.sites == 0 && n.Annotation.Classifier != nil {
		cfg.TargetModules = lora.ParseModules(n.Annotation.Classifier.Path) // the only layer is the classifier
	}
	if err := n.AddAdapter(cfg, 1); err != nil {
		t.Fatal(err)
	}
	if want := cmp.Or(l.sites, 1); len(n.Plan.Sites) != want {
		t.Fatalf("%d layers are adapted, want %d", len(n.Plan.Sites), want)
	}
	w := newWeights(9)
	for _, p := range n.Net.Trainable() { // as after training
		for i := range p.Data() {
			p.Data()[i] += .2 * float32(w.rng.NormFloat64())
		}
	}
	adapted := wide(infer(t, s, n, x, batch))
	if e := gradcheck.RangeError(adapted, base); e < 1e-2 {
		t.Fatalf("the adapter changes the output by %.2g of the range only: nothing is tested", e)
	}
	out := filepath.Join(t.TempDir(), "merged.onnx")
	report, err := n.WriteMerged(out, map[string]any{MetaTask: "classify"})
	if err != nil {
		t.Fatal(err)
	}
	tol := 1e-5
	if l.depth > 2 {
		tol = 1e-4
	}
	if l.half { // the merged weights are rounded to 16 bits
		tol = 2e-3
		if report.MaxRounding == 0 || report.MaxRounding > 1e-3 {
			t.Errorf("rounding to float16 is reported as %v", report.MaxRounding)
		}
	}
	merged, err := OpenNetwork(out, NetworkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	if e := gradcheck.RangeError(wide(infer(t, s, merged, x, batch)), adapted); e > tol {
		t.Errorf("merged: off by %.2g of the range > %.0e", e, tol)
	}
	if !l.half {
		if y := runORT(t, out, n.Picture.Name, nchw, d...); y != nil {
			if e := gradcheck.RangeError(wide(y), adapted); e > tol {
				t.Errorf("merged, in ONNX Runtime: off by %.2g of the range > %.0e", e, tol)
			}
		}
	}
	sameButFor(t, n.Model, merged.Model, append(slices.Clone(report.Tensors), report.Added...), l.keeps)
	again, err := OpenNetwork(model, NetworkOptions{}) // unmerged: the file as it was
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if y := wide(infer(t, s, again, x, batch)); !slices.Equal(y, base) {
		t.Error("the base model is not what it was")
	}
}

// sameButFor compares two files but for the tensors that a merge names.
func sameButFor(t *testing.T, a, b *onnx.Model, changed, keeps []string) {
	t.Helper()
	if a.Opset("") != b.Opset("") || a.Producer != b.Producer {
		t.Errorf("opset %d and producer %q became %d and %q", a.Opset(""), a.Producer, b.Opset(""), b.Producer)
	}
	ga, gb := a.Graph, b.Graph
	if fmt.Sprint(ga.Inputs) != fmt.Sprint(gb.Inputs) || fmt.Sprint(ga.Outputs) != fmt.Sprint(gb.Outputs) {
		t.Errorf("inputs and outputs %v %v became %v %v", ga.Inputs, ga.Outputs, gb.Inputs, gb.Outputs)
	}
	if gb.Inputs[0].Type.Params[0] != "batch" {
		t.Errorf("the batch axis is called %q", gb.Inputs[0].Type.Params)
	}
	for k, v := range a.Metadata {
		if b.Metadata[k] != v {
			t.Errorf("metadata %s: %q became %q", k, v, b.Metadata[k])
		}
	}
	if b.Metadata[MetaTask] != "classify" {
		t.Errorf("metadata: %v", b.Metadata)
	}
	if len(ga.Nodes) != len(gb.Nodes) {
		t.Errorf("%d nodes became %d", len(ga.Nodes), len(gb.Nodes))
	}
	same := 0
	for name, x := range ga.Tensors {
		y := gb.Tensors[name]
		switch {
		case slices.Contains(changed, name):
			if slices.Contains(keeps, name) {
				t.Errorf("%s changed", name)
			}
		case y == nil || y.DType != x.DType || !slices.Equal(x.Dims, y.Dims) || !bytes.Equal(x.Raw, y.Raw):
			t.Errorf("%s is not byte for byte what it was", name)
		default:
			same++
		}
	}
	for _, k := range keeps {
		if ga.Tensors[k] == nil {
			t.Errorf("the base has no %s", k)
		}
	}
	if same == 0 && len(keeps) > 0 {
		t.Error("nothing was compared")
	}
}

// A weight that two nodes read is no site: the error says why.
func TestSharedWeight(t *testing.T) {
	b := onnxtest.New(13).Init("shared.weight", []int{48, 48}, newWeights(1).normal(.15, 48, 48))
	flatInput(b).NodeNamed("/first/MatMul", "", "MatMul", nil, []string{"flat", "shared.weight"}, []string{"a"})
	b.Node("Tanh", nil, []string{"a"}, []string{"t"}).NodeNamed("/second/MatMul", "", "MatMul", nil, []string{"t", "shared.weight"}, []string{"u"})
	n, err := OpenNetwork(b.Node("Tanh", nil, []string{"u"}, []string{"y"}).Output("y", ir.Float, -1, 48).File(t), NetworkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	cfg := lora.DefaultConfig()
	cfg.TargetModules = lora.ParseModules("first")
	says(t, n.AddAdapter(cfg, 0), `"first"`, "no layer", "several nodes read")
}

// TestMergeNewHead exports networks with a new head: logits, names, the batch
// axis, and everything else as it was.
func TestMergeNewHead(t *testing.T) {
	s, err := openSession(1, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for name, b := range map[string]*onnxtest.Builder{"cnn": tinyCNN(7, 32), "vit": tinyViT(7)} {
		n, err := OpenNetwork(b.File(t), NetworkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if err := n.NewHead([]string{"a", "b", "c"}, 1); err != nil {
			t.Fatal(err)
		}
		x := newWeights(3).normal(1, 2, 3, 32, 32)
		want := wide(infer(t, s, n, channelsLast(x, 2, 3, 32, 32), 2))
		out := filepath.Join(t.TempDir(), "headed.onnx")
		if _, err := n.WriteMerged(out, nil); err != nil {
			t.Fatal(err)
		}
		m, err := OpenNetwork(out, NetworkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if o := m.Model.Graph.Outputs; len(o) != 1 || o[0].Name != "logits" || o[0].Type.Dims[1] != 3 || o[0].Type.Params[0] != "batch" {
			t.Errorf("%s: outputs %+v", name, o)
		}
		if e := gradcheck.RangeError(wide(infer(t, s, m, channelsLast(x, 2, 3, 32, 32), 2)), want); e > 1e-5 {
			t.Errorf("%s: off by %.2g", name, e)
		}
		if y := runORT(t, out, n.Picture.Name, x, 2, 3, 32, 32); y != nil && gradcheck.RangeError(wide(y), want) > 1e-5 {
			t.Errorf("%s: in ONNX Runtime off by %.2g", name, gradcheck.RangeError(wide(y), want))
		}
		for _, old := range []string{"fc.weight"} {
			if m.Model.Graph.Tensors[old] != nil {
				t.Errorf("%s: the old classifier's %s is still in the file", name, old)
			}
		}
	}
}
