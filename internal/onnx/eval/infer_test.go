package eval_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// builder makes small graphs by hand.
type builder struct{ ir.Graph }

func newGraph(opset int) *builder {
	return &builder{ir.Graph{Opset: opset, Tensors: map[string]*ir.Tensor{}}}
}

func (b *builder) input(name string, t ir.DType, dims ...int) *builder {
	b.Inputs = append(b.Inputs, ir.Value{Name: name, Type: ir.Type{DType: t, Dims: dims, Known: true}})
	return b
}

func (b *builder) output(names ...string) *builder {
	for _, name := range names {
		b.Outputs = append(b.Outputs, ir.Value{Name: name})
	}
	return b
}

func (b *builder) parameter(name string, dims ...int) *builder {
	n := 1
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	t := ir.FromFloat32s(name, v, dims...)
	t.Origin = &ir.Origin{Name: name, DType: ir.Float, Dims: dims}
	b.Tensors[name] = t
	return b
}

func (b *builder) list(name string, v ...int64) *builder {
	b.Tensors[name] = ir.FromInt64s(name, v, len(v))
	return b
}

func (b *builder) node(op, in, out string, attrs ir.Attrs) *builder {
	b.Nodes = append(b.Nodes, &ir.Node{Op: op, Name: "/" + out, Inputs: strings.Split(in, " "), Outputs: strings.Split(out, " "), Attrs: attrs})
	if in == "" {
		b.Nodes[len(b.Nodes)-1].Inputs = nil
	}
	return b
}

func (b *builder) infer(t *testing.T, o eval.Options) *ir.Graph {
	t.Helper()
	g := eval.Clone(&b.Graph)
	if err := eval.Infer(g, o); err != nil {
		t.Fatal(err)
	}
	return g
}

func (b *builder) fails(t *testing.T, o eval.Options, words ...string) error {
	t.Helper()
	err := eval.Infer(eval.Clone(&b.Graph), o)
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	return err
}

func ops(g *ir.Graph) string {
	var list []string
	for _, n := range g.Nodes {
		list = append(list, n.Op)
	}
	return strings.Join(list, " ")
}

func wantDims(t *testing.T, g *ir.Graph, name string, dims ...int) {
	t.Helper()
	if got := g.Types[name]; !got.Static() || !slices.Equal(got.Dims, dims) {
		t.Errorf("%s is %+v, want %v", name, got, dims)
	}
}

