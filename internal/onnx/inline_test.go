package onnx

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/onnxpb"
)

// function takes the nodes of a builder as a body.
func function(name string, inputs, outputs []string, body *onnxtest.Builder) *onnxpb.FunctionProto {
	return &onnxpb.FunctionProto{Name: proto.String(name), Domain: proto.String("local"), Input: inputs, Output: outputs,
		Node: body.Proto().Graph.Node, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}}
}

// modules is a model as torch's dynamo exporter writes it: a linear layer and
// a block of two as functions, the second output handed through.
func modules() *onnxtest.Builder {
	linear := onnxtest.New(13).Node("Gemm", ir.Attrs{"transB": 1}, []string{"x", "w"}, []string{"h"}).
		Node("LeakyRelu", nil, []string{"h"}, []string{"y"})
	linear.Proto().Graph.Node[1].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("alpha"), RefAttrName: proto.String("slope"), Type: onnxpb.AttributeProto_FLOAT.Enum()}}
	block := onnxtest.New(13).NodeNamed("fc1", "local", "Linear", ir.Attrs{"slope": 0.5}, []string{"x", "w1"}, []string{"h"}).
		NodeNamed("fc2", "local", "Linear", nil, []string{"h", "w2"}, []string{"y"})
	b := onnxtest.New(13).Opset("local", 1).Input("x", ir.Float, -1, 2).
		Init("w1", []int{2, 2}, []float32{1, 2, 3, 4}).Init("w2", []int{2, 2}, []float32{5, 6, 7, 8}).
		NodeNamed("block", "local", "Block", nil, []string{"x", "w1", "w2"}, []string{"out", "same"}).
		Output("out", ir.Float, -1, 2).Output("same", ir.Float, -1, 2)
	lin := function("Linear", []string{"x", "w"}, []string{"y"}, linear)
	slope, _ := onnxpb.NewAttribute("slope", 0.25)
	lin.AttributeProto = []*onnxpb.AttributeProto{slope}
	b.Proto().Functions = []*onnxpb.FunctionProto{lin, function("Block", []string{"x", "w1", "w2"}, []string{"y", "x"}, block)}
	return b
}

func TestFunctionsAreInlined(t *testing.T) {
	m := parse(t, modules())
	if got := ops(m.Graph); !slices.Equal(got, []string{"Identity", "Gemm", "LeakyRelu", "Gemm", "LeakyRelu"}) {
		t.Fatalf("nodes %v", got)
	}
	n := m.Graph.Nodes
	if n[0].In(0) != "x" || n[0].Outputs[0] != "same" || n[1].In(0) != "x" || n[1].In(1) != "w1" || n[2].In(0) != n[1].Outputs[0] ||
		n[3].In(0) != n[2].Outputs[0] || n[3].In(1) != "w2" || n[4].Outputs[0] != "out" || n[1].Outputs[0] == n[3].Outputs[0] {
		t.Errorf("the body is wired wrongly: %v %v %v %v %v", *n[0], *n[1], *n[2], *n[3], *n[4])
	}
	if a, b := n[2].Attrs.Float("alpha", -1), n[4].Attrs.Float("alpha", -1); a != 0.5 || b != 0.25 {
		t.Errorf("alpha %g and %g, want the call's 0.5 and the default 0.25", a, b)
	}
	e := editModel(t, m)
	if _, err := e.SetInitializer("w2", []float32{9, 9, 9, 9}); err != nil {
		t.Fatal(err)
	}
	p, again := written(t, e)
	if len(p.Functions) != 0 || !slices.Equal(ops(again.Graph), ops(m.Graph)) || again.Graph.Tensors["w2"].Float(0) != 9 {
		t.Error("the edited model differs")
	}
}

