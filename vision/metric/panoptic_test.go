package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// segments is a map of rectangles, each of a class of its own; 0 is left where
// nothing was drawn.
func segments(r *rand.Rand, w, h, classes int, crowds bool) PanopticMap {
	m := PanopticMap{W: w, H: h, IDs: make([]uint32, w*h)}
	for id := range uint32(r.IntN(7)) {
		x0, y0, x1, y1 := r.IntN(w), r.IntN(h), r.IntN(w)+1, r.IntN(h)+1
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				m.IDs[y*w+x] = 10 * (id + 1)
			}
		}
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(m.IDs))) {
		if id != 0 {
			m.Segments = append(m.Segments, PanopticSegment{ID: id, Class: r.IntN(classes), Crowd: crowds && r.IntN(5) == 0})
		}
	}
	return m
}

// jittered is a map like another with other ids, a little moved.
func jittered(r *rand.Rand, m PanopticMap) PanopticMap {
	out := PanopticMap{W: m.W, H: m.H, IDs: make([]uint32, len(m.IDs))}
	dx, dy := r.IntN(3)-1, r.IntN(3)-1
	for i := range out.IDs {
		x, y := min(max(i%m.W+dx, 0), m.W-1), min(max(i/m.W+dy, 0), m.H-1)
		if id := m.IDs[y*m.W+x]; id != 0 && r.IntN(20) > 0 {
			out.IDs[i] = 1000 - id
		}
	}
	for _, s := range m.Segments {
		if s.ID = 1000 - s.ID; slices.Contains(out.IDs, s.ID) {
			s.Crowd = false
			out.Segments = append(out.Segments, s)
		}
	}
	return out
}

func TestPanopticAgainstSlow(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	counted := panopticSums{}
	for range 500 {
		classes := 1 + r.IntN(4)
		things := make([]bool, classes)
		for c := range things {
			things[c] = r.IntN(2) == 0
		}
		e, err := NewPanopticEval(make([]string, classes), things)
		if err != nil {
			t.Fatal(err)
		}
		var truths, predictions []PanopticMap
		for range 1 + r.IntN(3) {
			w, h := 1+r.IntN(20), 1+r.IntN(20)
			truth := segments(r, w, h, classes, true)
			prediction := jittered(r, truth)
			if r.IntN(3) == 0 {
				prediction = segments(r, w, h, classes, false)
			}
			truths, predictions = append(truths, truth), append(predictions, prediction)
			if err := e.Add(truth, prediction); err != nil {
				t.Fatal(err)
			}
		}
		got := e.Evaluate()
		var all [3][3][]float64 // all, things, stuff of PQ, SQ, RQ
		for c := range classes {
			sum, tp, fp, fn := slowPanoptic(truths, predictions, c)
			k := got.PerClass[c]
			half := float64(tp) + float64(fp)/2 + float64(fn)/2
			pq, rq, sq := sum/half, float64(tp)/half, sum/float64(tp)
			if half > 0 && tp == 0 {
				sq = 0
			}
			if k.TP != tp || k.FP != fp || k.FN != fn || !sameScore(k.PQ, pq) || !sameScore(k.RQ, rq) || !sameScore(k.SQ, sq) {
				t.Fatalf("%+v, want PQ %v, SQ %v, RQ %v, %d, %d, %d", k, pq, sq, rq, tp, fp, fn)
			}
			if half > 0 && !sameScore(k.SQ*k.RQ, pq) {
				t.Fatal("PQ is not SQ·RQ")
			}
			part := 2
			if things[c] {
				part = 1
			}
			for i, v := range []float64{pq, sq, rq} {
				all[0][i] = append(all[0][i], v)
				all[part][i] = append(all[part][i], v)
			}
			counted.tp, counted.fp, counted.fn = counted.tp+tp, counted.fp+fp, counted.fn+fn
		}
		for i, s := range []PanopticScore{got.All, got.Things, got.Stuff} {
			for k, v := range []Score{s.PQ, s.SQ, s.RQ} {
				if !sameScore(v, slowMean(all[i][k])) {
					t.Fatalf("%+v", got)
				}
			}
		}
		if got.Images != len(truths) {
			t.Fatal(got.Images)
		}
	}
	if counted.tp < 200 || counted.fp < 100 || counted.fn < 100 {
		t.Errorf("the test is weak: %+v", counted)
	}
}

