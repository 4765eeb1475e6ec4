package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Write replaces the file at path by the container f: it is written beside it
// and renamed, so a reader sees the old file or the new one, never half of one.
func Write(path string, f *File) error {
	err := WriteAtomic(path, f.Encode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Encode writes the container to w. Tensors are ordered by element size, the
// widest first, and then by name, as the reference implementation orders them:
// every tensor then starts at a multiple of its element size, which
// readers that view the file in place need.
func (f *File) Encode(w io.Writer) error {
	names := f.Names()
	slices.SortStableFunc(names, func(a, b string) int {
		return f.Tensors[b].DType.Size() - f.Tensors[a].DType.Size()
	})
	header, err := f.header(names)
	if err != nil {
		return err
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(header)))
	if _, err := w.Write(length[:]); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := w.Write(f.Tensors[name].Data); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) header(names []string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(f.Metadata) > 0 {
		// encoding/json sorts the keys of a map.
		fmt.Fprintf(&b, "%q:%s", metadataKey, compact(f.Metadata))
	}
	at := 0
	for _, name := range names {
		t := f.Tensors[name]
		if name == metadataKey {
			return nil, fmt.Errorf("tensor %q: the name is reserved", name)
		}
		want, err := bytesOf(t.DType, t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if want != len(t.Data) {
			return nil, fmt.Errorf("tensor %q: shape %v of %s takes %d bytes, it has %d", name, t.Shape, t.DType, want, len(t.Data))
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		fmt.Fprintf(&b, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, compact(name), t.DType, compact(shape), at, at+want)
		at += want
	}
	b.WriteByte('}')
	if pad := b.Len() % 8; pad != 0 {
		b.WriteString(strings.Repeat(" ", 8-pad))
	}
	if b.Len() > MaxHeader {
		return nil, fmt.Errorf("header takes %d bytes, the limit is %d", b.Len(), MaxHeader)
	}
	return b.Bytes(), nil
}

// compact is JSON without spaces and without HTML escapes. Its arguments are
// strings, integers and maps of strings, which always encode.
func compact(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("safetensors: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
