package metric

import (
	"encoding/json"
	"math"
	"os"
	"testing"
	"time"

	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

type cocoRecord struct {
	ID           int64
	Image        int64 `json:"image_id"`
	Category     int   `json:"category_id"`
	Bbox         [4]float64
	Area         float64
	Crowd        int `json:"iscrowd"`
	Score        float64
	Segmentation json.RawMessage
}

func (r cocoRecord) box() vision.Box {
	return vision.XYWH(r.Bbox[0], r.Bbox[1], r.Bbox[2], r.Bbox[3])
}

// val2014 is the 100 images of COCO val2014 with the results in a file.
func val2014(t testing.TB, results string) *COCOEval {
	t.Helper()
	const dir = "coco_metrics_crosscheck"
	var truth struct {
		Images []struct {
			ID            int64
			Width, Height int
		}
		Annotations []cocoRecord
	}
	var found []cocoRecord
	readJSON(t, testdata.Real(t, dir, "instances_val2014_100.json"), &truth)
	readJSON(t, testdata.Real(t, dir, results), &found)

	gts, dets := map[int64][]vision.Object{}, map[int64][]vision.Detection{}
	for _, a := range truth.Annotations {
		o := vision.Object{Class: a.Category, Box: a.box(), Area: a.Area, ID: a.ID, Crowd: a.Crowd == 1}
		if json.Unmarshal(a.Segmentation, &o.Polygons) != nil {
			var rle struct {
				Size   [2]int
				Counts []uint32
			}
			if err := json.Unmarshal(a.Segmentation, &rle); err != nil {
				t.Fatal(err)
			}
			o.RLE = &vision.RLE{H: rle.Size[0], W: rle.Size[1], Counts: rle.Counts}
		}
		gts[a.Image] = append(gts[a.Image], o)
	}
	for _, a := range found {
		d := vision.Detection{Class: a.Category, Box: a.box(), Score: a.Score}
		if a.Segmentation != nil {
			var rle struct {
				Size   [2]int
				Counts string
			}
			if err := json.Unmarshal(a.Segmentation, &rle); err != nil {
				t.Fatal(err)
			}
			m, err := mask.Decompress(rle.Counts, rle.Size[0], rle.Size[1])
			if err != nil {
				t.Fatal(err)
			}
			d.Mask = &m
		}
		dets[a.Image] = append(dets[a.Image], d)
	}
	e := &COCOEval{}
	for i := len(truth.Images) - 1; i >= 0; i-- { // the order must not matter
		im := truth.Images[i]
		if err := e.Add(im.ID, im.Width, im.Height, gts[im.ID], dets[im.ID]); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// The 24 figures of pycocotools for COCO's own fake results on val2014.
func TestCOCOStatsEqualPycocotools(t *testing.T) {
	var expected map[string]json.RawMessage
	readJSON(t, testdata.Real(t, "coco_metrics_crosscheck", "expected.json"), &expected)
	for _, c := range []struct {
		name, results string
		kind          COCOKind
	}{
		{"bbox", "instances_val2014_fakebbox100_results.json", Boxes},
		{"segm", "instances_val2014_fakesegm100_results.json", Masks},
	} {
		var want [12]float64
		if err := json.Unmarshal(expected[c.name], &want); err != nil {
			t.Fatal(err)
		}
		e := val2014(t, c.results)
		start := time.Now()
		stats, err := e.Evaluate(c.kind)
		took := time.Since(start)
		if err != nil {
			t.Fatal(err)
		}
		var worst float64
		for i, v := range stats.Twelve() {
			near(t, c.name, v, want[i], 1e-9)
			worst = math.Max(worst, math.Abs(float64(v)-want[i]))
		}
		t.Logf("%s: largest difference %.3g, %v", c.name, worst, took)
		if took > 10*time.Second { // a busy machine; 0.5 s is what it must take on an idle one
			t.Errorf("%s: evaluation took %v", c.name, took)
		}
	}
}

func BenchmarkCOCOEvaluate(b *testing.B) {
	for _, c := range []struct {
		results string
		kind    COCOKind
	}{
		{"instances_val2014_fakebbox100_results.json", Boxes},
		{"instances_val2014_fakesegm100_results.json", Masks},
	} {
		e := val2014(b, c.results)
		b.Run(c.kind.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := e.Evaluate(c.kind); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
