package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
	"github.com/vislora/vislora/internal/testdata"
)

// realModels are the models of the real data, with what the reference ONNX
// library (1.12, Python) counts in them.
var realModels = []struct {
	file                string
	opset, nodes, inits int
	counts              map[string]int // of operators that tell the architecture
}{
	{"deeplab_v3_257.onnx", 9, 108, 112, map[string]int{"Conv": 55, "Clip": 34, "Upsample": 2, "AveragePool": 1}},
	{"deimv2_atto.onnx", 17, 867, 280, map[string]int{"Conv": 49, "GridSample": 6, "TopK": 3, "Split": 9, "Unsqueeze": 74}},
	{"ppocr_cls.onnx", 11, 511, 0, map[string]int{"Constant": 290, "Conv": 53, "BatchNormalization": 35, "HardSigmoid": 9}},
	{"nanodet_m_320.onnx", 11, 238, 185, map[string]int{"Conv": 73, "LeakyRelu": 48, "Slice": 26}},
	{"cifar_resnet_4b.onnx", 9, 28, 26, map[string]int{"Conv": 11, "Add": 4, "Gemm": 2}},
	{"squeezenet1.1_fp32.onnx", 7, 66, 52, map[string]int{"Conv": 26, "Concat": 8, "Dropout": 1}},
	{"squeezenet_fp16.onnx", 7, 66, 52, map[string]int{"Conv": 26, "Concat": 8, "Dropout": 1}},
	{"vit_cifar_ibp_3_3_8.onnx", 9, 189, 70, map[string]int{"Constant": 43, "MatMul": 24, "ConstantOfShape": 1, "BatchNormalization": 7}},
	{"vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx", 17, 373, 163, map[string]int{"LayerNormalization": 25, "MatMul": 72, "Split": 12, "Erf": 12}},
	{"yolox_nano.onnx", 11, 369, 236, map[string]int{"Conv": 113, "Sigmoid": 110, "Resize": 2}},
	{"yunet_n_dynamic.onnx", 11, 163, 146, map[string]int{"Conv": 59, "Shape": 12, "Resize": 2}},
}

// realPath finds a model of the real data by its file name.
func realPath(t testing.TB, file string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(testdata.Real(t), "*", file))
	if err != nil || len(found) != 1 {
		t.Skipf("%s is not among the real data", file)
	}
	return found[0]
}

func TestRealModels(t *testing.T) {
	for _, want := range realModels {
		t.Run(want.file, func(t *testing.T) {
			path := realPath(t, want.file)
			m, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			full := unmarshal(t, path)
			if len(full.Graph.Node) != want.nodes || len(full.Graph.Initializer) != want.inits || m.Opset("") != want.opset {
				t.Errorf("%d nodes, %d initializers, opset %d, want %+v", len(full.Graph.Node), len(full.Graph.Initializer), m.Opset(""), want)
			}
			counts := map[string]int{}
			for _, n := range m.Graph.Nodes {
				counts[n.Op]++
			}
			for _, x := range m.Graph.Tensors {
				if x.Origin.Constant {
					counts["Constant"]++
				}
			}
			for op, k := range want.counts {
				if counts[op] != k {
					t.Errorf("%d of %s, want %d", counts[op], op, k)
				}
			}
			compareNodes(t, m.Graph, full.Graph)
			compareTensors(t, m.Graph, full.Graph)
			file, _ := os.ReadFile(path)
			if sum := sha256.Sum256(file); m.SHA256() != hex.EncodeToString(sum[:]) {
				t.Error("SHA256 is not the file's")
			}
			if bad := m.NonFinite(); len(bad) > 0 {
				t.Errorf("non-finite weights %v", bad)
			}
		})
	}
}