func TestHostileFunctions(t *testing.T) {
	call := func(name, in, out string) *onnxtest.Builder {
		return onnxtest.New(13).NodeNamed("", "local", name, nil, []string{in}, []string{out})
	}
	model := func(f ...*onnxpb.FunctionProto) *onnxtest.Builder {
		b := relu().NodeNamed("call", "local", f[0].GetName(), nil, []string{"x"}, []string{"z"})
		b.Proto().Functions = f
		return b
	}
	var doubling []*onnxpb.FunctionProto // 2^20 nodes
	for i := range 20 {
		next := string(rune('b' + i))
		doubling = append(doubling, function(string(rune('a'+i)), []string{"x"}, []string{"y"},
			call(next, "x", "h").NodeNamed("", "local", next, nil, []string{"h"}, []string{"y"})))
	}
	doubling = append(doubling, function("u", []string{"x"}, []string{"y"}, onnxtest.New(13).Node("Relu", nil, []string{"x"}, []string{"y"})))
	other := function("f", []string{"x"}, []string{"y"}, onnxtest.New(13).Node("Relu", nil, []string{"x"}, []string{"y"}))
	other.OpsetImport[0].Version = proto.Int64(9)
	for want, b := range map[string]*onnxtest.Builder{
		"does it call itself": model(function("f", []string{"x"}, []string{"y"}, call("f", "x", "y"))),
		"grow to more than":   model(doubling...),
		"takes 0 inputs":      model(function("f", nil, []string{"y"}, call("g", "x", "y"))),
		`"ghost" is made by`:  model(function("f", []string{"x"}, []string{"y"}, onnxtest.New(13).Node("Add", nil, []string{"x", "ghost"}, []string{"y"}))),
		"of opset 9":          model(other),
		"overloads":           model(other, other),
	} {
		data := b.Bytes()
		var err error
		used := allocated(func() { _, err = Parse(data, "") })
		if want == `"ghost" is made by` {
			want = `ghost" is made by` // inner names carry the call's
		}
		if err == nil || !strings.Contains(err.Error(), want) || used > 512<<20 {
			t.Errorf("error %v with %d MB allocated, want %q", err, used>>20, want)
		}
	}
}

// A branch inside a body reads the body's values under their new names.
func TestFunctionWithBranches(t *testing.T) {
	then := onnxtest.New(13).Init("k", []int{1}, []float32{3}).Node("Mul", nil, []string{"h", "k"}, []string{"t"}).Output("t", ir.Float, 1)
	other := onnxtest.New(13).Node("Neg", nil, []string{"x"}, []string{"e"}).Output("e", ir.Float, 1)
	body := onnxtest.New(13).Node("Exp", nil, []string{"x"}, []string{"h"}).
		Node("If", ir.Attrs{"then_branch": then, "else_branch": other}, []string{"c"}, []string{"y"})
	b := onnxtest.New(13).Input("a", ir.Float, 1).Input("cond", ir.Bool).
		NodeNamed("one", "local", "F", nil, []string{"a", "cond"}, []string{"b"}).
		NodeNamed("two", "local", "F", nil, []string{"b", "cond"}, []string{"z"}).Output("z", ir.Float, 1)
	b.Proto().Functions = []*onnxpb.FunctionProto{function("F", []string{"x", "c"}, []string{"y"}, body)}
	m := parse(t, b)
	if got := ops(m.Graph); !slices.Equal(got, []string{"Exp", "If", "Exp", "If"}) {
		t.Fatalf("nodes %v", got)
	}
	for i, from := range []string{"a", "b"} {
		exp, branch := m.Graph.Nodes[2*i], m.Graph.Nodes[2*i+1]
		mul, neg := branch.Subgraphs["then_branch"], branch.Subgraphs["else_branch"]
		if mul.Nodes[0].In(0) != exp.Outputs[0] || mul.Tensors[mul.Nodes[0].In(1)].Float(0) != 3 || neg.Nodes[0].In(0) != from || branch.In(0) != "cond" {
			t.Errorf("call %d: then %v, else %v", i, *mul.Nodes[0], *neg.Nodes[0])
		}
	}
	if e := editModel(t, m); !e.HasValue("z") || e.HasValue("nobody") {
		t.Error("HasValue is wrong")
	}
}
