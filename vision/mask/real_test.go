package mask

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// annotations of a COCO file, as far as masks are concerned.
type annotations struct {
	Images []struct {
		ID            int64
		Width, Height int
	}
	Annotations []struct {
		ID           int64
		Image        int64 `json:"image_id"`
		Area         float64
		Bbox         [4]float64
		Segmentation json.RawMessage
	}
}

func object(t *testing.T, segmentation json.RawMessage) vision.Object {
	t.Helper()
	var o vision.Object
	if json.Unmarshal(segmentation, &o.Polygons) == nil {
		return o
	}
	var rle struct {
		Size   [2]int
		Counts []uint32
	}
	if err := json.Unmarshal(segmentation, &rle); err != nil {
		t.Fatal(err)
	}
	return vision.Object{RLE: &vision.RLE{H: rle.Size[0], W: rle.Size[1], Counts: rle.Counts}}
}

// The masks of real annotations. In coco_mini area and box were measured on the
// mask and the polygons run along pixel edges: they are met exactly. Elsewhere
// the areas are those of the polygons (crowds have other ones), and are met to
// within what the edge can hold. Every mask survives its pixels, in both orders,
// and its string.
func TestRealAnnotations(t *testing.T) {
	for _, set := range []struct {
		file  []string
		exact bool
	}{
		{[]string{"coco_mini", "instances_train.json"}, true},
		{[]string{"coco_mini", "instances_val.json"}, true},
		{[]string{"nuts_coco_instances", "trainval.json"}, false},
		{[]string{"coco_metrics_crosscheck", "instances_val2014_100.json"}, false},
	} {
		t.Run(filepath.Join(set.file...), func(t *testing.T) {
			raw, err := os.ReadFile(testdata.Real(t, set.file...))
			if err != nil {
				t.Fatal(err)
			}
			var a annotations
			if err := json.Unmarshal(raw, &a); err != nil {
				t.Fatal(err)
			}
			size := map[int64][2]int{}
			for _, im := range a.Images {
				size[im.ID] = [2]int{im.Height, im.Width}
			}
			equal := 0
			for _, an := range a.Annotations {
				o := object(t, an.Segmentation)
				h, w := size[an.Image][0], size[an.Image][1]
				r, err := FromObject(o, h, w)
				if err != nil {
					t.Fatalf("annotation %d: %v", an.ID, err)
				}
				roundTrips(t, an.ID, r)
				box, err := ToBox(r)
				if err != nil {
					t.Fatal(err)
				}
				area := float64(Area(r))
				if area == an.Area {
					equal++
				}
				switch {
				case set.exact && o.RLE != nil:
					if area != an.Area || box.XYWH() != an.Bbox {
						t.Errorf("annotation %d: area %g and box %v, stated %g and %v", an.ID, area, box.XYWH(), an.Area, an.Bbox)
					}
				case set.exact:
					// A polygon cannot have the holes, up to 5 %, that its mask had.
					if area < an.Area || area > an.Area*1.05 || box.XYWH() != an.Bbox {
						t.Errorf("annotation %d: area %g and box %v, stated %g and %v", an.ID, area, box.XYWH(), an.Area, an.Bbox)
					}
				case o.RLE == nil:
					// Half a pixel to either side all along the outline.
					if edge := outlineLength(o.Polygons); math.Abs(area-an.Area) > 1+.6*edge {
						t.Errorf("annotation %d: area %g, stated %g, outline %.0f", an.ID, area, an.Area, edge)
					}
				}
			}
			if set.exact && float64(equal) < .95*float64(len(a.Annotations)) {
				t.Errorf("only %d of %d areas are exact", equal, len(a.Annotations))
			}
			t.Logf("%d annotations, %d with exactly the area stated", len(a.Annotations), equal)
		})
	}
}

func outlineLength(polygons [][]float64) float64 {
	var sum float64
	for _, p := range polygons {
		for i := 0; i < len(p); i += 2 {
			j := (i + 2) % len(p)
			sum += math.Hypot(p[j]-p[i], p[j+1]-p[i+1])
		}
	}
	return sum
}

func roundTrips(t *testing.T, id int64, r vision.RLE) {
	t.Helper()
	for _, order := range []Order{Rows, Columns} {
		pixels, err := Decode(r, order)
		if err != nil {
			t.Fatalf("annotation %d: %v", id, err)
		}
		if again, err := Encode(pixels, r.H, r.W, order); err != nil || !slices.Equal(again.Counts, r.Counts) {
			t.Errorf("annotation %d does not survive decoding in order %d: %v", id, order, err)
		}
	}
	if again, err := Decompress(Compress(r.Counts), r.H, r.W); err != nil || !slices.Equal(again.Counts, r.Counts) {
		t.Errorf("annotation %d does not survive its string: %v", id, err)
	}
}
