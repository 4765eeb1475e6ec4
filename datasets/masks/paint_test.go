package masks

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/coco"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// rectangle is the outline of whole pixels.
func rectangle(x1, y1, x2, y2 float64) [][]float64 {
	return [][]float64{{x1, y1, x2, y1, x2, y2, x1, y2}}
}

func rleOf(t *testing.T, w, h int, in func(x, y int) bool) *vision.RLE {
	t.Helper()
	bits := make([]byte, w*h)
	for i := range bits {
		if in(i%w, i/w) {
			bits[i] = 1
		}
	}
	r, err := mask.Encode(bits, h, w, mask.Rows)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func TestPaint(t *testing.T) {
	d := &datasets.Dataset{Root: "r", Classes: []string{"cat", "dog"}, CategoryIDs: []int64{17, 18}, Warnings: []string{"w"}}
	cat := vision.Object{Class: 0, ID: 1, Polygons: rectangle(0, 0, 2, 2)}
	dog := vision.Object{Class: 1, ID: 2, RLE: rleOf(t, 6, 4, func(x, y int) bool { return x < 4 && y < 3 })}
	crowd := vision.Object{Class: 1, ID: 3, Crowd: true, RLE: rleOf(t, 6, 4, func(x, _ int) bool { return x == 5 })}
	bare := vision.Object{Class: 0, ID: 4, Box: vision.Box{X1: 3.5, Y1: 2.2, X2: 5, Y2: 4}}
	d.Samples = []datasets.Sample{
		{Name: "a", W: 6, H: 4, Label: -1, Labels: []int{0, 1}, Objects: []vision.Object{cat, dog, crowd, bare}},
		{Name: "b", W: 6, H: 4, Label: -1, Labels: []int{}},
	}
	s, err := FromObjects(d, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Classes, []string{"background", "cat", "dog"}) || !slices.Equal(s.CategoryIDs, []int64{-1, 17, 18}) {
		t.Error(s.Classes, s.CategoryIDs)
	}
	// The small cat in front of the large dog, whatever their order; the box of
	// the other cat behind both.
	want := []uint8{
		1, 1, 2, 2, 0, 255,
		1, 1, 2, 2, 0, 255,
		2, 2, 2, 2, 255, 255,
		0, 0, 0, 255, 255, 255,
	}
	got, err := s.ReadMask(s.Samples[0])
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	slices.Reverse(s.Samples[0].Objects)
	if got, err = s.ReadMask(s.Samples[0]); err != nil || !slices.Equal(got, want) {
		t.Errorf("in another order: %v %v", got, err)
	}
	if got, err := s.ReadMask(s.Samples[1]); err != nil || !slices.Equal(got, make([]uint8, 24)) {
		t.Errorf("background: %v %v", got, err)
	}
	if !slices.Equal(s.Samples[0].Labels, []int{0, 1, 2}) || !slices.Equal(s.Samples[1].Labels, []int{0}) {
		t.Error("labels", s.Samples[0].Labels, s.Samples[1].Labels)
	}
	warned(t, s.Dataset, "w", "objects without an outline, their boxes are ignored: 1: a: object 4")
	// What it was made from stays.
	if len(d.Classes) != 2 || d.Samples[0].Objects[0].Class != 0 || d.Samples[0].Objects[0].ID != 1 || len(d.Warnings) != 1 {
		t.Errorf("%+v", d)
	}

	// A class that is called background is class 0.
	d.Classes = []string{"cat", "Background"}
	if s, err = FromObjects(d, datasets.Options{}); err != nil || !slices.Equal(s.Classes, []string{"background", "cat"}) || !slices.Equal(s.CategoryIDs, []int64{18, 17}) {
		t.Fatal(err, s)
	}
	if got, err = s.ReadMask(s.Samples[0]); err != nil || got[0] != 1 || got[2] != 0 {
		t.Errorf("%v %v", got, err)
	}

	d.Samples = d.Samples[1:]
	if _, err := FromObjects(d, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "no object has an outline") {
		t.Error(err)
	}
	d.Classes = make([]string, 255)
	if _, err := FromObjects(d, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "256 classes") {
		t.Error(err)
	}
	broken := datasets.Sample{Path: "x.jpg", W: 6, H: 4, Objects: []vision.Object{{ID: 9, RLE: &vision.RLE{H: 4, W: 6, Counts: []uint32{1}}}}}
	if _, err := s.ReadMask(broken); err == nil || !strings.Contains(err.Error(), "read mask of x.jpg: object 9") {
		t.Error(err)
	}
}

// Random objects, against asking for every pixel which object covers it.
func TestPaintAgainstEveryPixel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for range 200 {
		w, h := 1+r.IntN(20), 1+r.IntN(20)
		s := datasets.Sample{W: w, H: h}
		var bits [][]byte
		for i := range r.IntN(6) {
			x, y, p := r.IntN(w), r.IntN(h), r.Float64()
			rle := rleOf(t, w, h, func(a, b int) bool { return (a > x) == (b > y) && r.Float64() < p })
			s.Objects = append(s.Objects, vision.Object{Class: i + 1, RLE: rle, Crowd: r.IntN(5) == 0})
			b, _ := mask.Decode(*rle, mask.Rows)
			bits = append(bits, b)
		}
		got, err := paint(&s)
		if err != nil {
			t.Fatal(err)
		}
		for k := range got {
			want, best := uint8(0), w*h+1
			for i, b := range bits {
				if a := mask.Area(*s.Objects[i].RLE); b[k] != 0 && a <= best {
					want, best = uint8(i+1), a
					if s.Objects[i].Crowd {
						want = Ignore
					}
				}
			}
			if got[k] != want {
				t.Fatalf("pixel %d is %d, want %d", k, got[k], want)
			}
		}
	}
}

