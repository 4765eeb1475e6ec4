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
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// The sample backbones, 64×64.
const (
	sampleCNN = "../../samples/backbones/resnet_64.onnx"
	sampleViT = "../../samples/backbones/vit_64.onnx"
)

// shelfOf writes pictures of 96×96 with one to three filled or hollow squares
// and their COCO boxes: root/train/_annotations.coco.json and val.
func shelfOf(t testing.TB, train, val int) string {
	t.Helper()
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(4, 4))
	for _, part := range []struct {
		split string
		n     int
	}{{"train", train}, {"val", val}} {
		split, n := part.split, part.n
		type object struct {
			ID       int        `json:"id"`
			Image    int        `json:"image_id"`
			Category int        `json:"category_id"`
			Box      [4]float64 `json:"bbox"`
		}
		type file struct {
			ID   int    `json:"id"`
			Name string `json:"file_name"`
			W    int    `json:"width"`
			H    int    `json:"height"`
		}
		var files []file
		objects := []object{}
		for i := range n {
			im := image.NewRGBA(image.Rect(0, 0, 96, 96))
			for p := range im.Pix {
				im.Pix[p] = uint8(rng.IntN(100))
			}
			for y := range 96 {
				for x := range 96 {
					im.Pix[im.PixOffset(x, y)+3] = 255
				}
			}
			for k := range 1 + rng.IntN(3) {
				class, s := rng.IntN(2), 18+rng.IntN(12)
				x, y := 32*k+rng.IntN(32-s+1), rng.IntN(96-s)
				ink := color.RGBA{uint8(160 + rng.IntN(90)), uint8(160 + rng.IntN(90)), uint8(rng.IntN(120)), 255}
				for dy := range s {
					for dx := range s {
						edge := min(dx, dy, s-1-dx, s-1-dy)
						if class == 0 || edge < 5 {
							im.SetRGBA(x+dx, y+dy, ink)
						}
					}
				}
				objects = append(objects, object{len(objects) + 1, i + 1, class + 3, [4]float64{float64(x), float64(y), float64(s), float64(s)}})
			}
			name := fmt.Sprintf("%02d.png", i)
			files = append(files, file{i + 1, name, 96, 96})
			writePicture(t, filepath.Join(root, split, name), im)
		}
		b, err := json.Marshal(map[string]any{"images": files, "annotations": objects,
			"categories": []map[string]any{{"id": 3, "name": "full"}, {"id": 4, "name": "hollow"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, split, "_annotations.coco.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// quickDetect are settings for a short run of a detector.
func quickDetect(t testing.TB, model, data string, change ...func(*TrainConfig)) TrainConfig {
	return quick(t, model, data, append([]func(*TrainConfig){func(c *TrainConfig) {
		c.Task, c.ImgSz, c.Batch = "detect", 96, 4
		if model == sampleViT {
			c.ImgSz = 64
		}
		c.Preprocess = PreprocessOptions{}
		c.Scene.Mosaic, c.CloseMosaic = .5, 1
		c.LoRA.R, c.LoRA.LoraAlpha = 4, 8
	}}, change...)...)
}

// valBoxes are the raw outputs of the network for the validation pictures.
func valBoxes(t *testing.T, r *run, ev *evaluator) []float64 {
	t.Helper()
	var out []float64
	if _, err := ev.each(context.Background(), r.data.Split(datasets.Val), func(_ datasets.Sample, raw []float32, _ *circuit) { out = append(out, wide(raw)...) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDetectionModes trains every mode on a CNN's maps and a ViT's tokens, saves,
// loads and compares.
func TestDetectionModes(t *testing.T) {
	data := shelfOf(t, 16, 6)
	for _, model := range []string{sampleCNN, sampleViT} {
		for _, mode := range []string{ModeLoRA, ModeProbe, ModeFull} {
			t.Run(filepath.Base(model)+" "+mode, func(t *testing.T) {
				trainsAndLoads(t, quickDetect(t, model, data, func(c *TrainConfig) { c.Mode, c.Epochs, c.LR0 = mode, 2, 2e-3 }))
			})
		}
	}
}

// trainsAndLoads runs two epochs, in which everything that trains changes and the
// loss falls, and gets the same from what was saved.
func trainsAndLoads(t *testing.T, c TrainConfig) *run {
	t.Helper()
	r := start(t, c)
	before := map[string][]float32{}
	for _, p := range r.params {
		before[p.Name] = slices.Clone(p.Value)
		head := strings.HasPrefix(p.Name, "head.") || strings.HasPrefix(p.Name, "neck.") || strings.HasPrefix(p.Name, "new_")
		if d := r.net.ownDetector(); d != nil {
			for _, l := range d.Levels {
				head = head || slices.Contains(l.Layers, p.Name[:strings.LastIndexByte(p.Name, '.')])
			}
		}
		if adapter := strings.Contains(p.Name, ".lora_"); c.Mode != ModeFull && !head && !(c.Mode == ModeLoRA && adapter) {
			t.Errorf("%s trains", p.Name)
		}
	}
	if _, err := r.loop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.params {
		if slices.Equal(before[p.Name], p.Value) {
			t.Errorf("%s did not change", p.Name)
		}
	}
	rows := r.at.Rows
	if !(rows[1].TrainLoss < rows[0].TrainLoss) {
		t.Errorf("the loss went from %g to %g", rows[0].TrainLoss, rows[1].TrainLoss)
	}
	trained := valBoxes(t, r, r.job.(*detect).eval)
	l, err := OpenWeights(WeightsOptions{Weights: filepath.Join(r.dir, "weights", "last")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ev := newEvaluator(l.Network, r.session, l.Pre, r.c.Batch, 1, nil)
	defer ev.close()
	if e := gradcheck.RangeError(valBoxes(t, r, ev), trained); e > 1e-5 {
		t.Errorf("loaded: off by %.2g of the range", e)
	}
	if c.Mode != ModeFull {
		baseStays(t, r)
	}
	v, err := Validate(context.Background(), ValConfig{Weights: r.dir, Data: c.Data, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if best := r.at.Rows[r.at.BestAt-1].Score; float64(v.Metrics.Detection.MAP) != best {
		t.Errorf("val says mAP %g, training said %g", v.Metrics.Detection.MAP, best)
	}
	return r
}

// TestDetectionSameBytes interrupts a run in mid-epoch and within the mosaics.
func TestDetectionSameBytes(t *testing.T) {
	data := shelfOf(t, 14, 3)
	cfg := func() TrainConfig { return quickDetect(t, sampleCNN, data) }
	whole := mustTrain(t, cfg())
	sameBytes(t, "a second run", whole.Dir, mustTrain(t, cfg()).Dir)
	dir := stopAt(t, cfg(), 2)
	again := TrainConfig{Resume: dir, plain: true}
	stopAt(t, again, 7) // in the last epoch, without mosaics
	mustTrain(t, again)
	sameBytes(t, "the resumed run", whole.Dir, dir)
	csvRows(t, whole.Dir, dir)
}

// TestDetectionLearns finds squares that it never saw.
func TestDetectionLearns(t *testing.T) {
	learning(t)
	data := shelfOf(t, 48, 12)
	res := mustTrain(t, quickDetect(t, sampleCNN, data, func(c *TrainConfig) { c.Epochs, c.LR0, c.CloseMosaic = 14, 3e-3, 4 }))
	d := res.Metrics.Detection
	if d.MAP50 < .8 {
		t.Errorf("mAP50 %.3f on new pictures, want .8", float64(d.MAP50))
	}
	t.Logf("mAP50-95 %.3f, mAP50 %.3f", float64(d.MAP), float64(d.MAP50))

	project := t.TempDir()
	p, err := Predict(context.Background(), PredictConfig{Weights: res.Dir, Source: filepath.Join(data, "val"), Threads: 2, Batch: 5,
		Project: project, SaveTxt: true, SaveConf: true, SaveCrop: true, SaveCOCO: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Images) != 12 || len(p.Skipped) != 0 {
		t.Fatalf("%d images, %d skipped", len(p.Images), len(p.Skipped))
	}
	boxes := 0
	for _, im := range p.Images {
		for _, q := range im.Predictions {
			boxes++
			if q.Box == nil || q.Score < .25 || q.Name != d.PerClass[q.Class].Name || q.Box[0] < 0 || q.Box[0]+q.Box[2] > 96+1e-9 {
				t.Errorf("%s: %+v", im.File, q)
			}
		}
		base := strings.TrimSuffix(filepath.Base(im.File), ".png")
		labels, err := os.ReadFile(filepath.Join(p.Dir, "labels", base+".txt"))
		if err != nil || strings.Count(string(labels), "\n") != len(im.Predictions) {
			t.Errorf("%s: labels %q for %d boxes: %v", base, labels, len(im.Predictions), err)
		}
		if _, err := os.Stat(filepath.Join(p.Dir, base+".jpg")); err != nil {
			t.Error(err)
		}
	}
	crops, _ := filepath.Glob(filepath.Join(p.Dir, "crops", "*", "*.jpg"))
	var results []map[string]any
	b, err := os.ReadFile(filepath.Join(p.Dir, "coco_results.json"))
	if err == nil {
		err = json.Unmarshal(b, &results)
	}
	table, err2 := os.ReadFile(filepath.Join(p.Dir, "predictions.csv"))
	if err != nil || err2 != nil || len(crops) != boxes || len(results) != boxes || strings.Count(string(table), "\n") != boxes+1 {
		t.Errorf("%d boxes, %d crops, %d results, table of %d lines: %v %v", boxes, len(crops), len(results), strings.Count(string(table), "\n"), err, err2)
	}
	// One class alone, by name.
	one, err := Predict(context.Background(), PredictConfig{Weights: res.Dir, Source: filepath.Join(data, "val"), Threads: 2, Only: []string{"hollow"}, NoSave: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range one.Images {
		if slices.ContainsFunc(im.Predictions, func(q vision.Prediction) bool { return q.Name != "hollow" }) {
			t.Errorf("%s: %+v", im.File, im.Predictions)
		}
	}
	_, err = Predict(context.Background(), PredictConfig{Weights: res.Dir, Source: filepath.Join(data, "val"), Only: []string{"cat"}, NoSave: true})
	says(t, err, `"cat"`, "full, hollow")
	for _, bad := range []PredictConfig{{Conf: 1.5}, {IoU: -1}, {MaxDet: -3}, {Conf: math.NaN()}} {
		bad.Weights, bad.Source = res.Dir, data
		if _, err := Predict(context.Background(), bad); err == nil {
			t.Errorf("no error for conf %g, iou %g, max_det %d", bad.Conf, bad.IoU, bad.MaxDet)
		}
	}
}

// TestDetachedDetector trains YOLOX and NanoDet on other classes; without the
// adapter each is the detector that it was, to the bit.
func TestDetachedDetector(t *testing.T) {
	learning(t)
	for _, model := range []string{"yolox_nano/yolox_nano.onnx", "nanodet_m_320/nanodet_m_320.onnx"} {
		t.Run(filepath.Dir(model), func(t *testing.T) { detached(t, testdata.Real(t, model)) })
	}
}

func detached(t *testing.T, model string) {
	data := testdata.Real(t, "bccd_coco")
	raw := func() []float64 {
		l, err := OpenWeights(WeightsOptions{Weights: model, Names: "coco80"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		s, err := openSession(2, DTypeF32)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		ev := newEvaluator(l.Network, s, l.Pre, 2, 1, nil)
		defer ev.close()
		d, err := openDetection(data, datasets.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out []float64
		if _, err := ev.each(context.Background(), d.Split(datasets.Val)[:4], func(_ datasets.Sample, raw []float32, _ *circuit) { out = append(out, wide(raw)...) }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := raw()
	r := start(t, quickDetect(t, model, data, func(c *TrainConfig) { c.ImgSz, c.Fraction, c.Epochs = 0, .05, 1 }))
	if h := r.net.Head.Detect; h.Kind != kindOwn || !h.NewClasses {
		t.Fatalf("the head is %+v", h)
	}
	if _, err := r.loop(context.Background()); err != nil {
		t.Fatal(err)
	}
	baseStays(t, r)
	if !slices.Equal(raw(), before) {
		t.Error("the detector without the adapter gives other values than before")
	}
}

// someOf copies so many pictures of a COCO split into both splits of a new data
// set: annotations is the file, folder where its pictures are.
func someOf(t testing.TB, annotations, folder string, n int) string {
	t.Helper()
	text, err := os.ReadFile(annotations)
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
	all.Images = all.Images[:n]
	kept := map[any]bool{}
	for _, im := range all.Images {
		kept[im["id"]] = true
	}
	all.Annotations = slices.DeleteFunc(all.Annotations, func(a map[string]any) bool { return !kept[a["image_id"]] })
	root := t.TempDir()
	for _, split := range []string{"train", "val"} {
		dir := filepath.Join(root, split)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, im := range all.Images {
			name := filepath.Base(im["file_name"].(string))
			pixels, err := os.ReadFile(filepath.Join(folder, name))
			if err == nil {
				im["file_name"] = name
				err = os.WriteFile(filepath.Join(dir, name), pixels, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		b, err := json.Marshal(all)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "_annotations.coco.json"), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestOverfitDetector learns eight pictures of blood cells by heart.
func TestOverfitDetector(t *testing.T) {
	if os.Getenv("VISLORA_LONG") == "" {
		t.Skip("a few minutes: VISLORA_LONG=1 (make test-all)")
	}
	bccd := testdata.Real(t, "bccd_coco")
	res := mustTrain(t, quickDetect(t, testdata.Real(t, "yolox_nano/yolox_nano.onnx"), someOf(t, filepath.Join(bccd, "instances_train.json"), filepath.Join(bccd, "train", "images"), 8), func(c *TrainConfig) {
		c.ImgSz, c.Epochs, c.LR0, c.Batch, c.Augment, c.LoRA.R, c.LoRA.LoraAlpha = 0, 400, 5e-3, 8, false, 16, 32
		c.CloseMosaic = 0
		c.Log = t.Logf
	}))
	d := res.Metrics.Detection
	t.Logf("mAP50-95 %.3f, mAP50 %.3f", float64(d.MAP), float64(d.MAP50))
	if d.MAP < .9 {
		t.Errorf("mAP50-95 %.3f on the pictures that were learnt, want .9", float64(d.MAP))
	}
}

// Data that cannot be learnt from is refused, with the file.
func TestDetectionBadData(t *testing.T) {
	train := func(data string) error {
		_, err := Train(context.Background(), quickDetect(t, sampleCNN, data))
		return err
	}
	says(t, train(pictureFolder(t, 2, 2, 1)), "no boxes found", "COCO")
	root := shelfOf(t, 4, 2)
	annotations := filepath.Join(root, "train", "_annotations.coco.json")
	text, err := os.ReadFile(annotations)
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		if err := os.WriteFile(annotations, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text[:len(text)/2]))
	says(t, train(root), "_annotations.coco.json", "byte")
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	all["annotations"] = []any{}
	empty, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	write(string(empty))
	says(t, train(root), "no object")
	// An image that is broken inside is left out and counted; the others train.
	write(string(text))
	if err := os.WriteFile(filepath.Join(root, "train", "01.png"), []byte("\x89PNG\r\n\x1a\nnothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	c := quickDetect(t, sampleCNN, root, func(c *TrainConfig) {
		c.Epochs, c.CloseMosaic = 1, 0
		c.Log = func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) }
	})
	mustTrain(t, c)
	if !strings.Contains(log.String(), "01.png") {
		t.Errorf("the log does not name the broken picture:\n%s", log.String())
	}
}
