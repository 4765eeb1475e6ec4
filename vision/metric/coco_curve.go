package metric

import (
	"cmp"
	"slices"
)

// recallPoints is how many points of recall precision is read at: 0, 0.01, …, 1.
const recallPoints = 101

// cocoScore is one class in one range of areas: per threshold the mean precision
// over the recall points and the highest recall.
type cocoScore struct {
	precision, recall [10]float64
}

// scoreClass scores the best limit detections per image. It reports false when
// no ground truth counts, which leaves precision and recall undefined.
//
// Source: pycocotools.cocoeval, COCOeval.accumulate.
func scoreClass(cells []*cocoCell, area areaRange, limit int) (s cocoScore, ok bool) {
	var objects int
	var scores []float64
	for _, c := range cells {
		objects += c.counted(area)
		for _, d := range c.dets[:min(limit, len(c.dets))] {
			scores = append(scores, d.score)
		}
	}
	if objects == 0 {
		return s, false
	}
	order := bestFirst(scores)
	outcomes := make([]outcome, len(scores))
	ranked := make([]outcome, len(scores))
	var buffer []outcome
	for t, threshold := range cocoThresholds {
		n := 0
		for _, c := range cells {
			buffer = slices.Grow(buffer[:0], len(c.dets))[:len(c.dets)]
			c.match(threshold, area, buffer)
			n += copy(outcomes[n:], buffer[:min(limit, len(buffer))])
		}
		for i, k := range order {
			ranked[i] = outcomes[k]
		}
		s.precision[t], s.recall[t] = interpolate(ranked, objects)
	}
	return s, true
}

// bestFirst is the order of falling scores, of equal ones the earlier first.
func bestFirst(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order
}

// interpolate is the mean of the interpolated precision over the recall points,
// and the highest recall, of outcomes in the order of their scores.
//
//	AP = 1/101 · Σᵣ max{ P(k) : R(k) ≥ r }        r = 0, 0.01, …, 1; 0 beyond the highest recall
//	P = TP/(FP + TP + ε), R = TP/objects          ε = 2⁻⁵², as numpy.spacing(1)
func interpolate(ranked []outcome, objects int) (precision, recall float64) {
	const epsilon = 0x1p-52
	var tp, fp float64
	p, r := make([]float64, len(ranked)), make([]float64, len(ranked))
	for i, o := range ranked {
		switch o {
		case right:
			tp++
		case wrong:
			fp++
		}
		p[i], r[i] = tp/(fp+tp+epsilon), tp/float64(objects)
	}
	for i := len(p) - 1; i > 0; i-- {
		p[i-1] = max(p[i-1], p[i])
	}
	var sum float64
	i := 0
	for k := range recallPoints {
		for i < len(r) && r[i] < recallPoint(k) {
			i++
		}
		if i == len(r) {
			break
		}
		sum += p[i]
	}
	if len(r) > 0 {
		recall = r[len(r)-1]
	}
	return sum / recallPoints, recall
}

// recallPoint is numpy.linspace(0, 1, 101)[k].
func recallPoint(k int) float64 {
	if k == recallPoints-1 {
		return 1
	}
	return float64(k) * .01
}
