package fuse

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// model builds a graph node by node.
type model struct {
	g   *ir.Graph
	in  map[string]array
	rng *rand.Rand
}

func newModel(dims ...int) *model {
	m := &model{g: &ir.Graph{Opset: 13, Tensors: map[string]*ir.Tensor{}, Types: map[string]ir.Type{}},
		in: map[string]array{}, rng: rand.New(rand.NewPCG(1, 2))}
	x := newArray(dims...)
	for i := range x.v {
		x.v[i] = 2 * m.rng.NormFloat64()
	}
	m.in["x"] = x
	m.g.Inputs = []ir.Value{{Name: "x", Type: ir.Type{DType: ir.Float, Dims: dims, Known: true}}}
	return m
}

func (m *model) floats(name string, v []float32, dims ...int) string {
	t := ir.FromFloat32s(name, v, dims...)
	t.Origin = &ir.Origin{Name: name, DType: ir.Float, Dims: dims}
	m.g.Tensors[name] = t
	m.g.Types[name] = t.Type()
	return name
}

func (m *model) scalar(name string, v float64) string { return m.floats(name, []float32{float32(v)}) }

// param makes a random tensor; positive keeps it away from zero.
func (m *model) param(name string, positive bool, dims ...int) string {
	v := make([]float32, newArray(dims...).len())
	for i := range v {
		v[i] = float32(m.rng.NormFloat64())
		if positive {
			v[i] = 0.5 + float32(m.rng.Float64())
		}
	}
	return m.floats(name, v, dims...)
}

func (a array) len() int { return len(a.v) }

func (m *model) ints(name string, v ...int64) string {
	t := ir.FromInt64s(name, v, len(v))
	m.g.Tensors[name] = t
	m.g.Types[name] = t.Type()
	return name
}

// index makes a scalar integer.
func (m *model) index(name string, i int) string {
	m.ints(name, int64(i))
	m.g.Tensors[name].Dims = []int{}
	m.g.Types[name] = m.g.Tensors[name].Type()
	return name
}

// node adds an operation; arguments after the output are attributes.
func (m *model) node(op string, in []string, out string, attrs ...any) string {
	n := &ir.Node{Op: op, Name: "/m/" + out + "/" + op, Inputs: in, Outputs: strings.Fields(out), Attrs: ir.Attrs{}}
	for i := 0; i < len(attrs); i += 2 {
		n.Attrs[attrs[i].(string)] = attrs[i+1]
	}
	m.g.Nodes = append(m.g.Nodes, n)
	return n.Outputs[0]
}

func (m *model) output(names ...string) {
	for _, n := range names {
		m.g.Outputs = append(m.g.Outputs, ir.Value{Name: n})
	}
}

// check runs the graph, fuses it, runs it again, compares the outputs and the
// operators that are left.
func (m *model) check(t *testing.T, want map[string]int) {
	t.Helper()
	before := run(t, m.g, m.in)
	if err := Run(m.g); err != nil {
		t.Fatal(err)
	}
	if got := histogram(m.g); !maps.Equal(got, want) {
		t.Errorf("operators %v, want %v\n%s", got, want, describe(m.g))
	}
	after := run(t, m.g, m.in)
	for _, o := range m.g.Outputs {
		a, b := before[o.Name], after[o.Name]
		if len(a.v) == 0 || !slices.Equal(a.dims, b.dims) {
			t.Fatalf("output %q: shape %v, want %v", o.Name, b.dims, a.dims)
		}
		for i := range a.v {
			if math.Abs(a.v[i]-b.v[i]) > 2e-6*(1+math.Abs(a.v[i])) {
				t.Fatalf("output %q[%d] = %.9g, want %.9g", o.Name, i, b.v[i], a.v[i])
			}
		}
	}
	for _, n := range m.g.Nodes {
		for _, o := range n.Outputs {
			if !m.g.Types[o].Static() {
				t.Errorf("%s: output %q has no static type", n.Op, o)
			}
		}
	}
}

