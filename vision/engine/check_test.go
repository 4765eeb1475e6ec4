package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

func TestCheckInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := CheckData(ctx, CheckConfig{Data: shelfOf(t, 2, 1)}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("the error is %v", err)
	}
}

// TestInParallel: everything is done once, and the first error ends it.
func TestInParallel(t *testing.T) {
	done := make([]int, 1000)
	if err := inParallel(context.Background(), len(done), 4, func(_, i int) error { done[i]++; return nil }); err != nil {
		t.Fatal(err)
	}
	for i, n := range done {
		if n != 1 {
			t.Fatalf("%d was done %d times", i, n)
		}
	}
	wrong := errors.New("wrong")
	if err := inParallel(context.Background(), len(done), 3, func(_, i int) error {
		if i >= 500 {
			return wrong
		}
		return nil
	}); !errors.Is(err, wrong) {
		t.Errorf("the error is %v", err)
	}
}

// TestKinds: a layout is known by what lies there.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		files string // with the contents behind "="
		want  []kind
		also  string
	}{
		{"green/1.png red/1.png", []kind{kindFolder}, ""},
		{"labels.csv=file,label", []kind{kindTable}, ""},
		{"instances_train.json={} train/1.png", []kind{kindCOCO}, ""},
		{"train/_annotations.coco.json={} train/1.png", []kind{kindCOCO}, ""},
		{"instances_train.json={} train/images/1.jpg train/masks/1.png", []kind{kindCOCO}, "segment"},
		{"images/1.png labels/1.txt", []kind{kindYOLO}, ""},
		{`data.yaml={"train":"images"} images/1.png labels/1.txt`, []kind{kindYOLO}, ""},
		{`data.yaml={"train":"images"} images/1.png masks/1.png`, []kind{kindYOLO, kindMasks}, "segment"},
		{"Annotations/1.xml JPEGImages/1.jpg", []kind{kindVOC}, ""},
		{"images/1.jpg masks/1.png", []kind{kindMasks}, ""},
		{"images/1.jpg masks/1.png labels.csv", []kind{kindMasks}, "classify"},
		{"1.jpg 1_mask.png", []kind{kindMasks, kindFolder}, ""},
		{"red/1.jpg red/1.png", []kind{kindMasks, kindFolder}, ""},
	} {
		root := filepath.Join(t.TempDir(), "a[b]") // no pattern
		for _, f := range strings.Fields(c.files) {
			name, text, _ := strings.Cut(f, "=")
			to := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got := kindsOf(root)
		same := len(got) == len(c.want)
		for i := range got {
			same = same && got[i] == c.want[i]
		}
		if !same {
			t.Errorf("%s: %v, want %v", c.files, got, c.want)
		}
		also := ""
		for _, task := range alsoFor(got[0].task, root) {
			also += string(task)
		}
		if also != c.also {
			t.Errorf("%s: also for %q, want %q", c.files, also, c.also)
		}
	}
}

// TestChosen: no kind of doubt is drawn at the cost of all others.
func TestChosen(t *testing.T) {
	var all []datasets.Doubt
	for i := range 100 {
		all = append(all, datasets.Doubt{Kind: datasets.Tiny, Sample: i})
	}
	all = append(all, datasets.Doubt{Kind: datasets.Whole}, datasets.Doubt{Kind: datasets.Duplicate}, datasets.Doubt{Kind: datasets.Duplicate})
	n := map[string]int{}
	for _, x := range chosen(all, 12) {
		n[x.Kind]++
	}
	if n[datasets.Duplicate] != 2 || n[datasets.Whole] != 1 || n[datasets.Tiny] != 9 {
		t.Errorf("%v", n)
	}
	if n := len(chosen(all[:3], 12)); n != 3 {
		t.Errorf("%d of 3 doubts are drawn", n)
	}
}

func TestDoubtMask(t *testing.T) {
	for _, c := range []struct {
		counts []int64
		void   int64
		want   string
	}{{[]int64{60, 40}, 0, ""}, {[]int64{100, 0}, 0, doubtOneClass}, {[]int64{0, 60}, 40, doubtOneClass}, {[]int64{5, 5}, 90, doubtIgnored}, {[]int64{0, 0}, 100, doubtIgnored}, {[]int64{100}, 0, ""}} {
		var counts [256]int64
		copy(counts[:], c.counts)
		counts[255] = c.void
		if got := doubtMask(counts, len(c.counts), 100); got.Kind != c.want {
			t.Errorf("%v and %d ignored: %q, want %q", c.counts, c.void, got.Kind, c.want)
		}
	}
}

// TestSurroundings: the cut holds the box and lies in the image, also at its
// corners and when one is larger than the other.
func TestSurroundings(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {64, 64}, {640, 3}, {30, 500}} {
		w, h := float64(size[0]), float64(size[1])
		im := vision.NewImage(size[0], size[1])
		for i := range im.Pix {
			im.Pix[i] = uint8(i * 7)
		}
		for _, b := range []vision.Box{{X2: w, Y2: h}, {X2: .5, Y2: .5}, {X1: w - .5, Y1: h - .5, X2: w, Y2: h}, {X1: w / 3, Y1: h / 3, X2: w / 2, Y2: h / 2}} {
			cut, at := surroundings(im, b)
			if at[0] > b.X1 || at[1] > b.Y1 || at[0]+float64(cut.W) < b.X2 || at[1]+float64(cut.H) < b.Y2 || at[0]+float64(cut.W) > w || at[1]+float64(cut.H) > h {
				t.Errorf("image of %v, box %v: a cut of %d×%d at %v", size, b, cut.W, cut.H, at)
			}
			r1, g1, b1 := cut.At(cut.W-1, cut.H-1)
			r2, g2, b2 := im.At(int(at[0])+cut.W-1, int(at[1])+cut.H-1)
			if r1 != r2 || g1 != g2 || b1 != b2 {
				t.Errorf("image of %v, box %v: the cut has other pixels", size, b)
			}
		}
	}
}

// TestCheckRealBoxes: BCCD's two boxes of a single pixel are found, and nothing
// else is doubted.
func TestCheckRealBoxes(t *testing.T) {
	c, err := CheckData(context.Background(), CheckConfig{Data: testdata.Real(t, "bccd_coco"), ImgSz: 320, Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Doubts) != 2 || c.Doubts[0].Kind != datasets.Tiny || *c.Doubts[0].Image != 171 || c.Doubts[0].Objects[0] != 2288 {
		t.Errorf("%+v", c.Doubts)
	}
	total := 0
	for _, b := range c.Boxes.Relative {
		total += b.Count
	}
	if total != 4888 || c.Boxes.Boxed != 4888 || c.Boxes.Input.Below1 != 2 || c.Boxes.Objects["train"][0] != 2382 {
		t.Errorf("%+v", c.Boxes)
	}
}
