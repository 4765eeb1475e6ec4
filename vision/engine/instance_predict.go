package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/mask"
)

// instanceAnswers are those of a network that finds objects and the pixels of
// each.
type instanceAnswers struct {
	*boxAnswers
	txt bool    // writes outlines
	mm2 float64 // of a pixel, 0 where it is not known
}

func (l *Loaded) instanceAnswers(levels []head.Level, t thresholds, c *PredictConfig) (answers, error) {
	boxes, err := l.boxAnswers(levels, t, c)
	if err != nil {
		return nil, err
	}
	boxes.save.txt = false // in place of boxes there are outlines
	return &instanceAnswers{boxes, c.SaveTxt, c.PixelSize * c.PixelSize}, nil
}

func (a *instanceAnswers) read(f *frame, to *answer) error {
	found, err := a.reader.instances(f.out, f.prototypes, to.Width, to.Height)
	if err != nil {
		return err
	}
	to.Predictions = []vision.Prediction{} // [] in JSON
	for _, d := range found {
		if a.only != nil && !a.only[d.Class] {
			continue
		}
		b, area := d.Box.XYWH(), mask.Area(*d.Mask)
		p := vision.Prediction{Class: d.Class, Name: a.classes[d.Class], Score: d.Score, Box: &b, Area: &area,
			Segmentation: &vision.Segmentation{Size: [2]int{d.Mask.H, d.Mask.W}, Counts: mask.Compress(d.Mask.Counts)}}
		if a.mm2 > 0 {
			mm2 := float64(area) * a.mm2
			p.AreaMM2 = &mm2
		}
		to.Predictions = append(to.Predictions, p)
		to.masks = append(to.masks, *d.Mask)
	}
	return nil
}

// files writes what belongs to boxes, and YOLO labels of outlines: the class, then
// x and y of every corner as shares of the picture, of the largest part of the
// mask. An object without a pixel has no line.
func (a *instanceAnswers) files(dir, name string, of *answer) error {
	if err := a.boxAnswers.files(dir, name, of); err != nil || !a.txt {
		return err
	}
	var b strings.Builder
	for i, q := range of.Predictions {
		p, err := mask.Outline(of.masks[i])
		if err != nil {
			return err
		}
		if len(p) == 0 {
			continue
		}
		fmt.Fprint(&b, q.Class)
		for k, v := range p {
			side := of.Width
			if k%2 == 1 {
				side = of.Height
			}
			fmt.Fprintf(&b, " %.6f", v/float64(side))
		}
		if a.save.conf {
			fmt.Fprintf(&b, " %.6f", q.Score)
		}
		b.WriteByte('\n')
	}
	labels := filepath.Join(dir, "labels")
	if err := os.MkdirAll(labels, 0o755); err != nil {
		return err
	}
	return writeFile(filepath.Join(labels, name+".txt"), []byte(b.String()))
}

func (a *instanceAnswers) draw(im *vision.Image, of *answer) (*vision.Image, error) {
	im, k, err := enlarged(im)
	if err != nil {
		return nil, err
	}
	boxes := make([]cv.Box, len(of.Predictions))
	for i, q := range of.Predictions {
		m, err := scaled(of.masks[i], k)
		if err != nil {
			return nil, err
		}
		s := float64(k)
		boxes[i] = cv.Box{Box: vision.XYWH(q.Box[0]*s, q.Box[1]*s, q.Box[2]*s, q.Box[3]*s), Class: q.Class, Name: q.Name, Score: q.Score, Mask: &m}
	}
	return im, cv.DrawBoxes(im, boxes)
}

func (a *instanceAnswers) columns() []string {
	c := append(a.boxAnswers.columns(), "pixels")
	if a.mm2 > 0 {
		c = append(c, "mm2")
	}
	return c
}

func (a *instanceAnswers) rows(p []vision.Prediction) [][]string {
	rows := a.boxAnswers.rows(p)
	for i, q := range p {
		rows[i] = append(rows[i], fmt.Sprint(*q.Area))
		if a.mm2 > 0 {
			rows[i] = append(rows[i], fmt.Sprintf("%.6g", *q.AreaMM2))
		}
	}
	return rows
}
