package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// container builds a file from a header as text and data bytes.
func container(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestParse(t *testing.T) {
	b := container(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},`+
		`"empty":{"dtype":"I64","shape":[0,3],"data_offsets":[8,8]},"s":{"data_offsets":[8,9],"shape":[],"dtype":"BOOL"}}   `,
		[]byte{0, 0, 128, 63, 0, 0, 0, 64, 1})
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	want := &File{Metadata: map[string]string{"format": "pt"}, Tensors: map[string]Tensor{
		"a":     {F32, []int{2}, []byte{0, 0, 128, 63, 0, 0, 0, 64}},
		"empty": {I64, []int{0, 3}, []byte{}},
		"s":     {Bool, []int{}, []byte{1}},
	}}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got  %v\nwant %v", f, want)
	}
}

func TestParseRefuses(t *testing.T) {
	entry := func(name, dtype, shape, offsets string) string {
		return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}`, name, dtype, shape, offsets)
	}
	one := entry("a", "U8", "[2]", "[0,2]")
	for _, c := range []struct {
		name   string
		b      []byte
		errHas string
	}{
		{"empty", nil, "0 bytes long"},
		{"huge header", binary.LittleEndian.AppendUint64(nil, 1<<62), "the limit is 100000000"},
		{"truncated header", append(binary.LittleEndian.AppendUint64(nil, 90), '{'), "claims 90 bytes, the file has 1 left"},
		{"no brace", container(" {}", nil), "does not begin with '{'"},
		{"not UTF-8", container("{\"\xff\":1}", nil), "UTF-8"},
		{"not JSON", container(`{"a"`, nil), "unexpected EOF"},
		{"trailing", container(`{} {}`, nil), "follows the closing brace"},
		{"duplicate tensor", container("{"+one+","+entry("a", "U8", "[2]", "[2,4]")+"}", make([]byte, 4)), `"a" appears twice`},
		{"duplicate by escape", container("{"+one+","+entry(`\u0061`, "U8", "[2]", "[2,4]")+"}", make([]byte, 4)), `"a" appears twice`},
		{"duplicate field", container(`{"a":{"dtype":"U8","dtype":"I8","shape":[2],"data_offsets":[0,2]}}`, make([]byte, 2)), "dtype appears twice"},
		{"duplicate metadata", container(`{"__metadata__":{},"__metadata__":{}}`, nil), "appears twice"},
		{"metadata not text", container(`{"__metadata__":{"a":1}}`, nil), "wanted a string"},
		{"unknown key", container(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"x":1}}`, make([]byte, 2)), `unknown key "x"`},
		{"missing shape", container(`{"a":{"dtype":"U8","data_offsets":[0,2]}}`, make([]byte, 2)), "shape is missing"},
		{"dtype", container("{"+entry("a", "F8_E4M3", "[2]", "[0,2]")+"}", make([]byte, 2)), `dtype "F8_E4M3" is not supported`},
		{"negative", container("{"+entry("a", "U8", "[-2]", "[0,2]")+"}", make([]byte, 2)), "-2 is not a non-negative integer"},
		{"fraction", container("{"+entry("a", "U8", "[2.5]", "[0,2]")+"}", make([]byte, 2)), "2.5 is not"},
		{"beyond int", container("{"+entry("a", "U8", "[99999999999999999999]", "[0,2]")+"}", make([]byte, 2)), "is not a non-negative integer"},
		{"overflow", container("{"+entry("a", "F32", "[4611686018427387904,4]", "[0,0]")+"}", nil), "overflows"},
		{"too many dims", container("{"+entry("a", "U8", "["+strings.Repeat("1,", 40)+"1]", "[0,1]")+"}", nil), "more than 32"},
		{"size", container("{"+entry("a", "F32", "[2]", "[0,2]")+"}", make([]byte, 2)), "takes 8 bytes, data_offsets [0, 2] give it 2"},
		{"backwards", container("{"+entry("a", "U8", "[2]", "[2,0]")+"}", make([]byte, 2)), "run backwards"},
		{"three offsets", container("{"+entry("a", "U8", "[2]", "[0,2,4]")+"}", make([]byte, 4)), "more than 2"},
		{"out of range", container("{"+one+"}", make([]byte, 1)), "ends at byte 2, the file has 1 bytes of data"},
		{"gap", container("{"+one+","+entry("b", "U8", "[1]", "[3,4]")+"}", make([]byte, 4)), "begins at byte 3, the one before it ends at 2"},
		{"overlap", container("{"+one+","+entry("b", "U8", "[2]", "[1,3]")+"}", make([]byte, 3)), "inside the one before it"},
		{"unclaimed", container("{"+one+"}", make([]byte, 5)), "3 bytes belong to no tensor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.b)
			if err == nil || !strings.Contains(err.Error(), c.errHas) {
				t.Errorf("error %v does not contain %q", err, c.errHas)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	f := &File{Metadata: map[string]string{"format": "pt", "a": "<&>"}, Tensors: map[string]Tensor{
		"b": {F32, []int{1}, []byte{1, 2, 3, 4}},
		"a": {BF16, []int{1}, []byte{5, 6}},
		"c": {F32, nil, []byte{7, 8, 9, 10}},
	}}
	var b bytes.Buffer
	if err := f.Encode(&b); err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"a":"<&>","format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},` +
		`"c":{"dtype":"F32","shape":[],"data_offsets":[4,8]},"a":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	if want := container(header, []byte{1, 2, 3, 4, 7, 8, 9, 10, 5, 6}); !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got  %q\nwant %q", b.Bytes(), want)
	}
	f.Tensors["b"] = Tensor{F32, []int{2}, make([]byte, 4)}
	if err := f.Encode(io.Discard); err == nil || !strings.Contains(err.Error(), "takes 8 bytes, it has 4") {
		t.Errorf("wrong size: error %v", err)
	}
}

func TestWriteKeepsOldFileOnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	good := &File{Tensors: map[string]Tensor{"a": {U8, []int{1}, []byte{1}}}}
	if err := Write(path, good); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	bad := &File{Tensors: map[string]Tensor{"a": {U8, []int{2}, []byte{1}}}}
	if err := Write(path, bad); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name %s", err, path)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("old file changed: %q, %v", after, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
	back, err := Read(path)
	if err != nil || !reflect.DeepEqual(back.Tensors, good.Tensors) {
		t.Errorf("read back %v, %v", back, err)
	}
}

// FuzzParse holds that no input panics and that whatever is accepted can be
// written and read again with the same contents.
func FuzzParse(f *testing.F) {
	f.Add(container(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, make([]byte, 8)))
	f.Add(container(`{"__metadata__":{"k":"v"},"a":{"dtype":"U8","shape":[0,9],"data_offsets":[0,0]}}`, nil))
	f.Add(container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F16","shape":[],"data_offsets":[1,3]}}`, make([]byte, 3)))
	f.Add(container(`{}`, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := Parse(b)
		if err != nil {
			return
		}
		var w bytes.Buffer
		if err := in.Encode(&w); err != nil {
			t.Fatalf("encode what was parsed: %v", err)
		}
		out, err := Parse(w.Bytes())
		if err != nil {
			t.Fatalf("parse what was encoded: %v", err)
		}
		if len(in.Metadata) == 0 { // an empty __metadata__ is not written
			in.Metadata, out.Metadata = nil, nil
		}
		if !reflect.DeepEqual(in, out) {
			t.Fatalf("round trip: %v became %v", in, out)
		}
	})
}
