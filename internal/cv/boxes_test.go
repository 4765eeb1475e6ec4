package cv

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// show writes a picture for people: VISLORA_PLOTS=folder go test ./internal/cv.
func show(t *testing.T, name string, im *vision.Image) {
	t.Helper()
	dir := os.Getenv("VISLORA_PLOTS")
	if dir == "" {
		return
	}
	if err := WriteFile(filepath.Join(dir, name), im); err != nil {
		t.Fatal(err)
	}
}

// The outline's middle runs along the box, and nothing else is touched.
func TestDrawBoxesOutline(t *testing.T) {
	for _, c := range []struct {
		side   int
		box    vision.Box
		dashed bool
		want   func(p image.Point) bool
	}{
		{100, vision.Box{X1: 10, Y1: 20, X2: 60, Y2: 70}, false, func(p image.Point) bool {
			return p.In(image.Rect(10, 20, 60, 70)) && !p.In(image.Rect(11, 21, 59, 69))
		}},
		{200, vision.Box{X1: 10.4, Y1: 19.6, X2: 60.2, Y2: 69.9}, false, func(p image.Point) bool {
			return p.In(image.Rect(9, 19, 61, 71)) && !p.In(image.Rect(11, 21, 59, 69))
		}},
		// At the border it stays visible, outside there is nothing to draw.
		{200, vision.Box{X1: -40, Y1: 0, X2: 200, Y2: 300}, false, func(p image.Point) bool { return !p.In(image.Rect(2, 2, 198, 198)) }},
		{200, vision.Box{X1: 210, Y1: 10, X2: 250, Y2: 50}, false, func(image.Point) bool { return false }},
		// A tiny one is outlined, not filled.
		{200, vision.Box{X1: 50, Y1: 50, X2: 52, Y2: 52}, false, func(p image.Point) bool {
			return p.In(image.Rect(47, 47, 55, 55)) && !p.In(image.Rect(49, 49, 53, 53))
		}},
	} {
		im := vision.NewImage(c.side, c.side)
		if err := DrawBoxes(im, []Box{{Box: c.box, Class: 2, Dashed: c.dashed}}); err != nil {
			t.Fatal(err)
		}
		ink := ClassColor(2)
		for y := range im.H {
			for x := range im.W {
				r, g, b := im.At(x, y)
				if on := (color.RGBA{r, g, b, 255}) == ink; on != c.want(image.Pt(x, y)) || !on && r|g|b != 0 {
					t.Fatalf("%v: pixel %d,%d is %d %d %d", c.box, x, y, r, g, b)
				}
			}
		}
	}
	solid, dashed := vision.NewImage(200, 200), vision.NewImage(200, 200)
	b := Box{Box: vision.Box{X1: 20, Y1: 20, X2: 180, Y2: 180}, Color: color.RGBA{9, 99, 199, 255}}
	if err := DrawBoxes(solid, []Box{b}); err != nil {
		t.Fatal(err)
	}
	b.Dashed = true
	if err := DrawBoxes(dashed, []Box{b}); err != nil {
		t.Fatal(err)
	}
	on, off := 0, 0
	for i := range 200 * 200 {
		if dashed.Pix[3*i] == 9 {
			on++
			if solid.Pix[3*i] != 9 {
				t.Fatal("a dash lies beside the line")
			}
		} else if solid.Pix[3*i] == 9 {
			off++
		}
	}
	if on < off || off < on/4 {
		t.Errorf("%d pixels of dashes, %d of gaps", on, off)
	}
}

// Whatever the boxes are, tags lie in the picture and do not overlap.
func TestTagsStayInsideAndApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	placed := 0
	for range 200 {
		w, h := 60+rng.IntN(900), 60+rng.IntN(900)
		im := vision.NewImage(w, h)
		var boxes []Box
		var frames []image.Rectangle
		line, height := strokes(im)
		for i := range 1 + rng.IntN(30) {
			b := Box{Box: vision.XYWH(rng.Float64()*float64(w), rng.Float64()*float64(h), rng.Float64()*300, rng.Float64()*300), Class: i, Name: strings.Repeat("Wörter ", rng.IntN(8)), Score: rng.Float64()}
			boxes, frames = append(boxes, b), append(frames, b.frame(im, line))
		}
		tags := placeTags(boxes, frames, image.Rect(0, 0, w, h), height)
		placed += len(tags)
		if len(tags) == 0 {
			t.Fatalf("%d boxes in %d×%d pixels: no tag", len(boxes), w, h)
		}
		for i, a := range tags {
			if !a.at.In(image.Rect(0, 0, w, h)) {
				t.Fatalf("tag %v outside %d×%d", a.at, w, h)
			}
			if got := textWidth(a.text, height) + 2*tagMargin(height); got > a.at.Dx() {
				t.Fatalf("text of %d pixels in a tag of %d", got, a.at.Dx())
			}
			if !a.at.Inset(-1).Overlaps(frames[a.box].Inset(-1)) {
				t.Fatalf("tag %v does not touch its box %v", a.at, frames[a.box])
			}
			for _, b := range tags[:i] {
				if a.at.Overlaps(b.at) {
					t.Fatalf("tags %v and %v overlap", a.at, b.at)
				}
			}
		}
	}
	if placed < 1500 {
		t.Errorf("only %d tags were placed", placed)
	}
	if got := abridged("Arla-Standard-Milk-Lactose-Free-1L", 100, 14); textWidth(got, 14) > 100 || !strings.HasPrefix(got, "Arla-") || !strings.HasSuffix(got, "-1L") {
		t.Error(got)
	}
	b := Box{Name: "cat", Score: .874}
	if got := strings.Join(b.labels(200, 14), "|"); got != "cat 0.87|0.87" {
		t.Error(got)
	}
}

