package onnx

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/onnxpb"
)

// allocated runs f and returns the bytes that it allocated in all.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

// conv is a small convolutional model of everything that the importer reads.
func conv() *onnxtest.Builder {
	return onnxtest.New(13).Input("x", ir.Float, -1, 3, 8, 8).
		Init("w", []int{4, 3, 3, 3}, []float32{.1, -.2, .3}).Init("b", []int{4}, []float32{1}).
		InitProto(&onnxpb.TensorProto{Name: proto.String("f"), DataType: proto.Int32(1), Dims: []int64{2}, FloatData: []float32{1, 2}}).
		Const("axes", &ir.Tensor{DType: ir.Int64, Dims: []int{1}, Raw: []byte{1, 0, 0, 0, 0, 0, 0, 0}}).
		Node("Conv", ir.Attrs{"pads": []int{1, 1, 1, 1}, "group": 1}, []string{"x", "w", "b"}, []string{"c"}).
		Node("Relu", nil, []string{"c"}, []string{"r"}).
		Node("ReduceMean", ir.Attrs{"axes": []int{2, 3}, "keepdims": 0}, []string{"r"}, []string{"y"}).
		ValueInfo("c", ir.Float, -1, 4, 8, 8).Output("y", ir.Float, -1, 4)
}

func tensorWith(dt int32, raw []byte, dims ...int64) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: proto.String("bad"), DataType: proto.Int32(dt), Dims: dims, RawData: raw}
}

func relu() *onnxtest.Builder {
	return onnxtest.New(13).Input("x", ir.Float, 2).Node("Relu", nil, []string{"x"}, []string{"y"}).Output("y", ir.Float, 2)
}

