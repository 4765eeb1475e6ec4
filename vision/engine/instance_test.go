package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
)

// leavesOf writes pictures of 96×96 with one to three discs and triangles, whose
// boxes do not tell their pixels, as COCO: root/train/_annotations.coco.json and
// val. outline writes an object's segmentation: its polygon and its pixels are
// what it may be made of; nil leaves it out.
func leavesOf(t testing.TB, train, val int, outline func(i int, polygon []float64, pixels []byte) any) string {
	t.Helper()
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(6, 6))
	const side = 96
	// In a fixed order: both splits draw from one stream.
	for i, split := range []string{"train", "val"} {
		n := []int{train, val}[i]
		var files, objects []map[string]any
		for i := range n {
			im := image.NewRGBA(image.Rect(0, 0, side, side))
			for p := range side * side {
				for c := range 3 {
					im.Pix[4*p+c] = uint8(rng.IntN(100))
				}
				im.Pix[4*p+3] = 255
			}
			for k := range 1 + rng.IntN(3) {
				class, s := rng.IntN(2), float64(20+rng.IntN(11))
				x, y := float64(32*k)+rng.Float64()*(32-s), rng.Float64()*(side-s)
				var p []float64
				if class == 0 {
					for a := range 24 {
						sin, cos := math.Sincos(2 * math.Pi * float64(a) / 24)
						p = append(p, x+s/2*(1+cos), y+s/2*(1+sin))
					}
				} else {
					p = []float64{x, y, x + s, y + s, x, y + s}
				}
				r, err := mask.FrPolygon(p, side, side)
				if err != nil {
					t.Fatal(err)
				}
				pixels, err := mask.Decode(r, mask.Rows)
				if err != nil {
					t.Fatal(err)
				}
				ink := color.RGBA{uint8(160 + rng.IntN(90)), uint8(160 + rng.IntN(90)), uint8(rng.IntN(120)), 255}
				for j, on := range pixels {
					if on == 1 {
						im.SetRGBA(j%side, j/side, ink)
					}
				}
				o := map[string]any{"id": len(objects) + 1, "image_id": i + 1, "category_id": class + 1, "iscrowd": 0, "area": mask.Area(r), "bbox": []float64{x, y, s, s}}
				if g := outline(len(objects), p, pixels); g != nil {
					o["segmentation"] = g
				}
				objects = append(objects, o)
			}
			name := fmt.Sprintf("%02d.png", i)
			files = append(files, map[string]any{"id": i + 1, "file_name": name, "width": side, "height": side})
			writePicture(t, filepath.Join(root, split, name), im)
		}
		b, err := json.Marshal(map[string]any{"images": files, "annotations": objects,
			"categories": []map[string]any{{"id": 1, "name": "disc"}, {"id": 2, "name": "corner"}}})
		if err == nil {
			err = os.WriteFile(filepath.Join(root, split, "_annotations.coco.json"), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// polygonOrRLE annotates every other object by its pixels.
func polygonOrRLE(i int, polygon []float64, pixels []byte) any {
	if i%2 == 0 {
		return [][]float64{polygon}
	}
	r, err := mask.Encode(pixels, 96, 96, mask.Rows)
	if err != nil {
		panic(err)
	}
	return map[string]any{"size": []int{96, 96}, "counts": r.Counts}
}

// quickInstance are settings for a short run with masks of objects.
func quickInstance(t testing.TB, model, data string, change ...func(*TrainConfig)) TrainConfig {
	return quickDetect(t, model, data, append([]func(*TrainConfig){func(c *TrainConfig) { c.Task = "instance" }}, change...)...)
}

// valOutputs are both raw outputs for the validation pictures.
func valOutputs(t *testing.T, r *run, ev *evaluator) []float64 {
	t.Helper()
	var out []float64
	if _, err := ev.eachOutputs(context.Background(), r.data.Split(datasets.Val), func(_ datasets.Sample, outputs [][]float32, _ *circuit) {
		if len(outputs) != 2 {
			t.Fatalf("%d outputs", len(outputs))
		}
		out = append(append(out, wide(outputs[0])...), wide(outputs[1])...)
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestInstanceModes trains every mode on a CNN's maps, a ViT's tokens and, where
// the files are there, YOLOX's own head and NanoDet's neck; saves, loads and
// compares.
func TestInstanceModes(t *testing.T) {
	data := leavesOf(t, 12, 4, polygonOrRLE)
	for _, c := range []struct{ model, mode, head string }{
		{sampleCNN, ModeLoRA, kindMaps}, {sampleCNN, ModeProbe, kindMaps}, {sampleCNN, ModeFull, kindMaps},
		{sampleViT, ModeLoRA, kindTokens}, {sampleViT, ModeProbe, kindTokens}, {sampleViT, ModeFull, kindTokens},
		{"yolox_nano/yolox_nano.onnx", ModeLoRA, kindOwn}, {"nanodet_m_320/nanodet_m_320.onnx", ModeLoRA, kindNeck},
	} {
		t.Run(filepath.Base(c.model)+" "+c.mode, func(t *testing.T) {
			if !strings.HasPrefix(c.model, "..") {
				learning(t)
				c.model = testdata.Real(t, c.model)
			}
			r := start(t, quickInstance(t, c.model, data, func(q *TrainConfig) {
				q.Mode, q.Epochs, q.LR0 = c.mode, 2, 2e-3
				if c.head == kindOwn || c.head == kindNeck {
					q.ImgSz = 0
				}
			}))
			if d := r.net.Head.Detect; d.Kind != c.head || d.Masks == nil {
				t.Fatalf("the head is %s", d)
			}
			before := map[string][]float32{}
			for _, p := range r.params {
				before[p.Name] = slices.Clone(p.Value)
			}
			if _, err := r.loop(context.Background()); err != nil {
				t.Fatal(err)
			}
			masks := 0
			for _, p := range r.params {
				if slices.Equal(before[p.Name], p.Value) {
					t.Errorf("%s did not change", p.Name)
				}
				if strings.Contains(p.Name, "head.proto") || strings.Contains(p.Name, "head.mask_") {
					masks++
				}
			}
			if masks < 10 {
				t.Errorf("%d parameters of masks train", masks)
			}
			// Six steps, with other mosaics in each, tell little of a large network.
			if rows := r.at.Rows; c.head != kindOwn && c.head != kindNeck && !(rows[1].TrainLoss < rows[0].TrainLoss) {
				t.Errorf("the loss went from %g to %g", rows[0].TrainLoss, rows[1].TrainLoss)
			}
			trained := valOutputs(t, r, r.job.(*instance).eval)
			l, err := OpenWeights(WeightsOptions{Weights: filepath.Join(r.dir, "weights", "last")})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ev := newEvaluator(l.Network, r.session, l.Pre, r.c.Batch, 1, nil)
			defer ev.close()
			if e := gradcheck.RangeError(valOutputs(t, r, ev), trained); e > 1e-5 {
				t.Errorf("loaded: off by %.2g of the range", e)
			}
			if c.mode != ModeFull {
				baseStays(t, r)
			}
			v, err := Validate(context.Background(), ValConfig{Weights: r.dir, Data: data, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			if best := r.at.Rows[r.at.BestAt-1].Score; float64(v.Metrics.Instances.Masks.MAP) != best {
				t.Errorf("val says mask mAP %g, training said %g", v.Metrics.Instances.Masks.MAP, best)
			}
		})
	}
}

// TestInstanceSameBytes interrupts a run in mid-epoch and within the mosaics.
func TestInstanceSameBytes(t *testing.T) {
	data := leavesOf(t, 14, 3, polygonOrRLE)
	cfg := func() TrainConfig { return quickInstance(t, sampleCNN, data) }
	whole := mustTrain(t, cfg())
	sameBytes(t, "a second run", whole.Dir, mustTrain(t, cfg()).Dir)
	dir := stopAt(t, cfg(), 2)
	again := TrainConfig{Resume: dir, plain: true}
	stopAt(t, again, 7) // in the last epoch, without mosaics
	mustTrain(t, again)
	sameBytes(t, "the resumed run", whole.Dir, dir)
	csvRows(t, whole.Dir, dir)
}

// TestInstanceLearns finds discs and corners that it never saw, tells their
// pixels, and writes the same in all its files.
func TestInstanceLearns(t *testing.T) {
	learning(t)
	data := leavesOf(t, 48, 12, polygonOrRLE)
	res := mustTrain(t, quickInstance(t, sampleCNN, data, func(c *TrainConfig) { c.Epochs, c.LR0, c.CloseMosaic, c.plain = 14, 3e-3, 4, false }))
	m := res.Metrics.Instances
	t.Logf("masks: mAP50-95 %.3f, mAP50 %.3f; boxes: %.3f, %.3f", float64(m.Masks.MAP), float64(m.Masks.MAP50), float64(m.Boxes.MAP), float64(m.Boxes.MAP50))
	if m.Masks.MAP50 < .8 {
		t.Errorf("mask mAP50 %.3f on new pictures, want .8", float64(m.Masks.MAP50))
	}
	keys := map[string]any{}
	b, err := os.ReadFile(filepath.Join(res.Dir, "metrics.json"))
	if err == nil {
		err = json.Unmarshal(b, &keys)
	}
	for _, k := range []string{"mAP50-95(B)", "mAP50(B)", "mAP75(B)", "AR100(B)", "precision(B)", "recall(B)", "mAP50-95(M)", "mAP50(M)", "mAP75(M)", "AR100(M)", "precision(M)", "recall(M)", "per_class", "task", "images"} {
		if keys[k] == nil {
			t.Errorf("metrics.json has no %q (%v)", k, err)
		}
	}
	if keys["mAP50(M)"] != float64(m.Masks.MAP50) {
		t.Errorf("mAP50(M) is %v in metrics.json, not %v", keys["mAP50(M)"], m.Masks.MAP50)
	}
	for _, name := range []string{"report.html", "results.csv", "train_batch0.jpg", "val_batch0_labels.jpg", "val_batch0_pred.jpg"} {
		if _, err := os.Stat(filepath.Join(res.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	p, err := Predict(context.Background(), PredictConfig{Weights: res.Dir, Source: filepath.Join(data, "val"), Threads: 2, Batch: 5,
		Project: t.TempDir(), SaveTxt: true, SaveCrop: true, SaveCOCO: true, PixelSize: .5})
	if err != nil {
		t.Fatal(err)
	}
	checkInstances(t, p)
	exportedInstances(t, res.Dir, filepath.Join(data, "val"), p)
}

// exportedInstances predicts with the file that a run is exported to, and finds
// what the run finds.
func exportedInstances(t *testing.T, run, source string, want *Predictions) {
	t.Helper()
	cfg := ExportConfig{Weights: run, Out: filepath.Join(t.TempDir(), "model.onnx"), Threads: 2}
	if _, err := ort.Version(); err == nil {
		cfg.Verify, cfg.Data = 12, source
	}
	for _, cfg.NMS = range []bool{false, true} {
		x, err := Export(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v", x)
		got, err := Predict(context.Background(), PredictConfig{Weights: cfg.Out, Source: source, Threads: 2, Batch: 5, NoSave: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, im := range want.Images {
			if len(got.Images[i].Predictions) != len(im.Predictions) {
				t.Fatalf("%s: %d objects, the run finds %d", im.File, len(got.Images[i].Predictions), len(im.Predictions))
			}
			for k, q := range im.Predictions {
				if g := got.Images[i].Predictions[k]; g.Name != q.Name || math.Abs(g.Score-q.Score) > 1e-4 || math.Abs(float64(*g.Area-*q.Area)) > 2 {
					t.Errorf("%s: %s of %g with %d pixels, the run has %s of %g with %d", im.File, g.Name, g.Score, *g.Area, q.Name, q.Score, *q.Area)
				}
			}
		}
	}
}

// A head that was read from a damaged file is refused.
func TestInstanceHeadFits(t *testing.T) {
	n, err := OpenNetwork(sampleCNN, NetworkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.NewInstanceHead([]string{"a", "b"}, false, 1); err != nil {
		t.Fatal(err)
	}
	good := *n.Head.Detect.Masks
	for _, change := range []func(m *MaskHead){
		func(m *MaskHead) { m.Count = 0 },
		func(m *MaskHead) { m.Width = -1 },
		func(m *MaskHead) { m.Stride = 0 },
		func(m *MaskHead) { m.Channels = nil },
	} {
		bad := good
		change(&bad)
		n.Head.Detect.Masks = &bad
		if _, err := n.headParams(nil); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
}

// checkInstances compares the ways in which objects with masks are written.
func checkInstances(t *testing.T, p *Predictions) {
	t.Helper()
	objects := 0
	for _, im := range p.Images {
		base := strings.TrimSuffix(filepath.Base(im.File), ".png")
		if _, err := os.Stat(filepath.Join(p.Dir, base+".jpg")); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(filepath.Join(p.Dir, "labels", base+".txt"))
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if err != nil || len(im.Predictions) > 0 && len(lines) != len(im.Predictions) {
			t.Fatalf("%s: labels %q of %d objects: %v", base, text, len(im.Predictions), err)
		}
		for i, q := range im.Predictions {
			objects++
			if q.Box == nil || q.Segmentation == nil || q.Score < .25 {
				t.Fatalf("%s: %+v", im.File, q)
			}
			r, err := mask.Decompress(q.Segmentation.Counts, q.Segmentation.Size[0], q.Segmentation.Size[1])
			if err != nil || r.H != im.Height || r.W != im.Width || mask.Area(r) != *q.Area || *q.AreaMM2 != .25*float64(*q.Area) {
				t.Errorf("%s: a mask of %d×%d with %d pixels, area %d: %v", im.File, r.H, r.W, mask.Area(r), *q.Area, err)
			}
			b, err := mask.ToBox(r)
			if err != nil || *q.Area > 0 && (b.X1 < q.Box[0]-1 || b.Y1 < q.Box[1]-1 || b.X2 > q.Box[0]+q.Box[2]+1 || b.Y2 > q.Box[1]+q.Box[3]+1) {
				t.Errorf("%s: the mask %v reaches out of the box %v: %v", im.File, b, *q.Box, err)
			}
			line := strings.Fields(lines[i])
			if len(line) < 9 || len(line)%2 == 0 || line[0] != fmt.Sprint(q.Class) {
				t.Errorf("%s: the label %q of %s", im.File, lines[i], q.Name)
			}
			for k, v := range line[1:] {
				x, err := strconv.ParseFloat(v, 64)
				if x *= 96; err != nil || k%2 == 0 && (x < b.X1-1e-3 || x > b.X2+1e-3) || k%2 == 1 && (x < b.Y1-1e-3 || x > b.Y2+1e-3) {
					t.Errorf("%s: the label %q leads out of the mask %v", im.File, lines[i], b)
				}
			}
		}
	}
	table, err := os.ReadFile(filepath.Join(p.Dir, "predictions.csv"))
	if err != nil || strings.Count(string(table), "\n") != objects+1 || !strings.HasPrefix(string(table), "file,class,name,score,x,y,width,height,pixels,mm2\n") {
		t.Errorf("predictions.csv: %v\n%s", err, table)
	}
	var results []cocoResult
	b, err := os.ReadFile(filepath.Join(p.Dir, "coco_results.json"))
	if err == nil {
		err = json.Unmarshal(b, &results)
	}
	if err != nil || len(results) != objects || objects == 0 {
		t.Fatalf("coco_results.json: %d results of %d objects, %v", len(results), objects, err)
	}
	if results[0].Segmentation == nil || results[0].Box == nil {
		t.Errorf("coco_results.json: %+v", results[0])
	}
}

// Without any outline there are no masks to learn; a box among outlines is
// counted.
func TestInstanceBadData(t *testing.T) {
	train := func(data string, log *strings.Builder) error {
		_, err := Train(context.Background(), quickInstance(t, sampleCNN, data, func(c *TrainConfig) {
			c.Epochs, c.CloseMosaic = 1, 0
			c.Log = func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }
		}))
		return err
	}
	var log strings.Builder
	says(t, train(shelfOf(t, 4, 2), &log), "none of the", "outline", "--task detect")
	says(t, train(pictureFolder(t, 2, 2, 1), &log), "no boxes found", "COCO")
	data := leavesOf(t, 8, 4, func(i int, p []float64, _ []byte) any {
		if i%3 == 0 {
			return nil
		}
		return [][]float64{p}
	})
	log.Reset()
	if err := train(data, &log); err != nil {
		t.Fatal(err)
	}
	if s := log.String(); !strings.Contains(s, "in the training images have a box alone") || !strings.Contains(s, "in the validation images have a box alone") {
		t.Errorf("the log does not count the boxes:\n%s", s)
	}
}

// TestOverfitInstances learns four photographs of nuts by heart.
func TestOverfitInstances(t *testing.T) {
	if os.Getenv("VISLORA_LONG") == "" {
		t.Skip("a few minutes: VISLORA_LONG=1 (make test-all)")
	}
	nuts := testdata.Real(t, "nuts_coco_instances")
	res := mustTrain(t, quickInstance(t, testdata.Real(t, "yolox_nano/yolox_nano.onnx"), someOf(t, filepath.Join(nuts, "trainval.json"), filepath.Join(nuts, "images"), 4), func(c *TrainConfig) {
		c.ImgSz, c.Epochs, c.LR0, c.Batch, c.Augment, c.LoRA.R, c.LoRA.LoraAlpha = 0, 120, 5e-3, 4, false, 8, 16
		c.CloseMosaic, c.Log = 0, t.Logf
	}))
	m := res.Metrics.Instances
	t.Logf("masks: mAP50-95 %.3f, mAP50 %.3f", float64(m.Masks.MAP), float64(m.Masks.MAP50))
	if m.Masks.MAP50 < .95 {
		t.Errorf("mask mAP50 %.3f on the pictures that were learnt, want .95", float64(m.Masks.MAP50))
	}
}

// TestNutMasks learns the pixels of nuts and dried fruit from twelve photographs,
// with the default settings.
func TestNutMasks(t *testing.T) {
	if os.Getenv("VISLORA_LONG") == "" {
		t.Skip("some minutes: VISLORA_LONG=1 (make test-all)")
	}
	c := DefaultTrainConfig()
	c.Task, c.Model, c.Data, c.Project, c.Log = "instance", testdata.Real(t, "yolox_nano/yolox_nano.onnx"), nutsDivided(t), t.TempDir(), t.Logf
	m := mustTrain(t, c).Metrics.Instances
	t.Logf("masks: mAP50-95 %.3f, mAP50 %.3f; boxes: %.3f, %.3f on six photographs", float64(m.Masks.MAP), float64(m.Masks.MAP50), float64(m.Boxes.MAP), float64(m.Boxes.MAP50))
	if m.Masks.MAP50 < metric.Score(.6) {
		t.Errorf("mask mAP50 %.3f, want .6", float64(m.Masks.MAP50))
	}
}
