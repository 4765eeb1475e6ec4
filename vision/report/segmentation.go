package report

import (
	"fmt"

	"github.com/vislora/vislora/vision/metric"
)

// classNames are those of a segmenter's classes.
func classNames(s *metric.Segmentation) []string {
	out := make([]string, len(s.PerClass))
	for i, c := range s.PerClass {
		out[i] = c.Name
	}
	return out
}

// segmented fills in the cards and the table of a segmenter.
func (r *result) segmented(s *metric.Segmentation) {
	r.Unit = "pixels"
	r.card(share100("mIoU", s.MIoU, nil, ""))
	r.card(share100("Dice", s.Dice, nil, ""))
	r.card(share100("pixel accuracy", s.PixelAccuracy, nil, ""))
	r.card(share100("boundary F1", s.BoundaryF1, nil, ""))
	r.card(distance("HD95", s.HD95, "px"))
	r.card(distance("HD95 in mm", s.HD95mm, "mm"))
	for _, c := range s.PerClass {
		of, missed := value{Name: "of all pixels", Text: none}, value{Name: "HD95 not measured", Text: none}
		if c.Pixels > 0 {
			of.Text = share(int(c.Pixels), int(s.Pixels))
		}
		if c.HD95Missed > 0 {
			missed.Text = count(c.HD95Missed, "image")
		}
		v := []value{share100("IoU", c.IoU, nil, ""), share100("Dice", c.Dice, nil, ""), share100("sensitivity", c.Sensitivity, nil, ""), share100("precision", c.Precision, nil, ""),
			share100("boundary F1", c.BoundaryF1, nil, ""), distance("HD95", c.HD95, "px"), distance("HD95 in mm", c.HD95mm, "mm"), missed, of}
		v[0].Bar = bar(c.IoU)
		r.Classes = append(r.Classes, classRow{Name: c.Name, Support: millions(int(c.Pixels)), Empty: c.Pixels == 0, Values: v})
	}
	r.ClassNote = "IoU: what prediction and truth share, of what either covers; Dice: twice what they share, of the sum of both. Sensitivity: share of the class’s pixels that are recognised (recall), precision: share of the pixels taken for it that are it. "
	if finite(float64(s.BoundaryF1)) || finite(float64(s.HD95)) {
		r.ClassNote += "Boundary F1: how much of the edges lies near those of the other, less than 1 % of the image’s diagonal away. HD95: 95 % of the edges are nearer than this to the other’s; the mean over the images in which the class is both present and predicted. "
	}
	r.ClassNote += "A dash: cannot be measured on this split."
	r.Confusions = confusions(s.Confusion, classNames(s), 6)
	for i := range r.Confusions {
		r.Confusions[i].Count = millions(r.Confusions[i].N)
	}
}

// distance is a length with its unit.
func distance(name string, v metric.Score, unit string) value {
	if !finite(float64(v)) {
		return value{Name: name, Text: none}
	}
	return value{Name: name, Text: fmt.Sprintf("%.1f"+nbsp+"%s", float64(v), unit)}
}

// segmentedSummary is a sentence for the head of the page.
func segmentedSummary(s *metric.Segmentation) string {
	if !finite(float64(s.MIoU)) {
		return ""
	}
	out := "mean IoU " + percent(float64(s.MIoU))
	if finite(float64(s.Dice)) {
		out += ", Dice " + percent(float64(s.Dice))
	}
	if finite(float64(s.PixelAccuracy)) {
		out += "; " + percent(float64(s.PixelAccuracy)) + " of the pixels are right"
	}
	out += "."
	var w *metric.SegmentClass
	for i := range s.PerClass {
		if c := &s.PerClass[i]; c.Pixels > 0 && finite(float64(c.IoU)) && (w == nil || c.IoU < w.IoU) {
			w = c
		}
	}
	if w != nil && len(s.PerClass) > 1 {
		out += fmt.Sprintf(" Weakest class: %s, IoU %s.", w.Name, percent(float64(w.IoU)))
	}
	return out
}
