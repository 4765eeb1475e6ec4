package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/onnxpb"
)

// external declares a tensor of dims (2, 2) whose contents lie elsewhere.
func external(name string, keyValues ...string) *onnxpb.TensorProto {
	p := &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(1), Dims: []int64{2, 2}, DataLocation: onnxpb.TensorProto_EXTERNAL.Enum()}
	for i := 0; i < len(keyValues); i += 2 {
		p.ExternalData = append(p.ExternalData, &onnxpb.StringStringEntryProto{Key: &keyValues[i], Value: &keyValues[i+1]})
	}
	return p
}

// folder holds weights.bin, with 1, 2, …, 8 as float32, and a model beside it.
func folder(t *testing.T, b *onnxtest.Builder) string {
	t.Helper()
	dir := t.TempDir()
	weights := onnxtest.Floats("", []int{8}, []float32{1, 2, 3, 4, 5, 6, 7, 8}).Raw
	model := filepath.Join(dir, "model.onnx")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(dir, "sub", "more.bin"), weights, 0o644),
		os.WriteFile(filepath.Join(dir, "weights.bin"), weights, 0o644), os.WriteFile(model, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	return model
}

func TestExternalData(t *testing.T) {
	path := folder(t, relu().InitProto(external("a", "location", "weights.bin", "offset", "16", "length", "16")).
		InitProto(external("b", "location", "weights.bin")).InitProto(external("c", "location", "./sub/more.bin", "offset", "4", "checksum", "x")).
		Node("Constant", ir.Attrs{}, nil, []string{"k"}).Node("Sum", nil, []string{"a", "b", "c", "k"}, []string{"z"}).Output("z", ir.Float, 2, 2))
	p := unmarshal(t, path)
	p.Graph.Node[1].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(),
		T: external("", "location", "weights.bin", "offset", "8")}}
	if err := os.WriteFile(path, []byte(encoded(t, p)), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	want := map[string][]float32{"a": {5, 6, 7, 8}, "b": {1, 2, 3, 4}, "c": {2, 3, 4, 5}, "k": {3, 4, 5, 6}}
	for name, v := range want {
		if got := m.Graph.Tensors[name].Float32s(); !slices.Equal(got, v) {
			t.Errorf("%s is %v, want %v", name, got, v)
		}
	}
	hash := m.SHA256()

	e := editModel(t, m)
	want["b"] = []float32{9, 9, 9, 9}
	if _, err := e.SetInitializer("b", want["b"]); err != nil {
		t.Fatal(err)
	}
	q, back := written(t, e) // read without a folder: nothing external is left
	for name, v := range want {
		if got := back.Graph.Tensors[name].Float32s(); !slices.Equal(got, v) {
			t.Errorf("written %s is %v, want %v", name, got, v)
		}
	}
	for _, x := range q.Graph.Initializer {
		if x.DataLocation != nil || len(x.ExternalData) > 0 {
			t.Errorf("%q is still external", x.GetName())
		}
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "weights.bin"), make([]byte, 32), 0o644); err != nil {
		t.Fatal(err)
	}
	other, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.SHA256() == hash {
		t.Error("other weights, same hash")
	}
}

func TestExternalDataRefused(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.bin")
	if err := os.WriteFile(outside, make([]byte, 64), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ want, location, offset, length string }{
		{"has no location", "", "0", "16"},
		{"is missing", "gone.bin", "0", "16"},
		{"outside the model's folder", "../secret.bin", "0", "16"},
		{"outside the model's folder", "sub/../../secret.bin", "0", "16"},
		{"outside the model's folder", outside, "0", "16"},
		{"outside the model's folder", `..\secret.bin`, "0", "16"},
		{"cannot be used", "link.bin", "0", "16"},
		{"cannot be used", "linkdir/secret.bin", "0", "16"},
		{"not a regular file", "sub", "0", "16"},
		{"needs 16 at offset 20", "weights.bin", "20", "16"},
		{"needs 16 at offset -4", "weights.bin", "-4", "16"},
		{"needs 16 at offset 9223372036854775807", "weights.bin", "9223372036854775807", "16"},
		{"external data has length 12", "weights.bin", "0", "12"},
		{"offset \"x\" is not a number", "weights.bin", "x", "16"},
		{"length \"99999999999999999999\" is not", "weights.bin", "0", "99999999999999999999"},
	} {
		path := folder(t, relu().InitProto(external("w", "location", c.location, "offset", c.offset, "length", c.length)))
		if err := errors.Join(os.Symlink(outside, filepath.Join(filepath.Dir(path), "link.bin")),
			os.Symlink(filepath.Dir(outside), filepath.Join(filepath.Dir(path), "linkdir"))); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		var f *FormatError
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `initializer "w"`) {
			t.Errorf("%s at %s: error %v, want %q", c.location, c.offset, err, c.want)
		}
	}
	b := relu().InitProto(external("w", "location", "weights.bin"))
	if _, err := Parse(b.Bytes(), ""); err == nil || !strings.Contains(err.Error(), "without a folder") {
		t.Errorf("without a folder: %v", err)
	}
}
