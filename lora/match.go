package lora

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// matcher answers PEFT's questions about a module path. The expressions are
// those of peft/tuners/tuners_utils.py (check_target_module_exists) and
// peft/utils/other.py (get_pattern_key) at version 0.20.
type matcher struct {
	c       *Config
	target  *regexp.Regexp // nil for a list or a preset
	exclude *regexp.Regexp // nil for a list
	saved   []*regexp.Regexp
	rank    []*regexp.Regexp // one per entry of RankPattern
	alpha   []*regexp.Regexp
	layers  []*regexp.Regexp // capture a block's index
}

// compileMatcher translates every pattern of the configuration and reports all
// that cannot be.
func compileMatcher(c *Config) (*matcher, []error) {
	m := &matcher{c: c}
	var errs []error
	compile := func(field, before, pattern, after string) *regexp.Regexp {
		re, err := compilePython(before, pattern, after)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
		return re
	}
	if p := c.TargetModules.Pattern; p != "" && c.TargetModules.preset() == "" {
		m.target = compile("target_modules", `\A(?:`, p, `)\z`)
	}
	if p := c.ExcludeModules.Pattern; p != "" {
		m.exclude = compile("exclude_modules", `\A(?:`, p, `)\z`)
	}
	for _, p := range c.ModulesToSave {
		m.saved = append(m.saved, compile("modules_to_save", `\A(?:|.*\.)(?:`, p, `)(?:\z|\..*)`))
	}
	for _, e := range c.RankPattern {
		m.rank = append(m.rank, compile("rank_pattern", `\A(?:.*\.)?(?:`, e.Key, `)\z`))
	}
	for _, e := range c.AlphaPattern {
		m.alpha = append(m.alpha, compile("alpha_pattern", `\A(?:.*\.)?(?:`, e.Key, `)\z`))
	}
	if len(c.LayersPattern) == 0 {
		m.layers = append(m.layers, regexp.MustCompile(`\A.*\.[^.]*\.(\d+)\.`))
	}
	for _, p := range c.LayersPattern {
		m.layers = append(m.layers, compile("layers_pattern", `\A.*\.(?:`, p, `)\.(\d+)\.`))
	}
	return m, errs
}

// named reports whether a list entry names path: the whole of it or its end.
func named(entry, path string) bool { return entry == path || strings.HasSuffix(path, "."+entry) }

// excluded tells why path may not be adapted, "" if it may.
func (m *matcher) excluded(path string) string {
	ex := m.c.ExcludeModules
	if m.exclude != nil && m.exclude.MatchString(path) ||
		slices.ContainsFunc(ex.List, func(e string) bool { return named(e, path) }) {
		return "in exclude_modules"
	}
	if slices.ContainsFunc(m.saved, func(re *regexp.Regexp) bool { return re.MatchString(path) }) {
		return "in modules_to_save, so it is trained as a whole"
	}
	return ""
}

// listed reports whether one entry of the target list takes path, the
// restriction to certain blocks included. A whole path is exempt from that.
func (m *matcher) listed(entry, path string) bool {
	if entry == path {
		return true
	}
	return named(entry, path) && (len(m.c.LayersToTransform) == 0 || m.inLayers(path))
}

func (m *matcher) inLayers(path string) bool {
	for _, re := range m.layers {
		sub := re.FindStringSubmatch(path)
		if sub == nil {
			continue
		}
		i := len(sub) - 1 // the user's own groups come before
		n, err := strconv.Atoi(sub[i])
		return err == nil && slices.Contains(m.c.LayersToTransform, n)
	}
	return false
}

// rankOf and alphaOf give the configured r and alpha of a layer.
func (m *matcher) rankOf(path string) int {
	return pick(m.rank, m.c.RankPattern, path, m.c.R)
}

func (m *matcher) alphaOf(path string) float64 {
	return pick(m.alpha, m.c.AlphaPattern, path, m.c.LoraAlpha)
}

func pick[T int | float64](res []*regexp.Regexp, p Pattern[T], path string, def T) T {
	for i, re := range res {
		if re.MatchString(path) {
			return p[i].Value
		}
	}
	return def
}

// compilePython compiles a regular expression of Python's re between two
// pieces of Go's. What both languages write but read differently is
// translated; what RE2 lacks is refused by name.
func compilePython(before, pattern, after string) (*regexp.Regexp, error) {
	p, err := translate(pattern)
	if err == nil {
		// Alone first: "a)|(b" is no expression, but would become one inside.
		_, err = regexp.Compile(p)
	}
	if err != nil {
		return nil, fmt.Errorf("regular expression `%s` cannot be used: %w", pattern, err)
	}
	return regexp.Compile(before + p + after)
}

// unsupported are the openings of Python groups that RE2 has no equal for.
var unsupported = []struct{ open, what string }{
	{"(?=", "lookahead"}, {"(?!", "negative lookahead"}, {"(?<=", "lookbehind"}, {"(?<!", "negative lookbehind"},
	{"(?P=", "a back-reference"}, {"(?(", "a conditional"}, {"(?>", "an atomic group"}, {"(?#", "a comment"},
}

func translate(pattern string) (string, error) {
	var b strings.Builder
	class := false // inside […]
	for i := 0; i < len(pattern); i++ {
		c, rest := pattern[i], pattern[i:]
		switch {
		case c == '\\' && len(rest) > 1:
			i++
			switch {
			case rest[1] == 'Z' && !class:
				b.WriteString(`\z`)
			case rest[1] >= '1' && rest[1] <= '9' && !class:
				return "", fmt.Errorf("it uses the back-reference \\%c, which Go's RE2 does not have", rest[1])
			default:
				b.WriteString(rest[:2])
			}
		case class:
			switch c {
			case '[': // RE2 would read [:name:]
				b.WriteByte('\\')
			case ']':
				class = false
			}
			b.WriteByte(c)
		case c == '[':
			class = true
			b.WriteByte(c)
			if strings.HasPrefix(pattern[i+1:], "^") {
				i++
				b.WriteByte('^')
			}
			if strings.HasPrefix(pattern[i+1:], "]") { // a bracket that comes first is itself
				i++
				b.WriteString(`\]`)
			}
		case strings.HasPrefix(rest, "{,"): // RE2 would read the characters
			b.WriteString("{0")
		default:
			for _, u := range unsupported {
				if strings.HasPrefix(rest, u.open) {
					return "", fmt.Errorf("it uses %s, %s…), which Go's RE2 does not have; list the layers instead", u.what, u.open)
				}
			}
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}
