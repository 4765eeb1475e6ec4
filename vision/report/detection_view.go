package report

import (
	"fmt"
	"strings"

	"github.com/vislora/vislora/vision/metric"
)

// detected fills in the cards and the table of a detector. With masks both kinds
// are shown, the masks' first.
func (r *result) detected(boxes, masks *Detection) {
	r.Unit = "objects"
	main := boxes
	if masks != nil {
		main = masks
	}
	for _, d := range []*Detection{masks, boxes} {
		if d == nil || d.Stats == nil {
			continue
		}
		kind := ""
		if masks != nil {
			kind = map[metric.COCOKind]string{metric.Boxes: "box ", metric.Masks: "mask "}[d.Kind]
		}
		add := func(name string, v metric.Score) { r.card(unit(kind+name, v, nil, "")) }
		s := d.Stats
		add("mAP50-95", s.AP)
		add("mAP50", s.AP50)
		add("mAP75", s.AP75)
		add("AR100", s.AR100)
		if d != main {
			continue
		}
		confidence, precision, recall, f1 := d.Best()
		add("precision", precision)
		add("recall", recall)
		add("F1", f1)
		r.card(value{Name: "at confidence", Text: decimal(float64(confidence))})
		add("mAP small", s.APSmall)
		add("mAP medium", s.APMedium)
		add("mAP large", s.APLarge)
	}
	r.detectedClasses(main, boxes)
	r.ClassNote = "mAP50-95: the mean of the average precision at overlaps (IoU) of 0.5 to 0.95; mAP50: at 0.5 alone. Recall: share of the class’s objects that are found, precision: share of what is found that is right, both at IoU 0.5 and the confidence above. AR100: the recall that 100 boxes per image reach, over the same overlaps. A dash: the class has no object in this split."
	if main.Confusion != nil {
		r.ConfusionNote = fmt.Sprintf("Boxes of a confidence above %s, paired with objects that they overlap by more than 0.45. The last column holds the objects that were not found, the last row the boxes around nothing; its percentages are those of all such boxes.", decimal(main.ConfusionAt))
		r.Confusions = confusions(main.Confusion, append(append([]string(nil), main.Classes...), ""), 8)
		for i := range r.Confusions {
			c := &r.Confusions[i]
			if c.Truth == "" {
				c.Truth, c.Share = "nothing", none
			}
			if c.Prediction == "" {
				c.Prediction = "not found"
			}
		}
	}
}

func (r *result) detectedClasses(main, boxes *Detection) {
	if main.Stats == nil {
		return
	}
	row := map[int]int{}
	if main.Curves != nil {
		for i, class := range main.Curves.Classes {
			row[class] = i
		}
	}
	box := map[int]metric.COCOClass{}
	if boxes != nil && boxes != main && boxes.Stats != nil {
		for _, c := range boxes.Stats.PerClass {
			box[c.Class] = c
		}
	}
	for _, c := range main.Stats.PerClass {
		precision, recall, f1 := metric.Undefined, metric.Undefined, metric.Undefined
		if i, ok := row[c.Class]; ok && main.best() >= 0 {
			at := func(rows [][]float64) metric.Score { return metric.Score(rows[i][main.best()]) }
			precision, recall, f1 = at(main.Curves.Precision), at(main.Curves.Recall), at(main.Curves.F1)
		}
		boxAP := metric.Undefined
		if b, ok := box[c.Class]; ok {
			boxAP = b.AP
		}
		v := []value{
			unit("mAP50-95", c.AP, nil, ""), unit("mAP50", c.AP50, nil, ""), unit("box mAP50-95", boxAP, nil, ""), unit("AR100", c.AR100, nil, ""),
			unit("precision", precision, nil, ""), unit("recall", recall, nil, ""), unit("F1", f1, nil, ""),
		}
		v[0].Bar = bar(c.AP)
		r.Classes = append(r.Classes, classRow{Name: main.name(c.Class), Support: thousands(c.Objects), Empty: c.Objects == 0, Values: v})
	}
}

// bar is the length of the bar behind a share.
func bar(v metric.Score) string {
	if !finite(float64(v)) {
		return ""
	}
	return strings.ReplaceAll(percent(float64(v)), nbsp, "")
}

// summary is a sentence for the head of the page.
func (d *Detection) summary() string {
	if d.Stats == nil || !finite(float64(d.Stats.AP)) {
		return ""
	}
	s := fmt.Sprintf("%s %s (mAP50 %s)", map[metric.COCOKind]string{metric.Boxes: "mAP50-95", metric.Masks: "mask mAP50-95"}[d.Kind], decimal(float64(d.Stats.AP)), decimal(float64(d.Stats.AP50)))
	if confidence, precision, recall, _ := d.Best(); confidence.Defined() {
		s += fmt.Sprintf("; F1 is best at confidence %s, with precision %s and recall %s", decimal(float64(confidence)), decimal(float64(precision)), decimal(float64(recall)))
	}
	s += "."
	var w *metric.COCOClass
	for i := range d.Stats.PerClass {
		if c := &d.Stats.PerClass[i]; finite(float64(c.AP)) && (w == nil || c.AP < w.AP) {
			w = c
		}
	}
	if w != nil && len(d.Stats.PerClass) > 1 {
		s += fmt.Sprintf(" Weakest class: %s, mAP50-95 %s on %s.", d.name(w.Class), decimal(float64(w.AP)), count(w.Objects, "object"))
	}
	return s
}