func TestActivations(t *testing.T) {
	type build func(m *model) string
	gelu := func(m *model) { // constants shared by the spellings
		m.scalar("half", 0.5)
		m.scalar("one", 1)
		m.scalar("r2", math.Sqrt2)
		m.scalar("ir2", 1/math.Sqrt2)
	}
	for name, c := range map[string]struct {
		op string
		f  build
	}{
		"torch gelu": {"Gelu", func(m *model) string {
			gelu(m)
			m.node("Div", []string{"x", "r2"}, "a")
			m.node("Erf", []string{"a"}, "b")
			m.node("Add", []string{"b", "one"}, "c")
			m.node("Mul", []string{"x", "c"}, "d")
			return m.node("Mul", []string{"d", "half"}, "y")
		}},
		"half first": {"Gelu", func(m *model) string {
			gelu(m)
			m.node("Mul", []string{"x", "half"}, "h")
			m.node("Mul", []string{"ir2", "x"}, "a")
			m.node("Erf", []string{"a"}, "b")
			m.node("Add", []string{"one", "b"}, "c")
			return m.node("Mul", []string{"h", "c"}, "y")
		}},
		"half inside": {"Gelu", func(m *model) string {
			gelu(m)
			m.node("Mul", []string{"ir2", "x"}, "a")
			m.node("Erf", []string{"a"}, "b")
			m.node("Mul", []string{"b", "half"}, "b2")
			m.node("Add", []string{"half", "b2"}, "c")
			return m.node("Mul", []string{"c", "x"}, "y")
		}},
		"half on the factor": {"Gelu", func(m *model) string {
			gelu(m)
			m.node("Div", []string{"x", "r2"}, "a")
			m.node("Erf", []string{"a"}, "b")
			m.node("Add", []string{"b", "one"}, "c")
			m.node("Mul", []string{"half", "c"}, "d")
			return m.node("Mul", []string{"x", "d"}, "y")
		}},
		"gelu tanh": {"Gelu", func(m *model) string {
			gelu(m)
			m.scalar("three", 3)
			m.scalar("k", 0.044715)
			m.scalar("s", math.Sqrt(2/math.Pi))
			m.node("Pow", []string{"x", "three"}, "p")
			m.node("Mul", []string{"k", "p"}, "kp")
			m.node("Add", []string{"x", "kp"}, "i")
			m.node("Mul", []string{"s", "i"}, "u")
			m.node("Tanh", []string{"u"}, "th")
			m.node("Add", []string{"one", "th"}, "c")
			m.node("Mul", []string{"half", "x"}, "h")
			return m.node("Mul", []string{"h", "c"}, "y")
		}},
		"silu": {"Silu", func(m *model) string {
			m.node("Sigmoid", []string{"x"}, "s")
			return m.node("Mul", []string{"s", "x"}, "y")
		}},
		"hard swish of hard sigmoid": {"HardSwish", func(m *model) string {
			m.node("HardSigmoid", []string{"x"}, "s", "alpha", float32(1.0/6), "beta", float32(0.5))
			return m.node("Mul", []string{"x", "s"}, "y")
		}},
		"hard swish of clip": {"HardSwish", func(m *model) string {
			m.scalar("three", 3)
			m.scalar("zero", 0)
			m.scalar("six", 6)
			m.node("Add", []string{"x", "three"}, "a")
			m.node("Clip", []string{"a", "zero", "six"}, "c")
			m.node("Mul", []string{"x", "c"}, "d")
			return m.node("Div", []string{"d", "six"}, "y")
		}},
		"hard swish, divided first": {"HardSwish", func(m *model) string {
			m.scalar("three", 3)
			m.scalar("six", 6)
			m.node("Add", []string{"x", "three"}, "a")
			m.node("Clip", []string{"a"}, "c", "min", float32(0), "max", float32(6))
			m.node("Div", []string{"c", "six"}, "d")
			return m.node("Mul", []string{"x", "d"}, "y")
		}},
		"hard sigmoid": {"HardSigmoid", func(m *model) string {
			m.scalar("three", 3)
			m.scalar("six", 6)
			m.node("Add", []string{"x", "three"}, "a")
			m.node("Clip", []string{"a"}, "c", "min", float32(0), "max", float32(6))
			return m.node("Div", []string{"c", "six"}, "y")
		}},
		"mish": {"Mish", func(m *model) string {
			m.node("Softplus", []string{"x"}, "s")
			m.node("Tanh", []string{"s"}, "t")
			return m.node("Mul", []string{"x", "t"}, "y")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(2, 3, 5)
			m.output(c.f(m))
			m.check(t, map[string]int{c.op: 1})
			if n := m.g.Nodes[0]; n.Domain != ir.DomainVislora || n.In(0) != "x" || n.Outputs[0] != "y" {
				t.Errorf("fused node %+v", n)
			}
		})
	}
}