func TestReadable(t *testing.T) {
	for i := range 80 {
		c := ClassColor(i)
		l := func(c color.RGBA) float64 {
			f := func(v uint8) float64 { return math.Pow(float64(v)/255, 2.2) }
			return .2126*f(c.R) + .7152*f(c.G) + .0722*f(c.B)
		}
		a, b := l(c), l(readable(c))
		if ratio := (max(a, b) + .05) / (min(a, b) + .05); ratio < 4 {
			t.Errorf("class %d: contrast %.1f of %v on %v", i, ratio, readable(c), c)
		}
	}
}

func TestPalette(t *testing.T) {
	if n := len(classPalette); n != 80 {
		t.Fatalf("%d colours", n)
	}
	for i, a := range classPalette {
		for j, b := range classPalette[:i] {
			want := .069
			if i < 8 {
				want = .145
			} else if i < 24 {
				want = .115
			}
			if d := apart(a, b); d < want {
				t.Errorf("classes %d and %d differ by %.3f", j, i, d)
			}
		}
	}
	if ClassColor(0) != (color.RGBA{0xe6, 0x37, 0x37, 255}) || ClassColor(80) != ClassColor(0) || ClassColor(-1) == ClassColor(0) {
		t.Error("the colours have changed")
	}
	p, q := MaskPalette(true), MaskPalette(false)
	if len(p) != 256 || p[0] != (color.RGBA{0, 0, 0, 255}) || q[0] != ClassColor(0) || p[7] != ClassColor(7) || p[Void] != q[Void] {
		t.Error("palette of masks")
	}
}

// apart is the distance in OKLab (Björn Ottosson, 2020).
func apart(a, b color.RGBA) float64 {
	lab := func(c color.RGBA) [3]float64 {
		f := func(v uint8) float64 {
			x := float64(v) / 255
			if x <= .04045 {
				return x / 12.92
			}
			return math.Pow((x+.055)/1.055, 2.4)
		}
		r, g, b := f(c.R), f(c.G), f(c.B)
		l := math.Cbrt(.4122214708*r + .5363325363*g + .0514459929*b)
		m := math.Cbrt(.2119034982*r + .6806995451*g + .1073969566*b)
		s := math.Cbrt(.0883024619*r + .2817188376*g + .6299787005*b)
		return [3]float64{.2104542553*l + .7936177850*m - .0040720468*s, 1.9779984951*l - 2.4285922050*m + .4505937099*s, .0259040371*l + .7827717662*m - .8086757660*s}
	}
	p, q := lab(a), lab(b)
	return math.Sqrt(math.Pow(p[0]-q[0], 2) + math.Pow(p[1]-q[1], 2) + math.Pow(p[2]-q[2], 2))
}

func TestBoxesOfObjects(t *testing.T) {
	names := []string{"cat", "dog"}
	o := Objects([]vision.Object{{Class: 1, RLE: &vision.RLE{}}, {Class: 9, Crowd: true}}, names, true)
	if o[0].Name != "dog" || o[0].Mask == nil || o[1].Name != "class 9" || !o[1].Dashed {
		t.Errorf("%+v", o)
	}
	if o = Objects([]vision.Object{{RLE: &vision.RLE{}}}, names, false); o[0].Mask != nil {
		t.Error("masks were not asked for")
	}
	d := Detections([]vision.Detection{{Class: 0, Score: .2}, {Class: 1, Score: .9}}, names)
	if d[0].Name != "dog" || d[0].Score != .9 {
		t.Errorf("%+v", d)
	}
}

