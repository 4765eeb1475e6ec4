package engine

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// pixelsOn is a segmenter with a new head that nobody trained.
func pixelsOn(t *testing.T, model string, o PreprocessOptions) *Loaded {
	t.Helper()
	n, err := OpenNetwork(model, NetworkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.NewSegmentHead([]string{"a", "b", "c"}, false, 5); err != nil {
		t.Fatal(err)
	}
	l := &Loaded{Network: n, Task: vision.Segment}
	if l.Pre, l.Source, err = n.preprocess(vision.Segment, o); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSegmentExport writes logits and labels, of the network's input and of the
// picture, of new heads and of a kept one that puts out its channels last. ONNX
// Runtime agrees, and so does the file when it is read back.
func TestSegmentExport(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(t *testing.T) *Loaded
	}{
		{"maps, letterbox", func(t *testing.T) *Loaded { return pixelsOn(t, sampleCNN, PreprocessOptions{}) }},
		{"maps, crop", func(t *testing.T) *Loaded {
			return pixelsOn(t, sampleCNN, PreprocessOptions{Resize: vision.ResizeShorter})
		}},
		{"tokens, stretch", func(t *testing.T) *Loaded {
			return pixelsOn(t, sampleViT, PreprocessOptions{Resize: vision.ResizeStretch})
		}},
		{"own head", func(t *testing.T) *Loaded {
			l, err := OpenWeights(WeightsOptions{Weights: testdata.Real(t, "deeplabv3_mnv2_257/deeplab_v3_257.onnx"), Names: "voc21", Preprocess: PreprocessOptions{Preset: "inception"}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return l
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := c.open(t)
			data := ""
			if c.name == "own head" {
				data = testdata.Real(t, "test_images")
			}
			for _, cfg := range []ExportConfig{{ArgMax: true}, {EmbedPreprocessing: true, OriginalSize: true}, {EmbedPreprocessing: true, OriginalSize: true, ArgMax: true}} {
				cfg.Out, cfg.Verify, cfg.Threads, cfg.Data = filepath.Join(t.TempDir(), "pixels.onnx"), 3, 2, data
				verifiedPixels(t, l, cfg)
				back, err := OpenWeights(WeightsOptions{Weights: cfg.Out})
				if err != nil {
					t.Fatal(err)
				}
				defer back.Close()
				if back.Task != vision.Segment || back.Pre != l.Pre || !slices.Equal(back.Classes, l.Classes) {
					t.Fatalf("read back: to %s, %d classes, %+v", back.Task, len(back.Classes), back.Pre)
				}
				inspectedPixels(t, cfg, l)
				// What the base model embeds stays, as it is or with labels now.
				again := cfg
				again.EmbedPreprocessing, again.OriginalSize, again.ArgMax = false, false, !cfg.ArgMax
				again.Out = filepath.Join(t.TempDir(), "again.onnx")
				verifiedPixels(t, back, again)
			}
		})
	}
}

// inspectedPixels compares what inspect says of a file with how it was exported.
func inspectedPixels(t *testing.T, cfg ExportConfig, l *Loaded) {
	t.Helper()
	in, err := Inspect(InspectConfig{Model: cfg.Out})
	if err != nil {
		t.Fatal(err)
	}
	output := map[bool]string{false: "logits", true: "labels"}[cfg.ArgMax]
	if s := in.Pixels; s == nil || s.OriginalSize != cfg.OriginalSize || s.Output != output || s.Classes != len(l.Classes) || s.Stride < 2 || s.Stride > 16 || (s.Height == 0) != cfg.OriginalSize {
		t.Errorf("inspect: %+v", s)
	}
}

// verifiedPixels exports, and looks at what ONNX Runtime says.
func verifiedPixels(t *testing.T, l *Loaded, cfg ExportConfig) {
	t.Helper()
	if v := exported(t, l, cfg).Verify; v.Images != 3 || v.Pixels == nil || v.Pixels.Pixels < 3*20*20 {
		t.Errorf("%+v", v)
	}
}

// At the picture's own size the file's labels are those that predict tells, of
// pictures in a batch too.
func TestOriginalSizeBatch(t *testing.T) {
	l := pixelsOn(t, openBatch(t, sampleCNN), PreprocessOptions{})
	out := filepath.Join(t.TempDir(), "pixels.onnx")
	if _, _, err := l.writeONNX(ExportConfig{Out: out, EmbedPreprocessing: true, OriginalSize: true}, outputs{argMax: true}); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if o := m.Graph.Outputs[0]; len(m.Graph.Outputs) != 1 || o.Name != "labels" || o.Type.DType != ir.Int64 || !slices.Equal(o.Type.Dims, []int{-1, -1, -1}) || !slices.Equal(o.Type.Params, []string{"batch", "image_height", "image_width"}) {
		t.Errorf("outputs %+v", m.Graph.Outputs)
	}
	rt := openORT(t, out)
	const h, w = 50, 83
	var pictures []byte
	var ours []uint8
	s, err := openSession(1, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	pipe, err := transform.Eval(l.Pre)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.predictor()(1)
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.pixelAnswers(c, &PredictConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		im := vision.NewImage(w, h)
		copy(im.Pix, noise(i+5, 400, 400).Pix)
		pictures = append(pictures, im.Pix...)
		x := make([]float32, pipe.Len())
		if err := pipe.NewWorker().Apply(x, im, transform.Key{}); err != nil {
			t.Fatal(err)
		}
		to := &answer{ImagePredictions: ImagePredictions{Width: w, Height: h}}
		if err := a.read(&frame{out: infer(t, s, l.Network, x, 1)}, to); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, to.labels...)
	}
	y, err := rt.Run(feedOf(&ir.Tensor{Name: "image", DType: ir.Uint8, Dims: []int{2, h, w, 3}, Raw: pictures}))
	if err != nil {
		t.Fatal(err)
	}
	theirs, other := y["labels"].Int64s(), 0
	if len(theirs) != len(ours) {
		t.Fatalf("labels %v", y["labels"].Dims)
	}
	for i, k := range ours {
		if int64(k) != theirs[i] {
			other++
		}
	}
	if float64(other) > pixelTolerance*float64(len(ours)) {
		t.Errorf("%d of %d pixels have another class", other, len(ours))
	}
}

// What cannot be is refused with the way out.
func TestOriginalSizeRefused(t *testing.T) {
	l := pixelsOn(t, sampleCNN, PreprocessOptions{})
	cfg := ExportConfig{Out: filepath.Join(t.TempDir(), "pixels.onnx"), OriginalSize: true}
	_, err := l.exportONNX(t.Context(), cfg)
	says(t, err, "--original-size", "--embed-preprocessing")
	l.Task = vision.Classify
	_, err = l.exportONNX(t.Context(), cfg)
	says(t, err, "--original-size", "classes of pixels")
}

// A file whose words about its own output are wrong is not read by them.
func TestOriginalSizeDamaged(t *testing.T) {
	g := &ir.Graph{Types: map[string]ir.Type{}, Tensors: map[string]*ir.Tensor{}, Outputs: []ir.Value{{Name: "labels"}}, Nodes: []*ir.Node{
		{Name: "/conv", Op: "Conv", Outputs: []string{"map"}},
		{Name: originalPrefix + "MatMul_1", Op: "MatMul", Inputs: []string{"map"}, Outputs: []string{"big"}},
		{Name: "/argmax", Op: "ArgMax", Inputs: []string{"big"}, Outputs: []string{"labels"}},
	}}
	read := func(value string, shape ...int) error {
		return (&EmbeddedPreprocess{Original: &OriginalSize{value, shape, "labels"}}).unenlarge(g)
	}
	says(t, read("map", 1, 3, 8), "shape", "[1 3 8]")
	says(t, read("map", 1, 3, 0, 8), "shape", "[1 3 0 8]")
	says(t, read("map", 1, 3, 8, 8), `not enlarged from "map"`)
	g.Nodes[2].Name = originalPrefix + "ArgMax_2"
	says(t, read("big", 1, 3, 8, 8), `not enlarged from "big"`)
	says(t, read("other", 1, 3, 8, 8), `not enlarged from "other"`)
	if err := read("map", 1, 3, 8, 8); err != nil || len(g.Nodes) != 1 || g.Outputs[0].Name != "map" {
		t.Errorf("%v: %d nodes, outputs %+v", err, len(g.Nodes), g.Outputs)
	}
}
