package engine

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/ops"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"2GiB": 2 << 30, "800MB": 800e6, "1.5g": 3 << 29, " 64 KiB ": 64 << 10, "1000000": 1e6, "3b": 3, "1T": 1 << 40, "512m": 512 << 20} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "2 parsecs", "-1GB", "0", "1e99", "nan", "inf", "2gg", "2ib"} {
		if n, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), "give one as 2GiB") {
			t.Errorf("%q is %d, %v", text, n, err)
		}
	}
}

// TestMicroBatch: parts of a batch give the batch's gradient and loss, the last
// part smaller than the others, labels and lists of labels.
func TestMicroBatch(t *testing.T) {
	data := pictureFolder(t, 2, 6, 2)
	grads := func(micro int) (loss float64, g []float32) {
		r := start(t, quick(t, tinyViT(5).File(t), data, func(c *TrainConfig) { c.Batch, c.MicroBatch, c.LoRA.LoraDropout, c.LabelSmoothing = 5, micro, .2, .1 }))
		e := r.loader.Epoch(context.Background(), 0, 0)
		defer e.Close()
		b, err := e.Next()
		if err != nil {
			t.Fatal(err)
		}
		if loss, err = r.batch(b); err != nil {
			t.Fatal(err)
		}
		for _, q := range r.params {
			g = append(g, q.Grad...)
		}
		return loss, g
	}
	loss, want := grads(0)
	for _, micro := range []int{1, 2, 4} {
		l, got := grads(micro)
		if math.Abs(l-loss) > 1e-6*loss {
			t.Errorf("%d at once: loss %v, want %v", micro, l, loss)
		}
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-5 {
				t.Fatalf("%d at once: gradient %d is %v, want %v", micro, i, got[i], want[i])
			}
		}
	}
	c := quick(t, tinyViT(5).File(t), data, func(c *TrainConfig) { c.MicroBatch, c.MixUp = 2, .5 })
	if _, err := Train(context.Background(), c); err == nil || !strings.Contains(err.Error(), "mixup") {
		t.Errorf("mixup in parts: %v", err)
	}
}

// large is a run whose activations are large against the noise of a process.
func large(t *testing.T, change ...func(*TrainConfig)) TrainConfig {
	return quick(t, sampleCNN, pictureFolder(t, 2, 16, 2), append([]func(*TrainConfig){func(c *TrainConfig) {
		c.Batch, c.ImgSz, c.Epochs, c.Threads = 32, 224, 1, 2
	}}, change...)...)
}

// TestEstimate compares what is said with what the process really takes.
func TestEstimate(t *testing.T) {
	if resident() == 0 || field("/proc/self/status", "VmRSS:") == 0 {
		t.Skip("this system does not tell how much memory a process holds")
	}
	if slowBuild() {
		t.Skip("memory is measured in the native build and by make test-all")
	}
	for _, again := range []bool{false, true} {
		r := start(t, large(t, func(c *TrainConfig) { c.Recompute = again }))
		r.train.close()
		r.train = newRunner(r.session.team, r.session.kernels, r.train.make)
		r.train.recompute = again
		d, err := r.train.demand(32)
		if err != nil {
			t.Fatal(err)
		}
		debug.FreeOSMemory()
		before := resident()
		set, err := r.train.prepare(32)
		if err != nil {
			t.Fatal(err)
		}
		load(set, make([]float32, 32*r.inputLen()), r.net.picture)
		load(set, make([]int64, 32), func(c *circuit) *ops.Node { return c.labels })
		if _, err := r.train.step(set); err != nil {
			t.Fatal(err)
		}
		grown, said := float64(resident()-before), float64(d.total())
		t.Logf("recompute %v: said %.1f MiB (%+v), grew %.1f MiB", again, said/(1<<20), d, grown/(1<<20))
		if grown > 1.25*said || grown < 0.75*said {
			t.Errorf("recompute %v: said %.1f MiB, grew by %.1f MiB", again, said/(1<<20), grown/(1<<20))
		}
	}
}

// TestMaxMemory lowers the limit until nothing fits.
func TestMaxMemory(t *testing.T) {
	need := func(change func(*TrainConfig)) int64 {
		r := start(t, large(t, change))
		n, _, err := r.estimate(r.atOnce(32))
		if err != nil {
			t.Fatal(err)
		}
		return n - r.held
	}
	whole := need(func(c *TrainConfig) {})
	again := need(func(c *TrainConfig) { c.Recompute = true })
	eight := need(func(c *TrainConfig) { c.Recompute, c.MicroBatch = true, 8 })
	t.Logf("whole %d MiB, again %d MiB, eight at once %d MiB", whole>>20, again>>20, eight>>20)
	for _, c := range []struct {
		name           string
		room           int64
		recompute      bool
		least, most    int
		said, cure, in string
	}{
		{name: "all", room: whole + whole/4, most: 0},
		{name: "recompute", room: (whole + 2*again) / 3, recompute: true, said: "computes activations again"},
		{name: "parts", room: (again + 3*eight) / 4, recompute: true, least: 1, most: 16, said: "splits it into parts of"},
		{name: "nothing", room: 1 << 20, cure: "--max-memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			debug.FreeOSMemory()
			var log strings.Builder
			cfg := large(t, func(cfg *TrainConfig) {
				cfg.Log = func(format string, a ...any) { fmt.Fprintf(&log, format+"\n", a...) }
			})
			cfg.MaxMemory = "1TiB"
			r := start(t, cfg)
			r.train.forget()
			r.c.MaxMemory = fmt.Sprint(r.held + c.room)
			err := r.fit(32)
			if c.cure != "" {
				if err == nil || !strings.Contains(err.Error(), c.cure) || !strings.Contains(err.Error(), "needs about") {
					t.Fatalf("error %v", err)
				}
				t.Log(err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.c.Recompute != c.recompute || r.c.MicroBatch < c.least || r.c.MicroBatch > c.most || r.c.Batch != 32 || r.c.Accumulate != 1 {
				t.Errorf("recompute %v, %d at once, batch %d", r.c.Recompute, r.c.MicroBatch, r.c.Batch)
			}
			if !strings.Contains(log.String(), c.said) {
				t.Errorf("the log does not say %q:\n%s", c.said, log.String())
			}
			t.Log(log.String()[max(0, strings.Index(log.String(), "memory")):])
		})
	}
}

// TestAvailable: a machine that tells has something left, and no more than it has.
func TestAvailable(t *testing.T) {
	total := field("/proc/meminfo", "MemTotal:")
	if total == 0 {
		t.Skip("this system does not tell how much memory it has")
	}
	if left := available(); left <= 0 || left > total {
		t.Errorf("%d bytes available of %d", left, total)
	}
}
