package datasets

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision"
)

func object(class int, x, y, w, h float64) vision.Object {
	return vision.Object{Class: class, Box: vision.XYWH(x, y, w, h)}
}

func TestBoxDoubts(t *testing.T) {
	outlined := func(o vision.Object, p ...float64) vision.Object {
		o.Polygons = [][]float64{p}
		return o
	}
	crowd := object(0, 10, 10, 40, 40)
	crowd.Crowd = true
	for _, c := range []struct {
		name    string
		objects []vision.Object
		want    []string
	}{
		{"nothing odd", []vision.Object{object(0, 10, 10, 40, 40), object(0, 20, 10, 40, 40), object(1, 60, 60, 4, 40)}, nil},
		{"twice", []vision.Object{object(0, 10, 10, 40, 40), object(1, 70, 10, 20, 20), object(0, 10.5, 10, 40, 40)}, []string{"duplicate [0 2] 0.98"}},
		{"three times", []vision.Object{object(0, 10, 10, 40, 40), object(0, 10, 10, 40, 40), object(0, 10, 10, 40, 40)}, []string{"duplicate [0 1] 1", "duplicate [1 2] 1"}},
		{"two classes", []vision.Object{object(0, 10, 10, 40, 40), object(1, 10, 10, 40, 40)}, []string{"conflict [0 1] 1"}},
		{"two classes twice", []vision.Object{object(0, 10, 10, 40, 40), object(1, 10, 10, 40, 40), object(1, 10, 10, 40, 40)}, []string{"conflict [0 1] 1", "duplicate [1 2] 1"}},
		{"a crowd over its objects", []vision.Object{object(0, 10, 10, 40, 40), crowd}, nil},
		{"thin", []vision.Object{object(0, 10, 10, 3.5, 60)}, []string{"tiny [0] 3.5"}},
		{"long", []vision.Object{object(0, 10, 10, 5, 60)}, []string{"long [0] 12"}},
		{"all of the image", []vision.Object{object(0, 0, 0, 100, 100)}, []string{"whole [0] 1"}},
		{"width and height mistaken for a corner", []vision.Object{outlined(object(0, 30, 30, 60, 60), 30, 30, 60, 30, 60, 60)}, []string{"loose [0] 0.25"}},
		{"outline beyond the border", []vision.Object{outlined(object(0, 60, 10, 40, 40), 60, 10, 300, 10, 300, 50, 60, 50)}, nil},
	} {
		d := &Dataset{Samples: []Sample{{W: 100, H: 100}, {W: 100, H: 100, Objects: c.objects}}}
		var got []string
		for _, x := range d.BoxDoubts() {
			got = append(got, fmt.Sprintf("%s %v %.2g", x.Kind, x.Objects, x.Value))
			if x.Sample != 1 {
				t.Errorf("%s: the doubt is about sample %d", c.name, x.Sample)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestPairsAgainstAll: the sweep finds what comparing all boxes with all finds.
func TestPairsAgainstAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		var objects []vision.Object
		for range 30 {
			w := 5 + 40*rng.Float64()
			b := object(rng.IntN(2), 20*rng.Float64(), 20*rng.Float64(), w, w)
			objects = append(objects, b)
			if rng.IntN(2) == 0 { // one that is moved about as far as counts
				b.Box.X1 += (rng.Float64() - .5) * .1 * w
				b.Class = rng.IntN(2)
				objects = append(objects, b)
			}
		}
		// What has been told about each box as the right one of a pair.
		got := map[int]string{}
		for _, x := range pairs(objects) {
			l, r := objects[x.Objects[0]], objects[x.Objects[1]]
			if v := l.Box.IoU(r.Box); v != x.Value || v < SameIoU || (l.Class == r.Class) != (x.Kind == Duplicate) {
				t.Fatalf("round %d: %+v, with an IoU of %v and the classes %d and %d", round, x, v, l.Class, r.Class)
			}
			k := x.Objects[1]
			if l.Box.X1 > r.Box.X1 {
				k = x.Objects[0]
			}
			got[k] = x.Kind
		}
		want := map[int]string{}
		for i, a := range objects {
			for k, b := range objects {
				left := b.Box.X1 < a.Box.X1 || b.Box.X1 == a.Box.X1 && k < i
				switch {
				case !left || a.Box.IoU(b.Box) < SameIoU:
				case a.Class == b.Class:
					want[i] = Duplicate
				case want[i] == "":
					want[i] = Conflict
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("round %d: boxes %v, want %v", round, got, want)
		}
	}
}

// TestManyBoxes: a hundred thousand equal boxes take no square of the time.
func TestManyBoxes(t *testing.T) {
	objects := append(slices.Repeat([]vision.Object{object(0, 1, 1, 8, 8)}, 50_000), slices.Repeat([]vision.Object{object(1, 1, 1, 8, 8)}, 50_000)...)
	if n := len(pairs(objects)); n != len(objects)-1 {
		t.Errorf("%d pairs of %d equal boxes", n, len(objects))
	}
}

func TestCopies(t *testing.T) {
	box, other := []vision.Object{object(0, 1, 1, 8, 8), object(0, 20, 1, 8, 8)}, []vision.Object{object(0, 1, 1, 8, 8), object(0, 20, 1, 9, 8)}
	back := []vision.Object{box[1], box[0]}
	sample := func(name, split string, objects []vision.Object, labels ...int) Sample {
		return Sample{Name: name, Split: split, Label: -1, Labels: labels, Objects: objects}
	}
	d := &Dataset{Samples: []Sample{
		sample("a", Train, box, 0), sample("b", Train, back, 0), sample("c", Val, box, 0), sample("d", Train, other, 0),
		sample("e", Train, nil, 0), sample("f", Train, nil, 1), sample("g", Test, nil, 1),
	}}
	hash := func(of ...byte) (out [][32]byte) {
		for _, b := range of {
			out = append(out, [32]byte{b})
		}
		return out
	}
	pixels := hash(1, 1, 1, 1, 2, 2, 3)
	want := []Copy{{0, 1, false, ""}, {0, 2, true, ""}, {0, 3, false, "boxes"}, {4, 5, false, "classes"}}
	if got := d.Copies(pixels); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	d.WarnOfCopies(pixels)
	// Of equal files the first warning told already.
	d.WarnOfEqualPixels(hash(1, 1, 2, 3, 4, 5, 6), pixels)
	all := strings.Join(d.Warnings, "\n")
	for _, w := range []string{
		"leakage: 1 image in two splits: a = c: remove", "1 image twice, with different classes: e = f", "1 image twice, with different boxes: a = d", "1 image more than once: a = b",
		"leakage: 1 image in two splits as another file with the same pixels: a = c", "1 image twice as another file with the same pixels, with different boxes: a = d",
	} {
		if !strings.Contains(all, w) {
			t.Errorf("nothing says %q:\n%s", w, all)
		}
	}
	if strings.Contains(all, "more than once as another file") {
		t.Errorf("equal files are told twice:\n%s", all)
	}
}
