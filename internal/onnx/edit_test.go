package onnx

import (
	"math"
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

func edit(t testing.TB, data []byte) *Editor {
	t.Helper()
	m, err := Parse(data, "")
	if err != nil {
		t.Fatal(err)
	}
	return editModel(t, m)
}

func editModel(t testing.TB, m *Model) *Editor {
	t.Helper()
	e, err := Edit(m)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// written encodes the edited model, reads it back through the importer, and
// returns the plain decoding.
func written(t testing.TB, e *Editor) (*onnxpb.ModelProto, *Model) {
	t.Helper()
	data, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(data, "")
	if err != nil {
		t.Fatalf("the written model cannot be read: %v", err)
	}
	p := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(data, p); err != nil {
		t.Fatal(err)
	}
	return p, m
}

func encoded(t testing.TB, m proto.Message) string {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUnmodifiedRoundTrip(t *testing.T) {
	for _, want := range realModels {
		t.Run(want.file, func(t *testing.T) {
			path := realPath(t, want.file)
			m, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			out := filepath.Join(t.TempDir(), "copy.onnx")
			if err := editModel(t, m).Write(out); err != nil {
				t.Fatal(err)
			}
			before, after := unmarshal(t, path), unmarshal(t, out)
			if !proto.Equal(before, after) {
				t.Error("the written model differs from the file")
			}
			entries, _ := os.ReadDir(filepath.Dir(out))
			if len(entries) != 1 {
				t.Errorf("temporary files are left: %v", entries)
			}
		})
	}
}

func TestSetOneInitializer(t *testing.T) {
	path := realPath(t, "vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx")
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e := editModel(t, m)
	before := unmarshal(t, path)
	k := slices.IndexFunc(before.Graph.Initializer, func(p *onnxpb.TensorProto) bool { return len(p.Dims) == 2 })
	name := before.Graph.Initializer[k].GetName()
	values := slices.Clone(m.Graph.Tensors[name].Float32s())
	for i := range values {
		values[i] += float32(i%7) - 3
	}
	r, err := e.SetInitializer(name, values)
	if err != nil || r.MaxAbs != 0 || r.DType != ir.Float {
		t.Fatalf("%+v, %v", r, err)
	}
	after, back := written(t, e)
	for i, p := range before.Graph.Initializer {
		same := encoded(t, p) == encoded(t, after.Graph.Initializer[i])
		if same != (i != k) {
			t.Errorf("initializer %d %q: unchanged is %t", i, p.GetName(), same)
		}
	}
	if !slices.Equal(back.Graph.Tensors[name].Float32s(), values) {
		t.Error("the values are not the ones set")
	}
	before.Graph.Initializer, after.Graph.Initializer = nil, nil
	if !proto.Equal(before, after) {
		t.Error("something other than the initializer changed")
	}
}

func TestSetInitializerTypes(t *testing.T) {
	values := []float32{1, -2.5, 0.1, 3.14159274, 1e-3, 65504}
	half := make([]int32, len(values))
	cases := []struct {
		p      *onnxpb.TensorProto
		maxAbs float64
	}{
		{&onnxpb.TensorProto{DataType: proto.Int32(1), RawData: make([]byte, 24)}, 0},
		{&onnxpb.TensorProto{DataType: proto.Int32(1), FloatData: make([]float32, 6)}, 0},
		{&onnxpb.TensorProto{DataType: proto.Int32(11), RawData: make([]byte, 48)}, 0},
		{&onnxpb.TensorProto{DataType: proto.Int32(11), DoubleData: make([]float64, 6)}, 0},
		{&onnxpb.TensorProto{DataType: proto.Int32(10), RawData: make([]byte, 12)}, 1.0 / 1024},
		{&onnxpb.TensorProto{DataType: proto.Int32(10), Int32Data: half}, 1.0 / 1024},
		{&onnxpb.TensorProto{DataType: proto.Int32(16), RawData: make([]byte, 12)}, 32}, // 65504 becomes 65536
		{&onnxpb.TensorProto{DataType: proto.Int32(16), Int32Data: half}, 32},
	}
	for _, c := range cases {
		c.p.Name, c.p.Dims, c.p.DocString = proto.String("w"), []int64{2, 3}, proto.String("doc")
		e := edit(t, onnxtest.New(13).Input("x", ir.Float, 2, 3).InitProto(c.p).
			Node("Cast", ir.Attrs{"to": 1}, []string{"w"}, []string{"c"}).
			Node("Add", nil, []string{"x", "c"}, []string{"y"}).Output("y", ir.Float, 2, 3).Bytes())
		for range 2 { // the second time from what the first stored
			r, err := e.SetInitializer("w", values)
			if err != nil || r.MaxAbs > c.maxAbs || (c.maxAbs > 0) != (r.MaxAbs > 0) || r.MaxValue != 65504 {
				t.Fatalf("%v: %+v, %v", c.p, r, err)
			}
		}
		p, m := written(t, e)
		q := p.Graph.Initializer[0]
		if (len(q.RawData) > 0) != (len(c.p.RawData) > 0) || q.GetDataType() != c.p.GetDataType() || q.GetDocString() != "doc" || !slices.Equal(q.Dims, c.p.Dims) {
			t.Errorf("storage changed: %v", q)
		}
		for i, v := range m.Graph.Tensors["w"].Float32s() {
			if d := math.Abs(float64(v - values[i])); d > c.maxAbs {
				t.Errorf("%v: value %d is %g, want %g", m.Graph.Tensors["w"].DType, i, v, values[i])
			}
		}
	}
}

func TestSetInitializerErrors(t *testing.T) {
	e := edit(t, onnxtest.New(13).Input("x", ir.Float, 2).Init("w", []int{2}, []float32{1, 2}).
		InitInts("k", []int{2}, []int64{0, 1}).
		InitTensor(&ir.Tensor{Name: "h", DType: ir.Float16, Dims: []int{1}, Raw: make([]byte, 2)}).
		Node("Add", nil, []string{"x", "w"}, []string{"y"}).Output("y", ir.Float, 2).Bytes())
	for _, c := range []struct {
		name, want string
		data       []float32
	}{
		{"nobody", "no initializer", nil},
		{"w", "hold 2 values, 3 are given", make([]float32, 3)},
		{"w", "value 1 is NaN", []float32{1, float32(math.NaN())}},
		{"k", "only floating-point", make([]float32, 2)},
		{"h", "too large for float16", []float32{65520}},
	} {
		if _, err := e.SetInitializer(c.name, c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, m := written(t, e); !slices.Equal(m.Graph.Tensors["w"].Float32s(), []float32{1, 2}) {
		t.Error("a refused value was written")
	}
}

func TestSetConstant(t *testing.T) {
	e := edit(t, onnxtest.New(13).Input("x", ir.Float, 2).
		Const("a", onnxtest.Floats("", []int{2}, []float32{1, 2})).
		Node("Constant", ir.Attrs{"value_floats": []float32{3, 4}}, nil, []string{"b"}).
		Node("Constant", ir.Attrs{"value_float": 5.0}, nil, []string{"c"}).
		Node("Sum", nil, []string{"x", "a", "b", "c"}, []string{"y"}).Output("y", ir.Float, 2).Bytes())
	for _, c := range []struct {
		name string
		data []float32
	}{{"a", []float32{6, 7}}, {"b", []float32{8, 9}}, {"c", []float32{10}}} {
		if _, err := e.SetConstant(c.name, c.data); err != nil {
			t.Fatal(err)
		}
		if _, m := written(t, e); !slices.Equal(m.Graph.Tensors[c.name].Float32s(), c.data) {
			t.Errorf("constant %s is %v, want %v", c.name, m.Graph.Tensors[c.name].Float32s(), c.data)
		}
	}
	if _, err := e.SetConstant("y", nil); err == nil {
		t.Error("a node that is no Constant was set")
	}
}

// shared has one weight read by two nodes, once through an Identity, as torch
// writes equal-valued parameters of different layers.
func shared() *onnxtest.Builder {
	return onnxtest.New(13).Input("x", ir.Float, -1, 2).Init("w", []int{2, 2}, []float32{1, 2, 3, 4}).
		Node("Identity", nil, []string{"w"}, []string{"w2"}).
		Node("MatMul", nil, []string{"x", "w"}, []string{"h"}).
		Node("MatMul", nil, []string{"h", "w2"}, []string{"y"}).Output("y", ir.Float, -1, 2)
}

func TestCloneAndRedirect(t *testing.T) {
	e := edit(t, shared().Bytes())
	if u := e.Uses("w"); !slices.Equal(u, []Use{{"w2", 0}, {"h", 1}}) {
		t.Fatalf("uses %v", u)
	}
	if e.CloneInitializer("w", "w2") == nil || e.CloneInitializer("w", "x") == nil || e.CloneInitializer("v", "z") == nil {
		t.Error("a clone took a name in use, or copied nothing")
	}
	if err := e.CloneInitializer("w", "w.clone"); err != nil {
		t.Fatal(err)
	}
	if err := e.RedirectInput("y", 1, "w.clone"); err != nil {
		t.Fatal(err)
	}
	if e.RedirectInput("y", 2, "w") == nil || e.RedirectInput("q", 0, "w") == nil {
		t.Error("an input that does not exist was redirected")
	}
	if _, m := written(t, e); !slices.Equal(m.Graph.Tensors["w.clone"].Float32s(), []float32{1, 2, 3, 4}) {
		t.Error("the clone's values differ")
	}
	if _, err := e.SetInitializer("w.clone", []float32{5, 6, 7, 8}); err != nil {
		t.Fatal(err)
	}
	inits, nodes := e.Prune() // the Identity has no reader now
	if len(inits) != 0 || nodes != 1 {
		t.Errorf("pruned %v and %d nodes", inits, nodes)
	}
	p, m := written(t, e)
	if !slices.Equal(m.Graph.Tensors["w"].Float32s(), []float32{1, 2, 3, 4}) || !slices.Equal(m.Graph.Tensors["w.clone"].Float32s(), []float32{5, 6, 7, 8}) {
		t.Error("original or clone has the wrong values")
	}
	if len(p.Graph.Node) != 2 || p.Graph.Node[1].Input[1] != "w.clone" {
		t.Errorf("nodes %v", p.Graph.Node)
	}
}

func TestReplaceHead(t *testing.T) {
	b := onnxtest.New(13).Input("x", ir.Float, -1, 2).Metadata("kept", "yes").
		Init("w", []int{2, 2}, []float32{1, 0, 0, 1}).Init("fc", []int{2, 3}, []float32{1}).
		Init("unused", []int{1}, []float32{9}).
		Node("MatMul", nil, []string{"x", "w"}, []string{"feat"}).
		Node("MatMul", nil, []string{"feat", "fc"}, []string{"z"}).
		Node("Softmax", nil, []string{"z"}, []string{"prob"}).
		ValueInfo("z", ir.Float, -1, 3).ValueInfo("feat", ir.Float, -1, 2).
		Output("prob", ir.Float, -1, 3)
	b.Proto().IrVersion = proto.Int64(3)
	b.Input("w", ir.Float, 2, 2).Input("fc", ir.Float, 2, 3)
	e := edit(t, b.Bytes())
	if e.AppendNode(&ir.Node{Op: "Relu", Inputs: []string{"z"}, Outputs: []string{"prob"}}) == nil {
		t.Error("a second maker of prob was accepted")
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(e.RemoveNode("prob"))
	check(e.AppendInitializer(onnxtest.Floats("head.weight", []int{5, 2}, []float32{1, 2, 3})))
	check(e.AppendInitializer(onnxtest.Floats("head.bias", []int{5}, []float32{0})))
	check(e.AppendNode(&ir.Node{Op: "Softmax", Inputs: []string{"logits"}, Outputs: []string{"prob"}}))
	check(e.AppendNode(&ir.Node{Op: "Gemm", Name: "head", Inputs: []string{"feat", "head.weight", "head.bias"},
		Outputs: []string{"logits"}, Attrs: ir.Attrs{"transB": int64(1), "alpha": float32(1)}}))
	check(e.SetOutput("prob", ir.Value{Name: "prob", Type: ir.Type{DType: ir.Float, Dims: []int{-1, 5}, Params: []string{"batch", ""}, Known: true}}))
	if e.SetOutput("nobody", ir.Value{}) == nil {
		t.Error("an output that does not exist was replaced")
	}
	e.SetMetadata("names", "a,b,c,d,e")
	e.SetMetadata("kept", "still")
	inits, nodes := e.Prune()
	if !slices.Equal(inits, []string{"fc"}) || nodes != 1 {
		t.Errorf("pruned %v and %d nodes", inits, nodes)
	}
	p, m := written(t, e)
	var ops, names, inputs, infos []string
	for _, n := range p.Graph.Node {
		ops = append(ops, n.GetOpType())
	}
	for _, q := range p.Graph.Initializer {
		names = append(names, q.GetName())
	}
	for _, v := range p.Graph.Input {
		inputs = append(inputs, v.GetName())
	}
	for _, v := range p.Graph.ValueInfo {
		infos = append(infos, v.GetName())
	}
	if !slices.Equal(ops, []string{"MatMul", "Gemm", "Softmax"}) {
		t.Errorf("nodes %v", ops)
	}
	if !slices.Equal(names, []string{"w", "unused", "head.weight", "head.bias"}) {
		t.Errorf("initializers %v", names)
	}
	if !slices.Equal(inputs, []string{"x", "w", "head.weight", "head.bias"}) { // IR version 3 lists them
		t.Errorf("inputs %v", inputs)
	}
	if !slices.Equal(infos, []string{"feat"}) {
		t.Errorf("value_info %v", infos)
	}
	if m.Metadata["kept"] != "still" || m.Metadata["names"] != "a,b,c,d,e" {
		t.Errorf("metadata %v", m.Metadata)
	}
	if o := m.Graph.Outputs[0]; o.Name != "prob" || !slices.Equal(o.Type.Dims, []int{-1, 5}) || o.Type.Params[0] != "batch" {
		t.Errorf("output %+v", o)
	}
}

func TestWriteRefusesBrokenGraphs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.onnx")
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(e *Editor) error{
		`reads "w2", which nothing makes`: func(e *Editor) error { return e.RemoveNode("w2") },
		`output "y" is made by no node`:   func(e *Editor) error { return e.RemoveNode("y") },
		"cycle":                           func(e *Editor) error { return e.RedirectInput("h", 0, "y") },
	} {
		e := edit(t, shared().Bytes())
		if err := change(e); err != nil {
			t.Fatal(err)
		}
		if err := e.Write(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("a failed write destroyed the file")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("temporary files are left: %v", entries)
	}
}

// Fields that newer releases of ONNX added must survive: unknown to our
// bindings, they are carried as they are.
func TestUnknownFieldsSurvive(t *testing.T) {
	b := shared()
	extra := []byte{0xaa, 0x06, 0x03, 'n', 'e', 'w'} // field 101, bytes
	b.Proto().Graph.ProtoReflect().SetUnknown(extra)
	b.Proto().Graph.Node[1].ProtoReflect().SetUnknown(extra)
	b.Proto().Graph.Initializer[0].ProtoReflect().SetUnknown(extra)
	e := edit(t, b.Bytes())
	if _, err := e.SetInitializer("w", make([]float32, 4)); err != nil {
		t.Fatal(err)
	}
	p, _ := written(t, e)
	for what, m := range map[string]proto.Message{"graph": p.Graph, "node": p.Graph.Node[1], "initializer": p.Graph.Initializer[0]} {
		if string(m.ProtoReflect().GetUnknown()) != string(extra) {
			t.Errorf("%s lost its unknown field", what)
		}
	}
}
