package engine

import (
	"fmt"
	"strings"

	"github.com/vislora/vislora/vision/metric"
)

// InstanceMetrics is what is scored where every object has a mask: detection's
// figures by the overlap of boxes and by that of masks. In metrics.json the names
// end in (B) and (M).
type InstanceMetrics struct {
	Boxes, Masks *DetectionMetrics
}

// instanceFile is [InstanceMetrics] as metrics.json has it, masks first.
type instanceFile struct {
	MaskMAP        metric.Score      `json:"mAP50-95(M)"`
	MaskMAP50      metric.Score      `json:"mAP50(M)"`
	MaskMAP75      metric.Score      `json:"mAP75(M)"`
	MaskAR100      metric.Score      `json:"AR100(M)"`
	MaskPrecision  metric.Score      `json:"precision(M)"`
	MaskRecall     metric.Score      `json:"recall(M)"`
	MaskF1         metric.Score      `json:"f1(M)"`
	MaskConfidence metric.Score      `json:"confidence(M)"`
	BoxMAP         metric.Score      `json:"mAP50-95(B)"`
	BoxMAP50       metric.Score      `json:"mAP50(B)"`
	BoxMAP75       metric.Score      `json:"mAP75(B)"`
	BoxAR100       metric.Score      `json:"AR100(B)"`
	BoxPrecision   metric.Score      `json:"precision(B)"`
	BoxRecall      metric.Score      `json:"recall(B)"`
	BoxF1          metric.Score      `json:"f1(B)"`
	BoxConfidence  metric.Score      `json:"confidence(B)"`
	Objects        int               `json:"objects"`
	MaskCOCO       *metric.COCOStats `json:"coco(M)"`
	BoxCOCO        *metric.COCOStats `json:"coco(B)"`
	PerClass       []classInstance   `json:"per_class"`
}

// classInstance is the average precision of one class.
type classInstance struct {
	Class    int          `json:"class"`
	Name     string       `json:"name"`
	Objects  int          `json:"objects"`
	MaskAP   metric.Score `json:"mAP50-95(M)"`
	MaskAP50 metric.Score `json:"mAP50(M)"`
	BoxAP    metric.Score `json:"mAP50-95(B)"`
	BoxAP50  metric.Score `json:"mAP50(B)"`
}

func (m *InstanceMetrics) file() *instanceFile {
	a, b := m.Masks, m.Boxes
	f := &instanceFile{
		MaskMAP: a.MAP, MaskMAP50: a.MAP50, MaskMAP75: a.MAP75, MaskAR100: a.AR100, MaskPrecision: a.Precision, MaskRecall: a.Recall, MaskF1: a.F1, MaskConfidence: a.Confidence, MaskCOCO: a.COCO,
		BoxMAP: b.MAP, BoxMAP50: b.MAP50, BoxMAP75: b.MAP75, BoxAR100: b.AR100, BoxPrecision: b.Precision, BoxRecall: b.Recall, BoxF1: b.F1, BoxConfidence: b.Confidence, BoxCOCO: b.COCO,
		Objects: b.Objects, PerClass: []classInstance{},
	}
	masks := map[int]ClassDetection{}
	for _, c := range a.PerClass {
		masks[c.Class] = c
	}
	for _, c := range b.PerClass {
		row := classInstance{Class: c.Class, Name: c.Name, Objects: c.Objects, MaskAP: metric.Undefined, MaskAP50: metric.Undefined, BoxAP: c.AP, BoxAP50: c.AP50}
		if k, ok := masks[c.Class]; ok {
			row.MaskAP, row.MaskAP50 = k.AP, k.AP50
		}
		f.PerClass = append(f.PerClass, row)
	}
	return f
}

// scoreInstances adds the scores of masks to a validation that has those of
// boxes.
func (v *Validation) scoreInstances() (err error) {
	if v.maskEval, err = v.found.maskEvaluation(); err != nil {
		return err
	}
	m := &InstanceMetrics{Boxes: v.Metrics.Detection}
	if m.Masks, err = scoreDetection(v.maskEval, metric.Masks, v.data.Classes); err != nil {
		return err
	}
	v.Metrics.Detection, v.Metrics.Instances = nil, m
	return nil
}

// confidence is the one from which on boxes, or masks, are shown: that with the
// best F1.
func (v *Validation) confidence() float64 {
	m := v.Metrics.Detection
	if v.Metrics.Instances != nil {
		m = v.Metrics.Instances.Masks
	}
	if c := float64(m.Confidence); c > 0 {
		return c
	}
	return .25
}

// table is the figures for people.
func (m *InstanceMetrics) table(b *strings.Builder) {
	f := m.file()
	fmt.Fprintf(b, "  %-18s   masks   boxes\n", "")
	line := func(name string, masks, boxes metric.Score) {
		fmt.Fprintf(b, "  %-18s  %s  %s\n", name, cell(masks, 6), cell(boxes, 6))
	}
	line("mAP50-95", f.MaskMAP, f.BoxMAP)
	line("mAP50", f.MaskMAP50, f.BoxMAP50)
	line("mAP75", f.MaskMAP75, f.BoxMAP75)
	line("AR100", f.MaskAR100, f.BoxAR100)
	if f.MaskConfidence.Defined() {
		fmt.Fprintf(b, "  masks at confidence %.3f: precision %.4f, recall %.4f, F1 %.4f\n", float64(f.MaskConfidence), float64(f.MaskPrecision), float64(f.MaskRecall), float64(f.MaskF1))
	}
	wide := 5
	for _, c := range f.PerClass {
		wide = max(wide, len([]rune(c.Name)))
	}
	fmt.Fprintf(b, "  %-*s  objects  mask mAP50-95   mAP50  box mAP50-95   mAP50\n", wide, "class")
	for _, c := range f.PerClass {
		fmt.Fprintf(b, "  %-*s  %7d  %s  %s  %s  %s\n", wide, c.Name, c.Objects, cell(c.MaskAP, 13), cell(c.MaskAP50, 6), cell(c.BoxAP, 12), cell(c.BoxAP50, 6))
	}
}