// TestInferOrigin folds chains of moves over a parameter. The origin must say
// how to get from the parameter to the result.
func TestInferOrigin(t *testing.T) {
	for _, c := range []struct {
		name    string
		dims    []int
		build   func(b *builder)
		perm    []int
		aliases int
		lost    bool
	}{
		{"identity twice", []int{2, 3}, func(b *builder) {
			b.node("Identity", "w", "a", nil).node("Identity", "a", "r", nil)
		}, nil, 2, false},
		{"transpose", []int{2, 3}, func(b *builder) { b.node("Transpose", "w", "r", nil) }, []int{1, 0}, 0, false},
		{"transpose there and back", []int{2, 3}, func(b *builder) {
			b.node("Transpose", "w", "a", nil).node("Transpose", "a", "r", ir.Attrs{"perm": []int64{1, 0}})
		}, nil, 0, false},
		{"cycle twice", []int{2, 3, 4}, func(b *builder) {
			p := ir.Attrs{"perm": []int64{1, 2, 0}}
			b.node("Transpose", "w", "a", p).node("Transpose", "a", "r", p)
		}, []int{2, 0, 1}, 0, false},
		{"squeezed 1x1 kernel", []int{4, 3, 1, 1}, func(b *builder) {
			b.node("Reshape", "w s", "a", nil).node("Transpose", "a", "r", nil).list("s", 4, 3)
		}, []int{2, 3, 1, 0}, 0, false},
		{"transposed, then reshaped", []int{2, 6}, func(b *builder) {
			b.node("Transpose", "w", "a", nil).node("Reshape", "a s", "r", nil).list("s", 3, 4)
		}, []int{1, 0}, 0, false},
		{"reshaped, then transposed", []int{2, 6}, func(b *builder) {
			b.node("Reshape", "w s", "a", nil).node("Transpose", "a", "r", nil).list("s", 3, 4)
		}, nil, 0, true},
		{"through half precision", []int{2, 3}, func(b *builder) {
			b.node("Cast", "w", "a", ir.Attrs{"to": int64(10)}).node("Unsqueeze", "a x", "r", nil).list("x", 0)
		}, nil, 0, false},
		{"to integers", []int{2, 3}, func(b *builder) { b.node("Cast", "w", "r", ir.Attrs{"to": int64(7)}) }, nil, 0, true},
		{"computed", []int{2, 3}, func(b *builder) { b.node("Neg", "w", "r", nil) }, nil, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newGraph(17).parameter("w", c.dims...).output("r")
			c.build(b)
			g := b.infer(t, eval.Options{})
			r := g.Tensors["r"]
			if r == nil || len(g.Nodes) != 0 {
				t.Fatalf("not folded: %s", ops(g))
			}
			if c.lost {
				if r.Origin != nil {
					t.Fatalf("origin %+v", r.Origin)
				}
				return
			}
			if o := r.Origin; o == nil || o.Name != "w" || !slices.Equal(o.Perm, c.perm) || o.Aliases != c.aliases {
				t.Fatalf("origin %+v, want perm %v and %d aliases", o, c.perm, c.aliases)
			}
			// Redo it from the file's tensor.
			w := b.Tensors["w"]
			if c.perm != nil {
				perm := make([]int64, len(c.perm))
				for i, p := range c.perm {
					perm[i] = int64(p)
				}
				out, err := eval.Eval(&ir.Node{Op: "Transpose", Outputs: []string{"y"}, Attrs: ir.Attrs{"perm": perm}}, 17, []*ir.Tensor{w})
				if err != nil {
					t.Fatal(err)
				}
				w = out[0]
			}
			if !slices.Equal(w.Float32s(), r.Float32s()) {
				t.Errorf("%v, the origin says %v", r.Float32s(), w.Float32s())
			}
		})
	}
	// Where only the shape changes, the memory of the file is shared.
	b := newGraph(17).parameter("w", 2, 3).node("Identity", "w", "a", nil).node("Flatten", "a", "r", ir.Attrs{"axis": int64(0)}).output("r")
	if g := b.infer(t, eval.Options{}); &g.Tensors["r"].Raw[0] != &b.Tensors["w"].Raw[0] {
		t.Error("Identity and Flatten copied the tensor")
	}
}

// TestInferRemoves checks that nodes that do nothing go, and that the graph's
// outputs keep their names and values.
func TestInferRemoves(t *testing.T) {
	b := newGraph(13).input("x", ir.Float16, -1, 3).
		node("Cast", "x", "a", ir.Attrs{"to": int64(1)}).
		node("Relu", "a", "b", nil).
		node("Identity", "b", "y", nil).
		node("Dropout", "b", "c mask", nil).
		node("Cast", "c", "z", ir.Attrs{"to": int64(10)}).
		node("Identity", "x", "same", nil).
		node("Neg", "z", "n", nil).
		node("Dropout", "n", "d m2", nil).
		output("y", "z", "same", "d", "m2")
	g := b.infer(t, eval.Options{Batch: 2})
	if got := ops(g); got != "Relu Neg Dropout Identity Identity" {
		t.Fatalf("nodes %s", got)
	}
	for name, typ := range g.Types {
		if want := ir.Float; typ.DType != want && name != "m2" {
			t.Errorf("%s is %v", name, typ.DType)
		}
	}
	if g.Inputs[0].Type.DType != ir.Float || g.Outputs[1].Type.DType != ir.Float || g.Outputs[4].Type.DType != ir.Bool {
		t.Error("inputs and outputs have other types than the values")
	}
	if b.Graph.Nodes[1].Inputs[0] != "a" || b.Inputs[0].Type.Dims[0] != -1 {
		t.Error("the original graph was changed")
	}
	out, err := eval.Run(g, map[string]*ir.Tensor{"x": ir.FromFloat32s("", []float32{-1, 2, 3, -4, 5, 6}, 2, 3)})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{"y": {0, 2, 3, 0, 5, 6}, "z": {0, 2, 3, 0, 5, 6}, "same": {-1, 2, 3, -4, 5, 6}} {
		if !slices.Equal(out[name].Float32s(), want) {
			t.Errorf("%s is %v, want %v", name, out[name].Float32s(), want)
		}
	}
}

