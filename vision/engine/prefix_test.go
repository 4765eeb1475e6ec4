package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/lora"
)

// lastBlock adapts what lies in a ViT's second block.
func lastBlock(c *TrainConfig) { targets(`blocks\.1\..*`)(c); c.Augment = false }

// cached sets where the prefix is kept, and collects what the run says.
func cached(where string, told *[]string) func(*TrainConfig) {
	return func(c *TrainConfig) {
		c.CachePrefix = where
		c.Log = func(f string, a ...any) { *told = append(*told, fmt.Sprintf(f, a...)) }
	}
}

// says finds a line of what a run said.
func told(lines []string, what string) bool {
	return slices.ContainsFunc(lines, func(s string) bool { return strings.Contains(s, what) })
}

// The weights of a run are the same to the last bit whether what lies before the
// adapters is kept, where, or not at all.
func TestKeptPrefixSameBytes(t *testing.T) {
	cnnModel, vitModel := tinyCNN(7, 32).File(t), tinyViT(7).File(t)
	data := pictureFolder(t, 3, 7, 2) // 21 images: five steps, the last of one image
	multi := func(c *TrainConfig) {
		targets("pw")(c)
		c.Accumulate, c.EMA, c.Sampler, c.LabelSmoothing = 2, .8, "balanced", .1
	}
	for _, c := range []struct {
		name   string
		cfg    func(change ...func(*TrainConfig)) TrainConfig
		change func(*TrainConfig)
	}{
		{"last block", func(ch ...func(*TrainConfig)) TrainConfig { return quick(t, vitModel, data, ch...) }, lastBlock},
		{"dropout", func(ch ...func(*TrainConfig)) TrainConfig { return quick(t, vitModel, data, ch...) }, func(c *TrainConfig) { lastBlock(c); c.LoRA.LoraDropout = .2 }},
		{"recompute", func(ch ...func(*TrainConfig)) TrainConfig { return quick(t, sampleViT, data, ch...) }, func(c *TrainConfig) {
			c.LoRA.Blocks, c.Epochs, c.Recompute = lora.Ints{2, 3}, 2, c.CachePrefix != CacheOff
		}},
		{"bf16", func(ch ...func(*TrainConfig)) TrainConfig { return quick(t, sampleViT, data, ch...) }, func(c *TrainConfig) { c.LoRA.Blocks, c.DType, c.Epochs = lora.Ints{3}, DTypeBF16, 2 }},
		{"bf16 cnn", func(ch ...func(*TrainConfig)) TrainConfig { return quick(t, sampleCNN, data, ch...) }, func(c *TrainConfig) { targets("layer3.*")(c); c.DType, c.Epochs, c.Batch = DTypeBF16, 2, 10 }},
		{"cnn", func(ch ...func(*TrainConfig)) TrainConfig { return quick(t, cnnModel, data, ch...) }, multi},
		{"probe", func(ch ...func(*TrainConfig)) TrainConfig { return quick(t, cnnModel, data, ch...) }, func(c *TrainConfig) { c.Mode = ModeProbe }},
		{"detect", func(ch ...func(*TrainConfig)) TrainConfig { return quickDetect(t, sampleCNN, shelfOf(t, 6, 3), ch...) }, func(c *TrainConfig) { c.Mode, c.Epochs = ModeProbe, 2 }},
		{"segment", func(ch ...func(*TrainConfig)) TrainConfig {
			return quickSegment(t, sampleViT, smearOf(t, 6, 3, false), ch...)
		}, func(c *TrainConfig) { c.Mode, c.Epochs, c.ImgSz = ModeProbe, 2, 64 }},
		{"instance", func(ch ...func(*TrainConfig)) TrainConfig {
			return quickInstance(t, sampleCNN, leavesOf(t, 5, 3, polygonOrRLE), ch...)
		}, func(c *TrainConfig) { c.Mode, c.Epochs = ModeProbe, 2 }},
	} {
		if slowBuild() && c.name != "last block" && c.name != "cnn" {
			continue
		}
		counts := []int{1, 2}
		if testing.Short() && c.name != "last block" && c.name != "cnn" {
			counts = counts[1:]
		}
		for _, threads := range counts {
			t.Run(fmt.Sprintf("%s, %d threads", c.name, threads), func(t *testing.T) {
				base := c.cfg() // one data set for all
				run := func(where string) (*Result, []string) {
					var lines []string
					cfg := base
					cfg.LoRA, cfg.Project = base.LoRA.Clone(), memoryDir(t)
					for _, f := range []func(*TrainConfig){cached(where, &lines), c.change, func(c *TrainConfig) { c.Threads, c.Augment = threads, false }} {
						f(&cfg)
					}
					return mustTrain(t, cfg), lines
				}
				off, lines := run(CacheOff)
				if told(lines, "cache  ") {
					t.Errorf("without a cache the run said %q", lines)
				}
				for _, where := range []string{CacheRAM, CacheDisk, CacheAuto} {
					on, lines := run(where)
					if !told(lines, "kept in") {
						t.Errorf("%s: nothing was kept: %q", where, lines)
					}
					sameBytes(t, where, off.Dir, on.Dir)
					if _, err := os.Stat(filepath.Join(on.Dir, "cache")); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%s: the cache is left behind: %v", where, err)
					}
				}
			})
		}
	}
}

