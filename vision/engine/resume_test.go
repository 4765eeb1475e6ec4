package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/lora"
)

// resumable are the files that have to be the same to the last byte.
var resumable = []string{
	"weights/last/" + lora.WeightsFile, "weights/last/" + lora.ConfigFile, "weights/last/" + StateFile,
	"weights/best/" + lora.WeightsFile, "weights/best/" + lora.ConfigFile,
}

func sameBytes(t *testing.T, what, a, b string) {
	t.Helper()
	for _, f := range resumable {
		x, err := os.ReadFile(filepath.Join(a, f))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, f))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s: %s differs (%d and %d bytes)", what, f, len(x), len(y))
		}
	}
}

// stopAt runs until so many steps of this call are done, and returns the
// directory.
func stopAt(t *testing.T, c TrainConfig, steps int) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := 0
	c.Progress = func(Progress) {
		if done++; done == steps {
			cancel()
		}
	}
	res, err := Train(ctx, c)
	if !errors.Is(err, ErrInterrupted) || res == nil || !res.Interrupted {
		t.Fatalf("stopped after %d steps: result %+v, error %v", steps, res, err)
	}
	return res.Dir
}

// TestSameBytes trains each setting three times: in one piece, again, and with
// interruptions in mid-epoch, at an epoch's last step, in the middle of an
// accumulated gradient, and in the first epoch.
func TestSameBytes(t *testing.T) {
	cnnModel, vitModel := tinyCNN(7, 32).File(t), tinyViT(7).File(t)
	data := pictureFolder(t, 3, 7, 2) // 21 images: five steps, the last of one image
	for _, c := range []struct {
		name   string
		model  string
		change func(*TrainConfig)
	}{
		{"adamw", cnnModel, func(c *TrainConfig) {}},
		{"vit, dropout, clipping, LoRA+", vitModel, func(c *TrainConfig) { c.LoRA.LoraDropout, c.ClipNorm, c.LoRAPlus = .2, .5, 8 }},
		{"ema", cnnModel, func(c *TrainConfig) { c.EMA = .9 }},
		{"accumulate", cnnModel, func(c *TrainConfig) { c.Accumulate = 2 }},
		{"accumulate with ema and dropout", vitModel, func(c *TrainConfig) { c.Accumulate, c.EMA, c.LoRA.LoraDropout = 3, .8, .1 }},
		{"sgd", cnnModel, func(c *TrainConfig) { c.Optimizer, c.LR0 = "sgd", .02 }},
		{"mixup and cutmix", cnnModel, func(c *TrainConfig) { c.MixUp, c.CutMix, c.LabelSmoothing = .4, 1, .1 }},
		{"balanced sampler", cnnModel, func(c *TrainConfig) { c.Sampler = "balanced" }},
		{"dora", cnnModel, func(c *TrainConfig) { c.LoRA.UseDoRA = true }},
		{"dora, vit", vitModel, func(c *TrainConfig) { c.LoRA.UseDoRA, c.LoRA.Bias = true, "lora_only" }},
		{"linear probe", vitModel, func(c *TrainConfig) { c.Mode = ModeProbe }},
		{"full", cnnModel, func(c *TrainConfig) { c.Mode = ModeFull }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := func() TrainConfig { return quick(t, c.model, data, c.change) }
			whole := mustTrain(t, cfg())
			sameBytes(t, "a second run", whole.Dir, mustTrain(t, cfg()).Dir)

			dir := stopAt(t, cfg(), 1) // one step
			again := TrainConfig{Resume: dir, plain: true}
			for _, steps := range []int{4, 3, 3} { // epoch 1's last step, epoch 2 step 3, epoch 3 step 1
				if got := stopAt(t, again, steps); got != dir {
					t.Fatalf("resumed in %s, want %s", got, dir)
				}
			}
			res := mustTrain(t, again)
			if res.Epochs != 3 || res.Dir != dir {
				t.Errorf("resumed to %+v", res)
			}
			sameBytes(t, "the resumed run", whole.Dir, dir)
			if a, b := res.Metrics.Classification, whole.Metrics.Classification; a.AccuracyTop1 != b.AccuracyTop1 || a.Loss != b.Loss || res.BestEpoch != whole.BestEpoch {
				t.Errorf("resumed: accuracy %v, loss %v, best epoch %d; in one piece %v, %v, %d", a.AccuracyTop1, a.Loss, res.BestEpoch, b.AccuracyTop1, b.Loss, whole.BestEpoch)
			}
			csvRows(t, whole.Dir, dir)
		})
	}
}