// TestInferSorts accepts nodes in any order and names what nothing makes.
func TestInferSorts(t *testing.T) {
	b := newGraph(13).input("x", ir.Float, 2, 3).node("Add", "b x", "y", nil).node("Neg", "a", "b", nil).node("Relu", "x", "a", nil).output("y")
	if got := ops(b.infer(t, eval.Options{})); got != "Relu Neg Add" {
		t.Errorf("order %s", got)
	}
	newGraph(13).input("x", ir.Float, 2).node("Add", "x y", "y", nil).output("y").fails(t, eval.Options{}, "node /y", `"y"`)
	newGraph(13).input("x", ir.Float, 2).node("Add", "x lost", "y", nil).output("y").fails(t, eval.Options{}, "node /y", `"lost"`)
}

func TestInferInputs(t *testing.T) {
	b := newGraph(13).input("x", ir.Float, -1, 3, -1).node("Relu", "x", "y", nil).output("y")
	b.Inputs[0].Type.Params = []string{"batch", "", "width"}
	b.fails(t, eval.Options{Batch: 4}, `"x"`, "dimension 2", "width")
	b.fails(t, eval.Options{Inputs: map[string][]int{"x": {1, 3}}}, "rank 3", "(1,3)")
	b.fails(t, eval.Options{Inputs: map[string][]int{"z": {1, 3}}}, `"z"`)
	b.fails(t, eval.Options{Inputs: map[string][]int{"x": {0, 3, 4}}}, "dimension 0 is 0")
	wantDims(t, b.infer(t, eval.Options{Inputs: map[string][]int{"x": {5, 3, 7}}}), "y", 5, 3, 7)
}

