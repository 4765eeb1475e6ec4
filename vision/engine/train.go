package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/optim"
	"github.com/vislora/vislora/vision/report"
)

// Result is what a run ends with.
type Result struct {
	Dir         string   `json:"dir"`
	Best        string   `json:"best"` // folder of the best weights
	BestEpoch   int      `json:"best_epoch"`
	Epochs      int      `json:"epochs"` // finished
	Interrupted bool     `json:"interrupted,omitempty"`
	Metrics     *Metrics `json:"metrics,omitempty"`
	Warnings    []string `json:"warnings,omitempty"`
}

// ErrInterrupted is returned, with the result so far, when the context ends
// before the run does. What was done is saved.
var ErrInterrupted = errors.New("interrupted")

// run is a training run in progress.
type run struct {
	c       TrainConfig
	dir     string
	net     *Network
	base    lora.BaseModel
	data    *datasets.Dataset
	pre     vision.Preprocess
	source  string // of the preprocessing
	session *session
	job     job
	train   *runner
	loader  *datasets.Loader
	training
	sched      optim.Schedule
	at         place
	started    time.Time
	scratch    []float32
	samples    pictures
	skipped    int   // unreadable images that were named
	overflowed bool  // said that pictures have too many objects
	kept       *kept // of the training images; nil: nothing
	held       int64 // bytes of this process before the first batch, see fit
	spare      int64 // bytes of --max-memory that nothing needs yet
	rooms      []*buffer.Arena
}

