package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/masks"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// segmented are the pixels of a list of samples against their masks.
type segmented struct {
	eval    *metric.SegmentEval
	samples []datasets.Sample
	scores  []float64 // mean IoU of each sample
	// found are the classes of the pixels of some samples: of shown ones, spread
	// over the list, and of the worst.
	found   map[int][]uint8
	shown   []int
	worst   []int // lowest score first
	skipped []datasets.Skipped
	seconds float64
}

// labels are the classes of the pixels of a sample.
func (e *evaluator) labels(s datasets.Sample, out []float32, c *circuit) ([]uint8, error) {
	d := ops.Shape(c.outputs[0])
	v := head.View{Map: [2]int{d[1], d[2]}, Input: e.pre.Size, Place: transform.Place(e.pre, s.W, s.H)}
	return v.Labels(out, s.H, s.W)
}

// segmentations runs samples through the network and compares with the masks.
func (e *evaluator) segmentations(ctx context.Context, samples []datasets.Sample, truth *masks.Set, o metric.SegmentOptions) (*segmented, error) {
	out := &segmented{found: map[int][]uint8{}, shown: evenly(len(samples), boxImages)}
	var err error
	if out.eval, err = metric.NewSegmentEval(truth.Classes, o); err != nil {
		return nil, err
	}
	var errs []error
	rest, err := e.each(ctx, samples, func(s datasets.Sample, logits []float32, c *circuit) {
		want, err := truth.ReadMask(s)
		if err == nil {
			var got []uint8
			if got, err = e.labels(s, logits, c); err == nil {
				if err = out.eval.Add(want, got, s.W, s.H); err == nil {
					var score float64
					score, err = imageScore(truth.Classes, want, got, s)
					out.add(s, score, got)
				}
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	out.skipped, out.seconds = rest.skipped, rest.seconds
	return out, nil
}

// imageScore is the mean IoU of one picture alone, 1 where nothing is to be
// scored.
func imageScore(classes []string, want, got []uint8, s datasets.Sample) (float64, error) {
	one, err := metric.NewSegmentEval(classes, metric.SegmentOptions{})
	if err != nil {
		return 0, err
	}
	if err := one.Add(want, got, s.W, s.H); err != nil {
		return 0, err
	}
	if v := one.Evaluate().MIoU; v.Defined() {
		return float64(v), nil
	}
	return 1, nil
}

// worstImages is the number of the worst answers that are kept.
const worstImages = 6

// add keeps what the sheets show.
func (p *segmented) add(s datasets.Sample, score float64, labels []uint8) {
	i := len(p.samples)
	p.samples, p.scores = append(p.samples, s), append(p.scores, score)
	p.found[i] = labels
	p.worst = append(p.worst, i)
	slices.SortStableFunc(p.worst, func(a, b int) int { return cmp.Compare(p.scores[a], p.scores[b]) })
	if len(p.worst) > worstImages {
		out := p.worst[worstImages]
		if p.worst = p.worst[:worstImages]; !slices.Contains(p.shown, out) {
			delete(p.found, out)
		}
	}
}
