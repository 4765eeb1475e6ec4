package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vislora/vislora/vision/mask"
)

// TestCommittedScenes draws a few pictures again and holds pixels, masks and
// boxes against the repository's, with the tolerances of [TestCommittedFiles]:
// a rounding may move a pixel of a mask.
func TestCommittedScenes(t *testing.T) {
	for name, set := range scenes {
		for _, sp := range set.splits {
			i := sp.count - 1
			file := filepath.Join("..", name, filepath.FromSlash(set.folder(sp.name)), stem(sp.name, i)+".jpg")
			want, err := jpeg.Decode(bytes.NewReader(read(t, file)))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			sc, err := set.scene(1, sp.name, i)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := set.jpeg(sc, 1, sp.name, i)
			if err != nil {
				t.Fatal(err)
			}
			got, err := jpeg.Decode(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if d := meanDifference(got, want); d > .5 {
				t.Errorf("%s differs from what the program draws by %.2f of 255 on average", file, d)
			}
			if set.labels != nil {
				compareLabels(t, filepath.Join("..", name, sp.name, "masks", stem(sp.name, i)+".png"), sc.labels)
			}
			compareThings(t, filepath.Join("..", name, "annotations", "instances_"+sp.name+".json"), i+1, sc.things)
		}
	}
}

func compareLabels(t *testing.T, file string, mine []uint8) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(read(t, file)))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	p, ok := img.(*image.Paletted)
	if !ok || len(p.Pix) != len(mine) {
		t.Fatalf("%s is a %T of %v", file, img, img.Bounds())
	}
	other := 0
	for i, k := range mine {
		if p.Pix[i] != k {
			other++
		}
	}
	if other > len(mine)/500 {
		t.Errorf("%s: %d of %d pixels have another class than what the program draws", file, other, len(mine))
	}
}