// Train fine-tunes a model on a data set and writes a run directory.
func Train(ctx context.Context, c TrainConfig) (*Result, error) {
	if c.Resume != "" {
		resumed, err := readArgs(c.Resume)
		if err != nil {
			return nil, err
		}
		c = resumed.movedTo(c)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &run{c: c, started: time.Now()}
	defer r.close()
	if err := r.open(); err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	unlock, err := r.directory()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := r.begin(); err != nil {
		return nil, err
	}
	r.keep()
	return r.loop(ctx)
}

func (r *run) close() {
	r.kept.close(false)
	r.release()
	if r.net != nil {
		r.net.Close()
	}
}

// release gives back what steps and scoring need.
func (r *run) release() {
	if r.train != nil {
		r.train.close()
	}
	if r.job != nil {
		r.job.close()
	}
	if r.session != nil {
		r.session.close()
	}
	for _, a := range r.rooms {
		a.Free()
	}
	r.train, r.session, r.loader, r.rooms = nil, nil, nil, nil
}

// room is memory for pictures outside of Go's heap: there the collector would let as
// much garbage lie beside them.
func (r *run) room(values int) []float32 {
	a, err := buffer.NewArena(4 * values)
	if err != nil {
		return make([]float32, values)
	}
	r.rooms = append(r.rooms, a)
	return a.At(0, buffer.F32, values).F32()
}

// open reads model and data and decides what trains.
func (r *run) open() (err error) {
	c := &r.c
	task := vision.Task(c.Task)
	if r.net, err = openFor(task, c.Model, c.ImgSz, c.Mode == ModeFull); err != nil {
		return err
	}
	n := r.net
	if c.LR0 == 0 {
		c.LR0 = DefaultLR(c.Mode, n.Annotation.Family)
	}
	if err := n.checkChannels(); err != nil {
		return err
	}
	if bad := n.Model.NonFinite(); len(bad) > 0 {
		return fmt.Errorf("%s: weight %q has %d values that are not finite numbers: the file is damaged", c.Model, bad[0].Name, bad[0].NaN+bad[0].Inf)
	}
	if r.pre, r.source, err = n.preprocess(task, c.Preprocess); err != nil {
		return err
	}
	r.job = newJob(task)
	if err := r.job.open(r); err != nil {
		return err
	}
	c.length(n.Head, len(r.data.Split(datasets.Train)))
	switch c.Mode {
	case ModeLoRA:
		cfg := c.LoRA.Clone()
		if cfg.TargetModules.IsZero() {
			preset := map[string]string{"vit": "vit", "cnn": "cnn"}[n.Annotation.Family]
			if preset == "" {
				preset = "all"
			}
			cfg.TargetModules = lora.ParseModules(preset)
		}
		if err := cfg.Validate(); err != nil {
			return err
		}
		if err := n.AddAdapter(cfg, c.Seed); err != nil {
			return err
		}
		c.logf("%s", n.Plan.Table())
	case ModeFull:
		if err := n.TrainAll(); err != nil {
			return err
		}
	}
	for _, note := range n.Annotation.Notes {
		c.logf("note     %s", note)
	}
	return nil
}

func describePreprocess(p vision.Preprocess) string {
	how := p.Resize
	if p.Resize == vision.ResizeShorter {
		how = fmt.Sprintf("shorter side to %d, centre crop", p.ResizeTo)
	}
	return fmt.Sprintf("%s 0–%g, mean %v, std %v, %s (%s)", p.Channels, p.Range, p.Mean, p.Std, how, p.Interpolation)
}

// prepare compiles the training step. Nothing is written before that works.
func (r *run) prepare() (err error) {
	c, n := &r.c, r.net
	if r.session, err = openSession(c.Threads, c.DType); err != nil {
		return err
	}
	if c.DType != DTypeF32 && c.DType != "" {
		c.logf("dtype    %s", r.session.described())
	}
	samples := r.data.Split(datasets.Train)
	var cache *datasets.Cache
	if c.Cache == "ram" {
		cache = datasets.NewCache(4 << 30)
	}
	lc := datasets.LoaderConfig{Samples: samples, Batch: min(c.Batch, len(samples)), Workers: r.session.workers(c.Workers), Shuffle: c.Sampler == "", Balanced: c.Sampler == "balanced",
		Seed: c.Seed, Cache: cache, Kept: func(places []int) bool { return r.kept.all(places) }, Room: r.room}
	made, err := r.job.prepare(r, &lc)
	if err != nil {
		return err
	}
	if r.loader, err = datasets.NewLoader(lc); err != nil {
		return err
	}
	r.job.evaluator().memory = r.loader.Memory() // no epoch runs while it works
	r.train = newRunner(r.session.team, r.session.kernels, made)
	r.train.recompute = c.Recompute
	if err := r.fit(lc.Batch); err != nil {
		return err
	}
	if cache != nil && r.limited() { // Go's collector lets as much garbage lie beside them
		cache.Limit(min(r.spare/2, 4<<30))
		r.takes(r.spare)
	}
	if err := r.divide(); err != nil {
		return err
	}
	set, err := r.train.prepare(r.atOnce(lc.Batch))
	if err != nil {
		return err
	}
	for _, p := range set.shards[0].params {
		r.params = append(r.params, optim.Param{Name: p.Name, Value: p.Data(), Grad: make([]float32, len(p.Data())), Decay: true})
	}
	if c.LoRAPlus != 1 {
		optim.LoRAPlus(r.params, c.LoRAPlus)
	}
	for i := range r.params {
		if p := &r.params[i]; slices.Contains(n.headNames, p.Name) {
			p.LRScale = c.HeadLR
		}
	}
	if c.Optimizer == "sgd" {
		o := optim.DefaultSGD()
		o.Momentum, o.WeightDecay = c.Momentum, c.WeightDecay
		r.opt, err = optim.NewSGD(r.params, o)
	} else {
		o := optim.DefaultAdamW()
		o.WeightDecay = c.WeightDecay
		r.opt, err = optim.NewAdamW(r.params, o)
	}
	if err != nil {
		return err
	}
	updates := c.Epochs * r.updatesPerEpoch()
	if c.EMA > 0 { // a tenth of the run to warm up
		if r.ema, err = optim.NewEMA(r.params, c.EMA, math.Max(1, float64(updates)/10)); err != nil {
			return err
		}
	}
	shape := optim.Cosine
	if !c.CosLR {
		shape = optim.Linear
	}
	r.sched = optim.Schedule{Shape: shape, LR: c.LR0, Final: c.LRF, Steps: updates, Warmup: int(math.Round(c.Warmup * float64(updates)))}
	if err := r.sched.Validate(); err != nil {
		return err
	}
	c.logf("trains   %s of %s parameters, batch %d on %d threads (%s), %d steps", thousands(n.Net.Count()), thousands(n.parameters()), lc.Batch, r.session.team.Size(), r.session.kernels.Name(), c.Epochs*r.loader.Steps())
	return nil
}

// parameters counts the base model's values and the head's.
func (n *Network) parameters() int {
	c := 0
	seen := map[string]bool{}
	for _, t := range n.Annotation.Graph.Tensors {
		if t.Origin != nil && kindFloat(t) && !seen[t.Origin.Name] {
			seen[t.Origin.Name] = true
			c += t.Len()
		}
	}
	for _, p := range n.Net.Trainable() {
		if n.Annotation.Graph.Tensors[p.Name] == nil {
			c += len(p.Data())
		}
	}
	return c
}

func (r *run) updatesPerEpoch() int {
	return (r.loader.Steps() + r.c.Accumulate - 1) / r.c.Accumulate
}

// loop is the run itself.
func (r *run) loop(ctx context.Context) (*Result, error) {
	c := &r.c
	before := r.at.Seconds
	begun := time.Now()
	elapsed := func() float64 { return before + time.Since(begun).Seconds() }
	stopped := ""
	for r.at.Epoch < c.Epochs {
		if c.Patience > 0 && r.at.Epoch-r.at.HighAt >= c.Patience {
			stopped = fmt.Sprintf("no better for %d epochs", c.Patience)
			c.logf("stops early: %s", stopped)
			break
		}
		if err := r.epoch(ctx, elapsed); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return r.interrupted(elapsed())
			}
			return nil, err
		}
		row := r.at.Rows[len(r.at.Rows)-1]
		keep := r.at.judge(row, r.job.trials(r))
		r.at.Seconds = elapsed()
		if keep {
			if err := r.save("best", false); err != nil {
				return nil, err
			}
		}
		if err := r.save("last", true); err != nil {
			return nil, err
		}
		if !c.plain {
			if err := r.samples.write(r.dir, r.data.Classes); err != nil {
				return nil, fmt.Errorf("draw training batches: %w", err)
			}
		}
		if err := report.WriteCSV(filepath.Join(r.dir, "results.csv"), r.history()); err != nil {
			return nil, err
		}
	}
	return r.finish(ctx, stopped)
}

