package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ort"
)

// Verification compares the exported file in ONNX Runtime with the network.
type Verification struct {
	Runtime string `json:"runtime"`
	Images  int    `json:"images"`
	// MaxDiff is the largest difference of an output's value, Range the largest
	// value. Of boxes chosen inside the file it is the scores'.
	MaxDiff  float64 `json:"max_diff"`
	Range    float64 `json:"range"`
	Relative float64 `json:"relative"` // MaxDiff / Range
	// SameTop1 counts the images of the same best class, nil for a detector.
	SameTop1 *int `json:"same_top1,omitempty"`
	// Boxes is set where boxes are chosen inside the file.
	Boxes *VerifiedBoxes `json:"boxes,omitempty"`
	// Pixels is set where pixels are classified.
	Pixels *VerifiedPixels `json:"pixels,omitempty"`
}

// Tolerance is the largest accepted Verification.Relative of float32 models,
// RowTolerance that of a detector's rows, which come after twice as many layers
// (on some processors YOLOX-Nano's differ by 1.1e-4), CoarseTolerance that of float16 models, whose own weights are rounded, and of
// files that prepare the pictures themselves.
const (
	Tolerance       = 1e-4
	RowTolerance    = 2e-4
	CoarseTolerance = 1e-2
)

// judge compares what the file gives for one image with what the network does.
type judge interface {
	// maker makes the circuits whose outputs are compared.
	maker() maker
	compare(v *Verification, c verifyCase, ours [][]float32, theirs []*ir.Tensor) error
	// verdict is an error when the file is not what it should be.
	verdict(v *Verification) error
}

// judgeOf chooses how a file is judged; coarse allows for rounding.
func (l *Loaded) judgeOf(coarse bool, embedded *EmbeddedPreprocess, t *thresholds, argMax bool) judge {
	tolerance := Tolerance
	original := embedded != nil && embedded.Original != nil
	if coarse || embedded != nil {
		tolerance = CoarseTolerance
	}
	switch {
	case t != nil:
		return &boxJudge{loaded: l, thresholds: *t, coarse: coarse, placed: embedded != nil && l.placesBoxes()}
	case l.Head == nil || l.Head.Detect == nil && l.Head.Segment == nil:
		return &classJudge{l, tolerance, embedded != nil}
	case l.Head.Detect != nil && l.Head.Detect.written():
		return &rowJudge{loaded: l, tolerance: max(tolerance, RowTolerance)}
	case l.Head.Segment != nil && (l.Head.Segment.written() || argMax || original || l.putsLabels()):
		return &pixelJudge{Loaded: l, original: original}
	}
	return &fileJudge{l, tolerance}
}

// verify runs the exported file in ONNX Runtime.
func (l *Loaded) verify(ctx context.Context, c ExportConfig, embedded *EmbeddedPreprocess, t *thresholds) (*Verification, error) {
	if t == nil {
		t = l.fileThresholds()
	}
	input := ""
	if embedded != nil {
		input = embedded.Input
	}
	cases, n, err := l.verifyCases(c, input)
	if err != nil {
		return nil, err
	}
	rt, err := ort.Open(c.Out)
	if err != nil {
		return nil, err
	}
	defer rt.Close()
	version, err := ort.Version()
	if err != nil {
		return nil, err
	}
	s, err := openSession(c.Threads, DTypeF32)
	if err != nil {
		return nil, err
	}
	defer s.close()
	j := l.judgeOf(l.fileFloat() == ir.Float16, embedded, t, c.ArgMax)
	run := newRunner(s.team, s.kernels, j.maker())
	defer run.close()
	set, err := run.prepare(1)
	if err != nil {
		return nil, err
	}
	v := &Verification{Runtime: "ONNX Runtime " + version, Images: n}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		vc, err := cases(i)
		if err != nil {
			return nil, err
		}
		load(set, vc.input, l.picture)
		if _, err := run.step(set); err != nil {
			return nil, err
		}
		var ours [][]float32
		for k := range set.shards[0].outputs {
			ours = append(ours, set.output(k, nil))
		}
		outs, err := rt.Run(vc.feed)
		var theirs []*ir.Tensor
		switch {
		case err == nil:
			for _, o := range rt.Outputs() {
				theirs = append(theirs, outs[o.Name])
			}
		case t == nil || !errors.Is(err, ort.ErrEmpty): // no box is no error
			return nil, err
		}
		if err := j.compare(v, vc, ours, theirs); err != nil {
			return nil, err
		}
	}
	v.relate()
	return v, j.verdict(v)
}

