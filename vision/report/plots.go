package report

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// Drawings is what [Plots] draws. All of it may be empty.
type Drawings struct {
	History History
	// One of the two, of the split that ROC belongs to.
	Classification *metric.Classification
	MultiLabel     *metric.MultiLabel
	ROC            []plot.ROCCurve // see [ROC] and [MultiLabelROC]
	Classes        []string
	Counts         []plot.Split // images per class in every split
}

// Pictures names the plots of a run directory, relative to it; "" is a plot
// that does not exist.
type Pictures struct {
	Results, Confusion, ConfusionNormalized, ROC, Labels string
}

// Plots draws results.png (losses, accuracy, learning rate),
// confusion_matrix.png, confusion_matrix_normalized.png, roc.png and labels.png
// into dir, and tells which of them there was anything to draw for.
func Plots(dir string, d Drawings) (Pictures, error) {
	var p Pictures
	var matrix metric.Confusion
	if d.Classification != nil && slices.ContainsFunc(d.Classification.PerClass, func(c metric.Class) bool { return c.Support > 0 }) {
		matrix = d.Classification.Confusion
	}
	panels := d.panels()
	counted := slices.ContainsFunc(d.Counts, func(s plot.Split) bool {
		return slices.ContainsFunc(s.Counts, func(n int) bool { return n > 0 })
	})
	for _, x := range []struct {
		name string
		have bool
		done *string
		draw func(io.Writer) error
	}{
		{"results.png", len(panels) > 0, &p.Results, func(w io.Writer) error { return plot.Curves(w, panels) }},
		{"confusion_matrix.png", len(matrix) > 0, &p.Confusion, func(w io.Writer) error { return plot.ConfusionMatrix(w, matrix, d.Classes) }},
		{"confusion_matrix_normalized.png", len(matrix) > 0, &p.ConfusionNormalized, func(w io.Writer) error { return plot.NormalizedConfusionMatrix(w, matrix, d.Classes) }},
		{"roc.png", len(d.ROC) > 0, &p.ROC, func(w io.Writer) error { return plot.ROC(w, d.ROC) }},
		{"labels.png", counted, &p.Labels, func(w io.Writer) error { return plot.LabelCounts(w, d.Classes, d.Counts) }},
	} {
		if !x.have {
			continue
		}
		var b bytes.Buffer
		if err := x.draw(&b); err != nil {
			return p, fmt.Errorf("draw %s: %w", x.name, err)
		}
		if err := writeFile(filepath.Join(dir, x.name), b.Bytes()); err != nil {
			return p, fmt.Errorf("write plot: %w", err)
		}
		*x.done = x.name
	}
	return p, nil
}

// panels are the curves that have any value.
func (d Drawings) panels() []plot.Panel {
	names := scores[d.History.task()].people
	quality := plot.Panel{Title: "Quality on val", XLabel: "epoch", Share: true}
	loss := plot.Panel{Title: "Loss", XLabel: "epoch"}
	classify := d.History.task() == "classify"
	switch {
	case d.MultiLabel != nil:
		names = multiLabelScores
	case classify:
		names = [2]string{"top-1", "top-5"}
		quality.Title, loss.YLabel = "Accuracy on val", "cross-entropy"
	}
	rate := plot.Panel{Title: "Learning rate", XLabel: "epoch"}
	add := func(p *plot.Panel, name string, value func(*EpochRow) *float64) {
		if x, y, ok := d.History.series(value); ok {
			p.Series = append(p.Series, plot.Series{Name: name, X: x, Y: y})
		}
	}
	add(&loss, "train", func(r *EpochRow) *float64 { return &r.TrainLoss })
	add(&loss, "val", func(r *EpochRow) *float64 { return &r.ValLoss })
	add(&quality, names[0], func(r *EpochRow) *float64 { return &r.Score })
	// Among five classes the right one is always within the first five.
	if !classify || d.MultiLabel != nil || len(d.Classes) > 5 {
		add(&quality, names[1], func(r *EpochRow) *float64 { return &r.Second })
	}
	add(&rate, "lr", func(r *EpochRow) *float64 { return &r.LR })
	if len(loss.Series) == 1 { // a panel names its lines only where there are several
		loss.Title += " on " + loss.Series[0].Name
	}
	var out []plot.Panel
	for _, p := range []plot.Panel{loss, quality, rate} {
		if len(p.Series) > 0 {
			out = append(out, p)
		}
	}
	return out
}
