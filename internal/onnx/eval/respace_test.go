package eval_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

// TestResamplePositions compares with torch 1.13's
// F.interpolate(mode="bicubic", antialias=True) of sin(0.37·i) on a 14×14 grid.
func TestResamplePositions(t *testing.T) {
	v := []float32{5, 6} // a class token of two channels
	for i := range 14 * 14 {
		s := float32(math.Sin(float64(float32(i) * 0.37)))
		v = append(v, s, -s)
	}
	for _, c := range []struct {
		size         int
		row          []float32
		middle, last float32
	}{
		{16, []float32{0.01126671489328146, 0.2820083796977997, 0.5751587748527527}, 0.8522592186927795, 0.11961907893419266},
		{24, []float32{0.039301227778196335, 0.16372032463550568, 0.4037610590457916}, 0.9093627333641052, 0.15087223052978516},
		{10, []float32{-0.21213413774967194, 0.21339239180088043, 0.605198860168457}, 0.6304595470428467, -0.11417502164840698},
	} {
		w := c.size + 1
		got := eval.ResamplePositions(v, 2, 1, [2]int{14, 14}, [2]int{c.size, w})
		if len(got) != 2+2*c.size*w || got[0] != 5 || got[1] != 6 {
			t.Fatalf("size %d: %d values, the class token is %v", c.size, len(got), got[:2])
		}
		check := func(y, x int, want float32) {
			p := got[2+2*(y*w+x):]
			if math.Abs(float64(p[0]-want)) > 2e-5 || p[1] != -p[0] {
				t.Errorf("size %d: (%d, %d) is %v, want ±%v", c.size, y, x, p[:2], want)
			}
		}
		for x, want := range c.row {
			check(0, x, want)
		}
		check(c.size/2, c.size/2, c.middle)
		check(c.size-1, w-1, c.last)
	}
}

// smallViT is the front of a vision transformer as exporters write it for a
// fixed size of 8×8 and patches of 2: every shape is a number.
func smallViT() *onnxtest.Builder {
	return onnxtest.New(17).Input("x", ir.Float, 1, 3, 8, 8).Init("patch", []int{4, 3, 2, 2}, ramp(48)).Init("cls", []int{1, 1, 4}, ramp(4)).Init("pos", []int{1, 17, 4}, ramp(68)).
		Node("Conv", ir.Attrs{"strides": []int64{2, 2}}, []string{"x", "patch"}, []string{"map"}).
		InitInts("flat", []int{3}, []int64{1, 4, 16}).Node("Reshape", nil, []string{"map", "flat"}, []string{"rows"}).
		Node("Transpose", ir.Attrs{"perm": []int64{0, 2, 1}}, []string{"rows"}, []string{"tokens"}).
		Node("Concat", ir.Attrs{"axis": int64(1)}, []string{"cls", "tokens"}, []string{"all"}).
		Node("Add", nil, []string{"all", "pos"}, []string{"embedded"}).
		InitInts("heads", []int{4}, []int64{1, 17, 2, 2}).Node("Reshape", nil, []string{"embedded", "heads"}, []string{"split"})
}

func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i%7) - 3
	}
	return v
}

// TestOtherSize plans that front for other sizes and batches.
func TestOtherSize(t *testing.T) {
	m, err := onnx.Parse(smallViT().Output("split", ir.Float, 1, 17, 2, 2).Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ batch, h, w int }{{1, 12, 12}, {3, 6, 10}, {2, 8, 8}} {
		g, err := m.Plan(onnx.PlanOptions{Batch: c.batch, Height: c.h, Width: c.w, Unfused: true})
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		tokens := 1 + c.h*c.w/4
		if got, want := g.Types["split"].Dims, []int{c.batch, tokens, 2, 2}; !slices.Equal(got, want) {
			t.Errorf("%+v: split is %v, want %v", c, got, want)
		}
		for _, n := range g.Nodes {
			if n.Op != "Add" {
				continue
			}
			pos := g.Tensors[n.Inputs[1]]
			want := eval.ResamplePositions(ramp(68), 4, 1, [2]int{4, 4}, [2]int{c.h / 2, c.w / 2})
			if c.h == 8 && c.w == 8 {
				want = ramp(68)
			}
			if !slices.Equal(pos.Float32s(), want) {
				t.Errorf("%+v: the position embedding is not the interpolated one", c)
			}
		}
	}
	// The file itself stays as it was.
	if pos := m.Graph.Tensors["pos"]; !slices.Equal(pos.Dims, []int{1, 17, 4}) || !slices.Equal(pos.Float32s(), ramp(68)) {
		t.Error("planning changed the file's position embedding")
	}
}

