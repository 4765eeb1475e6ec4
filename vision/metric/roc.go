package metric

import (
	"cmp"
	"slices"
)

// AUROC is the area under the receiver operating characteristic: the chance
// that a positive scores above a negative, ties counting half (Mann–Whitney U).
// It is Undefined without a positive or without a negative.
//
// Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
func AUROC(score []float64, positive []bool) Score {
	return newRanking(score, positive).auroc(nil)
}

// AveragePrecision is the area under the precision–recall steps.
//
//	AP = Σₖ (Rₖ − Rₖ₋₁)·Pₖ              over the distinct scores, highest first
//
// It is Undefined without a positive.
func AveragePrecision(score []float64, positive []bool) Score {
	return newRanking(score, positive).averagePrecision(nil)
}

// Point is one point of a curve.
type Point struct{ X, Y float64 }

// ROC is the curve of sensitivity (Y) over 1 − specificity (X), from (0, 0) to
// (1, 1), with one point per distinct score. It is nil where AUROC is
// Undefined.
func ROC(score []float64, positive []bool) []Point {
	r := newRanking(score, positive)
	var tp, fp, pos, neg float64
	for _, p := range positive {
		if p {
			pos++
		} else {
			neg++
		}
	}
	if pos == 0 || neg == 0 {
		return nil
	}
	curve := []Point{{}}
	for end := len(r.order); end > 0; {
		start := end
		for g := r.group[end-1]; start > 0 && r.group[start-1] == g; start-- {
			if positive[r.order[start-1]] {
				tp++
			} else {
				fp++
			}
		}
		end = start
		curve = append(curve, Point{fp / neg, tp / pos})
	}
	return curve
}

// ranking is a sort of the scores, made once and walked once per bootstrap
// sample.
type ranking struct {
	order    []int32 // images by score, lowest first
	group    []int32 // order[k] and order[k+1] tie if group[k] == group[k+1]
	positive []bool
}

func newRanking(score []float64, positive []bool) *ranking {
	r := &ranking{order: make([]int32, len(score)), group: make([]int32, len(score)), positive: positive}
	for i := range r.order {
		r.order[i] = int32(i)
	}
	slices.SortFunc(r.order, func(a, b int32) int {
		if c := cmp.Compare(score[a], score[b]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	for k := 1; k < len(r.order); k++ {
		r.group[k] = r.group[k-1]
		if score[r.order[k]] != score[r.order[k-1]] {
			r.group[k]++
		}
	}
	return r
}

// auroc counts image i weight[i] times; nil counts each once. Sums of pairs stay
// exact in float64.
func (r *ranking) auroc(weight []uint16) Score {
	var wins, below, pos, groupPos, groupNeg float64
	flush := func() {
		wins += groupPos * (below + groupNeg/2)
		below += groupNeg
		pos += groupPos
		groupPos, groupNeg = 0, 0
	}
	for k, i := range r.order {
		if k > 0 && r.group[k] != r.group[k-1] {
			flush()
		}
		w := 1.0
		if weight != nil {
			w = float64(weight[i])
		}
		if r.positive[i] {
			groupPos += w
		} else {
			groupNeg += w
		}
	}
	flush()
	return ratio(wins, pos*below)
}

func (r *ranking) averagePrecision(weight []uint16) Score {
	var area, tp, fp, groupPos, groupNeg float64
	flush := func() {
		tp += groupPos
		fp += groupNeg
		if groupPos > 0 {
			area += groupPos * tp / (tp + fp)
		}
		groupPos, groupNeg = 0, 0
	}
	for k := len(r.order) - 1; k >= 0; k-- {
		if k+1 < len(r.order) && r.group[k] != r.group[k+1] {
			flush()
		}
		i := r.order[k]
		w := 1.0
		if weight != nil {
			w = float64(weight[i])
		}
		if r.positive[i] {
			groupPos += w
		} else {
			groupNeg += w
		}
	}
	flush()
	return ratio(area, tp)
}