// Divided, a network gives the gradients that it gives in one piece: the same
// bits with the portable kernels, and but for rounding with those whose last
// digits depend on the place of a picture in its batch.
func TestDividedGradients(t *testing.T) {
	data := pictureFolder(t, 2, 6, 1)
	for _, c := range []struct {
		name, model string
		change      func(*TrainConfig)
	}{
		{"vit", tinyViT(5).File(t), lastBlock},
		{"cnn", tinyCNN(5, 32).File(t), func(c *TrainConfig) { targets("pw")(c); c.Augment = false }},
		{"probe", tinyViT(5).File(t), func(c *TrainConfig) { c.Mode, c.Augment = ModeProbe, false }},
	} {
		grads := func(whole bool) ([][]float32, *set) {
			r := start(t, quick(t, c.model, data, c.change, func(c *TrainConfig) { c.Batch = 5 }))
			if r.train.prefix == nil {
				t.Fatalf("%s: not divided", c.name)
			}
			if whole {
				r.train.prefix, r.train.circuits, r.train.sets = nil, map[int]*compiled{}, map[int]*set{}
			}
			s, err := r.train.prepare(5)
			if err != nil {
				t.Fatal(err)
			}
			w := newWeights(9)
			for _, p := range r.net.Net.Trainable() {
				for i := range p.Data() {
					p.Data()[i] += .05 * float32(w.rng.NormFloat64())
				}
			}
			load(s, []int64{0, 1, 1, 0, 1}, func(c *circuit) *ops.Node { return c.labels })
			if err := r.train.feed(s, newWeights(1).normal(1, 5, r.net.Height, r.net.Width, 3), r.net.picture); err != nil {
				t.Fatal(err)
			}
			if _, err := r.train.step(s); err != nil {
				t.Fatal(err)
			}
			return s.grads, s
		}
		whole, _ := grads(true)
		divided, s := grads(false)
		for i := range whole {
			if e := gradcheck.RangeError(wide(divided[i]), wide(whole[i])); e > 1e-5 || e > 0 && !onednn.Available() {
				t.Errorf("%s: gradient %d is off by %.2g of its range", c.name, i, e)
			}
		}
		t.Logf("%s: %d bytes kept of a picture", c.name, len(slices.Concat(s.cutMemory(0)...)))
	}
}