// TestRewritten lists what changed for another size, of the file's types, and
// nothing for the file's own.
func TestRewritten(t *testing.T) {
	b := smallViT().Node("Cast", ir.Attrs{"to": int64(ir.Float16)}, []string{"pos"}, []string{"half"}).
		Node("Add", nil, []string{"embedded", "half"}, []string{"twice"}).Output("split", ir.Float, 1, 17, 2, 2).Output("twice", ir.Float, 1, 17, 4)
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{8, 12} {
		g, err := m.Plan(onnx.PlanOptions{Height: size, Width: size})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]ir.DType{}
		for _, r := range g.Rewritten {
			if got[r.Node] = r.Tensor.DType; r.Input != 1 {
				t.Errorf("%s: input %d", r.Node, r.Input)
			}
		}
		want := map[string]ir.DType{}
		if size != 8 {
			want = map[string]ir.DType{"rows": ir.Int64, "embedded": ir.Float, "split": ir.Int64, "twice": ir.Float16}
		}
		if !maps.Equal(got, want) {
			t.Errorf("at %d×%d pixels %v is rewritten, want %v", size, size, got, want)
		}
	}
}

// TestHardCodedSize names the node where a size cannot be followed.
func TestHardCodedSize(t *testing.T) {
	m, err := onnx.Parse(onnxtest.New(17).Input("x", ir.Float, 1, 3, 8, 8).InitInts("flat", []int{2}, []int64{1, 192}).Init("w", []int{192, 2}, ramp(384)).
		Node("Reshape", nil, []string{"x", "flat"}, []string{"row"}).NodeNamed("head", "", "MatMul", nil, []string{"row", "w"}, []string{"y"}).Output("y", ir.Float, 1, 2).Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Plan(onnx.PlanOptions{Height: 16, Width: 16})
	if err == nil || !strings.Contains(err.Error(), "hard-codes the size") || !strings.Contains(err.Error(), "node head") || !strings.Contains(err.Error(), "768") {
		t.Fatalf("another size gives the error %v", err)
	}
}

// TestMergedBatch plans an attention as torch.nn.MultiheadAttention writes it,
// tokens first: the batch of two is merged with the heads, and split off again.
func TestMergedBatch(t *testing.T) {
	m, err := onnx.Parse(onnxtest.New(17).Input("x", ir.Float, 2, 5, 6).InitInts("merged", []int{3}, []int64{5, 6, 2}).InitInts("joined", []int{3}, []int64{5, 2, 6}).InitInts("rows", []int{2}, []int64{10, 6}).
		Node("Transpose", ir.Attrs{"perm": []int64{1, 0, 2}}, []string{"x"}, []string{"t"}).Node("Reshape", nil, []string{"t", "merged"}, []string{"heads"}).
		Node("Exp", nil, []string{"heads"}, []string{"e"}).Node("Reshape", nil, []string{"e", "rows"}, []string{"flat"}).
		Node("Neg", nil, []string{"flat"}, []string{"n"}).Node("Reshape", nil, []string{"n", "joined"}, []string{"y"}).Output("y", ir.Float, 5, 2, 6).Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{1, 2, 3, 4} {
		g, err := m.Plan(onnx.PlanOptions{Shapes: map[string][]int{"x": {batch, 5, 6}}, Unfused: true})
		if err != nil {
			t.Fatalf("batch %d: %v", batch, err)
		}
		for name, want := range map[string][]int{"heads": {5, 3 * batch, 2}, "flat": {5 * batch, 6}, "y": {5, batch, 6}} {
			if got := g.Types[name].Dims; !slices.Equal(got, want) {
				t.Errorf("batch %d: %s is %v, want %v", batch, name, got, want)
			}
		}
	}
}
