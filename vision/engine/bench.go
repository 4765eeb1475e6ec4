package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/optim"
)

// BenchConfig is one speed measurement: synthetic pictures, a head of ten
// classes, the optimiser step included.
type BenchConfig struct {
	Model   string
	Mode    string // train (LoRA), probe, full or infer
	Batch   int    // default 8
	DType   string // f32 (default), bf16x2 or bf16
	Threads int
	Targets string // default: the preset of the model's family
	Rank    int    // default 8
	Steps   int    // timed steps, default 20
	// MaxSeconds ends the timed steps after so long, but not before the third; 0
	// is no limit.
	MaxSeconds float64
	ImgSz      int
	Profile    bool
	// Recompute computes activations again instead of keeping them.
	Recompute bool
	// Blocks are those to adapt, nil for all.
	Blocks lora.Ints
	// CachedPrefix measures the epochs after the first of a run that keeps what
	// lies before the adapters, and then the same steps in one piece.
	CachedPrefix bool
}

// Benchmark is one JSON line. images_per_s and ms_per_step are those of the
// best step after two warm-ups; the median stands beside them.
type Benchmark struct {
	Model           string         `json:"model"`
	Mode            string         `json:"mode"`
	DType           string         `json:"dtype"`
	Batch           int            `json:"batch"`
	Threads         int            `json:"threads"`
	Rank            *int           `json:"rank"`
	ImagesPerSec    float64        `json:"images_per_s"`
	MsPerStep       float64        `json:"ms_per_step"`
	PeakRSS         int            `json:"peak_rss_mb"`
	TrainableParams int            `json:"trainable_params"`
	TotalParams     int            `json:"total_params"`
	Targets         string         `json:"targets,omitempty"`
	Sites           int            `json:"sites"`
	MedianPerSec    float64        `json:"images_per_s_median"`
	MedianMs        float64        `json:"ms_per_step_median"`
	CPUMs           float64        `json:"cpu_ms_per_image"` // of the cheapest step: hardly disturbed by other load
	Steps           int            `json:"steps"`
	ImgSz           int            `json:"imgsz"`
	Kernels         string         `json:"kernels"`
	ArenaMB         float64        `json:"arena_mb"`
	ArenaBoundMB    float64        `json:"arena_lower_bound_mb"`
	GFlops          float64        `json:"gflops"` // of a step
	Allocs          float64        `json:"allocs_per_step"`
	PeakGFlopsS     float64        `json:"peak_gflops_per_s,omitempty"`
	Loss            []float64      `json:"loss_first_last,omitempty"`
	Profile         []ProfiledKind `json:"profile,omitempty"`
	Cached          *BenchCached   `json:"cached_prefix,omitempty"`
}

// BenchCached compares steps whose prefix was kept, which are what the figures
// beside it are of, with steps in one piece. The peak is that of the first epoch
// too, which makes what is kept.
type BenchCached struct {
	Share         float64 `json:"share_of_forward"`
	KeptKB        float64 `json:"kept_kb_per_image"`
	Speedup       float64 `json:"speedup"` // of the processor time
	WholeCPUMs    float64 `json:"whole_cpu_ms_per_image"`
	WholeMedianMs float64 `json:"whole_ms_per_step_median"`
	WholeGFlops   float64 `json:"whole_gflops"`
	WholeArenaMB  float64 `json:"whole_arena_mb"`
}

// Bench measures a configuration.
func Bench(ctx context.Context, c BenchConfig) (*Benchmark, error) {
	if c.Model == "" {
		return nil, errors.New("there is no model: name an ONNX file with --model")
	}
	if c.Batch <= 0 {
		c.Batch = 8
	}
	if c.Steps <= 0 {
		c.Steps = 20
	}
	if c.Rank <= 0 {
		c.Rank = 8
	}
	n, err := OpenNetwork(c.Model, NetworkOptions{Height: c.ImgSz, Width: c.ImgSz, KeepBatchNorm: c.Mode == "full"})
	if err != nil {
		return nil, err
	}
	defer n.Close()
	s, err := openSession(c.Threads, c.DType)
	if err != nil {
		return nil, err
	}
	defer s.close()
	out := &Benchmark{Model: strings.TrimSuffix(filepath.Base(c.Model), ".onnx"), Mode: c.Mode, DType: s.dtype, Batch: c.Batch, Threads: s.team.Size(),
		ImgSz: n.Height, Kernels: s.kernels.Name()}
	if err := n.NewHead(make([]string, 10), 0); err != nil {
		return nil, err
	}
	switch c.Mode {
	case "train":
		cfg := lora.DefaultConfig()
		cfg.R, cfg.LoraAlpha = c.Rank, 2*float64(c.Rank)
		if c.Targets == "" {
			c.Targets = map[string]string{"vit": "vit", "cnn": "cnn"}[n.Annotation.Family]
		}
		cfg.TargetModules, cfg.Blocks = lora.ParseModules(c.Targets), c.Blocks
		if err := n.AddAdapter(cfg, 0); err != nil {
			return nil, err
		}
		out.Rank, out.Targets, out.Sites = &c.Rank, c.Targets, len(n.Plan.Sites)
	case "full":
		if err := n.TrainAll(); err != nil {
			return nil, err
		}
	case "probe", "infer":
	default:
		return nil, fmt.Errorf("mode %q: use train, probe, full, infer or data", c.Mode)
	}
	out.TotalParams = n.parameters()
	m := n.predictor()
	if c.Mode != "infer" {
		m = n.trainer(lossConfig{})
		out.TrainableParams = n.Net.Count()
	}
	run := func() *runner {
		r := newRunner(s.team, s.kernels, m)
		r.recompute = c.Recompute
		return r
	}
	if err := out.measure(ctx, n, run(), c); err != nil || !c.CachedPrefix {
		return out, err
	}
	whole := &Benchmark{}
	c.CachedPrefix, c.Profile = false, false
	if err := whole.measure(ctx, n, run(), c); err != nil {
		return nil, err
	}
	b := out.Cached
	b.Speedup, b.WholeMedianMs, b.WholeGFlops = round(whole.CPUMs/max(out.CPUMs, 1e-3), 2), whole.MedianMs, whole.GFlops
	b.WholeCPUMs, b.WholeArenaMB = whole.CPUMs, whole.ArenaMB
	return out, nil
}

