package engine

import (
	"context"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/report"
)

// job is what a run's task decides: which data it reads, what is trained behind
// the base model, against which loss, and how the result is scored.
type job interface {
	// open reads the data and puts the head on the network.
	open(r *run) error
	// prepare completes the loader's configuration and says how training
	// circuits are made.
	prepare(r *run, c *datasets.LoaderConfig) (maker, error)
	// atEpoch is told before an epoch (from 0) begins.
	atEpoch(r *run, epoch int) error
	// load hands a batch's targets to the circuits. x is its pictures, which
	// may be changed.
	load(r *run, s *set, b *datasets.Batch, x []float32)
	// validate scores samples into an epoch's row.
	validate(ctx context.Context, r *run, samples []datasets.Sample, row *Row) error
	// label adds what picture i of a training batch shows to its tile.
	label(r *run, b *datasets.Batch, i int, t *report.Tile)
	// document puts the figures of a split into the report and its plots.
	document(r *run, v *Validation, e *report.Evaluation, d *report.Drawings) error
	// tiles are images of the split with their labels, with the network's
	// answers, and its worst mistakes.
	tiles(r *run, v *Validation) (labels, answers, mistakes []report.Tile, err error)
	// scoreName is what people call the score that decides which epoch is
	// best, trials the number of independent trials it is the mean of.
	scoreName() string
	trials(r *run) int
	// evaluator is what validates, nil before prepare.
	evaluator() *evaluator
	close()
}

func newJob(t vision.Task) job {
	switch t {
	case vision.Detect:
		return &detect{}
	case vision.Segment:
		return &segment{}
	case vision.Instance:
		return &instance{}
	}
	return &classify{}
}

// tellData logs what a run begins with.
func (r *run) tellData() {
	c, n := &r.c, r.net
	c.logf("model    %s: %s", c.Model, n.Annotation.Arch)
	c.logf("input    %d×%d, %s", n.Height, n.Width, describePreprocess(r.pre))
	c.logf("         from %s", r.source)
	c.logf("data     %s: %d classes, %d train, %d val, %d test images", c.Data, len(r.data.Classes), len(r.data.Split(datasets.Train)), len(r.data.Split(datasets.Val)), len(r.data.Split(datasets.Test)))
	for _, w := range r.data.Warnings {
		c.logf("warning  %s", w)
	}
}
