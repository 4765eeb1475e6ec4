package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
)

// smearOf copies so many pictures of the sample smears: train and val, or the
// same ones into both.
func smearOf(t testing.TB, train, val int, same bool) string {
	t.Helper()
	root := t.TempDir()
	const from = "../../samples/smear"
	copyFile := func(a, b string) {
		data, err := os.ReadFile(a)
		if err == nil {
			if err = os.MkdirAll(filepath.Dir(b), 0o755); err == nil {
				err = os.WriteFile(b, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyFile(filepath.Join(from, "data.yaml"), filepath.Join(root, "data.yaml"))
	for _, part := range []struct {
		split, from string
		n           int
	}{{"train", "train", train}, {"val", map[bool]string{true: "train", false: "val"}[same], val}} {
		images, err := filepath.Glob(filepath.Join(from, part.from, "images", "*.jpg"))
		if err != nil || len(images) < part.n {
			t.Fatal(len(images), err)
		}
		for _, im := range images[:part.n] {
			base := strings.TrimSuffix(filepath.Base(im), ".jpg")
			copyFile(im, filepath.Join(root, part.split, "images", base+".jpg"))
			copyFile(filepath.Join(from, part.from, "masks", base+".png"), filepath.Join(root, part.split, "masks", base+".png"))
		}
	}
	return root
}

// quickSegment are settings for a short run of a segmenter.
func quickSegment(t testing.TB, model, data string, change ...func(*TrainConfig)) TrainConfig {
	return quick(t, model, data, append([]func(*TrainConfig){func(c *TrainConfig) {
		c.Task, c.ImgSz, c.Batch = "segment", 96, 4
		c.Preprocess = PreprocessOptions{}
		c.LoRA.R, c.LoRA.LoraAlpha = 4, 8
	}}, change...)...)
}

// TestSegmentationModes trains every mode on a CNN's maps and a ViT's tokens,
// saves, loads and compares.
func TestSegmentationModes(t *testing.T) {
	data := smearOf(t, 8, 4, false)
	for _, model := range []string{sampleCNN, sampleViT} {
		for _, mode := range []string{ModeLoRA, ModeProbe, ModeFull} {
			t.Run(filepath.Base(model)+" "+mode, func(t *testing.T) {
				r := start(t, quickSegment(t, model, data, func(c *TrainConfig) { c.Mode, c.Epochs, c.LR0 = mode, 2, 2e-3 }))
				before := map[string][]float32{}
				for _, p := range r.params {
					before[p.Name] = slices.Clone(p.Value)
					head := strings.HasPrefix(p.Name, "head.") || strings.HasPrefix(p.Name, "neck.") || strings.HasPrefix(p.Name, "new_")
					if adapter := strings.Contains(p.Name, ".lora_"); mode != ModeFull && !head && !(mode == ModeLoRA && adapter) {
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
				if rows := r.at.Rows; !(rows[1].TrainLoss < rows[0].TrainLoss) {
					t.Errorf("the loss went from %g to %g", rows[0].TrainLoss, rows[1].TrainLoss)
				}
				trained := valBoxes(t, r, r.job.(*segment).eval) // the raw outputs
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
				if mode != ModeFull {
					baseStays(t, r)
				}
				v, err := Validate(context.Background(), ValConfig{Weights: r.dir, Data: data, Threads: 2})
				if err != nil {
					t.Fatal(err)
				}
				if best := r.at.Rows[r.at.BestAt-1].Score; float64(v.Metrics.Segmentation.MIoU) != best {
					t.Errorf("val says mIoU %g, training said %g", v.Metrics.Segmentation.MIoU, best)
				}
			})
		}
	}
}

func TestSegmentationSameBytes(t *testing.T) {
	data := smearOf(t, 14, 2, false)
	cfg := func() TrainConfig {
		return quickSegment(t, sampleCNN, data, func(c *TrainConfig) { c.ClassWeights, c.Focal, c.Boundary = "balanced", 1, 5 })
	}
	whole := mustTrain(t, cfg())
	sameBytes(t, "a second run", whole.Dir, mustTrain(t, cfg()).Dir)
	dir := stopAt(t, cfg(), 2)
	again := TrainConfig{Resume: dir, plain: true}
	stopAt(t, again, 5)
	mustTrain(t, again)
	sameBytes(t, "the resumed run", whole.Dir, dir)
	csvRows(t, whole.Dir, dir)
}

// TestSegmentationOverfits learns four pictures by heart, and predicts what it
// learnt.
func TestSegmentationOverfits(t *testing.T) {
	learning(t)
	data := smearOf(t, 4, 4, true)
	epochs, want := map[string]int{sampleCNN: 120, sampleViT: 250}, metric.Score(.95)
	if testing.Short() {
		epochs[sampleCNN], want = 40, .75
	}
	for _, model := range []string{sampleCNN, sampleViT} {
		t.Run(filepath.Base(model), func(t *testing.T) {
			if model == sampleViT && testing.Short() {
				t.Skip("a minute: without -short")
			}
			res := mustTrain(t, quickSegment(t, model, data, func(c *TrainConfig) {
				c.Epochs, c.LR0, c.Augment, c.ImgSz, c.LoRA.R, c.LoRA.LoraAlpha = epochs[model], 1e-2, false, 160, 8, 16
			}))
			s := res.Metrics.Segmentation
			t.Logf("mIoU %.3f", float64(s.MIoU))
			if s.MIoU < want {
				t.Errorf("mIoU %.3f on the pictures that were learnt, want %.2f", float64(s.MIoU), float64(want))
			}
			p, err := Predict(context.Background(), PredictConfig{Weights: res.Dir, Source: filepath.Join(data, "val", "images"), Threads: 2, Project: t.TempDir(),
				Flip: true, PixelSize: .5, SaveCOCO: true})
			if err != nil {
				t.Fatal(err)
			}
			checkPixels(t, p, res.Metrics.Classes)
		})
	}
}

// checkPixels compares the ways in which a segmenter's answers are written.
func checkPixels(t *testing.T, p *Predictions, classes []string) {
	t.Helper()
	table, err := os.ReadFile(filepath.Join(p.Dir, "predictions.csv"))
	if err != nil || strings.Count(string(table), "\n") != 1+len(classes)*len(p.Images) {
		t.Errorf("predictions.csv: %v\n%s", err, table)
	}
	for _, im := range p.Images {
		f, err := os.Open(filepath.Join(p.Dir, "masks", strings.TrimSuffix(filepath.Base(im.File), filepath.Ext(im.File))+".png"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		decoded, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		index := decoded.(*image.Paletted)
		if index.Rect.Dx() != im.Width || index.Rect.Dy() != im.Height {
			t.Fatalf("the mask is %v for an image of %d×%d", index.Rect, im.Width, im.Height)
		}
		count := make([]int, len(classes))
		for _, v := range index.Pix {
			count[v]++
		}
		total := 0
		for _, q := range im.Predictions {
			r, err := mask.Decompress(q.Segmentation.Counts, q.Segmentation.Size[0], q.Segmentation.Size[1])
			if err != nil || mask.Area(r) != count[q.Class] || *q.Area != count[q.Class] || q.AreaMM2 == nil || *q.AreaMM2 != .25*float64(*q.Area) {
				t.Errorf("%s: %s: area %d, RLE %d, mask %d pixels: %v", im.File, q.Name, *q.Area, mask.Area(r), count[q.Class], err)
			}
			total += *q.Area
		}
		if total != im.Width*im.Height {
			t.Errorf("%s: the classes have %d of %d pixels", im.File, total, im.Width*im.Height)
		}
	}
	var results []cocoResult
	b, err := os.ReadFile(filepath.Join(p.Dir, "coco_results.json"))
	if err == nil {
		err = json.Unmarshal(b, &results)
	}
	if err != nil || len(results) < len(p.Images) || results[0].Segmentation == nil {
		t.Errorf("coco_results.json: %d results, %v", len(results), err)
	}
}

// TestSegmentationTiles runs a picture larger than the network's input in tiles.
func TestSegmentationTiles(t *testing.T) {
	data := smearOf(t, 4, 2, false)
	res := mustTrain(t, quickSegment(t, sampleCNN, data, func(c *TrainConfig) { c.Epochs = 1 }))
	source := t.TempDir()
	big := image.NewRGBA(image.Rect(0, 0, 500, 70)) // lower than a tile
	for i := range big.Pix {
		big.Pix[i] = uint8(i * 7)
	}
	writePicture(t, filepath.Join(source, "a_big.png"), big)
	writePicture(t, filepath.Join(source, "b_small.png"), draw(0, 1))
	if err := os.WriteFile(filepath.Join(source, "c_broken.png"), []byte("\x89PNG\r\n\x1a\nnothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	writePicture(t, filepath.Join(source, "d_big.jpg"), big)
	p, err := Predict(context.Background(), PredictConfig{Weights: res.Dir, Source: source, Threads: 2, Batch: 3, Tile: 96, MinArea: 4, PixelSize: .5, SaveCOCO: true, Flip: true, Project: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, im := range p.Images {
		got = append(got, fmt.Sprintf("%s %d×%d", filepath.Base(im.File), im.Width, im.Height))
	}
	if want := []string{"a_big.png 500×70", "b_small.png 64×64", "d_big.jpg 500×70"}; !slices.Equal(got, want) || len(p.Skipped) != 1 || !strings.Contains(p.Skipped[0].Name, "c_broken") {
		t.Errorf("%q, skipped %v", got, p.Skipped)
	}
	checkPixels(t, p, res.Metrics.Classes)
	if _, err := Predict(context.Background(), PredictConfig{Weights: res.Dir, Source: source, Tile: 5}); err == nil {
		t.Error("no error for tiles of 5 pixels")
	}
}

// Data that cannot be learnt from is refused, with the file; what is broken is
// left out.
func TestSegmentationBadData(t *testing.T) {
	train := func(data string, change ...func(*TrainConfig)) error {
		_, err := Train(context.Background(), quickSegment(t, sampleCNN, data, change...))
		return err
	}
	says(t, train(pictureFolder(t, 2, 2, 1)), "no masks found", "images/ and masks/")
	root := smearOf(t, 4, 2, false)
	masks, err := filepath.Glob(filepath.Join(root, "train", "masks", "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	small := image.NewPaletted(image.Rect(0, 0, 10, 10), color.Palette{color.Black, color.White})
	writePicture(t, masks[1], small)
	if err := os.Remove(masks[2]); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	if err := train(root, func(c *TrainConfig) {
		c.Epochs = 1
		c.Log = func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) }
	}); err != nil {
		t.Fatal(err)
	}
	d, err := openMasks(root, datasets.Options{})
	if err != nil || len(d.Split(datasets.Train)) != 2 || len(d.Skipped) != 2 {
		t.Errorf("%d to train, skipped %v: %v", len(d.Split(datasets.Train)), d.Skipped, err)
	}
}