func TestDrawErrors(t *testing.T) {
	im := vision.NewImage(20, 10)
	broken := &vision.Image{W: 20, H: 10, Pix: make([]uint8, 599)}
	legend := func(im *vision.Image, n int) error { _, err := DrawLegend(im, make([]int, n), nil, 0); return err }
	for want, err := range map[string]error{
		"20×10 pixels with 599 bytes":                     Rectangle(broken, image.Rect(0, 0, 2, 2), color.RGBA{}, 0),
		"an image of 0×0 pixels":                          DrawBoxes(nil, nil),
		"draw box 0: [NaN 0 NaN 0] is no box":             DrawBoxes(im, []Box{{Box: vision.Box{X1: math.NaN()}}}),
		"draw box 0: mask: sizes differ":                  DrawBoxes(im, []Box{{Mask: &vision.RLE{H: 20, W: 10, Counts: []uint32{200}}}}),
		"mask of 10×20 pixels in 200 bytes does not fit":  DrawMask(im, Mask{W: 10, H: 20, Pix: make([]uint8, 200)}),
		"mask of 20×10 pixels in 199 bytes does not fit":  DrawMask(im, Mask{W: 20, H: 10, Pix: make([]uint8, 199)}),
		"mask of 10×20 pixels does not fit":               DrawInstance(im, vision.RLE{W: 10, H: 20}, color.RGBA{}),
		"counts sum to 7, the image has 200 pixels":       DrawInstance(im, vision.RLE{W: 20, H: 10, Counts: []uint32{7}}, color.RGBA{}),
		"draw on an image of 20×10 pixels with 599 bytes": DrawMask(broken, Mask{}),
		"with 599 bytes":                                  legend(broken, 1),
		"are too many":                                    legend(vision.NewImage(1<<14, 8), 1<<16),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if err := DrawBoxes(im, []Box{{Box: vision.Box{X1: -1e300, X2: 1e300, Y1: -1e300, Y2: 1e300}, Name: "all"}}); err != nil {
		t.Error(err)
	}
}

// cocoFile is what the tests need of a COCO file.
type cocoFile struct {
	Images []struct {
		ID       int64
		FileName string `json:"file_name"`
		W        int    `json:"width"`
		H        int    `json:"height"`
	}
	Annotations []struct {
		ImageID      int64 `json:"image_id"`
		Category     int   `json:"category_id"`
		BBox         [4]float64
		Segmentation json.RawMessage
	}
	Categories []struct {
		ID   int
		Name string
	}
}

// annotated reads the first image of a COCO file.
func annotated(t *testing.T, file, images string, n int) (*vision.Image, []vision.Object, []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var f cocoFile
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	class := map[int]int{}
	var names []string
	for i, c := range f.Categories {
		class[c.ID] = i
		names = append(names, c.Name)
	}
	im, err := DecodeFile(filepath.Join(images, f.Images[n].FileName))
	if err != nil {
		t.Fatal(err)
	}
	var out []vision.Object
	for _, a := range f.Annotations {
		if a.ImageID == f.Images[n].ID {
			o := vision.Object{Class: class[a.Category], Box: vision.XYWH(a.BBox[0], a.BBox[1], a.BBox[2], a.BBox[3])}
			_ = json.Unmarshal(a.Segmentation, &o.Polygons) // run lengths are left out
			out = append(out, o)
		}
	}
	return im, out, names
}

// Real pictures, for people to look at; here every object must leave its colour.
func TestDrawRealPictures(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	draw := func(name string, im *vision.Image, boxes []Box) {
		t.Helper()
		if err := DrawBoxes(im, boxes); err != nil {
			t.Fatal(err)
		}
		for _, b := range boxes {
			c, n := ClassColor(b.Class), 0
			for i := 0; i+2 < len(im.Pix); i += 3 {
				if im.Pix[i] == c.R && im.Pix[i+1] == c.G && im.Pix[i+2] == c.B {
					n++
				}
			}
			if n < 20 {
				t.Errorf("%s: %d pixels of class %d", name, n, b.Class)
			}
		}
		show(t, name, im)
	}
	for k := range 3 {
		im, objects, names := annotated(t, testdata.Real(t, "bccd_coco", "instances_val.json"), testdata.Real(t, "bccd_coco", "val", "images"), 5*k)
		var found []vision.Detection
		for _, o := range objects {
			b := o.Box
			b.X1, b.Y2 = b.X1+4*rng.NormFloat64(), b.Y2+4*rng.NormFloat64()
			found = append(found, vision.Detection{Class: o.Class, Score: .3 + .7*rng.Float64(), Box: b})
		}
		draw(fmt.Sprintf("bccd_%d_labels.png", k), im.Clone(), Objects(objects, names, false))
		draw(fmt.Sprintf("bccd_%d_pred.png", k), im, Detections(found, names))
	}
	im, objects, names := annotated(t, testdata.Real(t, "coco_mini", "instances_val.json"), testdata.Real(t, "coco_mini", "val", "images"), 2)
	draw("coco_instances.png", im, Objects(objects, names, true))
	im, objects, names = annotated(t, testdata.Real(t, "nuts_coco_instances", "trainval.json"), testdata.Real(t, "nuts_coco_instances", "images"), 0)
	draw("nuts.png", im, Objects(objects, names, true))
}