// One row of pixels, to be counted by hand.
func TestPanopticByHand(t *testing.T) {
	row := func(ids ...uint32) PanopticMap {
		m := PanopticMap{W: len(ids), H: 1, IDs: ids}
		for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
			if id != 0 {
				m.Segments = append(m.Segments, PanopticSegment{ID: id, Class: int(id) / 10})
			}
		}
		return m
	}
	crowd := row(10, 10, 10, 10, 0, 0)
	crowd.Segments[0].Crowd = true
	for name, c := range map[string]struct {
		truth, prediction PanopticMap
		iou               float64
		tp, fp, fn        int
	}{
		"the same":               {row(11, 11, 12, 12), row(13, 13, 14, 14), 2, 2, 0, 0},
		"three of four":          {row(11, 11, 11, 11), row(12, 12, 12, 0), .75, 1, 0, 0},
		"exactly half":           {row(11, 11, 11, 11), row(12, 12, 0, 0), 0, 0, 1, 1},
		"another class":          {row(11, 11), row(21, 21), 0, 0, 0, 1},
		"void is not in a union": {row(11, 11, 0, 0), row(12, 12, 12, 12), 1, 1, 0, 0},
		"half on void":           {row(0, 0, 21, 21), row(12, 12, 12, 12), 0, 0, 1, 0},
		"mostly on void":         {row(0, 0, 0, 21), row(12, 12, 12, 12), 0, 0, 0, 0},
		"in a crowd":             {crowd, row(12, 12, 13, 0, 0, 14), 0, 0, 0, 0},
		"nothing found":          {row(11, 12, 0), row(0, 0, 0), 0, 0, 0, 2},
	} {
		e, err := NewPanopticEval([]string{"stuff", "thing", "other"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Add(c.truth, c.prediction); err != nil {
			t.Fatal(err)
		}
		s := e.Evaluate().PerClass[1]
		half := float64(c.tp) + float64(c.fp+c.fn)/2
		if s.TP != c.tp || s.FP != c.fp || s.FN != c.fn || !sameScore(s.PQ, c.iou/half) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestPanopticErrors(t *testing.T) {
	if _, err := NewPanopticEval(nil, nil); err == nil {
		t.Error("no classes")
	}
	if _, err := NewPanopticEval([]string{"a"}, []bool{true, false}); err == nil || !strings.Contains(err.Error(), "1 classes, 2 of which") {
		t.Error(err)
	}
	e, err := NewPanopticEval([]string{"a", "b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ok := PanopticMap{W: 2, H: 1, IDs: []uint32{3, 0}, Segments: []PanopticSegment{{ID: 3, Class: 1}}}
	with := func(change func(m *PanopticMap)) PanopticMap {
		m := ok
		m.IDs, m.Segments = slices.Clone(ok.IDs), slices.Clone(ok.Segments)
		change(&m)
		return m
	}
	for want, m := range map[string]PanopticMap{
		"the truth has 2×1 pixels, the prediction 1×2":              with(func(m *PanopticMap) { m.W, m.H = 1, 2 }),
		"the prediction: 3 pixels for an image of 2×1":              with(func(m *PanopticMap) { m.IDs = append(m.IDs, 0) }),
		"the prediction: pixel (1, 0) is of segment 9, which is no": with(func(m *PanopticMap) { m.IDs[1] = 9 }),
		"segment 3 is listed twice":                                 with(func(m *PanopticMap) { m.Segments = append(m.Segments, m.Segments[0]) }),
		"segment 5 has no pixel":                                    with(func(m *PanopticMap) { m.Segments = append(m.Segments, PanopticSegment{ID: 5}) }),
		"a segment has the id 0":                                    with(func(m *PanopticMap) { m.Segments[0].ID = 0 }),
		"segment 3: the class is 2: there are 2":                    with(func(m *PanopticMap) { m.Segments[0].Class = 2 }),
		"segment 3: the class is -1":                                with(func(m *PanopticMap) { m.Segments[0].Class = -1 }),
	} {
		if err := e.Add(ok, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if m.W != 2 {
			continue
		}
		if err := e.Add(m, ok); err == nil || !strings.Contains(err.Error(), "the truth: ") {
			t.Errorf("%s in the truth: %v", want, err)
		}
	}
	if s := e.Evaluate(); s.Images != 0 || s.All.PQ.Defined() || !math.IsNaN(float64(s.PerClass[0].SQ)) {
		t.Errorf("%+v", s)
	}
}
