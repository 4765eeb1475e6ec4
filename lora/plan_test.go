package lora

import (
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision/build"
)

func sitesNamed(paths ...string) []build.Site {
	var sites []build.Site
	for _, p := range paths {
		sites = append(sites, linearSite(p, 64, 64))
	}
	return sites
}

func adapted(p *Plan) []string {
	var out []string
	for _, sp := range p.Sites {
		out = append(out, sp.Site.Path)
	}
	return out
}

func reasons(p *Plan) map[string]string {
	out := make(map[string]string)
	for _, s := range p.Skipped {
		out[s.Site.Path] = s.Reason
	}
	return out
}

// zoo is a small hybrid: one layer of every kind.
func zoo() []build.Site {
	role := func(s build.Site, role string) build.Site { s.Role = role; return s }
	dilated := convSite("stage.dil", 64, 64, 3, 3, 1)
	dilated.Dilation = [2]int{2, 2}
	dilated1 := convSite("stage.dil1x1", 64, 64, 1, 1, 1)
	dilated1.Dilation = [2]int{2, 2}
	return []build.Site{
		role(convSite("patch_embed.proj", 3, 64, 16, 16, 1), "patch_embed"),
		role(linearSite("blocks.0.attn.qkv", 64, 192), "attn.qkv"),
		role(linearSite("blocks.0.attn.proj", 64, 64), "attn.proj"),
		role(linearSite("blocks.0.mlp.fc1", 64, 256), "mlp.fc1"),
		role(convSite("stage.conv_dw", 64, 64, 3, 3, 64), "depthwise"),
		role(convSite("stage.conv_pw", 64, 64, 1, 1, 1), "pointwise"),
		convSite("stage.grouped", 64, 64, 3, 3, 16),
		dilated,
		dilated1,
		role(linearSite("head", 64, 10), "classifier"),
	}
}

func targets(s string) *Config {
	c := DefaultConfig()
	c.TargetModules = ParseModules(s)
	return c
}

func TestTargets(t *testing.T) {
	for _, c := range []struct{ targets, want string }{
		{"vit", "patch_embed.proj blocks.0.attn.qkv blocks.0.attn.proj blocks.0.mlp.fc1"},
		{"all-linear", "blocks.0.attn.qkv blocks.0.attn.proj blocks.0.mlp.fc1"},
		{"ALL-Linear", "blocks.0.attn.qkv blocks.0.attn.proj blocks.0.mlp.fc1"},
		{"cnn", "patch_embed.proj stage.conv_pw stage.dil stage.dil1x1"},
		{"all-conv", "patch_embed.proj stage.conv_pw stage.dil stage.dil1x1"},
		{"all", "patch_embed.proj blocks.0.attn.qkv blocks.0.attn.proj blocks.0.mlp.fc1 stage.conv_pw stage.dil stage.dil1x1"},
		{"proj", "patch_embed.proj blocks.0.attn.proj"},
		{"attn.proj, qkv", "blocks.0.attn.qkv blocks.0.attn.proj"},
		{"grouped", "stage.grouped"},
		{"conv_dw", "stage.conv_dw"},
		{`stage\.conv_d.`, "stage.conv_dw"},
		{`stage\.conv_.*`, "stage.conv_pw"}, // the depthwise one is not meant by itself
		{`.*head`, "head"},
	} {
		cfg := targets(c.targets)
		if strings.HasSuffix(c.targets, "head") {
			cfg.R = 4 // 8·(64+10) is within the budget too, but closely
		}
		p, err := NewPlan(cfg, zoo(), "head")
		if err != nil {
			t.Errorf("%s: %v", c.targets, err)
			continue
		}
		if got := strings.Join(adapted(p), " "); got != c.want {
			t.Errorf("%s: adapts %q\nwanted %q", c.targets, got, c.want)
		}
		// What is written must bring PEFT to the same layers.
		again, err := NewPlan(p.Config, zoo(), "")
		if err != nil || !slices.Equal(adapted(again), adapted(p)) || len(p.Config.TargetModules.preset()) > 0 {
			t.Errorf("%s: the file's target %q adapts %v (%v)", c.targets, p.Config.TargetModules, adapted(again), err)
		}
	}
}

