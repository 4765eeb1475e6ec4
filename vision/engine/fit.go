package engine

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels/onednn"
)

// demand is what a batch will need beyond what is held already, in bytes.
type demand struct {
	arenas int // values and scratch
	inputs int // pictures and labels of the shards
	packed int // copies of frozen weights
}

func (d demand) total() int64 { return int64(d.arenas) + int64(d.inputs) + int64(d.packed) }

// demand compiles a batch's programs without reserving memory for them.
func (r *runner) demand(batch int) (d demand, err error) {
	for _, size := range shardSizes(batch, r.team.Size()) {
		c, err := r.compile(size)
		if err != nil {
			return d, err
		}
		d.arenas += buffer.Padded(c.program.ArenaBytes)
		for _, n := range c.program.Inputs {
			if c.Memory[n] == nil {
				d.inputs += c.program.Kind(n).Size() * elements(n)
			}
		}
		if k, native := r.kernels.(*onednn.Kernels); native { // one copy for all shards
			d.packed = max(d.packed, c.program.Packed(c.Memory, k.PackedBytes))
		}
	}
	return d, nil
}

// forget drops what was compiled.
func (r *runner) forget() { r.circuits = map[int]*compiled{} }

// splits reports whether a batch's gradient is the mean over its images, so that
// it may be summed up over parts; why says what is in the way.
func (r *run) splits() (ok bool, why string) {
	j, classifies := r.job.(*classify)
	switch {
	case !classifies:
		return false, "the loss counts over the whole batch"
	case j.loss.ClassWeights != nil:
		return false, "class weights count over the whole batch"
	case j.mix.Enabled():
		return false, "mixup and cutmix blend the pictures of a batch"
	}
	return true, ""
}

// atOnce is how many images of a batch are in the network at once.
func (r *run) atOnce(batch int) int {
	if m := r.c.MicroBatch; m > 0 {
		return min(m, batch)
	}
	return batch
}

// What this process holds before the first batch is told and not measured, so that the
// same command decides the same: the program with its libraries, the weights, and what
// is known of every picture. VmRSS of six models of 9 to 331 MiB is within 7 MiB of it.
const (
	program = 60 << 20
	sample  = 1 << 10
)

// estimate is the most memory the run will hold, with so many images in the
// network at once, and the part of it that grows with the pictures' area.
func (r *run) estimate(images int) (total, pictures int64, err error) {
	train, err := r.train.demand(images)
	if err != nil {
		return 0, 0, err
	}
	eval := newRunner(r.session.team, r.session.kernels, r.net.predictor())
	scored := images
	if r.net.Head.dense() != nil { // see newEvaluator
		scored = min(images, 2*r.session.team.Size())
	}
	val, err := eval.demand(scored)
	if err != nil {
		return 0, 0, err
	}
	// Three batches are read ahead; one is copied on its way.
	pictures = train.total() - int64(train.packed) + val.total() - int64(val.packed) + 4*4*int64(r.c.Batch*r.inputLen())
	state := 4 * 4 * int64(r.net.Net.Count()) // two gradients, two moments
	if r.ema != nil || r.c.EMA > 0 {
		state += 8 * int64(r.net.Net.Count())
	}
	if r.held == 0 {
		r.held = program + 4*int64(r.net.parameters()) + sample*int64(len(r.data.Samples))
	}
	fixed := r.held + int64(train.packed) + state
	return fixed + fixed/8 + pictures + pictures/8, pictures + pictures/8, nil // an eighth is what Go's collector lets lie
}

