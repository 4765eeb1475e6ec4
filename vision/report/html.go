package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"path/filepath"
	"strings"
)

const (
	// mostSkipped is the number of skipped files that are listed by name.
	mostSkipped = 50
	// mostBeside is the number of classes up to which two confusion matrices
	// can be read beside each other, mostNumbered that up to which they differ:
	// above it they carry no numbers, only colours.
	mostBeside   = 12
	mostNumbered = 30
)

//go:embed report.html.tmpl
var source string

var page = template.Must(template.New("report.html").Parse(source))

// document is what the template fills in.
type document struct {
	Run
	Title      string
	Subtitle   []string
	Paragraphs []string
	Facts      []fact
	Results    []*result
	EpochNames []string
	EpochRows  []epochRow
	Commands   []command

	CurvesPlot, ROCPlot, LabelsPlot *picture
	LabelsTitle                     string
	ClassCurves                     []*picture
	Matrices                        []*picture
	Beside                          bool

	Train     []*picture
	Val       []valBatch
	Worst     *picture
	WorstNote string
	Listed    []Skip
	More      int
	SkipCount string
}

type valBatch struct{ Labels, Pred *picture }

// HTML writes dir/report.html: one file with all pictures inside that asks
// nothing of the network and runs no script, for screen (light and dark) and
// paper. Pictures are read from dir; those that do not exist are left out, those
// that cannot be decoded are named among the warnings.
func HTML(dir string, r Run) error {
	d := document{Run: r, Title: "vislora run", Facts: r.facts(), Paragraphs: r.Summary(), Commands: r.commands()}
	if r.Name != "" {
		d.Title = r.Name
	}
	if !r.Started.IsZero() {
		d.Subtitle = append(d.Subtitle, r.Started.Format("2 January 2006, 15:04"))
	}
	if r.Seconds > 0 {
		d.Subtitle = append(d.Subtitle, "trained in "+duration(r.Seconds))
	}
	if r.Version != "" {
		d.Subtitle = append(d.Subtitle, "vislora "+r.Version)
	}
	for _, e := range r.Evaluations {
		if v := e.view(); v != nil {
			d.Results = append(d.Results, v)
		}
	}
	d.EpochNames, d.EpochRows = r.epochs()

	a := &album{dir: dir}
	d.CurvesPlot = a.plot(r.Pictures.Results, "Curves of loss, accuracy and learning rate over the epochs")
	d.Beside = len(r.Data.Classes) <= mostBeside
	unit := "images"
	if len(d.Results) > 0 {
		unit = d.Results[0].Unit
	}
	if p := a.plot(r.Pictures.ConfusionNormalized, "Confusion matrix in per cent of the true class"); p != nil {
		d.Matrices = append(d.Matrices, p)
	}
	if len(d.Matrices) == 0 || len(r.Data.Classes) <= mostNumbered {
		if p := a.plot(r.Pictures.Confusion, "Confusion matrix in "+unit); p != nil {
			d.Matrices = append(d.Matrices, p)
		}
	}
	d.ROCPlot = a.plot(r.Pictures.ROC, "Receiver operating characteristics")
	for _, c := range []struct {
		of   string
		pics CurvePictures
	}{{"masks", r.Pictures.Mask}, {"boxes", r.Pictures.Box}} {
		for _, k := range []struct{ name, alt string }{{c.pics.PR, "Precision over recall"}, {c.pics.F1, "F1 over confidence"}, {c.pics.P, "Precision over confidence"}, {c.pics.R, "Recall over confidence"}} {
			if p := a.plot(k.name, k.alt+", "+c.of); p != nil {
				d.ClassCurves = append(d.ClassCurves, p)
			}
		}
	}
	d.LabelsTitle = "Images per class"
	if r.counts() == "objects" {
		d.LabelsTitle = "Annotated objects"
	}
	d.LabelsPlot = a.plot(r.Pictures.Labels, strings.ToUpper(r.counts()[:1])+r.counts()[1:]+" per class and split")
	for i, name := range r.TrainBatches {
		if p := a.get(name, fmt.Sprintf("Training batch %d as the model sees it", i)); p != nil {
			d.Train = append(d.Train, p)
		}
	}
	for i, b := range r.ValBatches {
		v := valBatch{a.get(b.Labels, fmt.Sprintf("Validation batch %d with its labels", i)), a.get(b.Pred, fmt.Sprintf("Validation batch %d with predictions", i))}
		if v.Labels != nil || v.Pred != nil {
			d.Val = append(d.Val, v)
		}
	}
	d.Worst = a.get(r.Mistakes, "The worst mistakes")
	switch r.Task {
	case "detect", "instance":
		d.WorstNote = "Boxes around nothing, or of the wrong class, that the model was surest of, and the largest objects that it missed, in red; what is annotated around them in dashed green. Look at them for missing labels first."
	case "segment":
		d.WorstNote = "The images with the largest share of wrong pixels. Look at them for wrong labels first."
	default:
		d.WorstNote = "The images that the model got wrong and was surest of. Look at them for wrong labels first."
	}
	d.Warnings = append(append([]string(nil), r.Warnings...), a.warnings...)
	d.Listed = r.Skipped[:min(len(r.Skipped), mostSkipped)]
	d.More, d.SkipCount = len(r.Skipped)-len(d.Listed), count(len(r.Skipped), "file")

	var b bytes.Buffer
	if err := page.Execute(&b, d); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := writeFile(filepath.Join(dir, "report.html"), b.Bytes()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