func TestSkippedIsSaid(t *testing.T) {
	c := targets("all")
	c.ExcludeModules = Modules{List: []string{"fc1"}}
	c.ModulesToSave = []string{"attn"}
	p, err := NewPlan(c, zoo(), "head")
	if err != nil {
		t.Fatal(err)
	}
	for path, word := range map[string]string{
		"blocks.0.mlp.fc1": "exclude_modules", "blocks.0.attn.qkv": "modules_to_save", "blocks.0.attn.proj": "modules_to_save",
		"stage.conv_dw": "64 groups", "stage.grouped": "16 groups",
	} {
		if !strings.Contains(reasons(p)[path], word) {
			t.Errorf("%s: reason %q does not say %q", path, reasons(p)[path], word)
		}
	}
	if got := strings.Join(adapted(p), " "); got != "patch_embed.proj stage.conv_pw stage.dil stage.dil1x1" {
		t.Errorf("adapts %q", got)
	}
}

// TestBudget: an adapter as large as the layer is not made. For 64→64 linear,
// r·128 reaches 4096 at r = 32.
func TestBudget(t *testing.T) {
	c := targets("q,k")
	c.R = 31
	c.RankPattern = Pattern[int]{{"q", 32}}
	p, err := NewPlan(c, sitesNamed("b.q", "b.k"), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := adapted(p); !slices.Equal(got, []string{"b.k"}) {
		t.Errorf("adapts %v, wanted b.k", got)
	}
	if r := reasons(p)["b.q"]; !strings.Contains(r, "rank 32 would have 4096 parameters, the layer has 4096") {
		t.Errorf("reason %q", r)
	}
	if !slices.Equal(p.Config.TargetModules.List, []string{"b.k"}) {
		t.Errorf("the file's target is %v, wanted b.k", p.Config.TargetModules)
	}
	c.RankPattern[0].Value = 31 // DoRA's 64 magnitudes are parameters too: 31·128+64 = 4032
	c.UseDoRA = true
	if p, err = NewPlan(c, sitesNamed("b.q", "b.k"), ""); err != nil || p.Params() != 2*4032 {
		t.Errorf("%d parameters (%v), wanted 8064", p.Params(), err)
	}
	c.R, c.RankPattern = 64, nil
	_, err = NewPlan(c, sitesNamed("b.q", "b.k"), "")
	wantError(t, err, "adapts no layer", "b.q: adapter of rank 64", "lower rank")
}

func TestSpecShapes(t *testing.T) {
	c := targets("conv_dw,grouped,dil,dil1x1,qkv,patch_embed.proj")
	c.UseDoRA = true
	p, err := NewPlan(c, zoo(), "head")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Spec)
	for _, sp := range p.Sites {
		got[sp.Site.Path] = sp
	}
	for _, w := range []struct {
		path       string
		rank       int
		scaling    float64
		a, b, m, d []int
		not        []string
	}{
		{"blocks.0.attn.qkv", 8, 2, []int{8, 64}, []int{192, 8}, []int{192}, nil, nil},
		{"patch_embed.proj", 8, 2, []int{8, 3, 16, 16}, []int{64, 8, 1, 1}, []int{1, 64, 1, 1}, nil, nil},
		{"stage.grouped", 16, 1, []int{16, 4, 3, 3}, []int{64, 1, 1, 1}, []int{1, 64, 1, 1}, nil, []string{"grouped"}},
		{"stage.dil", 8, 2, []int{8, 64, 3, 3}, []int{64, 8, 1, 1}, []int{1, 64, 1, 1}, nil, []string{"dilated"}},
		{"stage.dil1x1", 8, 2, []int{8, 64, 1, 1}, []int{64, 8, 1, 1}, []int{1, 64, 1, 1}, nil, nil},
		{"stage.conv_dw", 0, 0, nil, nil, nil, []int{64, 1, 3, 3}, []string{"delta"}},
	} {
		sp := got[w.path]
		if sp.Rank != w.rank || sp.Scaling != w.scaling || !slices.Equal(sp.A, w.a) || !slices.Equal(sp.B, w.b) ||
			!slices.Equal(sp.Magnitude, w.m) || !slices.Equal(sp.D, w.d) || !slices.Equal(sp.NotPEFT, w.not) || sp.Delta != (w.d != nil) {
			t.Errorf("%s: %+v\nwanted %+v", w.path, sp, w)
		}
		mark, marked := p.Config.Marks.Sites[w.path]
		if marked != (w.not != nil) || marked && mark.R != w.rank {
			t.Errorf("%s: mark %+v (%t)", w.path, mark, marked)
		}
	}
	table := p.Table()
	for _, line := range []string{"conv 3x3 g16", "r 8 rounded up to a multiple of 16 groups; not PEFT: grouped", "depthwise: the whole k×k update; not PEFT: delta", "192×64", "6 layers"} {
		if !strings.Contains(table, line) {
			t.Errorf("table lacks %q:\n%s", line, table)
		}
	}
	if plain, err := NewPlan(targets("qkv"), zoo(), ""); err != nil || plain.Config.Marks != nil {
		t.Errorf("a plan that PEFT can run is marked: %+v, %v", plain.Config.Marks, err)
	}
}

