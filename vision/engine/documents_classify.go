package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision/report"
)

func (j *classify) label(r *run, b *datasets.Batch, i int, t *report.Tile) {
	if k := b.Labels[i]; k >= 0 {
		t.Lines = []string{r.data.Classes[k]}
	}
}

func (j *classify) document(r *run, v *Validation, e *report.Evaluation, d *report.Drawings) error {
	e.Resamples, e.Classification, e.MultiLabel = 1000, v.Metrics.Classification, v.Metrics.MultiLabel
	d.Classification, d.MultiLabel = e.Classification, e.MultiLabel
	if e.Classification != nil {
		d.ROC = report.ROC(v.scores.predictions(r.data.Classes))
	} else {
		d.ROC = report.MultiLabelROC(v.scores.multiLabel(r.data.Classes))
	}
	return nil
}

// tiles: of several labels an image has none that is wrong.
func (j *classify) tiles(r *run, v *Validation) (labels, answers, mistakes []report.Tile, err error) {
	if v.Metrics.Classification == nil {
		return nil, nil, nil, nil
	}
	probs := v.loaded.probabilities(v.scores)
	k := v.scores.Classes
	tile := func(i int, answer bool) (report.Tile, error) {
		s := v.scores.Samples[i]
		im, err := report.Thumbnail(s.Path)
		if err != nil {
			return report.Tile{}, err
		}
		best := top(probs[i*k : (i+1)*k])
		good := best == s.Label
		t := report.Tile{Image: im, Lines: []string{r.data.Classes[s.Label]}}
		if answer {
			t.Lines = []string{fmt.Sprintf("%s %.2f", r.data.Classes[best], probs[i*k+best])}
			if !good {
				t.Lines = append(t.Lines, "is "+r.data.Classes[s.Label])
			}
			t.Good = &good
		}
		return t, nil
	}
	all := func(indices []int, answer bool) (out []report.Tile) {
		for _, i := range indices {
			t, e := tile(i, answer)
			if e != nil {
				err = e
			}
			out = append(out, t)
		}
		return out
	}
	// Spread over the split, so that every class has a chance to be seen.
	shown := evenly(len(v.scores.Samples), sheetImages)
	var wrong []int
	for i, s := range v.scores.Samples {
		if top(probs[i*k:(i+1)*k]) != s.Label {
			wrong = append(wrong, i)
		}
	}
	slices.SortStableFunc(wrong, func(a, b int) int {
		return cmp.Compare(probs[a*k+v.scores.Samples[a].Label], probs[b*k+v.scores.Samples[b].Label])
	})
	labels, answers, mistakes = all(shown, false), all(shown, true), all(wrong[:min(sheetImages, len(wrong))], true)
	return labels, answers, mistakes, err
}

func top(p []float64) int {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return best
}