func unmarshal(t testing.TB, path string) *onnxpb.ModelProto {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// compareNodes holds the graph against the plain decoding of the file: every
// node but the constants, once, with its inputs and attributes, producers
// before consumers.
func compareNodes(t *testing.T, g *ir.Graph, full *onnxpb.GraphProto) {
	t.Helper()
	byOutput := map[string]*ir.Node{}
	made := map[string]bool{}
	for _, v := range g.Inputs {
		made[v.Name] = true
	}
	for name := range g.Tensors {
		made[name] = true
	}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in != "" && !made[in] {
				t.Errorf("node %q reads %q before it is made", n.Name, in)
			}
		}
		for _, o := range n.Outputs {
			made[o] = true
		}
		byOutput[n.Outputs[0]] = n
	}
	rest := 0
	for _, p := range full.Node {
		if isConstant(p) {
			if g.Tensors[p.Output[0]] == nil {
				t.Errorf("constant %q is lost", p.Output[0])
			}
			continue
		}
		rest++
		n := byOutput[p.Output[0]]
		if n == nil {
			t.Errorf("node %s is lost", labelOf(p))
			continue
		}
		if n.Op != p.GetOpType() || n.Name != p.GetName() || !slices.Equal(n.Inputs, p.Input) || !slices.Equal(n.Outputs, p.Output) {
			t.Errorf("node %s became %+v", labelOf(p), n)
		}
		if len(n.Attrs) != len(p.Attribute) {
			t.Errorf("node %s: %d attributes, want %d", labelOf(p), len(n.Attrs), len(p.Attribute))
		}
		for _, a := range p.Attribute {
			if got, want := fmt.Sprint(n.Attrs[a.GetName()]), attributeText(a); want != "" && got != want {
				t.Errorf("node %s: %s is %s, want %s", labelOf(p), attributeLabel(a), got, want)
			}
		}
	}
	if rest != len(g.Nodes) {
		t.Errorf("%d nodes, want %d", len(g.Nodes), rest)
	}
}

func attributeText(a *onnxpb.AttributeProto) string {
	switch a.GetType() {
	case onnxpb.AttributeProto_INT:
		return fmt.Sprint(a.GetI())
	case onnxpb.AttributeProto_FLOAT:
		return fmt.Sprint(a.GetF())
	case onnxpb.AttributeProto_STRING:
		return string(a.GetS())
	case onnxpb.AttributeProto_INTS:
		return fmt.Sprint(a.GetInts())
	case onnxpb.AttributeProto_FLOATS:
		return fmt.Sprint(a.GetFloats())
	}
	return ""
}

func compareTensors(t *testing.T, g *ir.Graph, full *onnxpb.GraphProto) {
	t.Helper()
	inits := map[string]bool{}
	for _, p := range full.Initializer {
		inits[p.GetName()] = true
		got := g.Tensors[p.GetName()]
		if got == nil || int32(got.DType) != p.GetDataType() || got.Len() != product(p.Dims) {
			t.Fatalf("initializer %q became %v", p.GetName(), got)
		}
		if len(p.RawData) > 0 {
			if string(p.RawData) != string(got.Raw) {
				t.Errorf("initializer %q: contents differ", p.GetName())
			}
			continue
		}
		for i, v := range p.FloatData {
			if got.Float(i) != float64(v) {
				t.Fatalf("initializer %q[%d] = %g, want %g", p.GetName(), i, got.Float(i), v)
			}
		}
		for i, v := range p.Int64Data {
			if got.Int(i) != v {
				t.Fatalf("initializer %q[%d] = %d, want %d", p.GetName(), i, got.Int(i), v)
			}
		}
	}
	for _, v := range g.Inputs {
		if inits[v.Name] {
			t.Errorf("initializer %q is taken for an input", v.Name)
		}
	}
	if len(g.Inputs) == 0 || len(g.Outputs) != len(full.Output) {
		t.Errorf("inputs %v, outputs %v", g.Inputs, g.Outputs)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Tensors)) {
		x := g.Tensors[name]
		if len(x.Raw) != x.Len()*x.DType.Size() || x.Origin == nil || x.Origin.Name != name || x.Origin.Constant == inits[name] {
			t.Errorf("tensor %q: %d bytes for %v %v, origin %+v", name, len(x.Raw), x.Dims, x.DType, x.Origin)
		}
	}
}

func product(dims []int64) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}
