package engine

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/lora"
)

// A steady step allocates nothing in the executor and little around it.
func TestSteadyStepAllocations(t *testing.T) {
	for name, b := range map[string]*onnxtest.Builder{"cnn": tinyCNN(5, 32), "vit": tinyViT(5)} {
		for _, mode := range []string{ModeLoRA, ModeFull} {
			r := start(t, quick(t, b.File(t), pictureFolder(t, 2, 4, 1), func(c *TrainConfig) { c.Mode, c.Batch, c.Accumulate = mode, 8, 1 }))
			set, err := r.train.prepare(8)
			if err != nil {
				t.Fatal(err)
			}
			x, y := newWeights(1).normal(1, 8, 32, 32, 3), []int64{0, 1, 0, 1, 1, 0, 1, 0}
			labels := func(c *circuit) *ops.Node { return c.labels }
			step := func() {
				load(set, x, r.net.picture)
				load(set, y, labels)
				if loss, err := r.train.step(set); err != nil || math.IsNaN(loss) {
					t.Fatal(loss, err)
				}
			}
			step()
			step()
			if n := testing.AllocsPerRun(5, func() {
				if err := r.session.team.Do(len(set.shards), set.run); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s %s: the executor allocates %v times a step", name, mode, n)
			}
			whole := func() {
				step()
				for i, q := range r.params {
					copy(q.Grad, set.grads[i])
				}
				r.at.Pending = 1
				r.update()
			}
			whole()
			if n := testing.AllocsPerRun(5, whole); n > 100 {
				t.Errorf("%s %s: a whole step allocates %v times", name, mode, n)
			} else {
				t.Logf("%s %s: %v allocations in a whole step", name, mode, n)
			}
		}
	}
}

// A run that diverges stops, says so, and leaves the last good weights.
func TestDivergence(t *testing.T) {
	model, data := tinyCNN(5, 32).File(t), pictureFolder(t, 2, 5, 2)
	c := quick(t, model, data, func(c *TrainConfig) { c.LR0, c.Warmup, c.Epochs = 1e3, 1, 8 })
	_, err := Train(t.Context(), c)
	says(t, err, "diverged at learning rate", "--lr0", "epoch")
	last := filepath.Join(c.Project, "train", "weights", "last")
	if _, serr := os.Stat(last); serr == nil {
		if !strings.Contains(err.Error(), last) {
			t.Errorf("the error does not say where the last good weights are: %v", err)
		}
		l, err := OpenWeights(WeightsOptions{Weights: last})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, p := range l.Net.Trainable() {
			for _, v := range p.Data() {
				if v-v != 0 {
					t.Fatalf("%s was saved with %v", p.Name, v)
				}
			}
		}
	} else if !strings.Contains(err.Error(), "No weights were saved yet") {
		t.Errorf("%v", err)
	}
}

// Once weights were saved, a run that diverges leaves them as they were and
// says where they are; so does one that is interrupted with broken weights.
func TestDivergenceKeepsWeights(t *testing.T) {
	for _, interrupt := range []bool{false, true} {
		c := quick(t, tinyCNN(5, 32).File(t), pictureFolder(t, 2, 5, 2))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := start(t, c)
		last := filepath.Join(r.dir, "weights", "last", lora.WeightsFile)
		var saved []byte
		r.c.Progress = func(p Progress) {
			if p.Epoch == 2 && p.Step == 1 {
				saved, _ = os.ReadFile(last)
				r.params[0].Value[0] = float32(math.NaN())
				if interrupt {
					cancel()
				}
			}
		}
		_, err := r.loop(ctx)
		says(t, err, "epoch 2", "diverged at learning rate", "last good weights are in "+filepath.Dir(last), "--lr0")
		now, rerr := os.ReadFile(last)
		if rerr != nil || len(saved) == 0 || !bytes.Equal(saved, now) {
			t.Errorf("interrupted %v: the last good weights changed: %v", interrupt, rerr)
		}
	}
}
