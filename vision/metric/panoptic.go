package metric

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// PanopticSegment is one segment of an image: a thing, or all there is of a kind
// of stuff.
type PanopticSegment struct {
	ID    uint32 // above 0
	Class int
	// Crowd marks, in the ground truth, a region of many things: it need not be
	// found, and what lies in it is not wrong.
	Crowd bool
}

// PanopticMap gives every pixel of an image a segment.
type PanopticMap struct {
	W, H int
	// IDs are the segments of the pixels, in rows from the top; 0 is of none.
	IDs      []uint32
	Segments []PanopticSegment
}

// PanopticEval gathers the segments of a split and scores them.
type PanopticEval struct {
	names  []string
	things []bool
	images int
	sums   []panopticSums
}

// panopticSums are those of one class.
type panopticSums struct {
	iou        float64
	tp, fp, fn int
}

// NewPanopticEval makes a PanopticEval; things tells which of the classes are
// countable, nil: all.
func NewPanopticEval(names []string, things []bool) (*PanopticEval, error) {
	if things == nil {
		things = slices.Repeat([]bool{true}, len(names))
	}
	if len(names) == 0 || len(things) != len(names) {
		return nil, fmt.Errorf("score panoptic segmentation: %d classes, %d of which are things or stuff", len(names), len(things))
	}
	return &PanopticEval{names: names, things: things, sums: make([]panopticSums, len(names))}, nil
}

// pair is a segment of the truth with one of the prediction, by their ids.
type pair struct{ truth, prediction uint32 }

// Add takes an image. Segments match when they are of one class and
//
//	IoU = |p ∩ g| / (|p ∪ g| − |p ∩ void|) > ½
//
// where void are the pixels of no true segment; so none matches twice. A
// predicted segment without a match is not wrong when more than half of it lies
// on void and on crowds of its class.
//
// It reports an error for maps of different sizes, a segment without pixels, one
// that is not listed or is listed twice, and a class that there is not; nothing
// of the image is counted then.
//
// Source: Kirillov et al. 2019, arXiv:1801.00868, §4; the authors' panopticapi
// for crowds.
func (e *PanopticEval) Add(truth, prediction PanopticMap) error {
	if truth.W != prediction.W || truth.H != prediction.H {
		return fmt.Errorf("score panoptic segmentation: the truth has %d×%d pixels, the prediction %d×%d", truth.W, truth.H, prediction.W, prediction.H)
	}
	gts, err := e.index(truth)
	if err != nil {
		return fmt.Errorf("score panoptic segmentation: the truth: %w", err)
	}
	preds, err := e.index(prediction)
	if err != nil {
		return fmt.Errorf("score panoptic segmentation: the prediction: %w", err)
	}
	shared := map[pair]int{}
	for i, g := range truth.IDs {
		shared[pair{g, prediction.IDs[i]}]++
	}
	matched := map[pair]bool{} // of truth and prediction, each beside 0
	for _, k := range slices.SortedFunc(maps.Keys(shared), comparePairs) {
		g, p := gts[k.truth], preds[k.prediction]
		if g == nil || p == nil || g.Class != p.Class || g.Crowd {
			continue
		}
		union := g.pixels + p.pixels - shared[k] - shared[pair{0, k.prediction}]
		if iou := float64(shared[k]) / float64(union); iou > .5 {
			e.sums[g.Class].iou += iou
			e.sums[g.Class].tp++
			matched[pair{truth: k.truth}], matched[pair{prediction: k.prediction}] = true, true
		}
	}
	for id, g := range gts {
		if !g.Crowd && !matched[pair{truth: id}] {
			e.sums[g.Class].fn++
		}
	}
	for id, p := range preds {
		if matched[pair{prediction: id}] {
			continue
		}
		excused := shared[pair{0, id}]
		for gid, g := range gts {
			if g.Crowd && g.Class == p.Class {
				excused += shared[pair{gid, id}]
			}
		}
		if 2*excused <= p.pixels {
			e.sums[p.Class].fp++
		}
	}
	e.images++
	return nil
}

