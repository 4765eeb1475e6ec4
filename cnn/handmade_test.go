package cnn_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vislora/vislora/cnn"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// graph writes a fused graph by hand, without any names.
type graph struct{ *ir.Graph }

func newGraph(size int) graph {
	g := graph{&ir.Graph{Opset: 13, Tensors: map[string]*ir.Tensor{}, Types: map[string]ir.Type{}}}
	t := ir.Type{DType: ir.Float, Dims: []int{2, 3, size, size}, Known: true}
	g.Inputs = []ir.Value{{Name: "image", Type: t}}
	g.Types["image"] = t
	return g
}

func (g graph) weight(dims ...int) string {
	name := fmt.Sprintf("%d", 900+len(g.Tensors))
	n := 1
	for _, d := range dims {
		n *= d
	}
	t := ir.FromFloat32s(name, make([]float32, n), dims...)
	t.Origin = &ir.Origin{Name: name, DType: ir.Float, Dims: dims}
	g.Tensors[name] = t
	return name
}

func (g graph) node(op string, dims []int, attrs ir.Attrs, in ...string) string {
	out := fmt.Sprintf("%d", len(g.Nodes))
	domain := ""
	name := op
	if op == "Linear" || op == "Conv" {
		domain = ir.DomainVislora
	}
	if op == "Linear" {
		name = "Gemm" // what it was in the file
	}
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	attrs["site"] = out
	g.Nodes = append(g.Nodes, &ir.Node{Op: op, Domain: domain, Name: fmt.Sprintf("%s_%d", name, len(g.Nodes)), Inputs: in, Outputs: []string{out}, Attrs: attrs})
	g.Types[out] = ir.Type{DType: ir.Float, Dims: dims, Known: true}
	return out
}

// conv adds a convolution and perhaps a Relu.
func (g graph) conv(x string, out, k, stride, group int, relu bool) string {
	d := slices.Clone(g.Types[x].Dims)
	w := g.weight(out, d[1]/group, k, k)
	d[1], d[2], d[3] = out, (d[2]+stride-1)/stride, (d[3]+stride-1)/stride
	p := int64(k / 2)
	y := g.node("Conv", d, ir.Attrs{"kernel_shape": []int64{int64(k), int64(k)}, "strides": []int64{int64(stride), int64(stride)},
		"pads": []int64{p, p, p, p}, "dilations": []int64{1, 1}, "group": int64(group)}, x, w, g.weight(out), "", "")
	if relu {
		return g.same("Relu", y)
	}
	return y
}

func (g graph) same(op string, in ...string) string {
	return g.node(op, g.Types[in[0]].Dims, nil, in...)
}

// pool is global average pooling.
func (g graph) pool(x string) string {
	d := g.Types[x].Dims
	return g.node("GlobalAveragePool", []int{d[0], d[1], 1, 1}, nil, x)
}

func (g graph) classify(x string, classes int) {
	c := g.Types[x].Dims[1]
	f := g.node("Flatten", []int{2, c}, nil, g.pool(x))
	g.Outputs = []ir.Value{{Name: g.node("Linear", []int{2, classes}, nil, f, g.weight(c, classes), g.weight(classes))}}
}

func TestHandMadeResidual(t *testing.T) {
	g := newGraph(32)
	x := g.conv("image", 8, 3, 2, 1, true)
	// Block 0, identity shortcut; block 1, downsampling with a gate.
	a := g.conv(g.conv(x, 8, 3, 1, 1, true), 8, 3, 1, 1, false)
	x = g.same("Relu", g.same("Add", a, x))
	a = g.conv(g.conv(x, 16, 3, 2, 1, true), 16, 3, 1, 1, false)
	s := g.conv(g.conv(g.pool(a), 4, 1, 1, 1, true), 16, 1, 1, 1, false)
	a = g.node("Mul", g.Types[a].Dims, nil, a, g.same("Sigmoid", s))
	x = g.same("Relu", g.same("Add", a, g.conv(x, 16, 1, 2, 1, false)))
	g.classify(x, 7)

	annotation, ok := cnn.Annotate(g.Graph)
	if !ok {
		t.Fatal("not recognised")
	}
	expected{"cnn", "ResNet style", 2, "map[classifier:1 conv:4 downsample:1 se:2 stem:1]", "8/2 16/4", 7, "classifier", "avg",
		[]string{"conv0", "conv7"}}.check(t, "residual", annotation)
	var blocks []int
	for _, s := range annotation.Sites {
		blocks = append(blocks, s.Block)
	}
	if !slices.Equal(blocks, []int{-1, 0, 0, 1, 1, 1, 1, 1, -1}) {
		t.Errorf("blocks of the sites: %v", blocks)
	}
	if annotation.Blocks[1] != x || annotation.Params["conv3.weight"] == "" || annotation.Params["classifier.bias"] == "" {
		t.Errorf("blocks %v, parameters %v", annotation.Blocks, annotation.Params)
	}
}

func TestHandMadeInvertedResidual(t *testing.T) {
	g := newGraph(64)
	x := g.conv("image", 8, 3, 2, 1, true)
	x = g.conv(g.conv(x, 8, 3, 1, 8, true), 4, 1, 1, 1, false) // no expansion, no skip
	first := x
	x = g.conv(g.conv(g.conv(x, 24, 1, 1, 1, true), 24, 3, 2, 24, true), 6, 1, 1, 1, false) // no skip
	second := x
	y := g.conv(g.conv(g.conv(x, 36, 1, 1, 1, true), 36, 3, 1, 36, true), 6, 1, 1, 1, false)
	x = g.same("Add", x, y)
	third := x
	g.classify(g.conv(x, 64, 1, 1, 1, true), 3)

	a, ok := cnn.Annotate(g.Graph)
	if !ok {
		t.Fatal("not recognised")
	}
	if !slices.Equal(a.Blocks, []string{first, second, third}) {
		t.Errorf("blocks end in %v, want %s, %s, %s", a.Blocks, first, second, third)
	}
	expected{"cnn", "MobileNet style", 3, "map[classifier:1 depthwise:3 pointwise:6 stem:1]", "4/2 6/4", 3, "classifier", "avg", nil}.check(t, "inverted", a)
	var blocks []int
	for _, s := range a.Sites {
		blocks = append(blocks, s.Block)
	}
	if !slices.Equal(blocks, []int{-1, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1}) {
		t.Errorf("blocks of the sites: %v", blocks)
	}
}

func TestSharedWeightsAreLeftAlone(t *testing.T) {
	g := newGraph(32)
	x := g.conv("image", 8, 3, 2, 1, true)
	x = g.conv(x, 8, 3, 1, 1, true)
	x = g.conv(x, 8, 3, 1, 1, true)
	g.Nodes[4].Inputs[1] = g.Nodes[2].Inputs[1]
	g.classify(x, 3)
	a, ok := cnn.Annotate(g.Graph)
	if !ok {
		t.Fatal("not recognised")
	}
	if len(a.Sites) != 2 || len(a.Notes) != 1 {
		t.Errorf("%d sites, notes %q; want the shared convolution told and left out", len(a.Sites), a.Notes)
	}
}