func compareThings(t *testing.T, file string, id int, mine []thing) {
	t.Helper()
	var all struct{ Annotations []cocoAnnotation }
	if err := json.Unmarshal(read(t, file), &all); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var listed []cocoAnnotation
	for _, a := range all.Annotations {
		if a.Image == id {
			listed = append(listed, a)
		}
	}
	if len(listed) != len(mine) {
		t.Fatalf("%s: image %d has %d objects; the program draws %d", file, id, len(listed), len(mine))
	}
	for i, a := range listed {
		m, err := mask.Decompress(a.Mask.Counts, a.Mask.Size[0], a.Mask.Size[1])
		if err != nil {
			t.Fatalf("%s: annotation %d: %v", file, a.ID, err)
		}
		box, err := mask.ToBox(m)
		if err != nil {
			t.Fatal(err)
		}
		if mask.Area(m) != a.Area || box.XYWH() != a.Box {
			t.Errorf("%s: annotation %d: area %d and box %v; its mask has %d and %v", file, a.ID, a.Area, a.Box, mask.Area(m), box.XYWH())
		}
		if got := a.Category - 1; got != mine[i].class {
			t.Errorf("%s: annotation %d is of class %d, want %d", file, a.ID, got, mine[i].class)
		}
		if n := math.Abs(float64(a.Area - mask.Area(mine[i].mask))); n > 2+.01*float64(a.Area) {
			t.Errorf("%s: annotation %d: area %d; the program draws %d", file, a.ID, a.Area, mask.Area(mine[i].mask))
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestLabelsAgreeWithObjects: the objects of a smear and the classes of its
// pixels come from one picture. They are counted apart, so a pixel that three
// cells share may differ.
func TestLabelsAgreeWithObjects(t *testing.T) {
	for i := range 3 {
		sc, err := scenes["smear"].scene(3, "train", i)
		if err != nil {
			t.Fatal(err)
		}
		for k, th := range sc.things {
			bits, err := mask.Decode(th.mask, mask.Rows)
			if err != nil {
				t.Fatal(err)
			}
			n, other := 0, 0
			for j, b := range bits {
				if b == 0 {
					continue
				}
				n++
				if (th.class == redCell) != (sc.labels[j] == 1) || sc.labels[j] == 0 {
					other++
				}
			}
			if other > 1+n/20 {
				t.Errorf("picture %d, object %d: %d of its %d pixels are of another class", i, k, other, n)
			}
		}
	}
}

// TestSceneSameSeedSameBytes writes a set twice and compares every file.
func TestSceneSameSeedSameBytes(t *testing.T) {
	for name, set := range scenes {
		set.splits = []split{{"train", 1}, {"val", 1}}
		a, b, other := t.TempDir(), t.TempDir(), t.TempDir()
		for dir, seed := range map[string]uint64{a: 5, b: 5, other: 6} {
			if n, err := set.write(dir, seed); err != nil || n != 2 {
				t.Fatalf("%s: wrote %d pictures, %v; want 2", name, n, err)
			}
		}
		files := []string{"annotations/instances_train.json", "annotations/instances_val.json", set.folder("val") + "/val_000.jpg"}
		if set.labels != nil {
			files = append(files, "train/masks/train_000.png")
		}
		for _, f := range files {
			f = filepath.FromSlash(f)
			first := read(t, filepath.Join(a, f))
			if !bytes.Equal(first, read(t, filepath.Join(b, f))) {
				t.Errorf("%s: one seed gave two files %s", name, f)
			}
			if bytes.Equal(first, read(t, filepath.Join(other, f))) {
				t.Errorf("%s: two seeds gave one file %s", name, f)
			}
		}
	}
}

// TestCast puts rectangles on each other: a pixel belongs to who covers most
// of it, shadows hide nothing, and who is hidden is not counted.
func TestCast(t *testing.T) {
	at := pose{a: over, d: over} // in pixels of the image
	c := newCanvas(8, func(_, _ float64) rgb { return grey(1) })
	c.cast = newCast(c)
	black := solid(grey(0))
	var actors []actor
	enter := func(class int, whole float64, x0, y0, x1, y1 float64) {
		actors = append(actors, actor{first: c.begin(1), parts: 1, class: class, whole: whole})
		c.fill(at, rectangle(x0, y0, x1, y1), black)
	}
	enter(0, 16, 0, 0, 4.75, 4) // 4.75 pixels wide: the fifth column is its own
	enter(1, 8, 4.75, 4, 6.25, 8)
	c.veiled(func() { c.fill(at, rectangle(0, 0, 8, 8), glaze(grey(0), .5)) })
	c.scene()
	c.fill(at, rectangle(0, 0, 5, 1), black) // takes the first row
	enter(2, 16, 0, 7, 8, 8)                 // lies on the second
	enter(0, 100, 7, 0, 8, 3)                // 3 % of it is in the picture
	got, err := c.cast.things(actors)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		class, area int
		box         [4]float64
	}{{0, 15, [4]float64{0, 1, 5, 3}}, {1, 3, [4]float64{5, 4, 1, 3}}, {2, 8, [4]float64{0, 7, 8, 1}}}
	if len(got) != len(want) {
		t.Fatalf("%d things, want %d", len(got), len(want))
	}
	for i, w := range want {
		box, err := mask.ToBox(got[i].mask)
		if err != nil {
			t.Fatal(err)
		}
		if got[i].class != w.class || mask.Area(got[i].mask) != w.area || box.XYWH() != w.box {
			t.Errorf("thing %d: class %d, area %d, box %v; want %+v", i, got[i].class, mask.Area(got[i].mask), box.XYWH(), w)
		}
	}
}

// TestAlone: the area of a thing does not depend on where it will stand.
func TestAlone(t *testing.T) {
	got := alone(16, func(c *canvas, m point) {
		c.begin(2)
		c.fill(placed(m.x, m.y, over, over, 0), rectangle(-3, -2, 3, 2), solid(grey(0)))
		c.part(1)
		c.fill(placed(m.x, m.y, over, over, 0), rectangle(-1, -1, 1, 3), solid(grey(0)))
	})
	if want := 6.0*4 + 2; math.Abs(got-want) > .01 {
		t.Errorf("area %v, want %v", got, want)
	}
}