func TestActivationsInARow(t *testing.T) {
	// Each replacement leaves the matcher's bookkeeping fit for the next.
	m := newModel(2, 4)
	x := "x"
	for _, o := range []string{"a", "b", "c", "d"} {
		m.node("Sigmoid", []string{x}, "s"+o)
		x = m.node("Mul", []string{x, "s" + o}, o)
	}
	m.output(x)
	m.check(t, map[string]int{"Silu": 4})
}

func TestDropout(t *testing.T) {
	m := newModel(2, 4)
	m.node("Relu", []string{"x"}, "r")
	m.node("Relu", []string{"r"}, "y")
	m.output("y")
	run(t, m.g, m.in)
	yes := &ir.Tensor{Name: "yes", DType: ir.Bool, Raw: []byte{1}}
	m.g.Tensors["yes"] = yes
	m.g.Nodes = slices.Insert(m.g.Nodes, 1,
		&ir.Node{Op: "Dropout", Inputs: []string{"r"}, Outputs: []string{"d1", "mask"}},
		&ir.Node{Op: "Dropout", Inputs: []string{"d1", m.scalar("none", 0), "yes"}, Outputs: []string{"d2"}},
		&ir.Node{Op: "Dropout", Inputs: []string{"d2", m.scalar("half", 0.5), "yes"}, Outputs: []string{"d3"}})
	m.g.Nodes[4].Inputs[0] = "d3"
	if err := Run(m.g); err != nil {
		t.Fatal(err)
	}
	if got := histogram(m.g); !maps.Equal(got, map[string]int{"Relu": 2, "Dropout": 1}) || m.g.Nodes[1].In(0) != "r" {
		t.Fatalf("left %s", describe(m.g))
	}
}

func TestActivationLookalikesStay(t *testing.T) {
	// x·sigmoid(1.702x) is another function; x·sigmoid(z) has two variables.
	m := newModel(2, 4)
	m.scalar("k", 1.702)
	m.node("Mul", []string{"x", "k"}, "kx")
	m.node("Sigmoid", []string{"kx"}, "s")
	m.node("Mul", []string{"x", "s"}, "quick")
	m.node("Relu", []string{"x"}, "r")
	m.node("Sigmoid", []string{"r"}, "g")
	m.node("Mul", []string{"quick", "g"}, "y")
	m.output("y")
	m.check(t, map[string]int{"Mul": 3, "Sigmoid": 2, "Relu": 1})
}

// layerNormNodes writes the nine nodes; pow chooses how the square is written.
func layerNormNodes(m *model, x string, pow bool, w, b string) string {
	m.scalar("eps", 1e-6)
	m.scalar("two", 2)
	m.node("ReduceMean", []string{x}, "mean", "axes", []int64{-1})
	m.node("Sub", []string{x, "mean"}, "d")
	if pow {
		m.node("Pow", []string{"d", "two"}, "sq")
	} else {
		m.node("Sub", []string{x, "mean"}, "d2")
		m.node("Mul", []string{"d2", "d2"}, "sq")
	}
	m.node("ReduceMean", []string{"sq"}, "var", "axes", []int64{2})
	m.node("Add", []string{"eps", "var"}, "ve")
	m.node("Sqrt", []string{"ve"}, "sd")
	y := m.node("Div", []string{"d", "sd"}, "n")
	if w != "" {
		y = m.node("Mul", []string{w, y}, "scaled")
	}
	if b != "" {
		y = m.node("Add", []string{y, b}, "shifted")
	}
	return y
}

