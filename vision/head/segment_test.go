package head_test

import (
	"math"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/head"
	"gorgonia.org/tensor"
)

func TestSegmentGradients(t *testing.T) {
	maps := [][]int{{1, 5, 4, 2}, {1, 3, 2, 3}, {1, 2, 1, 2}}
	for name, depthwise := range map[string]bool{"plain": false, "depthwise": true} {
		s := head.NewSegment(head.SegmentConfig{Classes: 2, Channels: []int{2, 3, 2}, Width: 3, Depthwise: depthwise})
		gradients(t, "segment, "+name, s, maps, s.Forward)
		f := head.NewSegmentFCN(head.SegmentFCNConfig{Classes: 2, Channels: 2, Width: 3, Depthwise: depthwise})
		gradients(t, "segment fcn, "+name, f, maps[:1], f.Forward)
		v := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 2, Channels: 4, Width: 3, Depthwise: depthwise})
		gradients(t, "segment tokens, "+name, v, [][]int{{1, 2, 3, 4}}, v.Forward)
		p := head.NewPrototypes(head.PrototypesConfig{Channels: 2, Count: 3, Width: 3, Convs: 1, Depthwise: depthwise})
		gradients(t, "prototypes, "+name, p, maps[:1], p.Forward)
		d := head.NewDetect(head.DetectConfig{Classes: 2, Channels: []int{2, 3}, Width: 3, Convs: 1, Depthwise: depthwise, MaskCoefficients: 2})
		gradients(t, "detect with masks, "+name, d, maps[:2], d.Forward)
	}
	v := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 2, Channels: 4, Linear: true})
	gradients(t, "segment tokens, linear", v, [][]int{{1, 2, 3, 4}}, v.Forward)
}

// Sizes of what comes out, whichever way the backbone rounded.
func TestSegmentShapes(t *testing.T) {
	g := ops.NewGraph(tensor.Float32)
	var maps []*ops.Node
	for i, s := range [][2]int{{55, 39}, {28, 19}, {14, 10}, {7, 5}} {
		maps = append(maps, g.Input(string(rune('a'+i)), buffer.F32, false, 2, s[0], s[1], 4))
	}
	check := func(what string, y *ops.Node, want ...int) {
		t.Helper()
		if !slices.Equal(ops.Shape(y), want) {
			t.Errorf("%s puts out %v, want %v", what, ops.Shape(y), want)
		}
	}
	s := head.NewSegment(head.SegmentConfig{Classes: 5, Channels: []int{4, 4, 4, 4}, Width: 6})
	check("the pyramid head", s.Forward(g, inputs(g, s), maps), 2, 55, 39, 5)
	names := map[string]int{} // how many convolutions each level has
	for _, p := range s.Params() {
		if len(p.Dims) == 4 {
			names[p.Name[:len("head.scales.0")]]++
		}
	}
	if names["head.scales.0"] != 1 || names["head.scales.1"] != 1 || names["head.scales.2"] != 2 || names["head.scales.3"] != 3 {
		t.Errorf("convolutions per level: %v, want 1, 1, 2, 3", names)
	}
	g = ops.NewGraph(tensor.Float32)
	tokens := []*ops.Node{g.Input("tokens", buffer.F32, false, 2, 7, 10, 4)}
	v := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 5, Channels: 4, Width: 6})
	check("the token head", v.Forward(g, inputs(g, v), tokens), 2, 28, 40, 5)
	if v.Stride(16) != 4 {
		t.Errorf("stride %d, want 4", v.Stride(16))
	}
	g = ops.NewGraph(tensor.Float32)
	tokens[0] = g.Input("tokens", buffer.F32, false, 2, 7, 10, 4)
	v = head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 5, Channels: 4, Linear: true})
	check("the linear token head", v.Forward(g, inputs(g, v), tokens), 2, 7, 10, 5)
	if v.Stride(16) != 16 {
		t.Errorf("stride %d, want 16", v.Stride(16))
	}
	g = ops.NewGraph(tensor.Float32)
	fine := []*ops.Node{g.Input("a", buffer.F32, false, 2, 12, 9, 4), g.Input("b", buffer.F32, false, 2, 6, 5, 4)}
	p := head.NewPrototypes(head.PrototypesConfig{Channels: 4, Width: 6})
	check("the protonet", p.Forward(g, inputs(g, p), fine), 2, 24, 18, 32)
	d := head.NewDetect(head.DetectConfig{Classes: 3, Channels: []int{4, 4}, Width: 6, MaskCoefficients: 32})
	check("the detector", d.Forward(g, inputs(g, d), fine), 2, 12*9+6*5, 5+3+32)
	if p.Stride(8) != 4 {
		t.Errorf("stride %d, want 4", p.Stride(8))
	}
}

