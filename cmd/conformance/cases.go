package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// testCase is one of ONNX's backend tests: a model, and tensors in the order of
// its inputs and outputs.
type testCase struct {
	name            string
	folder          string // where external data lies; "" in an archive
	model           []byte
	inputs, outputs [][]byte
}

// maxCaseFile keeps a damaged archive from filling memory.
const maxCaseFile = 1 << 30

// readCases reads all cases below a folder, or in a .tar.gz, sorted by name.
func readCases(root string) ([]testCase, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	err = errors.New("it is neither a folder nor a .tar.gz file")
	if strings.HasSuffix(root, ".tar.gz") || strings.HasSuffix(root, ".tgz") {
		err = readArchive(root, files)
	} else if info, e := os.Stat(root); e != nil {
		err = e
	} else if info.IsDir() {
		err = readFolder(root, files)
	}
	if err != nil {
		return nil, err
	}
	var cases []testCase
	for _, name := range slices.Sorted(maps.Keys(files)) {
		dir, base := path.Split(name)
		if base != "model.onnx" {
			continue
		}
		c := testCase{name: path.Base(path.Clean(dir)), model: files[name]}
		if !strings.HasSuffix(root, "gz") {
			c.folder = filepath.Join(root, filepath.FromSlash(dir))
		}
		for i := 0; ; i++ {
			data, ok := files[fmt.Sprintf("%stest_data_set_0/input_%d.pb", dir, i)]
			if !ok {
				break
			}
			c.inputs = append(c.inputs, data)
		}
		for i := 0; ; i++ {
			data, ok := files[fmt.Sprintf("%stest_data_set_0/output_%d.pb", dir, i)]
			if !ok {
				break
			}
			c.outputs = append(c.outputs, data)
		}
		if c.outputs != nil {
			cases = append(cases, c)
		}
	}
	return cases, nil
}

func wanted(name string) bool {
	return path.Base(name) == "model.onnx" || strings.Contains(name, "test_data_set_0/")
}

func readArchive(file string, files map[string][]byte) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !wanted(name) {
			continue
		}
		if files[name], err = io.ReadAll(io.LimitReader(r, maxCaseFile)); err != nil {
			return err
		}
	}
}

func readFolder(root string, files map[string][]byte) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !d.Type().IsRegular() || !wanted(name) {
			return nil
		}
		files[name], err = os.ReadFile(p)
		return err
	})
}

// decode reads a TensorProto as the importer does: as an initializer of a model
// that has nothing else.
func decode(data []byte, name string) (*ir.Tensor, error) {
	var t onnxpb.TensorProto
	if err := proto.Unmarshal(data, &t); err != nil {
		return nil, err
	}
	t.Name = proto.String(name)
	value := &onnxpb.ValueInfoProto{Name: proto.String(name)}
	raw, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}},
		Graph: &onnxpb.GraphProto{Name: proto.String("tensor"), Initializer: []*onnxpb.TensorProto{&t}, Output: []*onnxpb.ValueInfoProto{value}}})
	if err != nil {
		return nil, err
	}
	m, err := onnx.Parse(raw, "")
	if err != nil {
		return nil, err
	}
	return m.Graph.Tensors[name], nil
}

// load reads the model and its tensors.
func (c testCase) load() (m *onnx.Model, in, want map[string]*ir.Tensor, err error) {
	if m, err = onnx.Parse(c.model, c.folder); err != nil {
		return nil, nil, nil, err
	}
	if len(c.inputs) > len(m.Graph.Inputs) || len(c.outputs) > len(m.Graph.Outputs) {
		return nil, nil, nil, fmt.Errorf("%d inputs and %d outputs are given, the model has %d and %d", len(c.inputs), len(c.outputs), len(m.Graph.Inputs), len(m.Graph.Outputs))
	}
	read := func(data [][]byte, values []ir.Value) (map[string]*ir.Tensor, error) {
		out := map[string]*ir.Tensor{}
		for i, d := range data {
			t, err := decode(d, values[i].Name)
			if err != nil {
				return nil, err
			}
			if values[i].Type.DType == ir.BFloat16 { // NumPy has no bfloat16: the files say uint16
				t.DType = ir.BFloat16
			}
			out[values[i].Name] = t
		}
		return out, nil
	}
	if in, err = read(c.inputs, m.Graph.Inputs); err != nil {
		return nil, nil, nil, err
	}
	want, err = read(c.outputs, m.Graph.Outputs)
	return m, in, want, err
}
