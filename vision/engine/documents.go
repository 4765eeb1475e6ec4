package engine

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

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
	train [][]report.Tile // the first batches, as the network saw them
}

// keepTrain keeps a batch of the first epoch as it went into the network.
func (p *pictures) keepTrain(r *run, b *datasets.Batch) {
	if len(p.train) >= sheets || b.Step != len(p.train) {
		return
	}
	var tiles []report.Tile
	size := r.inputLen()
	for i := range min(b.N, sheetImages) {
		im := vision.NewImage(r.pre.Size[1], r.pre.Size[0])
		transform.Denormalise(im, b.X[i*size:(i+1)*size], r.pre)
		var lines []string
		if k := b.Labels[i]; k >= 0 {
			lines = []string{r.data.Classes[k]}
		}
		tiles = append(tiles, report.Tile{Image: im, Lines: lines})
	}
	p.train = append(p.train, tiles)
}

func trainSheet(i int) string { return fmt.Sprintf("train_batch%d.jpg", i) }

// write draws the kept batches, once, after the first epoch.
func (p *pictures) write(dir string) error {
	for i, tiles := range p.train {
		if err := report.Sheet(filepath.Join(dir, trainSheet(i)), tiles, 4); err != nil {
			return err
		}
	}
	p.train = nil
	return nil
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
	if v.Metrics.Detection != nil {
		return nil // its figures are in metrics.json and results.csv
	}
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
	out.Evaluations = []report.Evaluation{{Split: v.Metrics.Split, Images: v.Metrics.Images, Resamples: 1000, Classification: v.Metrics.Classification, MultiLabel: v.Metrics.MultiLabel}}
	draw := report.Drawings{History: out.History, Classification: v.Metrics.Classification, MultiLabel: v.Metrics.MultiLabel, Classes: r.data.Classes, Counts: out.Data.Splits}
	if v.Metrics.Classification != nil {
		draw.ROC = report.ROC(v.scores.predictions(r.data.Classes))
	} else {
		draw.ROC = report.MultiLabelROC(v.scores.multiLabel(r.data.Classes))
	}
	var err error
	if out.Pictures, err = report.Plots(r.dir, draw); err != nil {
		return err
	}
	for i := range sheets {
		if _, err := os.Stat(filepath.Join(r.dir, trainSheet(i))); err == nil {
			out.TrainBatches = append(out.TrainBatches, trainSheet(i))
		}
	}
	if err := r.answers(v, &out); err != nil {
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

// answers draws validation images with their labels, with the network's
// answers, and the answers that were most wrong.
func (r *run) answers(v *Validation, out *report.Run) error {
	if v.Metrics.Classification == nil {
		return nil
	}
	probs := v.loaded.probabilities(v.scores)
	k := v.scores.Classes
	order := make([]int, len(v.scores.Samples))
	for i := range order {
		order[i] = i
	}
	tile := func(i int, answer bool) (report.Tile, error) {
		s := v.scores.Samples[i]
		im, err := cv.DecodeFile(s.Path)
		if err != nil {
			return report.Tile{}, err
		}
		best := top(probs[i*k : (i+1)*k])
		good := best == s.Label
		t := report.Tile{Image: im, Lines: []string{r.data.Classes[s.Label]}}
		if answer {
			t.Lines = []string{fmt.Sprintf("%s %.2f", r.data.Classes[best], probs[i*k+best])}
			if !good {
				t.Lines = append(t.Lines, "is "+r.data.Classes[s.Label])
			}
			t.Good = &good
		}
		return t, nil
	}
	sheet := func(name string, indices []int, answer bool) error {
		var tiles []report.Tile
		for _, i := range indices {
			t, err := tile(i, answer)
			if err != nil {
				return err
			}
			tiles = append(tiles, t)
		}
		return report.Sheet(filepath.Join(r.dir, name), tiles, 4)
	}
	// Spread over the split, so that every class has a chance to be seen.
	var spread []int
	for j := range min(sheetImages, len(order)) {
		spread = append(spread, order[j*len(order)/min(sheetImages, len(order))])
	}
	if err := sheet("val_batch0_labels.jpg", spread, false); err != nil {
		return err
	}
	if err := sheet("val_batch0_pred.jpg", spread, true); err != nil {
		return err
	}
	out.ValBatches = []report.Batch{{Labels: "val_batch0_labels.jpg", Pred: "val_batch0_pred.jpg"}}
	wrong := slices.DeleteFunc(slices.Clone(order), func(i int) bool { return top(probs[i*k:(i+1)*k]) == v.scores.Samples[i].Label })
	slices.SortStableFunc(wrong, func(a, b int) int {
		return cmp.Compare(probs[a*k+v.scores.Samples[a].Label], probs[b*k+v.scores.Samples[b].Label])
	})
	if len(wrong) == 0 {
		return nil
	}
	out.Mistakes = "mistakes.jpg"
	return sheet(out.Mistakes, wrong[:min(sheetImages, len(wrong))], true)
}

func top(p []float64) int {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return best
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
	n := min(sheetImages, len(d.Samples))
	for j := range n {
		s := d.Samples[j*len(d.Samples)/n]
		im, err := cv.DecodeFile(s.Path)
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
	sheet, err := transform.Sheet(tiles[0].Image, tiles[len(tiles)-1].Image, pre, transform.DefaultAugment(), c.Seed)
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
