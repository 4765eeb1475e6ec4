package report

import (
	"math"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision/metric"
)

func TestFormat(t *testing.T) {
	nan := math.NaN()
	ci := map[string]metric.Interval{"a": {0.9464, 0.9812}, "none": {metric.Undefined, metric.Undefined}, "same": {1, 1}}
	for _, c := range []struct{ got, want string }{
		{percent(0.96541), "96.5 %"}, {percent(nan), "–"}, {percent(math.Inf(1)), "–"},
		{decimal(0.96551), "0.966"}, {decimal(nan), "–"},
		{general(0.00012345), "0.000123"}, {general(1e-7), "1e-07"}, {general(nan), "–"},
		{interval(ci, "a", 100, 1), "94.6–98.1"}, {interval(ci, "a", 1, 3), "0.946–0.981"},
		{interval(ci, "none", 1, 3), ""}, {interval(ci, "absent", 1, 3), ""}, {interval(ci, "same", 1, 3), ""}, {interval(nil, "a", 1, 3), ""},
		{thousands(0), "0"}, {thousands(999), "999"}, {thousands(1000), "1 000"}, {thousands(1234567), "1 234 567"}, {thousands(-1000), "-1 000"}, {thousands(-100), "-100"},
		{millions(5817420), "5.8 million"}, {millions(61000), "61 000"}, {millions(1.2e9), "1.2 billion"},
		{duration(0.25), "0.2 s"}, {duration(5), "5 s"}, {duration(59.7), "1 min 0 s"}, {duration(252.4), "4 min 12 s"}, {duration(7300), "2 h 1 min"}, {duration(42), "42 s"},
		{count(1, "image"), "1 image"}, {count(2000, "image"), "2 000 images"}, {count(2, "class"), "2 classes"}, {count(1, "class"), "1 class"},
		{share(304908, 5817420), "5.2 %"}, {share(1930, 5817420), "0.03 %"},
		{quote("a/b-1.onnx"), "a/b-1.onnx"}, {quote("my data"), "'my data'"}, {quote("it's"), `'it'\''s'`}, {quote(""), "''"}, {quote("$(rm)"), "'$(rm)'"},
	} {
		if got := strings.ReplaceAll(c.got, nbsp, " "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	epochs := func(n int, top1 float64) (h History) {
		for e := range n {
			h.Epochs = append(h.Epochs, EpochRow{Epoch: e + 1, Score: top1, ValLoss: top1})
		}
		return h
	}
	three := metric.Confusion{{90, 10, 0}, {1, 4, 0}, {0, 0, 0}}
	scored := &metric.Classification{AccuracyTop1: 94. / 105, PerClass: three.PerClass(), Confusion: three}
	for i, name := range []string{"cat", "dog", "eel"} {
		scored.PerClass[i].Name = name
	}
	nan := math.NaN()
	for name, c := range map[string]struct {
		run  Run
		want []string
	}{
		"empty":      {Run{}, nil},
		"probe":      {Run{Mode: "linear-probe", Trainable: 1930, Total: 5526346, Epochs: 1, History: epochs(1, .5), Evaluations: []Evaluation{{}}}, []string{"Linear probe: only the classifier was trained; 1 930 of 5.5 million parameters trained (0.03 %).", "1 epoch."}},
		"full":       {Run{Mode: "full", Trainable: 5000, Total: 5000}, []string{"Full fine-tuning; all 5 000 parameters trained."}},
		"early":      {Run{Adapter: Adapter{Method: "DoRA", Rank: 4, Layers: 1}, Epochs: 20, BestEpoch: 2, Stopped: "no better for 5 epochs", Seconds: 61, History: epochs(7, .5), Evaluations: []Evaluation{{}}}, []string{"DoRA of rank 4 on 1 layer.", "7 of 20 epochs in 1 min 1 s (stopped early: no better for 5 epochs); best epoch 2 of 7."}},
		"no val":     {Run{BestEpoch: 3, Epochs: 3, History: epochs(3, nan)}, []string{"3 epochs.", "There was no validation split: nothing here says how well the model does on new images."}},
		"train only": {Run{History: epochs(1, nan), Evaluations: []Evaluation{{Split: "train"}}}, []string{"1 epoch.", "There was no validation split: nothing here says how well the model does on new images."}},
		"scored": {Run{Evaluations: []Evaluation{{Split: "test", Images: 105, Classification: scored}}},
			[]string{"On 105 images of test: accuracy 89.5 %; always answering the most frequent class would reach 95.2 %. Weakest class: dog, recognised in 4 of 5 images (80.0 %)."}},
		"detect": {Run{Task: "detect", Evaluations: []Evaluation{{Split: "val", Images: 9, Detection: &Detection{Classes: []string{"cat", "dog"}, Stats: &metric.COCOStats{AP: .6123, AP50: .8, PerClass: []metric.COCOClass{{Class: 0, AP: .7}, {Class: 1, AP: .5, Objects: 1}}},
			Curves: &metric.Confidences{Confidence: []float64{0, .41}, Classes: []int{0}, Precision: [][]float64{make([]float64, 1000)}, Recall: [][]float64{make([]float64, 1000)}, F1: [][]float64{make([]float64, 1000)}, Best: 1}}}}},
			[]string{"On 9 images of val: mAP50-95 0.612 (mAP50 0.800); F1 is best at confidence 0.410, with precision 0.000 and recall 0.000. Weakest class: dog, mAP50-95 0.500 on 1 object."}},
		"unscored": {Run{Evaluations: []Evaluation{{Detection: &Detection{Stats: &metric.COCOStats{AP: metric.Undefined}}}, {Segmentation: &metric.Segmentation{MIoU: metric.Undefined}}}}, nil},
		"segment": {Run{Evaluations: []Evaluation{{Split: "test", Images: 2, Segmentation: &metric.Segmentation{MIoU: .5, Dice: .625, PixelAccuracy: .9, PerClass: []metric.SegmentClass{{Name: "sky", Pixels: 9, IoU: .9}, {Name: "sea", Pixels: 1, IoU: .1}, {Name: "none"}}}}}},
			[]string{"On 2 images of test: mean IoU 50.0 %, Dice 62.5 %; 90.0 % of the pixels are right. Weakest class: sea, IoU 10.0 %."}},
		"multi": {Run{Evaluations: []Evaluation{{Split: "val", Images: 1, MultiLabel: &metric.MultiLabel{MAP: .5, ExactMatch: metric.Undefined}}}}, []string{"On 1 image of val: mean average precision 0.500."}},
	} {
		got := c.run.Summary()
		if g, w := strings.ReplaceAll(strings.Join(got, "\n"), nbsp, " "), strings.Join(c.want, "\n"); g != w {
			t.Errorf("%s:\n%s\nwant\n%s", name, g, w)
		}
	}
	if got := confusions(scored.Confusion, []string{"cat", "dog", "eel"}, 1); len(got) != 1 || got[0].Truth != "cat" || got[0].Prediction != "dog" || got[0].N != 10 || got[0].Share != "10.0"+nbsp+"%" {
		t.Errorf("confusions %+v", got)
	}
}
