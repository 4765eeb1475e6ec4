package vit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vit"
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
	a, ok := vit.Annotate(g)
	if !ok {
		t.Fatal("not recognised as a vision transformer")
	}
	return a
}

type mapped struct {
	Node, Op, Weight, Bias string
}

// TestPathsArePEFTKeys holds the annotation against the maps that the authors
// of the PyTorch models wrote.
func TestPathsArePEFTKeys(t *testing.T) {
	for _, c := range []struct{ model, list, section, prefix string }{
		{"peft_golden/vit_micro/model.onnx", "peft_golden/vit_micro/map.json", "", ""},
		{"quality/vit_micro.onnx", "quality/node_map.json", "vit_micro", "backbone."},
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
		var want map[string]mapped
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		node := make(map[string]string) // site → node name in the file
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
			if m.Op == "LayerNorm" {
				for kind, name := range map[string]string{"weight": m.Weight, "bias": m.Bias} {
					if tensor := a.Params[path+"."+kind]; tensor == "" || g.Tensors[tensor].Origin.Name != name {
						t.Errorf("%s: parameter %s.%s is tensor %q, want one made from %q", c.model, path, kind, tensor, name)
					}
				}
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
				t.Errorf("%s: site %s reads weight %q, want %q", c.model, path, g.Tensors[s.Weight].Origin.Name, m.Weight)
			case m.Bias != "" && (g.Tensors[s.Bias].Origin.Name != m.Bias || a.Params[path+".bias"] != s.Bias):
				t.Errorf("%s: site %s reads bias %q, want %q", c.model, path, s.Bias, m.Bias)
			}
		}
		if layers != len(a.Sites) {
			t.Errorf("%s: %d sites, want %d", c.model, len(a.Sites), layers)
		}
	}
}

func TestTrainedViTTiny(t *testing.T) {
	a := annotate(t, plan(t, testdata.Real(t, "vit_tiny_timmstyle/vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx")))
	if a.Family != "vit" || a.Arch != "ViT (timm style), 12 blocks, 3 heads, dim 192, patch 16" {
		t.Errorf("family %q, arch %q", a.Family, a.Arch)
	}
	if a.Logits != "logits" || a.Classes != 200 || a.Classifier == nil || a.Classifier.Path != "head" || a.ClassifierInput != "/pool/Gather_372_output_0" {
		t.Errorf("logits %q, %d classes, classifier %+v reading %q", a.Logits, a.Classes, a.Classifier, a.ClassifierInput)
	}
	pooled := build.Feature{Value: "/pool/Gather_372_output_0", Kind: "pooled", Channels: 192, Pool: "token"}
	tokens := build.Feature{Value: "/norm/LayerNormalization_371_output_0", Kind: "tokens", Channels: 192, Stride: 16, Grid: [2]int{14, 14}, Prefix: 1}
	if !slices.Equal(a.Features, []build.Feature{pooled, tokens}) {
		t.Errorf("features %+v", a.Features)
	}
	if len(a.Blocks) != 12 || a.Blocks[0] != "/blocks.0/Add_40_output_0" {
		t.Errorf("blocks %v", a.Blocks)
	}
	checkBlocks(t, a, 12)
	if a.Params["vit.pos_embed"] != "vit.pos_embed" || a.Params["blocks.3.norm2.bias"] == "" {
		t.Error("position embedding or norm missing from the parameters")
	}
}

// checkBlocks demands qkv, proj, fc1 and fc2 exactly once in every block.
func checkBlocks(t *testing.T, a *build.Annotation, n int) {
	t.Helper()
	count := make(map[string]int)
	for _, s := range a.Sites {
		count[fmt.Sprint(s.Block, " ", s.Role)]++
	}
	for i := range n {
		for _, role := range []string{"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"} {
			if k := fmt.Sprint(i, " ", role); count[k] != 1 {
				t.Errorf("block %d has %d layers of role %s", i, count[k], role)
			}
		}
	}
	if count["-1 patch_embed"] != 1 {
		t.Errorf("%d patch embeddings", count["-1 patch_embed"])
	}
}