// csvRows compares results.csv but for the time.
func csvRows(t *testing.T, a, b string) {
	t.Helper()
	var rows [2][]string
	for i, dir := range []string{a, b} {
		text, err := os.ReadFile(filepath.Join(dir, "results.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			f := strings.Split(line, ",")
			rows[i] = append(rows[i], strings.Join(append(f[:1:1], f[2:]...), ","))
		}
	}
	if x, y := strings.Join(rows[0], "\n"), strings.Join(rows[1], "\n"); x != y || len(rows[0]) != 4 {
		t.Errorf("results.csv:\n%s\nresumed:\n%s", x, y)
	}
}

// Stopped after an epoch's last step and validation, before it is saved: the
// epoch still counts, and so does its accuracy.
func TestStoppedBetweenEpochs(t *testing.T) {
	model, data := tinyCNN(7, 32).File(t), pictureFolder(t, 3, 7, 2)
	whole := mustTrain(t, quick(t, model, data))
	for _, epoch := range []string{"epoch 1/3", "epoch 3/3"} {
		ctx, cancel := context.WithCancel(context.Background())
		c := quick(t, model, data, func(c *TrainConfig) {
			c.Log = func(format string, args ...any) {
				if strings.HasPrefix(fmt.Sprintf(format, args...), epoch) {
					cancel()
				}
			}
		})
		res, err := Train(ctx, c)
		if !errors.Is(err, ErrInterrupted) || res.BestEpoch == 0 {
			t.Fatalf("%s: %+v, %v", epoch, res, err)
		}
		if again := mustTrain(t, TrainConfig{Resume: res.Dir, plain: true}); again.BestEpoch != whole.BestEpoch {
			t.Errorf("%s: the best epoch is %d, in one piece %d", epoch, again.BestEpoch, whole.BestEpoch)
		}
		sameBytes(t, epoch, whole.Dir, res.Dir)
	}
}

// Two batches of four make the update of one batch of eight.
func TestAccumulatedUpdate(t *testing.T) {
	model, data := tinyViT(7).File(t), pictureFolder(t, 2, 8, 1)
	run := func(batch, accumulate int) *run {
		r := start(t, quick(t, model, data, func(c *TrainConfig) {
			c.Batch, c.Accumulate, c.Epochs, c.Optimizer, c.LR0, c.Warmup, c.Augment = batch, accumulate, 1, "sgd", .1, 0, false
		}))
		if _, err := r.loop(context.Background()); err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := run(8, 1), run(4, 2)
	if a.at.Updates != 2 || b.at.Updates != 2 {
		t.Fatalf("%d and %d updates, want 2", a.at.Updates, b.at.Updates)
	}
	for i, p := range a.params {
		if e := gradcheck.RangeError(wide(b.params[i].Value), wide(p.Value)); e > 1e-4 {
			t.Errorf("%s: off by %.2g of its range", p.Name, e)
		}
	}
	one := run(4, 1)
	if e := gradcheck.RangeError(wide(one.params[0].Value), wide(a.params[0].Value)); e < 1e-3 {
		t.Errorf("without accumulation %s differs by %.2g only: nothing is tested", a.params[0].Name, e)
	}
}

// A run without a validation split has no best accuracy to write down.
func TestResumeWithoutValidation(t *testing.T) {
	data := pictureFolder(t, 2, 6, 0)
	cfg := func() TrainConfig {
		return quick(t, tinyCNN(4, 32).File(t), data, func(c *TrainConfig) { c.ValShare, c.Epochs = 0, 2 })
	}
	model := tinyCNN(4, 32).File(t)
	one := cfg()
	one.Model = model
	whole := mustTrain(t, one)
	two := cfg()
	two.Model = model
	dir := stopAt(t, two, 4)
	mustTrain(t, TrainConfig{Resume: dir, plain: true})
	sameBytes(t, "without val", whole.Dir, dir)
	if whole.BestEpoch != 2 {
		t.Errorf("best epoch %d: without validation the last one counts", whole.BestEpoch)
	}
}

func TestEarlyStopping(t *testing.T) {
	model, data := tinyCNN(4, 32).File(t), pictureFolder(t, 2, 4, 2)
	// So small a rate changes nothing: no epoch after the first is higher, and
	// of epochs that are the same the last is kept.
	cfg := func() TrainConfig {
		return quick(t, model, data, func(c *TrainConfig) { c.Epochs, c.Patience, c.LR0, c.Mode = 30, 3, 1e-30, ModeProbe })
	}
	res := mustTrain(t, cfg())
	if res.Epochs != 4 || res.BestEpoch != 4 {
		t.Errorf("stopped after %d epochs, best %d; want 4 and 4", res.Epochs, res.BestEpoch)
	}
	// Killed between the last checkpoint and the report: nothing more is trained.
	if err := os.Remove(filepath.Join(res.Dir, "metrics.json")); err != nil {
		t.Fatal(err)
	}
	again := mustTrain(t, TrainConfig{Resume: res.Dir, plain: true})
	if again.Epochs != 4 {
		t.Errorf("resumed after it had stopped early: %d epochs, want 4", again.Epochs)
	}
	if _, err := os.Stat(filepath.Join(res.Dir, "metrics.json")); err != nil {
		t.Error(err)
	}
}

// A resumed run has to be the same run.
func TestResumeOfSomethingElse(t *testing.T) {
	model, data := tinyCNN(4, 32).File(t), pictureFolder(t, 2, 4, 2)
	dir := stopAt(t, quick(t, model, data), 3)
	args := filepath.Join(dir, "args.yaml")
	was, err := os.ReadFile(args)
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(filepath.Join(dir, "weights/last", StateFile))
	if err != nil {
		t.Fatal(err)
	}
	resume := func(c TrainConfig) error {
		c.Resume, c.plain = dir, true
		_, err := Train(context.Background(), c)
		return err
	}
	edit := func(from, to string) {
		t.Helper()
		text := strings.Replace(string(was), from, to, 1)
		if text == string(was) {
			t.Fatalf("args.yaml has no %q:\n%s", from, was)
		}
		if err := os.WriteFile(args, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	edit("lr0: 0.002", "lr0: 0.1")
	says(t, resume(TrainConfig{}), "resume "+dir, "lr0 is 0.1, was 0.002", "put them back")
	edit("r: 2\n", "r: 4\n")
	says(t, resume(TrainConfig{}), "lora.r is 4, was 2")
	edit("epochs: 3", "epochs: many")
	says(t, resume(TrainConfig{}), "args.yaml", "many")
	edit("threads: 2", "threads: 1") // allowed
	var notes []string
	ctx, cancel := context.WithCancel(context.Background())
	_, err = Train(ctx, TrainConfig{Resume: dir, Log: func(f string, a ...any) { notes = append(notes, f) }, Progress: func(Progress) { cancel() }})
	if !errors.Is(err, ErrInterrupted) || !strings.Contains(strings.Join(notes, "\n"), "last digits will differ") {
		t.Errorf("with fewer threads: %v, %q", err, notes)
	}
	if err := errors.Join(os.WriteFile(args, was, 0o644), os.WriteFile(filepath.Join(dir, "weights/last", StateFile), state, 0o644)); err != nil {
		t.Fatal(err)
	}

	other := otherModel(t, 32)
	says(t, resume(TrainConfig{Model: other}), "resume "+dir, other, "another file", "SHA-256", "--model")
	writePicture(t, filepath.Join(data, "train", "ring", "new.png"), draw(0, 99))
	says(t, resume(TrainConfig{}), data, "9 train and 4 val", "8 train and 4 val", "put it back")
	if err := os.Remove(filepath.Join(data, "train", "ring", "new.png")); err != nil {
		t.Fatal(err)
	}
	// Model and data may move.
	moved := filepath.Join(t.TempDir(), "moved.onnx")
	if err := os.Rename(model, moved); err != nil {
		t.Fatal(err)
	}
	says(t, resume(TrainConfig{}), model, "no such file")
	movedData := filepath.Join(t.TempDir(), "pictures")
	if err := os.Rename(data, movedData); err != nil {
		t.Fatal(err)
	}
	if err := resume(TrainConfig{Model: moved, Data: movedData}); err != nil {
		t.Errorf("model and data moved: %v", err)
	}
	says(t, resumeErr(t.TempDir()), "there is no run in it", "args.yaml")
	says(t, resumeErr(filepath.Join(dir, "nowhere")), "nowhere", "there is no run in it")
}

func resumeErr(dir string) error {
	_, err := Train(context.Background(), TrainConfig{Resume: dir})
	return err
}

// otherModel has the same layers and another SHA.
func otherModel(t *testing.T, size int) string {
	b := tinyCNN(4, size)
	return metadataAdded(b).File(t)
}

func metadataAdded(b *onnxtest.Builder) *onnxtest.Builder { return b.Metadata("note", "another file") }

// A crash between the two renames of writeWeights leaves only the predecessor;
// it must survive the next attempt until that is whole.
func TestWeightsAreReplacedWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "last")
	put := func(text string) func(string) error {
		return func(tmp string) error { return os.WriteFile(filepath.Join(tmp, "w"), []byte(text), 0o644) }
	}
	read := func() string {
		b, _ := os.ReadFile(filepath.Join(weightsDir(dir), "w"))
		return string(b)
	}
	if err := writeWeights(dir, put("1")); err != nil || read() != "1" {
		t.Fatal(err, read())
	}
	full := errors.New("disk full")
	fail := func(tmp string) error { return errors.Join(put("half")(tmp), full) }
	if err := writeWeights(dir, fail); !errors.Is(err, full) || read() != "1" {
		t.Errorf("after a failed write: %q, %v", read(), err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil { // the crash
		t.Fatal(err)
	}
	if read() != "1" {
		t.Errorf("after a crash: %q", read())
	}
	if err := writeWeights(dir, fail); !errors.Is(err, full) || read() != "1" {
		t.Errorf("after a crash and a failed write: %q, %v", read(), err)
	}
	if err := writeWeights(dir, put("2")); err != nil || read() != "2" {
		t.Error(err, read())
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestOneRunPerDirectory(t *testing.T) {
	project := t.TempDir()
	a, err := makeRunDir(project, "train", false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := makeRunDir(project, "train", false)
	if err != nil || a == b || filepath.Base(b) != "train2" {
		t.Errorf("%s, %s, %v", a, b, err)
	}
	unlock, err := lockRun(a)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := makeRunDir(project, "train", true); err != nil || c != a {
		t.Errorf("exist_ok: %s, %v", c, err)
	}
	_, err = lockRun(a)
	says(t, err, a, "in use by another run", "--name")
	unlock()
	if unlock, err = lockRun(a); err != nil {
		t.Fatal(err)
	}
	unlock()
	if left, _ := os.ReadDir(a); len(left) != 0 {
		t.Errorf("the lock left %v", left)
	}
	for _, name := range []string{"", ".", "..", "a/b"} {
		_, err := makeRunDir(project, name, false)
		says(t, err, "plain folder name")
	}
}