func TestBrokenFiles(t *testing.T) {
	type change = func(p *onnxpb.ModelProto)
	initializer := func(p *onnxpb.TensorProto) *onnxtest.Builder { return relu().InitProto(p) }
	with := func(b *onnxtest.Builder, f change) *onnxtest.Builder { f(b.Proto()); return b }
	for name, c := range map[string]struct {
		model *onnxtest.Builder
		want  []string
	}{
		"negative dimension":  {initializer(tensorWith(1, make([]byte, 8), -2)), []string{`initializer "bad"`, "dimension 0 is -2"}},
		"huge dimensions":     {initializer(tensorWith(1, nil, 1<<31, 1<<31)), []string{`initializer "bad"`, "more than"}},
		"overflow":            {initializer(tensorWith(1, nil, 1<<32, 1<<32, 1<<32)), []string{"more than"}},
		"zero hides overflow": {initializer(tensorWith(1, nil, 0, 1<<40, 1<<40)), []string{"more than"}},
		"no contents":         {initializer(tensorWith(1, nil, 1<<20, 1<<20)), []string{"need 1099511627776 elements, the file has 0"}},
		"too few bytes":       {initializer(tensorWith(1, make([]byte, 4), 2)), []string{"need 8 bytes, raw_data has 4"}},
		"too many bytes":      {initializer(tensorWith(1, make([]byte, 12), 2)), []string{"need 8 bytes, raw_data has 12"}},
		"too few floats": {initializer(&onnxpb.TensorProto{Name: proto.String("bad"), DataType: proto.Int32(1), Dims: []int64{3}, FloatData: []float32{1}}),
			[]string{"need 3 elements, the file has 1"}},
		"wrong field": {initializer(&onnxpb.TensorProto{Name: proto.String("bad"), DataType: proto.Int32(1), Dims: []int64{1}, Int64Data: []int64{1}}),
			[]string{"data field 7, they belong in 4"}},
		"two fields": {initializer(&onnxpb.TensorProto{Name: proto.String("bad"), DataType: proto.Int32(1), Dims: []int64{1}, FloatData: []float32{1}, RawData: make([]byte, 4)}),
			[]string{"two fields"}},
		"undefined type": {initializer(tensorWith(0, nil, 0)), []string{"element type 0 does not exist"}},
		"rank":           {initializer(tensorWith(1, make([]byte, 4), make([]int64, 40)...)), []string{"more than 32 dimensions"}},
		"nameless": {with(relu(), func(p *onnxpb.ModelProto) {
			p.Graph.Initializer = []*onnxpb.TensorProto{{DataType: proto.Int32(1), RawData: make([]byte, 4)}}
		}), []string{"needs a name"}},
		"same initializer":  {relu().Init("w", []int{1}, []float32{1}).Init("w", []int{1}, []float32{1}), []string{`value "w" is made twice`}},
		"value made twice":  {relu().Node("Exp", nil, []string{"x"}, []string{"y"}), []string{`value "y" is made twice`, "Relu_0", "Exp_1"}},
		"input overwritten": {relu().Node("Exp", nil, []string{"y"}, []string{"x"}), []string{`value "x" is made twice`}},
		"never made":        {relu().Node("Add", nil, []string{"y", "ghost"}, []string{"z"}), []string{`"Add_1" (Add)`, `input "ghost" is made by no node`}},
		"output never made": {relu().Output("ghost", ir.Float), []string{`output "ghost"`, "no node makes"}},
		"self loop":         {relu().Node("Add", nil, []string{"x", "z"}, []string{"z"}), []string{`"Add_1" (Add) reads its own output`}},
		"cycle": {relu().Node("Add", nil, []string{"x", "b"}, []string{"a"}).Node("Exp", nil, []string{"a"}, []string{"b"}),
			[]string{"nodes form a cycle", `"Add_1" (Add)`, `"Exp_2" (Exp)`}},
		"no output":   {onnxtest.New(13).Input("x", ir.Float).Node("Relu", nil, []string{"x"}, []string{"y"}), []string{"no outputs"}},
		"no operator": {relu().Node("", nil, []string{"x"}, []string{"z"}), []string{"no operator"}},
		"node without output": {relu().Node("Exp", nil, []string{"x"}, []string{""}),
			[]string{"no output"}},
		"huge input":     {relu().Input("big", ir.Float, 1<<20, 1<<20), []string{`input "big"`, "more than 2147483648 elements"}},
		"negative input": {relu().Input("neg", ir.Float, -1, -7), nil},
		"no opset":       {with(relu(), func(p *onnxpb.ModelProto) { p.OpsetImport = nil }), []string{"opset_import does not name"}},
		"no graph":       {with(relu(), func(p *onnxpb.ModelProto) { p.Graph = nil }), []string{"holds no graph"}},
		"attribute twice": {with(relu(), func(p *onnxpb.ModelProto) {
			a, _ := onnxpb.NewAttribute("k", 1)
			p.Graph.Node[0].Attribute = append(p.Graph.Node[0].Attribute, a, a)
		}), []string{`attribute "k" is given twice`}},
		"missing tensor": {with(relu(), func(p *onnxpb.ModelProto) {
			p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("t"), Type: onnxpb.AttributeProto_TENSOR.Enum()}}
		}), []string{`attribute "t"`, "value is missing"}},
		"empty Constant": {relu().Node("Constant", nil, nil, []string{"k"}), []string{"a Constant has one attribute"}},
		"odd Constant":   {relu().Node("Constant", ir.Attrs{"value_float": 3}, nil, []string{"k"}), []string{`no attribute "value_float" of type INT`}},
		"not UTF-8": {with(relu(), func(p *onnxpb.ModelProto) {
			p.Graph.Node[0].Output[0] = "\xff"
			p.Graph.Output[0].Name = proto.String("\xff")
		}),
			[]string{"not UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "negative input" { // −1 means unknown for some exporters, −7 nothing
				c.model.Proto().Graph.Input[1].Type.GetTensorType().Shape.Dim[1].Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: -7}
				c.want = []string{`input "neg"`, "dimension 1 is -7"}
			}
			data, err := proto.MarshalOptions{AllowPartial: true}.Marshal(c.model.Proto())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "bad.onnx")
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err = Open(path)
			var f *FormatError
			if !errors.As(err, &f) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			for _, want := range append(c.want, "read "+path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestUnsupportedFeatures(t *testing.T) {
	for want, b := range map[string]*onnxtest.Builder{
		`initializer "bad": element type float8e5m2`:  relu().InitProto(tensorWith(19, make([]byte, 4), 4)),
		`element type complex64`:                      relu().InitProto(tensorWith(14, make([]byte, 8), 1)),
		`sparse initializer`:                          relu(),
		`input "seq": a value that is not a dense te`: relu(),
		`as they were in opset 6: Add (node "Add_1"), PRelu (node "PRelu_2")`: relu().
			Node("Add", ir.Attrs{"axis": 1, "broadcast": 1}, []string{"x", "y"}, []string{"a"}).Node("PRelu", nil, []string{"a", "x"}, []string{"p"}),
	} {
		g := b.Proto().Graph
		switch {
		case strings.HasPrefix(want, "sparse"):
			g.SparseInitializer = []*onnxpb.SparseTensorProto{{Values: tensorWith(1, make([]byte, 4), 1), Indices: tensorWith(7, make([]byte, 8), 1), Dims: []int64{9}}}
		case strings.HasPrefix(want, "input"):
			g.Input = append(g.Input, &onnxpb.ValueInfoProto{Name: proto.String("seq"),
				Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_SequenceType{SequenceType: &onnxpb.TypeProto_Sequence{ElemType: g.Input[0].Type}}}})
		case strings.Contains(want, "in opset 6"):
			b.Proto().OpsetImport[0].Version = proto.Int64(6)
		}
		_, err := Parse(b.Bytes(), "")
		var u *UnsupportedError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want an UnsupportedError with %q", err, want)
		}
	}
}