// wbc_segment: 300 pictures of white blood cells, palette masks of 0, 1, 2.
func TestRealCells(t *testing.T) {
	root := testdata.Real(t, "wbc_segment")
	if !Detects(root) {
		t.Error("not detected")
	}
	s, err := Open(root, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Classes, []string{"background", "cytoplasm", "nucleus"}) || !slices.Equal(s.CategoryIDs, []int64{0, 1, 2}) {
		t.Error(s.Classes, s.CategoryIDs)
	}
	if a, b, c := len(s.Split("train")), len(s.Split("val")), len(s.Split("test")); a+b+c != 300 || b != 45 || c != 45 || len(s.Skipped) != 0 {
		t.Error(a, b, c, s.Skipped)
	}
	warned(t, s.Dataset, "1 image more than once: train/images/112.png = train/images/139.png") // so upstream
	n, pixels := [256]int{}, 0
	for _, sample := range s.Samples {
		m, err := s.ReadMask(sample)
		if err != nil {
			t.Fatal(err)
		}
		seen := []int{}
		for _, c := range m {
			n[c]++
			if !slices.Contains(seen, int(c)) {
				seen = append(seen, int(c))
			}
		}
		slices.Sort(seen)
		if len(m) != sample.W*sample.H || !slices.Equal(seen, sample.Labels) {
			t.Fatalf("%s: %d pixels of %v, labels %v", sample.Name, len(m), seen, sample.Labels)
		}
		pixels += len(m)
	}
	if n[0]+n[1]+n[2] != pixels || n[0] < pixels/2 || n[1] < pixels/20 || n[2] < pixels/20 {
		t.Errorf("%v of %d pixels", n[:3], pixels)
	}
}

// coco_mini: the values are COCO's panoptic ids, with gaps, 0 is unlabeled.
func TestRealPanopticValues(t *testing.T) {
	s, err := Open(testdata.Real(t, "coco_mini"), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Classes) != 133 || s.Classes[0] != "person" || s.CategoryIDs[11] != 13 || s.CategoryIDs[132] != 200 {
		t.Error(len(s.Classes), s.Classes[0], s.CategoryIDs)
	}
	if len(s.Skipped) > 0 || len(s.Split("train")) != 25 {
		t.Error(s.Skipped, len(s.Split("train")))
	}
	for _, sample := range s.Samples {
		if m, err := s.ReadMask(sample); err != nil || slices.ContainsFunc(m, func(c uint8) bool { return c != Ignore && int(c) >= 133 }) {
			t.Error(sample.Name, err)
		}
	}
}

// The masks painted from coco_mini's instances are those in its files as far as
// an object covers a pixel.
func TestRealPaintedMasks(t *testing.T) {
	root := testdata.Real(t, "coco_mini")
	objects, err := coco.Open(root, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	painted, err := FromObjects(objects, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := Open(root, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	byName := func(a, b datasets.Sample) int { return cmp.Compare(a.Path, b.Path) }
	slices.SortFunc(painted.Samples, byName)
	slices.SortFunc(files.Samples, byName)
	same, other := 0, 0
	for i, a := range painted.Samples {
		b := files.Samples[i]
		if a.Path != b.Path {
			t.Fatalf("%s and %s", a.Path, b.Path)
		}
		p, err := painted.ReadMask(a)
		if err != nil {
			t.Fatal(err)
		}
		f, err := files.ReadMask(b)
		if err != nil {
			t.Fatal(err)
		}
		for k, c := range p {
			switch {
			case c == 0 || c == Ignore:
			case f[k] != Ignore && painted.Classes[c] == files.Classes[f[k]]:
				same++
			default:
				other++
			}
		}
	}
	// The instances were cut from a partition of the image; polygons of pixel
	// edges lose nothing, holes that were filled do.
	if other*200 > same || same < 1_000_000 {
		t.Errorf("%d pixels agree, %d do not", same, other)
	}
	t.Logf("%d pixels agree, %d do not", same, other)
}
