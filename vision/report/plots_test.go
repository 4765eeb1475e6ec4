package report

import (
	"math"
	"os"
	"testing"

	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// What there is nothing to draw of is not drawn.
func TestPlotsLeavesOut(t *testing.T) {
	two := metric.Confusion{{3, 1}, {0, 2}}
	nan := math.NaN()
	scored := &metric.Classification{PerClass: two.PerClass(), Confusion: two}
	names := []string{"a", "b"}
	for name, c := range map[string]struct {
		d    Drawings
		want Pictures
	}{
		"nothing":    {},
		"no numbers": {d: Drawings{History: History{Epochs: []EpochRow{{Epoch: 1, TrainLoss: nan, ValLoss: nan, Score: nan, Second: nan, LR: nan}}}}},
		"train only": {Drawings{History: History{Epochs: []EpochRow{{Epoch: 1, TrainLoss: 1, ValLoss: nan, Score: nan, Second: nan, LR: nan}}}}, Pictures{Results: "results.png"}},
		"no images":  {d: Drawings{Classes: names, Counts: []plot.Split{{Name: "train", Counts: []int{0, 0}}}, Classification: &metric.Classification{PerClass: metric.NewConfusion(2).PerClass(), Confusion: metric.NewConfusion(2)}}},
		"val only":   {Drawings{Classes: names, Classification: scored}, Pictures{Confusion: "confusion_matrix.png", ConfusionNormalized: "confusion_matrix_normalized.png"}},
		"objects": {Drawings{Classes: names, Detection: &Detection{Classes: names, Stats: &metric.COCOStats{}, Confusion: metric.Confusion{{1, 0, 0}, {0, 0, 0}, {0, 0, 0}},
			Curves: &metric.Confidences{Confidence: []float64{0, 1}, Classes: []int{1}, Precision: [][]float64{{1, 1}}, Recall: [][]float64{{1, 0}}, F1: [][]float64{{1, 0}}}}},
			Pictures{Confusion: "confusion_matrix.png", ConfusionNormalized: "confusion_matrix_normalized.png", Box: CurvePictures{"BoxPR_curve.png", "BoxF1_curve.png", "BoxP_curve.png", "BoxR_curve.png"}}},
		"pixels":      {Drawings{Classes: names, Segmentation: &metric.Segmentation{PerClass: make([]metric.SegmentClass, 1), Confusion: metric.Confusion{{5}}}}, Pictures{Confusion: "confusion_matrix.png", ConfusionNormalized: "confusion_matrix_normalized.png"}},
		"multi-label": {Drawings{Classes: names, MultiLabel: &metric.MultiLabel{}, ROC: []plot.ROCCurve{{X: []float64{0, 1}, Y: []float64{0, 1}}}, Counts: []plot.Split{{Counts: []int{0, 1}}}}, Pictures{ROC: "roc.png", Labels: "labels.png"}},
	} {
		dir := t.TempDir()
		got, err := Plots(dir, c.d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got != c.want {
			t.Errorf("%s: drew %+v, want %+v", name, got, c.want)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range []string{got.Results, got.Confusion, got.ConfusionNormalized, got.ROC, got.Labels, got.Box.PR, got.Box.F1, got.Box.P, got.Box.R} {
			if p != "" {
				n++
			}
		}
		if len(files) != n {
			t.Errorf("%s: %d files for %d pictures", name, len(files), n)
		}
	}
	if _, err := Plots(t.TempDir(), Drawings{Classes: names[:1], Classification: scored}); err == nil {
		t.Error("no error for a matrix that is larger than the list of classes")
	}
}

func TestPanels(t *testing.T) {
	row := EpochRow{Epoch: 1, TrainLoss: 1, ValLoss: 2, Score: .5, Second: .9, LR: 1e-3}
	titles := func(d Drawings) (out []string) {
		for _, p := range d.panels() {
			s := p.Title + ":"
			for _, l := range p.Series {
				s += " " + l.Name
			}
			out = append(out, s)
		}
		return out
	}
	many := make([]string, 6)
	equal(t, titles(Drawings{History: History{Epochs: []EpochRow{row}}, Classes: many}), "Loss: train val", "Accuracy on val: top-1 top-5", "Learning rate: lr")
	equal(t, titles(Drawings{History: History{Epochs: []EpochRow{row}}, Classes: many[:5]}), "Loss: train val", "Accuracy on val: top-1", "Learning rate: lr")
	equal(t, titles(Drawings{History: History{Epochs: []EpochRow{row}}, Classes: many[:5], MultiLabel: &metric.MultiLabel{}}), "Loss: train val", "Quality on val: mAP exact match", "Learning rate: lr")
	row.ValLoss, row.Score, row.Second = math.NaN(), math.NaN(), math.NaN()
	equal(t, titles(Drawings{History: History{Epochs: []EpochRow{row}}, Classes: many}), "Loss on train: train", "Learning rate: lr")
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}

// The curves are those that [metric] scores, and their area is the same when it
// is summed from the corners alone.
func TestROC(t *testing.T) {
	e, roc := scene{classes: 7, images: 300, sure: 1.5}.evaluate(t, "val", 5)
	checkROC(t, e.Classification.PerClass, roc, 6) // the last class has no image
	e, roc = scene{classes: 5, images: 200, sure: 1, multi: true}.evaluate(t, "val", 6)
	checkROC(t, e.MultiLabel.PerClass, roc, 5)
}

func checkROC(t *testing.T, classes []metric.Class, roc []plot.ROCCurve, want int) {
	t.Helper()
	if len(roc) != want {
		t.Fatalf("%d curves, want %d", len(roc), want)
	}
	area := map[string]float64{}
	for _, c := range classes {
		area[c.Name] = float64(c.AUROC)
	}
	for i, r := range roc {
		var sum float64
		for k := 1; k < len(r.X); k++ {
			sum += (r.X[k] - r.X[k-1]) * (r.Y[k] + r.Y[k-1]) / 2
		}
		if math.Abs(sum-area[r.Name]) > 1e-12 || r.AUROC != area[r.Name] {
			t.Errorf("%s: area %v under the corners, %v named, %v measured", r.Name, sum, r.AUROC, area[r.Name])
		}
		if i > 0 && r.AUROC < roc[i-1].AUROC {
			t.Errorf("curve %d of area %v stands behind one of %v", i, r.AUROC, roc[i-1].AUROC)
		}
		if n := len(r.X); r.X[0] != 0 || r.Y[0] != 0 || r.X[n-1] != 1 || r.Y[n-1] != 1 {
			t.Errorf("%s does not run from corner to corner", r.Name)
		}
	}
}
