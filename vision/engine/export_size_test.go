package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// TestExportSizes exports networks at other sizes than their files', the model's
// own classifier kept and a new one, and compares with ONNX Runtime and with the
// file read back, for as many pictures as the file takes.
func TestExportSizes(t *testing.T) {
	s, err := openSession(2, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, c := range []struct {
		name, path string
		size       [2]int
		batch      int
		changed    []string // constants that keep their names
	}{
		{"cnn", tinyCNN(5, 32).File(t), [2]int{48, 64}, 2, nil},
		{"vit", tinyViT(5).File(t), [2]int{40, 56}, 2, []string{"pos_embed"}},
		{"resized map", resizing(-1).File(t), [2]int{24, 40}, 3, nil},
		{"resized map, fixed batch", resizing(2).File(t), [2]int{40, 24}, 2, []string{"size"}},
		{"sample cnn", sampleCNN, [2]int{96, 80}, 2, nil},
		{"sample vit", sampleViT, [2]int{96, 96}, 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, fresh := range []bool{false, true} {
				exportAt(t, s, c.path, c.size, c.batch, fresh, c.changed)
			}
		})
	}
}

// exportAt exports one network and compares it.
func exportAt(t *testing.T, s *session, path string, size [2]int, batch int, fresh bool, changed []string) {
	n, err := OpenNetwork(path, NetworkOptions{Height: size[0], Width: size[1]})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if fresh {
		if err := n.NewHead([]string{"a", "b", "c"}, 1); err != nil {
			t.Fatal(err)
		}
	}
	x := newWeights(3).normal(1, batch, 3, size[0], size[1])
	want := wide(infer(t, s, n, channelsLast(x, batch, 3, size[0], size[1]), batch))
	out := filepath.Join(t.TempDir(), "sized.onnx")
	r, err := n.WriteMerged(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenNetwork(out, NetworkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Height != size[0] || m.Width != size[1] || m.Picture.Height != size[0] || m.Annotation.Family != n.Annotation.Family {
		t.Errorf("read back at %d×%d as %s, exported at %v as %s", m.Height, m.Width, m.Annotation.Family, size, n.Annotation.Family)
	}
	for _, name := range changed {
		if !slices.Contains(r.Tensors, name) {
			t.Errorf("%s is not changed in its place: changed %v, added %v", name, r.Tensors, r.Added)
		}
	}
	if e := gradcheck.RangeError(wide(infer(t, s, m, channelsLast(x, batch, 3, size[0], size[1]), batch)), want); e > 1e-5 {
		t.Errorf("read back, the file differs by %.2g of the range", e)
	}
	if y := runORT(t, out, n.Picture.Name, x, batch, 3, size[0], size[1]); y != nil && gradcheck.RangeError(wide(y), want) > 1e-4 {
		t.Errorf("in ONNX Runtime the file differs by %.2g of the range", gradcheck.RangeError(wide(y), want))
	}
}

// resizing is a small network for pictures of 16×16 whose exporter wrote down
// sizes beside a batch that is read from the data: a map that is made larger to
// the size of another, a part of it, and a shape with two such lengths.
func resizing(batch int) *onnxtest.Builder {
	w := newWeights(5)
	b := onnxtest.New(13).Input("x", ir.Float, batch, 3, 16, 16)
	b.Init("fine.weight", []int{6, 3, 3, 3}, w.fan(6, 3, 3, 3)).Init("coarse.weight", []int{6, 6, 3, 3}, w.fan(6, 6, 3, 3))
	conv := ir.Attrs{"kernel_shape": []int{3, 3}, "strides": []int{2, 2}, "pads": []int{1, 1, 1, 1}}
	b.NodeNamed("/fine/Conv", "", "Conv", conv, []string{"x", "fine.weight"}, []string{"fine"})
	b.NodeNamed("/coarse/Conv", "", "Conv", conv, []string{"fine", "coarse.weight"}, []string{"coarse"})
	b.InitInts("zero", []int{1}, []int64{0}).InitInts("one", []int{1}, []int64{1}).InitInts("two", []int{1}, []int64{2})
	size := "size"
	if batch < 0 {
		b.InitInts("sides", []int{2}, []int64{8, 8})
		b.Node("Shape", nil, []string{"coarse"}, []string{"shape"}).Node("Slice", nil, []string{"shape", "zero", "two"}, []string{"batch_and_channels"})
		b.Node("Concat", ir.Attrs{"axis": 0}, []string{"batch_and_channels", "sides"}, []string{size})
	} else {
		b.InitInts(size, []int{4}, []int64{int64(batch), 6, 8, 8})
	}
	b.Node("Resize", ir.Attrs{"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, []string{"coarse", "", "", size}, []string{"large"})
	b.Node("Add", nil, []string{"large", "fine"}, []string{"sum"})
	b.InitInts("end", []int{1}, []int64{8}).InitInts("axis", []int{1}, []int64{3})
	b.Node("Slice", nil, []string{"sum", "one", "end", "axis"}, []string{"part"})
	b.InitInts("rows", []int{3}, []int64{0, 6, 56}).Node("Reshape", nil, []string{"part", "rows"}, []string{"pixels"})
	b.Node("ReduceMax", ir.Attrs{"axes": []int{2}, "keepdims": 0}, []string{"pixels"}, []string{"pool"})
	b.Init("fc.weight", []int{4, 6}, w.fan(4, 6))
	b.NodeNamed("/fc/Gemm", "", "Gemm", ir.Attrs{"transB": 1}, []string{"pool", "fc.weight"}, []string{"logits"})
	return b.Output("logits", ir.Float, batch, 4)
}

// TestExportSizeInBranch refuses a file whose size stands in a branch, and names
// the value.
func TestExportSizeInBranch(t *testing.T) {
	inside := onnxtest.New(13).InitInts("flat", []int{3}, []int64{1, 4, 64}).Node("Reshape", nil, []string{"map", "flat"}, []string{"rows"}).Output("rows", ir.Float, 1, 4, 64)
	w := newWeights(6)
	b := onnxtest.New(13).Input("x", ir.Float, 1, 3, 8, 8).Init("w", []int{4, 3, 1, 1}, w.fan(4, 3, 1, 1)).Init("c", []int{}, []float32{1})
	b.Node("Conv", nil, []string{"x", "w"}, []string{"map"}).Node("Cast", ir.Attrs{"to": int64(ir.Bool)}, []string{"c"}, []string{"yes"})
	b.Node("If", ir.Attrs{"then_branch": inside, "else_branch": inside}, []string{"yes"}, []string{"tokens"})
	b.Node("ReduceMean", ir.Attrs{"axes": []int{2}, "keepdims": 0}, []string{"tokens"}, []string{"y"}).Output("y", ir.Float, 1, 4)
	n, err := OpenNetwork(b.File(t), NetworkOptions{Height: 16, Width: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	_, err = n.WriteMerged(filepath.Join(t.TempDir(), "branch.onnx"), nil)
	says(t, err, "16×16", `"rows"`, "branch of an If", "8×8")
}

// TestExportRealSizes exports a ViT of 224×224 and an open CNN at other sizes.
func TestExportRealSizes(t *testing.T) {
	s, err := openSession(2, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, c := range []struct {
		path []string
		size [2]int
	}{
		{[]string{"vit_tiny_timmstyle", "vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx"}, [2]int{320, 320}},
		{[]string{"vit_tiny_timmstyle", "vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx"}, [2]int{160, 256}},
		{[]string{"squeezenet1.1", "squeezenet1.1_fp32.onnx"}, [2]int{128, 160}},
	} {
		t.Run(fmt.Sprintf("%s/%d×%d", c.path[0], c.size[0], c.size[1]), func(t *testing.T) {
			exportAt(t, s, testdata.Real(t, c.path...), c.size, 1, true, nil)
		})
	}
}

// untrained is a network with a head for a task that nobody trained, its layers
// drawn anew so that it finds many objects.
func untrained(t *testing.T, task vision.Task, model string, size int) *Loaded {
	t.Helper()
	n, err := openFor(task, model, size, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	classes := []string{"a", "b", "c"}
	if task == vision.Segment {
		err = n.NewSegmentHead(classes, false, 5)
	} else {
		err = n.NewDetectHead(classes, false, 5)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := newWeights(8)
	for _, name := range n.headNames {
		if strings.Contains(name, "obj_preds") || strings.Contains(name, "cls_preds") {
			data := n.Net.Param(name).Data()
			copy(data, w.normal(.3, len(data)))
		}
	}
	l := &Loaded{Network: n, Task: task}
	if l.Pre, l.Source, err = n.preprocess(task, PreprocessOptions{}); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestExportTasksAtOtherSizes writes detectors and segmenters whose backbones
// were made for smaller pictures, in every form of output.
func TestExportTasksAtOtherSizes(t *testing.T) {
	vit := []string{"vit_tiny_timmstyle", "vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx"}
	for _, c := range []struct {
		name  string
		model func(t *testing.T) string
		size  int
	}{
		{"sample cnn", func(*testing.T) string { return sampleCNN }, 96},
		{"sample vit", func(*testing.T) string { return sampleViT }, 96},
		{"vit at its default size", func(t *testing.T) string { return testdata.Real(t, vit...) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for task, forms := range map[vision.Task][]ExportConfig{
				vision.Detect:  {{}, {NMS: true}, {EmbedPreprocessing: true}, {NMS: true, EmbedPreprocessing: true}},
				vision.Segment: {{}, {ArgMax: true}, {EmbedPreprocessing: true}},
			} {
				l := untrained(t, task, c.model(t), c.size)
				for _, cfg := range forms {
					cfg.Verify, cfg.Threads, cfg.Conf, cfg.IoU, cfg.MaxDet = 2, 2, .05, .6, 30
					cfg.Out = filepath.Join(t.TempDir(), "model.onnx")
					x, err := l.exportONNX(t.Context(), cfg)
					if errors.Is(err, ort.ErrUnavailable) {
						x, err = &Exported{}, nil
					}
					if err != nil {
						t.Fatalf("%s %+v: %v", task, cfg, err)
					}
					t.Logf("%s %v", task, x)
					if v := x.Verify; v != nil && cfg.NMS && v.Boxes.Matched < 3 {
						t.Errorf("boxes: %+v", v.Boxes)
					}
					back, err := OpenWeights(WeightsOptions{Weights: cfg.Out})
					if err != nil {
						t.Fatal(err)
					}
					defer back.Close()
					if back.Task != task || back.Pre != l.Pre {
						t.Errorf("read back: to %s, with %+v, written: to %s, with %+v", back.Task, back.Pre, task, l.Pre)
					}
					if p := back.Picture; p.Height != l.Height || p.Width != l.Width {
						t.Errorf("%s: the file takes %d×%d pixels, the network %d×%d", task, p.Height, p.Width, l.Height, l.Width)
					}
				}
			}
		})
	}
}