func TestLayerNorm(t *testing.T) {
	for _, affine := range []bool{true, false} {
		for _, pow := range []bool{true, false} {
			m := newModel(2, 3, 8)
			w, b := "", ""
			if affine {
				w, b = m.param("w", false, 1, 1, 8), m.param("b", false, 8)
			}
			out := layerNormNodes(m, "x", pow, w, b)
			m.output(out)
			m.check(t, map[string]int{"LayerNormalization": 1})
			n := m.g.Nodes[0]
			if n.Outputs[0] != out || n.Attrs.Int("axis", 0) != -1 || math.Abs(n.Attrs.Float("epsilon", 0)-1e-6) > 1e-12 {
				t.Errorf("node %+v", n)
			}
			if s := m.g.Tensors[n.In(1)]; len(s.Dims) != 1 || affine && (s.Origin == nil || s.Origin.Name != "w") || !affine && s.Origin != nil {
				t.Errorf("scale %+v", s)
			}
		}
	}
}

func TestLayerNormKeepsSharedInterior(t *testing.T) {
	m := newModel(2, 3, 8)
	m.output(layerNormNodes(m, "x", true, "", ""), "mean")
	m.check(t, map[string]int{"LayerNormalization": 1, "ReduceMean": 1})
}

func TestLinear(t *testing.T) {
	m := newModel(2, 3, 8)
	m.param("onnx::MatMul_1", false, 8, 5)
	m.param("fc.bias", false, 5)
	m.param("head.weight", false, 4, 5)
	m.param("head.bias", false, 4)
	m.node("MatMul", []string{"x", "onnx::MatMul_1"}, "mm")
	m.node("Add", []string{"fc.bias", "mm"}, "h")
	m.node("Gather", []string{"h", m.index("zero", 0)}, "cls", "axis", int64(1))
	m.node("Gemm", []string{"cls", "head.weight", "head.bias"}, "y", "transB", int64(1), "alpha", float32(1), "beta", float32(1))
	m.output("y")
	m.check(t, map[string]int{"Linear": 2, "Gather": 1})
	a, b := m.g.Nodes[0], m.g.Nodes[2]
	if a.Attrs.String(AttrSite, "") != "mm" || a.Outputs[0] != "h" || a.Name != "/m/mm/MatMul" || a.In(1) != "onnx::MatMul_1" || a.Attrs.Int("transW", 9) != 0 {
		t.Errorf("matmul became %+v", a)
	}
	if b.Attrs.String(AttrSite, "") != "y" || b.Attrs.Int("transW", 9) != 1 || b.In(2) != "head.bias" {
		t.Errorf("gemm became %+v", b)
	}
}

func TestLinearLeavesWhatItCannotSay(t *testing.T) {
	m := newModel(2, 3, 8)
	m.param("w", false, 8, 8)
	m.param("c", false, 8)
	m.node("MatMul", []string{"x", "w"}, "mm") // read twice: no bias folded
	m.node("Add", []string{"mm", "c"}, "a")
	m.node("Mul", []string{"a", "mm"}, "b")
	m.node("Flatten", []string{"b"}, "f")
	m.param("w2", false, 24, 3)
	m.param("c2", false, 2, 3) // not a vector
	m.node("Gemm", []string{"f", "w2", "c2"}, "g")
	m.param("w3", false, 24, 3)
	m.node("Gemm", []string{"f", "w3"}, "g3", "alpha", float32(2))
	m.node("Add", []string{"g", "g3"}, "y")
	m.output("y")
	m.check(t, map[string]int{"Linear": 1, "Add": 2, "Mul": 1, "Flatten": 1, "Gemm": 2})
}

