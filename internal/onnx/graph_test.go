package onnx

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/onnxpb"
)

func parse(t testing.TB, b *onnxtest.Builder) *Model {
	t.Helper()
	m, err := Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ops(g *ir.Graph) []string {
	var out []string
	for _, n := range g.Nodes {
		out = append(out, n.Op)
	}
	return out
}

func TestNodesAndInputs(t *testing.T) {
	b := onnxtest.New(13).Opset("com.example", 2).Input("x", ir.Float, -1, 3, -1, 8).
		InitTensor(&ir.Tensor{Name: "empty", DType: ir.Float, Dims: []int{0}}).
		Init("sizes", []int{4}, []float32{1, 1, 2, 2}).
		NodeNamed("", "", "Mul", nil, []string{"x", "x"}, []string{"sq"}).
		NodeNamed("", "ai.onnx", "Resize", ir.Attrs{"mode": "nearest"}, []string{"sq", "", "sizes"}, []string{"r"}).
		NodeNamed("", "", "RandomNormal", ir.Attrs{"shape": []int{1}}, nil, []string{"noise"}).
		NodeNamed("", "", "RandomUniform", ir.Attrs{"shape": []int{1}}, nil, []string{"noise2"}).
		NodeNamed("bn", "", "Dropout", nil, []string{"r"}, []string{"", "mask"}).
		NodeNamed("own", "com.example", "Blend", ir.Attrs{"a": 1.5, "b": "text", "c": []float32{1, 2}, "d": []string{"p", "q"},
			"e": 7, "f": []int{3, 4}, "t": onnxtest.Floats("", []int{2}, []float32{1})}, []string{"r", "", "noise", ""}, []string{"y", ""}).
		Output("y", ir.Float, -1, 3, -1, 16).Output("mask", ir.Bool)
	b.Proto().DocString = proto.String("a test")
	m := parse(t, b)
	want := [][2][]string{
		{{"x", "x"}, {"sq"}}, {{"sq", "", "sizes"}, {"r"}}, {nil, {"noise"}}, {nil, {"noise2"}},
		{{"r"}, {"", "mask"}}, {{"r", "", "noise", ""}, {"y", ""}},
	}
	for i, n := range m.Graph.Nodes {
		if !slices.Equal(n.Inputs, want[i][0]) || !slices.Equal(n.Outputs, want[i][1]) {
			t.Errorf("node %d (%s): %q → %q, want %q", i, n.Op, n.Inputs, n.Outputs, want[i])
		}
	}
	n := m.Graph.Nodes[5]
	if n.Domain != "com.example" || n.Name != "own" || m.Opset("com.example") != 2 || m.Opset("ai.onnx") != 13 || m.Graph.Nodes[1].Domain != "" {
		t.Errorf("node %+v", n)
	}
	if n.Attrs.Float("a", 0) != 1.5 || n.Attrs.String("b", "") != "text" || !slices.Equal(n.Attrs.Floats("c"), []float32{1, 2}) ||
		n.Attrs.Int("e", 0) != 7 || !slices.Equal(n.Attrs.Ints("f"), []int{3, 4}) || n.Attrs.Tensor("t").Len() != 2 ||
		!slices.Equal(n.Attrs["d"].([]string), []string{"p", "q"}) {
		t.Errorf("attributes %v", n.Attrs)
	}
	in := m.Graph.Inputs[0].Type
	if !slices.Equal(in.Dims, []int{-1, 3, -1, 8}) || !slices.Equal(in.Params, []string{"batch", "", "x_dim2", ""}) || !in.Known {
		t.Errorf("input type %+v", in)
	}
	if out := m.Graph.Types["mask"]; out.DType != ir.Bool || !out.Known || len(out.Dims) != 0 {
		t.Errorf("scalar output %+v", out)
	}
	if m.Graph.Tensors["empty"].Len() != 0 || m.Doc != "a test" || m.Producer != "onnxtest" || m.IRVersion != 8 {
		t.Errorf("model %+v", m)
	}
}

func TestEveryElementType(t *testing.T) {
	b := onnxtest.New(13).Input("x", ir.Float, 1).Node("Relu", nil, []string{"x"}, []string{"y"}).Output("y", ir.Float, 1)
	want := map[string][]float64{}
	for _, dt := range []ir.DType{ir.Float, ir.Uint8, ir.Int8, ir.Uint16, ir.Int16, ir.Int32, ir.Int64, ir.Bool, ir.Float16, ir.Double, ir.Uint32, ir.Uint64, ir.BFloat16} {
		values := []float64{1, 0, 3}
		typed := &onnxpb.TensorProto{Name: proto.String("typed " + dt.String()), DataType: proto.Int32(int32(dt)), Dims: []int64{3, 1}}
		switch dt {
		case ir.Float:
			typed.FloatData = []float32{1, 0, 3}
		case ir.Double:
			typed.DoubleData = []float64{1, 0, 3}
		case ir.Int64:
			values[1] = -1 << 40
			typed.Int64Data = []int64{1, -1 << 40, 3}
		case ir.Uint32, ir.Uint64:
			typed.Uint64Data = []uint64{1, 0, 3}
		case ir.Float16:
			typed.Int32Data = []int32{0x3c00, 0, 0x4200}
		case ir.BFloat16:
			typed.Int32Data = []int32{0x3f80, 0, 0x4040}
		case ir.Int8, ir.Int16, ir.Int32:
			values[1] = -5
			typed.Int32Data = []int32{1, -5, 3}
		default:
			typed.Int32Data = []int32{1, 0, 3}
		}
		b.InitProto(typed)
		want[typed.GetName()] = values
	}
	m := parse(t, b)
	raw := onnxtest.New(13).Input("x", ir.Float, 1).Node("Relu", nil, []string{"x"}, []string{"y"}).Output("y", ir.Float, 1)
	for name := range want { // the same contents as raw_data
		raw.InitTensor(m.Graph.Tensors[name])
	}
	for _, m := range []*Model{m, parse(t, raw)} {
		for name, values := range want {
			x := m.Graph.Tensors[name]
			for i, v := range values {
				if x.Float(i) != v {
					t.Errorf("%s[%d] = %g, want %g", name, i, x.Float(i), v)
				}
			}
		}
	}
}

// Numbers one by one or in several packs are valid protocol buffers too.
func TestUnpackedData(t *testing.T) {
	w := &onnxpb.TensorProto{Name: proto.String("w"), DataType: proto.Int32(1), Dims: []int64{4}, FloatData: []float32{1, 2}}
	k := &onnxpb.TensorProto{Name: proto.String("k"), DataType: proto.Int32(7), Dims: []int64{3}, Int64Data: []int64{300}}
	w.ProtoReflect().SetUnknown([]byte{0x25, 0, 0, 0x40, 0x40, 0x25, 0, 0, 0x80, 0x40}) // float_data 3, 4 as fixed32
	k.ProtoReflect().SetUnknown([]byte{0x38, 5, 0x3a, 1, 7})                            // int64_data 5, then a pack of 7
	m := parse(t, onnxtest.New(13).Input("x", ir.Float, 1).InitProto(w).InitProto(k).
		Node("Relu", nil, []string{"x"}, []string{"y"}).Output("y", ir.Float, 1))
	if got := m.Graph.Tensors["w"].Float32s(); !slices.Equal(got, []float32{1, 2, 3, 4}) {
		t.Errorf("float_data %v", got)
	}
	if got := m.Graph.Tensors["k"].Int64s(); !slices.Equal(got, []int64{300, 5, 7}) {
		t.Errorf("int64_data %v", got)
	}
}

func TestConstants(t *testing.T) {
	b := onnxtest.New(13).Input("x", ir.Float, 1)
	for name, a := range map[string]ir.Attrs{
		"value": {"value": &ir.Tensor{DType: ir.Bool, Dims: []int{2}, Raw: []byte{1, 0}}}, "value_float": {"value_float": 2.5},
		"value_floats": {"value_floats": []float32{1, 2}}, "value_int": {"value_int": -3}, "value_ints": {"value_ints": []int{4, 5, 6}},
		"value_string": {"value_string": "s"}, "value_strings": {"value_strings": []string{"a", "b"}},
	} {
		b.Node("Constant", a, nil, []string{name})
	}
	m := parse(t, b.Node("Relu", nil, []string{"x"}, []string{"y"}).Output("y", ir.Float, 1))
	g := m.Graph
	if len(g.Nodes) != 1 || len(g.Tensors) != 7 {
		t.Fatalf("%d nodes, %d tensors", len(g.Nodes), len(g.Tensors))
	}
	for name, x := range g.Tensors {
		if x.Name != name || !x.Origin.Constant || x.Origin.Name != name || x.Origin.DType != x.DType {
			t.Errorf("tensor %+v, origin %+v", x, x.Origin)
		}
	}
	if x := g.Tensors["value"]; x.DType != ir.Bool || x.Int(0) != 1 || x.Int(1) != 0 {
		t.Errorf("value %+v", x)
	}
	if x := g.Tensors["value_float"]; len(x.Dims) != 0 || x.Float(0) != 2.5 {
		t.Errorf("value_float %+v", x)
	}
	if x := g.Tensors["value_ints"]; !slices.Equal(x.Ints(), []int{4, 5, 6}) || !slices.Equal(x.Dims, []int{3}) {
		t.Errorf("value_ints %+v", x)
	}
	if x := g.Tensors["value_int"]; len(x.Dims) != 0 || x.Int(0) != -3 {
		t.Errorf("value_int %+v", x)
	}
	if x := g.Tensors["value_strings"]; !slices.Equal(x.Strings, []string{"a", "b"}) || x.DType != ir.String {
		t.Errorf("value_strings %+v", x)
	}
}

func TestUnsortedNodes(t *testing.T) {
	m := parse(t, onnxtest.New(13).Input("x", ir.Float, 1).
		Node("Exp", nil, []string{"c"}, []string{"y"}).
		Node("Abs", nil, []string{"x"}, []string{"a"}).
		Node("Add", nil, []string{"b", "a"}, []string{"c"}).
		Node("Neg", nil, []string{"a"}, []string{"b"}).Output("y", ir.Float, 1))
	if got := ops(m.Graph); !slices.Equal(got, []string{"Abs", "Neg", "Add", "Exp"}) {
		t.Errorf("order %v", got)
	}
}

func TestIf(t *testing.T) {
	then := onnxtest.New(13).Node("Add", nil, []string{"x", "late"}, []string{"t"}).Output("t", ir.Float, 1)
	other := onnxtest.New(13).Const("e", onnxtest.Floats("", []int{1}, []float32{7})).Output("e", ir.Float, 1)
	m := parse(t, onnxtest.New(13).Input("x", ir.Float, 1).Input("cond", ir.Bool).
		Node("If", ir.Attrs{"then_branch": then, "else_branch": other}, []string{"cond"}, []string{"y"}).
		Node("Exp", nil, []string{"x"}, []string{"late"}).Output("y", ir.Float, 1))
	if got := ops(m.Graph); !slices.Equal(got, []string{"Exp", "If"}) {
		t.Errorf("order %v: a branch reads what Exp makes", got)
	}
	n := m.Graph.Nodes[1]
	if got := ops(n.Subgraphs["then_branch"]); !slices.Equal(got, []string{"Add"}) {
		t.Errorf("then %v", got)
	}
	if e := n.Subgraphs["else_branch"]; e.Tensors["e"].Float(0) != 7 || e.Outputs[0].Name != "e" || e.Opset != 13 {
		t.Errorf("else %+v", e)
	}
}

func TestLoopIsKept(t *testing.T) {
	body := onnxtest.New(13).Input("i", ir.Int64).Input("c", ir.Bool).Node("Identity", nil, []string{"x"}, []string{"o"}).
		Node("Identity", nil, []string{"c"}, []string{"c2"}).Output("c2", ir.Bool).Output("o", ir.Float, 1)
	m := parse(t, onnxtest.New(13).Input("x", ir.Float, 1).
		Node("Loop", ir.Attrs{"body": body}, []string{"", ""}, []string{"y"}).
		NodeNamed("", "org.x", "Odd", nil, []string{"y"}, []string{"z"}).
		NodeNamed("", "org.x", "Odd", nil, []string{"z"}, []string{"z2"}).Output("z2", ir.Float, 1))
	err := m.MissingOps(m.Graph, func(op, domain string) bool { return false })
	var u *UnsupportedError
	if !errors.As(err, &u) || len(u.Ops) != 2 {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"2 operators are not supported", `Loop (opset 13, node "Loop_0")`, `org.x.Odd (opset 0, node "z" and 1 more)`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if err := m.MissingOps(m.Graph, func(op, domain string) bool { return true }); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
}

func TestOpsetWarnings(t *testing.T) {
	for opset, want := range map[int64]string{22: "opset 22 is newer than 21", 6: "opset 6 is older than 7"} {
		b := shared()
		b.Proto().OpsetImport[0].Version = proto.Int64(opset)
		if m := parse(t, b); len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], want) {
			t.Errorf("warnings %v", m.Warnings)
		}
	}
	if m := parse(t, shared()); len(m.Warnings) != 0 {
		t.Errorf("warnings %v", m.Warnings)
	}
}
