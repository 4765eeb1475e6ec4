package engine

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/coco"
	"github.com/vislora/vislora/datasets/masks"
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/loss"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// segment is the job of finding a class for every pixel.
type segment struct {
	eval   *evaluator
	set    *masks.Set
	labels []int64 // of a batch
}

func (j *segment) scoreName() string { return "mIoU" }

// trials: an intersection over union is no share of independent trials; the
// highest is the best.
func (j *segment) trials(*run) int { return math.MaxInt }

func (j *segment) evaluator() *evaluator { return j.eval }

func (j *segment) close() {
	if j.eval != nil {
		j.eval.close()
	}
}

// openMasks reads masks in files, or paints them from COCO's objects.
func openMasks(path string, o datasets.Options) (*masks.Set, error) {
	switch {
	case masks.Detects(path):
		return masks.Open(path, o)
	case coco.Detects(path):
		if len(o.Classes) > 0 && o.Classes[0] == masks.Background {
			o.Classes = o.Classes[1:]
		}
		d, err := coco.Open(path, o)
		if err != nil {
			return nil, err
		}
		return masks.FromObjects(d, o)
	}
	return nil, fmt.Errorf("%s: no masks found: expected images/ and masks/, masks beside the images, or COCO JSON with outlines (docs/format/masks.md)", path)
}

func (j *segment) open(r *run) (err error) {
	c, n := &r.c, r.net
	o := datasets.Options{Seed: c.Seed, Fraction: c.Fraction, Val: splitShare(c.ValShare), Workers: c.Workers}
	if j.set, err = openMasks(c.Data, o); err != nil {
		return err
	}
	names := modelClasses(n.Model)
	if c.Names != "" {
		if names, err = readNames(c.Names); err != nil {
			return err
		}
	}
	kept := false
	if s := n.Annotation.Segmenter; s != nil && len(names) == s.Classes && sameSet(names, j.set.Classes) {
		kept = true
		if !slices.Equal(names, j.set.Classes) {
			o.Classes = names
			if j.set, err = openMasks(c.Data, o); err != nil {
				return err
			}
		}
	}
	r.data = j.set.Dataset
	if _, err := r.data.Require(datasets.Train); err != nil {
		return err
	}
	if len(r.data.Classes) < 2 {
		return fmt.Errorf("%s: one class (%s) in all masks: there is nothing to tell apart", c.Data, r.data.Classes[0])
	}
	r.tellData()
	if err := n.NewSegmentHead(r.data.Classes, kept, c.Seed); err != nil {
		return err
	}
	c.logf("head     %s", n.Head.Segment)
	return nil
}

func (j *segment) prepare(r *run, lc *datasets.LoaderConfig) (maker, error) {
	c := &r.c
	aug := c.Scene
	if !c.Augment {
		aug = transform.SceneAugment{}
	}
	aug.Mosaic = 0 // its seams are borders that no picture has
	var err error
	if lc.Scenes, err = transform.TrainScenes(r.pre, aug); err != nil {
		return nil, err
	}
	lc.Masks = j.set.ReadMask
	j.eval = newEvaluator(r.net, r.session, r.pre, c.Batch, c.Workers, lc.Cache)
	lossConfig := loss.SegmentConfig{Dice: c.Dice, Focal: c.Focal, Boundary: c.Boundary}
	if c.ClassWeights == "balanced" {
		if lossConfig.ClassWeights, err = j.balance(); err != nil {
			return nil, err
		}
	}
	return r.net.segmentTrainer(lossConfig, r.pre.Size), nil
}

// balance weighs classes by the inverse of their share of the training pixels,
// with a mean weight of 1 over the pixels.
func (j *segment) balance() ([]float64, error) {
	count := make([]float64, len(j.set.Classes))
	total := 0.0
	for _, s := range j.set.Split(datasets.Train) {
		m, err := j.set.ReadMask(s)
		if err != nil {
			return nil, err
		}
		for _, k := range m {
			if k != masks.Ignore {
				count[k]++
				total++
			}
		}
	}
	present := 0.0
	for _, n := range count {
		if n > 0 {
			present++
		}
	}
	for k, n := range count {
		if n > 0 {
			count[k] = total / (present * n)
		}
	}
	return count, nil
}

// segmentTrainer returns the maker of training circuits for pictures of h×w.
func (n *Network) segmentTrainer(l loss.SegmentConfig, size [2]int) maker {
	return func(batch int) (c *circuit, err error) {
		defer ops.Recover(&err)
		g, err := n.Net.Build(build.Options{Batch: batch, Training: true, Until: n.until()})
		if err != nil {
			return nil, err
		}
		y, err := n.segmentLogits(g)
		if err != nil {
			return nil, err
		}
		c = &circuit{Graph: g}
		c.labels = g.Input("labels", buffer.I64, false, batch, size[0], size[1])
		c.loss = loss.Segment(g.Graph, y, c.labels, l)
		return c, c.differentiate(n.Net.Trainable())
	}
}

// segmentPredictor returns the maker of inference circuits.
func (n *Network) segmentPredictor() maker {
	return func(batch int) (c *circuit, err error) {
		defer ops.Recover(&err)
		g, err := n.Net.Build(build.Options{Batch: batch, Until: n.until()})
		if err != nil {
			return nil, err
		}
		y, err := n.segmentLogits(g)
		if err != nil {
			return nil, err
		}
		return &circuit{Graph: g, outputs: []*ops.Node{y}}, nil
	}
}

func (j *segment) atEpoch(*run, int) error { return nil }

func (j *segment) load(r *run, s *set, b *datasets.Batch, x []float32) {
	n := b.N * r.pre.Size[0] * r.pre.Size[1]
	j.labels = slices.Grow(j.labels[:0], n)[:n]
	for i, k := range b.Mask[:n] {
		j.labels[i] = int64(k)
	}
	load(s, j.labels, func(c *circuit) *ops.Node { return c.labels })
}

func (j *segment) validate(ctx context.Context, r *run, samples []datasets.Sample, row *Row) error {
	p, err := j.eval.segmentations(ctx, samples, j.set, metric.SegmentOptions{})
	if err != nil {
		return err
	}
	m := p.eval.Evaluate()
	row.Score, row.Second = float64(m.MIoU), float64(m.Dice)
	return nil
}
