package lora

import (
	"slices"
	"strings"
	"testing"
)

func TestBlocks(t *testing.T) {
	for s, want := range map[string]Ints{"8-11": {8, 9, 10, 11}, "0, 5,11": {0, 5, 11}, "3": {3}, "2-3,1-2": {1, 2, 3}} {
		if got, err := ParseBlocks(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "a", "3-1", "-1", "1,,2", "0-99999999"} {
		if got, err := ParseBlocks(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	sites := sitesNamed("patch_embed.proj", "blocks.0.attn.qkv", "blocks.1.attn.qkv", "blocks.1.mlp.fc1", "head")
	for targets, want := range map[string]string{
		"all":       "blocks.1.attn.qkv blocks.1.mlp.fc1",
		"qkv":       "blocks.1.attn.qkv",
		`blocks.*1`: "blocks.1.mlp.fc1",
	} {
		c := DefaultConfig()
		c.TargetModules, c.Blocks = ParseModules(targets), Ints{1}
		p, err := NewPlan(c, sites, "head")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(adapted(p), " "); got != want {
			t.Errorf("%s: adapts %q, wanted %q", targets, got, want)
		}
		// The file knows nothing of blocks: what it names are these layers alone.
		again, err := NewPlan(p.Config, sites, "head")
		if got := strings.Join(adapted(again), " "); err != nil || got != want || p.Config.Blocks != nil {
			t.Errorf("%s: the file adapts %q (%v), wanted %q", targets, got, err, want)
		}
	}
	c := DefaultConfig()
	c.TargetModules, c.Blocks = ParseModules("qkv"), Ints{7}
	_, err := NewPlan(c, sites, "head")
	wantError(t, err, "qkv", "[7]", "[0 1]")
}
