package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Read reads and checks the file at path. The whole file is held in memory for
// as long as any of its tensors is.
func Read(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err // names the file already
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

// Parse checks a container that is already in memory. The tensors alias b.
func Parse(b []byte) (*File, error) {
	if len(b) < 8 {
		return nil, fmt.Errorf("file is %d bytes long, a safetensors file has at least 10: it is truncated or not safetensors", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	switch {
	case n > MaxHeader:
		return nil, fmt.Errorf("header claims %d bytes, the limit is %d: this is not a safetensors file", n, MaxHeader)
	case n > uint64(len(b)-8):
		return nil, fmt.Errorf("header claims %d bytes, the file has %d left: it is truncated", n, len(b)-8)
	}
	header, data := b[8:8+n], b[8+n:]
	if len(header) == 0 || header[0] != '{' {
		return nil, errors.New("header does not begin with '{': this is not a safetensors file")
	}
	if !utf8.Valid(header) {
		return nil, errors.New("header is not valid UTF-8")
	}
	f, spans, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := assign(f, spans, data); err != nil {
		return nil, err
	}
	return f, nil
}

// span is where a tensor says its bytes are.
type span struct {
	name       string
	begin, end int
}

// assign cuts the data into tensors after checking that the spans cover it
// from the first byte to the last without gap or overlap.
func assign(f *File, spans []span, data []byte) error {
	slices.SortFunc(spans, func(a, b span) int {
		if a.begin != b.begin {
			return a.begin - b.begin
		}
		return a.end - b.end // empty tensors come before the one that starts there
	})
	at := 0
	for _, s := range spans {
		switch {
		case s.end > len(data):
			return fmt.Errorf("tensor %q ends at byte %d, the file has %d bytes of data: it is truncated", s.name, s.end, len(data))
		case s.begin > at:
			return fmt.Errorf("tensor %q begins at byte %d, the one before it ends at %d: the gap belongs to no tensor", s.name, s.begin, at)
		case s.begin < at:
			return fmt.Errorf("tensor %q begins at byte %d, inside the one before it, which ends at %d", s.name, s.begin, at)
		}
		at = s.end
		t := f.Tensors[s.name]
		t.Data = data[s.begin:s.end:s.end]
		f.Tensors[s.name] = t
	}
	if at != len(data) {
		return fmt.Errorf("the tensors end at byte %d, the file has %d bytes of data: %d bytes belong to no tensor", at, len(data), len(data)-at)
	}
	return nil
}

// parseHeader walks the JSON token by token: a map would let the last of two
// equal names win in silence.
func parseHeader(header []byte) (*File, []span, error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	dec.UseNumber()
	f := &File{Tensors: make(map[string]Tensor)}
	var spans []span
	seenMeta := false
	err := object(dec, func(name string) error {
		if name == metadataKey {
			if seenMeta {
				return fmt.Errorf("%s appears twice", metadataKey)
			}
			seenMeta = true
			m, err := metadata(dec)
			if err != nil {
				return fmt.Errorf("%s: %w", metadataKey, err)
			}
			f.Metadata = m
			return nil
		}
		if _, dup := f.Tensors[name]; dup {
			return fmt.Errorf("tensor %q appears twice", name)
		}
		t, begin, end, err := entry(dec)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		f.Tensors[name] = t
		spans = append(spans, span{name, begin, end})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("something follows the closing brace")
	}
	return f, spans, nil
}

// entry reads {"dtype": …, "shape": […], "data_offsets": [begin, end]} and
// checks that the three agree.
func entry(dec *json.Decoder) (t Tensor, begin, end int, err error) {
	var offsets []int
	var seen [3]bool
	err = object(dec, func(key string) (err error) {
		i := slices.Index([]string{"dtype", "shape", "data_offsets"}, key)
		if i < 0 {
			return fmt.Errorf("unknown key %q", key)
		}
		if seen[i] {
			return fmt.Errorf("%s appears twice", key)
		}
		seen[i] = true
		switch i {
		case 0:
			var s string
			s, err = text(dec)
			t.DType = DType(s)
		case 1:
			t.Shape, err = ints(dec, maxRank)
		case 2:
			offsets, err = ints(dec, 2)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return t, 0, 0, err
	}
	for i, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[i] {
			return t, 0, 0, fmt.Errorf("%s is missing", key)
		}
	}
	if len(offsets) != 2 {
		return t, 0, 0, fmt.Errorf("data_offsets has %d numbers, wanted 2", len(offsets))
	}
	begin, end = offsets[0], offsets[1]
	if begin > end {
		return t, 0, 0, fmt.Errorf("data_offsets [%d, %d] run backwards", begin, end)
	}
	want, err := bytesOf(t.DType, t.Shape)
	if err != nil {
		return t, 0, 0, err
	}
	if end-begin != want {
		return t, 0, 0, fmt.Errorf("shape %v of %s takes %d bytes, data_offsets [%d, %d] give it %d", t.Shape, t.DType, want, begin, end, end-begin)
	}
	return t, begin, end, nil
}

func metadata(dec *json.Decoder) (map[string]string, error) {
	m := make(map[string]string)
	err := object(dec, func(key string) error {
		if _, dup := m[key]; dup {
			return fmt.Errorf("key %q appears twice", key)
		}
		s, err := text(dec)
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		m[key] = s
		return nil
	})
	return m, err
}

// object reads a JSON object and calls value for every key, in order; value
// must consume the key's value.
func object(dec *json.Decoder, value func(key string) error) error {
	tok, err := next(dec)
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return fmt.Errorf("wanted an object, found %v", tok)
	}
	for dec.More() {
		tok, err := next(dec)
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok {
			return fmt.Errorf("wanted a name, found %v", tok)
		}
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = next(dec) // the closing brace
	return err
}

func text(dec *json.Decoder) (string, error) {
	tok, err := next(dec)
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("wanted a string, found %v", tok)
	}
	return s, nil
}

// ints reads an array of at most limit non-negative integers.
func ints(dec *json.Decoder, limit int) ([]int, error) {
	tok, err := next(dec)
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('[') {
		return nil, fmt.Errorf("wanted an array, found %v", tok)
	}
	out := []int{}
	for dec.More() {
		tok, err := next(dec)
		if err != nil {
			return nil, err
		}
		num, ok := tok.(json.Number)
		if !ok {
			return nil, fmt.Errorf("wanted a number, found %v", tok)
		}
		v, err := strconv.Atoi(num.String())
		if err != nil || v < 0 {
			return nil, fmt.Errorf("%s is not a non-negative integer", num)
		}
		if len(out) == limit {
			return nil, fmt.Errorf("more than %d numbers", limit)
		}
		out = append(out, v)
	}
	_, err = next(dec)
	return out, err
}

// next is dec.Token with the end of the header as an error.
func next(dec *json.Decoder) (json.Token, error) {
	tok, err := dec.Token()
	if err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	}
	return tok, err
}
