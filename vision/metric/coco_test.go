package metric

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision"
)

func evaluation(t *testing.T, images []slowImage) *COCOEval {
	t.Helper()
	e := &COCOEval{}
	for _, im := range images {
		if err := e.Add(im.id, slowW, slowH, im.gts, im.dets); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func square(class int, x, side float64) vision.Object {
	return vision.Object{Class: class, Box: vision.XYWH(x, 0, side, side)}
}

func found(o vision.Object, class int, score float64) vision.Detection {
	return vision.Detection{Class: class, Box: o.Box, Score: score}
}

// A class filter leaves what the other classes would have scored alone, and
// without annotated areas sizes are those of the boxes.
func TestCOCOClassesAndAreas(t *testing.T) {
	a, b := square(0, 0, 10), square(1, 50, 50)
	e := evaluation(t, []slowImage{{1, []vision.Object{a, b}, []vision.Detection{found(a, 0, .9), found(a, 2, .9)}}})
	all, err := e.Evaluate(Boxes)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "AP", all.AP, .5, 1e-12) // class 2 has no ground truth
	near(t, "small", all.APSmall, 1, 1e-12)
	near(t, "medium", all.APMedium, 0, 1e-12)
	near(t, "large", all.APLarge, math.NaN(), 0)
	if len(all.PerClass) != 3 || all.PerClass[2].AP.Defined() || all.PerClass[0].Objects != 1 {
		t.Errorf("classes: %+v", all.PerClass)
	}
	e.Classes = []int{0}
	one, err := e.Evaluate(Boxes)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "AP of class 0", one.AP, 1, 1e-12)
	if len(one.PerClass) != 1 {
		t.Errorf("classes: %+v", one.PerClass)
	}
}

