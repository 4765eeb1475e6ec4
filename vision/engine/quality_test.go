package engine

import (
	"encoding/binary"
	"encoding/json"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/safetensors"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/optim"
)

// The protocol of peers/quality: the same ONNX backbones, images, initial
// values and batch order as a recorded PyTorch run. Losses, the first step's
// gradients and accuracies are compared.

type recorded struct {
	Backbone, Method string
	Targets          *string
	LR               float64
	Seed             int
	Dtype            string
	Accuracy         []float64 `json:"val_acc_by_epoch"`
	First            []float64 `json:"first_losses"`
}

func recordings(t testing.TB) []recorded {
	t.Helper()
	b, err := os.ReadFile(testdata.Peers(t, "quality", "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []recorded
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var r recorded
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// digits reads one split, files sorted by (class, name), as (x/255 − ½)/½.
func digits(t testing.TB, split string) (x []float32, labels []int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testdata.Peers(t, "quality", "digits64", split), "*", "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files { // Glob sorts
		r, err := os.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		im, err := png.Decode(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		for v := range 64 {
			for u := range 64 {
				r, g, b, _ := im.At(u, v).RGBA()
				for _, c := range []uint32{r, g, b} {
					x = append(x, (float32(c>>8)/255-.5)/.5)
				}
			}
		}
		labels = append(labels, int64(filepath.Base(filepath.Dir(f))[0]-'0'))
	}
	return x, labels
}

// readTensors reads a safetensors file of float32.
func readTensors(t testing.TB, path string) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for name, ts := range f.Tensors {
		v := make([]float32, len(ts.Data)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(ts.Data[4*i:]))
		}
		out[name] = v
	}
	return out
}

// quality sets a recorded run up: network, initial values, batch order.
type quality struct {
	net   *Network
	s     *session
	wide  *session // in float32, for the validation
	train *runner
	eval  *runner
	x, vx []float32
	y, vy []int64
	order [][]int
	opt   *optim.AdamW
	opts  []optim.Param
	set   *set
}

const pixels = 64 * 64 * 3

func setUp(t testing.TB, r recorded) *quality {
	t.Helper()
	q := &quality{}
	net, err := OpenNetwork(testdata.Peers(t, "quality", r.Backbone+".onnx"), NetworkOptions{KeepBatchNorm: r.Method == "full"})
	if err != nil {
		t.Fatal(err)
	}
	q.net = net
	dump := r.Backbone + "_lora_seed" + string(rune('0'+r.Seed))
	if r.Method == "lora" && *r.Targets == "qkv" {
		dump = r.Backbone + "_lora-qkv_seed" + string(rune('0'+r.Seed))
	}
	init := readTensors(t, testdata.Peers(t, "quality", "dump", dump, "init.safetensors"))
	tensor := func(name string) []float32 {
		if init[name] == nil {
			t.Fatalf("init.safetensors has no %q", name)
		}
		return init[name]
	}
	if err := net.NewHead(make([]string, 10), 0); err != nil {
		t.Fatal(err)
	}
	copy(net.Net.Param(head.Weight).Data(), tensor("head.weight"))
	copy(net.Net.Param(head.Bias).Data(), tensor("head.bias"))
	switch r.Method {
	case "full":
		if err := net.TrainAll(); err != nil {
			t.Fatal(err)
		}
	case "lora":
		c := lora.DefaultConfig()
		c.TargetModules = lora.Modules{Pattern: "all"}
		if *r.Targets == "qkv" {
			c.TargetModules = lora.Modules{List: []string{"qkv"}}
		}
		if err := net.AddAdapter(c, 0); err != nil {
			t.Fatal(err)
		}
		for _, s := range net.Plan.Sites {
			for _, part := range []string{build.PartA, build.PartB} {
				name := build.AdapterParam(s.Site.Path, part)
				copy(net.Net.Param(name).Data(), tensor("backbone."+name))
			}
		}
	}
	b, err := os.ReadFile(testdata.Peers(t, "quality", "order_seed"+string(rune('0'+r.Seed))+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var order struct{ Epochs [][]int }
	if err := json.Unmarshal(b, &order); err != nil {
		t.Fatal(err)
	}
	q.order = order.Epochs
	q.x, q.y = digits(t, "train")
	q.vx, q.vy = digits(t, "val")
	for s, dtype := range map[**session]string{&q.s: r.Dtype, &q.wide: DTypeF32} {
		if *s, err = openSession(2, dtype); err != nil {
			t.Fatal(err)
		}
	}
	q.train = newRunner(q.s.team, q.s.kernels, net.trainer(lossConfig{}))
	q.eval = newRunner(q.wide.team, q.wide.kernels, net.predictor())
	if q.set, err = q.train.prepare(32); err != nil {
		t.Fatal(err)
	}
	for i, p := range q.set.shards[0].params {
		q.opts = append(q.opts, optim.Param{Name: p.Name, Value: p.Data(), Grad: q.set.grads[i], Decay: true})
	}
	if q.opt, err = optim.NewAdamW(q.opts, optim.DefaultAdamW()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.train.close(); q.eval.close(); q.s.close(); q.wide.close(); net.Close() })
	return q
}

// step trains on one batch of the recorded order and returns its loss.
func (q *quality) step(t testing.TB, epoch, batch int, lr float64) float64 {
	t.Helper()
	x, y := make([]float32, 0, 32*pixels), make([]int64, 0, 32)
	for _, i := range q.order[epoch][32*batch : 32*(batch+1)] {
		x = append(x, q.x[i*pixels:(i+1)*pixels]...)
		y = append(y, q.y[i])
	}
	load(q.set, x, q.net.picture)
	load(q.set, y, func(c *circuit) *ops.Node { return c.labels })
	l, err := q.train.step(q.set)
	if err != nil {
		t.Fatal(err)
	}
	if lr > 0 {
		q.opt.Step(lr)
	}
	return l
}

// epochs trains the ten of a recorded run.
func (q *quality) epochs(t testing.TB, lr float64) {
	t.Helper()
	for e := range 10 {
		for b := range 18 {
			q.step(t, e, b, lr)
		}
	}
}

func (q *quality) accuracy(t testing.TB) float64 {
	t.Helper()
	right := 0
	for at := 0; at < len(q.vy); at += 100 {
		n := min(100, len(q.vy)-at)
		s, err := q.eval.prepare(n)
		if err != nil {
			t.Fatal(err)
		}
		load(s, q.vx[at*pixels:(at+n)*pixels], q.net.picture)
		if _, err := q.eval.step(s); err != nil {
			t.Fatal(err)
		}
		logits := s.output(0, nil)
		for i := range n {
			best := 0
			for k, v := range logits[i*10 : (i+1)*10] {
				if v > logits[i*10+best] {
					best = k
				}
			}
			if int64(best) == q.vy[at+i] {
				right++
			}
		}
	}
	return float64(right) / float64(len(q.vy))
}

// TestRecordedLosses repeats the first four steps of every recorded f32 run, in
// the short suite of one seed.
func TestRecordedLosses(t *testing.T) {
	for _, r := range recordings(t) {
		if r.Dtype != "f32" || r.Method == "probe" && r.LR != 0.01 || r.Seed > 0 && (slowBuild() || testing.Short()) {
			continue
		}
		targets := ""
		if r.Targets != nil {
			targets = *r.Targets
		}
		t.Run(strings.Join([]string{r.Backbone, r.Method, targets, lrName(r.LR), "seed" + string(rune('0'+r.Seed))}, "_"), func(t *testing.T) {
			q := setUp(t, r)
			tol := 1e-4
			if r.Method == "full" && r.Backbone == "resnet10" {
				tol = 2e-3 // chaotic from the first update on: see peers/quality/README.md
			}
			for i, want := range r.First {
				got := q.step(t, 0, i, r.LR)
				if d := math.Abs(got - want); !(d <= tol) {
					t.Errorf("step %d: loss %.6f, recorded %.6f (difference %.1e > %.0e)", i, got, want, d, tol)
				}
			}
		})
	}
}

func lrName(lr float64) string {
	b, _ := json.Marshal(lr)
	return string(b)
}

// TestRecordedGradients compares every tensor's gradient of the first step.
func TestRecordedGradients(t *testing.T) {
	all := "all"
	for _, r := range []recorded{
		{Backbone: "resnet10", Method: "lora", Targets: &all}, {Backbone: "vit_micro", Method: "lora", Targets: &all},
		{Backbone: "resnet10", Method: "probe"}, {Backbone: "vit_micro", Method: "probe"},
	} {
		t.Run(r.Backbone+"_"+r.Method, func(t *testing.T) {
			q := setUp(t, r)
			q.step(t, 0, 0, 0)
			grads := readTensors(t, testdata.Peers(t, "quality", "dump", r.Backbone+"_"+r.Method+"_seed0", "grad_step0.safetensors"))
			if len(q.opts) != len(grads) {
				t.Errorf("%d tensors have a gradient, %d in the recording", len(q.opts), len(grads))
			}
			worst := 0.0
			for _, p := range q.opts {
				name := p.Name
				if !strings.HasPrefix(name, "head.") {
					name = "backbone." + name
				}
				want := grads[name]
				if len(want) != len(p.Grad) {
					t.Errorf("no recorded gradient for %s of %d values", name, len(p.Grad))
					continue
				}
				var diff, norm float64
				for i := range want {
					d := float64(p.Grad[i] - want[i])
					diff += d * d
					norm += float64(want[i]) * float64(want[i])
				}
				e := math.Sqrt(diff / math.Max(norm, 1e-30))
				if norm == 0 { // A's gradient while B is zero
					e = math.Sqrt(diff)
				}
				worst = max(worst, e)
				if !(e <= 1e-3) {
					t.Errorf("%s: relative error of the gradient %.2g > 1e-3", name, e)
				}
			}
			t.Logf("worst relative error over %d tensors: %.2g", len(q.opts), worst)
		})
	}
}

// TestRecordedAccuracy trains ten epochs, seeds 0 to 2.
func TestRecordedAccuracy(t *testing.T) {
	if os.Getenv("VISLORA_LONG") == "" {
		t.Skip("ten epochs, three seeds, four settings: make test-all")
	}
	type key struct {
		backbone, method string
		lr               float64
	}
	sum := map[key][2]float64{}
	for _, r := range recordings(t) {
		k := key{r.Backbone, r.Method, r.LR}
		if r.Dtype != "f32" || k != (key{"resnet10", "lora", 1e-3}) && k != (key{"vit_micro", "lora", 1e-3}) &&
			k != (key{"resnet10", "probe", 1e-2}) && k != (key{"vit_micro", "probe", 1e-2}) {
			continue
		}
		q := setUp(t, r)
		q.epochs(t, r.LR)
		got, want := q.accuracy(t), r.Accuracy[len(r.Accuracy)-1]
		t.Logf("%s %s lr %g seed %d: %.4f, PyTorch %.4f", r.Backbone, r.Method, r.LR, r.Seed, got, want)
		if math.Abs(got-want) > 0.02 {
			t.Errorf("%s %s lr %g seed %d: accuracy %.4f, PyTorch has %.4f", r.Backbone, r.Method, r.LR, r.Seed, got, want)
		}
		s := sum[k]
		sum[k] = [2]float64{s[0] + got/3, s[1] + want/3}
	}
	for k, s := range sum {
		t.Logf("%s %s lr %g, mean of seeds: %.4f, PyTorch %.4f", k.backbone, k.method, k.lr, s[0], s[1])
		if math.Abs(s[0]-s[1]) > 0.015 {
			t.Errorf("%s %s: mean accuracy %.4f, PyTorch has %.4f", k.backbone, k.method, s[0], s[1])
		}
	}
}

// TestBF16Accuracy trains the recorded runs with adapters in float32 and in bf16,
// from the same values in the same order. Both are scored in float32.
func TestBF16Accuracy(t *testing.T) {
	if os.Getenv("VISLORA_LONG") == "" {
		t.Skip("ten epochs, three seeds, two backbones, twice: make test-all")
	}
	sum := map[string][2]float64{}
	for _, r := range recordings(t) {
		if r.Dtype != DTypeF32 || r.Method != "lora" || r.LR != 1e-3 || *r.Targets != "all" {
			continue
		}
		var score [2]float64
		for i, dtype := range []string{DTypeF32, DTypeBF16} {
			r.Dtype = dtype
			q := setUp(t, r)
			if q.s.dtype != dtype {
				t.Skip("bf16 is not faster here")
			}
			q.epochs(t, r.LR)
			score[i] = q.accuracy(t)
		}
		t.Logf("%s seed %d: f32 %.4f, bf16 %.4f", r.Backbone, r.Seed, score[0], score[1])
		s := sum[r.Backbone]
		sum[r.Backbone] = [2]float64{s[0] + score[0]/3, s[1] + score[1]/3}
	}
	for backbone, s := range sum {
		t.Logf("%s, mean of seeds: f32 %.4f, bf16 %.4f", backbone, s[0], s[1])
		if math.Abs(s[0]-s[1]) > .015 {
			t.Errorf("%s: mean accuracy %.4f in float32, %.4f in bf16: more than 1.5 points apart", backbone, s[0], s[1])
		}
	}
}
