package engine

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/transform"
)

// TestOwnDecoding reads a head's raw predictions, and gets the boxes that the
// file itself makes when the host evaluator runs all of it.
func TestOwnDecoding(t *testing.T) {
	const k, size = 3, 96
	s, err := openSession(1, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, y := range []onnxtest.YOLO{{Kind: "yolov8"}, {Kind: "yolov8", Twist: "corner", Bins: 7}, {Kind: "yolov6"}, {Kind: "yolov5"}} {
		y.Classes, y.Size = k, size
		l, err := OpenWeights(WeightsOptions{Weights: y.Model().File(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if l.Task != vision.Detect || l.Pre.Channels != vision.RGB || l.Pre.Range != 1 || l.Pre.Resize != vision.ResizeLetterbox {
			t.Errorf("%+v: opened to %s with %+v", y, l.Task, l.Pre)
		}
		rng := rand.New(rand.NewPCG(2, 2))
		picture := make([]float32, 3*size*size)
		for i := range picture {
			picture[i] = rng.Float32()
		}
		c, err := l.predictor()(1)
		if err != nil {
			t.Fatal(err)
		}
		all := thresholds{Conf: .01, IoU: 1, Max: 1 << 20}
		reader := l.boxReader(c.levels, l.Pre, all)
		got := reader.read(infer(t, s, l.Network, channelsLast(picture, 1, 3, size, size), 1), size, size)

		g, err := l.Model.Plan(onnx.PlanOptions{Unfused: true})
		if err != nil {
			t.Fatal(err)
		}
		out, err := eval.Run(g, map[string]*ir.Tensor{"images": ir.FromFloat32s("images", picture, 1, 3, size, size)})
		if err != nil {
			t.Fatal(err)
		}
		want := transform.Place(l.Pre, size, size).ToImages(fileBoxes(out["output0"], y.Kind, k, all.Conf), size, size)
		if len(got) != len(want) || len(got) < 50 {
			t.Errorf("%+v: %d boxes, the file has %d", y, len(got), len(want))
			continue
		}
		for _, d := range [][]vision.Detection{got, want} {
			slices.SortFunc(d, func(a, b vision.Detection) int { return cmp.Compare(b.Score, a.Score) })
		}
		for i, w := range want {
			d := got[i]
			off := max(math.Abs(d.Box.X1-w.Box.X1), math.Abs(d.Box.Y1-w.Box.Y1), math.Abs(d.Box.X2-w.Box.X2), math.Abs(d.Box.Y2-w.Box.Y2))
			if d.Class != w.Class || math.Abs(d.Score-w.Score) > 1e-5 || off > 1e-3 {
				t.Fatalf("%+v: box %d is %+v, the file's is %+v", y, i, d, w)
			}
		}
	}
}

// fileBoxes reads a file's output of one image.
func fileBoxes(out *ir.Tensor, kind string, k int, conf float64) (found []vision.Detection) {
	v := out.Float32s()
	if kind == "yolov8" {
		return head.Decode{Classes: k, Conf: conf}.YOLOv8(v)
	}
	for ; len(v) > 0; v = v[5+k:] {
		class := 0
		for i, p := range v[5 : 5+k] {
			if p > v[5+class] {
				class = i
			}
		}
		if score := float64(v[4]) * float64(v[5+class]); score >= conf {
			x, y, w, h := float64(v[0]), float64(v[1]), float64(v[2]), float64(v[3])
			found = append(found, vision.Detection{Class: class, Score: score, Box: vision.XYWH(x-w/2, y-h/2, w, h)})
		}
	}
	return found
}

// TestKeptBoxes: NanoDet with new class layers starts with the boxes that it had.
func TestKeptBoxes(t *testing.T) {
	s, err := openSession(1, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	l, err := OpenWeights(WeightsOptions{Weights: testdata.Real(t, "nanodet_m_320/nanodet_m_320.onnx")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	picture := make([]float32, 320*320*3)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range picture {
		picture[i] = float32(rng.NormFloat64())
	}
	old := infer(t, s, l.Network, picture, 1)
	if err := l.NewDetectHead([]string{"a", "b", "c"}, false, 0); err != nil {
		t.Fatal(err)
	}
	now := infer(t, s, l.Network, picture, 1)
	d := l.ownDetector()
	cells, box := len(old)/(80+4*d.Bins), 4*d.Bins
	if len(now) != cells*(3+box) {
		t.Fatalf("%d values of %d cells", len(now), cells)
	}
	worst := 0.0
	for c := range cells {
		for j := range box {
			worst = max(worst, math.Abs(float64(now[c*(3+box)+3+j]-old[c*(80+box)+80+j])))
		}
		for _, x := range now[c*(3+box) : c*(3+box)+3] {
			if p := 1 / (1 + math.Exp(-float64(x))); p > .05 {
				t.Fatalf("a new class starts at %v", p)
			}
		}
	}
	if worst > 1e-4 {
		t.Errorf("distances differ by %v", worst)
	}
}

// TestOwnHeadsTrain trains the heads of detectors: with their own classes, with
// new ones, and, where no loss knows the head, a new one on the neck.
func TestOwnHeadsTrain(t *testing.T) {
	data := shelfOf(t, 16, 6)
	for _, c := range []struct {
		name, head string
		model      func() *onnxtest.Builder
	}{
		{"kept", "its classes are the data's", func() *onnxtest.Builder {
			return onnxtest.YOLO{Kind: "yolov8", Classes: 2, Size: 96}.Model().Metadata("names", "{0: 'hollow', 1: 'full'}")
		}},
		{"new classes", "new layers for the classes", func() *onnxtest.Builder { return onnxtest.YOLO{Kind: "yolov8", Classes: 5, Size: 96}.Model() }},
		{"anchors", "new, on the model's neck", func() *onnxtest.Builder { return onnxtest.YOLO{Kind: "yolov5", Classes: 2, Size: 96}.Model() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := trainsAndLoads(t, quickDetect(t, c.model().File(t), data, func(c *TrainConfig) { c.Epochs, c.LR0, c.ImgSz = 2, 2e-3, 0 }))
			if h := r.net.Head.Detect; !strings.Contains(h.String(), c.head) {
				t.Errorf("the head is %s", h)
			}
			if d := r.net.Annotation.Detector; d.Kind == build.DetectYOLOv8 && r.net.saved[d.Levels[0].Layers[0]+".weight"].tensor == "" {
				t.Error("the layers of boxes do not train")
			}
		})
	}
}