// measure times the steps of a runner, and closes it.
func (b *Benchmark) measure(ctx context.Context, n *Network, r *runner, c BenchConfig) error {
	defer r.close()
	if c.CachedPrefix {
		why, err := r.divide(n, c.Batch)
		if err != nil {
			return err
		}
		if why != "" || c.Mode == "infer" {
			return fmt.Errorf("there is no prefix to keep: %s: use --mode probe, or --lora-layers with the last blocks", cmp.Or(why, "nothing trains"))
		}
	}
	set, err := r.prepare(c.Batch)
	if err != nil {
		return err
	}
	step, err := b.benchStep(n, r, set, c)
	if err != nil {
		return err
	}
	for range 2 {
		if err := step(); err != nil {
			return err
		}
	}
	times, err := b.time(ctx, step, c)
	if err != nil {
		return err
	}
	slices.Sort(times)
	best, median := times[0], times[len(times)/2]
	b.Steps = len(times)
	b.ImagesPerSec, b.MsPerStep = round(float64(c.Batch)/best, 2), round(best*1e3, 2)
	b.MedianPerSec, b.MedianMs = round(float64(c.Batch)/median, 2), round(median*1e3, 2)
	for _, sh := range set.shards {
		b.GFlops += sh.program.Flops() / 1e9
		b.ArenaMB += float64(sh.program.ArenaBytes) / (1 << 20)
		b.ArenaBoundMB += float64(sh.program.LowerBound) / (1 << 20)
	}
	b.GFlops = round(b.GFlops, 2)
	b.ArenaMB, b.ArenaBoundMB = round(b.ArenaMB, 1), round(b.ArenaBoundMB, 1)
	if c.Profile {
		if err := b.profile(r, set); err != nil {
			return err
		}
	}
	b.PeakRSS = peakRSS()
	return nil
}

// time takes the time of every step, and what they cost beside it.
func (b *Benchmark) time(ctx context.Context, step func() error, c BenchConfig) ([]float64, error) {
	times := make([]float64, 0, c.Steps)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun, cheapest := time.Now(), math.Inf(1)
	for len(times) < c.Steps {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("interrupted after %d of %d steps", len(times), c.Steps)
		}
		t, cpu := time.Now(), cpuSeconds()
		if err := step(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(t).Seconds())
		cheapest = min(cheapest, cpuSeconds()-cpu)
		if c.MaxSeconds > 0 && len(times) >= 3 && time.Since(begun).Seconds() > c.MaxSeconds {
			break
		}
	}
	runtime.ReadMemStats(&after)
	b.Allocs = round(float64(after.Mallocs-before.Mallocs)/float64(len(times)), 1)
	b.CPUMs = round(cheapest*1e3/float64(c.Batch), 3)
	return times, nil
}

// benchStep loads synthetic data and returns one step of work.
func (b *Benchmark) benchStep(n *Network, r *runner, set *set, c BenchConfig) (func() error, error) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, c.Batch*n.Height*n.Width*n.Picture.Channels)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	give := func() { load(set, x, n.picture) }
	if c.CachedPrefix {
		if err := r.feed(set, x, n.picture); err != nil { // the first epoch
			return nil, err
		}
		p := r.prefix
		p.free()
		b.Cached = &BenchCached{Share: round(p.share, 3), KeptKB: round(float64(p.bytes())/1024, 1)}
		ram, err := newMemory(c.Batch, p.bytes())
		if err != nil {
			return nil, err
		}
		var parts [][][]byte
		for i := range c.Batch {
			parts = append(parts, set.cutMemory(i))
			gather(ram.record(i), parts[i])
		}
		give = func() {
			for i := range parts {
				scatter(parts[i], ram.record(i))
			}
		}
	}
	give()
	if c.Mode == "infer" {
		return func() error { _, err := r.step(set); return err }, nil
	}
	y := make([]int64, c.Batch)
	for i := range y {
		y[i] = int64(rng.IntN(10))
	}
	load(set, y, func(c *circuit) *ops.Node { return c.labels })
	var params []optim.Param
	for i, p := range set.shards[0].params {
		params = append(params, optim.Param{Name: p.Name, Value: p.Data(), Grad: set.grads[i], Decay: true})
	}
	o := optim.DefaultAdamW()
	o.Threads = r.team.Size()
	opt, err := optim.NewAdamW(params, o)
	if err != nil {
		return nil, err
	}
	b.Loss = make([]float64, 2)
	first := true
	return func() error {
		give()
		l, err := r.step(set)
		if err != nil {
			return err
		}
		opt.Step(1e-3)
		if first {
			b.Loss[0], first = round(l, 4), false
		}
		b.Loss[1] = round(l, 4)
		return nil
	}, nil
}
