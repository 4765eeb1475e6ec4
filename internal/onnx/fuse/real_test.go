package fuse_test

import (
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/fuse"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
)

func plan(t *testing.T, path string, o onnx.PlanOptions) *ir.Graph {
	t.Helper()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.Plan(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestFusedOperators counts the operators left in trained models of several
// exporters.
func TestFusedOperators(t *testing.T) {
	vit := map[string]int{"Add": 25, "Attention": 12, "Concat": 1, "Conv": 1, "Expand": 1, "Gather": 1, "Gelu": 12, "LayerNormalization": 25,
		"Linear": 49, "Reshape": 13, "Transpose": 13}
	for name, want := range map[string]map[string]int{
		testdata.Real(t, "vit_tiny_timmstyle/vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx"): vit,
		testdata.Real(t, "vit_cifar_ibp/vit_cifar_ibp_3_3_8.onnx"): {"Add": 7, "Attention": 3, "BatchNormalization": 7, "Concat": 1,
			"Conv": 1, "Linear": 19, "ReduceMean": 1, "Relu": 3, "Reshape": 4, "Transpose": 16},
		testdata.Real(t, "mobilenetv3_ppocr_cls/ppocr_cls.onnx"): {"Add": 7, "Conv": 53, "GlobalAveragePool": 10, "HardSigmoid": 9,
			"HardSwish": 18, "Linear": 1, "MaxPool": 1, "Mul": 9, "Relu": 15, "Reshape": 1, "Softmax": 1},
		testdata.Real(t, "yolox_nano/yolox_nano.onnx"): {"Add": 7, "Concat": 18, "Conv": 113, "MaxPool": 3, "Reshape": 3, "Resize": 2,
			"Sigmoid": 6, "Silu": 104, "Slice": 8, "Transpose": 1},
		testdata.Real(t, "squeezenet1.1/squeezenet_fp16.onnx"): {"Concat": 8, "Conv": 26, "GlobalAveragePool": 1, "MaxPool": 3,
			"Relu": 26, "Softmax": 1},
		testdata.Peers(t, "quality/vit_micro.onnx"): {"Add": 9, "Attention": 4, "Concat": 1, "Conv": 1, "Expand": 1, "Gather": 1, "Gelu": 4,
			"LayerNormalization": 9, "Linear": 16, "Reshape": 5, "Transpose": 5},
		testdata.Peers(t, "peft_golden/resnet10n_bn/model.onnx"): {"Add": 4, "Conv": 12, "Flatten": 1, "GlobalAveragePool": 1,
			"Linear": 1, "MaxPool": 1, "Relu": 9},
	} {
		g := plan(t, name, onnx.PlanOptions{Batch: 2})
		got := make(map[string]int)
		for _, n := range g.Nodes {
			got[n.Op]++
			if n.Op == "Conv" && n.Domain != ir.DomainVislora {
				t.Errorf("%s: Conv %q was left as it was", name, n.Name)
			}
			for _, o := range n.Outputs {
				if !g.Types[o].Static() {
					t.Errorf("%s: %s: output %q has no static type", name, n.Op, o)
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: operators %v, want %v", name, got, want)
		}
	}
}

// TestFusedAgainstPyTorch interprets fused graphs by the definitions in
// package ir and compares the logits with those PyTorch recorded.
func TestFusedAgainstPyTorch(t *testing.T) {
	for _, name := range []string{"vit_micro", "resnet10n_bn", "resnet10n_folded"} {
		dir := testdata.Peers(t, "peft_golden", name)
		g := plan(t, dir+"/model.onnx", onnx.PlanOptions{Batch: 1})
		in := g.Inputs[0].Name
		d := g.Types[in].Dims
		x := floats(t, dir+"/x.f32")[:d[1]*d[2]*d[3]]
		for _, n := range g.Nodes {
			n.Attrs["test_batch"] = int64(1)
		}
		out := fuse.Interpret(t, g, map[string]fuse.Array{in: fuse.NewArray(x, d...)})[g.Outputs[0].Name].Values()
		want := floats(t, dir+"/logits_base.f32")[:len(out)]
		for i := range out {
			if math.Abs(out[i]-want[i]) > 1e-4 {
				t.Errorf("%s: logit %d is %.6f, PyTorch has %.6f", name, i, out[i], want[i])
			}
		}
	}
}

// TestFusedEqualsUnfused interprets trained models before and after fusion, on
// a batch of two, so that batch strides count.
func TestFusedEqualsUnfused(t *testing.T) {
	files := map[string]int{
		testdata.Real(t, "vit_cifar_ibp/vit_cifar_ibp_3_3_8.onnx"): 0,
		testdata.Real(t, "mobilenetv3_ppocr_cls/ppocr_cls.onnx"):   64,
		testdata.Peers(t, "quality/vit_micro.onnx"):                0,
	}
	for file, size := range files {
		o := onnx.PlanOptions{Batch: 2, Height: size, Width: size}
		fused := plan(t, file, o)
		o.Unfused = true
		plain := plan(t, file, o)
		in := fused.Inputs[0].Name
		d := fused.Types[in].Dims
		rng := rand.New(rand.NewPCG(7, 7))
		x := make([]float64, d[0]*d[1]*d[2]*d[3])
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		inputs := map[string]fuse.Array{in: fuse.NewArray(x, d...)}
		want := fuse.Interpret(t, plain, inputs)[plain.Outputs[0].Name].Values()
		got := fuse.Interpret(t, fused, inputs)[fused.Outputs[0].Name].Values()
		if len(plain.Nodes) <= len(fused.Nodes) || len(want) == 0 || len(want) != len(got) {
			t.Fatalf("%s: %d nodes became %d, %d values %d", file, len(plain.Nodes), len(fused.Nodes), len(want), len(got))
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-5*(1+math.Abs(want[i])) {
				t.Fatalf("%s: value %d is %.8g fused, %.8g before", file, i, got[i], want[i])
			}
		}
	}
}

func floats(t *testing.T, path string) []float64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(b)/4)
	for i := range out {
		out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return out
}
