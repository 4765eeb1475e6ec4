package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/head"
	"gorgonia.org/tensor"
)

// bothWays is a module of package head and maps to try it on.
type bothWays struct {
	name   string
	m      module
	maps   [][]int // (N, H, W, C)
	build  func(b head.Builder, maps []head.Value) []head.Value
	opsets []int
}

func buildOne(f func(head.Builder, []head.Value) head.Value) func(head.Builder, []head.Value) []head.Value {
	return func(b head.Builder, maps []head.Value) []head.Value { return []head.Value{f(b, maps)} }
}

func headModules() (out []bothWays) {
	add := func(name string, m module, maps [][]int, build func(head.Builder, []head.Value) []head.Value, opsets ...int) {
		out = append(out, bothWays{name, m, maps, build, opsets})
	}
	some, resize := []int{7, 11, 13, 18}, []int{7, 11, 13, 17}
	even, up, down := [][]int{{2, 12, 8, 3}, {2, 6, 4, 5}, {2, 3, 2, 4}}, [][]int{{2, 13, 7, 3}, {2, 7, 4, 5}, {2, 4, 2, 4}}, [][]int{{2, 13, 7, 3}, {2, 6, 3, 5}, {2, 3, 1, 4}}
	channels := []int{3, 5, 4}
	for _, depthwise := range []bool{false, true} {
		kind := map[bool]string{true: "depthwise", false: "plain"}[depthwise]
		d := head.NewDetect(head.DetectConfig{Classes: 3, Channels: channels, Width: 6, Depthwise: depthwise})
		add("detect, "+kind, d, up, buildOne(d.Build), some...)
		d = head.NewDetect(head.DetectConfig{Classes: 2, Channels: channels, Width: 6, Depthwise: depthwise, MaskCoefficients: 4})
		add("detect with masks, "+kind, d, even, buildOne(d.Build), 17)
		for size, maps := range map[string][][]int{"even": even, "rounded up": up, "rounded down": down} {
			for _, c := range []head.NeckConfig{{}, {PAN: true}, {PAN: true, Concat: true}} {
				c.Channels, c.Width, c.Depthwise = channels, 6, depthwise
				n := head.NewNeck(c)
				add(fmt.Sprintf("neck %v %v, %s, %s", c.PAN, c.Concat, size, kind), n, maps, n.Build, some...)
			}
		}
		s := head.NewSegment(head.SegmentConfig{Classes: 3, Channels: channels, Width: 6, Depthwise: depthwise})
		add("segment, "+kind, s, up, buildOne(s.Build), resize...)
		f := head.NewSegmentFCN(head.SegmentFCNConfig{Classes: 3, Channels: 3, Width: 6, Depthwise: depthwise})
		add("segment fcn, "+kind, f, down, buildOne(f.Build), some...)
		v := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 3, Channels: 3, Width: 6, Depthwise: depthwise})
		add("segment tokens, "+kind, v, down[:1], buildOne(v.Build), resize...)
		p := head.NewPrototypes(head.PrototypesConfig{Channels: 3, Count: 5, Width: 6, Convs: 2, Depthwise: depthwise})
		add("prototypes, "+kind, p, even, buildOne(p.Build), resize...)
	}
	v := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 3, Channels: 3, Linear: true})
	add("segment tokens, linear", v, down[:1], buildOne(v.Build), 9)
	p := head.NewPyramid(head.PyramidConfig{Channels: 4, Width: 6})
	add("pyramid", p, [][]int{{2, 5, 4, 4}}, p.Build, some...)
	c := head.NewPredictions(2, 4, channels)
	add("classes", c, even, func(b head.Builder, maps []head.Value) (out []head.Value) {
		for i, m := range maps {
			out = append(out, c.Build(b, i, m))
		}
		return out
	}, 9)
	none := noParams{}
	add("rows of anchors", none, even, func(b head.Builder, maps []head.Value) []head.Value {
		return []head.Value{b.Cells(b.Concat(maps[0], maps[0]), 3)}
	}, 9)
	add("sizes that are no multiples", none, [][]int{{2, 6, 10, 3}}, func(b head.Builder, maps []head.Value) []head.Value {
		return []head.Value{b.Nearest(maps[0], 22, 38), b.Nearest(maps[0], 11, 19), b.Bilinear(maps[0], 13, 19), b.Bilinear(maps[0], 4, 37)}
	}, resize...)
	return out
}

// noParams has no parameters.
type noParams struct{}

func (noParams) Params() []head.Param { return nil }
func (noParams) Init(uint64)          {}

// channelsFirst is a map (N, H, W, C) as (N, C, H, W); lists of cells stay.
func channelsFirst(x []float64, d []int) []float64 {
	if len(d) != 4 {
		return x
	}
	out := make([]float64, 0, len(x))
	for n := range d[0] {
		for c := range d[3] {
			for p := range d[1] * d[2] {
				out = append(out, x[(n*d[1]*d[2]+p)*d[3]+c])
			}
		}
	}
	return out
}

