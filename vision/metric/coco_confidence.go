package metric

import (
	"fmt"
	"math"
	"sort"
)

// confidencePoints is how many confidences the curves are given at, from 0 to 1.
const confidencePoints = 1000

// Confidences are precision, recall and F1 of detections at IoU 0.5, over the
// confidence from which on detections are kept.
type Confidences struct {
	Confidence []float64 `json:"confidence"` // 0 … 1
	Classes    []int     `json:"classes"`    // that have ground truth
	// Precision, Recall and F1 have a row per class and a column per confidence.
	Precision [][]float64 `json:"precision"`
	Recall    [][]float64 `json:"recall"`
	F1        [][]float64 `json:"f1"`
	// Best is the column in which the mean F1 over the classes, smoothed over a
	// tenth of the confidences, is highest: the confidence to use. −1 when no
	// class has ground truth.
	Best int `json:"best"`
}

// Confidences draws the curves as Ultralytics does for its F1, P and R plots.
//
//	P = TP/(TP + FP), R = TP/objects, F1 = 2PR/(P + R + 1e-16)
//
// Each is interpolated linearly between the scores; above the highest score
// P = 1 and R = 0. A class that was never found has 0 everywhere. Each detection
// may only match the object of its class that it overlaps most, if by 0.5 or
// more, and of several for one object the one with the highest score is right.
// What else lies by half in a crowd counts as neither, and crowds are not
// missed.
//
// Source: the definition of ap_per_class in Ultralytics 8 (YOLO).
func (e *COCOEval) Confidences(kind COCOKind) (*Confidences, error) {
	classes, cells, err := e.cells(kind, 0)
	if err != nil {
		return nil, err
	}
	out := &Confidences{Confidence: make([]float64, confidencePoints), Best: -1}
	for i := range out.Confidence {
		out.Confidence[i] = float64(i) / (confidencePoints - 1)
	}
	sum := make([]float64, confidencePoints)
	for _, class := range classes {
		var objects int
		for _, c := range cells[class] {
			objects += c.objects()
		}
		if objects == 0 {
			continue
		}
		p, r := confidenceCurves(cells[class], objects, out.Confidence)
		f := make([]float64, confidencePoints)
		for i := range f {
			f[i] = 2 * p[i] * r[i] / (p[i] + r[i] + 1e-16)
			sum[i] += f[i]
		}
		out.Classes = append(out.Classes, class)
		out.Precision, out.Recall, out.F1 = append(out.Precision, p), append(out.Recall, r), append(out.F1, f)
	}
	if len(out.Classes) > 0 {
		out.Best = highest(smooth(sum, confidencePoints/10+1))
	}
	return out, nil
}

// At is the mean precision, recall and F1 over the classes at a confidence.
func (c *Confidences) At(confidence float64) (precision, recall, f1 Score, err error) {
	if !(confidence >= 0 && confidence <= 1) {
		return 0, 0, 0, fmt.Errorf("confidence %g is not between 0 and 1", confidence)
	}
	column := func(rows [][]float64) Score {
		v := make([]Score, len(rows))
		for i, row := range rows {
			v[i] = Score(row[int(math.Round(confidence*(confidencePoints-1)))])
		}
		return mean(v)
	}
	return column(c.Precision), column(c.Recall), column(c.F1), nil
}

// objects is the number of ground truths that are no crowd.
func (c *cocoCell) objects() int {
	var n int
	for _, g := range c.gts {
		if !g.crowd {
			n++
		}
	}
	return n
}

// bestOnly marks the detections that are right when each may match only the
// object that it overlaps most, and each object only once.
func (c *cocoCell) bestOnly(threshold float64) []outcome {
	out := make([]outcome, len(c.dets))
	used := make([]bool, len(c.gts))
	for i := range c.dets {
		best, at, inCrowd := 0., -1, false
		for j, g := range c.gts {
			switch v := c.iou[i][j]; {
			case v < threshold:
			case g.crowd:
				inCrowd = true
			case v > best:
				best, at = v, j
			}
		}
		switch {
		case at >= 0 && !used[at]:
			out[i], used[at] = right, true
		case inCrowd:
			out[i] = ignored
		}
	}
	return out
}

// confidenceCurves is the precision and recall of a class at each confidence.
func confidenceCurves(cells []*cocoCell, objects int, at []float64) (precision, recall []float64) {
	var scores []float64
	var outcomes []outcome
	for _, c := range cells {
		for i, o := range c.bestOnly(.5) {
			if o != ignored {
				scores, outcomes = append(scores, c.dets[i].score), append(outcomes, o)
			}
		}
	}
	precision, recall = make([]float64, len(at)), make([]float64, len(at))
	if len(scores) == 0 {
		return precision, recall
	}
	order := bestFirst(scores)
	s, p, r := make([]float64, len(order)), make([]float64, len(order)), make([]float64, len(order))
	var tp float64
	for i, k := range order {
		if outcomes[k] == right {
			tp++
		}
		s[i], p[i], r[i] = scores[k], tp/float64(i+1), tp/float64(objects)
	}
	for i, x := range at {
		precision[i], recall[i] = interpolateFalling(x, s, p, 1), interpolateFalling(x, s, r, 0)
	}
	return precision, recall
}

// interpolateFalling reads y at x, where xs falls; above is y beyond xs[0]. Of
// equal xs the last counts, at which all of them are in.
func interpolateFalling(x float64, xs, ys []float64, above float64) float64 {
	next := sort.Search(len(xs), func(i int) bool { return xs[i] < x })
	switch {
	case next == 0:
		return above
	case next == len(xs):
		return ys[len(ys)-1]
	}
	slope := (ys[next] - ys[next-1]) / (xs[next] - xs[next-1])
	return slope*(x-xs[next-1]) + ys[next-1]
}

// smooth is the mean over width (odd) neighbours; the ends are continued.
func smooth(v []float64, width int) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		var sum float64
		for k := i - width/2; k <= i+width/2; k++ {
			sum += v[min(max(k, 0), len(v)-1)]
		}
		out[i] = sum / float64(width)
	}
	return out
}

// highest is the index of the first largest value.
func highest(v []float64) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}