// TestResolvedTarget: "conv1" in a list also means "layer1.conv1", so a stem
// alone has to be written as a regular expression.
func TestResolvedTarget(t *testing.T) {
	sites := []build.Site{convSite("conv1", 64, 64, 3, 3, 1), convSite("layer1.conv1", 64, 64, 3, 3, 4)}
	p, err := NewPlan(targets("cnn"), sites, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Config.TargetModules; got.Pattern != "conv1" {
		t.Errorf("target is %+v, wanted the pattern conv1", got)
	}
	if c, _ := compileMatcher(p.Config); c.target.MatchString("layer1.conv1") || !c.target.MatchString("conv1") {
		t.Error("the pattern does not take conv1 alone")
	}
}

func TestPlanErrors(t *testing.T) {
	c := targets("qvk")
	_, err := NewPlan(c, zoo(), "")
	wantError(t, err, `"qvk" matches none of the 10 layers`, "near it: blocks.0.attn.qkv")

	_, err = NewPlan(targets("qkv,fc9"), zoo(), "") // PEFT would not mind
	wantError(t, err, `"fc9"`, "blocks.0.mlp.fc1")

	_, err = NewPlan(targets(`blocks\.7\..*`), zoo(), "")
	wantError(t, err, `blocks\.7\..*`, "must match the whole path")

	_, err = NewPlan(targets(""), zoo(), "")
	wantError(t, err, "target_modules is empty", "qkv", "all-linear")

	_, err = NewPlan(targets("vit"), []build.Site{convSite("a", 8, 8, 3, 3, 1)}, "")
	wantError(t, err, `"vit" matches none`, "0 linear layers, 1 convolutions")

	_, err = NewPlan(targets("a"), append(sitesNamed("a"), sitesNamed("a")...), "")
	wantError(t, err, "layer a", "two layers")

	_, err = NewPlan(targets("a"), []build.Site{convSite("a", 6, 8, 3, 3, 4)}, "")
	wantError(t, err, "layer a", "groups 4")

	_, err = NewPlan(targets("conv_pw,conv_.*"), zoo(), "")
	wantError(t, err, "`conv_pw,conv_.*` matches none")

	p, err := NewPlan(func() *Config {
		c := targets("qkv")
		c.RankPattern = Pattern[int]{{"fc1", 4}, {"qkv", 2}, {"attn.qkv", 3}}
		return c
	}(), zoo(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Notes) != 2 || !strings.Contains(p.Notes[0], `"fc1"`) || !strings.Contains(p.Notes[1], `"attn.qkv"`) {
		t.Errorf("notes %q", p.Notes)
	}
}

func TestTrainsBias(t *testing.T) {
	for mode, want := range map[string][3]bool{"none": {}, "all": {true, true, false}, "lora_only": {true, false, false}} {
		c := targets("qkv")
		c.Bias = mode
		p, err := NewPlan(c, zoo(), "")
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"blocks.0.attn.qkv.bias", "blocks.0.norm1.bias", "blocks.0.attn.qkv.weight"} {
			if p.TrainsBias(name) != want[i] {
				t.Errorf("%s: %s is trained: %t", mode, name, !want[i])
			}
		}
	}
}