// interrupted saves where the run stands, if its weights are sound.
func (r *run) interrupted(seconds float64) (*Result, error) {
	if name := r.broken(); name != "" {
		return nil, r.diverged(r.at.Step, fmt.Sprintf("%s holds values that are not finite", name))
	}
	r.at.Seconds = seconds
	if err := r.save("last", true); err != nil {
		return nil, err
	}
	if !r.c.plain {
		if err := r.samples.write(r.dir, r.data.Classes); err != nil {
			return nil, fmt.Errorf("draw training batches: %w", err)
		}
	}
	r.c.logf("interrupted after epoch %d, step %d. Go on with: vislora train --resume %s", r.at.Epoch, r.at.Step, r.dir)
	return &Result{Dir: r.dir, Best: filepath.Join(r.dir, "weights", "best"), BestEpoch: r.at.BestAt, Epochs: r.at.Epoch, Interrupted: true}, ErrInterrupted
}

// epoch trains one epoch from r.at.Step on and validates.
func (r *run) epoch(ctx context.Context, elapsed func() float64) error {
	c := &r.c
	if err := r.job.atEpoch(r, r.at.Epoch); err != nil {
		return err
	}
	e := r.loader.Epoch(ctx, r.at.Epoch, r.at.Step)
	defer func() { e.Close() }()
	steps := r.loader.Steps()
	meter := time.Now()
	images := 0
	waited := time.Duration(0) // for pictures
	for {
		begun := time.Now()
		b, err := e.Next()
		waited += time.Since(begun)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		loss, err := r.batch(b)
		step := b.Step
		n := b.N
		if r.at.Epoch == 0 && !b.Kept {
			r.samples.keepTrain(r, b)
		}
		e.Release(b)
		if errors.Is(err, errLost) { // once more, with the pictures
			e.Close()
			e = r.loader.Epoch(ctx, r.at.Epoch, step)
			continue
		}
		if err != nil {
			return err
		}
		if r.at.First == 0 {
			r.at.First = loss
		}
		if !(loss <= runaway*math.Max(r.at.First, 1)) {
			return r.diverged(step, fmt.Sprintf("the loss is %.4g (it was %.4g at the start)", loss, r.at.First))
		}
		r.at.LossSum += loss * float64(n)
		r.at.Images += n
		r.at.Step = step + 1
		if r.at.Pending == c.Accumulate || r.at.Step == steps {
			r.update()
		}
		images += n
		if c.Progress != nil {
			took := time.Since(meter).Seconds()
			perStep := took / float64(max(1, (images+r.c.Batch-1)/r.c.Batch))
			left := float64(steps-r.at.Step+(c.Epochs-r.at.Epoch-1)*steps) * perStep
			c.Progress(Progress{Epoch: r.at.Epoch + 1, Epochs: c.Epochs, Step: r.at.Step, Steps: steps, Loss: r.at.LossSum / float64(r.at.Images), LR: r.lr(),
				ImagesPerSec: float64(images) / took, ETA: time.Duration(left * float64(time.Second))})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.Close()
	r.tellSkipped()
	r.kept.rest()
	if r.at.Pending > 0 { // the last batches could not be read
		r.update()
	}
	if name := r.broken(); name != "" {
		return r.diverged(steps-1, fmt.Sprintf("%s holds values that are not finite", name))
	}
	lr := r.lr()
	if r.at.Images == 0 {
		return fmt.Errorf("epoch %d: none of the training images could be read", r.at.Epoch+1)
	}
	row := Row{Epoch: r.at.Epoch + 1, TrainLoss: r.at.LossSum / float64(r.at.Images), LR: lr, Score: math.NaN(), Second: math.NaN(), ValLoss: math.NaN()}
	if err := r.validate(ctx, &row); err != nil {
		return err
	}
	row.Time = elapsed()
	r.at.Rows = append(r.at.Rows, row)
	r.at.Epoch, r.at.Step, r.at.LossSum, r.at.Images = r.at.Epoch+1, 0, 0, 0
	took := time.Since(meter).Seconds()
	line := fmt.Sprintf("epoch %d/%d  loss %.4f", row.Epoch, c.Epochs, row.TrainLoss)
	if !math.IsNaN(row.ValLoss) {
		line += fmt.Sprintf("  val %.4f", row.ValLoss)
	}
	if !math.IsNaN(row.Score) {
		line += fmt.Sprintf("  %s %.4f", r.job.scoreName(), row.Score)
	}
	line += fmt.Sprintf("  lr %.2e  %.1f images/s", lr, float64(images)/took)
	if share := waited.Seconds() / took; share >= .01 {
		line += fmt.Sprintf("  waited %.0f %% for pictures", 100*share)
	}
	c.logf("%s", line)
	return nil
}

// runaway is how many times the first loss (or 1) a loss may reach before the
// run is given up.
const runaway = 1e3

// diverged is the error of a run whose learning rate was too high. What was
// saved last stays as it is.
func (r *run) diverged(step int, what string) error {
	last := filepath.Join(r.dir, "weights", "last")
	kept := "No weights were saved yet"
	if _, err := os.Stat(last); err == nil {
		kept = "The last good weights are in " + last
	}
	return fmt.Errorf("epoch %d, step %d: %s: training diverged at learning rate %.3g. %s. Try a smaller --lr0", r.at.Epoch+1, step+1, what, r.lr(), kept)
}

// broken names a trained tensor with a value that is not finite, "" if all are
// sound.
func (r *run) broken() string {
	for _, q := range r.params {
		for _, v := range q.Value {
			if v-v != 0 {
				return q.Name
			}
		}
	}
	return ""
}

// lr is the learning rate of the last update, or of the first one to come.
func (r *run) lr() float64 { return r.sched.At(min(max(r.at.Updates-1, 0), r.sched.Steps-1)) }

// tellSkipped names images that could not be read, each once, and says that objects were
// left out.
func (r *run) tellSkipped() {
	named, _ := r.loader.Skipped()
	for _, s := range named[r.skipped:] {
		r.c.logf("skipped  %s: %s", s.Name, s.Reason)
	}
	r.skipped = len(named)
	if n := r.loader.Overflow(); n > 0 && !r.overflowed {
		r.overflowed = true
		r.c.logf("left out %d objects of this epoch's pictures, the smallest: a picture trains on at most %d", n, mostObjects)
	}
}

// batch runs forward and backward and adds the gradients.
func (r *run) batch(b *datasets.Batch) (loss float64, err error) {
	n := r.atOnce(b.N)
	for at := 0; at < b.N; at += n {
		p := b
		if n < b.N {
			p = r.part(b, at, min(n, b.N-at))
		}
		l, err := r.pass(p, float64(p.N)/float64(b.N), r.at.Pending == 0 && at == 0)
		if err != nil {
			return 0, err
		}
		loss += l
	}
	r.at.Pending++
	return loss, nil
}

// part is n images of a batch, from image at on. Only what [run.splits] allows
// is taken over.
func (r *run) part(b *datasets.Batch, at, n int) *datasets.Batch {
	p := *b
	p.N, p.X, p.Labels, p.Keys = n, b.X[at*r.inputLen():], b.Labels[at:], b.Keys[at:]
	if r.data.MultiLabel {
		p.Targets = b.Targets[at*len(r.data.Classes):]
	}
	return &p
}

// pass runs images forward and backward and adds share of the gradients, or
// begins with it.
func (r *run) pass(b *datasets.Batch, share float64, first bool) (float64, error) {
	set, err := r.train.prepare(b.N)
	if err != nil {
		return 0, err
	}
	x := b.X[:b.N*r.inputLen()]
	if b.Kept {
		if err := r.kept.restore(set, b); err != nil {
			return 0, err
		}
	}
	r.job.load(r, set, b, x)
	if set.shards[0].Keys != nil {
		keys := make([]int64, b.N)
		for i, key := range b.Keys[:b.N] { // a mask of its own for every epoch
			keys[i] = key + int64(b.Epoch)<<32 + int64(r.c.Seed)<<48
		}
		load(set, keys, func(c *circuit) *ops.Node { return c.Keys })
	}
	switch {
	case b.Kept:
	case r.kept != nil:
		err = r.kept.feed(set, b, r.net.toInput(x, r.pre, &r.scratch), r.net.picture)
	default:
		err = r.train.feed(set, r.net.toInput(x, r.pre, &r.scratch), r.net.picture)
	}
	if err != nil {
		return 0, err
	}
	loss, err := r.train.step(set)
	if err != nil {
		return 0, err
	}
	w := float32(share)
	for i, q := range r.params {
		for j, g := range set.grads[i] {
			if first {
				q.Grad[j] = w * g
			} else {
				q.Grad[j] += w * g
			}
		}
	}
	return share * loss, nil
}

// update makes one optimiser step of the mean of the gradients that wait.
func (r *run) update() {
	if r.at.Pending > 1 {
		inv := 1 / float32(r.at.Pending)
		for _, q := range r.params {
			for j := range q.Grad {
				q.Grad[j] *= inv
			}
		}
	}
	if r.c.ClipNorm > 0 {
		optim.ClipGradNorm(r.params, r.c.ClipNorm)
	}
	r.opt.Step(r.sched.At(min(r.at.Updates, r.sched.Steps-1)))
	if r.ema != nil {
		r.ema.Update()
	}
	r.at.Updates++
	r.at.Pending = 0
}

// validate scores the val split, with the moving average where there is one.
func (r *run) validate(ctx context.Context, row *Row) error {
	samples := r.data.Split(datasets.Val)
	if len(samples) == 0 {
		return nil
	}
	if r.ema != nil {
		r.ema.Swap()
		defer r.ema.Swap()
	}
	if err := r.job.validate(ctx, r, samples, row); err != nil {
		return fmt.Errorf("validate after epoch %d: %w", row.Epoch, err)
	}
	return nil
}

// inputLen is the number of values of one prepared picture.
func (r *run) inputLen() int { return 3 * r.pre.Size[0] * r.pre.Size[1] }

// save writes weights/<name>; the best weights are the averaged ones where
// there is an average. state adds what a resumed run needs.
func (r *run) save(name string, state bool) error {
	if r.ema != nil && !state {
		r.ema.Swap()
		defer r.ema.Swap()
	}
	dir := filepath.Join(r.dir, "weights", name)
	err := writeWeights(dir, func(tmp string) error {
		if err := r.net.saveAdapter(tmp, r.base, vision.Task(r.c.Task), r.pre); err != nil {
			return err
		}
		if !state {
			return nil
		}
		return r.saveState(tmp, r.at)
	})
	if err != nil {
		return fmt.Errorf("save %s: %w: what was saved before is whole; when there is room again, go on with: vislora train --resume %s", dir, err, r.dir)
	}
	return nil
}

// finish evaluates the best weights and writes the run's documents.
func (r *run) finish(ctx context.Context, stopped string) (*Result, error) {
	c := &r.c
	r.forget()
	best := filepath.Join(r.dir, "weights", "best")
	res := &Result{Dir: r.dir, Best: best, BestEpoch: r.at.BestAt, Epochs: r.at.Epoch, Warnings: r.data.Warnings}
	split := datasets.Val
	if len(r.data.Split(split)) == 0 {
		split = datasets.Train
		c.logf("no val split: the figures below are those of the training images")
	}
	if !c.plain { // what follows opens the saved weights as anybody would; tests look at these
		r.release()
	}
	v, err := Validate(ctx, ValConfig{Weights: best, Data: c.Data, Split: split, Batch: r.atOnce(c.Batch), Threads: c.Threads, Workers: c.Workers, Model: c.Model, Seed: c.Seed, ValShare: c.ValShare, Bootstrap: 1000})
	if ctx.Err() != nil {
		c.logf("interrupted before the report. Write it with: vislora train --resume %s", r.dir)
		res.Interrupted = true
		return res, ErrInterrupted
	}
	if err != nil {
		return nil, fmt.Errorf("evaluate the best weights: %w", err)
	}
	v.Metrics.Seconds = math.Round(r.at.Seconds*100) / 100
	v.Metrics.Seed = c.Seed
	v.Metrics.TrainableParams, v.Metrics.TotalParams = r.net.Net.Count(), r.net.parameters()
	res.Metrics = v.Metrics
	b, err := json.MarshalIndent(v.Metrics, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(r.dir, "metrics.json"), append(b, '\n')); err != nil {
		return nil, err
	}
	if c.plain {
		return res, nil
	}
	if err := r.documents(v, stopped); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	return res, nil
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
