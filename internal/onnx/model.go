package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// Model is an ONNX file. Its tensors alias the mapped file: they are valid
// until [Model.Close].
type Model struct {
	Path      string // "" when parsed from memory
	Size      int64  // of the file, external data not counted
	IRVersion int64
	Producer  string // name and version
	Doc       string
	Metadata  map[string]string
	// Graph has open types: dynamic dimensions are −1, with the file's names
	// in Params. Types knows inputs, outputs and tensors only.
	Graph *ir.Graph
	// ValueInfo holds what the exporter noted about inner values. Nothing
	// vouches for it.
	ValueInfo map[string]ir.Type
	// Warnings are words for people about what was read with a reservation.
	Warnings []string

	data      []byte
	unmap     func() error
	externals externals
	blobs     []blob
	proto     *onnxpb.ModelProto // the skeleton: see scanner
	opsets    map[string]int
	sha       func() string
}

// Open maps and reads a model. Errors are *FormatError, *UnsupportedError, or
// those of the file system.
func Open(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	data, unmap, err := mapOpen(f)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	m, err := read(data, path, filepath.Dir(path), unmap)
	if err != nil {
		unmap()
		return nil, err
	}
	return m, nil
}

// Parse reads a model from memory, which it keeps. dir is the folder of its
// external data, "" if it has none.
func Parse(data []byte, dir string) (*Model, error) {
	return read(data, "", dir, func() error { return nil })
}

func read(data []byte, path, dir string, unmap func() error) (*Model, error) {
	m := &Model{Path: path, Size: int64(len(data)), data: data, unmap: unmap, externals: externals{dir: dir}}
	m.sha = sync.OnceValue(m.hash)
	if err := m.load(); err != nil {
		m.externals.close()
		return nil, inFile(path, err)
	}
	return m, nil
}

func (m *Model) load() error {
	if len(m.data) == 0 {
		return formatf("the file is empty")
	}
	if len(m.data) > maxFileProto {
		return formatf("the file has %d bytes, an ONNX model at most %d: larger ones keep their weights in external data", len(m.data), maxFileProto)
	}
	skeleton, blobs, err := scan(m.data)
	if err != nil {
		return err
	}
	m.blobs = blobs
	m.proto = &onnxpb.ModelProto{}
	if err := (proto.UnmarshalOptions{RecursionLimit: 2 * maxDepth}).Unmarshal(skeleton, m.proto); err != nil {
		return formatf("%v", err)
	}
	if m.proto.Graph == nil {
		return formatf("the file holds no graph: is it an ONNX model?")
	}
	if err := m.inlineFunctions(); err != nil {
		return err
	}
	m.header()
	if err := m.readOpsets(); err != nil {
		return err
	}
	m.Graph, err = m.graph(m.proto.Graph, nil)
	if err != nil {
		return err
	}
	if err := m.checkOpset(); err != nil {
		return err
	}
	m.ValueInfo = map[string]ir.Type{}
	for _, v := range m.proto.Graph.ValueInfo {
		if t, err := valueType(v); err == nil {
			m.ValueInfo[v.GetName()] = t
		}
	}
	return nil
}

func (m *Model) header() {
	p := m.proto
	m.IRVersion, m.Doc = p.GetIrVersion(), p.GetDocString()
	m.Producer = strings.TrimSpace(p.GetProducerName() + " " + p.GetProducerVersion())
	m.Metadata = make(map[string]string, len(p.MetadataProps))
	for _, kv := range p.MetadataProps {
		m.Metadata[kv.GetKey()] = kv.GetValue()
	}
	if len(p.TrainingInfo) > 0 {
		m.warnf("the file's training graphs are ignored")
	}
}

func (m *Model) warnf(format string, args ...any) {
	m.Warnings = append(m.Warnings, fmt.Sprintf(format, args...))
}

// SHA256 is the file's hash in hexadecimal, computed at the first call. Where
// weights lie in external data, the bytes of those files follow the model's, in
// the order of their names. The first call must come before Close.
func (m *Model) SHA256() string { return m.sha() }

func (m *Model) hash() string {
	if m.data == nil {
		panic("onnx: SHA256 after Close")
	}
	h := sha256.New()
	h.Write(m.data)
	for _, location := range slices.Sorted(maps.Keys(m.externals.files)) {
		h.Write(m.externals.files[location])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// NonFinite lists the floating-point initializers and constants of the main
// graph that hold NaN or infinities, with how many, sorted by name. It reads
// every weight.
func (m *Model) NonFinite() []NonFinite {
	var out []NonFinite
	for _, name := range slices.Sorted(maps.Keys(m.Graph.Tensors)) {
		t := m.Graph.Tensors[name]
		switch t.DType {
		case ir.Float, ir.Double, ir.Float16, ir.BFloat16:
		default:
			continue
		}
		f := NonFinite{Name: name}
		for i := range t.Len() {
			switch v := t.Float(i); {
			case math.IsNaN(v):
				f.NaN++
			case math.IsInf(v, 0):
				f.Inf++
			}
		}
		if f.NaN+f.Inf > 0 {
			out = append(out, f)
		}
	}
	return out
}

// NonFinite counts the values of a tensor that are not numbers.
type NonFinite struct {
	Name     string
	NaN, Inf int
}

// Close unmaps the file. Tensors of the model must not be used afterwards.
func (m *Model) Close() error {
	unmap := m.unmap
	m.unmap = func() error { return nil }
	m.data, m.blobs = nil, nil
	return errors.Join(unmap(), m.externals.close())
}
