package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Modules chooses layers by name, as PEFT's target_modules and exclude_modules
// do: by a list, whose entries are whole paths or their ends ("qkv",
// "attn.proj"), or by one string, which is a regular expression that must match
// the whole path or one of the words in [Presets]. In JSON and YAML it is a
// list, a string or null.
type Modules struct {
	List    []string
	Pattern string
}

// Presets are the strings of target_modules that are not regular expressions:
//
//	all-linear  every linear layer but the classifier (PEFT's own)
//	all-conv    every ungrouped convolution but a classifying one
//	all         both
//	vit         qkv (or q, k, v), projection, MLP and patch embedding
//	cnn         every ungrouped convolution but a classifying one
var Presets = []string{"all-linear", "all-conv", "all", "vit", "cnn"}

// ParseModules reads what people type on a command line: a preset, a list
// separated by commas ("qkv,proj"), or a regular expression, recognised by a
// character that no layer name has.
func ParseModules(s string) Modules {
	s = strings.TrimSpace(s)
	if s == "" {
		return Modules{}
	}
	if (Modules{Pattern: s}).preset() != "" || strings.ContainsAny(s, `\^$*+?()[]{}|`) {
		return Modules{Pattern: s}
	}
	var m Modules
	for e := range strings.SplitSeq(s, ",") {
		if e = strings.TrimSpace(e); e != "" {
			m.List = append(m.List, e)
		}
	}
	return m
}

// IsZero reports whether nothing is chosen.
func (m Modules) IsZero() bool { return len(m.List) == 0 && m.Pattern == "" }

// Equal compares lists as sets: PEFT writes them in no particular order.
func (m Modules) Equal(o Modules) bool {
	return m.Pattern == o.Pattern && slices.Equal(set(m.List), set(o.List))
}

// String is the list with commas, or the pattern.
func (m Modules) String() string {
	if m.Pattern != "" {
		return m.Pattern
	}
	return strings.Join(m.List, ",")
}

// preset returns the preset that the pattern names, "" if it is none. PEFT
// compares all-linear without regard to case.
func (m Modules) preset() string {
	p := strings.ToLower(m.Pattern)
	if slices.Contains(Presets, p) {
		return p
	}
	return ""
}

func set(list []string) []string {
	s := slices.Clone(list)
	slices.Sort(s)
	return slices.Compact(s)
}

// value is what is marshalled.
func (m Modules) value() any {
	switch {
	case m.Pattern != "":
		return m.Pattern
	case m.List == nil:
		return nil
	}
	return m.List
}

// MarshalJSON writes a string, a list or null.
func (m Modules) MarshalJSON() ([]byte, error) { return encode(m.value()) }

// MarshalYAML writes a string, a list or null.
func (m Modules) MarshalYAML() (any, error) { return m.value(), nil }

// UnmarshalJSON reads a string, a list of strings or null.
func (m *Modules) UnmarshalJSON(b []byte) error {
	*m = Modules{}
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &m.Pattern)
	}
	if err := json.Unmarshal(b, &m.List); err != nil {
		return errors.New("wanted a list of names, a regular expression or null")
	}
	return nil
}

// UnmarshalYAML reads what UnmarshalJSON reads; a plain string is taken apart
// by [ParseModules], so "targets: qkv,proj" works in a file too.
func (m *Modules) UnmarshalYAML(n *yaml.Node) error {
	*m = Modules{}
	switch {
	case n.ShortTag() == "!!null":
		return nil
	case n.Kind == yaml.ScalarNode:
		*m = ParseModules(n.Value)
		return nil
	}
	if err := n.Decode(&m.List); err != nil {
		return fmt.Errorf("line %d: wanted a list of names, a regular expression or null", n.Line)
	}
	return nil
}

// encode is json.Marshal without HTML escapes: "<" occurs in regular
// expressions.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
