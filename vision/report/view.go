package report

import (
	"html/template"
	"strings"

	"github.com/vislora/vislora/vision/metric"
)

// value is one measure as it is shown, with its interval where there is one.
type value struct {
	Name, Text, Interval string
	// Bar is the length of the bar behind the number, "97.5%"; "" for none.
	Bar string
}

func share100(name string, v metric.Score, ci map[string]metric.Interval, key string) value {
	return value{Name: name, Text: percent(float64(v)), Interval: interval(ci, key, 100, 1)}
}

func unit(name string, v metric.Score, ci map[string]metric.Interval, key string) value {
	return value{Name: name, Text: decimal(float64(v)), Interval: interval(ci, key, 1, 3)}
}

// result is an evaluation as it is shown.
type result struct {
	Split     string
	Images    string
	Note      string
	Cards     []value
	Unit      string // what is counted: images, objects or pixels
	Columns   []string
	Classes   []classRow
	ClassNote string
	// Confusions are the most frequent; ConfusionNote explains the matrix.
	Confusions    []confused
	ConfusionNote string
	Intervals     bool
	Resamples     string
}

type classRow struct {
	Name    string
	Support string
	Values  []value
	Empty   bool // nothing of the class in the split
}

func (e Evaluation) view() *result {
	r := &result{Split: e.Split, Images: count(e.Images, "image"), Unit: "images"}
	switch e.Split {
	case "val":
		r.Note = "The best epoch was chosen on this split, so the figures are slightly optimistic. Figures to publish come from a test split that nothing was chosen on."
	case "train":
		r.Note = "These are the images that the model was trained on: the figures do not say how well it does on new ones."
	}
	if e.Resamples > 0 {
		r.Resamples = thousands(e.Resamples)
	}
	switch {
	case e.Detection != nil || e.Masks != nil:
		r.detected(e.Detection, e.Masks)
	case e.Segmentation != nil:
		r.segmented(e.Segmentation)
	default:
		r.classified(e)
	}
	r.dropColumns()
	if len(r.Cards)+len(r.Classes) == 0 {
		return nil
	}
	return r
}

// card adds a headline figure that has a value.
func (r *result) card(v value) {
	if v.Text != none {
		r.Cards = append(r.Cards, v)
		r.Intervals = r.Intervals || v.Interval != ""
	}
}

// classified fills in the cards and the table of a classifier.
func (r *result) classified(e Evaluation) {
	var all []value
	var classes []metric.Class
	switch {
	case e.Classification != nil:
		m := e.Classification
		all = append(all, share100("accuracy", m.AccuracyTop1, m.CI95, "accuracy_top1"))
		if len(m.PerClass) > 5 {
			all = append(all, share100("top-5 accuracy", m.AccuracyTop5, m.CI95, "accuracy_top5"))
		}
		all = append(all, share100("balanced accuracy", m.BalancedAccuracy, m.CI95, "balanced_accuracy"),
			unit("macro F1", m.MacroF1, m.CI95, "macro_f1"),
			unit("AUROC (macro)", m.AUROC, m.CI95, "auroc"),
			unit("loss", m.Loss, m.CI95, "loss"))
		classes = m.PerClass
	case e.MultiLabel != nil:
		m := e.MultiLabel
		all = append(all, unit("mAP", m.MAP, m.CI95, "mAP"),
			unit("AUROC (macro)", m.AUROC, m.CI95, "auroc"),
			unit("macro F1", m.MacroF1, m.CI95, "macro_f1"),
			unit("micro F1", m.MicroF1, m.CI95, "micro_f1"),
			share100("exact match", m.ExactMatch, m.CI95, "exact_match"),
			unit("loss", m.Loss, m.CI95, "loss"))
		classes = m.PerClass
	}
	for _, v := range all {
		r.card(v)
	}
	if c := e.Classification; c != nil {
		names := make([]string, len(classes))
		for i, k := range classes {
			names[i] = k.Name
		}
		r.Confusions = confusions(c.Confusion, names, 6)
	}
	r.ClassNote = "Sensitivity: share of the class’s images that are recognised (recall). Specificity: share of the other images that are not taken for it. Precision: share of the images taken for it that are it. A dash: cannot be measured on this split."
	for _, c := range classes {
		row := classRow{Name: c.Name, Support: thousands(c.Support), Empty: c.Support == 0}
		row.Values = []value{
			share100("sensitivity", c.Sensitivity, c.CI95, "sensitivity"),
			share100("specificity", c.Specificity, c.CI95, "specificity"),
			share100("precision", c.Precision, c.CI95, "precision"),
			unit("F1", c.F1, c.CI95, "f1"),
			unit("AUROC", c.AUROC, c.CI95, "auroc"),
		}
		row.Values[0].Bar = bar(c.Sensitivity)
		ap := metric.Undefined
		if c.AveragePrecision != nil {
			ap = *c.AveragePrecision
		}
		row.Values = append(row.Values, unit("average precision", ap, c.CI95, "average_precision"))
		r.Classes = append(r.Classes, row)
	}
}

// dropColumns leaves out the columns of the table that have no value at all.
func (r *result) dropColumns() {
	if len(r.Classes) == 0 {
		return
	}
	for k := 0; k < len(r.Classes[0].Values); {
		name, used := r.Classes[0].Values[k].Name, false
		for _, row := range r.Classes {
			used = used || row.Values[k].Text != none
		}
		if used {
			r.Columns = append(r.Columns, name)
			k++
			continue
		}
		for i := range r.Classes {
			r.Classes[i].Values = append(r.Classes[i].Values[:k], r.Classes[i].Values[k+1:]...)
		}
	}
}

