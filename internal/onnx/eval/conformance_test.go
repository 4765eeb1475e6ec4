package eval_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/onnxpb"
	"github.com/vislora/vislora/internal/testdata"
)

// outOfScope says why a case is not for this package, by operator or by a part
// of the case's name.
var outOfScope = map[string][]string{
	"random":            {"Bernoulli", "RandomUniformLike"},
	"strings":           {"StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer", "test_equal_string", "_STRING"},
	"sequences":         {"SequenceEmpty", "SequenceInsert", "SequenceAt", "SequenceMap", "SplitToSequence", "ConcatFromSequence", "_seq", "sequence"},
	"optional":          {"Optional", "OptionalGetElement", "OptionalHasElement", "_opt"},
	"loops":             {"Loop", "Scan"},
	"recurrent":         {"RNN", "LSTM", "GRU"},
	"signal processing": {"DFT", "STFT", "BlackmanWindow", "HannWindow", "HammingWindow", "MelWeightMatrix", "hannwindow", "hammingwindow", "blackmanwindow"},
	"image files":       {"ImageDecoder"},
	"8-bit floats":      {"FLOAT8", "e4m3", "e5m2"},
	"4-bit integers":    {"INT4", "_int4", "_uint4"},
	"training":          {"dropout_default_mask_ratio_train", "training_dropout"},
}

// conformanceCase is one of ONNX's own node tests.
type conformanceCase struct {
	name            string
	model           []byte
	inputs, outputs [][]byte
}

