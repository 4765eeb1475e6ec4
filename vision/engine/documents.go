package engine

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
	"github.com/vislora/vislora/vision/report"
	"github.com/vislora/vislora/vision/transform"
)

// sheets is the number of training batches that are drawn, sheetImages the
// number of pictures on a sheet.
const (
	sheets      = 3
	sheetImages = 16
)

// pictures keeps a few images of a run for its sheets.
type pictures struct {
	train map[int][]report.Tile // the first batches, as the network saw them
}

// keepTrain keeps a batch of the first epoch as it went into the network.
func (p *pictures) keepTrain(r *run, b *datasets.Batch) {
	if b.Step >= sheets {
		return
	}
	var tiles []report.Tile
	size := r.inputLen()
	for i := range min(b.N, sheetImages) {
		im := vision.NewImage(r.pre.Size[1], r.pre.Size[0])
		transform.Denormalise(im, b.X[i*size:(i+1)*size], r.pre)
		t := report.Tile{Image: im}
		r.job.label(r, b, i, &t)
		tiles = append(tiles, t)
	}
	if p.train == nil {
		p.train = map[int][]report.Tile{}
	}
	p.train[b.Step] = tiles
}

func trainSheet(i int) string { return fmt.Sprintf("train_batch%d.jpg", i) }

// write draws the kept batches, once, after the first epoch or where it ends early.
func (p *pictures) write(dir string, classes []string) error {
	for i, tiles := range p.train {
		if err := drawSheet(filepath.Join(dir, trainSheet(i)), tiles, classes); err != nil {
			return err
		}
	}
	p.train = nil
	return nil
}

// drawSheet draws a sheet, with a legend where classes are told by colours.
func drawSheet(path string, tiles []report.Tile, classes []string) error {
	for _, t := range tiles {
		if len(t.Boxes) > 0 || t.Mask != nil {
			return report.ClassSheet(path, tiles[:min(12, len(tiles))], 3, classes)
		}
	}
	return report.Sheet(path, tiles, 4)
}

// evenly picks so many of n things, evenly.
func evenly(n, most int) []int {
	var out []int
	for j := range min(most, n) {
		out = append(out, j*n/min(most, n))
	}
	return out
}

// history is what results.csv and the curves hold.
func (r *run) history() report.History {
	h := report.History{Task: r.c.Task}
	for _, r := range r.at.Rows {
		h.Epochs = append(h.Epochs, report.EpochRow{Epoch: r.Epoch, Time: r.Time, TrainLoss: r.TrainLoss, ValLoss: r.ValLoss, Score: r.Score, Second: r.Second, LR: r.LR})
	}
	return h
}

// documents writes the plots, sheets and the report of a finished run.
func (r *run) documents(v *Validation, stopped string) error {
	c, n := &r.c, r.net
	out := report.Run{Name: filepath.Base(r.dir), Task: c.Task, Mode: c.Mode, Started: r.started, Seconds: r.at.Seconds, Version: Version, Seed: c.Seed,
		Model:     report.Model{Path: c.Model, SHA256: r.base.SHA256, Arch: n.Annotation.Arch, Input: fmt.Sprintf("%d×%d, %s", n.Height, n.Width, describePreprocess(r.pre)), InputSource: r.source},
		Data:      report.Data{Path: c.Data, Classes: r.data.Classes, MultiLabel: r.data.MultiLabel},
		Trainable: n.Net.Count(), Total: n.parameters(), History: r.history(), Epochs: c.Epochs, BestEpoch: r.at.BestAt, Stopped: stopped,
		Warnings: r.data.Warnings, Weights: r.dir}
	for _, s := range r.data.Splits() {
		out.Data.Splits = append(out.Data.Splits, plot.Split{Name: s, Counts: r.data.Counts(s)})
		out.Data.Images = append(out.Data.Images, len(r.data.Split(s)))
	}
	if n.Plan != nil {
		method := "LoRA"
		switch cfg := n.Adapter.Config; {
		case cfg.UseDoRA:
			method = "DoRA"
		case cfg.UseRSLoRA:
			method = "rsLoRA"
		}
		out.Adapter = report.Adapter{Method: method, Rank: n.Adapter.Config.R, Layers: len(n.Plan.Sites), Table: n.Plan.Table()}
	}
	draw := report.Drawings{History: out.History, Classes: r.data.Classes, Counts: out.Data.Splits}
	scored := report.Evaluation{Split: v.Metrics.Split, Images: v.Metrics.Images}
	if err := r.job.document(r, v, &scored, &draw); err != nil {
		return err
	}
	out.Evaluations, out.Data.Splits = []report.Evaluation{scored}, draw.Counts
	var err error
	if out.Pictures, err = report.Plots(r.dir, draw); err != nil {
		return err
	}
	for i := range sheets {
		if _, err := os.Stat(filepath.Join(r.dir, trainSheet(i))); err == nil {
			out.TrainBatches = append(out.TrainBatches, trainSheet(i))
		}
	}
	if err := r.sheets(v, &out); err != nil {
		return err
	}
	for _, s := range r.data.Skipped {
		out.Skipped = append(out.Skipped, report.Skip{File: s.Name, Reason: s.Reason})
	}
	if args, err := os.ReadFile(filepath.Join(r.dir, "args.yaml")); err == nil {
		out.Args = string(args)
	}
	return report.HTML(r.dir, out)
}

