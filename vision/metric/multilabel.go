package metric

import (
	"fmt"
	"math"
)

// MultiLabelPredictions are a model's answers where an image may show any number
// of labels.
type MultiLabelPredictions struct {
	Names   []string  // of the labels
	Logits  []float32 // (images, labels); a probability is their sigmoid
	Targets []bool    // (images, labels)
	// Threshold on the probability above which a label counts as predicted.
	// Default 0: means 0.5.
	Threshold float64
}

// MultiLabel is what a multi-label split scores.
type MultiLabel struct {
	MAP     Score `json:"mAP"`   // mean average precision over labels that occur
	AUROC   Score `json:"auroc"` // macro
	MacroF1 Score `json:"macro_f1"`
	MicroF1 Score `json:"micro_f1"`
	// ExactMatch is the share of images with every label right.
	ExactMatch Score `json:"exact_match"`
	Loss       Score `json:"loss"` // mean binary cross-entropy over images and labels, in nats
	// CI95 holds bootstrap intervals by the JSON names above.
	CI95     map[string]Interval `json:"ci95,omitempty"`
	PerClass []Class             `json:"per_class"`
}

// ClassifyMultiLabel scores multi-label predictions. It reports an error for a
// logit that is NaN or infinite, naming the image.
func ClassifyMultiLabel(p MultiLabelPredictions, boot Bootstrap) (*MultiLabel, error) {
	labels := len(p.Names)
	if labels == 0 {
		return nil, fmt.Errorf("score predictions: no labels")
	}
	images := len(p.Targets) / labels
	if images*labels != len(p.Targets) {
		return nil, fmt.Errorf("score predictions: %d targets do not divide into rows of %d labels", len(p.Targets), labels)
	}
	if err := checkShape(labels, images, len(p.Logits)); err != nil {
		return nil, err
	}
	threshold := p.Threshold
	if threshold == 0 {
		threshold = 0.5
	}
	if !(threshold > 0 && threshold < 1) {
		return nil, fmt.Errorf("score predictions: threshold %g is not between 0 and 1", threshold)
	}
	for k, z := range p.Logits {
		if math.IsNaN(float64(z)) || math.IsInf(float64(z), 0) {
			return nil, fmt.Errorf("score multi-label predictions: image %d: logit of label %d is %g", k/labels, k%labels, z)
		}
	}

	s := multiSplit{labels: labels, images: images, targets: p.Targets, logits: p.Logits, cut: math.Log(threshold / (1 - threshold))}
	out := s.measure(nil)
	samples := map[string][]Score{}
	class := make([]map[string][]Score, labels)
	for c := range class {
		class[c] = map[string][]Score{}
	}
	weights := boot.weights(images)
	for _, w := range weights {
		b := s.measure(w)
		samples["macro_f1"] = append(samples["macro_f1"], b.MacroF1)
		samples["micro_f1"] = append(samples["micro_f1"], b.MicroF1)
		samples["exact_match"] = append(samples["exact_match"], b.ExactMatch)
		samples["loss"] = append(samples["loss"], b.Loss)
		for c := range b.PerClass {
			collect(class[c], &b.PerClass[c])
		}
	}

	ranked := weights[:boot.rankResamples(images, 2*labels)]
	area, ap := make([][]Score, labels), make([][]Score, labels)
	points := make([]Score, labels)
	positive, key := make([]bool, images), make([]float64, images)
	for c := range labels {
		for i := range key {
			key[i], positive[i] = float64(p.Logits[i*labels+c]), p.Targets[i*labels+c]
		}
		r := newRanking(key, positive)
		points[c] = r.averagePrecision(nil)
		out.PerClass[c].AUROC, out.PerClass[c].AveragePrecision = r.auroc(nil), &points[c]
		for _, w := range ranked {
			area[c] = append(area[c], r.auroc(w))
			ap[c] = append(ap[c], r.averagePrecision(w))
		}
		class[c]["auroc"], class[c]["average_precision"] = area[c], ap[c]
	}
	out.AUROC, out.MAP = mean(scores(out.PerClass, auroc)), mean(points)
	samples["auroc"], samples["mAP"] = meanOver(area, len(ranked)), meanOver(ap, len(ranked))

	out.CI95 = intervals(samples)
	for c := range out.PerClass {
		out.PerClass[c].Class, out.PerClass[c].Name = c, p.Names[c]
		out.PerClass[c].CI95 = intervals(class[c])
	}
	return out, nil
}

type multiSplit struct {
	labels, images int
	targets        []bool
	logits         []float32
	cut            float64 // the logit of the threshold
}

// measure computes everything but the areas, with image i counted weight[i]
// times (nil: once).
func (s *multiSplit) measure(weight []uint16) *MultiLabel {
	type count struct{ tp, fp, fn, tn int }
	counts := make([]count, s.labels)
	var n, exact int
	var loss float64
	for i := range s.images {
		w := 1
		if weight != nil {
			w = int(weight[i])
		}
		n += w
		right := true
		for c := range counts {
			z, target := float64(s.logits[i*s.labels+c]), s.targets[i*s.labels+c]
			predicted := z > s.cut
			switch {
			case target && predicted:
				counts[c].tp += w
			case target:
				counts[c].fn += w
			case predicted:
				counts[c].fp += w
			default:
				counts[c].tn += w
			}
			right = right && target == predicted
			if target {
				z = -z
			}
			// log(1 + eᶻ) without overflow.
			loss += float64(w) * (math.Max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))))
		}
		if right {
			exact += w
		}
	}
	out := &MultiLabel{
		MAP:        Undefined,
		AUROC:      Undefined,
		ExactMatch: ratio(float64(exact), float64(n)),
		Loss:       ratio(loss, float64(n*s.labels)),
	}
	var all count
	for _, c := range counts {
		out.PerClass = append(out.PerClass, binary(c.tp, c.fp, c.fn, c.tn))
		all.tp, all.fp, all.fn = all.tp+c.tp, all.fp+c.fp, all.fn+c.fn
	}
	out.MacroF1 = mean(scores(out.PerClass, f1))
	out.MicroF1 = ratio(float64(2*all.tp), float64(2*all.tp+all.fp+all.fn))
	return out
}
