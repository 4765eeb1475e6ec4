package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
)

// thresholds checks and completes the settings of boxes.
func (c *PredictConfig) thresholds() (thresholds, error) {
	t := thresholds{Conf: c.Conf, IoU: c.IoU, Max: c.MaxDet, Agnostic: c.Agnostic}
	if t.Conf == 0 {
		t.Conf = .25
	}
	if t.IoU == 0 {
		t.IoU = .7
	}
	if t.Max == 0 {
		t.Max = 300
	}
	switch {
	case !(t.Conf > 0 && t.Conf <= 1):
		return t, fmt.Errorf("conf is %g: use a score from 0 to 1", c.Conf)
	case !(t.IoU > 0 && t.IoU <= 1):
		return t, fmt.Errorf("iou is %g: use an overlap from 0 to 1", c.IoU)
	case t.Max < 0:
		return t, fmt.Errorf("max_det is %d: use 1 or more", c.MaxDet)
	}
	return t, nil
}

// boxAnswers are those of a detector.
type boxAnswers struct {
	reader  boxReader
	classes []string
	only    []bool // by class; nil for all
	save    boxFiles
}

func (l *Loaded) boxAnswers(levels []head.Level, t thresholds, c *PredictConfig) (*boxAnswers, error) {
	a := &boxAnswers{reader: l.boxReader(levels, l.Pre, t), classes: l.Classes, save: boxFiles{c.SaveTxt, c.SaveConf, c.SaveCrop}}
	for _, s := range c.Only {
		k := slices.Index(l.Classes, s)
		if k < 0 {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 || n >= len(l.Classes) {
				return nil, fmt.Errorf("classes: there is no %q: use numbers from 0 to %d, or names: %s", s, len(l.Classes)-1, strings.Join(l.Classes, ", "))
			}
			k = n
		}
		if a.only == nil {
			a.only = make([]bool, len(l.Classes))
		}
		a.only[k] = true
	}
	return a, nil
}

func (a *boxAnswers) read(f *frame, to *answer) error {
	to.Predictions = []vision.Prediction{} // [] in JSON
	for _, d := range a.reader.read(f.out, to.Width, to.Height) {
		if a.only == nil || a.only[d.Class] {
			b := d.Box.XYWH()
			to.Predictions = append(to.Predictions, vision.Prediction{Class: d.Class, Name: a.classes[d.Class], Score: d.Score, Box: &b})
		}
	}
	return nil
}

func (a *boxAnswers) files(dir, name string, of *answer) error { return a.save.write(dir, name, of) }

func (a *boxAnswers) draw(im *vision.Image, of *answer) (*vision.Image, error) {
	im, k, err := enlarged(im)
	if err != nil {
		return nil, err
	}
	boxes := make([]cv.Box, len(of.Predictions))
	for i, q := range of.Predictions {
		s := float64(k)
		boxes[i] = cv.Box{Box: vision.XYWH(q.Box[0]*s, q.Box[1]*s, q.Box[2]*s, q.Box[3]*s), Class: q.Class, Name: q.Name, Score: q.Score}
	}
	return im, cv.DrawBoxes(im, boxes)
}

func (a *boxAnswers) columns() []string {
	return []string{"class", "name", "score", "x", "y", "width", "height"}
}

func (a *boxAnswers) rows(p []vision.Prediction) [][]string {
	var out [][]string
	for _, q := range p {
		row := []string{fmt.Sprint(q.Class), q.Name, fmt.Sprintf("%.6f", q.Score)}
		for _, v := range q.Box {
			row = append(row, fmt.Sprintf("%.2f", v))
		}
		out = append(out, row)
	}
	return out
}

// summary counts the objects of each class, in the order of the classes.
func (a *boxAnswers) summary(p []vision.Prediction) string {
	count := make([]int, len(a.classes))
	for _, q := range p {
		count[q.Class]++
	}
	var parts []string
	for k, n := range count {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, a.classes[k]))
		}
	}
	if parts == nil {
		return "nothing found"
	}
	return strings.Join(parts, ", ")
}