// The 73 bytes that make onnx-go ask for 4 TB: one declared input.
func TestMemoryBombs(t *testing.T) {
	declared := onnxtest.New(13).Input("x", ir.Float, 2).ValueInfo("v", ir.Float, 1<<20, 1<<20).
		Node("Relu", nil, []string{"x"}, []string{"y"}).Output("y", ir.Float)
	if used := allocated(func() {
		if m, err := Parse(declared.Bytes(), ""); err != nil || len(m.ValueInfo) != 0 {
			t.Errorf("an absurd note about an inner value should be dropped: %v", err)
		}
	}); used > 1<<20 {
		t.Errorf("%d bytes allocated for %d", used, len(declared.Bytes()))
	}
	for name, b := range map[string]*onnxtest.Builder{
		"input": relu().Input("x2", ir.Float, 1<<20, 1<<20), "output": relu().Output("x", ir.Double, 1<<30, 1<<30),
		"initializer": relu().InitProto(tensorWith(1, nil, 1<<20, 1<<20)), "bytes": relu().InitProto(tensorWith(2, nil, math.MaxInt64)),
	} {
		data := b.Bytes()
		if used := allocated(func() {
			if _, err := Parse(data, ""); err == nil {
				t.Errorf("%s: no error", name)
			}
		}); used > 1<<20 {
			t.Errorf("%s: %d bytes allocated for a file of %d", name, used, len(data))
		}
	}
}

// Messages of two bytes decode into structs of hundreds.
func TestManySmallMessages(t *testing.T) {
	wrap := func(num protowire.Number, body []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), body)
	}
	repeat := func(num protowire.Number, n int) []byte {
		return []byte(strings.Repeat(string(wrap(num, nil)), n))
	}
	const n = 1 << 20
	for name, data := range map[string][]byte{
		"nodes":        wrap(7, repeat(1, n)),
		"attributes":   wrap(7, wrap(1, repeat(5, n))),
		"node inputs":  wrap(7, wrap(1, repeat(1, 4*n))),
		"initializers": wrap(7, repeat(5, n)),
		"dimensions":   wrap(7, wrap(11, wrap(2, wrap(1, wrap(2, repeat(1, n)))))),
		"metadata":     repeat(14, n),
		"tensor dims":  wrap(7, wrap(5, wrap(1, make([]byte, 4*n)))),
		"unknown":      repeat(99, 4*n),
	} {
		limit := uint64(2*graphMemory + 8*graphMemoryPerByte*len(data))
		var err error
		if used := allocated(func() { _, err = Parse(data, "") }); used > limit || err == nil {
			t.Errorf("%s: %d MB allocated for %d MB, limit %d MB, error %v", name, used>>20, len(data)>>20, limit>>20, err)
		}
	}
}

func TestNesting(t *testing.T) {
	inner := onnxtest.New(13).Node("Identity", nil, []string{"x"}, []string{"o"}).Output("o", ir.Float)
	nest := func(depth int) *onnxtest.Builder {
		b := inner
		for range depth {
			b = onnxtest.New(13).Node("If", ir.Attrs{"then_branch": b, "else_branch": inner}, []string{"c"}, []string{"o"}).Output("o", ir.Float)
		}
		return b.Input("x", ir.Float).Input("c", ir.Bool)
	}
	if _, err := Parse(nest(5).Bytes(), ""); err != nil {
		t.Error(err)
	}
	if _, err := Parse(nest(50).Bytes(), ""); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("error %v", err)
	}
	deep := []byte{}
	for range 200_000 {
		deep = protowire.AppendBytes([]byte{0x0a}, deep)
		if len(deep) > 1<<16 {
			break
		}
	}
	if _, err := Parse(deep, ""); err == nil {
		t.Error("nested bytes were read")
	}
}

func TestNotAModel(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty": {}, "zero": {0}, "jpeg": []byte("\xff\xd8\xff\xe0\x00\x10JFIF"), "text": []byte("import torch\n"), "html": []byte("<!DOCTYPE html><html>404"),
	} {
		_, err := Parse(data, "")
		var f *FormatError
		if !errors.As(err, &f) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// Every prefix of a small model, and some of a real one, is refused or a model.
func TestTruncated(t *testing.T) {
	data := conv().Bytes()
	for n := range data {
		if _, err := Parse(data[:n], ""); err == nil {
			t.Errorf("the first %d of %d bytes were read as a model", n, len(data))
		}
	}
	real, err := os.ReadFile(realPath(t, "cifar_resnet_4b.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for k := range 200 {
		if _, err := Parse(real[:len(real)*k/200], ""); err == nil {
			t.Errorf("%d/200 of a real model was read", k)
		}
	}
}

func TestMutated(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	data := conv().Bytes()
	read := 0
	for range 20_000 {
		bad := append([]byte(nil), data...)
		for range 1 + rng.IntN(4) {
			bad[rng.IntN(len(bad))] = byte(rng.Uint32())
		}
		if _, err := Parse(bad, ""); err == nil {
			read++
		}
	}
	if read == 0 || read == 20_000 {
		t.Errorf("%d of 20000 mutations were read: the test tries nothing", read)
	}
}

func TestNonFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	m := parse(t, relu().Init("good", []int{2}, []float32{1, 2}).Init("w", []int{4}, []float32{1, nan, inf, nan}).
		InitTensor(&ir.Tensor{Name: "h", DType: ir.Float16, Dims: []int{1}, Raw: []byte{0, 0x7c}}).
		InitInts("k", []int{1}, []int64{-1}))
	if got := fmt.Sprint(m.NonFinite()); got != "[{h 0 1} {w 2 1}]" {
		t.Errorf("non-finite %s", got)
	}
}