func TestConv(t *testing.T) {
	bn := func(m *model, x, out string, c int) string {
		for _, p := range []string{"g", "b", "m"} {
			m.param(out+p, false, c)
		}
		m.param(out+"v", true, c)
		return m.node("BatchNormalization", []string{x, out + "g", out + "b", out + "m", out + "v"}, out, "epsilon", float32(1e-3))
	}
	t.Run("batch norm, then affine", func(t *testing.T) {
		m := newModel(2, 4, 7, 6)
		m.param("w", false, 6, 2, 3, 3)
		m.param("b", false, 6)
		m.param("mul", false, 6, 1, 1)
		m.param("sub", false, 1, 6, 1, 1)
		m.node("Conv", []string{"x", "w", "b"}, "c", "auto_pad", "SAME_UPPER", "strides", []int64{2, 2}, "group", int64(2))
		bn(m, "c", "n", 6)
		m.node("Mul", []string{"mul", "n"}, "p")
		m.node("Sub", []string{"p", "sub"}, "q")
		m.node("Relu", []string{"q"}, "y")
		m.output("y")
		m.check(t, map[string]int{"Conv": 1, "Relu": 1})
		n := m.g.Nodes[0]
		if n.Domain != ir.DomainVislora || n.Attrs.String(AttrSite, "") != "c" || n.Outputs[0] != "q" || n.In(1) != "w" || n.In(2) != "b" || n.In(3) != "q::scale" || n.In(4) != "q::shift" {
			t.Errorf("node %+v", n)
		}
		if got := n.Attrs.Ints("pads"); !slices.Equal(got, []int{1, 0, 1, 1}) {
			t.Errorf("pads %v, want [1 0 1 1]", got)
		}
		if m.g.Tensors["q::scale"].Origin != nil {
			t.Error("a derived tensor must not be traced to the file")
		}
	})
	t.Run("separate bias, then batch norm", func(t *testing.T) {
		m := newModel(1, 2, 4, 4)
		m.param("w", false, 3, 2, 1, 1)
		m.param("bias", false, 3, 1, 1)
		m.node("Conv", []string{"x", "w"}, "c")
		m.node("Add", []string{"c", "bias"}, "cb")
		bn(m, "cb", "y", 3)
		m.output("y")
		m.check(t, map[string]int{"Conv": 1})
		if b := m.g.Tensors[m.g.Nodes[0].In(2)]; !slices.Equal(b.Dims, []int{3}) || b.Origin == nil || b.Origin.Name != "bias" {
			t.Errorf("bias %+v", b)
		}
	})
	t.Run("shared convolution and lone batch norm stay", func(t *testing.T) {
		m := newModel(1, 2, 4, 4)
		m.param("w", false, 2, 2, 1, 1)
		m.node("Conv", []string{"x", "w"}, "c")
		bn(m, "c", "n", 2)
		m.node("Add", []string{"n", "c"}, "a")
		bn(m, "a", "y", 2)
		m.output("y")
		m.check(t, map[string]int{"Conv": 1, "BatchNormalization": 2, "Add": 1})
	})
	t.Run("batch norm kept on request", func(t *testing.T) {
		m := newModel(1, 2, 4, 4)
		m.param("w", false, 2, 2, 1, 1)
		m.node("Conv", []string{"x", "w"}, "c")
		bn(m, "c", "y", 2)
		m.output("y")
		run(t, m.g, m.in)
		if err := RunWith(m.g, Options{KeepBatchNorm: true}); err != nil {
			t.Fatal(err)
		}
		if got := histogram(m.g); !maps.Equal(got, map[string]int{"Conv": 1, "BatchNormalization": 1}) || m.g.Nodes[0].Outputs[0] != "c" {
			t.Errorf("left %v", got)
		}
	})
	t.Run("a scalar added is not a bias", func(t *testing.T) {
		m := newModel(1, 2, 4, 4)
		m.param("w", false, 2, 2, 1, 1)
		m.node("Conv", []string{"x", "w"}, "c")
		m.node("Add", []string{"c", m.scalar("s", 3)}, "y")
		m.output("y")
		m.check(t, map[string]int{"Conv": 1, "Add": 1})
	})
}

func TestRunRefusesDisorder(t *testing.T) {
	m := newModel(1, 2)
	m.node("Relu", []string{"b"}, "a")
	m.node("Relu", []string{"x"}, "b")
	m.output("a")
	err := Run(m.g)
	if err == nil || !strings.Contains(err.Error(), `reads "b"`) {
		t.Fatalf("error %v", err)
	}
}

func TestCapturedValuesStayAlive(t *testing.T) {
	m := newModel(1, 4)
	m.node("Relu", []string{"x"}, "seen")
	m.node("If", []string{m.scalar("cond", 1)}, "y")
	m.g.Nodes[1].Subgraphs = map[string]*ir.Graph{"then_branch": {Nodes: []*ir.Node{{Op: "Neg", Inputs: []string{"seen"}, Outputs: []string{"z"}}},
		Outputs: []ir.Value{{Name: "z"}}}}
	m.output("y")
	m.g.Nodes = append(m.g.Nodes, &ir.Node{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"unused"}})
	removeDead(m.g)
	if got := histogram(m.g); !maps.Equal(got, map[string]int{"Relu": 1, "If": 1}) {
		t.Errorf("left %v", got)
	}
}