// sheets draws validation images with their labels, with the network's answers,
// and its worst mistakes.
func (r *run) sheets(v *Validation, out *report.Run) error {
	labels, answers, mistakes, err := r.job.tiles(r, v)
	if err != nil {
		return err
	}
	for name, tiles := range map[string][]report.Tile{"val_batch0_labels.jpg": labels, "val_batch0_pred.jpg": answers, "mistakes.jpg": mistakes} {
		if len(tiles) == 0 {
			continue
		}
		if err := drawSheet(filepath.Join(r.dir, name), tiles, r.data.Classes); err != nil {
			return err
		}
	}
	if len(answers) > 0 {
		out.ValBatches = []report.Batch{{Labels: "val_batch0_labels.jpg", Pred: "val_batch0_pred.jpg"}}
	}
	if len(mistakes) > 0 {
		out.Mistakes = "mistakes.jpg"
	}
	return nil
}

// Version is vislora's, for the report; the command sets it.
var Version = "dev"

// drawCheck writes the pictures of `data check`: class counts, a sheet of
// images with their labels, and what training's augmentation makes of one.
func drawCheck(c CheckConfig, d *datasets.Dataset) ([]string, error) {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return nil, err
	}
	var counts []plot.Split
	for _, s := range d.Splits() {
		counts = append(counts, plot.Split{Name: s, Counts: d.Counts(s)})
	}
	pics, err := report.Plots(c.Out, report.Drawings{Classes: d.Classes, Counts: counts})
	if err != nil {
		return nil, err
	}
	var out []string
	if pics.Labels != "" {
		out = append(out, filepath.Join(c.Out, pics.Labels))
	}
	var tiles []report.Tile
	shown := evenly(len(d.Samples), sheetImages)
	for _, i := range shown {
		s := d.Samples[i]
		im, err := report.Thumbnail(s.Path)
		if err != nil {
			return nil, err
		}
		var lines []string
		for _, k := range s.Classes() {
			lines = append(lines, d.Classes[k])
		}
		tiles = append(tiles, report.Tile{Image: im, Lines: append(lines, s.Split)})
	}
	path := filepath.Join(c.Out, "samples.jpg")
	if err := report.Sheet(path, tiles, 4); err != nil {
		return nil, err
	}
	out = append(out, path)
	pre, err := vision.Preset("imagenet")
	if err != nil {
		return nil, err
	}
	first, err := cv.DecodeFile(d.Samples[shown[0]].Path)
	if err != nil {
		return nil, err
	}
	last, err := cv.DecodeFile(d.Samples[shown[len(shown)-1]].Path)
	if err != nil {
		return nil, err
	}
	sheet, err := transform.Sheet(first, last, pre, transform.DefaultAugment(), c.Seed)
	if err != nil {
		return nil, err
	}
	path = filepath.Join(c.Out, "augmentation.jpg")
	return append(out, path), cv.WriteFile(path, sheet)
}

// predictions and multiLabel are the scores as package metric takes them.
func (s *scores) predictions(names []string) metric.Predictions {
	p := metric.Predictions{Names: names, Logits: s.Logits}
	for _, sm := range s.Samples {
		p.Labels = append(p.Labels, sm.Label)
	}
	return p
}

func (s *scores) multiLabel(names []string) metric.MultiLabelPredictions {
	p := metric.MultiLabelPredictions{Names: names, Logits: s.Logits, Targets: make([]bool, len(s.Samples)*len(names))}
	for i, sm := range s.Samples {
		for _, c := range sm.Labels {
			p.Targets[i*len(names)+c] = true
		}
	}
	return p
}
