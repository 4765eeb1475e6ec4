package report

import (
	"math"
	"sort"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// Detection is what a detector scores on a split, by its boxes or by the masks
// of its instances. [NewDetection] fills it in.
type Detection struct {
	Kind    metric.COCOKind
	Classes []string
	Stats   *metric.COCOStats
	// Curves hold precision, recall and F1 over the confidence; nil leaves them
	// out.
	Curves *metric.Confidences
	// Confusion counts boxes above a confidence, with the background behind the
	// classes. Nil leaves it out.
	Confusion   metric.Confusion
	ConfusionAt float64
}

// NewDetection scores what an evaluation holds. The confusion matrix, of boxes
// whatever the kind, is that at the confidence with the best F1.
func NewDetection(e *metric.COCOEval, kind metric.COCOKind, classes []string) (*Detection, error) {
	d := &Detection{Kind: kind, Classes: classes, ConfusionAt: .25}
	var err error
	if d.Stats, err = e.Evaluate(kind); err != nil {
		return nil, err
	}
	if d.Curves, err = e.Confidences(kind); err != nil {
		return nil, err
	}
	if b := d.best(); b > 0 {
		d.ConfusionAt = d.Curves.Confidence[b]
	}
	if d.Confusion, err = e.Confusion(len(classes), metric.DetectionThresholds{Confidence: d.ConfusionAt}); err != nil {
		return nil, err
	}
	return d, nil
}

// Best is the confidence with the highest mean F1, and the mean precision,
// recall and F1 there; all undefined where no class has an object.
func (d *Detection) Best() (confidence, precision, recall, f1 metric.Score) {
	b := d.best()
	if b < 0 {
		return metric.Undefined, metric.Undefined, metric.Undefined, metric.Undefined
	}
	c := d.Curves.Confidence[b]
	precision, recall, f1, err := d.Curves.At(c)
	if err != nil {
		return metric.Undefined, metric.Undefined, metric.Undefined, metric.Undefined
	}
	return metric.Score(c), precision, recall, f1
}

// best is the column of the best confidence, −1 where there is none.
func (d *Detection) best() int {
	if d.Curves == nil {
		return -1
	}
	return d.Curves.Best
}

// prefix begins the names of the files.
func (d *Detection) prefix() string {
	if d.Kind == metric.Masks {
		return "Mask"
	}
	return "Box"
}

func (d *Detection) name(class int) string { return className(d.Classes, class) }

// classCurves are rows of the curves, in the colours of the classes.
func (d *Detection) classCurves(rows [][]float64) []plot.ClassCurve {
	ap50 := map[int]metric.Score{}
	for _, c := range d.Stats.PerClass {
		ap50[c.Class] = c.AP50
	}
	out := make([]plot.ClassCurve, len(rows))
	for i, row := range rows {
		class := d.Curves.Classes[i]
		ap, ok := ap50[class]
		if !ok {
			ap = metric.Undefined
		}
		out[i] = plot.ClassCurve{Name: d.name(class), Y: row, AP50: float64(ap), Color: cv.ClassColor(class)}
	}
	return out
}

// recallPoints is how many recalls the precision is drawn at.
const recallPoints = 501

// precisionRecall is the precision of each class over the recall: the highest
// that is reached at this recall or more, 0 beyond the highest recall.
func (d *Detection) precisionRecall() (recall []float64, precision [][]float64) {
	for i := range recallPoints {
		recall = append(recall, float64(i)/(recallPoints-1))
	}
	for row := range d.Curves.Classes {
		// Over falling confidences the recall rises.
		n := len(d.Curves.Confidence)
		r, p := make([]float64, n), make([]float64, n)
		for k := range n {
			r[k], p[k] = d.Curves.Recall[row][n-1-k], d.Curves.Precision[row][n-1-k]
		}
		for k := n - 2; k >= 0; k-- {
			p[k] = math.Max(p[k], p[k+1])
		}
		y := make([]float64, len(recall))
		for i, x := range recall {
			switch k := sort.SearchFloat64s(r, x); {
			case k == n:
			case k == 0 || r[k] == x:
				y[i] = p[k]
			default:
				y[i] = p[k-1] + (p[k]-p[k-1])*(x-r[k-1])/(r[k]-r[k-1])
			}
		}
		precision = append(precision, y)
	}
	return recall, precision
}

// LabelBoxes are objects of an image of w×h pixels as [plot.BoxLabels] draws
// them; crowds are left out.
func LabelBoxes(objects []vision.Object, w, h int) []plot.LabelBox {
	var out []plot.LabelBox
	for _, o := range objects {
		if o.Crowd || w <= 0 || h <= 0 {
			continue
		}
		area := o.Area
		if area == 0 {
			area = o.Box.Area()
		}
		b, fw, fh := o.Box, float64(w), float64(h)
		out = append(out, plot.LabelBox{X: (b.X1 + b.X2) / 2 / fw, Y: (b.Y1 + b.Y2) / 2 / fh, W: (b.X2 - b.X1) / fw, H: (b.Y2 - b.Y1) / fh, Area: area})
	}
	return out
}
