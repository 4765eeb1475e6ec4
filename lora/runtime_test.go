package lora

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestRuntimeRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "weights", "best")
	_, err := ReadRuntime(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without: %v", err)
	}
	r := &Runtime{Task: "classify", Classes: []string{"cat", "<dog>"}, Decoder: "portable", Preprocess: json.RawMessage(`{"size":224}`),
		Sites:     map[string]SiteTensors{"blocks.0.attn.qkv": {Weight: "onnx::MatMul_1", Transposed: true}},
		BaseModel: BaseModel{Given: "m.onnx", SHA256: "ab"}}
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	back, err := ReadRuntime(dir)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any // indentation of the raw part differs
	if json.Unmarshal(back.Preprocess, &a) != nil || json.Unmarshal(r.Preprocess, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("preprocess became %s", back.Preprocess)
	}
	back.Preprocess = r.Preprocess
	if !reflect.DeepEqual(back, r) {
		t.Errorf("read back %+v, wanted %+v", back, r)
	}
	write(t, filepath.Join(dir, RuntimeFile), `{"format":9}`)
	_, err = ReadRuntime(dir)
	wantError(t, err, "format is 9, this vislora reads 1")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestFindBase moves the folders about and asks where the model is now.
func TestFindBase(t *testing.T) {
	root := t.TempDir()
	model, dir := filepath.Join(root, "a", "models", "m.onnx"), filepath.Join(root, "a", "run", "best")
	write(t, model, "the model")
	write(t, filepath.Join(dir, "x"), "")
	base, err := DescribeBase(model, dir)
	if err != nil {
		t.Fatal(err)
	}
	if base.Relative != "../../models/m.onnx" || len(base.SHA256) != 64 {
		t.Errorf("described as %+v", base)
	}
	find := func(want, dir, given string) {
		t.Helper()
		got, err := base.Find(dir, given)
		if err != nil || got != want {
			t.Errorf("found %q, %v; wanted %q", got, err, want)
		}
	}
	find(model, dir, "")

	// Model and run moved together: the absolute path is gone, the relative holds.
	if err := os.Rename(filepath.Join(root, "a"), filepath.Join(root, "b")); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, "b", "run", "best")
	find(filepath.Join(root, "b", "models", "m.onnx"), dir, "")

	// The model replaced by another under the same name: it is not taken.
	write(t, filepath.Join(root, "b", "models", "m.onnx"), "another")
	_, err = base.Find(dir, "")
	wantError(t, err, "(absent)", "another file", base.SHA256[:12], "--model")
	_, err = base.Find(dir, filepath.Join(root, "b", "models", "m.onnx"))
	wantError(t, err, "has SHA-256", base.SHA256)
	_, err = base.Find(dir, filepath.Join(root, "nowhere.onnx"))
	wantError(t, err, "nowhere.onnx")

	write(t, filepath.Join(dir, "m.onnx"), "the model")
	find(filepath.Join(dir, "m.onnx"), dir, "")
	write(t, filepath.Join(root, "given.onnx"), "the model")
	find(filepath.Join(root, "given.onnx"), dir, filepath.Join(root, "given.onnx"))
}
