package metric

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func near(t *testing.T, what string, got Score, want, tol float64) {
	t.Helper()
	if math.IsNaN(want) != !got.Defined() || math.Abs(float64(got)-want) > tol {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// random makes predictions with ties (logits on a coarse grid), a class that
// never occurs and one that is never predicted.
func random(seed uint64, images, classes int) Predictions {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := Predictions{Names: make([]string, classes)}
	for range images {
		label := rng.IntN(classes - 1)
		p.Labels = append(p.Labels, label)
		for c := range classes {
			z := math.Round(4*rng.NormFloat64()) / 4
			if c == label {
				z++
			}
			if c == 0 {
				z -= 100
			}
			p.Logits = append(p.Logits, float32(z))
		}
	}
	return p
}

// pairs is the definition of AUROC: the share of (positive, negative) pairs in
// the right order.
func pairs(score []float64, positive []bool) float64 {
	var wins, n float64
	for i := range score {
		for j := range score {
			if positive[i] && !positive[j] {
				n++
				if score[i] > score[j] {
					wins++
				} else if score[i] == score[j] {
					wins += .5
				}
			}
		}
	}
	return wins / n
}

// precisionAtPositives is average precision written as the mean, over the
// positives, of the precision at their score.
func precisionAtPositives(score []float64, positive []bool) float64 {
	var sum, n float64
	for i := range score {
		if !positive[i] {
			continue
		}
		var tp, all float64
		for j := range score {
			if score[j] >= score[i] {
				all++
				if positive[j] {
					tp++
				}
			}
		}
		sum += tp / all
		n++
	}
	return sum / n
}

func TestRankMeasuresAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for n := 1; n < 60; n += 3 {
		score, positive := make([]float64, n), make([]bool, n)
		for i := range score {
			score[i], positive[i] = float64(rng.IntN(8)), rng.IntN(3) == 0
		}
		near(t, "AUROC", AUROC(score, positive), pairs(score, positive), 1e-12)
		near(t, "AP", AveragePrecision(score, positive), precisionAtPositives(score, positive), 1e-12)
		curve := ROC(score, positive)
		if (curve == nil) != !AUROC(score, positive).Defined() {
			t.Fatalf("%d points where AUROC is %v", len(curve), AUROC(score, positive))
		}
		if curve == nil {
			continue
		}
		var area float64
		for k := 1; k < len(curve); k++ {
			area += (curve[k].X - curve[k-1].X) * (curve[k].Y + curve[k-1].Y) / 2
		}
		near(t, "area under ROC", AUROC(score, positive), area, 1e-12)
		if last := curve[len(curve)-1]; curve[0] != (Point{}) || last != (Point{1, 1}) {
			t.Errorf("curve runs from %v to %v", curve[0], last)
		}
	}
}

// The example of scikit-learn's documentation of roc_auc_score and
// average_precision_score.
func TestKnownValues(t *testing.T) {
	score, positive := []float64{0.1, 0.4, 0.35, 0.8}, []bool{false, false, true, true}
	near(t, "AUROC", AUROC(score, positive), 0.75, 1e-15)
	near(t, "AP", AveragePrecision(score, positive), 0.8333333333333333, 1e-15)
	near(t, "AUROC without negatives", AUROC(score, []bool{true, true, true, true}), math.NaN(), 0)
}

// reference scores a split straight from the definitions, one class and one
// image at a time.
func reference(p Predictions) map[string]float64 {
	classes := len(p.Names)
	out := map[string]float64{}
	var top1, top5, loss float64
	pred := make([]int, len(p.Labels))
	probs := make([][]float64, len(p.Labels))
	for i, label := range p.Labels {
		row := p.Logits[i*classes : (i+1)*classes]
		order := make([]int, classes)
		var sum float64
		for c := range order {
			order[c] = c
			sum += math.Exp(float64(row[c]))
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(math.Copysign(1, float64(row[b]-row[a]))) * b2i(row[a] != row[b]) })
		pred[i] = order[0]
		top1 += float64(b2i(order[0] == label))
		top5 += float64(b2i(slices.Contains(order[:min(5, classes)], label)))
		for c := range order {
			probs[i] = append(probs[i], math.Exp(float64(row[c]))/sum)
		}
		loss -= math.Log(probs[i][label])
	}
	n := float64(len(p.Labels))
	out["accuracy_top1"], out["accuracy_top5"], out["loss"] = top1/n, top5/n, loss/n
	var sens, f1s, aucs []float64
	for c := range classes {
		var tp, fp, fn, tn float64
		score, positive := make([]float64, len(pred)), make([]bool, len(pred))
		for i := range pred {
			// Rounded, so that equal probabilities tie as equal logits do.
			score[i], positive[i] = math.Round(math.Log(probs[i][c])*1e9), p.Labels[i] == c
			switch {
			case positive[i] && pred[i] == c:
				tp++
			case positive[i]:
				fn++
			case pred[i] == c:
				fp++
			default:
				tn++
			}
		}
		if tp+fn == 0 {
			continue
		}
		sens = append(sens, tp/(tp+fn))
		f1s = append(f1s, 2*tp/(2*tp+fp+fn))
		if fp+tn > 0 {
			aucs = append(aucs, pairs(score, positive))
		}
	}
	out["balanced_accuracy"], out["macro_f1"], out["auroc"] = average(sens), average(f1s), average(aucs)
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func average(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func headline(c *Classification) map[string]float64 {
	return map[string]float64{
		"accuracy_top1": float64(c.AccuracyTop1), "accuracy_top5": float64(c.AccuracyTop5), "balanced_accuracy": float64(c.BalancedAccuracy),
		"macro_f1": float64(c.MacroF1), "auroc": float64(c.AUROC), "loss": float64(c.Loss),
	}
}

func TestClassifyAgainstDefinitions(t *testing.T) {
	for seed := range uint64(5) {
		p := random(seed, 80, 3+2*int(seed))
		got, err := Classify(p, Bootstrap{})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range reference(p) {
			near(t, name, Score(headline(got)[name]), want, 1e-7)
		}
		if got.CI95 != nil || got.PerClass[0].CI95 != nil {
			t.Error("intervals without a bootstrap")
		}
	}
}

// Every resample's measures equal those of a split in which the images are
// really repeated, and the interval is NumPy's percentile of them.
func TestBootstrapAgainstRepeatedImages(t *testing.T) {
	p := random(9, 40, 4)
	boot := Bootstrap{Resamples: 60, Seed: 5}
	got, err := Classify(p, boot)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string][]float64{}
	for _, w := range boot.weights(40) {
		q := Predictions{Names: p.Names}
		for i, n := range w {
			for range n {
				q.Labels = append(q.Labels, p.Labels[i])
				q.Logits = append(q.Logits, p.Logits[4*i:4*i+4]...)
			}
		}
		if len(q.Labels) != 40 {
			t.Fatalf("a resample has %d images, want 40", len(q.Labels))
		}
		for name, v := range reference(q) {
			samples[name] = append(samples[name], v)
		}
	}
	for name, v := range samples {
		slices.Sort(v)
		at := func(q float64) float64 {
			k := q * 59
			return v[int(k)]*(1-k+math.Floor(k)) + v[int(k)+1]*(k-math.Floor(k))
		}
		ci, ok := got.CI95[name]
		if !ok {
			t.Fatalf("no interval for %s", name)
		}
		near(t, name+" low", ci[0], at(.025), 1e-7)
		near(t, name+" high", ci[1], at(.975), 1e-7)
	}
	again, _ := Classify(p, boot)
	if !reflect.DeepEqual(again.CI95, got.CI95) || !reflect.DeepEqual(again.PerClass[1].CI95, got.PerClass[1].CI95) {
		t.Error("the same seed gives other intervals")
	}
	other, _ := Classify(p, Bootstrap{Resamples: 60, Seed: 6})
	if reflect.DeepEqual(other.CI95, got.CI95) {
		t.Error("another seed gives the same intervals")
	}
}

// The interval of an accuracy is about ±1.96 standard errors of a proportion.
func TestBootstrapWidth(t *testing.T) {
	p := Predictions{Names: []string{"a", "b"}}
	for i := range 400 {
		p.Labels = append(p.Labels, b2i(i%4 == 0)) // 75 % right
		p.Logits = append(p.Logits, 1, 0)
	}
	got, err := Classify(p, Bootstrap{Resamples: 2000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	half := 1.96 * math.Sqrt(.75*.25/400)
	near(t, "low", got.CI95["accuracy_top1"][0], .75-half, .006)
	near(t, "high", got.CI95["accuracy_top1"][1], .75+half, .006)
}

func TestPerClassByHand(t *testing.T) {
	// truth 0: predicted 0 0 1; truth 1: predicted 1; truth 3: predicted 0; class 2 absent but never predicted.
	p := Predictions{Names: []string{"a", "b", "c", "d"}, Labels: []int{0, 0, 0, 1, 3}}
	for _, pred := range []int{0, 0, 1, 1, 0} {
		row := make([]float32, 4)
		row[pred] = 1
		p.Logits = append(p.Logits, row...)
	}
	got, err := Classify(p, Bootstrap{})
	if err != nil {
		t.Fatal(err)
	}
	nan := math.NaN()
	for c, want := range [][5]float64{
		{3, 2. / 3, 1. / 2, 2. / 3, 2. / 3},
		{1, 1, 3. / 4, 1. / 2, 2. / 3},
		{0, nan, 1, nan, nan},
		{1, 0, 1, nan, 0},
	} {
		k := got.PerClass[c]
		if k.Support != int(want[0]) || k.Name != p.Names[c] || k.Class != c {
			t.Errorf("class %d: %+v", c, k)
		}
		near(t, "sensitivity", k.Sensitivity, want[1], 1e-12)
		near(t, "specificity", k.Specificity, want[2], 1e-12)
		near(t, "precision", k.Precision, want[3], 1e-12)
		near(t, "f1", k.F1, want[4], 1e-12)
	}
	near(t, "balanced accuracy over present classes", got.BalancedAccuracy, (2./3+1+0)/3, 1e-12)
	near(t, "macro F1 over present classes", got.MacroF1, (2./3+2./3+0)/3, 1e-12)
	if want := (Confusion{{2, 1, 0, 0}, {0, 1, 0, 0}, {0, 0, 0, 0}, {1, 0, 0, 0}}); !reflect.DeepEqual(got.Confusion, want) {
		t.Errorf("confusion %v, want %v", got.Confusion, want)
	}
}

func TestJSONKeys(t *testing.T) {
	got, err := Classify(Predictions{Names: []string{"a", "b"}, Labels: []int{0, 0}, Logits: []float32{1, 0, 1, 0}}, Bootstrap{Resamples: 10})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"accuracy_top1", "accuracy_top5", "balanced_accuracy", "macro_f1", "auroc", "loss", "per_class"} {
		if _, ok := m[key]; !ok {
			t.Errorf("no key %q in %s", key, raw)
		}
	}
	if m["auroc"] != nil {
		t.Errorf("AUROC of one class is %v, want null", m["auroc"])
	}
	var back Classification
	if err := json.Unmarshal(raw, &back); err != nil || back.AUROC.Defined() || back.AccuracyTop1 != 1 {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestMultiLabel(t *testing.T) {
	const images, labels = 70, 3
	rng := rand.New(rand.NewPCG(11, 0))
	p := MultiLabelPredictions{Names: []string{"a", "b", "never"}}
	for range images {
		for c := range labels {
			target := c < 2 && rng.IntN(3) == 0
			p.Targets = append(p.Targets, target)
			p.Logits = append(p.Logits, float32(math.Round(2*rng.NormFloat64()))/2+float32(b2i(target)))
		}
	}
	got, err := ClassifyMultiLabel(p, Bootstrap{Resamples: 300, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	var aucs, aps, f1s []float64
	var tps, fps, fns, loss, exact float64
	wrong := make([]bool, images)
	for c := range labels {
		var tp, fp, fn float64
		score, positive := make([]float64, images), make([]bool, images)
		for i := range images {
			prob := 1 / (1 + math.Exp(-float64(p.Logits[i*labels+c])))
			score[i], positive[i] = prob, p.Targets[i*labels+c]
			said := prob > .5
			wrong[i] = wrong[i] || said != positive[i]
			tp += float64(b2i(said && positive[i]))
			fp += float64(b2i(said && !positive[i]))
			fn += float64(b2i(!said && positive[i]))
			if positive[i] {
				loss -= math.Log(prob)
			} else {
				loss -= math.Log(1 - prob)
			}
		}
		tps, fps, fns = tps+tp, fps+fp, fns+fn
		if c < 2 {
			aucs, aps = append(aucs, pairs(score, positive)), append(aps, precisionAtPositives(score, positive))
			f1s = append(f1s, 2*tp/(2*tp+fp+fn))
			near(t, "label AP", *got.PerClass[c].AveragePrecision, aps[c], 1e-12)
		}
	}
	for _, w := range wrong {
		exact += float64(b2i(!w))
	}
	for name, c := range map[string]struct {
		got  Score
		want float64
	}{
		"mAP": {got.MAP, average(aps)}, "auroc": {got.AUROC, average(aucs)}, "macro_f1": {got.MacroF1, average(f1s)},
		"micro_f1": {got.MicroF1, 2 * tps / (2*tps + fps + fns)}, "loss": {got.Loss, loss / (images * labels)}, "exact_match": {got.ExactMatch, exact / images},
	} {
		near(t, name, c.got, c.want, 1e-6)
		ci, ok := got.CI95[name]
		if !ok || !(ci[0] < c.got && c.got < ci[1]) {
			t.Errorf("%s: %v is not inside its interval %v", name, c.got, ci)
		}
	}
	if got.PerClass[2].AveragePrecision.Defined() || got.PerClass[2].AUROC.Defined() {
		t.Errorf("a label that never occurs has scores: %+v", got.PerClass[2])
	}
}

func TestErrors(t *testing.T) {
	two := []string{"a", "b"}
	classify := func(p Predictions) error { _, err := Classify(p, Bootstrap{}); return err }
	multi := func(p MultiLabelPredictions) error { _, err := ClassifyMultiLabel(p, Bootstrap{}); return err }
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for want, err := range map[string]error{
		"no classes":                               classify(Predictions{}),
		"no images":                                classify(Predictions{Names: two}),
		"3 logits for 2 images of 2 classes":       classify(Predictions{Names: two, Labels: []int{0, 1}, Logits: make([]float32, 3)}),
		"image 1: label 2 is not one":              classify(Predictions{Names: two, Labels: []int{0, 2}, Logits: make([]float32, 4)}),
		"image 1: logit of class 0 is NaN":         classify(Predictions{Names: two, Labels: []int{0, 1}, Logits: []float32{0, 0, nan, 1}}),
		"image 0: logit of class 1 is +Inf":        classify(Predictions{Names: two, Labels: []int{0}, Logits: []float32{0, inf}}),
		"image 0: all logits are -Inf":             classify(Predictions{Names: two, Labels: []int{0}, Logits: []float32{-inf, -inf}}),
		"no labels":                                multi(MultiLabelPredictions{}),
		"3 targets do not divide":                  multi(MultiLabelPredictions{Names: two, Targets: make([]bool, 3)}),
		"threshold 2 is not":                       multi(MultiLabelPredictions{Names: two, Targets: make([]bool, 2), Logits: make([]float32, 2), Threshold: 2}),
		"image 0: logit of label 1 is +Inf":        multi(MultiLabelPredictions{Names: two, Targets: make([]bool, 2), Logits: []float32{0, inf}}),
		"0 logits for 1 images of 2 classes, want": multi(MultiLabelPredictions{Names: two, Targets: make([]bool, 2)}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

// A class that the model rules out (logit −Inf) is an infinite loss, not NaN.
func TestImpossibleClass(t *testing.T) {
	inf := float32(math.Inf(-1))
	got, err := Classify(Predictions{Names: []string{"a", "b"}, Labels: []int{0, 1}, Logits: []float32{0, inf, 0, inf}}, Bootstrap{Resamples: 20})
	if err != nil {
		t.Fatal(err)
	}
	if !math.IsInf(float64(got.Loss), 1) {
		t.Errorf("loss %v, want +Inf", got.Loss)
	}
	near(t, "AUROC of ties", got.AUROC, 0.5, 0)
}
