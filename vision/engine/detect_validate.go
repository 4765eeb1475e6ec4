package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
)

// DetectionMetrics is what a detector scores, under the keys of metrics.json:
// average precision as COCO defines it, and precision, recall and F1 at the
// confidence where their mean F1 over the classes is highest.
type DetectionMetrics struct {
	MAP        metric.Score `json:"mAP50-95"`
	MAP50      metric.Score `json:"mAP50"`
	MAP75      metric.Score `json:"mAP75"`
	AR100      metric.Score `json:"AR100"`
	Precision  metric.Score `json:"precision"`
	Recall     metric.Score `json:"recall"`
	F1         metric.Score `json:"f1"`
	Confidence metric.Score `json:"confidence"`
	Objects    int          `json:"objects"`
	// COCO holds all twelve figures.
	COCO     *metric.COCOStats `json:"coco"`
	PerClass []ClassDetection  `json:"per_class"`
}

// ClassDetection is the average precision of one class.
type ClassDetection struct {
	Class   int          `json:"class"`
	Name    string       `json:"name"`
	Objects int          `json:"objects"`
	AP      metric.Score `json:"mAP50-95"`
	AP50    metric.Score `json:"mAP50"`
}

// validateDetection scores boxes on a split, and masks where there are some.
func (l *Loaded) validateDetection(ctx context.Context, c ValConfig) (*Validation, error) {
	o := datasets.Options{Seed: c.Seed, Val: c.ValShare, Workers: c.Workers}
	if !l.unnamed {
		o.Classes = l.Classes
	}
	d, err := openDetection(c.Data, o)
	if err != nil {
		return nil, err
	}
	if l.unnamed {
		return nil, fmt.Errorf("%s does not name its %d classes, so they cannot be matched with those of %s (%s): give them with --names FILE, or --names coco80", c.Weights, l.width(), c.Data, datasets.Names(d.Classes))
	}
	samples, err := d.Require(c.Split)
	if err != nil {
		return nil, fmt.Errorf("%w: choose one with --split", err)
	}
	s, err := openSession(c.Threads, c.DType)
	if err != nil {
		return nil, err
	}
	defer s.close()
	batch := c.Batch
	if batch == 0 {
		batch = 16
	}
	ev := newEvaluator(l.Network, s, l.Pre, min(batch, len(samples)), c.Workers, nil)
	defer ev.close()
	f, err := ev.detections(ctx, samples, valThresholds)
	if err != nil {
		return nil, err
	}
	v := &Validation{loaded: l, data: d, found: f}
	if v.eval, err = f.evaluation(); err != nil {
		return nil, err
	}
	v.Metrics = l.metrics(c, len(f.Samples), len(f.Skipped), f.Seconds, d.Classes)
	if v.Metrics.Detection, err = scoreDetection(v.eval, metric.Boxes, d.Classes); err == nil && l.Task == vision.Instance {
		err = v.scoreInstances()
	}
	return v, err
}

func scoreDetection(e *metric.COCOEval, kind metric.COCOKind, classes []string) (*DetectionMetrics, error) {
	st, err := e.Evaluate(kind)
	if err != nil {
		return nil, err
	}
	curves, err := e.Confidences(kind)
	if err != nil {
		return nil, err
	}
	m := &DetectionMetrics{MAP: st.AP, MAP50: st.AP50, MAP75: st.AP75, AR100: st.AR100, COCO: st,
		Precision: metric.Undefined, Recall: metric.Undefined, F1: metric.Undefined, Confidence: metric.Undefined}
	if curves.Best >= 0 {
		m.Confidence = metric.Score(curves.Confidence[curves.Best])
		if m.Precision, m.Recall, m.F1, err = curves.At(float64(m.Confidence)); err != nil {
			return nil, err
		}
	}
	for _, c := range st.PerClass {
		m.PerClass = append(m.PerClass, ClassDetection{c.Class, classes[c.Class], c.Objects, c.AP, c.AP50})
		m.Objects += c.Objects
	}
	return m, nil
}

// table is the figures for people.
func (m *DetectionMetrics) table(b *strings.Builder) {
	line := func(name string, v metric.Score) {
		if v.Defined() {
			fmt.Fprintf(b, "  %-18s %.4f\n", name, float64(v))
		}
	}
	line("mAP50-95", m.MAP)
	line("mAP50", m.MAP50)
	line("mAP75", m.MAP75)
	line("AR100", m.AR100)
	if m.Confidence.Defined() {
		fmt.Fprintf(b, "  at confidence %.3f: precision %.4f, recall %.4f, F1 %.4f\n", float64(m.Confidence), float64(m.Precision), float64(m.Recall), float64(m.F1))
	}
	wide := 5
	for _, c := range m.PerClass {
		wide = max(wide, len([]rune(c.Name)))
	}
	fmt.Fprintf(b, "  %-*s  objects  mAP50-95   mAP50\n", wide, "class")
	for _, c := range m.PerClass {
		fmt.Fprintf(b, "  %-*s  %7d  %s  %s\n", wide, c.Name, c.Objects, cell(c.AP, 8), cell(c.AP50, 6))
	}
}
