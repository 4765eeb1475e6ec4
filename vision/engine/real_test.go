package engine

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// outside runs the same file in ONNX Runtime on the same input.
func outside(t *testing.T, l *Loaded, rt *ort.Session, worker *transform.Worker, x []float32, s datasets.Sample) []float32 {
	t.Helper()
	im, err := cv.DecodeFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Apply(x, im, transform.Key{}); err != nil {
		t.Fatal(err)
	}
	in := l.feed(x)
	in.Name = l.Picture.Name
	outs, err := rt.Run(feedOf(in))
	if err != nil {
		t.Fatal(err)
	}
	return outs[rt.Outputs()[0].Name].Float32s()
}

// A bare detector finds on real photographs what the same file finds in ONNX
// Runtime, with YOLOX's own post-processing.
func TestBareDetectorInONNXRuntime(t *testing.T) {
	path := testdata.Real(t, "yolox_nano/yolox_nano.onnx")
	data := testdata.Real(t, "coco_mini")
	rt := openORT(t, path)
	v, err := Validate(context.Background(), ValConfig{Weights: path, Data: data, Names: "coco80", Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenWeights(WeightsOptions{Weights: path, Names: "coco80"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pipe, err := transform.Eval(l.Pre)
	if err != nil {
		t.Fatal(err)
	}
	worker, x := pipe.NewWorker(), make([]float32, pipe.Len())
	var levels []head.Level
	for _, m := range l.Annotation.Detector.Levels {
		levels = append(levels, head.Level{H: m.H, W: m.W, Stride: m.Stride})
	}
	decode := head.Decode{Classes: 80, Levels: levels, Conf: valThresholds.Conf} // the file ends in sigmoids
	nms := head.NMS{IoU: valThresholds.IoU, Max: valThresholds.Max}
	e := &metric.COCOEval{}
	for _, s := range v.found.Samples {
		d := nms.Apply(decode.YOLOX(outside(t, l, rt, worker, x, s)))
		if err := e.Add(int64(s.Index), s.W, s.H, s.Objects, transform.Place(l.Pre, s.W, s.H).ToImages(d, s.W, s.H)); err != nil {
			t.Fatal(err)
		}
	}
	theirs, err := e.Evaluate(metric.Boxes)
	if err != nil {
		t.Fatal(err)
	}
	ours := v.Metrics.Detection
	t.Logf("%d images: mAP50-95 %.4f, in ONNX Runtime %.4f; mAP50 %.4f, %.4f", len(v.found.Samples), float64(ours.MAP), float64(theirs.AP), float64(ours.MAP50), float64(theirs.AP50))
	if math.Abs(float64(ours.MAP-theirs.AP)) > 1e-3 || math.Abs(float64(ours.MAP50-theirs.AP50)) > 1e-3 || ours.MAP < .3 {
		t.Errorf("mAP50-95 %.4f and mAP50 %.4f, in ONNX Runtime %.4f and %.4f", float64(ours.MAP), float64(ours.MAP50), float64(theirs.AP), float64(theirs.AP50))
	}
}

// voc20 are the VOC classes that COCO has, by COCO's names.
var voc20 = map[string]string{"aeroplane": "airplane", "bicycle": "bicycle", "bird": "bird", "boat": "boat", "bottle": "bottle", "bus": "bus", "car": "car", "cat": "cat",
	"chair": "chair", "cow": "cow", "diningtable": "dining table", "dog": "dog", "horse": "horse", "motorbike": "motorcycle", "person": "person", "pottedplant": "potted plant",
	"sheep": "sheep", "sofa": "couch", "train": "train", "tvmonitor": "tv"}

// A bare segmenter classifies the pixels of real photographs as the same file does
// in ONNX Runtime.
func TestBareSegmenterInONNXRuntime(t *testing.T) {
	path := testdata.Real(t, "deeplabv3_mnv2_257/deeplab_v3_257.onnx")
	data := testdata.Real(t, "coco_mini")
	rt := openORT(t, path)
	l, err := OpenWeights(WeightsOptions{Weights: path, Names: "voc21", Preprocess: PreprocessOptions{Preset: "inception"}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Task != vision.Segment {
		t.Fatalf("the task is %s", l.Task)
	}
	d, err := openDetection(data, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The objects of the shared classes, as VOC calls them.
	to := map[int]int{}
	for k, name := range l.Classes {
		if i := slices.Index(d.Classes, voc20[name]); i >= 0 {
			to[i] = k
		}
	}
	pipe, err := transform.Eval(l.Pre)
	if err != nil {
		t.Fatal(err)
	}
	worker, x := pipe.NewWorker(), make([]float32, pipe.Len())
	s, err := openSession(2, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ev := newEvaluator(l.Network, s, l.Pre, 8, 2, nil)
	defer ev.close()
	var evals [2]*metric.SegmentEval
	for i := range evals {
		if evals[i], err = metric.NewSegmentEval(l.Classes, metric.SegmentOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	same, all := 0, 0
	_, err = ev.each(context.Background(), d.Split(datasets.Val), func(s datasets.Sample, logits []float32, c *circuit) {
		ours, err := ev.labels(s, logits, c)
		if err != nil {
			t.Fatal(err)
		}
		raw := outside(t, l, rt, worker, x, s) // (257, 257, 21)
		v := head.View{Map: [2]int{l.Height, l.Width}, Input: l.Pre.Size, Place: transform.Place(l.Pre, s.W, s.H)}
		theirs, err := v.Labels(raw, s.H, s.W)
		if err != nil {
			t.Fatal(err)
		}
		truth := make([]uint8, s.W*s.H)
		for _, o := range s.Objects {
			paintInto(t, truth, o, to, s)
		}
		if err := errors.Join(evals[0].Add(truth, ours, s.W, s.H), evals[1].Add(truth, theirs, s.W, s.H)); err != nil {
			t.Fatal(err)
		}
		for i := range ours {
			all++
			if ours[i] == theirs[i] {
				same++
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := evals[0].Evaluate().MIoU, evals[1].Evaluate().MIoU
	t.Logf("mIoU %.4f, in ONNX Runtime %.4f; %d of %d pixels alike", float64(a), float64(b), same, all)
	if math.Abs(float64(a-b)) > 1e-3 || float64(same) < .9999*float64(all) || a < .1 {
		t.Errorf("mIoU %.4f, in ONNX Runtime %.4f; %d of %d pixels alike", float64(a), float64(b), same, all)
	}
}

// nutsDivided is the nuts with the six images whose names sort last as val.
func nutsDivided(t testing.TB) string {
	t.Helper()
	dir := testdata.Real(t, "nuts_coco_instances")
	text, err := os.ReadFile(filepath.Join(dir, "trainval.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Images      []map[string]any `json:"images"`
		Annotations []map[string]any `json:"annotations"`
		Categories  any              `json:"categories"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all.Images, func(a, b map[string]any) int {
		if a["file_name"].(string) < b["file_name"].(string) {
			return -1
		}
		return 1
	})
	root := t.TempDir()
	images, annotations := all.Images, all.Annotations
	for split, part := range map[string][]map[string]any{"train": images[:12], "val": images[12:]} {
		all.Images = part
		kept := map[any]bool{}
		for _, im := range part {
			name := filepath.Base(im["file_name"].(string))
			pixels, err := os.ReadFile(filepath.Join(dir, "images", name))
			if err == nil {
				im["file_name"] = name
				kept[im["id"]] = true
				if err = os.MkdirAll(filepath.Join(root, split), 0o755); err == nil {
					err = os.WriteFile(filepath.Join(root, split, name), pixels, 0o644)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		all.Annotations = slices.DeleteFunc(slices.Clone(annotations), func(a map[string]any) bool { return !kept[a["image_id"]] })
		b, err := json.Marshal(all)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, split, "_annotations.coco.json"), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestNuts learns nuts and dried fruit from twelve photographs, with the default
// settings.
func TestNuts(t *testing.T) {
	if os.Getenv("VISLORA_LONG") == "" {
		t.Skip("some minutes: VISLORA_LONG=1 (make test-all)")
	}
	c := DefaultTrainConfig()
	c.Task, c.Model, c.Data, c.Project, c.Log = "detect", testdata.Real(t, "yolox_nano/yolox_nano.onnx"), nutsDivided(t), t.TempDir(), t.Logf
	d := mustTrain(t, c).Metrics.Detection
	t.Logf("mAP50-95 %.3f, mAP50 %.3f on six photographs", float64(d.MAP), float64(d.MAP50))
	if d.MAP50 < .7 {
		t.Errorf("mAP50 %.3f, want .7", float64(d.MAP50))
	}
}

// paintInto paints an object of a shared class; objects of other classes stay
// background, crowds are ignored.
func paintInto(t *testing.T, to []uint8, o vision.Object, classes map[int]int, s datasets.Sample) {
	t.Helper()
	k, shared := classes[o.Class]
	if !shared {
		return
	}
	r, err := mask.FromObject(o, s.H, s.W)
	if err != nil {
		t.Fatal(err)
	}
	on, err := mask.Decode(r, mask.Rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range on {
		if v == 1 {
			if to[i] = uint8(k); o.Crowd {
				to[i] = metric.IgnoredPixel
			}
		}
	}
}

func feedOf(t *ir.Tensor) map[string]*ir.Tensor { return map[string]*ir.Tensor{t.Name: t} }

// TestPredictThroughput prints how many photographs a second are read, searched,
// drawn on and written, against the time that ONNX Runtime takes for the bare
// network. It says something on an idle machine alone.
func TestPredictThroughput(t *testing.T) {
	if os.Getenv("VISLORA_LONG") == "" {
		t.Skip("a measurement: VISLORA_LONG=1")
	}
	path := testdata.Real(t, "yolox_nano/yolox_nano.onnx")
	data := testdata.Real(t, "coco_mini")
	rt := openORT(t, path)
	l, err := OpenWeights(WeightsOptions{Weights: path, Names: "coco80"})
	if err != nil {
		t.Fatal(err)
	}
	feed := feedOf(l.feed(make([]float32, 3*l.Height*l.Width)))
	l.Close()
	var ratios []float64
	for range 3 {
		p, err := Predict(context.Background(), PredictConfig{Weights: path, Names: "coco80", Source: data, Project: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		var times []float64
		for range 60 {
			start := time.Now()
			if _, err := rt.Run(feed); err != nil {
				t.Fatal(err)
			}
			times = append(times, time.Since(start).Seconds())
		}
		slices.Sort(times)
		ours, theirs := p.Seconds/float64(len(p.Images)), times[len(times)/2]
		ratios = append(ratios, theirs/ours)
		t.Logf("%d photographs at %.1f a second, %.1f ms each; the bare network in ONNX Runtime %.1f ms: %.2f", len(p.Images), 1/ours, 1e3*ours, 1e3*theirs, theirs/ours)
	}
	slices.Sort(ratios)
	t.Logf("median ratio %.2f", ratios[1])
}
