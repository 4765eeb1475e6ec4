package engine

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
)

// written reports whether export writes the head's output; otherwise the file
// keeps its own.
func (d *DetectHead) written() bool {
	return d.Kind != kindFile && (d.Kind != kindOwn || d.NewClasses || d.Masks != nil)
}

// fileJudge judges a file that keeps its outputs, whatever they are: all of
// floating point.
type fileJudge struct {
	*Loaded
	tolerance float64
}

func (j *fileJudge) maker() maker {
	return func(batch int) (c *circuit, err error) {
		defer ops.Recover(&err)
		g, err := j.Net.Build(build.Options{Batch: batch})
		if err != nil {
			return nil, err
		}
		c = &circuit{Graph: g}
		for _, o := range g.IR.Outputs {
			if !isFloat(g.IR.Types[o.Name].DType) {
				continue
			}
			y, err := g.Value(o.Name)
			if err != nil {
				return nil, err
			}
			c.outputs = append(c.outputs, y)
		}
		if len(c.outputs) == 0 {
			return nil, fmt.Errorf("%s has no output of numbers to compare", j.Model.Path)
		}
		return c, nil
	}
}

func isFloat(d ir.DType) bool { return kindFloat(&ir.Tensor{DType: d}) }

func (j *fileJudge) compare(v *Verification, _ verifyCase, ours [][]float32, theirs []*ir.Tensor) error {
	k := 0
	for _, t := range theirs {
		if !kindFloat(t) {
			continue
		}
		if _, err := v.values(ours[k], t); err != nil {
			return err
		}
		k++
	}
	return nil
}

func (j *fileJudge) verdict(v *Verification) error { return v.within(j.tolerance) }

// rowJudge judges the rows, or decoded boxes, that export wrote, and prototypes.
type rowJudge struct {
	loaded    *Loaded
	tolerance float64
	output    *DetectorOutput
	// prototypes are compared by themselves: their values have a range of their own.
	prototypes Verification
}

func (j *rowJudge) maker() maker {
	make := j.loaded.predictor()
	return func(batch int) (*circuit, error) {
		c, err := make(batch)
		if err == nil {
			j.output = j.loaded.detectorOutput(c.levels)
		}
		return c, err
	}
}

func (j *rowJudge) compare(v *Verification, _ verifyCase, ours [][]float32, theirs []*ir.Tensor) error {
	o, rows := j.output, ours[0]
	if own := j.loaded.decoding(); own != nil && own.Kind == build.DetectYOLOv8 {
		rows = o.centred(rows)
	} else {
		from, to := o.scores()
		if o.Kind == build.DetectYOLOX {
			from--
		}
		for i := range rows {
			if k := i % o.columns(); k >= from && k < to {
				rows[i] = float32(1 / (1 + math.Exp(-float64(rows[i]))))
			}
		}
	}
	if _, err := v.values(rows, theirs[0]); err != nil || o.Masks == nil {
		return err
	}
	if len(theirs) < 2 {
		return fmt.Errorf("ONNX Runtime gives %d output, and no prototypes", len(theirs))
	}
	_, err := j.prototypes.values(transposed(ours[1], len(ours[1])/o.Masks.Coefficients, o.Masks.Coefficients), theirs[1])
	return err
}

// verdict is on the output that differs more.
func (j *rowJudge) verdict(v *Verification) error {
	if p := &j.prototypes; j.output.Masks != nil {
		if p.relate(); !(p.Relative <= v.Relative) {
			v.MaxDiff, v.Range, v.Relative = p.MaxDiff, p.Range, p.Relative
		}
	}
	return v.within(j.tolerance)
}

// centred is what [grapher.centred] makes of rows of gfl.
func (o *DetectorOutput) centred(rows []float32) []float32 {
	n, w := o.rows(), o.columns()
	out := make([]float32, n*(4+o.Classes))
	// A score of 0 and more keeps every row.
	for a, d := range (head.Decode{Classes: o.Classes, Levels: o.levels(), Sigmoid: true}).GFL(rows, o.Bins, o.At) {
		b := d.Box
		for i, x := range [4]float64{(b.X1 + b.X2) / 2, (b.Y1 + b.Y2) / 2, b.X2 - b.X1, b.Y2 - b.Y1} {
			out[i*n+a] = float32(x)
		}
		for k := range o.Classes {
			out[(4+k)*n+a] = float32(1 / (1 + math.Exp(-float64(rows[a*w+k]))))
		}
	}
	return out
}

// VerifiedBoxes compares the boxes that a file chooses with those that predict
// would.
type VerifiedBoxes struct {
	Ours   int `json:"ours"`
	Theirs int `json:"theirs"`
	// Matched counts pairs of one class, with an IoU of [BoxIoU] at least and
	// scores that differ by [BoxScore] at most.
	Matched int `json:"matched"`
	// Borderline counts boxes without a partner that hang on a rounding: of a
	// score at the threshold, or that overlap another at the limit.
	Borderline int `json:"borderline"`
	// MinIoU is the smallest IoU of a pair.
	MinIoU float64 `json:"min_iou"`
	// Masks compares the masks of pairs, pixel by pixel of the network's input.
	Masks *VerifiedPixels `json:"masks,omitempty"`
}

// BoxIoU and BoxScore are how well the boxes of float32 models agree,
// CoarseBoxIoU and CoarseBoxScore those of float16 models.
const (
	BoxIoU         = .999
	BoxScore       = 1e-4
	CoarseBoxIoU   = .97
	CoarseBoxScore = 2e-2
)

