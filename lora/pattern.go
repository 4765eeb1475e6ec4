package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// Pattern is rank_pattern or alpha_pattern: regular expressions with the value
// for the layers they match. It is a list and not a map because the first
// expression that matches wins, in the order of the file.
type Pattern[T int | float64] []PatternEntry[T]

// PatternEntry is one line of a [Pattern].
type PatternEntry[T int | float64] struct {
	Key   string
	Value T
}

// MarshalJSON writes an object, in order.
func (p Pattern[T]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := encode(e.Key)
		if err != nil {
			return nil, err
		}
		value, err := encode(e.Value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object, keeping its order, or null.
func (p *Pattern[T]) UnmarshalJSON(b []byte) error {
	*p = nil
	members, err := parseObject(b)
	if err != nil {
		return err
	}
	for _, m := range members {
		var v T
		if err := json.Unmarshal(m.value, &v); err != nil {
			return fmt.Errorf("key %q: %s is not %s", m.key, m.value, numberName(v))
		}
		*p = append(*p, PatternEntry[T]{m.key, v})
	}
	return nil
}

// MarshalYAML writes a mapping, in order.
func (p Pattern[T]) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, e := range p {
		var k, v yaml.Node
		if err := errors.Join(k.Encode(e.Key), v.Encode(e.Value)); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &k, &v)
	}
	return n, nil
}

// UnmarshalYAML reads a mapping, keeping its order, or null.
func (p *Pattern[T]) UnmarshalYAML(n *yaml.Node) error {
	*p = nil
	if n.ShortTag() == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: wanted a mapping from layer names to numbers", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		e := PatternEntry[T]{Key: k.Value}
		if err := v.Decode(&e.Value); err != nil {
			return fmt.Errorf("line %d: %q: %s is not %s", v.Line, k.Value, v.Value, numberName(e.Value))
		}
		if slices.ContainsFunc(*p, func(o PatternEntry[T]) bool { return o.Key == e.Key }) {
			return fmt.Errorf("line %d: %q appears twice", k.Line, k.Value)
		}
		*p = append(*p, e)
	}
	return nil
}

func numberName(v any) string {
	if _, ok := v.(int); ok {
		return "an integer"
	}
	return "a number"
}

// member is one key of a JSON object with its value's text.
type member struct {
	key   string
	value json.RawMessage
}

// parseObject splits a JSON object, keeping its order; null gives nothing.
// A name that appears twice is refused: readers differ in which one they take.
func parseObject(b []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if tok == nil {
		return nil, nil
	}
	if tok != json.Delim('{') {
		return nil, fmt.Errorf("wanted an object, found %v", tok)
	}
	var out []member
	seen := make(map[string]bool)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key := tok.(string) // the decoder accepts nothing else in this place
		if seen[key] {
			return nil, fmt.Errorf("key %q appears twice", key)
		}
		seen[key] = true
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		out = append(out, member{key, v})
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("something follows the closing brace")
	}
	return out, nil
}
