package lora

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vislora/vislora/vision/build"
)

// Plan says which layers of a model get which adapter.
type Plan struct {
	// Config is the configuration that goes into the adapter's file. Its
	// target_modules names the adapted layers so that PEFT resolves to the same
	// ones; everything else is as asked.
	Config *Config
	// Sites holds the adapted layers, in the order of the model.
	Sites []Spec
	// Skipped holds the layers that target_modules covers and that are not
	// adapted.
	Skipped []Skip
	// Notes are words for people, such as a pattern that matches nothing.
	Notes []string
}

// Skip is a layer that is left as it is.
type Skip struct {
	Site   build.Site
	Reason string
}

// NewPlan chooses layers and sizes their adapters. classifier is the path of
// the layer that makes the logits, "" if there is none: presets leave it out.
//
// Beyond PEFT's rules: every entry of target_modules must match a layer; a
// layer whose adapter would have as many parameters as its weight is skipped;
// a depthwise convolution is skipped unless the configuration names it, in
// which case the whole k×k update is trained. Nothing is skipped in silence.
func NewPlan(c *Config, sites []build.Site, classifier string) (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(sites))
	for _, s := range sites {
		if seen[s.Path] {
			return nil, fmt.Errorf("layer %s: two layers of the model have this path", s.Path)
		}
		seen[s.Path] = true
		if err := checkSite(s); err != nil {
			return nil, err
		}
	}
	m, _ := compileMatcher(c) // Validate has reported what does not compile
	choices, err := m.choose(sites, classifier)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	for i, s := range sites {
		ch := choices[i]
		skip := func(reason string) { p.Skipped = append(p.Skipped, Skip{s, reason}) }
		if !ch.wanted {
			if ch.why != "" {
				skip(ch.why)
			}
			continue
		}
		if isDepthwise(s) {
			if ch.named {
				p.Sites = append(p.Sites, deltaSpec(s))
			} else {
				skip("depthwise: a low-rank adapter would be larger than the layer; name it to train its whole k×k update")
			}
			continue
		}
		sp := newSpec(c, s, m.rankOf(s.Path), m.alphaOf(s.Path))
		if sp.Params >= sp.LayerParams {
			skip(fmt.Sprintf("adapter of rank %d would have %d parameters, the layer has %d: give it a lower rank in rank_pattern",
				sp.Rank, sp.Params, sp.LayerParams))
			continue
		}
		p.Sites = append(p.Sites, sp)
	}
	if len(p.Sites) == 0 {
		return nil, p.nothing(c)
	}
	p.Notes = m.unused(p)
	p.Config = p.resolve(c, m, sites)
	return p, nil
}

// nothing is the error for a target that covers layers and adapts none.
func (p *Plan) nothing(c *Config) error {
	var b strings.Builder
	fmt.Fprintf(&b, "target_modules %q adapts no layer, all %d that it covers are skipped", c.TargetModules, len(p.Skipped))
	for i, s := range p.Skipped {
		if i == 5 {
			fmt.Fprintf(&b, "; and %d more", len(p.Skipped)-i)
			break
		}
		fmt.Fprintf(&b, "; %s: %s", s.Site.Path, s.Reason)
	}
	return errors.New(b.String())
}

// unused finds patterns that take no effect: PEFT passes over them in silence.
func (m *matcher) unused(p *Plan) []string {
	var notes []string
	check := func(field, key string, i int, res []*regexp.Regexp) {
		first := func(path string) bool {
			return slices.IndexFunc(res, func(re *regexp.Regexp) bool { return re.MatchString(path) }) == i
		}
		if !slices.ContainsFunc(p.Sites, func(sp Spec) bool { return first(sp.Site.Path) }) {
			notes = append(notes, fmt.Sprintf("%s: %q takes no adapted layer", field, key))
		}
	}
	for i, e := range m.c.RankPattern {
		check("rank_pattern", e.Key, i, m.rank)
	}
	for i, e := range m.c.AlphaPattern {
		check("alpha_pattern", e.Key, i, m.alpha)
	}
	return notes
}

// resolve returns the configuration for the file. The target is left as it was
// asked where PEFT, knowing nothing of presets and skipped layers, would take
// the same layers; else it becomes the list of paths, or, since a path such as
// "conv1" in a list also means "layer1.0.conv1", a regular expression.
func (p *Plan) resolve(c *Config, m *matcher, sites []build.Site) *Config {
	out := c.Clone()
	out.Marks, out.Blocks = nil, nil
	var paths []string
	for _, sp := range p.Sites {
		paths = append(paths, sp.Site.Path)
		if mk := sp.mark(); mk != nil {
			if out.Marks == nil {
				out.Marks = &Marks{Format: marksFormat, Sites: make(map[string]Mark)}
			}
			out.Marks.Sites[sp.Site.Path] = *mk
		}
	}
	adapted := set(paths)
	takes := func(match func(string) bool) bool {
		var got []string
		for _, s := range sites {
			if m.excluded(s.Path) == "" && match(s.Path) {
				got = append(got, s.Path)
			}
		}
		return slices.Equal(set(got), adapted)
	}
	anyOf := func(list []string, match func(entry, path string) bool) func(string) bool {
		return func(path string) bool {
			return slices.ContainsFunc(list, func(e string) bool { return match(e, path) })
		}
	}
	t := c.TargetModules
	switch {
	case t.Pattern != "" && t.preset() == "" && takes(m.target.MatchString):
		return out
	case t.Pattern == "" && takes(anyOf(t.List, m.listed)):
		out.TargetModules.List = set(t.List)
		return out
	}
	// What is left names the layers one by one; block numbers are in the paths.
	out.LayersToTransform, out.LayersPattern = nil, nil
	if takes(anyOf(paths, named)) {
		out.TargetModules = Modules{List: adapted}
		return out
	}
	for i, path := range adapted {
		adapted[i] = regexp.QuoteMeta(path)
	}
	out.TargetModules = Modules{Pattern: strings.Join(adapted, "|")}
	return out
}

// Params is the number of trainable parameters of all adapters.
func (p *Plan) Params() int {
	n := 0
	for _, sp := range p.Sites {
		n += sp.Params
	}
	return n
}

// TrainsBias reports whether the bias mode trains the model's own parameter
// name ("blocks.0.norm1.bias").
func (p *Plan) TrainsBias(name string) bool {
	switch p.Config.Bias {
	case "all":
		return name == "bias" || strings.HasSuffix(name, ".bias")
	case "lora_only":
		return slices.ContainsFunc(p.Sites, func(sp Spec) bool { return name == sp.Site.Path+".bias" })
	}
	return false
}
