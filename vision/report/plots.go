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
	// What one split scored, as in [Evaluation].
	Classification *metric.Classification
	MultiLabel     *metric.MultiLabel
	Detection      *Detection
	Masks          *Detection
	Segmentation   *metric.Segmentation
	ROC            []plot.ROCCurve // see [ROC] and [MultiLabelROC]
	Classes        []string
	Counts         []plot.Split // images per class in every split
	// Boxes are those of the training images; with them Counts are objects per
	// class. See [LabelBoxes].
	Boxes []plot.LabelBox
}

// Pictures names the plots of a run directory, relative to it; "" is a plot
// that does not exist.
type Pictures struct {
	Results, Confusion, ConfusionNormalized, ROC, Labels string
	// Box and Mask are a detector's curves, by its boxes and by its masks.
	Box, Mask CurvePictures
}

// CurvePictures are precision over recall, and F1, precision and recall over the
// confidence: BoxPR_curve.png, BoxF1_curve.png, BoxP_curve.png and
// BoxR_curve.png, or with Mask in front.
type CurvePictures struct{ PR, F1, P, R string }

// plotFile is a plot of a run directory: the name is kept in done.
type plotFile struct {
	name string
	have bool
	done *string
	draw func(io.Writer) error
}

// Plots draws results.png (losses, accuracy, learning rate),
// confusion_matrix.png, confusion_matrix_normalized.png, roc.png, labels.png and
// a detector's curves into dir, and tells which of them there was anything to
// draw for.
func Plots(dir string, d Drawings) (Pictures, error) {
	var p Pictures
	matrix, unit, classes := d.confusion()
	panels := d.panels()
	counted := slices.ContainsFunc(d.Counts, func(s plot.Split) bool {
		return slices.ContainsFunc(s.Counts, func(n int) bool { return n > 0 })
	})
	labels := func(w io.Writer) error { return plot.LabelCounts(w, d.Classes, d.Counts) }
	if len(d.Boxes) > 0 {
		labels = func(w io.Writer) error { return plot.BoxLabels(w, d.Classes, d.Counts, d.Boxes) }
	}
	all := []plotFile{
		{"results.png", len(panels) > 0, &p.Results, func(w io.Writer) error { return plot.Curves(w, panels) }},
		{"confusion_matrix.png", len(matrix) > 0, &p.Confusion, func(w io.Writer) error { return plot.Confusion(w, unit, matrix, classes, false) }},
		{"confusion_matrix_normalized.png", len(matrix) > 0, &p.ConfusionNormalized, func(w io.Writer) error { return plot.Confusion(w, unit, matrix, classes, true) }},
		{"roc.png", len(d.ROC) > 0, &p.ROC, func(w io.Writer) error { return plot.ROC(w, d.ROC) }},
		{"labels.png", counted, &p.Labels, labels},
	}
	all = append(append(all, d.Detection.drawings(&p.Box)...), d.Masks.drawings(&p.Mask)...)
	for _, x := range all {
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

// confusion is the matrix of what was scored, nil if it is empty, what it counts
// and the names of its classes.
func (d Drawings) confusion() (metric.Confusion, plot.Unit, []string) {
	var matrix metric.Confusion
	unit, names := plot.Images, d.Classes
	switch {
	case d.Classification != nil:
		matrix = d.Classification.Confusion
	case d.Detection != nil:
		matrix, unit = d.Detection.Confusion, plot.Objects
	case d.Masks != nil:
		matrix, unit = d.Masks.Confusion, plot.Objects
	case d.Segmentation != nil:
		matrix, unit, names = d.Segmentation.Confusion, plot.Pixels, classNames(d.Segmentation)
	}
	if !slices.ContainsFunc(matrix, func(row []int) bool {
		return slices.ContainsFunc(row, func(n int) bool { return n > 0 })
	}) {
		return nil, unit, names
	}
	return matrix, unit, names
}

// drawings are the curves of a detector.
func (d *Detection) drawings(p *CurvePictures) []plotFile {
	if d == nil || d.Stats == nil || d.Curves == nil || len(d.Curves.Classes) == 0 {
		return nil
	}
	c := d.Curves
	over := func(measure string, rows [][]float64) func(io.Writer) error {
		return func(w io.Writer) error {
			return plot.OverConfidence(w, d.Kind.String(), measure, c.Confidence, d.classCurves(rows), c.Best)
		}
	}
	return []plotFile{
		{d.prefix() + "PR_curve.png", true, &p.PR, func(w io.Writer) error {
			recall, precision := d.precisionRecall()
			return plot.PrecisionRecall(w, d.Kind.String(), recall, d.classCurves(precision), float64(d.Stats.AP50))
		}},
		{d.prefix() + "F1_curve.png", true, &p.F1, over("F1", c.F1)},
		{d.prefix() + "P_curve.png", true, &p.P, over("precision", c.Precision)},
		{d.prefix() + "R_curve.png", true, &p.R, over("recall", c.Recall)},
	}
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
