package metric

import (
	"fmt"
	"math"
)

// Predictions are a model's answers over a split, one row of logits per image.
type Predictions struct {
	Names  []string  // of the classes
	Logits []float32 // (images, classes)
	Labels []int     // one per image
}

// Classification is what a single-label split scores, under the keys of
// metrics.json.
type Classification struct {
	AccuracyTop1     Score `json:"accuracy_top1"`
	AccuracyTop5     Score `json:"accuracy_top5"`
	BalancedAccuracy Score `json:"balanced_accuracy"` // mean sensitivity
	MacroF1          Score `json:"macro_f1"`
	AUROC            Score `json:"auroc"` // one against the rest, macro
	Loss             Score `json:"loss"`  // mean cross-entropy, unweighted, in nats
	// CI95 holds bootstrap intervals by the JSON names above.
	CI95      map[string]Interval `json:"ci95,omitempty"`
	PerClass  []Class             `json:"per_class"`
	Confusion Confusion           `json:"confusion_matrix"` // [truth][prediction]
}

// Classify scores single-label predictions. Of equal logits the lower class is
// taken to rank first. AUROC ranks images by the log-probability of the class.
//
// It reports an error for a label out of range and for a logit that is NaN or
// +Inf, naming the image.
func Classify(p Predictions, boot Bootstrap) (*Classification, error) {
	classes, images := len(p.Names), len(p.Labels)
	if err := checkShape(classes, images, len(p.Logits)); err != nil {
		return nil, err
	}
	s := split{classes: classes, labels: p.Labels}
	for i, label := range p.Labels {
		if label < 0 || label >= classes {
			return nil, fmt.Errorf("score classification: image %d: label %d is not one of %d classes", i, label, classes)
		}
		row := p.Logits[i*classes : (i+1)*classes]
		if err := s.add(row, label); err != nil {
			return nil, fmt.Errorf("score classification: image %d: %w", i, err)
		}
	}

	out := s.measure(nil)
	samples := map[string][]Score{}
	class := make([]map[string][]Score, classes)
	for c := range class {
		class[c] = map[string][]Score{}
	}
	weights := boot.weights(images)
	for _, w := range weights {
		b := s.measure(w)
		samples["accuracy_top1"] = append(samples["accuracy_top1"], b.AccuracyTop1)
		samples["accuracy_top5"] = append(samples["accuracy_top5"], b.AccuracyTop5)
		samples["balanced_accuracy"] = append(samples["balanced_accuracy"], b.BalancedAccuracy)
		samples["macro_f1"] = append(samples["macro_f1"], b.MacroF1)
		samples["loss"] = append(samples["loss"], b.Loss)
		for c := range b.PerClass {
			collect(class[c], &b.PerClass[c])
		}
	}

	ranked := weights[:boot.rankResamples(images, classes)]
	area := make([][]Score, classes)
	positive, key := make([]bool, images), make([]float64, images)
	for c := range classes {
		for i := range key {
			key[i] = quantize(float64(p.Logits[i*classes+c]) - s.logZ[i])
			positive[i] = p.Labels[i] == c
		}
		r := newRanking(key, positive)
		out.PerClass[c].AUROC = r.auroc(nil)
		for _, w := range ranked {
			area[c] = append(area[c], r.auroc(w))
		}
		class[c]["auroc"] = area[c]
	}
	out.AUROC = mean(scores(out.PerClass, auroc))
	samples["auroc"] = meanOver(area, len(ranked))

	out.CI95 = intervals(samples)
	for c := range out.PerClass {
		out.PerClass[c].Name = p.Names[c]
		out.PerClass[c].CI95 = intervals(class[c])
	}
	return out, nil
}

func checkShape(classes, images, logits int) error {
	switch {
	case classes == 0:
		return fmt.Errorf("score predictions: no classes")
	case images == 0:
		return fmt.Errorf("score predictions: no images")
	case logits != images*classes:
		return fmt.Errorf("score predictions: %d logits for %d images of %d classes, want %d", logits, images, classes, images*classes)
	}
	return nil
}

// quantize rounds to a multiple of 2⁻⁴⁰: log-probabilities that are equal on
// paper differ in their last bits by the order of the sum over classes, and must
// tie.
func quantize(x float64) float64 { return math.Round(x*(1<<40)) / (1 << 40) }

// collect appends a resample's measures of one class.
func collect(samples map[string][]Score, c *Class) {
	samples["sensitivity"] = append(samples["sensitivity"], c.Sensitivity)
	samples["specificity"] = append(samples["specificity"], c.Specificity)
	samples["precision"] = append(samples["precision"], c.Precision)
	samples["f1"] = append(samples["f1"], c.F1)
}

// meanOver averages area[class][resample] over the classes.
func meanOver(area [][]Score, resamples int) []Score {
	out := make([]Score, resamples)
	row := make([]Score, len(area))
	for b := range out {
		for c := range area {
			row[c] = area[c][b]
		}
		out[b] = mean(row)
	}
	return out
}

// split holds what each image contributes, so that a resample only adds up.
type split struct {
	classes int
	labels  []int
	chosen  []int     // the class with the highest logit
	rank    []int     // how many classes come before the true one
	loss    []float64 // −log softmax of the true class
	logZ    []float64 // log Σ exp of the logits
}

func (s *split) add(row []float32, label int) error {
	best := 0
	for c, z := range row {
		if math.IsNaN(float64(z)) || math.IsInf(float64(z), 1) {
			return fmt.Errorf("logit of class %d is %g", c, z)
		}
		if z > row[best] {
			best = c
		}
	}
	if math.IsInf(float64(row[best]), -1) {
		return fmt.Errorf("all logits are -Inf")
	}
	rank := 0
	for c, z := range row {
		if z > row[label] || (z == row[label] && c < label) {
			rank++
		}
	}
	var sum float64
	for _, z := range row {
		sum += math.Exp(float64(z) - float64(row[best]))
	}
	logZ := float64(row[best]) + math.Log(sum)
	s.chosen = append(s.chosen, best)
	s.rank = append(s.rank, rank)
	s.logZ = append(s.logZ, logZ)
	s.loss = append(s.loss, logZ-float64(row[label]))
	return nil
}

// measure computes everything but the areas, with image i counted weight[i]
// times (nil: once).
func (s *split) measure(weight []uint16) *Classification {
	confusion := NewConfusion(s.classes)
	var n, top1, top5 int
	var loss float64
	for i, label := range s.labels {
		w := 1
		if weight != nil {
			w = int(weight[i])
		}
		if w == 0 { // an infinite loss must not become 0·∞
			continue
		}
		n += w
		confusion[label][s.chosen[i]] += w
		loss += float64(w) * s.loss[i]
		if s.rank[i] < 1 {
			top1 += w
		}
		if s.rank[i] < 5 {
			top5 += w
		}
	}
	per := confusion.PerClass()
	return &Classification{
		AccuracyTop1:     ratio(float64(top1), float64(n)),
		AccuracyTop5:     ratio(float64(top5), float64(n)),
		BalancedAccuracy: mean(scores(per, sensitivity)),
		MacroF1:          mean(scores(per, f1)),
		AUROC:            Undefined,
		Loss:             ratio(loss, float64(n)),
		PerClass:         per,
		Confusion:        confusion,
	}
}
