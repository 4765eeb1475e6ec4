package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// instancesOn is a network with a head for masks of objects that nobody trained,
// its layers drawn anew so that it finds many objects and is sure of pixels.
func instancesOn(t *testing.T, model string, size, classes int, kept bool) *Loaded {
	t.Helper()
	n, err := openFor(vision.Instance, model, size, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	var names []string
	for i := range classes {
		names = append(names, fmt.Sprint("class ", i))
	}
	if err := n.NewInstanceHead(names, kept, 5); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 8))
	for _, name := range n.headNames {
		data := n.Net.Param(name).Data()
		for layer, spread := range map[string]float64{"obj_preds": .3, "cls_preds": .3, "head.classes": .3, "mask_preds": .3, "head.protos": .5} {
			if strings.Contains(name, layer) {
				for i := range data {
					data[i] = float32(spread * rng.NormFloat64())
				}
			}
		}
	}
	l := &Loaded{Network: n, Task: vision.Instance}
	if l.Pre, l.Source, err = n.preprocess(vision.Instance, PreprocessOptions{}); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestInstanceExport writes masks of objects in all forms: a new head on a CNN's
// maps and a ViT's tokens, YOLOX's own with its classes and with new ones.
// ONNX Runtime agrees, and so does the file when it is read back.
func TestInstanceExport(t *testing.T) {
	for _, c := range []struct {
		name, model   string
		size, classes int
		kept          bool
	}{
		{"maps", sampleCNN, 96, 3, false},
		{"maps that reach out", sampleCNN, 72, 3, false},
		{"tokens", sampleViT, 64, 2, false},
		{"own head", "yolox_nano/yolox_nano.onnx", 0, 3, false},
		{"own head and classes", "yolox_nano/yolox_nano.onnx", 0, 80, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := ""
			if !strings.HasPrefix(c.model, "..") { // a trained detector finds nothing in noise
				c.model, data = testdata.Real(t, c.model), testdata.Real(t, "coco_mini")
			}
			l := instancesOn(t, c.model, c.size, c.classes, c.kept)
			for _, cfg := range []ExportConfig{{}, {NMS: true, Agnostic: true}, {EmbedPreprocessing: true, NMS: true}} {
				cfg.Verify, cfg.Threads, cfg.Data = 2, 2, data
				cfg.Conf, cfg.IoU, cfg.MaxDet = .05, .6, 20
				cfg.Out = filepath.Join(t.TempDir(), "model.onnx")
				verifiedInstances(t, l, cfg)
				if cfg.Agnostic {
					continue
				}

				// The file's own words lead back to the same objects.
				back, err := OpenWeights(WeightsOptions{Weights: cfg.Out})
				if err != nil {
					t.Fatal(err)
				}
				defer back.Close()
				if back.Task != vision.Instance || !slices.Equal(back.Classes, l.Classes) || back.Pre != l.Pre {
					t.Fatalf("read back: to %s, %d classes, %+v", back.Task, len(back.Classes), back.Pre)
				}
				cfg.NMS, cfg.EmbedPreprocessing = true, false
				cfg.Out = filepath.Join(t.TempDir(), "again.onnx")
				verifiedInstances(t, back, cfg)
			}
		})
	}
}

// verifiedInstances exports, and looks at what ONNX Runtime says.
func verifiedInstances(t *testing.T, l *Loaded, cfg ExportConfig) {
	t.Helper()
	v := exported(t, l, cfg).Verify
	switch {
	case v.Images != 2:
		t.Errorf("verified on %d images", v.Images)
	case !cfg.NMS && (v.Range == 0 || v.Boxes != nil):
		t.Errorf("rows: %+v", v)
	case cfg.NMS && (v.Boxes == nil || v.Boxes.Matched < 3 || v.Boxes.Masks == nil || v.Boxes.Masks.Pixels != v.Boxes.Matched*l.Height*l.Width):
		t.Errorf("boxes and masks: %+v", v.Boxes)
	}
}

