package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/vision/metric"
)

// Summary is the run in a few plain sentences, one paragraph each: what was
// trained, how long, and how good the result is.
func (r Run) Summary() []string {
	var out []string
	for _, s := range []string{r.trained(), r.course()} {
		if s != "" {
			out = append(out, s)
		}
	}
	for _, e := range r.Evaluations {
		if s := e.summary(); s != "" {
			out = append(out, s)
		}
	}
	unseen := slices.ContainsFunc(r.Evaluations, func(e Evaluation) bool { return e.Split != "train" })
	if !unseen && len(r.History.Epochs) > 0 {
		out = append(out, "There was no validation split: nothing here says how well the model does on new images.")
	}
	return out
}

// trained says which parameters were.
func (r Run) trained() string {
	var what string
	switch {
	case r.Adapter.Layers > 0:
		method := r.Adapter.Method
		if method == "" {
			method = "LoRA"
		}
		rank := ""
		if r.Adapter.Rank > 0 {
			rank = fmt.Sprintf(" of rank %d", r.Adapter.Rank)
		}
		what = fmt.Sprintf("%s%s on %s", method, rank, count(r.Adapter.Layers, "layer"))
	case r.Mode == "linear-probe":
		what = "Linear probe: only the classifier was trained"
	case r.Mode == "full":
		what = "Full fine-tuning"
	case r.Mode != "":
		what = "Mode " + r.Mode
	}
	switch {
	case r.Trainable <= 0:
	case r.Total > r.Trainable:
		what = join(what, fmt.Sprintf("%s of %s parameters trained (%s)", thousands(r.Trainable), millions(r.Total), share(r.Trainable, r.Total)))
	default:
		what = join(what, fmt.Sprintf("all %s parameters trained", thousands(r.Trainable)))
	}
	if what == "" {
		return ""
	}
	return what + "."
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// share keeps two digits for the small shares of adapters.
func share(part, whole int) string {
	v := 100 * float64(part) / float64(whole)
	if v < 1 {
		return fmt.Sprintf("%.2f"+nbsp+"%%", v)
	}
	return fmt.Sprintf("%.1f"+nbsp+"%%", v)
}

// course says how long it took and which epoch was best.
func (r Run) course() string {
	n := len(r.History.Epochs)
	if n == 0 {
		return ""
	}
	last := r.History.Epochs[n-1].Epoch
	s := count(last, "epoch")
	if r.Epochs > last {
		s = fmt.Sprintf("%d of %s", last, count(r.Epochs, "epoch"))
	}
	if r.Seconds > 0 {
		s += " in " + duration(r.Seconds)
	}
	if r.Epochs > last && r.Stopped != "" {
		s += " (stopped early: " + r.Stopped + ")"
	}
	if r.best() > 0 && last > 1 {
		s += fmt.Sprintf("; best epoch %d of %d", r.BestEpoch, last)
	}
	return s + "."
}

// best is the best epoch, 0 where no validation chose one.
func (r Run) best() int {
	_, _, top1 := r.History.series(func(e *EpochRow) *float64 { return &e.Score })
	_, _, loss := r.History.series(func(e *EpochRow) *float64 { return &e.ValLoss })
	if !top1 && !loss {
		return 0
	}
	return r.BestEpoch
}

func (e Evaluation) summary() string {
	on := fmt.Sprintf("On %s of %s: ", count(e.Images, "image"), e.Split)
	if m := e.MultiLabel; m != nil {
		var parts []string
		add := func(name string, v metric.Score, key string, digits int, scale float64, unit string) {
			if finite(float64(v)) {
				parts = append(parts, fmt.Sprintf("%s %.*f%s%s", name, digits, scale*float64(v), unit, between(m.CI95, key, scale, digits, unit)))
			}
		}
		add("mean average precision", m.MAP, "mAP", 3, 1, "")
		add("every label right in", m.ExactMatch, "exact_match", 1, 100, nbsp+"%")
		if len(parts) == 0 {
			return ""
		}
		return on + strings.Join(parts, "; ") + "."
	}
	for _, d := range []*Detection{e.Masks, e.Detection} {
		if d == nil {
			continue
		}
		if s := d.summary(); s != "" {
			return on + s
		}
	}
	if e.Segmentation != nil {
		if s := segmentedSummary(e.Segmentation); s != "" {
			return on + s
		}
	}
	c := e.Classification
	if c == nil || !finite(float64(c.AccuracyTop1)) {
		return ""
	}
	s := on + fmt.Sprintf("accuracy %s%s", percent(float64(c.AccuracyTop1)), between(c.CI95, "accuracy_top1", 100, 1, nbsp+"%"))
	if most := mostFrequent(c.PerClass); most > 0 {
		s += fmt.Sprintf("; always answering the most frequent class would reach %s", percent(most))
	}
	s += "."
	if w := weakest(c.PerClass); w != nil {
		found := int(float64(w.Sensitivity)*float64(w.Support) + .5)
		s += fmt.Sprintf(" Weakest class: %s, recognised in %s of %s (%s).", w.Name, thousands(found), count(w.Support, "image"), percent(float64(w.Sensitivity)))
	}
	return s
}

// between is " (95 % interval 94.6–98.1 %)".
func between(ci map[string]metric.Interval, key string, scale float64, digits int, unit string) string {
	i := interval(ci, key, scale, digits)
	if i == "" {
		return ""
	}
	return " (95" + nbsp + "% interval " + i + unit + ")"
}

// mostFrequent is the share of the largest class.
func mostFrequent(classes []metric.Class) float64 {
	var most, total int
	for _, c := range classes {
		most, total = max(most, c.Support), total+c.Support
	}
	return float64(most) / float64(max(total, 1))
}

// weakest is the class of least sensitivity, nil where all are perfect.
func weakest(classes []metric.Class) *metric.Class {
	var w *metric.Class
	for i := range classes {
		c := &classes[i]
		if c.Support > 0 && finite(float64(c.Sensitivity)) && c.Sensitivity < 1 && (w == nil || c.Sensitivity < w.Sensitivity) {
			w = c
		}
	}
	return w
}

// confused is a true class taken for another.
type confused struct {
	Truth, Prediction string
	N                 int
	Count             string // N for people
	Share             string // of the true class
	share             float64
}

// confusions are the most frequent mistakes, at most n; of equally frequent ones
// those that take most of their class. Without a name for every row there are
// none.
func confusions(c metric.Confusion, names []string, n int) []confused {
	if len(c) != len(names) {
		return nil
	}
	var out []confused
	for i, row := range c {
		total := 0
		for _, v := range row {
			total += v
		}
		for j, v := range row {
			if i != j && v > 0 {
				share := float64(v) / float64(total)
				out = append(out, confused{names[i], names[j], v, thousands(v), percent(share), share})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b confused) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(b.share, a.share)) })
	return out[:min(n, len(out))]
}