// forward runs a module here.
func (m bothWays) forward(t *testing.T, data [][]float32) (out [][]float64) {
	t.Helper()
	g := ops.NewGraph(tensor.Float32)
	mem := map[*ops.Node]*buffer.Buffer{}
	leaves := map[string]*ops.Node{}
	leaf := func(name string, data []float32, dims []int) *ops.Node {
		n := g.Input(name, buffer.F32, false, dims...)
		leaves[name], mem[n] = n, buffer.Of(data, dims...)
		return n
	}
	for _, p := range m.m.Params() {
		leaf(p.Name, p.Data, p.Dims)
	}
	var maps []*ops.Node
	for i, d := range m.maps {
		maps = append(maps, leaf(fmt.Sprint("map", i), data[i], d))
	}
	var roots []*ops.Node
	for _, v := range m.build(head.OnGraph(g, func(name string) *ops.Node { return leaves[name] }), head.Values(maps)) {
		roots = append(roots, v.(*ops.Node))
	}
	p, err := vm.Compile(g, roots...)
	if err != nil {
		t.Fatal(err)
	}
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil {
		t.Fatal(err)
	}
	for _, r := range roots {
		out = append(out, channelsFirst(gradcheck.Read(e.Value(r)), ops.Shape(r)))
	}
	return out
}

// file writes a module into a file whose inputs are the maps.
func (m bothWays) file(t *testing.T, opset int) (path string, outputs []string, err error) {
	t.Helper()
	defer ops.Recover(&err)
	b := onnxtest.New(opset)
	var maps []head.Value
	for i, d := range m.maps {
		name := fmt.Sprint("map", i)
		b.Input(name, ir.Float, -1, d[3], d[1], d[2])
		maps = append(maps, fileValue{name, append([]int{-1}, d[1:]...)})
	}
	b.Node("Identity", nil, []string{"map0"}, []string{"same"}).Output("same", ir.Float, -1, -1, -1, -1)
	model, err := onnx.Open(b.File(t))
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	e, err := onnx.Edit(model)
	if err != nil {
		t.Fatal(err)
	}
	w := newFileBuilder(e, opset, func(name string) (head.Param, error) {
		for _, p := range m.m.Params() {
			if p.Name == name {
				return p, nil
			}
		}
		return head.Param{}, fmt.Errorf("no parameter %q", name)
	})
	var values []ir.Value
	for _, v := range m.build(w, maps) {
		f := fileOf(v)
		dims := f.dims
		if len(dims) == 4 {
			dims = []int{dims[0], dims[3], dims[1], dims[2]}
		}
		outputs = append(outputs, f.name)
		values = append(values, ir.Value{Name: f.name, Type: ir.Type{DType: ir.Float, Dims: dims, Known: true, Params: []string{"batch", "", "", ""}[:len(dims)]}})
	}
	if w.err != nil {
		return "", nil, w.err
	}
	e.SetOutputs(values...)
	path = filepath.Join(t.TempDir(), "head.onnx")
	return path, outputs, e.Write(path)
}

// TestHeadsBothWays builds every module on a graph and into files of several
// opsets: they agree, in ONNX Runtime and in the host evaluator.
func TestHeadsBothWays(t *testing.T) {
	runtime := true
	for _, m := range headModules() {
		m.m.Init(7)
		w := newWeights(3)
		for _, p := range m.m.Params() { // as after training
			for i := range p.Data {
				p.Data[i] += .2 * float32(w.rng.NormFloat64())
			}
		}
		var data [][]float32
		feed := map[string]*ir.Tensor{}
		for i, d := range m.maps {
			data = append(data, w.normal(1, d...))
			name := fmt.Sprint("map", i)
			var nchw []float32
			for _, v := range channelsFirst(wide(data[i]), d) {
				nchw = append(nchw, float32(v))
			}
			feed[name] = ir.FromFloat32s(name, nchw, d[0], d[3], d[1], d[2])
		}
		want := m.forward(t, data)
		for _, opset := range m.opsets {
			path, outputs, err := m.file(t, opset)
			if err != nil {
				t.Errorf("%s, opset %d: %v", m.name, opset, err)
				continue
			}
			compare := func(where string, got map[string]*ir.Tensor) {
				t.Helper()
				for i, name := range outputs {
					v := wide(got[name].Float32s())
					if len(v) != len(want[i]) {
						t.Errorf("%s, opset %d, %s: output %d has %d values, want %d", m.name, opset, where, i, len(v), len(want[i]))
					} else if e := gradcheck.RangeError(v, want[i]); e > 1e-4 { // a norm of few channels enlarges differences
						t.Errorf("%s, opset %d, %s: output %d is off by %.2g of the range", m.name, opset, where, i, e)
					}
				}
			}
			model, err := onnx.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			shapes := map[string][]int{}
			for name, x := range feed {
				shapes[name] = x.Dims
			}
			g, err := model.Plan(onnx.PlanOptions{Batch: 2, Unfused: true, Shapes: shapes})
			if err != nil {
				t.Fatalf("%s, opset %d: %v", m.name, opset, err)
			}
			got, err := eval.Run(g, feed)
			if err != nil {
				t.Fatalf("%s, opset %d: %v", m.name, opset, err)
			}
			compare("evaluated", got)
			model.Close()
			if !runtime {
				continue
			}
			s, err := ort.Open(path)
			if errors.Is(err, ort.ErrUnavailable) {
				t.Logf("not run in ONNX Runtime: %v", err)
				runtime = false
				continue
			}
			if err != nil {
				t.Errorf("%s, opset %d: %v", m.name, opset, err)
				continue
			}
			if got, err = s.Run(feed); err != nil {
				t.Errorf("%s, opset %d: %v", m.name, opset, err)
			} else {
				compare("ONNX Runtime", got)
			}
			s.Close()
		}
	}
}

// Where an opset lacks what a head needs, the error says which is needed.
func TestHeadsNeedOpset(t *testing.T) {
	s := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 2, Channels: 3, Width: 4})
	m := bothWays{m: s, maps: [][]int{{1, 2, 2, 3}}, build: buildOne(s.Build)}
	_, _, err := m.file(t, 6)
	says(t, err, "broadcast", "opset 6", "opset 7", "onnx.version_converter")
}
