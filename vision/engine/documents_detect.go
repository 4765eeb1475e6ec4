package engine

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/report"
)

// boxImages is the number of pictures on a sheet with boxes, which are drawn
// larger than others.
const boxImages = 9

func (j *detect) label(r *run, b *datasets.Batch, i int, t *report.Tile) {
	for o := range j.objects {
		v := b.Boxes[(i*j.objects+o)*5:][:5]
		if v[0] < 0 {
			continue
		}
		x, y, w, h := float64(v[1]), float64(v[2]), float64(v[3]), float64(v[4])
		t.Boxes = append(t.Boxes, cv.Box{Box: vision.XYWH(x-w/2, y-h/2, w, h), Class: int(v[0])})
	}
}

func (j *detect) document(r *run, v *Validation, e *report.Evaluation, d *report.Drawings) (err error) {
	if e.Detection, err = report.NewDetection(v.eval, metric.Boxes, r.data.Classes); err != nil {
		return err
	}
	d.Detection = e.Detection
	r.countObjects(d)
	return nil
}

// countObjects counts objects per class and not images, and adds the boxes of
// the training images.
func (r *run) countObjects(d *report.Drawings) {
	for i, s := range r.data.Splits() {
		d.Counts[i].Counts = make([]int, len(r.data.Classes))
		for _, sm := range r.data.Split(s) {
			for _, o := range sm.Objects {
				d.Counts[i].Counts[o.Class]++
			}
			if s == datasets.Train {
				d.Boxes = append(d.Boxes, report.LabelBoxes(sm.Objects, sm.W, sm.H)...)
			}
		}
	}
}

func (j *detect) tiles(r *run, v *Validation) (labels, answers, mistakes []report.Tile, err error) {
	f := v.found
	best := v.confidence()
	for _, i := range evenly(len(f.Samples), boxImages) {
		s := f.Samples[i]
		im, err := cv.DecodeFile(s.Path)
		if err != nil {
			return nil, nil, nil, err
		}
		name := filepath.Base(s.Name)
		kept := slices.DeleteFunc(slices.Clone(f.Detections[i]), func(d vision.Detection) bool { return d.Score < best })
		label := report.Tile{Image: im, Lines: []string{name}, Boxes: cv.Objects(s.Objects, r.data.Classes, true)}
		answer := report.Tile{Image: im, Lines: []string{name}, Boxes: cv.Detections(kept, r.data.Classes)}
		if err := errors.Join(label.Shrink(), answer.Shrink()); err != nil {
			return nil, nil, nil, err
		}
		labels, answers = append(labels, label), append(answers, answer)
	}
	var all []report.Answer
	for i, s := range f.Samples {
		all = append(all, report.Answer{Name: filepath.Base(s.Name), Objects: s.Objects, Detections: f.Detections[i]})
	}
	mistakes, err = report.BoxMistakes(all, r.data.Classes, best, 12, func(i int) (*vision.Image, error) { return cv.DecodeFile(f.Samples[i].Path) })
	return labels, answers, mistakes, err
}
