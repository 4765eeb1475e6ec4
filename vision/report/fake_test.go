package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// groceries are class names as data sets have them: long, alike at both ends.
var groceries = []string{
	"Arla-Standard-Milk-Ecological-Lactose-Free-1L", "Bravo-Orange-Juice-With-Pulp-Not-From-Concentrate", "Royal-Gala",
	"Granny-Smith", "Överlängenverhältnis", "Yellow_Onion", "Vine-Tomato", "Oatly-Natural-Oatghurt-Soy-Free-Blueberry",
	"Garant-Ecological-Soy-Milk", "Kiwi", "Zucchini <script>alert(1)</script>", "Satsumas",
}

// scene is the size of a made-up run.
type scene struct {
	classes, epochs, images int
	sure                    float64 // how far the right logit stands out
	noVal, multi, test      bool
	task                    string // "" is classification
}

func (s scene) names() []string {
	names := make([]string, s.classes)
	for i := range names {
		names[i] = fmt.Sprintf("%s %d", groceries[i%len(groceries)], i)
		if s.classes <= len(groceries) {
			names[i] = groceries[i]
		}
	}
	return names
}

func (s scene) evaluate(t *testing.T, split string, seed uint64) (Evaluation, []plot.ROCCurve) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	names := s.names()
	e := Evaluation{Split: split, Images: s.images, Resamples: 200}
	boot := metric.Bootstrap{Resamples: 200, Seed: 1}
	logits := make([]float32, s.images*s.classes)
	for k := range logits {
		logits[k] = float32(rng.NormFloat64())
	}
	if s.multi {
		p := metric.MultiLabelPredictions{Names: names, Logits: logits, Targets: make([]bool, len(logits))}
		for k := range p.Targets {
			if p.Targets[k] = rng.IntN(4) == 0; p.Targets[k] {
				logits[k] += float32(s.sure)
			}
		}
		m, err := metric.ClassifyMultiLabel(p, boot)
		if err != nil {
			t.Fatal(err)
		}
		e.MultiLabel = m
		return e, MultiLabelROC(p)
	}
	p := metric.Predictions{Names: names, Logits: logits}
	for i := range s.images {
		// The last class has no image; the first ones have more.
		label := min(rng.IntN(s.classes), rng.IntN(s.classes))
		if s.classes > 2 {
			label = min(label, s.classes-2)
		}
		p.Labels = append(p.Labels, label)
		logits[i*s.classes+label] += float32(s.sure)
	}
	m, err := metric.Classify(p, boot)
	if err != nil {
		t.Fatal(err)
	}
	e.Classification = m
	return e, ROC(p)
}