func TestViTWithBatchNormAndSeparateProjections(t *testing.T) {
	a := annotate(t, plan(t, testdata.Real(t, "vit_cifar_ibp/vit_cifar_ibp_3_3_8.onnx")))
	want := []string{"0.projection", "1.0.0.fn.1.query", "1.0.0.fn.1.key", "1.0.0.fn.1.value", "1.0.0.fn.1.out", "1.0.1.fn.1.0", "1.0.1.fn.1.3"}
	roles := []string{"patch_embed", "attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2"}
	for i, s := range a.Sites[:len(want)] {
		if s.Path != want[i] || s.Role != roles[i] || s.Block != min(i, 1)-1 {
			t.Errorf("site %d is %s, %s, block %d", i, s.Path, s.Role, s.Block)
		}
	}
	if f := a.Features[0]; f.Pool != "avg" || f.Channels != 48 || a.Classes != 10 {
		t.Errorf("pooled %+v, %d classes", f, a.Classes)
	}
}

// forget takes all names from a planned graph, as exports without scopes do.
func forget(g *ir.Graph) {
	rename := make(map[string]string)
	tensors := make(map[string]*ir.Tensor)
	for _, n := range g.Nodes {
		n.Name = ""
		for i, in := range n.Inputs {
			t := g.Tensors[in]
			if t == nil {
				continue
			}
			if rename[in] == "" {
				rename[in] = fmt.Sprintf("onnx::T_%d", len(rename))
				copied := *t
				copied.Name = rename[in]
				if t.Origin != nil {
					o := *t.Origin
					o.Name = rename[in]
					copied.Origin = &o
				}
				tensors[rename[in]] = &copied
				g.Types[rename[in]] = copied.Type()
			}
			n.Inputs[i] = rename[in]
		}
	}
	g.Tensors = tensors
}

func TestCanonicalNames(t *testing.T) {
	g := plan(t, testdata.Peers(t, "peft_golden/vit_micro/model.onnx"))
	named := annotate(t, g)
	forget(g)
	bare := annotate(t, g)
	for i, s := range bare.Sites {
		if s.Path != named.Sites[i].Path || s.Role != named.Sites[i].Role {
			t.Errorf("site %d is called %s (%s), timm says %s (%s)", i, s.Path, s.Role, named.Sites[i].Path, named.Sites[i].Role)
		}
	}
	for _, p := range []string{"blocks.2.attn.qkv.weight", "head.bias"} {
		if bare.Params[p] == "" {
			t.Errorf("parameter %s is missing", p)
		}
	}
}

func TestOthersAreNotViTs(t *testing.T) {
	for _, p := range []string{"squeezenet1.1/squeezenet1.1_fp32.onnx", "resnet4b_cifar/cifar_resnet_4b.onnx"} {
		if _, ok := vit.Annotate(plan(t, testdata.Real(t, p))); ok {
			t.Errorf("%s was taken for a vision transformer", p)
		}
	}
}

// TestExportedModels checks freshly exported networks; VISLORA_MODELS names
// the folder that holds vit_tiny.onnx, vit_b_16.onnx and swin_t.onnx.
func TestExportedModels(t *testing.T) {
	dir := os.Getenv("VISLORA_MODELS")
	if dir == "" {
		t.Skip("no exported models: set VISLORA_MODELS to a folder of them")
	}
	for name, c := range map[string]struct{ style, first, proj string }{
		"vit_tiny": {"timm style", "blocks.0.attn.qkv", "blocks.0.attn.proj"},
		"vit_b_16": {"torchvision style", "encoder.layers.encoder_layer_0.self_attention", "encoder.layers.encoder_layer_0.self_attention.out_proj"},
	} {
		a := annotate(t, plan(t, dir+"/"+name+".onnx"))
		if !strings.Contains(a.Arch, c.style) || a.Sites[1].Path != c.first || a.Sites[2].Path != c.proj {
			t.Errorf("%s: %s, sites %s, %s", name, a.Arch, a.Sites[1].Path, a.Sites[2].Path)
		}
		checkBlocks(t, a, 12)
	}
	if _, ok := vit.Annotate(plan(t, dir+"/swin_t.onnx")); ok {
		t.Error("Swin was taken for a plain vision transformer")
	}
}
