package vit_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vit"
)

// graph writes a fused graph by hand.
type graph struct{ *ir.Graph }

func newGraph(image ...int) graph {
	g := graph{&ir.Graph{Opset: 17, Tensors: map[string]*ir.Tensor{}, Types: map[string]ir.Type{}}}
	g.Inputs = []ir.Value{{Name: "image", Type: ir.Type{DType: ir.Float, Dims: image, Known: true}}}
	g.Types["image"] = g.Inputs[0].Type
	return g
}

// weight makes a nameless tensor that goes back to the file.
func (g graph) weight(dims ...int) string {
	name := fmt.Sprintf("onnx::W_%d", len(g.Tensors))
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
	out := fmt.Sprintf("v%d", len(g.Nodes))
	domain := ""
	if slices.Contains([]string{"Linear", "Conv", "Attention", "Gelu"}, op) {
		domain = ir.DomainVislora
	}
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	attrs["site"] = out
	g.Nodes = append(g.Nodes, &ir.Node{Op: op, Domain: domain, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	g.Types[out] = ir.Type{DType: ir.Float, Dims: dims, Known: true}
	return out
}

func (g graph) linear(x string, out int) string {
	d := slices.Clone(g.Types[x].Dims)
	in := d[len(d)-1]
	d[len(d)-1] = out
	return g.node("Linear", d, nil, x, g.weight(in, out), g.weight(out))
}

const n, tokens, dim, heads = 2, 17, 12, 3

// encoder writes blocks with separate projections, LayerScale and a gated MLP.
func (g graph) encoder(blocks int) string {
	g.node("Conv", []int{n, dim, 4, 4}, ir.Attrs{"kernel_shape": []int64{8, 8}, "strides": []int64{8, 8}}, "image", g.weight(dim, 3, 8, 8), "", "", "")
	g.node("Reshape", []int{n, dim, 16}, nil, "v0")
	x := g.node("Transpose", []int{n, 16, dim}, nil, "v1")
	x = g.node("Concat", []int{n, tokens, dim}, nil, g.weight(n, 1, dim), x)
	d := []int{n, tokens, dim}
	for range blocks {
		y := g.node("LayerNormalization", d, nil, x, g.weight(dim), g.weight(dim))
		q, k, v := g.linear(y, dim), g.linear(y, dim), g.linear(y, dim)
		a := g.node("Attention", []int{n, heads, tokens, dim / heads}, ir.Attrs{"heads": int64(heads), "tq": int64(tokens), "tk": int64(tokens)}, q, k, v)
		a = g.node("Transpose", []int{n, tokens, heads, dim / heads}, nil, a)
		a = g.linear(g.node("Reshape", d, nil, a), dim)
		x = g.node("Add", d, nil, x, g.node("Mul", d, nil, a, g.weight(dim)))
		y = g.node("LayerNormalization", d, nil, x, g.weight(dim), g.weight(dim))
		gate, up := g.linear(y, 24), g.linear(y, 24)
		hidden := g.node("Mul", []int{n, tokens, 24}, nil, g.node("Gelu", []int{n, tokens, 24}, nil, gate), up)
		x = g.node("Add", d, nil, g.node("Mul", d, nil, g.linear(hidden, dim), g.weight(dim)), x)
	}
	return x
}

func TestHandMadeEncoder(t *testing.T) {
	g := newGraph(n, 3, 32, 32)
	x := g.encoder(2)
	pooled := g.node("ReduceMean", []int{n, dim}, ir.Attrs{"axes": []int64{1}, "keepdims": int64(0)}, x)
	pooled = g.node("LayerNormalization", []int{n, dim}, nil, pooled, g.weight(dim), g.weight(dim))
	logits := g.linear(pooled, 5)
	g.Outputs = []ir.Value{{Name: g.node("Softmax", []int{n, 5}, nil, logits)}}

	a, ok := vit.Annotate(g.Graph)
	if !ok {
		t.Fatal("not recognised")
	}
	want := []string{"patch_embed.proj"}
	for i := range 2 {
		for _, s := range []string{"attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc1_1", "mlp.fc2"} {
			want = append(want, fmt.Sprintf("blocks.%d.%s", i, s))
		}
	}
	want = append(want, "head")
	var got []string
	for _, s := range a.Sites {
		got = append(got, s.Path)
	}
	if !slices.Equal(got, want) {
		t.Errorf("sites %v, want %v", got, want)
	}
	if a.Logits != logits || a.Classes != 5 || a.ClassifierInput != pooled || a.Classifier.Path != "head" {
		t.Errorf("logits %q of %d classes, classifier reads %q", a.Logits, a.Classes, a.ClassifierInput)
	}
	if len(a.Blocks) != 2 || a.Blocks[1] != x {
		t.Errorf("blocks end in %v, want the last in %s", a.Blocks, x)
	}
	if f := a.Features; len(f) != 2 || f[0].Pool != "avg" || f[1].Value != x || f[1].Prefix != 1 || f[1].Grid != [2]int{4, 4} || f[1].Stride != 8 {
		t.Errorf("features %+v", f)
	}
}

func TestDistilledHead(t *testing.T) {
	g := newGraph(n, 3, 32, 32)
	x := g.encoder(1)
	var token [2]string
	for i := range token {
		token[i] = g.node("Gather", []int{n, dim}, ir.Attrs{"axis": int64(1)}, x, g.weight())
	}
	sum := g.node("Add", []int{n, 5}, nil, g.linear(token[0], 5), g.linear(token[1], 5))
	mean := g.node("Div", []int{n, 5}, nil, sum, g.weight())
	g.Outputs = []ir.Value{{Name: mean}}
	a, ok := vit.Annotate(g.Graph)
	if !ok {
		t.Fatal("not recognised")
	}
	if a.Classifier != nil || a.Logits != mean || a.Classes != 5 || len(a.Notes) != 1 || a.Features[0].Value != token[0] || a.Features[0].Pool != "token" {
		t.Errorf("classifier %v, logits %q, notes %q, pooled %+v", a.Classifier, a.Logits, a.Notes, a.Features[0])
	}
}

func TestWindowedAttentionIsRefused(t *testing.T) {
	g := newGraph(n, 3, 32, 32)
	x := g.encoder(1)
	g.Outputs = []ir.Value{{Name: x}}
	for _, node := range g.Nodes {
		if node.Op == "Attention" { // four windows per image instead of one sequence
			g.Types[node.Outputs[0]] = ir.Type{DType: ir.Float, Dims: []int{4 * n, heads, tokens, dim / heads}, Known: true}
		}
	}
	if _, ok := vit.Annotate(g.Graph); ok {
		t.Error("windowed attention was taken for a plain encoder")
	}
}