// sliver is the side of a box in pixels below which float32 coordinates do not
// tell its overlap with another to within [BoxIoU].
const sliver = .1

// fileThresholds are those of a file that chooses boxes already and goes on so,
// nil where there is none.
func (n *Network) fileThresholds() *thresholds {
	if n.Head == nil || n.Head.Detect == nil || n.Head.Detect.Kind != kindFile || n.Head.Detect.Output.NMS == nil {
		return nil
	}
	o := n.Head.Detect.Output.NMS
	return &thresholds{Conf: o.Conf, IoU: o.IoU, Max: o.MaxDet, Agnostic: o.Agnostic}
}

// boxJudge judges boxes that were chosen inside the file.
type boxJudge struct {
	loaded     *Loaded
	thresholds thresholds
	coarse     bool
	placed     bool // the file gives boxes in pixels of the picture
	reader     boxReader
}

func (j *boxJudge) maker() maker {
	make := j.loaded.predictor()
	return func(batch int) (*circuit, error) {
		c, err := make(batch)
		if err == nil {
			j.reader = j.loaded.boxReader(c.levels, j.loaded.Pre, j.thresholds)
		}
		return c, err
	}
}

func (j *boxJudge) compare(v *Verification, c verifyCase, raw [][]float32, out []*ir.Tensor) error {
	theirs, masks, err := j.chosen(out)
	if err != nil {
		return err
	}
	ours, err := j.found(c, raw)
	if err != nil {
		return err
	}
	if v.Boxes == nil {
		v.Boxes = &VerifiedBoxes{MinIoU: 1}
		if j.reader.masks != nil {
			v.Boxes.Masks = &VerifiedPixels{}
		}
	}
	b := v.Boxes
	b.Ours, b.Theirs = b.Ours+len(ours), b.Theirs+len(theirs)
	leastIoU, mostScore := j.limits()
	partner := make([]bool, len(theirs))
	var alone []vision.Detection
	for _, d := range ours {
		v.Range = math.Max(v.Range, d.Score)
		at, iou := -1, leastIoU
		for k, t := range theirs {
			if x := d.Box.IoU(t.Box); !partner[k] && t.Class == d.Class && x >= iou && math.Abs(t.Score-d.Score) <= mostScore {
				at, iou = k, x
			}
		}
		if at < 0 {
			alone = append(alone, d)
			continue
		}
		partner[at] = true
		b.Matched++
		b.MinIoU = math.Min(b.MinIoU, iou)
		v.MaxDiff = math.Max(v.MaxDiff, math.Abs(theirs[at].Score-d.Score))
		if b.Masks != nil {
			if err := b.Masks.mask(*d.Mask, masks, at); err != nil {
				return err
			}
		}
	}
	for _, d := range alone {
		if j.borderline(d, theirs) {
			b.Borderline++
		}
	}
	for k, d := range theirs {
		if !partner[k] && j.borderline(d, ours) {
			b.Borderline++
		}
	}
	return nil
}

func (j *boxJudge) limits() (iou, score float64) {
	if j.coarse {
		return CoarseBoxIoU, CoarseBoxScore
	}
	return BoxIoU, BoxScore
}

// borderline reports whether rounding explains that a box is missing on the other
// side: its score lies at the threshold, a better box there drops it, or there are
// as many as may be. That better box is on both sides and overlaps it at the
// limit, or is itself alone. Of a box outside the picture only a sliver is left.
func (j *boxJudge) borderline(d vision.Detection, other []vision.Detection) bool {
	iou, score := j.limits()
	t := j.thresholds
	if math.Abs(d.Score-t.Conf) <= score || len(other) == t.Max && d.Score <= other[t.Max-1].Score+score {
		return true
	}
	if j.placed && min(d.Box.X2-d.Box.X1, d.Box.Y2-d.Box.Y1) < sliver {
		return true
	}
	for _, o := range other {
		if (t.Agnostic || o.Class == d.Class) && o.Score >= d.Score-score && o.Box.IoU(d.Box) >= t.IoU-(1-iou) {
			return true
		}
	}
	return false
}

func (j *boxJudge) verdict(v *Verification) error {
	b := v.Boxes
	if missing := b.Ours + b.Theirs - 2*b.Matched - b.Borderline; missing > 0 {
		return fmt.Errorf("ONNX Runtime gives other boxes: of %d of ours and %d of its own on %d images, %d have no partner", b.Ours, b.Theirs, v.Images, missing)
	}
	return j.maskVerdict(b.Masks)
}

// chosenBoxes reads the four outputs for one image.
func chosenBoxes(out []*ir.Tensor) ([]vision.Detection, error) {
	box, score, label, image := out[0].Float32s(), out[1].Float32s(), out[2].Int64s(), out[3].Int64s()
	n := len(score)
	if len(box) != 4*n || len(label) != n || len(image) != n {
		return nil, fmt.Errorf("ONNX Runtime gives %d numbers of boxes, %d scores, %d labels and %d images", len(box), n, len(label), len(image))
	}
	var found []vision.Detection
	for i := range n {
		at := func(k int) float64 { return float64(box[4*i+k]) }
		found = append(found, vision.Detection{Class: int(label[i]), Score: float64(score[i]), Box: vision.Box{X1: at(0), Y1: at(1), X2: at(2), Y2: at(3)}})
	}
	return found, nil
}