func TestCOCOErrors(t *testing.T) {
	nan := math.NaN()
	a := square(0, 0, 10)
	fail := func(_ any, err error) error { return err }
	adds := func(gts []vision.Object, dets []vision.Detection) *COCOEval {
		e := &COCOEval{}
		if err := e.Add(7, slowW, slowH, gts, dets); err != nil {
			t.Fatal(err)
		}
		return e
	}
	empty := &COCOEval{}
	wrongSize := found(a, 0, 1)
	wrongSize.Mask = &vision.RLE{H: 1, W: 2, Counts: []uint32{2}}
	wrongSum := found(a, 0, 1)
	wrongSum.Mask = &vision.RLE{H: slowH, W: slowW, Counts: []uint32{2}}
	for want, err := range map[string]error{
		"no images": fail(empty.Evaluate(Boxes)),
		"image 7: detection 0: box [0 0 10 10] with NaN is not finite":     empty.Add(7, 1, 1, nil, []vision.Detection{found(a, 0, nan)}),
		"image 7: object 0: class -1 is below 0":                           empty.Add(7, 1, 1, []vision.Object{{Class: -1}}, nil),
		"image 7 was added twice":                                          adds(nil, nil).Add(7, 1, 1, nil, nil),
		"COCOKind(5) is neither":                                           fail(adds(nil, nil).Evaluate(5)),
		"image 7: object 0: mask polygons: there is none":                  fail(adds([]vision.Object{a}, nil).Evaluate(Masks)),
		"image 7: detection 0 has no mask":                                 fail(adds(nil, []vision.Detection{found(a, 0, 1)}).Evaluate(Masks)),
		"detection 0: a mask of 2×1 pixels in an image of 10×12":           fail(adds(nil, []vision.Detection{wrongSize}).Evaluate(Masks)),
		"detection 0: mask RLE: counts sum to 2, the image has 120 pixels": fail(adds(nil, []vision.Detection{wrongSum}).Evaluate(Masks)),
		"confusion of detections: 0 classes":                               fail(adds(nil, nil).Confusion(0, DetectionThresholds{})),
		"confusion of detections: image 7: a detection has class 3 of 2":   fail(adds(nil, []vision.Detection{found(a, 3, 1)}).Confusion(2, DetectionThresholds{})),
		"confusion of detections: 2 classes, confidence 0.25, IoU 1.5":     fail(adds(nil, nil).Confusion(2, DetectionThresholds{IoU: 1.5})),
		"confusion of detections: image 7: an object has class 4 of 2":     fail(adds([]vision.Object{square(4, 0, 1)}, nil).Confusion(2, DetectionThresholds{})),
		"score detections: no images":                                      fail(empty.Confidences(Boxes)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
}

// At a confidence that is some detection's score, the curves count the
// detections from that score on.
func TestConfidencesCount(t *testing.T) {
	for seed := range 200 {
		rng := rand.New(rand.NewPCG(uint64(seed), 8))
		images := randomImages(rng, Boxes, 2)
		for i := range images {
			for j := range images[i].dets {
				images[i].dets[j].Score = float64(rng.IntN(30)*33) / 999
			}
		}
		c, err := evaluation(t, images).Confidences(Boxes)
		if err != nil {
			t.Fatal(err)
		}
		for row, class := range c.Classes {
			for k := range 30 {
				p, r, any := countFrom(images, class, c.Confidence[33*k])
				if !any {
					p, r = c.Precision[row][33*k], c.Recall[row][33*k] // between scores
				}
				f := 0.
				if p+r > 0 {
					f = 2 * p * r / (p + r)
				}
				for _, v := range [][2]float64{{c.Precision[row][33*k], p}, {c.Recall[row][33*k], r}, {c.F1[row][33*k], f}} {
					if math.Abs(v[0]-v[1]) > 1e-9 {
						t.Fatalf("case %d, class %d, confidence %g: %g, counted %g", seed, class, c.Confidence[33*k], v[0], v[1])
					}
				}
			}
		}
	}
}

// countFrom counts precision and recall of the detections of a class with at
// least a score; any tells whether one has just this score.
func countFrom(images []slowImage, class int, score float64) (p, r float64, any bool) {
	var tp, n, objects float64
	for _, im := range images {
		dets := slices.Clone(im.dets)
		slices.SortStableFunc(dets, func(a, b vision.Detection) int {
			switch {
			case a.Score > b.Score:
				return -1
			case a.Score < b.Score:
				return 1
			}
			return 0
		})
		taken := make([]bool, len(im.gts))
		for _, g := range im.gts {
			if g.Class == class && !g.Crowd {
				objects++
			}
		}
		for _, d := range dets {
			if d.Class != class || d.Score < score {
				continue
			}
			best, crowd := -1, false
			for j, g := range im.gts {
				v := slowIoU(Boxes, d, g)
				if g.Class != class || v < .5 {
					continue
				}
				if g.Crowd {
					crowd = true
				} else if best < 0 || v > slowIoU(Boxes, d, im.gts[best]) {
					best = j
				}
			}
			hit := best >= 0 && !taken[best]
			if !hit && crowd {
				continue
			}
			any = any || d.Score == score
			n++
			if hit {
				tp++
				taken[best] = true
			}
		}
	}
	return tp / n, tp / objects, any
}

// One object found with 0.8 and one false alarm with 0.4: it is best to keep
// what is above the false alarm.
func TestConfidencesBest(t *testing.T) {
	a, b := square(0, 0, 10), square(0, 90, 10)
	e := evaluation(t, []slowImage{{1, []vision.Object{a}, []vision.Detection{found(a, 0, .8), found(b, 0, .4)}}})
	c, err := e.Confidences(Boxes)
	if err != nil {
		t.Fatal(err)
	}
	if x := c.Confidence[c.Best]; x < .7 || x > .8 {
		t.Errorf("best confidence %g", x)
	}
	p, r, f, err := c.At(.2)
	near(t, "precision", p, .5, 1e-9)
	near(t, "recall", r, 1, 1e-9)
	near(t, "F1", f, 2./3, 1e-9)
	if err != nil {
		t.Error(err)
	}
	if _, _, _, err := c.At(2); err == nil {
		t.Error("a confidence of 2 is no error")
	}
	none, err := evaluation(t, []slowImage{{1, nil, []vision.Detection{found(a, 0, .8)}}}).Confidences(Boxes)
	if err != nil || none.Best != -1 || len(none.Classes) != 0 {
		t.Errorf("without ground truth: %+v, %v", none, err)
	}
}

// Right, mistaken, missed, invented, unsure and crowded, one each.
func TestDetectionConfusion(t *testing.T) {
	right, mistaken, missed, crowd := square(0, 0, 10), square(1, 20, 10), square(1, 40, 10), square(0, 60, 30)
	crowd.Crowd = true
	gts := []vision.Object{right, mistaken, missed, crowd}
	dets := []vision.Detection{
		found(right, 0, .9),
		{Class: 1, Score: .95, Box: vision.XYWH(1, 0, 10, 10)}, // overlaps it less: a second one
		found(mistaken, 0, .3),
		found(missed, 1, .25), // not above
		found(square(0, 100, 10), 1, .5),
		found(square(0, 65, 10), 0, .5), // in the crowd
	}
	got, err := evaluation(t, []slowImage{{1, gts, dets}}).Confusion(2, DetectionThresholds{})
	if err != nil {
		t.Fatal(err)
	}
	want := Confusion{{1, 0, 0}, {1, 0, 1}, {0, 2, 0}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
