package report

import (
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// The drawn precision is the highest at this recall or more, and its area is
// nearly the average precision that COCO reads at 101 recalls.
func TestPrecisionRecall(t *testing.T) {
	d, err := NewDetection(detected(t, scene{classes: 3, images: 150}.plates(t, 3)), metric.Boxes, []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	recall, precision := d.precisionRecall()
	if len(precision) != 3 {
		t.Fatalf("%d curves", len(precision))
	}
	for i, y := range precision {
		area := 0.
		for k, v := range y {
			area += v / float64(len(y))
			if k > 0 && v > y[k-1]+1e-12 {
				t.Errorf("class %d rises at recall %g", i, recall[k])
			}
			// No point of the curve over the confidence lies above.
			for j, r := range d.Curves.Recall[i] {
				if r >= recall[k] && d.Curves.Precision[i][j] > v+.02 {
					t.Fatalf("class %d, recall %g: %g, but %g is reached at recall %g", i, recall[k], v, d.Curves.Precision[i][j], r)
				}
			}
		}
		if ap := float64(d.Stats.PerClass[i].AP50); math.Abs(area-ap) > .02 {
			t.Errorf("class %d: area %.3f, AP50 %.3f", i, area, ap)
		}
	}
	confidence, p, r, f1 := d.Best()
	if !confidence.Defined() || d.ConfusionAt != float64(confidence) || p < .5 || r < .5 || f1 < .5 {
		t.Errorf("best: %v %v %v %v, confusion at %v", confidence, p, r, f1, d.ConfusionAt)
	}
	total := 0
	for _, row := range d.Confusion[:3] {
		for _, n := range row {
			total += n
		}
	}
	objects := 0
	for _, c := range d.Stats.PerClass {
		objects += c.Objects
	}
	if total != objects {
		t.Errorf("the confusion matrix holds %d objects of %d", total, objects)
	}
}

// A split without objects, and one where nothing was found, give a report.
func TestDetectionWithoutObjects(t *testing.T) {
	object := vision.Object{Box: vision.XYWH(1, 1, 10, 10)}
	for name, c := range map[string]struct {
		objects []vision.Object
		found   []vision.Detection
		cards   bool
	}{
		"no object":     {found: []vision.Detection{{Box: object.Box, Score: .9}}},
		"nothing found": {objects: []vision.Object{object}, cards: true},
		"neither":       {},
	} {
		e := &metric.COCOEval{}
		if err := e.Add(0, 20, 20, c.objects, c.found); err != nil {
			t.Fatal(err)
		}
		d, err := NewDetection(e, metric.Boxes, []string{"a"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		dir := t.TempDir()
		r := Run{Task: "detect", Evaluations: []Evaluation{{Split: "val", Images: 1, Detection: d}}, Data: Data{Classes: d.Classes}}
		if r.Pictures, err = Plots(dir, Drawings{Detection: d, Classes: d.Classes}); err != nil {
			t.Fatal(err)
		}
		page := reportOf(t, dir, r)
		if text := prose(page); strings.Contains(text, "NaN") || strings.Contains(text, "mAP50-95 0.000") != c.cards {
			t.Errorf("%s: %s", name, text)
		}
		if (r.Pictures.Box.PR != "") != c.cards {
			t.Errorf("%s: curves %+v", name, r.Pictures.Box)
		}
	}
}

func TestLabelBoxes(t *testing.T) {
	got := LabelBoxes([]vision.Object{
		{Box: vision.Box{X1: 10, Y1: 20, X2: 30, Y2: 60}},
		{Box: vision.Box{X2: 100, Y2: 200}, Area: 7},
		{Box: vision.Box{X2: 100, Y2: 200}, Crowd: true},
	}, 100, 200)
	want := []plot.LabelBox{{X: .2, Y: .2, W: .2, H: .2, Area: 800}, {X: .5, Y: .5, W: 1, H: 1, Area: 7}}
	if len(got) != 2 || math.Abs(got[0].Y-.2) > 1e-12 || got[0].Area != 800 || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

// Every kind of mistake, and nothing that is none.
func TestMistakes(t *testing.T) {
	box := func(x float64) vision.Box { return vision.XYWH(x, 10, 20, 20) }
	a := Answer{Name: "a.jpg", Objects: []vision.Object{
		{Class: 0, Box: box(0)}, {Class: 1, Box: box(100)}, {Class: 0, Box: box(200)}, {Class: 1, Box: vision.XYWH(300, 0, 60, 60)},
		{Class: 0, Box: vision.XYWH(400, 0, 80, 80), Crowd: true},
	}, Detections: []vision.Detection{
		{Class: 0, Score: .9, Box: box(1)},    // right
		{Class: 0, Score: .8, Box: box(2)},    // a second time
		{Class: 0, Score: .95, Box: box(100)}, // of the wrong class
		{Class: 0, Score: .7, Box: box(212)},  // beside it
		{Class: 1, Score: .6, Box: box(250)},  // nothing there
		{Class: 0, Score: .5, Box: box(420)},  // in a crowd
		{Class: 1, Score: .1, Box: box(270)},  // below the confidence
	}}
	names := []string{"cat", "dog"}
	wrong, missed := a.mistakes(3, names, .25)
	var got []string
	for _, m := range append(wrong, missed...) {
		got = append(got, className(names, m.class)+" "+m.why)
		if m.image != 3 {
			t.Errorf("image %d", m.image)
		}
	}
	equal(t, got, "cat is dog", "cat found already", "cat misplaced, overlap 0.25", "dog nothing is annotated there", "dog missed")

	im := vision.NewImage(500, 100)
	tiles, err := BoxMistakes([]Answer{a}, names, .25, 3, func(int) (*vision.Image, error) { return im, nil })
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, k := range tiles {
		got = append(got, strings.Join(k.Lines, ", "))
		if k.Image.W < 75 || k.Image.W > 125 || k.Boxes[0].Box.X1 < 0 || k.Boxes[0].Box.X2 > float64(k.Image.W) || k.Boxes[0].Dashed {
			t.Errorf("a picture of %d×%d pixels with %+v", k.Image.W, k.Image.H, k.Boxes[0])
		}
	}
	equal(t, got, "cat 0.95: is dog, a.jpg", "cat 0.80: found already, a.jpg", "missed: dog, a.jpg")
	if _, err := BoxMistakes([]Answer{a}, names, .25, 3, func(int) (*vision.Image, error) { return nil, os.ErrNotExist }); err == nil {
		t.Error("no error for a picture that cannot be read")
	}
	// A box at the border, and one as large as the picture.
	for _, b := range []vision.Box{{X1: -5, Y1: 90, X2: 3, Y2: 105}, {X2: 500, Y2: 100}, {X1: 499, Y1: 99, X2: 500, Y2: 100}} {
		k := mistake{box: b, score: .5}
		if tile := k.tile(im, a, names); tile.Image.W < 1 || tile.Image.H < 1 || tile.Image.W > 500 || tile.Image.H > 100 {
			t.Errorf("%v: %d×%d pixels", b, tile.Image.W, tile.Image.H)
		}
	}
}

// Boxes and masks keep their places when the picture is resized for its cell.
func TestSheetDraws(t *testing.T) {
	blue := cv.ClassColor(1)
	im := vision.NewImage(100, 50)
	m := cv.Mask{W: 100, H: 50, Pix: make([]uint8, 5000), Background: true}
	half, err := mask.FrBox(vision.Box{X2: 50, Y2: 50}, 50, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Pix {
		if i%100 >= 50 {
			m.Pix[i] = 1
		}
	}
	tiles := []Tile{{Image: im, Mask: &m}, {Image: im, Boxes: []cv.Box{{Box: vision.Box{X1: 50, Y1: 10, X2: 90, Y2: 40}, Class: 1, Mask: &half}}}}
	path := filepath.Join(t.TempDir(), "s.png")
	if err := ClassSheet(path, tiles, 2, []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	out, err := cv.DecodeFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const cell = 4 * 100
	if out.W != 2*(cell+gap)+gap || out.H <= cell+2*gap {
		t.Fatalf("%d×%d pixels", out.W, out.H)
	}
	is := func(x, y int, want [3]uint8) {
		t.Helper()
		if r, g, b := out.At(x, y); [3]uint8{r, g, b} != want {
			t.Errorf("pixel %d,%d is %d %d %d, want %v", x, y, r, g, b, want)
		}
	}
	var tinted [3]uint8
	for i, v := range []uint8{blue.R, blue.G, blue.B} {
		tinted[i] = uint8((int(v)*115 + 127) / 255)
	}
	y := gap + cell/2
	is(gap+cell/4, y, [3]uint8{})
	is(gap+cell*3/4, y, tinted)
	is(gap+cell/2+1, y, [3]uint8{blue.R, blue.G, blue.B}) // the edge of the mask
	second := gap + cell + gap
	is(second+cell/4, y, tinted)
	is(second+cell*9/10, y, [3]uint8{blue.R, blue.G, blue.B})                               // the box
	is(second+cell*3/4, y, [3]uint8{})                                                      // inside the box
	if n := inked(out, image.Rect(0, gap+cell, out.W, out.H), color.NRGBA(blue)); n < 100 { // the legend
		t.Errorf("%d pixels of legend", n)
	}
	if got := drawnClasses(tiles); !slices.Equal(got, []int{1}) {
		t.Errorf("classes %v", got)
	}
	for want, tile := range map[string]Tile{
		"picture 1 of 1: draw mask: a mask of 3×3 pixels": {Image: im, Mask: &cv.Mask{W: 3, H: 3, Pix: make([]uint8, 9)}},
		"picture 1 of 1: mask: sizes differ":              {Image: im, Boxes: []cv.Box{{Mask: &vision.RLE{W: 3, H: 3, Counts: []uint32{9}}}}},
		"is no box":                                       {Image: im, Boxes: []cv.Box{{Box: vision.Box{X1: math.NaN()}}}},
	} {
		if err := Sheet(path, []Tile{tile}, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}
