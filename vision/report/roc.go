package report

import (
	"cmp"
	"math"
	"slices"

	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// ROC computes one curve per class against the rest, lowest area first, for
// [plot.ROC] names only the first few. Images are ranked by the log-probability
// of the class, as [metric.Classify] ranks them. Classes that lack positives or
// negatives have no curve.
func ROC(p metric.Predictions) []plot.ROCCurve {
	classes := len(p.Names)
	logZ := make([]float64, len(p.Labels))
	for i := range logZ {
		row := p.Logits[i*classes:][:classes]
		top := float64(slices.Max(row))
		var sum float64
		for _, z := range row {
			sum += math.Exp(float64(z) - top)
		}
		logZ[i] = top + math.Log(sum)
	}
	return curves(p.Names, len(p.Labels), func(i, c int) (float64, bool) {
		// Rounded to 2⁻⁴⁰: what is equal on paper must tie.
		return math.Round((float64(p.Logits[i*classes+c])-logZ[i])*(1<<40)) / (1 << 40), p.Labels[i] == c
	})
}

// MultiLabelROC computes one curve per label, lowest area first.
func MultiLabelROC(p metric.MultiLabelPredictions) []plot.ROCCurve {
	n := len(p.Names)
	return curves(p.Names, len(p.Targets)/max(n, 1), func(i, c int) (float64, bool) {
		return float64(p.Logits[i*n+c]), p.Targets[i*n+c]
	})
}

func curves(names []string, images int, of func(image, class int) (float64, bool)) []plot.ROCCurve {
	var out []plot.ROCCurve
	score, positive := make([]float64, images), make([]bool, images)
	for c, name := range names {
		for i := range score {
			score[i], positive[i] = of(i, c)
		}
		points := corners(metric.ROC(score, positive))
		if points == nil {
			continue
		}
		r := plot.ROCCurve{Name: name, AUROC: float64(metric.AUROC(score, positive))}
		for _, p := range points {
			r.X, r.Y = append(r.X, p.X), append(r.Y, p.Y)
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b plot.ROCCurve) int { return cmp.Compare(a.AUROC, b.AUROC) })
	return out
}

// corners drops the points inside horizontal and vertical runs, which changes
// nothing but the time to draw thousands of them.
func corners(p []metric.Point) []metric.Point {
	out := p[:0:0]
	for i, q := range p {
		if i > 0 && i+1 < len(p) && (p[i-1].X == q.X && q.X == p[i+1].X || p[i-1].Y == q.Y && q.Y == p[i+1].Y) {
			continue
		}
		out = append(out, q)
	}
	return out
}