// run writes the pictures of a made-up run into dir and returns what its report
// is made of.
func (s scene) run(t *testing.T, dir string) Run {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	r := Run{
		Name: "runs/classify/grocery", Task: "classify", Mode: "lora", Version: "v0.3.0", Seed: 1, Seconds: 252.4,
		Started:   time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC),
		Trainable: 304908, Total: 5817420, Epochs: s.epochs,
		Model: Model{Path: "models/vit_tiny.onnx", SHA256: strings.Repeat("0123456789abcdef", 4), Arch: "ViT-Ti/16, 12 blocks of width 192",
			Input: "224×224, RGB 0–1, mean [0.5 0.5 0.5], std [0.5 0.5 0.5], shorter side to 248, centre crop (bicubic)", InputSource: "the model's metadata"},
		Data:    Data{Path: "data/my groceries", Classes: s.names(), MultiLabel: s.multi},
		Adapter: Adapter{Rank: 8, Layers: 49, Table: table(49)},
		Args:    "task: classify\nmodel: models/vit_tiny.onnx\nlr0: 0.001\nlora:\n    r: 8\n    lora_alpha: 16\n",
		Warnings: []string{"3 images are in train and in val (leakage): train/Kiwi/004.jpg = val/Kiwi/011.jpg, and 2 more. Remove one of each.",
			"class Satsumas has no image in val"},
		Skipped: []Skip{{"train/Kiwi/broken.jpg", "truncated JPEG: ends after 812 of about 4096 bytes"}, {"train/Kiwi/notes.png", "text, not a PNG"}},
		Weights: "runs/classify/grocery/weights/best",
	}
	for e := range s.epochs {
		x := float64(e)
		row := EpochRow{Epoch: e + 1, Time: 25.2 * (x + 1), TrainLoss: 2.4*math.Exp(-x/3) + .05, LR: 1e-3 * math.Cos(x/float64(s.epochs)*1.5),
			ValLoss: 2.5*math.Exp(-x/3.5) + .12 + .02*rng.Float64(), Score: .96 - .7*math.Exp(-x/2), Second: .995 - .3*math.Exp(-x)}
		if s.noVal {
			row.ValLoss, row.Score, row.Second = math.NaN(), math.NaN(), math.NaN()
		}
		r.History.Epochs = append(r.History.Epochs, row)
	}
	r.BestEpoch = max(1, s.epochs-3)
	splits := []string{"train", "val"}
	if s.noVal {
		splits = splits[:1]
	}
	if s.test {
		splits = append(splits, "test")
	}
	for k, name := range splits {
		counts := make([]int, s.classes)
		for c := range counts {
			counts[c] = (120 + 10*(c%5)) / (k*4 + 1)
		}
		r.Data.Splits = append(r.Data.Splits, plot.Split{Name: name, Counts: counts})
	}
	if s.task != "" {
		s.objects(t, dir, &r)
		return r
	}
	d := Drawings{History: r.History, Classes: r.Data.Classes, Counts: r.Data.Splits}
	if !s.noVal {
		e, roc := s.evaluate(t, "val", 11)
		r.Evaluations = append(r.Evaluations, e)
		d.Classification, d.MultiLabel, d.ROC = e.Classification, e.MultiLabel, roc
	}
	if s.test {
		e, _ := s.evaluate(t, "test", 12)
		r.Evaluations = append(r.Evaluations, e)
	}
	var err error
	if r.Pictures, err = Plots(dir, d); err != nil {
		t.Fatal(err)
	}
	save := func(name string, n, columns int, good func(i int) *bool) string {
		var tiles []Tile
		for i := range n {
			tiles = append(tiles, Tile{Image: drawing(64, 64+16*(i%3), i), Good: good(i),
				Lines: []string{r.Data.Classes[i%s.classes], fmt.Sprintf("→ %s 0.%d", r.Data.Classes[(i+3)%s.classes], 40+i)}})
		}
		if err := Sheet(filepath.Join(dir, name), tiles, columns); err != nil {
			t.Fatal(err)
		}
		return name
	}
	no, yes := false, true
	r.TrainBatches = []string{save("train_batch0.jpg", 16, 8, func(int) *bool { return nil })}
	if !s.noVal {
		r.ValBatches = []Batch{{save("val_batch0_labels.jpg", 16, 4, func(int) *bool { return nil }), save("val_batch0_pred.jpg", 16, 4, func(i int) *bool {
			if i%5 == 0 {
				return &no
			}
			return &yes
		})}}
		r.Mistakes = save("mistakes.jpg", 10, 5, func(int) *bool { return &no })
	}
	return r
}

// table looks like the adapter table of package lora.
func table(n int) string {
	var b strings.Builder
	b.WriteString("layer               kind    weight   r  alpha  params  of layer\n")
	for i := range n {
		fmt.Fprintf(&b, "blocks.%-2d.attn.qkv  linear  576×192  8  16     6144    5.6 %%\n", i)
	}
	return b.String()
}

// drawing is a picture that is different for every i.
func drawing(w, h, i int) *vision.Image {
	im := vision.NewImage(w, h)
	for y := range h {
		for x := range w {
			p := im.Pix[3*(y*w+x):]
			p[0], p[1], p[2] = uint8(4*x+16*i), uint8(3*y+29*i), uint8((x*y)>>4+7*i)
		}
	}
	return im
}
