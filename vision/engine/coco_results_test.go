package engine

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
)

// renumbered gives the validation images of a COCO folder ids with gaps and
// changes its categories' ids; some of its images are annotated for twice their
// size.
func renumbered(t *testing.T, root string, larger bool) (file string, images map[string]int64) {
	t.Helper()
	images = map[string]int64{}
	for _, split := range []string{"train", "val"} {
		file = filepath.Join(root, split, "_annotations.coco.json")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string][]map[string]any
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(err)
		}
		id := func(n any) any { return 1000 - 17*n.(float64) } // not in the order of the names either
		for i, im := range doc["images"] {
			im["id"] = id(im["id"])
			images[im["file_name"].(string)] = int64(im["id"].(float64))
			if larger && i == 0 {
				im["width"], im["height"] = 2*im["width"].(float64), 2*im["height"].(float64)
			}
		}
		for _, a := range doc["annotations"] {
			if a["image_id"] = id(a["image_id"]); larger && a["image_id"] == doc["images"][0]["id"] {
				for k, v := range a["bbox"].([]any) {
					a["bbox"].([]any)[k] = 2 * v.(float64)
				}
			}
			a["category_id"] = map[any]int{3.: 90, 4.: 17, 1.: 90, 2.: 17}[a["category_id"]]
		}
		for _, c := range doc["categories"] {
			c["id"] = map[any]int{3.: 90, 4.: 17, 1.: 90, 2.: 17}[c["id"]]
		}
		if b, err = json.Marshal(doc); err == nil {
			err = os.WriteFile(file, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return file, images
}

// guessed is an evaluation of boxes that are near those of the validation images,
// some with a wrong class.
func guessed(t *testing.T, root string, masks bool) *Validation {
	t.Helper()
	d, err := openDetection(root, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	f := &found{Samples: d.Split(datasets.Val)}
	for _, s := range f.Samples {
		var list []vision.Detection
		for _, o := range s.Objects {
			x := vision.Detection{Class: o.Class, Score: rng.Float64()}
			if rng.IntN(4) == 0 {
				x.Class = 1 - o.Class
			}
			move := func() float64 { return 3 * rng.Float64() }
			x.Box = vision.Box{X1: o.Box.X1 + move(), Y1: o.Box.Y1 + move(), X2: o.Box.X2 + move(), Y2: o.Box.Y2 + move()}
			if masks {
				r, err := mask.FromObject(o, s.H, s.W)
				if err != nil {
					t.Fatal(err)
				}
				x.Mask = &r
			}
			list = append(list, x)
		}
		f.Detections = append(f.Detections, list)
	}
	v := &Validation{Metrics: &Metrics{}, data: d, found: f}
	if v.eval, err = f.evaluation(); err == nil {
		v.Metrics.Detection, err = scoreDetection(v.eval, metric.Boxes, d.Classes)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCOCOResults: evaluated against the annotation file by its own ids, what was
// written scores what val says.
func TestCOCOResults(t *testing.T) {
	for _, c := range []struct {
		name   string
		masks  bool
		larger bool
	}{{"boxes", false, true}, {"masks", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			var root string
			if c.masks {
				root = leavesOf(t, 2, 4, polygonOrRLE)
			} else {
				root = shelfOf(t, 2, 4)
			}
			file, images := renumbered(t, root, c.larger)
			v := guessed(t, root, c.masks)
			b, left, err := v.COCOResults()
			if err != nil || left != 0 {
				t.Fatal(err, left)
			}
			var results []struct {
				Image        int64       `json:"image_id"`
				Category     int64       `json:"category_id"`
				Box          *[4]float64 `json:"bbox"`
				Segmentation *vision.Segmentation
				Score        float64
			}
			if err := json.Unmarshal(b, &results); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, d := range v.found.Detections {
				n += len(d)
			}
			if len(results) != n || n == 0 {
				t.Fatalf("%d results of %d objects", len(results), n)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var truth struct {
				Images []struct {
					ID            int64
					Width, Height int
				}
				Annotations []struct {
					Image    int64      `json:"image_id"`
					Category int64      `json:"category_id"`
					Box      [4]float64 `json:"bbox"`
				}
			}
			if err := json.Unmarshal(text, &truth); err != nil {
				t.Fatal(err)
			}
			class := map[int64]int{90: 0, 17: 1}
			var e metric.COCOEval
			for _, im := range truth.Images {
				var objects []vision.Object
				for _, a := range truth.Annotations {
					if a.Image == im.ID {
						box := vision.XYWH(a.Box[0], a.Box[1], a.Box[2], a.Box[3])
						objects = append(objects, vision.Object{Class: class[a.Category], Box: box, Area: box.Area()})
					}
				}
				var found []vision.Detection
				for _, r := range results {
					k, known := class[r.Category]
					if !known || !slices.Contains([]int64{images["00.png"], images["01.png"], images["02.png"], images["03.png"]}, r.Image) {
						t.Fatalf("%+v has an id that the file has not", r)
					}
					if (r.Segmentation != nil) != c.masks || c.masks && r.Segmentation.Size != [2]int{im.Height, im.Width} {
						t.Fatalf("%+v", r)
					}
					if r.Image == im.ID {
						found = append(found, vision.Detection{Class: k, Score: r.Score, Box: vision.XYWH(r.Box[0], r.Box[1], r.Box[2], r.Box[3])})
					}
				}
				if err := e.Add(im.ID, im.Width, im.Height, objects, found); err != nil {
					t.Fatal(err)
				}
			}
			st, err := e.Evaluate(metric.Boxes)
			if err != nil {
				t.Fatal(err)
			}
			if want := v.Metrics.Detection; math.Abs(float64(st.AP-want.MAP)) > 1e-9 || !(want.MAP > .1 && want.MAP < .9) {
				t.Errorf("by the file's ids mAP50-95 is %.6f, val says %.6f", float64(st.AP), float64(want.MAP))
			}
			if !strings.HasPrefix(string(b), "[\n{\"image_id\":") {
				t.Errorf("begins with %.40q", b)
			}
		})
	}
	_, _, err := (&Validation{Metrics: &Metrics{Task: "classify"}}).COCOResults()
	says(t, err, "trained to classify")
}
