package mask

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision"
)

// Polygons inside, across and outside the image, with repeated points and
// crossing edges, are the masks that COCO's maskApi recorded
// (testdata/gen/polygons.c).
func TestPolygonsEqualMaskAPI(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "polygons.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		word := strings.Fields(lines.Text())
		numbers := func(words []string) []float64 {
			v := make([]float64, len(words))
			for i, s := range words {
				if v[i], err = strconv.ParseFloat(s, 64); err != nil {
					t.Fatal(err)
				}
			}
			return v
		}
		size := numbers(word[:3])
		h, w := int(size[0]), int(size[1])
		last := 3 + 2*int(size[2])
		got, err := FrPolygon(numbers(word[3:last]), h, w)
		if err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		if s := Compress(got.Counts); s != word[last] {
			t.Errorf("line %d: mask %s, maskApi %s", n+1, s, word[last])
		}
		b := numbers(word[last+1:])
		box, err := ToBox(got)
		if want := vision.XYWH(b[0], b[1], b[2], b[3]); err != nil || box != want {
			t.Errorf("line %d: box %v, maskApi %v (%v)", n+1, box, want, err)
		}
	}
	if lines.Err() != nil || n < 100 {
		t.Fatalf("%d polygons were read: %v", n, lines.Err())
	}
}

// A box is the polygon of its corners, and one on whole pixels covers exactly
// these.
func TestFrBox(t *testing.T) {
	r, err := FrBox(vision.Box{X1: 2, Y1: 1, X2: 5, Y2: 7}, 8, 9)
	if err != nil {
		t.Fatal(err)
	}
	box, _ := ToBox(r)
	if want := (vision.Box{X1: 2, Y1: 1, X2: 5, Y2: 7}); box != want || Area(r) != 18 {
		t.Errorf("%v of %d pixels, want %v of 18", box, Area(r), want)
	}
	outside, err := FrBox(vision.Box{X1: -9, Y1: -9, X2: -1, Y2: -1}, 8, 9)
	if err != nil || Area(outside) != 0 {
		t.Errorf("a box outside the image: %v, %v", outside, err)
	}
}