// fact is a line of the table "What was trained on what".
type fact struct {
	Name  string
	Value string
	Code  bool
	Note  string
}

func (r Run) facts() []fact {
	var out []fact
	add := func(name, v, note string, code bool) {
		if v != "" {
			out = append(out, fact{Name: name, Value: v, Note: note, Code: code})
		}
	}
	add("Model", r.Model.Path, r.Model.Arch, true)
	add("SHA-256", r.Model.SHA256, "", true)
	source := r.Model.InputSource
	if source != "" {
		source = "from " + source
	}
	add("Input", r.Model.Input, source, false)
	classes := ""
	if n := len(r.Data.Classes); n > 0 {
		classes = count(n, "class")
		if r.Data.MultiLabel {
			classes = count(n, "label") + ", any number per image"
		}
	}
	add("Data", r.Data.Path, classes, true)
	var splits, objects []string
	for i, s := range r.Data.Splits {
		n := 0
		for _, v := range s.Counts {
			n += v
		}
		if r.counts() == "objects" {
			objects = append(objects, s.Name+" "+thousands(n))
			n = 0
		}
		if i < len(r.Data.Images) {
			n = r.Data.Images[i]
		}
		if n > 0 {
			splits = append(splits, s.Name+" "+thousands(n))
		}
	}
	add("Images", strings.Join(splits, ", "), "", false)
	add("Objects", strings.Join(objects, ", "), "", false)
	add("Task", r.Task, "", false)
	add("Mode", r.Mode, "", false)
	if len(r.History.Epochs) > 0 {
		add("Seed", thousands(int(r.Seed)), "", false)
	}
	return out
}

// counts is what the class counts of the data count.
func (r Run) counts() string {
	if r.Task == "detect" || r.Task == "instance" {
		return "objects"
	}
	return "images"
}

// epochRow is a line of the table behind the curves.
type epochRow struct {
	Epoch  int
	Best   bool
	Values []string
}

// epochs lists the columns that have a value, and the rows.
func (r Run) epochs() (names []string, rows []epochRow) {
	measure := scores[r.History.task()].people
	if r.Data.MultiLabel {
		measure = multiLabelScores
	}
	scored := percent
	if r.counts() == "objects" {
		scored = decimal // as average precision is given everywhere
	}
	all := []struct {
		name string
		of   func(*EpochRow) *float64
		text func(float64) string
	}{
		{"time", func(e *EpochRow) *float64 { return &e.Time }, duration},
		{"train loss", func(e *EpochRow) *float64 { return &e.TrainLoss }, general},
		{"val loss", func(e *EpochRow) *float64 { return &e.ValLoss }, general},
		{measure[0], func(e *EpochRow) *float64 { return &e.Score }, scored},
		{measure[1], func(e *EpochRow) *float64 { return &e.Second }, scored},
		{"learning rate", func(e *EpochRow) *float64 { return &e.LR }, general},
	}
	rows = make([]epochRow, len(r.History.Epochs))
	for i, e := range r.History.Epochs {
		rows[i] = epochRow{Epoch: e.Epoch, Best: e.Epoch == r.best()}
	}
	for _, c := range all {
		_, y, ok := r.History.series(c.of)
		if !ok || c.name == "top-5 accuracy" && len(r.Data.Classes) <= 5 {
			continue
		}
		names = append(names, c.name)
		for i, v := range y {
			text := none
			if finite(v) {
				text = c.text(v)
			}
			rows[i].Values = append(rows[i].Values, text)
		}
	}
	return names, rows
}

// command is a line to paste.
type command struct{ What, Line string }

// commands use the weights.
func (r Run) commands() []command {
	if r.Weights == "" {
		return nil
	}
	w := quote(r.Weights)
	what := map[string]string{"detect": "Find objects in pictures, and draw them", "instance": "Find objects in pictures, and draw their masks", "segment": "Segment pictures, and draw the classes on them"}[r.Task]
	if what == "" {
		what = "Classify pictures, and draw the answers on them"
	}
	out := []command{{what, "vislora predict --weights " + w + " --source PICTURES"}}
	if r.Data.Path != "" {
		split := "val"
		for _, s := range r.Data.Splits {
			if s.Name == "test" {
				split = "test"
			}
		}
		out = append(out, command{"Measure it again, or on other data", "vislora val --weights " + w + " --data " + quote(r.Data.Path) + " --split " + split})
	}
	out = append(out,
		command{"One ONNX file with the adapter merged in, checked against this model", "vislora export --weights " + w + " --format onnx --out merged.onnx --verify 16"},
		command{"The same, taking pictures of any size instead of prepared input", "vislora export --weights " + w + " --format onnx --embed-preprocessing --out merged.onnx"})
	if r.Task == "segment" {
		out = append(out, command{"The same, with the class of every pixel at the picture's own size", "vislora export --weights " + w + " --format onnx --embed-preprocessing --original-size --argmax --out merged.onnx"})
	}
	if chosen := map[string]string{"detect": "the boxes", "instance": "the boxes and their masks"}[r.Task]; chosen != "" {
		out = append(out, command{"The same, with " + chosen + " chosen inside the file", "vislora export --weights " + w + " --format onnx --nms --out merged.onnx --verify 16"})
	}
	if r.Adapter.Layers > 0 {
		out = append(out, command{"The adapter alone, for PEFT", "vislora export --weights " + w + " --format peft --out adapter"})
	}
	return out
}

// quote makes one word of a path for a POSIX shell.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-./:@%+=,", c))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CSS hands the length of the bar, which percent made, to the style sheet.
func (v value) CSS() template.CSS { return template.CSS("--v:" + v.Bar) }