// fit makes the run fit the memory that it may use: it computes activations
// again, then puts fewer images through the network at once, and says so. What
// was asked for stays as it is where it fits.
func (r *run) fit(batch int) error {
	c := &r.c
	if ok, why := r.splits(); c.MicroBatch != 0 && !ok {
		return fmt.Errorf("--micro-batch %d: %s: use --batch and --accumulate", c.MicroBatch, why)
	}
	limit, allows := int64(0), "--max-memory allows"
	if c.MaxMemory != "" {
		var err error
		if limit, err = ParseSize(c.MaxMemory); err != nil {
			return fmt.Errorf("--max-memory: %w", err)
		}
	} else if left := available(); left > 0 {
		limit, allows = resident()+left, "this machine has"
	}
	if limit == 0 {
		return nil
	}
	if train, err := r.train.demand(r.atOnce(batch)); err != nil || c.MaxMemory == "" && resident()+4*train.total() < limit {
		return err // there is plenty
	}
	need, pictures, err := r.estimate(r.atOnce(batch))
	if err != nil {
		return err
	}
	again := func() error {
		r.train.forget()
		r.train.recompute = c.Recompute
		need, pictures, err = r.estimate(r.atOnce(batch))
		return err
	}
	if need > limit && !c.Recompute {
		before := need
		c.Recompute = true
		if err := again(); err != nil {
			return err
		}
		if need >= before {
			c.Recompute = false
			if err := again(); err != nil {
				return err
			}
		} else {
			c.logf("memory   %s needs about %s, %s %s: computes activations again (--recompute), which needs about %s", r.said(batch), sizeOf(before), allows, sizeOf(limit), sizeOf(need))
		}
	}
	splits, _ := r.splits()
	whole, before := need, r.said(batch)
	for need > limit && splits && r.atOnce(batch) > 1 {
		c.MicroBatch = (r.atOnce(batch) + 1) / 2
		if err := again(); err != nil {
			return err
		}
		if need <= limit {
			c.logf("memory   %s still needs about %s, %s %s: splits it into parts of %s (--micro-batch %d) with the same gradient, which needs about %s", before, sizeOf(whole), allows, sizeOf(limit), plural(c.MicroBatch, "image"), c.MicroBatch, sizeOf(need))
		}
	}
	if need > limit {
		return r.tooLarge(batch, need, pictures, limit, allows)
	}
	if j, ok := r.job.(*classify); ok { // scoring takes no more
		j.eval.batch = min(j.eval.batch, r.atOnce(batch))
	}
	if c.MaxMemory != "" {
		c.logf("memory   about %s of %s", sizeOf(need), sizeOf(limit))
		r.spare = limit - need
	}
	return nil
}

func (r *run) said(batch int) string {
	if n := r.atOnce(batch); n < batch {
		return fmt.Sprintf("a batch of %d in parts of %s", batch, plural(n, "image"))
	}
	return fmt.Sprintf("a batch of %d", batch)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// tooLarge says what is needed and what would fit.
func (r *run) tooLarge(batch int, need, pictures, limit int64, allows string) error {
	c := &r.c
	cure := fmt.Sprintf("Allow --max-memory %dMiB", (need+1<<20-1)>>20)
	for n := batch / 2; n >= 1 && r.atOnce(batch) == batch; n /= 2 {
		if less := need - pictures + pictures*int64(n)/int64(batch); less <= limit {
			cure += fmt.Sprintf(", or use --batch %d --accumulate %d (about %s)", n, c.Accumulate*((batch+n-1)/n), sizeOf(less))
			break
		}
	}
	if room := limit - (need - pictures); room > 0 {
		side := max(r.net.Height, r.net.Width)
		if side = int(float64(side)*math.Sqrt(float64(room)/float64(pictures))) / 32 * 32; side >= 32 {
			cure += fmt.Sprintf(", or smaller pictures: --imgsz %d", side)
		}
	} else {
		cure += fmt.Sprintf(", or take a smaller model: this one takes about %s before the first picture", sizeOf(need-pictures))
	}
	how := r.said(batch)
	if c.Recompute {
		how += " with activations computed again"
	}
	return fmt.Errorf("%s: %s needs about %s, %s %s. %s", c.Model, how, sizeOf(need), allows, sizeOf(limit), cure)
}