func comparePairs(a, b pair) int {
	return cmp.Or(cmp.Compare(a.truth, b.truth), cmp.Compare(a.prediction, b.prediction))
}

// measured is a segment with its size.
type measured struct {
	PanopticSegment
	pixels int
}

// index checks a map and measures its segments.
func (e *PanopticEval) index(m PanopticMap) (map[uint32]*measured, error) {
	if m.W < 1 || m.H < 1 || len(m.IDs) != m.W*m.H {
		return nil, fmt.Errorf("%d pixels for an image of %d×%d", len(m.IDs), m.W, m.H)
	}
	out := map[uint32]*measured{}
	for _, s := range m.Segments {
		switch {
		case s.ID == 0:
			return nil, fmt.Errorf("a segment has the id 0, which stands for no segment")
		case out[s.ID] != nil:
			return nil, fmt.Errorf("segment %d is listed twice", s.ID)
		case s.Class < 0 || s.Class >= len(e.names):
			return nil, fmt.Errorf("segment %d: the class is %d: there are %d", s.ID, s.Class, len(e.names))
		}
		out[s.ID] = &measured{PanopticSegment: s}
	}
	for i, id := range m.IDs {
		if id == 0 {
			continue
		}
		s := out[id]
		if s == nil {
			return nil, fmt.Errorf("pixel (%d, %d) is of segment %d, which is not listed", i%m.W, i/m.W, id)
		}
		s.pixels++
	}
	for _, s := range m.Segments {
		if out[s.ID].pixels == 0 {
			return nil, fmt.Errorf("segment %d has no pixel", s.ID)
		}
	}
	return out, nil
}

// Panoptic is what a split scores: means over the classes that occur in the
// truth or in the prediction, as in panopticapi.
type Panoptic struct {
	All      PanopticScore   `json:"all"`
	Things   PanopticScore   `json:"things"`
	Stuff    PanopticScore   `json:"stuff"`
	Images   int             `json:"images"`
	PerClass []PanopticClass `json:"per_class"`
}

// PanopticScore is the quality of segments.
//
//	PQ = SQ·RQ     SQ = Σ IoU / TP     RQ = TP / (TP + ½FP + ½FN)
//
// All are 0 when nothing matches.
type PanopticScore struct {
	PQ Score `json:"pq"`
	SQ Score `json:"sq"` // segmentation quality
	RQ Score `json:"rq"` // recognition quality
}

// PanopticClass is the quality of one class's segments, Undefined when there are
// none, true or predicted.
type PanopticClass struct {
	Class int    `json:"class"`
	Name  string `json:"name"`
	PanopticScore
	TP int `json:"tp"`
	FP int `json:"fp"`
	FN int `json:"fn"`
}

// Evaluate scores what was added so far.
func (e *PanopticEval) Evaluate() *Panoptic {
	out := &Panoptic{Images: e.images}
	for c, s := range e.sums {
		k := PanopticClass{Class: c, Name: e.names[c], TP: s.tp, FP: s.fp, FN: s.fn}
		k.RQ = ratio(float64(s.tp), float64(s.tp)+float64(s.fp)/2+float64(s.fn)/2)
		k.PQ = ratio(s.iou, float64(s.tp)+float64(s.fp)/2+float64(s.fn)/2)
		if k.SQ = k.PQ; s.tp > 0 { // 0 without a match, Undefined without a segment
			k.SQ = Score(s.iou / float64(s.tp))
		}
		out.PerClass = append(out.PerClass, k)
	}
	over := func(take func(c int) bool) PanopticScore {
		var pq, sq, rq []Score
		for c, k := range out.PerClass {
			if take(c) {
				pq, sq, rq = append(pq, k.PQ), append(sq, k.SQ), append(rq, k.RQ)
			}
		}
		return PanopticScore{mean(pq), mean(sq), mean(rq)}
	}
	out.All = over(func(int) bool { return true })
	out.Things = over(func(c int) bool { return e.things[c] })
	out.Stuff = over(func(c int) bool { return !e.things[c] })
	return out
}
