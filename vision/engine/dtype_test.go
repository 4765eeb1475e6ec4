package engine

import (
	"math"
	"testing"

	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/testdata"
)

// gradients are those of one step of a run at adapters that were trained a while.
func gradients(t *testing.T, model, data, dtype string) (r *run, g [][]float32) {
	t.Helper()
	r = start(t, quick(t, model, data, func(c *TrainConfig) { c.DType, c.Batch, c.LoRA.R = dtype, 4, 8 }))
	w := newWeights(9)
	for _, p := range r.net.Net.Trainable() {
		for i := range p.Data() {
			p.Data()[i] += .05 * float32(w.rng.NormFloat64())
		}
	}
	s, err := r.train.prepare(4)
	if err != nil {
		t.Fatal(err)
	}
	load(s, newWeights(1).normal(1, 4, r.net.Height, r.net.Width, 3), r.net.picture)
	load(s, []int64{0, 1, 1, 0}, func(c *circuit) *ops.Node { return c.labels })
	if _, err := r.train.step(s); err != nil {
		t.Fatal(err)
	}
	return r, s.grads
}

// arena is the memory of a shard's values.
func arena(t *testing.T, r *run) int {
	t.Helper()
	s, err := r.train.prepare(4)
	if err != nil {
		t.Fatal(err)
	}
	return s.shards[0].program.ArenaBytes
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 && bb == 0 {
		return 1
	}
	return ab / math.Sqrt(aa*bb)
}

// Gradients from products in bf16 point where those in float32 do: all together
// and at the worst parameter.
func TestBF16Gradients(t *testing.T) {
	data := pictureFolder(t, 2, 4, 1)
	compared := false
	for _, model := range []string{"vit_tiny_timmstyle/vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx", "squeezenet1.1/squeezenet1.1_fp32.onnx"} {
		model := testdata.Real(t, model)
		w, wide := gradients(t, model, data, DTypeF32)
		for _, want := range []struct {
			dtype      string
			all, worst float64
		}{{DTypeBF16, .999, .99}, {DTypeBF16x2, 1 - 1e-8, 1 - 1e-5}} {
			r, narrow := gradients(t, model, data, want.dtype)
			if r.session.dtype != want.dtype {
				t.Logf("%s is not faster here: not compared", want.dtype)
				continue
			}
			compared = true
			if a, b := arena(t, r), arena(t, w); a > b || want.dtype == DTypeBF16 && r.net.Annotation.Family == "vit" && 10*a > 7*b {
				t.Errorf("%s: values take %d bytes, %d in float32", model, a, b)
			}
			var all, other []float32
			worst, at := 1.0, ""
			for i, p := range r.params {
				if c := cosine(narrow[i], wide[i]); c < worst {
					worst, at = c, p.Name
				}
				all, other = append(all, narrow[i]...), append(other, wide[i]...)
			}
			c := cosine(all, other)
			t.Logf("%s in %s: cosine 1 − %.2g, at worst 1 − %.2g (%s)", model, want.dtype, 1-c, 1-worst, at)
			if c < want.all || worst < want.worst || c == 1 {
				t.Errorf("%s in %s: cosine 1 − %.2g, at worst 1 − %.2g (%s); want %g and %g, and not 1", model, want.dtype, 1-c, 1-worst, at, want.all, want.worst)
			}
		}
	}
	if !compared {
		t.Skip("bf16 is not faster on this processor")
	}
}

// In bf16 too a run is the same twice.
func TestBF16Run(t *testing.T) {
	data := pictureFolder(t, 3, 12, 6)
	run := func() *Result {
		return mustTrain(t, quick(t, sampleViT, data, func(c *TrainConfig) { c.DType, c.Batch = DTypeBF16, 12 }))
	}
	a, b := run(), run()
	sameBytes(t, "a second run", a.Dir, b.Dir)
	_, err := Train(t.Context(), quick(t, sampleViT, data, func(c *TrainConfig) { c.DType = "f16" }))
	says(t, err, "dtype", "f16", "bf16")
}
