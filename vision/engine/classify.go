package engine

import (
	"context"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/transform"
)

// classify is the job of image classification, with one label or several.
type classify struct {
	eval   *evaluator
	mix    transform.Mix
	loss   lossConfig
	target []float32
}

func (j *classify) scoreName() string { return "accuracy" }

// trials: every validation image is right or wrong.
func (j *classify) trials(r *run) int { return len(r.data.Split(datasets.Val)) }

func (j *classify) evaluator() *evaluator { return j.eval }

func (j *classify) close() {
	if j.eval != nil {
		j.eval.close()
	}
}

func (j *classify) open(r *run) (err error) {
	c, n := &r.c, r.net
	kept := modelClasses(n.Model)
	if n.Annotation.Classifier == nil || len(kept) != n.Annotation.Classes {
		kept = nil
	}
	if r.data, kept, err = openTrainingData(c, kept); err != nil {
		return err
	}
	if _, err := r.data.Require(datasets.Train); err != nil {
		return err
	}
	r.tellData()
	if err := r.checkLoss(); err != nil {
		return err
	}
	n.MultiLabel = r.data.MultiLabel
	if kept != nil {
		c.logf("head     the model's own: its %d classes are the data's", len(kept))
		return n.KeepHead(r.data.Classes)
	}
	return n.NewHead(r.data.Classes, c.Seed)
}

// mix is how the pictures of a batch are blended: in every batch, if at all.
func (c *TrainConfig) mix() transform.Mix {
	return transform.Mix{MixUp: c.MixUp, CutMix: c.CutMix, Prob: 1}
}

func (j *classify) prepare(r *run, lc *datasets.LoaderConfig) (made maker, err error) {
	c := &r.c
	j.loss = lossConfig{LabelSmoothing: c.LabelSmoothing, MultiLabel: r.data.MultiLabel}
	if c.ClassWeights == "balanced" {
		j.loss.ClassWeights = balancedWeights(r.data)
	}
	j.mix = c.mix()
	j.loss.SoftTargets = j.mix.Enabled()
	if c.Augment {
		lc.Pipeline, err = transform.Train(r.pre, c.Aug)
	} else {
		lc.Pipeline, err = transform.Eval(r.pre)
	}
	if err != nil {
		return nil, err
	}
	if r.data.MultiLabel {
		lc.Classes = len(r.data.Classes)
	}
	j.target = make([]float32, lc.Batch*len(r.data.Classes))
	j.eval = newEvaluator(r.net, r.session, r.pre, c.Batch, c.Workers, lc.Cache)
	return r.net.trainer(j.loss), nil
}

func (j *classify) atEpoch(*run, int) error { return nil }

func (j *classify) load(r *run, s *set, b *datasets.Batch, x []float32) {
	k := len(r.data.Classes)
	switch {
	case j.mix.Enabled():
		lambda := j.mix.Apply(x, b.N, r.pre.Size[0], r.pre.Size[1], r.c.Seed, b.Epoch, b.Step)
		target := j.target[:b.N*k]
		transform.Targets(target, b.Labels[:b.N], k, lambda)
		if eps := float32(r.c.LabelSmoothing); eps > 0 {
			for i, t := range target {
				target[i] = t*(1-eps) + eps/float32(k)
			}
		}
		load(s, target, func(c *circuit) *ops.Node { return c.targets })
	case r.data.MultiLabel:
		load(s, b.Targets[:b.N*k], func(c *circuit) *ops.Node { return c.targets })
	default:
		load(s, b.Labels[:b.N], func(c *circuit) *ops.Node { return c.labels })
	}
}

func (j *classify) validate(ctx context.Context, r *run, samples []datasets.Sample, row *Row) error {
	s, err := j.eval.logits(ctx, samples)
	if err != nil {
		return err
	}
	row.Score, row.Second, row.ValLoss, err = s.summary(r.data)
	return err
}

// balancedWeights gives each class total/(classes·count), as scikit-learn does.
func balancedWeights(d *datasets.Dataset) []float64 {
	counts := d.Counts(datasets.Train)
	total := 0
	for _, c := range counts {
		total += c
	}
	w := make([]float64, len(counts))
	for i, c := range counts {
		w[i] = 1
		if c > 0 {
			w[i] = float64(total) / float64(len(counts)*c)
		}
	}
	return w
}
