package lora

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestConfigDefaults(t *testing.T) {
	c, err := ParseConfig([]byte(`{"peft_type":"LORA","target_modules":["a"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.R != 8 || c.LoraAlpha != 8 || c.Bias != "none" || c.InitLoraWeights != "true" {
		t.Errorf("a file without r and alpha means %d, %g", c.R, c.LoraAlpha)
	}
	if d := DefaultConfig(); d.R != 8 || d.LoraAlpha != 16 || d.Validate() != nil {
		t.Errorf("defaults %+v: %v", d, d.Validate())
	}
}

// TestConfigKeepsForeignKeys: what is not ours keeps its place and its text;
// what was changed is changed and nothing else.
func TestConfigKeepsForeignKeys(t *testing.T) {
	const in = `{"zeta":1.50,"r":4,"peft_type":"LORA","future":{"b":[1,2],"a":null},"target_modules":["b","a"],"lora_alpha":8.0,"alpha_pattern":{"z":1,"a":2}}`
	c, err := ParseConfig([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(c)
	if err != nil || string(out) != in {
		t.Errorf("unchanged: %s (%v)", out, err)
	}
	c.TargetModules.List = []string{"a", "b"} // the same set
	c.R, c.UseDoRA, c.AlphaPattern[0].Value = 6, true, 3
	out, err = json.Marshal(c)
	want := strings.NewReplacer(`"r":4`, `"r":6`, `"z":1`, `"z":3`, `}}`, `},"use_dora":true}`).Replace(in)
	if err != nil || string(out) != want {
		t.Errorf("changed: %s (%v)\nwanted   %s", out, err, want)
	}
}

func TestNewConfigIsRead(t *testing.T) {
	c := DefaultConfig()
	c.TargetModules.Pattern = `<a>|b&c`
	c.RankPattern = Pattern[int]{{"z", 1}, {"a", 2}}
	c.InitLoraWeights = "false"
	c.LayersPattern = Strings{"x"}
	c.ModulesToSave = []string{"head"}
	c.Marks = &Marks{Format: 1, Sites: map[string]Mark{"a": {NotPEFT: []string{"grouped"}, R: 4, Groups: 4}}}
	b, err := c.file()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{`"target_modules": "<a>|b&c"`, `"init_lora_weights": false`, `"exclude_modules": null`, `"base_model_name_or_path": null`} {
		if !strings.Contains(string(b), s) {
			t.Errorf("file lacks %s:\n%s", s, b)
		}
	}
	back, err := ParseConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	back.raw = nil
	if !reflect.DeepEqual(back, c) {
		t.Errorf("read back %+v\nwanted %+v", back, c)
	}
}

func TestConfigTypeErrors(t *testing.T) {
	_, err := ParseConfig([]byte(`{"r":"eight","target_modules":{"a":1},"init_lora_weights":3,"layers_to_transform":"x"}`))
	wantError(t, err, "r: ", `"eight"`, "target_modules: wanted a list", "init_lora_weights: wanted", "layers_to_transform: wanted a list of integers")
	_, err = ParseConfig([]byte(`{"r":1,"r":2}`))
	wantError(t, err, `"r" appears twice`)
	for _, s := range []string{``, `null`, `[]`, `{`, `{"r":1`, `{}{`} {
		if _, err := ParseConfig([]byte(s)); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestValidateReportsEverything(t *testing.T) {
	c, err := ParseConfig([]byte(`{"peft_type":"IA3","r":0,"lora_alpha":0,"lora_dropout":1,"bias":"some","init_lora_weights":"pissa_niter_4",
		"rank_pattern":{"a":0,"(?=x)":1},"alpha_pattern":{"(b":1},"lora_bias":true,"use_dora":true,"target_modules":"(?!a)b","layers_to_transform":[1],
		"exclude_modules":"[","modules_to_save":[""],"use_qalora":true,"vislora":{"format":7},"target_parameters":["x"],"trainable_token_indices":null}`))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Validate()
	wantError(t, err, `peft_type "IA3"`, "r is 0", "lora_alpha is 0", "lora_dropout is 1", `bias is "some"`, "changes the base weights",
		`rank_pattern "a" is 0`, "`(?=x)`", "`(b`", "lora_bias and use_dora", "lora_bias wants", "`(?!a)b`", "negative lookahead",
		"layers_to_transform needs a list", "exclude_modules: regular expression `[`", "modules_to_save has an empty name", "use_qalora", "target_parameters", "vislora has format 7")
	if err != nil && strings.Contains(err.Error(), "trainable_token_indices") {
		t.Error("a key that is null was refused")
	}
}

func TestParseModules(t *testing.T) {
	for in, want := range map[string]Modules{
		"": {}, "all": {Pattern: "all"}, "qkv": {List: []string{"qkv"}}, " a.b , c,": {List: []string{"a.b", "c"}},
		`.*qkv`: {Pattern: ".*qkv"}, "a|b": {Pattern: "a|b"}, "VIT": {Pattern: "VIT"},
	} {
		if got := ParseModules(in); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, wanted %+v", in, got, want)
		}
	}
}

func TestConfigYAML(t *testing.T) {
	const text = `
r: 4
target_modules: [qkv, proj]
exclude_modules: patch_embed.proj
rank_pattern: {qkv: 2, attn.qkv: 3, a: 1}
alpha_pattern: {fc1: 1.5}
init_lora_weights: gaussian
layers_to_transform: 3
use_dora: true
`
	c := DefaultConfig()
	if err := yaml.Unmarshal([]byte(text), c); err != nil {
		t.Fatal(err)
	}
	keys := ""
	for _, e := range c.RankPattern {
		keys += e.Key + " "
	}
	if c.R != 4 || c.LoraAlpha != 16 || keys != "qkv attn.qkv a " || !slices.Equal(c.ExcludeModules.List, []string{"patch_embed.proj"}) ||
		c.InitLoraWeights != "gaussian" || !slices.Equal(c.LayersToTransform, Ints{3}) || !c.UseDoRA || c.AlphaPattern[0].Value != 1.5 {
		t.Errorf("read %+v", c)
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	back := DefaultConfig()
	if err := yaml.Unmarshal(b, back); err != nil {
		t.Fatal(err)
	}
	// YAML has no nil list; compare what is written.
	again, err := yaml.Marshal(back)
	if err != nil || string(again) != string(b) {
		t.Errorf("round trip:\n%s\n%s (%v)", b, again, err)
	}
	for text, part := range map[string]string{"rank_pattern: {a: x}": "x is not an integer", "rank_pattern: [1]": "wanted a mapping",
		"target_modules: {a: 1}": "wanted a list of names", "rank_pattern: {a: 1, a: 2}": "a"} {
		wantError(t, yaml.Unmarshal([]byte(text), DefaultConfig()), part)
	}
}