// relate fills in Relative.
func (v *Verification) relate() {
	v.Relative = v.MaxDiff / math.Max(v.Range, math.SmallestNonzeroFloat64)
}

// values compares an output.
func (v *Verification) values(ours []float32, theirs *ir.Tensor) ([]float32, error) {
	if theirs == nil || !kindFloat(theirs) {
		return nil, fmt.Errorf("ONNX Runtime gives no numbers for an output")
	}
	got := theirs.Float32s()
	if len(got) != len(ours) {
		return nil, fmt.Errorf("ONNX Runtime gives %d values, the network %d", len(got), len(ours))
	}
	for k, x := range ours {
		d := math.Abs(float64(x) - float64(got[k]))
		if math.IsNaN(d) { // one of them, or infinities
			d = math.Inf(1)
		}
		v.MaxDiff = math.Max(v.MaxDiff, d)
		v.Range = math.Max(v.Range, math.Abs(float64(x)))
	}
	return got, nil
}

// within is the verdict on values.
func (v *Verification) within(tolerance float64) error {
	if !(v.Relative <= tolerance) {
		return fmt.Errorf("ONNX Runtime differs by %.2g of the outputs' range, more than %.0e", v.Relative, tolerance)
	}
	return nil
}

// classJudge judges logits.
type classJudge struct {
	*Loaded
	tolerance float64
	embedded  bool
}

func (j *classJudge) maker() maker { return j.predictor() }

func (j *classJudge) compare(v *Verification, _ verifyCase, outs [][]float32, theirs []*ir.Tensor) error {
	ours := outs[0]
	if j.endsInSoftmax() {
		ours = softmax32(ours)
	}
	got, err := v.values(ours, theirs[0])
	if err != nil {
		return err
	}
	if v.SameTop1 == nil {
		v.SameTop1 = new(int)
	}
	if best(ours) == best(got) {
		*v.SameTop1++
	}
	return nil
}

func best(x []float32) (at int) {
	for k := range x {
		if x[k] > x[at] {
			at = k
		}
	}
	return at
}

func (j *classJudge) verdict(v *Verification) error {
	if err := v.within(j.tolerance); err != nil {
		return err
	}
	if same := *v.SameTop1; j.embedded && same < v.Images {
		return fmt.Errorf("ONNX Runtime gives another class on %d of %d images", v.Images-same, v.Images)
	}
	return nil
}

// endsInSoftmax reports whether the exported file's output is the softmax of
// the logits.
func (l *Loaded) endsInSoftmax() bool {
	a := l.Annotation
	return l.Head == nil && a.Logits != "" && a.Logits != a.Graph.Outputs[0].Name && producedBy(a.Graph, a.Graph.Outputs[0].Name) == "Softmax"
}

// producedBy is the operator that makes a value, looking through reshapes.
func producedBy(g *ir.Graph, name string) string {
	p := g.Producer()
	for n := p[name]; n != nil; n = p[n.In(0)] {
		switch n.Op {
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
			continue
		}
		return n.Op
	}
	return ""
}

func softmax32(x []float32) []float32 {
	out := make([]float32, len(x))
	top := float64(math.Inf(-1))
	for _, v := range x {
		top = math.Max(top, float64(v))
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	for i, v := range x {
		out[i] = float32(math.Exp(float64(v)-top) / sum)
	}
	return out
}

// String tells people how the comparison went.
func (v *Verification) String() string {
	s := fmt.Sprintf("%s agrees on %d images: ", v.Runtime, v.Images)
	switch b := v.Boxes; {
	case v.Pixels != nil:
		return s + fmt.Sprintf("same class on %d of %d pixels", v.Pixels.Same, v.Pixels.Pixels)
	case b != nil && b.Ours+b.Theirs == 0:
		return fmt.Sprintf("%s finds no box on %d images, and neither does vislora: nothing was compared. Give images with objects (--data), or a lower --conf", v.Runtime, v.Images)
	case b != nil:
		s += fmt.Sprintf("%d of %d boxes are the same, smallest overlap %.5f, largest difference of a score %.1e", b.Matched, b.Ours, b.MinIoU, v.MaxDiff)
		if b.Borderline > 0 {
			s += fmt.Sprintf("; %d hang on a rounding", b.Borderline)
		}
		if b.Masks != nil {
			s += fmt.Sprintf("; their masks in %d of %d pixels", b.Masks.Same, b.Masks.Pixels)
		}
		return s
	case v.SameTop1 != nil:
		return s + fmt.Sprintf("largest difference %.2e of the range, same class on %d", v.Relative, *v.SameTop1)
	}
	return s + fmt.Sprintf("largest difference %.2e of the range", v.Relative)
}
