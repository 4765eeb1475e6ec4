package cnn_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/cnn"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/fuse"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision/build"
)

func plan(t *testing.T, path string) *ir.Graph {
	t.Helper()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.Plan(onnx.PlanOptions{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func annotate(t *testing.T, g *ir.Graph) *build.Annotation {
	t.Helper()
	a, ok := cnn.Annotate(g)
	if !ok {
		t.Fatal("not recognised as a convolutional network")
	}
	return a
}

// TestPathsArePEFTKeys holds the annotation against the maps that the authors
// of the PyTorch models wrote, with BatchNormalization in the file and folded.
func TestPathsArePEFTKeys(t *testing.T) {
	for _, c := range []struct{ model, list, section, prefix string }{
		{"peft_golden/resnet10n_bn/model.onnx", "peft_golden/resnet10n_bn/map.json", "", ""},
		{"peft_golden/resnet10n_folded/model.onnx", "peft_golden/resnet10n_folded/map.json", "", ""},
		{"quality/resnet10.onnx", "quality/node_map.json", "resnet10", "backbone."},
	} {
		g := plan(t, testdata.Peers(t, c.model))
		a := annotate(t, g)
		raw, err := os.ReadFile(testdata.Peers(t, c.list))
		if err != nil {
			t.Fatal(err)
		}
		if c.section != "" {
			var all map[string]json.RawMessage
			if err := json.Unmarshal(raw, &all); err != nil {
				t.Fatal(err)
			}
			raw = all[c.section]
		}
		var want map[string]struct{ Node, Op, Weight, Bias string }
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		node := make(map[string]string)
		for _, n := range g.Nodes {
			node[n.Attrs.String("site", "")] = n.Name
		}
		sites := make(map[string]build.Site)
		for _, s := range a.Sites {
			sites[s.Path] = s
		}
		layers := 0
		for path, m := range want {
			path = strings.TrimPrefix(path, c.prefix)
			if m.Op != "Conv" && m.Op != "Gemm" {
				continue
			}
			layers++
			s, ok := sites[path]
			switch {
			case !ok:
				t.Errorf("%s: no site %s", c.model, path)
			case node[s.Output] != m.Node:
				t.Errorf("%s: site %s is node %q, want %q", c.model, path, node[s.Output], m.Node)
			case g.Tensors[s.Weight].Origin.Name != m.Weight || a.Params[path+".weight"] != s.Weight:
				t.Errorf("%s: site %s reads weight %q, want %q", c.model, path, s.Weight, m.Weight)
			case m.Bias != "" && g.Tensors[s.Bias].Origin.Name != m.Bias:
				t.Errorf("%s: site %s reads bias %q, want %q", c.model, path, s.Bias, m.Bias)
			}
		}
		if layers != len(a.Sites) {
			t.Errorf("%s: %d sites, want %d", c.model, len(a.Sites), layers)
		}
	}
}

// roles counts the sites of each role.
func roles(a *build.Annotation) map[string]int {
	out := make(map[string]int)
	for _, s := range a.Sites {
		out[s.Role]++
	}
	return out
}

// maps writes the map features as "channels/stride".
func maps(a *build.Annotation) string {
	var out []string
	for _, f := range a.Features {
		if f.Kind == "map" {
			out = append(out, fmt.Sprintf("%d/%d", f.Channels, f.Stride))
		}
	}
	return strings.Join(out, " ")
}

// expected is what a network is annotated with.
type expected struct {
	family, arch string
	blocks       int
	roles        string // as fmt prints the map: sorted
	maps         string
	classes      int
	classifier   string
	pool         string
	some         []string // paths that must be there
}

func (e expected) check(t *testing.T, name string, a *build.Annotation) {
	t.Helper()
	if a.Family != e.family || !strings.Contains(a.Arch, e.arch) || len(a.Blocks) != e.blocks {
		t.Errorf("%s: %s, %s, blocks %d; want %s, %s, %d", name, a.Family, a.Arch, len(a.Blocks), e.family, e.arch, e.blocks)
	}
	if got := fmt.Sprint(roles(a)); got != e.roles {
		t.Errorf("%s: roles %s, want %s", name, got, e.roles)
	}
	if got := maps(a); got != e.maps {
		t.Errorf("%s: maps %s, want %s", name, got, e.maps)
	}
	classifier, pool := "", ""
	if a.Classifier != nil {
		classifier = a.Classifier.Path
	}
	if len(a.Features) > 0 && a.Features[0].Kind == "pooled" {
		pool = a.Features[0].Pool
	}
	if a.Classes != e.classes || classifier != e.classifier || pool != e.pool {
		t.Errorf("%s: %d classes by %q, pooled by %q; want %d, %q, %q", name, a.Classes, classifier, pool, e.classes, e.classifier, e.pool)
	}
	seen := make(map[string]bool)
	for _, s := range a.Sites {
		if s.Path == "" || seen[s.Path] {
			t.Errorf("%s: path %q is empty or taken twice", name, s.Path)
		}
		seen[s.Path] = true
	}
	for _, p := range e.some {
		if !seen[p] {
			t.Errorf("%s: no site %s", name, p)
		}
	}
}

func TestTrainedNetworks(t *testing.T) {
	for file, e := range map[string]expected{
		"squeezenet1.1/squeezenet1.1_fp32.onnx": {"cnn", "SqueezeNet style", 8, "map[classifier:1 conv:8 pointwise:16 stem:1]",
			"64/2 128/4 256/8 512/16", 1000, "conv10", "", []string{"conv1", "fire2.squeeze1x1", "fire9.expand3x3"}},
		"mobilenetv3_ppocr_cls/ppocr_cls.onnx": {"cnn", "MobileNet style", 11, "map[classifier:1 depthwise:11 pointwise:23 se:18 stem:1]",
			"8/2 8/4 8/8 16/16 32/32 200/64", 2, "fc_0", "avg", []string{"conv2d_0", "conv2d_52"}},
		"resnet4b_cifar/cifar_resnet_4b.onnx": {"cnn", "ResNet style", 4, "map[:1 classifier:1 conv:8 downsample:2 stem:1]",
			"16/2 32/4 32/8", 10, "linear2", "", []string{"layer1.0.conv1", "layer2.0.shortcut.0", "linear1"}},
		"nanodet_m_320/nanodet_m_320.onnx": {"cnn", "ShuffleNet style", 16, "map[depthwise:25 downsample:2 pointwise:45 stem:1]",
			"24/2 24/4 116/8 232/16 464/32", 0, "", "", []string{"conv0", "head.gfl_cls.2"}},
		"deeplabv3_mnv2_257/deeplab_v3_257.onnx": {"cnn", "MobileNet style", 17, "map[depthwise:17 pointwise:37 stem:1]",
			"8/2 12/4 160/8", 0, "", "", []string{"MobilenetV2.Conv", "MobilenetV2.expanded_conv_1.expand", "logits.semantic"}},
		"yolox_nano/yolox_nano.onnx": {"cnn", "", 4, "map[depthwise:30 pointwise:82 stem:1]",
			"16/2 32/4 64/8 128/16 256/32", 0, "", "", []string{"conv0", "head.reg_preds.2"}},
	} {
		e.check(t, file, annotate(t, plan(t, testdata.Real(t, file))))
	}
}

// TestDetectorWithQueries: a DETR's outputs are chosen among candidates and are
// no features; its backbone's stages end behind their aggregations.
func TestDetectorWithQueries(t *testing.T) {
	a := cnn.Generic(plan(t, testdata.Real(t, "deimv2_atto/deimv2_atto.onnx")))
	if got := maps(a); got != "32/2 64/4 256/8 256/16" {
		t.Errorf("maps %s", got)
	}
	if a.Logits != "" || a.Features[0].Kind != "map" {
		t.Errorf("logits %q, first feature %+v", a.Logits, a.Features[0])
	}
}

// TestUnfoldedBatchNorm annotates a network whose BatchNormalization was kept:
// structure and names are the same, and the norms' parameters appear.
func TestUnfoldedBatchNorm(t *testing.T) {
	for _, file := range []string{testdata.Real(t, "mobilenetv3_ppocr_cls/ppocr_cls.onnx"), testdata.Peers(t, "peft_golden/resnet10n_bn/model.onnx")} {
		folded := annotate(t, plan(t, file))
		m, err := onnx.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		g, err := m.Plan(onnx.PlanOptions{Batch: 2, Unfused: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := fuse.RunWith(g, fuse.Options{KeepBatchNorm: true}); err != nil {
			t.Fatal(err)
		}
		kept := annotate(t, g)
		if len(kept.Blocks) != len(folded.Blocks) || maps(kept) != maps(folded) || len(kept.Params) <= len(folded.Params) {
			t.Errorf("%s: %d blocks, maps %s, %d parameters; folded %d, %s, %d", file, len(kept.Blocks), maps(kept), len(kept.Params),
				len(folded.Blocks), maps(folded), len(folded.Params))
		}
		for i, s := range kept.Sites {
			if f := folded.Sites[i]; s.Path != f.Path || s.Role != f.Role || s.Block != f.Block || s.Output != f.Output {
				t.Errorf("%s: site %s %s %d %s, folded %s %s %d %s", file, s.Path, s.Role, s.Block, s.Output, f.Path, f.Role, f.Block, f.Output)
			}
		}
	}
}

func TestSqueezeNetClassifierIsAConvolution(t *testing.T) {
	a := annotate(t, plan(t, testdata.Real(t, "squeezenet1.1/squeezenet1.1_fp32.onnx")))
	if a.Classifier == nil || a.Classifier.Kind != build.KindConv || a.ClassifierInput != "fire9/concat_1" || a.Logits != "pool10_1" {
		t.Errorf("classifier %+v reads %q, logits %q", a.Classifier, a.ClassifierInput, a.Logits)
	}
}

func TestFeaturesWithoutClassifier(t *testing.T) {
	a := annotate(t, plan(t, testdata.Peers(t, "quality/resnet10.onnx")))
	if a.Classifier != nil || a.Logits != "" || a.Classes != 0 {
		t.Errorf("a backbone without head got classifier %+v, logits %q", a.Classifier, a.Logits)
	}
	want := build.Feature{Value: "features", Kind: "pooled", Channels: 512, Pool: "avg"}
	if len(a.Features) != 6 || a.Features[0] != want || maps(a) != "64/2 64/4 128/8 256/16 512/32" {
		t.Errorf("features %+v", a.Features)
	}
	for _, s := range a.Sites {
		if want := strings.TrimPrefix(s.Path, "layer"); s.Path != want && s.Block != int(want[0]-'1') {
			t.Errorf("%s stands in block %d", s.Path, s.Block)
		}
	}
}

func TestGenericTakesAnything(t *testing.T) {
	g := plan(t, testdata.Peers(t, "quality/vit_micro.onnx"))
	if _, ok := cnn.Annotate(g); ok {
		t.Error("a vision transformer was taken for a convolutional network")
	}
	a := cnn.Generic(g)
	if a.Family != "hybrid" || len(a.Sites) != 17 || roles(a)["attn.qkv"] != 4 || roles(a)["attn.proj"] != 4 {
		t.Errorf("family %s, %d sites, roles %v", a.Family, len(a.Sites), roles(a))
	}
}

// TestExportedModels checks freshly exported networks of torchvision;
// VISLORA_MODELS names the folder that holds them.
func TestExportedModels(t *testing.T) {
	dir := os.Getenv("VISLORA_MODELS")
	if dir == "" {
		t.Skip("no exported models: set VISLORA_MODELS to a folder of them")
	}
	for name, e := range map[string]expected{
		"resnet18": {"cnn", "ResNet style", 8, "map[classifier:1 conv:16 downsample:3 stem:1]", "64/2 64/4 128/8 256/16 512/32",
			10, "fc", "avg", []string{"conv1", "layer2.0.downsample.0"}},
		"resnet50": {"cnn", "ResNet style", 16, "map[classifier:1 conv:16 downsample:4 pointwise:32 stem:1]",
			"64/2 256/4 512/8 1024/16 2048/32", 10, "fc", "avg", []string{"layer3.5.conv3"}},
		"resnext50_32x4d": {"cnn", "ResNeXt style", 16, "map[classifier:1 conv:16 downsample:4 pointwise:32 stem:1]",
			"64/2 256/4 512/8 1024/16 2048/32", 10, "fc", "avg", nil},
		"mobilenet_v2": {"cnn", "MobileNet style", 17, "map[classifier:1 depthwise:17 pointwise:34 stem:1]",
			"16/2 24/4 32/8 96/16 320/32", 10, "classifier.1", "avg", []string{"features.0.0", "features.2.conv.1.0", "features.18.0"}},
		"mobilenet_v3_small": {"cnn", "MobileNet style", 11, "map[:1 classifier:1 depthwise:11 pointwise:22 se:18 stem:1]",
			"16/2 16/4 24/8 48/16 96/32", 10, "classifier.3", "avg", []string{"features.1.block.1.fc1"}},
		"efficientnet_b0": {"cnn", "MobileNet style", 16, "map[classifier:1 depthwise:16 pointwise:32 se:32 stem:1]",
			"16/2 24/4 40/8 112/16 320/32", 10, "classifier.1", "avg", nil},
		"convnext_tiny": {"cnn", "ConvNeXt style", 18, "map[classifier:1 conv:3 depthwise:18 pointwise:36 stem:1]",
			"96/4 192/8 384/16 768/32", 10, "classifier.2", "avg", []string{"features.1.0.block.0", "features.7.2.block.5"}},
		"densenet121": {"cnn", "branching", 4, "map[classifier:1 conv:58 pointwise:61 stem:1]",
			"64/2 256/4 512/8 1024/16 1024/32", 10, "classifier", "avg", []string{"features.denseblock1.denselayer1.conv1"}},
		"googlenet": {"cnn", "branching", 9, "map[classifier:1 conv:19 pointwise:37 stem:1]",
			"64/2 192/4 480/8 832/16 1024/32", 10, "fc", "avg", []string{"inception3a.branch2.1.conv"}},
		"inception_v3": {"cnn", "branching", 11, "map[classifier:1 conv:53 pointwise:40 stem:1]",
			"64/2 192/4 288/8 768/16 2048/32", 10, "fc", "avg", []string{"Mixed_7c.branch_pool.conv"}},
		"shufflenet_v2_x1_0": {"cnn", "ShuffleNet style", 16, "map[classifier:1 depthwise:19 pointwise:36 stem:1]",
			"24/2 24/4 116/8 232/16 464/32", 10, "fc", "avg", []string{"stage2.0.branch2.5", "conv5.0"}},
		"regnet_y_400mf": {"cnn", "ResNeXt style", 16, "map[classifier:1 conv:16 downsample:4 pointwise:32 se:32 stem:1]",
			"32/2 48/4 104/8 208/16 440/32", 10, "fc", "avg", nil},
		"squeezenet1_1": {"cnn", "SqueezeNet style", 8, "map[classifier:1 conv:8 pointwise:16 stem:1]",
			"64/2 128/4 256/8 512/16", 10, "classifier.1", "", []string{"features.3.squeeze"}},
		"mnasnet1_0": {"cnn", "MobileNet style", 17, "map[classifier:1 depthwise:17 pointwise:34 stem:1]",
			"16/2 24/4 40/8 96/16 320/32", 10, "classifier.1", "avg", nil},
	} {
		if _, err := os.Stat(dir + "/" + name + ".onnx"); err != nil {
			t.Logf("%s is not there", name)
			continue
		}
		e.check(t, name, annotate(t, plan(t, dir+"/"+name+".onnx")))
	}
	for _, name := range []string{"swin_t", "maxvit_t"} {
		g := plan(t, dir+"/"+name+".onnx")
		if _, ok := cnn.Annotate(g); ok {
			t.Errorf("%s was taken for a convolutional network", name)
		}
		a := cnn.Generic(g)
		if a.Classifier == nil || a.Classes != 10 {
			t.Errorf("%s: classifier %+v", name, a.Classifier)
		}
		if name == "swin_t" && !slices.ContainsFunc(a.Sites, func(s build.Site) bool { return s.Path == "features.1.0.attn.qkv" && s.Role == "attn.qkv" }) {
			t.Error("swin_t: no site features.1.0.attn.qkv")
		}
	}
}