// openBatch is a model with a batch of any size.
func openBatch(t *testing.T, path string) string {
	t.Helper()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e, err := onnx.Edit(m)
	if err != nil {
		t.Fatal(err)
	}
	in := m.Graph.Inputs[0]
	in.Type.Dims = append([]int{-1}, in.Type.Dims[1:]...)
	if err := e.ReshapeInput(in); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "open.onnx")
	if err := e.Write(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Two pictures at once give what each gives alone, in all outputs.
func TestInstanceExportBatch(t *testing.T) {
	l := instancesOn(t, openBatch(t, sampleCNN), 96, 3, false)
	rng := rand.New(rand.NewPCG(3, 3))
	pictures := make([]float32, 2*3*96*96)
	for i := range pictures {
		pictures[i] = float32(rng.NormFloat64())
	}
	half := len(pictures) / 2
	for _, nms := range []*thresholds{nil, {Conf: .2, IoU: .6, Max: 30}} {
		out := filepath.Join(t.TempDir(), "model.onnx")
		if _, _, err := l.writeONNX(ExportConfig{Out: out}, outputs{nms: nms}); err != nil {
			t.Fatal(err)
		}
		rt := openORT(t, out)
		run := func(x []float32, n int) map[string]*ir.Tensor {
			y, err := rt.Run(feedOf(ir.FromFloat32s(l.Picture.Name, x, n, 3, 96, 96)))
			if err != nil {
				t.Fatal(err)
			}
			return y
		}
		first, second, both := run(pictures[:half], 1), run(pictures[half:], 1), run(pictures, 2)
		var names []string
		for _, o := range rt.Outputs() {
			names = append(names, o.Name)
			want := slices.Concat(first[o.Name].Raw, second[o.Name].Raw)
			got := both[o.Name].Raw
			switch o.DType {
			case ir.Float:
				if e := worst(both[o.Name].Float32s(), slices.Concat(first[o.Name].Float32s(), second[o.Name].Float32s())); e > 1e-3 {
					t.Errorf("%s: off by %g", o.Name, e)
				}
			case ir.Int64:
				if o.Name == "images" {
					n := both[o.Name].Int64s()
					if k := first[o.Name].Len(); len(n) < 4 || slices.Max(n[:k]) != 0 || slices.Min(n[k:]) != 1 {
						t.Errorf("images: %v, %d of the first", n, k)
					}
				} else if !bytes.Equal(got, want) {
					t.Errorf("%s: %v, alone %v and %v", o.Name, both[o.Name].Int64s(), first[o.Name].Int64s(), second[o.Name].Int64s())
				}
			case ir.Uint8:
				other, on := 0, 0
				for i, v := range got {
					on += int(v)
					if v != want[i] {
						other++
					}
				}
				if float64(other) > pixelTolerance*float64(len(got)) || on == 0 || on == len(got) {
					t.Errorf("%s: %d of %d pixels differ, %d are set", o.Name, other, len(got), on)
				}
			}
		}
		want := []string{"output", "prototypes"}
		if nms != nil {
			want = []string{"boxes", "scores", "labels", "images", "masks"}
		}
		if !slices.Equal(names, want) {
			t.Errorf("outputs %q", names)
		}
	}
}

// worst is the largest difference, +Inf between lists of different lengths.
func worst(a, b []float32) (w float64) {
	if len(a) != len(b) {
		return float64(len(a))
	}
	for i := range a {
		w = max(w, float64(max(a[i]-b[i], b[i]-a[i])))
	}
	return w
}

// What a file says of its masks is checked before anything is read with it.
func TestOutputMasksFit(t *testing.T) {
	for _, m := range []OutputMasks{{0, 4, "p"}, {32, 0, "p"}, {-1, 4, "p"}, {32, 1 << 20, "p"}, {1 << 30, 4, "p"}} {
		o := DetectorOutput{Kind: "yolox", Classes: 2, Levels: []OutputLevel{{Height: 4, Width: 4, Stride: 8}}, Masks: &m}
		says(t, o.check(), "masks of", "yolox")
	}
	o := DetectorOutput{Kind: "gfl", Bins: 8, Classes: 2, Levels: []OutputLevel{{Height: 4, Width: 4, Stride: 8}}, Masks: &OutputMasks{32, 4, "p"}}
	says(t, o.check(), "for the kind gfl")
}
