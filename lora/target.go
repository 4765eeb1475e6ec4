package lora

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vislora/vislora/vision/build"
)

// choice is what target_modules says of one site.
type choice struct {
	wanted bool
	// named is set when the configuration meant this very layer: by its whole
	// path, or by an entry that matches depthwise convolutions only. It is what
	// a depthwise convolution needs to be adapted.
	named bool
	// why tells in a word why a site that the target covers is left out.
	why string
}

// presetRoles are the roles that the preset "vit" adapts.
var presetRoles = []string{"patch_embed", "attn.qkv", "attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2"}

// isDepthwise reports whether every channel is convolved by itself.
func isDepthwise(s build.Site) bool {
	return s.Kind == build.KindConv && s.Groups > 1 && s.Groups == s.In && s.In == s.Out
}

// choose applies target_modules, exclude_modules and modules_to_save to the
// sites; the result has one choice per site. Every entry of a list must match.
func (m *matcher) choose(sites []build.Site, classifier string) ([]choice, error) {
	out := make([]choice, len(sites))
	t := m.c.TargetModules
	if t.IsZero() {
		return nil, fmt.Errorf("target_modules is empty: name layers (%s), or use one of %s",
			strings.Join(examples(sites), ", "), strings.Join(Presets, ", "))
	}
	switch preset := t.preset(); {
	case preset != "":
		matched := false
		for i, s := range sites {
			out[i] = fromPreset(preset, s, classifier)
			matched = matched || out[i].wanted
		}
		if !matched {
			return nil, fmt.Errorf("target_modules %q matches none of the %d layers: this model has %s", preset, len(sites), census(sites))
		}
	case t.Pattern != "":
		hits := mark(sites, out, m.target.MatchString)
		if hits == 0 {
			return nil, fmt.Errorf("target_modules: regular expression `%s` matches none of the %d layers; it must match the whole path, such as %s",
				t.Pattern, len(sites), strings.Join(nearest(t.Pattern, sites, 5), ", "))
		}
	default:
		for _, e := range t.List {
			if mark(sites, out, func(path string) bool { return m.listed(e, path) }) == 0 {
				return nil, m.unmatched(e, sites)
			}
			for i, s := range sites {
				if s.Path == e {
					out[i].named = true
				}
			}
		}
	}
	for i, s := range sites {
		if why := m.excluded(s.Path); out[i].wanted && why != "" {
			out[i] = choice{why: why}
		}
	}
	return out, m.c.keepBlocks(sites, out)
}

// mark sets the choices of the sites that match and returns how many do.
func mark(sites []build.Site, out []choice, match func(string) bool) int {
	hits, depthwise := 0, 0
	for i, s := range sites {
		if match(s.Path) {
			hits++
			out[i].wanted = true
			if isDepthwise(s) {
				depthwise++
			}
		}
	}
	if hits == depthwise {
		for i, s := range sites {
			if match(s.Path) {
				out[i].named = true
			}
		}
	}
	return hits
}

func fromPreset(preset string, s build.Site, classifier string) choice {
	if s.Path == classifier || s.Role == "classifier" {
		return choice{}
	}
	linear, conv := s.Kind == build.KindLinear, s.Kind == build.KindConv
	switch preset {
	case "all-linear":
		return choice{wanted: linear}
	case "vit":
		return choice{wanted: slices.Contains(presetRoles, s.Role)}
	case "all":
		if linear {
			return choice{wanted: true}
		}
	}
	if !conv {
		return choice{}
	}
	if s.Groups > 1 {
		return choice{why: fmt.Sprintf("%d groups; %q takes ungrouped convolutions: name it to adapt it", s.Groups, preset)}
	}
	return choice{wanted: true}
}

// unmatched is the error for a list entry that takes no layer.
func (m *matcher) unmatched(entry string, sites []build.Site) error {
	if len(m.c.LayersToTransform) > 0 && slices.ContainsFunc(sites, func(s build.Site) bool { return named(entry, s.Path) }) {
		return fmt.Errorf("target_modules: %q matches no layer in the blocks %v of layers_to_transform; "+
			"like PEFT it wants a name before the block list (vit.blocks.1.…): give target_modules a regular expression such as `%s` instead",
			entry, []int(m.c.LayersToTransform), `.*blocks\.(0|1)\..*`+regexp.QuoteMeta(entry))
	}
	if len(sites) == 0 {
		return fmt.Errorf("target_modules: %q matches nothing: the model has no layer that an adapter can be put on (a weight that several nodes read is left alone)", entry)
	}
	return fmt.Errorf("target_modules: %q matches none of the %d layers; near it: %s",
		entry, len(sites), strings.Join(nearest(entry, sites, 5), ", "))
}

// census says how many layers of which kind there are.
func census(sites []build.Site) string {
	var linear, conv, grouped int
	for _, s := range sites {
		switch {
		case s.Kind == build.KindLinear:
			linear++
		case s.Groups > 1:
			grouped++
		default:
			conv++
		}
	}
	return fmt.Sprintf("%d linear layers, %d convolutions and %d grouped convolutions", linear, conv, grouped)
}

// examples are the last names of the first few layers.
func examples(sites []build.Site) []string {
	var out []string
	for _, s := range sites {
		name := s.Path[strings.LastIndexByte(s.Path, '.')+1:]
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
		if len(out) == 5 {
			break
		}
	}
	return out
}

// nearest returns the n paths whose ends differ least from name.
func nearest(name string, sites []build.Site, n int) []string {
	type scored struct {
		path  string
		edits int
	}
	parts := strings.Count(name, ".") + 1
	all := make([]scored, 0, len(sites))
	for _, s := range sites {
		p := strings.Split(s.Path, ".")
		end := strings.Join(p[max(0, len(p)-parts):], ".")
		all = append(all, scored{s.Path, edits(name, end)})
	}
	slices.SortStableFunc(all, func(a, b scored) int { return a.edits - b.edits })
	var out []string
	for _, s := range all[:min(n, len(all))] {
		out = append(out, s.path)
	}
	return out
}

// edits is the Levenshtein distance of two names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