func conformanceCases(t testing.TB) []conformanceCase {
	f, err := os.Open(testdata.Real(t, "onnx_node_tests_v1.16.0", "onnx_node_tests_v1.16.0.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files, names := map[string][]byte{}, map[string]bool{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Clean(h.Name)] = data
		if path.Base(h.Name) == "model.onnx" {
			names[path.Dir(path.Clean(h.Name))] = true
		}
	}
	var cases []conformanceCase
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		c := conformanceCase{name: path.Base(dir), model: files[dir+"/model.onnx"]}
		for _, kind := range []string{"input", "output"} {
			for i := 0; ; i++ {
				data, ok := files[fmt.Sprintf("%s/test_data_set_0/%s_%d.pb", dir, kind, i)]
				if !ok {
					break
				}
				if kind == "input" {
					c.inputs = append(c.inputs, data)
				} else {
					c.outputs = append(c.outputs, data)
				}
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// scope names the reason why a case is not run, "" if it is.
func (c conformanceCase) scope() string {
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(c.model, &m); err != nil {
		return ""
	}
	for _, n := range m.Graph.Node {
		if d := n.GetDomain(); d != "" {
			return "domain " + d
		}
		for why, list := range outOfScope {
			if slices.Contains(list, n.GetOpType()) {
				return why
			}
		}
	}
	for why, list := range outOfScope {
		for _, part := range list {
			if (part[0] == '_' || strings.Contains(part, "_") || strings.ToLower(part) == part || strings.ToUpper(part) == part) && strings.Contains(c.name, part) {
				return why
			}
		}
	}
	return ""
}

// tensorOf decodes a TensorProto the way the importer does.
func tensorOf(data []byte, name string) (*ir.Tensor, error) {
	var p onnxpb.TensorProto
	if err := proto.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	p.Name = proto.String(name)
	m, err := onnx.Parse(onnxtest.New(17).InitProto(&p).Output(name, ir.DType(p.GetDataType())).Bytes(), "")
	if err != nil {
		return nil, err
	}
	return m.Graph.Tensors[name], nil
}

func (c conformanceCase) load() (m *onnx.Model, in, want map[string]*ir.Tensor, err error) {
	if m, err = onnx.Parse(modern(c.model), ""); err != nil {
		return nil, nil, nil, err
	}
	in, want = map[string]*ir.Tensor{}, map[string]*ir.Tensor{}
	for i, data := range c.inputs {
		name := m.Graph.Inputs[i].Name
		if in[name], err = tensorOf(data, name); err != nil {
			return nil, nil, nil, err
		}
		if t := m.Graph.Inputs[i].Type.DType; t == ir.BFloat16 {
			in[name].DType = t
		}
	}
	for i, data := range c.outputs {
		name := m.Graph.Outputs[i].Name
		if want[name], err = tensorOf(data, name); err != nil {
			return nil, nil, nil, err
		}
		if t := m.Graph.Outputs[i].Type.DType; t == ir.BFloat16 {
			want[name].DType = t // NumPy has no bfloat16: the files say uint16
		}
	}
	return m, in, want, nil
}

// modern gives models of opsets 1 to 6 the opset 7: the operators in them did
// not change up to then.
func modern(model []byte) []byte {
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(model, &m); err != nil {
		return model
	}
	for _, o := range m.OpsetImport {
		if o.GetDomain() == "" && o.GetVersion() < 7 {
			o.Version = proto.Int64(7)
		}
	}
	out, err := proto.Marshal(&m)
	if err != nil {
		return model
	}
	return out
}

// compare checks types, shapes and values; integers and booleans exactly.
func compare(got, want *ir.Tensor, rel, abs float64) error {
	if got.DType != want.DType || !slices.Equal(got.Dims, want.Dims) {
		return fmt.Errorf("is %v %v, want %v %v", got.DType, got.Dims, want.DType, want.Dims)
	}
	for i := range want.Len() {
		g, w := got.Float(i), want.Float(i)
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		if d := math.Abs(g - w); !(d <= abs+rel*math.Abs(w)) {
			return fmt.Errorf("element %d is %v, want %v", i, g, w)
		}
	}
	return nil
}

func tolerance(t ir.DType) (rel, abs float64) {
	switch t {
	case ir.Float, ir.Double:
		return 1e-3, 1e-6 // expected values were partly typed in with four digits
	case ir.Float16:
		return 2e-3, 1e-4
	case ir.BFloat16:
		return 1e-2, 1e-3
	}
	return 0, 0
}

func (c conformanceCase) run() error {
	m, in, want, err := c.load()
	if err != nil {
		return err
	}
	got, err := eval.Run(m.Graph, in)
	if err != nil {
		return err
	}
	for name, w := range want {
		rel, abs := tolerance(w.DType)
		if err := compare(got[name], w, rel, abs); err != nil {
			return fmt.Errorf("output %q %w", name, err)
		}
	}
	return nil
}

// knownFailures are the cases in scope that do not pass, with the reason.
var knownFailures = map[string]string{
	"test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": ceilCount,

	"test_qlinearmatmul_2D_int8_float16": wraps,
	"test_qlinearmatmul_2D_int8_float32": wraps,
	"test_qlinearmatmul_3D_int8_float16": wraps,
	"test_qlinearmatmul_3D_int8_float32": wraps,

	"test_resize_downsample_scales_cubic_align_corners":  corners,
	"test_resize_downsample_scales_linear_align_corners": corners,
}

const (
	ceilCount = "counts what ceil_mode adds beyond the padding into the mean; PyTorch does not"
	wraps     = "expects int8 to wrap around where QuantizeLinear is specified to saturate"
	corners   = "aligns the corners of scale·length, a fraction; PyTorch and ONNX Runtime align the output's"
)

// TestConformance runs ONNX's own tests of single operators and of the functions
// that they expand to.
func TestConformance(t *testing.T) {
	passed, failed, out := 0, 0, map[string]int{}
	for _, c := range conformanceCases(t) {
		if why := c.scope(); why != "" {
			out[why]++
			continue
		}
		err := c.run()
		why, known := knownFailures[c.name]
		switch {
		case err == nil && known:
			t.Errorf("%s passes, but is listed as failing: %s", c.name, why)
		case err == nil:
			passed++
		case known:
			failed++
		default:
			failed++
			t.Errorf("%s: %v", c.name, err)
		}
	}
	t.Logf("%d passed, %d failed, out of scope %v", passed, failed, out)
	if passed < conformanceFloor {
		t.Errorf("%d cases passed, want at least %d", passed, conformanceFloor)
	}
}

const conformanceFloor = 1070

// TestInferConformance checks the shape functions against the same tests: once
// with all inputs unknown, once with small integer inputs bound as constants,
// as the planner does.
func TestInferConformance(t *testing.T) {
	checked := 0
	for _, c := range conformanceCases(t) {
		if c.scope() != "" || knownFailures[c.name] != "" {
			continue
		}
		m, in, want, err := c.load()
		if err != nil {
			continue // TestConformance reports it
		}
		for _, bound := range []bool{false, true} {
			g := eval.Clone(m.Graph)
			o := eval.Options{Inputs: map[string][]int{}}
			var inputs []ir.Value
			for _, v := range g.Inputs {
				if t := in[v.Name]; bound && (t.DType == ir.Int64 || t.DType == ir.Bool || t.DType == ir.Int32) && t.Len() <= 64 || t.Len() == 0 || bound && len(t.Dims) == 0 {
					g.Tensors[v.Name] = t
					continue
				} else {
					o.Inputs[v.Name] = t.Dims
				}
				inputs = append(inputs, v)
			}
			g.Inputs = inputs
			if err := eval.Infer(g, o); err != nil {
				var missing *eval.UnsupportedError
				if errors.As(err, &missing) && strings.Contains(err.Error(), "If on a condition") {
					continue
				}
				t.Errorf("%s (bound %v): %v", c.name, bound, err)
				continue
			}
			for name, w := range want {
				typ := g.Types[name]
				if !typ.Static() {
					continue
				}
				checked++
				f := func(d ir.DType) ir.DType {
					if d == ir.Double || d == ir.Float16 || d == ir.BFloat16 {
						return ir.Float
					}
					return d
				}
				if f(typ.DType) != f(w.DType) || !slices.Equal(typ.Dims, w.Dims) {
					t.Errorf("%s (bound %v): %s is %v %v, want %v %v", c.name, bound, name, typ.DType, typ.Dims, w.DType, w.Dims)
				}
			}
		}
	}
	t.Logf("%d output types checked", checked)
	if checked < 2200 {
		t.Errorf("%d output types checked, want at least 2200", checked)
	}
}