func TestInferShapeChain(t *testing.T) {
	// The flattening that torch exports for a dynamic batch, around a branch.
	b := newGraph(13).input("x", ir.Float, -1, 3, 4).
		node("Shape", "x", "s", nil).node("Gather", "s zero", "n", nil).node("Unsqueeze", "n zero1", "n1", nil).
		node("Concat", "n1 rest", "shape", ir.Attrs{"axis": int64(0)}).
		node("Size", "x", "size", nil).node("Equal", "size size", "cond", nil).
		list("zero1", 0).list("rest", -1)
	b.Tensors["zero"] = ir.FromInt64s("zero", []int64{0})
	sub := func(op string) *ir.Graph {
		return &ir.Graph{Opset: 13, Tensors: map[string]*ir.Tensor{}, Outputs: []ir.Value{{Name: "s"}}, Nodes: []*ir.Node{
			{Op: op, Inputs: []string{"x"}, Outputs: []string{"inner"}},
			{Op: "Reshape", Inputs: []string{"inner", "shape"}, Outputs: []string{"s"}}, // hides the outer s
		}}
	}
	b.Nodes = append(b.Nodes, &ir.Node{Op: "If", Name: "/if", Inputs: []string{"cond"}, Outputs: []string{"y"},
		Subgraphs: map[string]*ir.Graph{"then_branch": sub("Neg"), "else_branch": sub("Unknown")}})
	g := b.output("y").infer(t, eval.Options{Batch: 5})
	wantDims(t, g, "y", 5, 12)
	if got := ops(g); got != "Neg Reshape" {
		t.Errorf("nodes %s", got)
	}
	x := ir.FromFloat32s("", make([]float32, 60), 5, 3, 4)
	x.Float32s()[59] = 7
	for _, h := range []*ir.Graph{g, &b.Graph} {
		out, err := eval.Run(h, map[string]*ir.Tensor{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		if y := out["y"]; !slices.Equal(y.Dims, []int{5, 12}) || y.Float(59) != -7 {
			t.Errorf("y is %v", y)
		}
	}
}

func TestInferUnsupported(t *testing.T) {
	b := newGraph(13).input("x", ir.Float, 2, 3).node("Foo", "x", "a", nil).node("Relu", "a", "b", nil).
		node("Bar", "b", "c", nil).node("NotNeeded", "x", "e", nil).node("Conv", "c c", "d", nil).output("d")
	b.Nodes[0].Domain = "custom"
	err := b.fails(t, eval.Options{}, "custom.Foo", "Bar", "/c")
	var missing *eval.UnsupportedError
	if !errors.As(err, &missing) || !slices.Equal(missing.Ops, []eval.UnsupportedOp{{Op: "Foo", Domain: "custom", Node: "/a", Opset: 13}, {Op: "Bar", Node: "/c", Opset: 13}}) {
		t.Errorf("error %#v", err)
	}
	if eval.Supported("Relu", "custom", 13) || eval.Supported("Relu", "", 6) || !eval.Supported("Relu", "ai.onnx", 22) || eval.Supported("Upsample", "", 10) || eval.Supported("LayerNormalization", "", 16) {
		t.Error("Supported is wrong")
	}
}

func TestInferDynamic(t *testing.T) {
	b := newGraph(13).input("x", ir.Float, 1, 3, 4, 4).node("NonZero", "x", "nz", nil).node("Cast", "nz", "f", ir.Attrs{"to": int64(1)}).
		node("Shape", "nz", "s", nil).node("Add", "x x", "sum", nil).output("f", "s", "sum")
	g := b.infer(t, eval.Options{})
	if f := g.Types["f"]; f.Known || f.DType != ir.Float || g.Types["nz"].DType != ir.Int64 || g.Types["s"].DType != ir.Int64 {
		t.Errorf("types %+v", g.Types)
	}
	wantDims(t, g, "sum", 1, 3, 4, 4)
	b = newGraph(13).input("x", ir.Float, 1, 3, 4, 4).node("NonZero", "x", "nz", nil).node("Shape", "nz", "s", nil).
		node("Expand", "x s", "e", nil).node("GlobalAveragePool", "e", "y", nil).output("y")
	var dynamic *eval.DynamicError
	if err := b.fails(t, eval.Options{}, "/y", `"e"`, "/nz", "NonZero"); !errors.As(err, &dynamic) {
		t.Errorf("error %T", err)
	}
	// Masks are enlarged behind the choice of boxes.
	b = newGraph(13).input("x", ir.Float, 1, 3, 4, 4).node("NonZero", "x", "nz", nil).node("Cast", "nz", "f", ir.Attrs{"to": int64(1)}).
		list("scales", 2, 2).node("Cast", "scales", "s", ir.Attrs{"to": int64(1)}).node("Resize", "f  s", "y", nil).output("y")
	if g := b.infer(t, eval.Options{}); g.Types["y"].Known {
		t.Errorf("types %+v", g.Types)
	}
}

func TestInferLimits(t *testing.T) {
	b := newGraph(13).input("x", ir.Float, 2).list("s", 1000, 1000).node("ConstantOfShape", "s", "c", nil).
		node("ReduceSum", "c", "r", nil).node("Add", "x r", "y", nil).output("y")
	wantDims(t, b.infer(t, eval.Options{}), "y", 1, 2)
	b.fails(t, eval.Options{MaxElements: 999_999}, "/c", "1000000", "999999")
	b.fails(t, eval.Options{MaxBytes: 3_999_999}, "/c", "4000000", "3999999")
	if g := b.infer(t, eval.Options{MaxElements: 999_999, KeepLarge: true}); ops(g) != "ConstantOfShape ReduceSum Add" {
		t.Errorf("nodes %s", ops(g))
	}
	newGraph(13).list("s", 1<<40, 1<<40).node("ConstantOfShape", "s", "y", nil).output("y").fails(t, eval.Options{KeepLarge: true}, "/y", "2^40")
}

func TestInferRebatch(t *testing.T) {
	run := func(t *testing.T, b *builder, n int) *ir.Graph {
		t.Helper()
		g := b.infer(t, eval.Options{Batch: n})
		for _, node := range g.Nodes {
			for _, o := range node.Outputs {
				if !g.Types[o].Static() {
					t.Errorf("%s is not static", o)
				}
			}
		}
		return g
	}
	t.Run("reshape", func(t *testing.T) {
		b := newGraph(13).input("x", ir.Float, 1, 6, 4).list("s", 1, 2, 3, 4).list("minus", 1, 8, -1).list("flat", -1, 4).
			node("Reshape", "x s", "a", nil).node("Reshape", "x minus", "b", nil).node("Reshape", "x flat", "c", nil).output("a", "b", "c")
		g := run(t, b, 5)
		wantDims(t, g, "a", 5, 2, 3, 4)
		wantDims(t, g, "b", 5, 8, 3)
		wantDims(t, g, "c", 30, 4)
	})
	t.Run("second axis", func(t *testing.T) {
		b := newGraph(13).input("x", ir.Float, 2, 6, 4).list("s", 6, 2, 2, 2).
			node("Transpose", "x", "a", ir.Attrs{"perm": []int64{1, 0, 2}}).node("Reshape", "a s", "b", nil).output("b")
		wantDims(t, run(t, b, 3), "b", 6, 3, 2, 2)
	})
	t.Run("merged with tokens", func(t *testing.T) {
		b := newGraph(13).input("x", ir.Float, 1, 6, 4).list("s", 6, 4).node("Reshape", "x s", "head", nil).output("head")
		b.fails(t, eval.Options{Batch: 8}, "node /head: Reshape: cannot reshape (8,6,4) to (6,4)", "(1,6,4)")
	})
	t.Run("class token", func(t *testing.T) {
		b := newGraph(13).input("x", ir.Float, 1, 6, 4).parameter("cls", 1, 1, 4).node("Concat", "cls x", "y", ir.Attrs{"axis": int64(1)}).output("y")
		g := run(t, b, 3)
		wantDims(t, g, "y", 3, 7, 4)
		if len(g.Nodes) != 2 || g.Nodes[0].In(0) != "cls" {
			t.Errorf("the token's parameter is lost: %s", ops(g))
		}
		x := ir.FromFloat32s("", make([]float32, 72), 3, 6, 4)
		out, err := eval.Run(g, map[string]*ir.Tensor{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if got := out["y"].Float32s()[i*28:][:5]; !slices.Equal(got, []float32{0, 1, 2, 3, 0}) {
				t.Errorf("image %d has the token %v", i, got)
			}
		}
	})
	t.Run("expand and resize", func(t *testing.T) {
		b := newGraph(13).input("x", ir.Float, 2, 1, 3, 3).list("s", 2, 4, 3, 3).list("z", 2, 4, 6, 6).
			node("Expand", "x s", "a", nil).node("Resize", "a   z", "b", nil).output("b")
		wantDims(t, run(t, b, 5), "b", 5, 4, 6, 6)
	})
	t.Run("same batch", func(t *testing.T) {
		b := newGraph(13).input("x", ir.Float, 1, 6, 4).list("s", 6, 4).node("Reshape", "x s", "head", nil).output("head")
		wantDims(t, run(t, b, 1), "head", 6, 4)
	})
}

func TestEvalErrors(t *testing.T) {
	x := ir.FromFloat32s("", make([]float32, 12), 2, 6)
	for _, c := range []struct {
		node  ir.Node
		in    []*ir.Tensor
		words []string
	}{
		{ir.Node{Op: "Reshape", Name: "/head"}, []*ir.Tensor{x, ir.FromInt64s("", []int64{5, -1}, 2)}, []string{"node /head", "(2,6)", "(5,-1)"}},
		{ir.Node{Op: "MatMul", Name: "/mm"}, []*ir.Tensor{x, x}, []string{"node /mm", "6 and 2"}},
		{ir.Node{Op: "Transpose", Attrs: ir.Attrs{"perm": []int64{0, 0}}}, []*ir.Tensor{x}, []string{"node making y", "[0 0]"}},
		{ir.Node{Op: "Add"}, []*ir.Tensor{x}, []string{"input 1 is missing"}},
		{ir.Node{Op: "Relu"}, []*ir.Tensor{x, x}, []string{"2 inputs", "at most 1"}},
		{ir.Node{Op: "Gather"}, []*ir.Tensor{x, ir.FromInt64s("", []int64{7})}, []string{"index 7", "length 2"}},
		{ir.Node{Op: "Add"}, []*ir.Tensor{x, ir.FromInt64s("", []int64{7})}, []string{"float32 and int64"}},
		{ir.Node{Op: "Relu"}, []*ir.Tensor{{DType: ir.Float, Dims: []int{3}, Raw: make([]byte, 8)}}, []string{"8 bytes", "12"}},
		{ir.Node{Op: "If"}, []*ir.Tensor{x}, []string{"boolean"}},
	} {
		c.node.Outputs = []string{"y"}
		_, err := eval.Eval(&c.node, 13, c.in)
		if err == nil {
			t.Errorf("%s: no error", c.node.Op)
			continue
		}
		for _, w := range append(c.words, c.node.Op) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
	}
}
