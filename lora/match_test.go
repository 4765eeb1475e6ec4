package lora

import (
	"regexp"
	"strings"
	"testing"
)

// TestCompilePython checks the places where Python's re and Go's RE2 spell the
// same thing differently.
func TestCompilePython(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		yes, no  []string
		refusing string
	}{
		{pattern: `blocks\.[02]\.(attn\.(qkv|proj)|mlp\.fc2)`, yes: []string{"blocks.0.attn.qkv", "blocks.2.mlp.fc2"}, no: []string{"blocks.1.attn.qkv", "x.blocks.0.attn.qkv", "blocks.0.attn.qkv2"}},
		{pattern: `a|b`, yes: []string{"a", "b"}, no: []string{"ab", "xb", "ax"}},
		{pattern: `a{,2}`, yes: []string{"", "a", "aa"}, no: []string{"aaa", "a{,2}"}},
		{pattern: `ab\Z`, yes: []string{"ab"}, no: []string{"abZ", "abc"}},
		{pattern: `[]x]`, yes: []string{"]", "x"}, no: []string{"y"}},
		{pattern: `[^]x]`, yes: []string{"y"}, no: []string{"]", "x"}},
		{pattern: `[[:a]+`, yes: []string{"[:a"}, no: []string{"b"}},
		{pattern: `(?P<n>a)\.\d+`, yes: []string{"a.10"}, no: []string{"a."}},
		{pattern: `\[a\]`, yes: []string{"[a]"}, no: []string{"a"}},
		{pattern: `(?!head).*`, refusing: "negative lookahead"},
		{pattern: `(?<=x)y`, refusing: "lookbehind"},
		{pattern: `(a)\1`, refusing: `back-reference \1`},
		{pattern: `(?P<n>a)(?P=n)`, refusing: "back-reference"},
		{pattern: `a)|(b`, refusing: "unexpected )"},
		{pattern: `(`, refusing: "missing closing )"},
		{pattern: `[(?=]`, yes: []string{"(", "?", "="}, no: []string{"a"}},
	} {
		re, err := compilePython(`\A(?:`, c.pattern, `)\z`)
		if c.refusing != "" {
			wantError(t, err, c.pattern, c.refusing)
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.pattern, err)
			continue
		}
		check(t, c.pattern, re, c.yes, true)
		check(t, c.pattern, re, c.no, false)
	}
}

func check(t *testing.T, pattern string, re *regexp.Regexp, paths []string, want bool) {
	t.Helper()
	for _, p := range paths {
		if re.MatchString(p) != want {
			t.Errorf("%q on %q: matched %t", pattern, p, !want)
		}
	}
}

// TestPatternOrder holds that the first key in the order of the file wins, that
// keys match the end after a dot, and that ^ anchors.
func TestPatternOrder(t *testing.T) {
	ranks := func(pattern string) func(path string) int {
		c, err := ParseConfig([]byte(`{"peft_type":"LORA","r":8,"target_modules":["x"],"rank_pattern":` + pattern + `}`))
		if err != nil {
			t.Fatal(err)
		}
		m, errs := compileMatcher(c)
		if errs != nil {
			t.Fatal(errs)
		}
		return m.rankOf
	}
	for _, c := range []struct {
		pattern string
		want    map[string]int
	}{
		{`{"qkv":1,"attn.qkv":2}`, map[string]int{"blocks.0.attn.qkv": 1, "qkv": 1, "xqkv": 8, "qkv.x": 8}},
		{`{"attn.qkv":2,"qkv":1}`, map[string]int{"blocks.0.attn.qkv": 2, "qkv": 1}},
		{`{"^blocks\\.[13]\\.attn\\.proj":16}`, map[string]int{"blocks.1.attn.proj": 16, "blocks.2.attn.proj": 8, "vit.blocks.1.attn.proj": 8}},
		{`{"z":3,"y":4,"a":5,".*":6}`, map[string]int{"a": 5, "b.y": 4, "q": 6}},
		{`{"a|b":3}`, map[string]int{"m.a": 3, "b": 3, "ab": 8}},
		{`null`, map[string]int{"a": 8}},
	} {
		of := ranks(c.pattern)
		for path, want := range c.want {
			if got := of(path); got != want {
				t.Errorf("%s: rank of %s is %d, wanted %d", c.pattern, path, got, want)
			}
		}
	}
	_, err := ParseConfig([]byte(`{"rank_pattern":{"a":1,"a":2}}`))
	wantError(t, err, "rank_pattern", `"a" appears twice`)
	_, err = ParseConfig([]byte(`{"rank_pattern":{"a":1.5}}`))
	wantError(t, err, "rank_pattern", "1.5 is not an integer")
}

// TestLayersToTransform follows check_target_module_exists, oddities included.
func TestLayersToTransform(t *testing.T) {
	for _, c := range []struct {
		config string
		want   string
	}{
		{`"target_modules":["q"],"layers_to_transform":[1,3]`, "vit.layer.1.q vit.layer.3.q"},
		{`"target_modules":["q"],"layers_to_transform":2`, "vit.layer.2.q"},
		{`"target_modules":["q"],"layers_to_transform":[1],"layers_pattern":"layer"`, "vit.layer.1.q"},
		{`"target_modules":["q"],"layers_to_transform":[1],"layers_pattern":["block","layer"]`, "vit.layer.1.q"},
		{`"target_modules":["vit.layer.0.q","q"],"layers_to_transform":[1]`, "vit.layer.0.q vit.layer.1.q"},
		{`"target_modules":["q"],"layers_to_transform":[]`, "vit.layer.0.q vit.layer.1.q vit.layer.2.q vit.layer.3.q top.0.q"},
	} {
		cfg, err := ParseConfig([]byte(`{"peft_type":"LORA",` + c.config + `}`))
		if err != nil {
			t.Fatal(err)
		}
		var sites = sitesNamed("vit.layer.0.q", "vit.layer.1.q", "vit.layer.2.q", "vit.layer.3.q", "top.0.q")
		p, err := NewPlan(cfg, sites, "")
		if err != nil {
			t.Errorf("%s: %v", c.config, err)
			continue
		}
		if got := strings.Join(adapted(p), " "); got != c.want {
			t.Errorf("%s: adapts %q, wanted %q", c.config, got, c.want)
		}
	}
	cfg := DefaultConfig()
	cfg.TargetModules, cfg.LayersToTransform = Modules{List: []string{"qkv"}}, Ints{1}
	_, err := NewPlan(cfg, sitesNamed("blocks.0.qkv", "blocks.1.qkv"), "")
	wantError(t, err, "layers_to_transform", "a name before the block list", "regular expression")
}