// Interrupted and gone on with, a run with a cache ends at the same bytes, in
// memory, on disk, with a part of the records damaged, and without a cache.
func TestKeptPrefixResumes(t *testing.T) {
	model, data := tinyViT(7).File(t), pictureFolder(t, 3, 7, 2)
	var lines []string
	cfg := func(where string) TrainConfig { return quick(t, model, data, lastBlock, cached(where, &lines)) }
	whole := mustTrain(t, cfg(CacheOff))
	for _, where := range []string{CacheRAM, CacheDisk} {
		for _, damage := range []bool{false, true} {
			dir := stopAt(t, cfg(where), 3)
			file := filepath.Join(dir, "cache", "prefix-train.bin")
			if _, err := os.Stat(file); (err == nil) != (where == CacheDisk) {
				t.Errorf("%s: %v", where, err)
			}
			again := TrainConfig{Resume: dir, plain: true}
			stopAt(t, again, 4)
			if damage && where == CacheDisk {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				b[len(b)/2] ^= 1
				if err := os.WriteFile(file, b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			lines = nil
			cached("", &lines)(&again)
			if damage && where == CacheRAM {
				again.CachePrefix = CacheOff // may change
			}
			mustTrain(t, again)
			if want := map[bool]string{false: "those of 21 training", true: "those of 20 training"}[damage]; where == CacheDisk && !told(lines, want) {
				t.Errorf("resumed with damage %v: %q", damage, lines)
			}
			sameBytes(t, where+", resumed", whole.Dir, dir)
		}
	}
}

// What was kept of another picture, of other adapters or of another model is not
// taken.
func TestKeptPrefixKeys(t *testing.T) {
	model, data := tinyViT(7).File(t), pictureFolder(t, 3, 7, 2)
	project := memoryDir(t)
	stop := func(change ...func(*TrainConfig)) (dir string, lines []string) {
		cfg := quick(t, model, data, append([]func(*TrainConfig){lastBlock, cached(CacheDisk, &lines), func(c *TrainConfig) { c.Project, c.ExistOK = project, true }}, change...)...)
		return stopAt(t, cfg, 5), lines
	}
	if _, lines := stop(); told(lines, "those of") {
		t.Errorf("in a new run: %q", lines)
	}
	if _, lines := stop(func(c *TrainConfig) { c.Seed = 99 }); !told(lines, "those of 21") {
		t.Errorf("with another seed: %q", lines)
	}
	picture := filepath.Join(data, "train", "bars", "00.png")
	if err := os.Chtimes(picture, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, lines := stop(); !told(lines, "those of 20") {
		t.Errorf("with a changed picture: %q", lines)
	}
	if _, lines := stop(targets(`blocks\.1\.mlp.*`)); told(lines, "those of") {
		t.Errorf("with other adapters: %q", lines)
	}
	if _, lines := stop(func(c *TrainConfig) { c.Preprocess.Mean = []float64{.4} }); told(lines, "those of") {
		t.Errorf("with other preprocessing: %q", lines)
	}
}

// From the second epoch on no picture is read, not even for validation.
func TestKeptPrefixReadsNoPictures(t *testing.T) {
	model, data := tinyViT(7).File(t), pictureFolder(t, 3, 7, 2)
	want := mustTrain(t, quick(t, model, data, lastBlock, func(c *TrainConfig) { c.CachePrefix = CacheOff }))
	for _, where := range []string{CacheRAM, CacheDisk} {
		away := filepath.Join(t.TempDir(), "away")
		var lines []string
		r := start(t, quick(t, model, data, lastBlock, cached(where, &lines)))
		r.keep()
		r.c.Progress = func(p Progress) {
			var err error
			switch {
			case p.Epoch == 2 && p.Step == 1:
				err = os.Rename(data, away)
				if r.train.prefix.ranks[0] != nil || r.job.evaluator().run.prefix.ranks[0] != nil {
					t.Error("the prefix keeps its memory")
				}
			case p.Epoch == 3 && p.Step == p.Steps:
				defer func() { err = os.Rename(away, data) }()
				row := Row{}
				err = r.validate(t.Context(), &row)
			}
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := r.loop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if named, _ := r.loader.Skipped(); named != nil {
			t.Errorf("%s: pictures were read: %v", where, named)
		}
		sameBytes(t, where, want.Dir, r.dir)
	}
}

// fails is a store that breaks after so many calls.
type fails struct {
	store
	puts, gets int
}

func (f *fails) put(i int, parts [][]byte) error {
	if f.puts--; f.puts < 0 {
		return errors.New("no space left on device")
	}
	return f.store.put(i, parts)
}

func (f *fails) get(i int, parts [][]byte) error {
	if f.gets--; f.gets < 0 {
		return errors.New("input/output error")
	}
	return f.store.get(i, parts)
}

// A disk that is full or breaks costs the cache and not the run.
func TestKeptPrefixIsLost(t *testing.T) {
	model, data := tinyViT(7).File(t), pictureFolder(t, 3, 7, 2)
	want := mustTrain(t, quick(t, model, data, lastBlock, func(c *TrainConfig) { c.CachePrefix = CacheOff }))
	for _, c := range []struct {
		val bool
		fails
		word string
	}{{false, fails{nil, 9, 99}, "no space"}, {false, fails{nil, 99, 13}, "input/output"}, {true, fails{nil, 99, 4}, "input/output"}, {true, fails{nil, 2, 99}, "no space"}} {
		var lines []string
		r := start(t, quick(t, model, data, lastBlock, cached(CacheDisk, &lines)))
		r.keep()
		k := r.kept
		if c.val {
			k = r.job.evaluator().kept
		}
		k.store = &fails{k.store, c.puts, c.gets}
		if _, err := r.loop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !told(lines, "cache    off: "+c.word) {
			t.Errorf("the run did not say %q: %q", c.word, lines)
		}
		sameBytes(t, c.word, want.Dir, r.dir)
	}
}

// A picture that cannot be read stays out, as without a cache.
func TestKeptPrefixBrokenPicture(t *testing.T) {
	model, data := tinyViT(7).File(t), pictureFolder(t, 3, 7, 2)
	train := func(where string) *Result {
		var lines []string
		r := start(t, quick(t, model, data, lastBlock, cached(where, &lines)))
		broken := filepath.Join(data, "train", "bars", "00.png")
		was, err := os.ReadFile(broken)
		if err == nil {
			err = os.WriteFile(broken, was[:len(was)/2], 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.keep()
		res, err := r.loop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if named, count := r.loader.Skipped(); len(named) != 1 || count != 3 {
			t.Errorf("%s: left out %v, %d times", where, named, count)
		}
		if err := os.WriteFile(broken, was, 0o644); err != nil {
			t.Fatal(err)
		}
		return res
	}
	sameBytes(t, "a broken picture", train(CacheOff).Dir, train(CacheRAM).Dir)
}

// Where a cache cannot be had a person who asked for it is told.
func TestKeptPrefixRefused(t *testing.T) {
	model, data := tinyViT(7).File(t), pictureFolder(t, 3, 3, 2)
	c := quick(t, model, data, func(c *TrainConfig) { c.CachePrefix = CacheRAM })
	says(t, c.Validate(), "cache_prefix", "--augment=false")
	c = quick(t, model, data, func(c *TrainConfig) { c.CachePrefix, c.Augment, c.MixUp = CacheDisk, false, .2 })
	says(t, c.Validate(), "cache_prefix", "mixup")
	c = quick(t, model, data, func(c *TrainConfig) { c.CachePrefix = "tape" })
	says(t, c.Validate(), "cache_prefix", "tape", "disk")
	for where, want := range map[string]bool{CacheRAM: true, CacheAuto: false} { // adapters everywhere
		var lines []string
		r := start(t, quick(t, model, data, cached(where, &lines), func(c *TrainConfig) { c.Augment = false }))
		if r.train.prefix != nil || told(lines, "cache    off: ") != want {
			t.Errorf("%s: %q", where, lines)
		}
	}
	if b := batchSizes(4, 9); !slices.Equal(b, []int{4, 1}) {
		t.Error(b)
	}
	var none *kept
	if none.all(nil) || none.of([]datasets.Sample{{}}) != nil {
		t.Error("nothing keeps something")
	}
}