// Without coefficients the detector has the parameters that it had, and their
// values do not depend on the branch.
func TestMaskBranchIsApart(t *testing.T) {
	c := head.DetectConfig{Classes: 3, Channels: []int{4}, Width: 6}
	plain := head.NewDetect(c)
	c.MaskCoefficients = 8
	masks := head.NewDetect(c)
	plain.Init(3)
	masks.Init(3)
	values := map[string][]float32{}
	for _, p := range masks.Params() {
		values[p.Name] = p.Data
	}
	for _, p := range plain.Params() {
		if !slices.Equal(p.Data, values[p.Name]) {
			t.Errorf("%s starts differently with masks", p.Name)
		}
	}
	if len(masks.Params()) != len(plain.Params())+8 {
		t.Errorf("%d parameters with masks, %d without", len(masks.Params()), len(plain.Params()))
	}
}

// Enlarging against PyTorch's interpolate(mode="bilinear", align_corners=False)
// on [[1, 2], [3, 5]] to 4×3, by its formula: rows at −¼→0, ¼, ¾, 1¼→1, columns
// at −1/6→0, ½, 7/6→1.
func TestBilinearByHand(t *testing.T) {
	g := ops.NewGraph(tensor.Float64)
	x := g.Input("x", buffer.F32, false, 1, 2, 2, 1)
	y := g.Bilinear(x, 4, 3)
	p, err := vm.Compile(g, y)
	if err != nil {
		t.Fatal(err)
	}
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: map[*ops.Node]*buffer.Buffer{x: buffer.Of([]float64{1, 2, 3, 5}, 1, 2, 2, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := []float64{1, 1.5, 2, 1.5, 2.125, 2.75, 2.5, 3.375, 4.25, 3, 4, 5}
	for i, v := range gradcheck.Read(e.Value(y)) {
		if math.Abs(v-want[i]) > 1e-12 {
			t.Errorf("place %d is %v, want %v", i, v, want[i])
		}
	}
	for name, to := range map[string][2]int{"up": {5, 7}, "down": {2, 2}, "both": {9, 2}} {
		gradcheck.Run(t, gradcheck.Case{Name: "bilinear " + name, Leaves: []gradcheck.Leaf{{Shape: []int{2, 3, 4, 2}}}, Build: func(g *ops.Graph, in []*ops.Node) *ops.Node {
			return g.Bilinear(in[0], to[0], to[1])
		}}, nil)
	}
}

func TestSegmentHeadsRefuse(t *testing.T) {
	refused := func(build func(g *ops.Graph, leaf func(m module) head.Leaf)) (err error) {
		defer ops.Recover(&err)
		g := ops.NewGraph(tensor.Float32)
		build(g, func(m module) head.Leaf { return inputs(g, m) })
		return nil
	}
	for what, build := range map[string]func(g *ops.Graph, leaf func(m module) head.Leaf){
		"a map of other channels": func(g *ops.Graph, leaf func(m module) head.Leaf) {
			s := head.NewSegment(head.SegmentConfig{Classes: 2, Channels: []int{3}})
			s.Forward(g, leaf(s), []*ops.Node{g.Input("x", buffer.F32, false, 1, 4, 4, 2)})
		},
		"no map": func(g *ops.Graph, leaf func(m module) head.Leaf) {
			s := head.NewSegmentFCN(head.SegmentFCNConfig{Classes: 2, Channels: 3})
			s.Forward(g, leaf(s), nil)
		},
		"tokens in a row": func(g *ops.Graph, leaf func(m module) head.Leaf) {
			s := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 2, Channels: 3})
			s.Forward(g, leaf(s), []*ops.Node{g.Input("x", buffer.F32, false, 1, 16, 3)})
		},
	} {
		if refused(build) == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
