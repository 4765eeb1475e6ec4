package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/lora"
)

// start opens a run up to its first step.
func start(t *testing.T, c TrainConfig) *run {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &run{c: c}
	t.Cleanup(r.close)
	if err := errors.Join(r.open(), r.prepare()); err != nil {
		t.Fatal(err)
	}
	unlock, err := r.directory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	if err := r.begin(); err != nil {
		t.Fatal(err)
	}
	return r
}

// valLogits are those of the network as it is in memory.
func valLogits(t *testing.T, r *run) []float64 {
	t.Helper()
	s, err := r.job.(*classify).eval.logits(context.Background(), r.data.Split(datasets.Val))
	if err != nil {
		t.Fatal(err)
	}
	return wide(s.Logits)
}

// loadedLogits are those of weights read from disk, of the same pictures.
func loadedLogits(t *testing.T, r *run, weights string) []float64 {
	t.Helper()
	l, err := OpenWeights(WeightsOptions{Weights: weights})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ev := newEvaluator(l.Network, r.session, l.Pre, r.c.Batch, 1, nil)
	defer ev.close()
	s, err := ev.logits(context.Background(), r.data.Split(datasets.Val))
	if err != nil {
		t.Fatal(err)
	}
	return wide(s.Logits)
}

// multiLabelFolder has a labels.csv with a column of 0 and 1 per class; a
// picture shows one or two shapes.
func multiLabelFolder(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	table := "file,ring,bars,disc,split\n"
	for i := range 18 {
		split := "train"
		if i >= 12 {
			split = "val"
		}
		a, b := i%3, (i/3)%3
		im := draw(a, uint64(i))
		if b != a { // the second shape over the first's lower half
			over := draw(b, uint64(i)+100)
			for y := 32; y < 64; y++ {
				for x := range 64 {
					im.Set(x, y, over.At(x, y))
				}
			}
		}
		name := fmt.Sprintf("p%02d.png", i)
		writePicture(t, filepath.Join(root, name), im)
		var on [3]int
		on[a], on[b] = 1, 1
		table += fmt.Sprintf("%s,%d,%d,%d,%s\n", name, on[0], on[1], on[2], split)
	}
	if err := os.WriteFile(filepath.Join(root, "labels.csv"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestModes trains every mode, saves, loads, and compares.
func TestModes(t *testing.T) {
	data, multi := pictureFolder(t, 3, 6, 2), multiLabelFolder(t)
	named := func(b *onnxtest.Builder) string { // the model tells the data's classes apart, in its own order
		return b.Metadata("names", `{0: 'disc', 1: 'ring', 2: 'bars'}`).File(t)
	}
	mode := func(m string) func(*TrainConfig) { return func(c *TrainConfig) { c.Mode = m } }
	adapter := func(name string) bool { return strings.Contains(name, ".lora_") }
	newHead := func(name string) bool { return name == "head.weight" || name == "head.bias" }
	for _, c := range []struct {
		name        string
		model, data string
		change      func(*TrainConfig)
		trains      func(param string) bool // what may change
		all         []string                // and what must be among it
	}{
		{"lora cnn", tinyCNN(7, 32).File(t), data, mode(ModeLoRA), func(p string) bool { return adapter(p) || newHead(p) }, []string{"head.weight", "conv1.lora_A.weight"}},
		{"lora vit", tinyViT(7).File(t), data, mode(ModeLoRA), func(p string) bool { return adapter(p) || newHead(p) }, []string{"head.bias", "blocks.1.mlp.fc2.lora_B.weight", "patch_embed.proj.lora_A.weight"}},
		{"depthwise by name", tinyCNN(7, 32).File(t), data, targets("dw"), func(p string) bool { return adapter(p) || newHead(p) }, []string{"dw.lora_delta.weight"}},
		{"probe", tinyViT(7).File(t), data, mode(ModeProbe), newHead, []string{"head.weight", "head.bias"}},
		{"full cnn", tinyCNN(7, 32).File(t), data, mode(ModeFull), func(p string) bool { return !strings.HasPrefix(p, "fc.") && !strings.Contains(p, "running") },
			[]string{"stem.weight", "bn.weight", "bn.bias", "dw.bias", "head.weight"}},
		{"full vit", tinyViT(7).File(t), data, mode(ModeFull), func(string) bool { return true }, []string{"pos_embed", "blocks.0.norm1.weight", "head.weight"}},
		{"kept head, probe", named(tinyCNN(3, 32)), data, mode(ModeProbe), func(p string) bool { return strings.HasPrefix(p, "fc.") }, []string{"fc.weight", "fc.bias"}},
		{"kept head, lora", named(tinyCNN(3, 32)), data, mode(ModeLoRA), func(p string) bool { return adapter(p) || strings.HasPrefix(p, "fc.") }, []string{"fc.weight", "pw.lora_B.weight"}},
		{"kept head named as ours", named(tinyViT(3)), data, mode(ModeLoRA), func(p string) bool { return adapter(p) || newHead(p) }, []string{"head.weight", "head.bias"}},
		{"kept head, full", named(tinyCNN(3, 32)), data, mode(ModeFull), func(p string) bool { return !strings.Contains(p, "running") }, []string{"fc.weight", "bn.weight"}},
		{"multi-label", tinyCNN(7, 32).File(t), multi, mode(ModeLoRA), func(p string) bool { return adapter(p) || newHead(p) }, []string{"head.weight"}},
		{"biases", tinyCNN(7, 32).File(t), data, func(c *TrainConfig) { c.LoRA.Bias = "all" }, func(p string) bool { return adapter(p) || strings.HasSuffix(p, ".bias") || p == "head.weight" }, []string{"stem.bias", "dw.bias"}},
		{"modules to save", tinyViT(7).File(t), data, func(c *TrainConfig) { c.LoRA.ModulesToSave = []string{"norm"} }, func(p string) bool { return adapter(p) || newHead(p) || strings.HasPrefix(p, "norm.") }, []string{"norm.weight"}},
		{"another size", tinyCNN(7, 32).File(t), data, func(c *TrainConfig) { c.ImgSz = 48 }, func(p string) bool { return adapter(p) || newHead(p) }, nil},
		{"ema", tinyCNN(7, 32).File(t), data, func(c *TrainConfig) { c.EMA = .5 }, func(p string) bool { return adapter(p) || newHead(p) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := quick(t, c.model, c.data, c.change, func(c *TrainConfig) { c.Epochs, c.LR0 = 2, 3e-3 })
			if c.name == "another size" {
				// A CNN whose file fixes 32×32 inputs is planned anew for 48×48.
				cfg.ImgSz = 48
			}
			r := start(t, cfg)
			var names []string
			before := map[string][]float32{}
			for _, p := range r.params {
				names = append(names, p.Name)
				before[p.Name] = slices.Clone(p.Value)
				if !c.trains(p.Name) {
					t.Errorf("%s trains", p.Name)
				}
			}
			for _, want := range c.all {
				if !slices.Contains(names, want) {
					t.Errorf("%s does not train: %v", want, names)
				}
			}
			start := valLogits(t, r)
			if _, err := r.loop(context.Background()); err != nil {
				t.Fatal(err)
			}
			trained := valLogits(t, r)
			if e := gradcheck.RangeError(trained, start); e < 1e-4 {
				t.Errorf("training changed the logits by %.2g of the range: nothing is tested", e)
			}
			still := 0
			for _, p := range r.params {
				if slices.Equal(before[p.Name], p.Value) {
					still++
					t.Logf("%s did not change", p.Name)
				}
			}
			if still > 0 {
				t.Errorf("%d of %d trained tensors did not change", still, len(r.params))
			}
			if e := gradcheck.RangeError(loadedLogits(t, r, filepath.Join(r.dir, "weights", "last")), trained); e > 1e-5 {
				t.Errorf("loaded: off by %.2g of the range", e)
			}
			baseStays(t, r)
			verbsAgree(t, r)
			mergedAgrees(t, r)
		})
	}
}

// baseStays checks that neither the file nor the planned tensors changed.
func baseStays(t *testing.T, r *run) {
	t.Helper()
	sum, err := lora.HashFile(r.c.Model)
	if err != nil || sum != r.base.SHA256 {
		t.Errorf("the model's file changed: %v", err)
	}
	fresh, err := OpenNetwork(r.c.Model, NetworkOptions{Height: r.c.ImgSz, Width: r.c.ImgSz, KeepBatchNorm: r.c.Mode == ModeFull})
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	for name, tensor := range fresh.Annotation.Graph.Tensors {
		if !kindFloat(tensor) {
			continue
		}
		if now := r.net.Annotation.Graph.Tensors[name]; now == nil || !slices.Equal(now.Float32s(), tensor.Float32s()) {
			t.Errorf("the base's %s changed", name)
		}
	}
}

// verbsAgree runs val and predict on the run directory.
func verbsAgree(t *testing.T, r *run) {
	t.Helper()
	ctx := context.Background()
	v, err := Validate(ctx, ValConfig{Weights: r.dir, Data: r.c.Data, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	best := r.at.Rows[r.at.BestAt-1]
	got := 0.0
	if m := v.Metrics.MultiLabel; m != nil {
		got = float64(m.MAP)
	} else {
		got = float64(v.Metrics.Classification.AccuracyTop1)
	}
	if got != best.Score {
		t.Errorf("val gives %v, training had %v in epoch %d", got, best.Score, best.Epoch)
	}
	p, err := Predict(ctx, PredictConfig{Weights: r.dir, Source: r.c.Data, Threads: 2, NoSave: true, SaveLogits: true})
	if err != nil {
		t.Fatal(err)
	}
	byFile := map[string]ImagePredictions{}
	for _, im := range p.Images {
		byFile[im.File] = im
	}
	want := loadedLogits(t, r, r.dir)
	k := len(r.data.Classes)
	var logits []float64
	for _, s := range r.data.Split(datasets.Val) {
		im := byFile[s.Path]
		logits = append(logits, wide(im.Logits)...)
		sum := 0.0
		for _, q := range im.Predictions {
			sum += q.Score
			l := float64(im.Logits[q.Class])
			if r.data.MultiLabel && math.Abs(q.Score-1/(1+math.Exp(-l))) > 1e-9 {
				t.Errorf("%s: score %v of logit %v is not its sigmoid", s.Name, q.Score, l)
			}
			if q.Name != r.data.Classes[q.Class] {
				t.Errorf("class %d is called %q, want %q", q.Class, q.Name, r.data.Classes[q.Class])
			}
		}
		if len(im.Predictions) != k || !r.data.MultiLabel && math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: %d scores that add up to %v", s.Name, len(im.Predictions), sum)
		}
	}
	if e := gradcheck.RangeError(logits, want); e > 1e-5 {
		t.Errorf("predict: off by %.2g of the range", e)
	}
}

// mergedAgrees exports the run and evaluates the file alone.
func mergedAgrees(t *testing.T, r *run) {
	t.Helper()
	l, err := OpenWeights(WeightsOptions{Weights: r.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out := filepath.Join(t.TempDir(), "merged.onnx")
	if _, err := l.WriteMerged(out, l.metadata()); err != nil {
		t.Fatal(err)
	}
	bare, err := OpenWeights(WeightsOptions{Weights: out, ImgSz: r.c.ImgSz})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if !slices.Equal(bare.Classes, r.data.Classes) || bare.MultiLabel != r.data.MultiLabel || bare.Pre != l.Pre {
		t.Errorf("the merged file says %v, %v, %+v", bare.Classes, bare.MultiLabel, bare.Pre)
	}
	ev := newEvaluator(bare.Network, r.session, bare.Pre, r.c.Batch, 1, nil)
	defer ev.close()
	s, err := ev.logits(context.Background(), r.data.Split(datasets.Val))
	if err != nil {
		t.Fatal(err)
	}
	if e := gradcheck.RangeError(wide(s.Logits), loadedLogits(t, r, r.dir)); e > 1e-4 {
		t.Errorf("merged: off by %.2g of the range", e)
	}
}

// A picture that only turns out to be broken when it is decoded is left out,
// named once, and the gradients of the others are averaged as they should be.
func TestBrokenInside(t *testing.T) {
	data := pictureFolder(t, 2, 6, 2)
	broken := filepath.Join(data, "train", "bars", "00.png")
	b, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b, []byte("IDAT"))
	n := int(binary.BigEndian.Uint32(b[i-4:]))
	for j := i + 10; j < i+4+n; j++ { // sound chunks around noise
		b[j] ^= 0x5a
	}
	binary.BigEndian.PutUint32(b[i+4+n:], crc32.ChecksumIEEE(b[i:i+4+n]))
	if err := os.WriteFile(broken, b, 0o644); err != nil {
		t.Fatal(err)
	}
	var told []string
	c := quick(t, tinyCNN(5, 32).File(t), data, func(c *TrainConfig) {
		c.Batch, c.Accumulate, c.Epochs = 1, 2, 3 // the batch of that picture is empty
		c.Log = func(f string, a ...any) { told = append(told, fmt.Sprintf(f, a...)) }
	})
	r := start(t, c)
	if len(r.data.Split(datasets.Train)) != 12 {
		t.Skip("the scan has found it already")
	}
	res, err := r.loop(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, line := range told {
		if strings.Contains(line, "skipped") && strings.Contains(line, "train/bars/00.png") {
			named++
		}
	}
	if named != 1 || res.Epochs != 3 {
		t.Errorf("named %d times in %d epochs: %q", named, res.Epochs, told)
	}
	if r.at.Updates != 18 { // 11 images in groups of two: six updates an epoch
		t.Errorf("%d updates, want 18", r.at.Updates)
	}
}

// A kept head knows the classes in the model's order, and its first logits are
// the model's own.
func TestKeptHead(t *testing.T) {
	b := tinyCNN(3, 32)
	b.Metadata("names", `["disc","ring","bars"]`)
	model := b.File(t)
	r := start(t, quick(t, model, pictureFolder(t, 3, 4, 2)))
	if !slices.Equal(r.data.Classes, []string{"disc", "ring", "bars"}) || r.net.Head != nil {
		t.Fatalf("classes %v, new head %v", r.data.Classes, r.net.Head)
	}
	if e := gradcheck.RangeError(loadedLogits(t, r, model), valLogits(t, r)); e > 1e-6 {
		// (The bare model reads pictures by another preset, so give it the same.)
		l, err := OpenWeights(WeightsOptions{Weights: model, Preprocess: r.c.Preprocess})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ev := newEvaluator(l.Network, r.session, l.Pre, 4, 1, nil)
		defer ev.close()
		s, err := ev.logits(context.Background(), r.data.Split(datasets.Val))
		if err != nil {
			t.Fatal(err)
		}
		if e := gradcheck.RangeError(wide(s.Logits), valLogits(t, r)); e > 1e-6 {
			t.Errorf("before the first step: off by %.2g of the range", e)
		}
	}
	for _, s := range r.data.Samples {
		if want := filepath.Base(filepath.Dir(s.Path)); r.data.Classes[s.Label] != want {
			t.Errorf("%s has the label %s", s.Name, r.data.Classes[s.Label])
		}
	}
}

// A new adapter changes nothing: the logits are those of the same head on the
// base model's features.
func TestNewAdapterChangesNothing(t *testing.T) {
	data := pictureFolder(t, 3, 3, 3)
	for _, c := range []struct {
		name, model string
		change      func(*TrainConfig)
	}{
		{"cnn", tinyCNN(7, 32).File(t), targets("all")},
		{"depthwise", tinyCNN(7, 32).File(t), targets("stem,dw")},
		{"vit", tinyViT(7).File(t), targets("all")},
		{"dora", tinyViT(7).File(t), func(c *TrainConfig) { c.LoRA.UseDoRA = true }},
		{"dora cnn", tinyCNN(7, 32).File(t), func(c *TrainConfig) { c.LoRA.UseDoRA = true }},
		{"lora_bias", tinyViT(7).File(t), func(c *TrainConfig) { c.LoRA.LoraBias = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			probe := valLogits(t, start(t, quick(t, c.model, data, func(c *TrainConfig) { c.Mode = ModeProbe })))
			r := start(t, quick(t, c.model, data, c.change))
			if len(r.net.Plan.Sites) == 0 {
				t.Fatal("no site is adapted")
			}
			if e := gradcheck.RangeError(valLogits(t, r), probe); e > 2e-6 {
				t.Errorf("off by %.2g of the range", e)
			}
			for _, p := range r.params {
				if strings.HasSuffix(p.Name, "lora_B.weight") {
					p.Value[0] += .5
				}
				if strings.HasSuffix(p.Name, "lora_delta.weight") {
					p.Value[0] += .5
				}
			}
			if e := gradcheck.RangeError(valLogits(t, r), probe); e < 1e-3 {
				t.Errorf("with B changed the logits differ by %.2g only: nothing is tested", e)
			}
		})
	}
}

// TestTrainingLoss holds the loss of one batch against its formula, computed
// here in float64 from the logits.
func TestTrainingLoss(t *testing.T) {
	model := tinyCNN(7, 32).File(t)
	data := pictureFolder(t, 3, 5, 1)
	for i := range 3 { // rarer rings, so that the class weights differ
		if err := os.Remove(filepath.Join(data, "train", "ring", fmt.Sprintf("%02d%s", i, []string{".png", ".jpg"}[i%2]))); err != nil {
			t.Fatal(err)
		}
	}
	logSoftmax := func(row []float64) []float64 {
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(v)
		}
		out := make([]float64, len(row))
		for i, v := range row {
			out[i] = v - math.Log(sum)
		}
		return out
	}
	counts := []float64{5, 5, 2} // bars, disc, ring
	weight := func(c int64) float64 { return 12 / (3 * counts[c]) }
	type sample struct {
		logits  []float64
		label   int64
		targets []float32
	}
	mean := func(s []sample, f func(sample) float64) float64 {
		sum := 0.0
		for _, x := range s {
			sum += f(x)
		}
		return sum / float64(len(s))
	}
	plain := func(x sample) float64 { return -logSoftmax(x.logits)[x.label] }
	soft := func(x sample) float64 {
		l := 0.0
		for k, v := range logSoftmax(x.logits) {
			l -= float64(x.targets[k]) * v
		}
		return l
	}
	for _, c := range []struct {
		name, data string
		change     func(*TrainConfig)
		want       func([]sample) float64
	}{
		{"cross entropy", data, func(*TrainConfig) {}, func(s []sample) float64 { return mean(s, plain) }},
		{"label smoothing", data, func(c *TrainConfig) { c.LabelSmoothing = .2 }, func(s []sample) float64 {
			return mean(s, func(x sample) float64 {
				l := logSoftmax(x.logits)
				return -.8*l[x.label] - .2*(l[0]+l[1]+l[2])/3
			})
		}},
		{"balanced class weights", data, func(c *TrainConfig) { c.ClassWeights = "balanced" }, func(s []sample) float64 {
			return mean(s, func(x sample) float64 { return weight(x.label) * plain(x) }) / mean(s, func(x sample) float64 { return weight(x.label) })
		}},
		{"mixup", data, func(c *TrainConfig) { c.MixUp = .5 }, func(s []sample) float64 { return mean(s, soft) }},
		{"mixup and smoothing", data, func(c *TrainConfig) { c.MixUp, c.LabelSmoothing = .5, .3 }, func(s []sample) float64 {
			for _, x := range s {
				if slices.Min(x.targets) < .0999 {
					t.Errorf("a smoothed target is %v, below .3/3", slices.Min(x.targets))
				}
			}
			return mean(s, soft)
		}},
		{"multi-label", multiLabelFolder(t), func(*TrainConfig) {}, func(s []sample) float64 {
			return mean(s, func(x sample) float64 {
				l := 0.0
				for k, v := range x.logits {
					y := float64(x.targets[k])
					l += y*math.Log1p(math.Exp(-v)) + (1-y)*math.Log1p(math.Exp(v))
				}
				return l / float64(len(x.logits))
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, quick(t, model, c.data, c.change, func(c *TrainConfig) { c.Batch = 12 }))
			e := r.loader.Epoch(context.Background(), 0, 0)
			defer e.Close()
			b, err := e.Next()
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			got, err := r.batch(b)
			if err != nil {
				t.Fatal(err)
			}
			set, err := r.train.prepare(b.N)
			if err != nil {
				t.Fatal(err)
			}
			logits := wide(set.output(0, nil))
			var s []sample
			for i := range b.N {
				x := sample{logits: logits[3*i : 3*i+3], label: b.Labels[i]}
				if r.job.(*classify).mix.Enabled() {
					x.targets = r.job.(*classify).target[3*i : 3*i+3]
				} else if r.data.MultiLabel {
					x.targets = b.Targets[3*i : 3*i+3]
				}
				s = append(s, x)
			}
			if want := c.want(s); math.Abs(got-want) > 1e-5 {
				t.Errorf("loss %.7f, want %.7f", got, want)
			}
		})
	}
	for _, c := range []struct {
		data   string
		change func(*TrainConfig)
		words  []string
	}{
		{multiLabelFolder(t), func(c *TrainConfig) { c.MixUp = 1 }, []string{"mixup", "multi-label"}},
		{multiLabelFolder(t), func(c *TrainConfig) { c.LabelSmoothing = .1 }, []string{"label_smoothing", "multi-label"}},
		{data, func(c *TrainConfig) { c.CutMix, c.ClassWeights = 1, "balanced" }, []string{"class_weights", "cutmix", "sampler balanced"}},
	} {
		cfg := quick(t, model, c.data, c.change)
		_, err := Train(context.Background(), cfg)
		says(t, err, c.words...)
		if left, _ := os.ReadDir(cfg.Project); len(left) > 0 {
			t.Errorf("a run that could not start left %v", left)
		}
	}
}

// An automatic split is made the same way by val as by the run, whatever its
// seed and share; otherwise val would score training images.
func TestValSplitsAsTrained(t *testing.T) {
	root := t.TempDir()
	for c := range 2 {
		for i := range 20 {
			writePicture(t, filepath.Join(root, shapeNames[c], fmt.Sprintf("%02d.png", i)), draw(c, uint64(i)))
		}
	}
	r := start(t, quick(t, tinyCNN(4, 32).File(t), root, func(c *TrainConfig) { c.Epochs, c.Seed, c.ValShare = 1, 11, .3 }))
	if _, err := r.loop(context.Background()); err != nil {
		t.Fatal(err)
	}
	v, err := Validate(context.Background(), ValConfig{Weights: r.dir, Data: root, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := r.data.Split(datasets.Val)
	if !slices.EqualFunc(v.scores.Samples, want, func(a, b datasets.Sample) bool { return a.Name == b.Name }) || len(want) != 12 {
		t.Errorf("val scored %d images, the run %d; they are not the same", len(v.scores.Samples), len(want))
	}
}
