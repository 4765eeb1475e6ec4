package metric

import (
	"fmt"
	"math"
)

// IgnoredPixel is the class of pixels that are not scored.
const IgnoredPixel = 255

// SegmentOptions say what a [SegmentEval] measures. The zero value counts pixels
// alone.
type SegmentOptions struct {
	// Boundaries also measures the boundary F-score and the Hausdorff distance.
	// That takes some 25 ms for each class in an image of 640×480 pixels, the
	// counting 4 ms for all.
	Boundaries bool
	// Tolerance is how far a boundary may be off, as a share of the image's
	// diagonal. Default 0.0075.
	Tolerance float64
	// PixelSize is the width and height of a pixel in mm; 0: not known.
	PixelSize [2]float64
}

// SegmentEval scores the classes of pixels over a split, image by image.
type SegmentEval struct {
	names     []string
	opt       SegmentOptions
	images    int
	confusion []uint64 // (K, K): [truth][prediction]

	field  distanceField
	masked []uint8
	bounds []boundarySums // by class
}

// NewSegmentEval makes a SegmentEval for the classes of these names.
func NewSegmentEval(names []string, opt SegmentOptions) (*SegmentEval, error) {
	k := len(names)
	if k < 1 || k > IgnoredPixel {
		return nil, fmt.Errorf("score segmentation: %d classes: use 1 to %d", k, IgnoredPixel)
	}
	if opt.Tolerance == 0 {
		opt.Tolerance = .0075
	}
	if !(opt.Tolerance > 0 && opt.Tolerance <= 1) {
		return nil, fmt.Errorf("score segmentation: the tolerance is %g: use a share of the diagonal above 0, at most 1", opt.Tolerance)
	}
	s := opt.PixelSize
	if s != [2]float64{} && !(s[0] > 0 && s[1] > 0 && !math.IsInf(s[0]*s[1], 0)) {
		return nil, fmt.Errorf("score segmentation: pixels of %g×%g mm: use two lengths above 0", s[0], s[1])
	}
	return &SegmentEval{names: names, opt: opt, confusion: make([]uint64, k*k), bounds: make([]boundarySums, k)}, nil
}

// Add takes the classes of an image of w×h pixels, in rows from the top. Pixels
// whose truth is [IgnoredPixel] are left out, whatever was predicted there. It
// keeps neither slice.
//
// It reports an error for planes of another size and for a class that there is
// not, naming the pixel; nothing of the image is counted then.
func (e *SegmentEval) Add(truth, prediction []uint8, w, h int) error {
	if w < 1 || h < 1 || len(truth) != w*h || len(prediction) != w*h {
		return fmt.Errorf("score segmentation: planes of %d and %d pixels for an image of %d×%d", len(truth), len(prediction), w, h)
	}
	k := len(e.names)
	for i, t := range truth {
		p := prediction[i]
		switch {
		case t == IgnoredPixel:
		case int(t) >= k:
			return fmt.Errorf("score segmentation: pixel (%d, %d): the class is %d: there are %d", i%w, i/w, t, k)
		case int(p) >= k:
			return fmt.Errorf("score segmentation: pixel (%d, %d): the predicted class is %d: there are %d", i%w, i/w, p, k)
		}
	}
	for i, t := range truth {
		if t != IgnoredPixel {
			e.confusion[int(t)*k+int(prediction[i])]++
		}
	}
	if e.images++; e.opt.Boundaries {
		e.addBoundaries(truth, prediction, w, h)
	}
	return nil
}

// Segmentation is what a split scores, under the keys of metrics.json. The means
// go over the classes that the ground truth has, background included; what
// cannot be measured is Undefined.
//
//	IoU  = TP/(TP + FP + FN)         Dice = 2TP/(2TP + FP + FN)
//
// with the pixels of the whole split added up before they are divided, so that
// an image counts by its size.
type Segmentation struct {
	MIoU          Score `json:"mIoU"`           // mean IoU
	Dice          Score `json:"dice"`           // mean Dice
	PixelAccuracy Score `json:"pixel_accuracy"` // pixels whose class is right
	BoundaryF1    Score `json:"boundary_f1"`    // Undefined unless measured, as all below
	HD95          Score `json:"hd95"`           // in pixels
	HD95mm        Score `json:"hd95_mm"`
	Images        int   `json:"images"`
	// Pixels are those that were scored.
	Pixels    uint64         `json:"pixels"`
	PerClass  []SegmentClass `json:"per_class"`
	Confusion Confusion      `json:"confusion_matrix"` // pixels, [truth][prediction]
}

// SegmentClass holds the measures of one class. IoU and Dice of a class that the
// ground truth has not are Undefined even when it was predicted.
type SegmentClass struct {
	Class  int    `json:"class"`
	Name   string `json:"name"`
	Pixels uint64 `json:"pixels"` // of the class in the split
	IoU    Score  `json:"iou"`
	Dice   Score  `json:"dice"`
	// Sensitivity and Precision count pixels.
	Sensitivity Score `json:"sensitivity"`
	Precision   Score `json:"precision"`
	// BoundaryF1 is the mean over the images that have a boundary of the class.
	BoundaryF1 Score `json:"boundary_f1"`
	// HD95 is the mean over the images in which the class was both present and
	// predicted; HD95Missed counts those with only one of the two, where it
	// would be infinite.
	HD95       Score `json:"hd95"`
	HD95mm     Score `json:"hd95_mm"`
	HD95Missed int   `json:"hd95_missed"`
}

// Evaluate scores what was added so far.
func (e *SegmentEval) Evaluate() *Segmentation {
	k := len(e.names)
	out := &Segmentation{Images: e.images, Confusion: NewConfusion(k)}
	rows, cols := make([]uint64, k), make([]uint64, k)
	var right uint64
	for i, n := range e.confusion {
		t, p := i/k, i%k
		out.Confusion[t][p] = int(n)
		rows[t] += n
		cols[p] += n
		if out.Pixels += n; t == p {
			right += n
		}
	}
	out.PixelAccuracy = ratio(float64(right), float64(out.Pixels))
	measures := make([][]Score, 5)
	for c, name := range e.names {
		tp := e.confusion[c*k+c]
		s := SegmentClass{
			Class: c, Name: name, Pixels: rows[c], IoU: Undefined, Dice: Undefined,
			Sensitivity: ratio(float64(tp), float64(rows[c])),
			Precision:   ratio(float64(tp), float64(cols[c])),
		}
		if rows[c] > 0 {
			s.IoU = ratio(float64(tp), float64(rows[c]+cols[c]-tp))
			s.Dice = ratio(float64(2*tp), float64(rows[c]+cols[c]))
		}
		e.bounds[c].score(&s)
		if rows[c] > 0 {
			for i, v := range []Score{s.IoU, s.Dice, s.BoundaryF1, s.HD95, s.HD95mm} {
				measures[i] = append(measures[i], v)
			}
		}
		out.PerClass = append(out.PerClass, s)
	}
	for i, to := range []*Score{&out.MIoU, &out.Dice, &out.BoundaryF1, &out.HD95, &out.HD95mm} {
		*to = mean(measures[i])
	}
	return out
}
