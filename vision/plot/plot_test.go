package plot

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pictures are the plots that the tests draw, and that people should look at:
// VISLORA_PLOTS=folder go test ./vision/plot writes them there.
func pictures() map[string]func(io.Writer) error {
	var epochs, train, val, acc, top5, lr []float64
	for e := range 30 {
		x := float64(e)
		epochs = append(epochs, x+1)
		train = append(train, 2.4*math.Exp(-x/6)+0.05)
		val = append(val, 2.5*math.Exp(-x/7)+0.2+0.004*x+0.03*math.Sin(3*x))
		acc = append(acc, 0.92-0.8*math.Exp(-x/5)+0.01*math.Sin(5*x))
		top5 = append(top5, 0.99-0.5*math.Exp(-x/3))
		lr = append(lr, 1e-3*math.Min((x+1)/3, 0.5*(1+math.Cos(math.Pi*math.Max(0, x-3)/27))))
	}
	val[4] = math.NaN()
	results := []Panel{
		{Title: "Loss", XLabel: "epoch", YLabel: "cross-entropy", Series: []Series{{"train", epochs, train}, {"val", epochs, val}}},
		{Title: "Accuracy", XLabel: "epoch", Share: true, Series: []Series{{"top-1", epochs, acc}, {"top-5", epochs, top5}}},
		{Title: "Learning rate", XLabel: "epoch", Series: []Series{{"lr", epochs, lr}}},
	}
	matrix := func(n int) ([][]int, []string) {
		counts, names := make([][]int, n), make([]string, n)
		for i := range counts {
			counts[i] = make([]int, n)
			names[i] = fmt.Sprintf("class-%d", i)
			for j := range counts[i] {
				switch {
				case i == j:
					counts[i][j] = 20 + 7*i%90
				case (i*7+j*3)%11 == 0:
					counts[i][j] = 1 + (i+j)%6
				}
			}
		}
		names[0] = "Arla-Standard-Milk-Ecological-Lactose-Free-1L"
		names[n-1] = "Überlängenverhältnis"
		return counts, names
	}
	var roc []ROCCurve
	for k := range 9 {
		c := ROCCurve{Name: fmt.Sprintf("cell type %d", k), AUROC: 1 - 1/float64(k+3)}
		for step := range 51 {
			x := float64(step) / 50
			c.X, c.Y = append(c.X, x), append(c.Y, math.Pow(x, 1/float64(k+2)))
		}
		roc = append(roc, c)
	}
	labels := func(n int) ([]string, []Split) {
		names := make([]string, n)
		splits := []Split{{Name: "train"}, {Name: "val"}, {Name: "test"}}
		for i := range names {
			names[i] = fmt.Sprintf("class %d", i)
			splits[0].Counts = append(splits[0].Counts, 400/(i+1)+3)
			splits[1].Counts = append(splits[1].Counts, 60/(i+1))
			splits[2].Counts = append(splits[2].Counts, 90/(i+1)+1)
		}
		names[1] = "Bravo-Orange-Juice-With-Pulp-Not-From-Concentrate"
		splits[1].Counts[n-1] = 0
		return names, splits
	}
	confusion := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { c, names := matrix(n); return ConfusionMatrix(w, c, names) }
	}
	counts := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { names, s := labels(n); return LabelCounts(w, names, s) }
	}
	found := func(n int) ([]float64, []ClassCurve, []ClassCurve, int) {
		var at []float64
		pr, f1 := make([]ClassCurve, n), make([]ClassCurve, n)
		for k := range n {
			pr[k].Name, f1[k].Name = fmt.Sprintf("cell type %d", k), fmt.Sprintf("cell type %d", k)
		}
		pr[0].Name, f1[0].Name = "Arla-Standard-Milk-Ecological-Lactose-Free-1L", "Überlängenverhältnis"
		pr[n-1].AP50 = math.NaN()
		for i := range 1000 {
			x := float64(i) / 999
			at = append(at, x)
			for k := range n {
				y := 1 - math.Pow(x, float64(k+2))
				pr[k].Y, pr[k].AP50 = append(pr[k].Y, y), pr[k].AP50+y/1000
				f1[k].Y = append(f1[k].Y, math.Min(1, (.6+.3*float64(k)/float64(n))*math.Pow(math.Sin(math.Pi*math.Pow(x, .6)), .4)))
			}
		}
		return at, pr, f1, 320
	}
	recalls := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { at, pr, _, _ := found(n); return PrecisionRecall(w, "boxes", at, pr, .8123) }
	}
	measures := func(n int) func(io.Writer) error {
		return func(w io.Writer) error {
			at, _, f1, best := found(n)
			return OverConfidence(w, "boxes", "F1", at, f1, best)
		}
	}
	boxes := func(n, count int) func(io.Writer) error {
		return func(w io.Writer) error {
			names, s := labels(n)
			rng := rand.New(rand.NewPCG(1, 1))
			var b []LabelBox
			for range count {
				x, y := .5+.2*rng.NormFloat64(), .6+.15*rng.NormFloat64()
				side := math.Exp(-1.6 + .5*rng.NormFloat64())
				b = append(b, LabelBox{x, y, side, .8 * side, side * side * 640 * 480})
			}
			return BoxLabels(w, names, s, b)
		}
	}
	crossed := func(u Unit, n, scale int, percent bool) func(io.Writer) error {
		return func(w io.Writer) error {
			c, names := matrix(n)
			for _, row := range c {
				for j := range row {
					row[j] *= scale
				}
			}
			if u == Objects {
				names = names[:n-1]
				c[n-1][n-1], c[n-1][0], c[0][n-1] = 0, 17, 9
			}
			return Confusion(w, u, c, names, percent)
		}
	}
	return map[string]func(io.Writer) error{
		"BoxPR_curve":           recalls(4),
		"BoxPR_curve_12":        recalls(12),
		"BoxPR_curve_80":        recalls(80),
		"BoxF1_curve":           measures(4),
		"BoxF1_curve_80":        measures(80),
		"BoxF1_curve_none":      func(w io.Writer) error { return OverConfidence(w, "boxes", "F1", []float64{0, 1}, nil, -1) },
		"confusion_boxes":       crossed(Objects, 4, 1, false),
		"confusion_boxes_norm":  crossed(Objects, 13, 1, true),
		"confusion_boxes_81":    crossed(Objects, 81, 1, false),
		"confusion_pixels":      crossed(Pixels, 5, 123457, false),
		"confusion_pixels_norm": crossed(Pixels, 5, 123457, true),
		"labels_boxes":          boxes(3, 4000),
		"labels_boxes_few":      boxes(2, 5),
		"labels_boxes_24":       boxes(24, 100000),
		"labels_boxes_300":      boxes(300, 1000),
		"results":               func(w io.Writer) error { return Curves(w, results) },
		"results_4":             func(w io.Writer) error { return Curves(w, append(results[:3:3], Panel{Title: "Nothing"})) },
		"results_1":             func(w io.Writer) error { return Curves(w, results[:1]) },
		"results_first": func(w io.Writer) error {
			return Curves(w, []Panel{{Title: "One epoch", XLabel: "epoch", Series: []Series{{"train", []float64{1}, []float64{0.7}}, {"val", []float64{1}, []float64{0.9}}}}})
		},
		"confusion_2":             confusion(2),
		"confusion_5":             confusion(5),
		"confusion_24":            confusion(24),
		"confusion_50":            confusion(50),
		"confusion_200":           confusion(200),
		"confusion_normalized_12": func(w io.Writer) error { c, names := matrix(12); return NormalizedConfusionMatrix(w, c, names) },
		"roc":                     func(w io.Writer) error { return ROC(w, roc) },
		"roc_none":                func(w io.Writer) error { return ROC(w, nil) },
		"labels_1":                func(w io.Writer) error { n, s := labels(3); return LabelCounts(w, n, s[:1]) },
		"labels_12":               counts(12),
		"labels_300":              counts(300),
	}
}

func TestPictures(t *testing.T) {
	for name, draw := range pictures() {
		var one, two bytes.Buffer
		if err := draw(&one); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := draw(&two); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("%s: the same data gives other bytes", name)
		}
		if dir := os.Getenv("VISLORA_PLOTS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, name+".png"), one.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		img, err := png.Decode(&one)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b := img.Bounds()
		if b.Dx() < 200 || b.Dy() < 150 || b.Dx() > 2200 || b.Dy() > 2200 {
			t.Errorf("%s: %d × %d pixels", name, b.Dx(), b.Dy())
		}
		// Nothing is cut off: ink never touches the edge of the page.
		for x := range b.Dx() {
			for y := range b.Dy() {
				if x != 0 && y != 0 && x != b.Dx()-1 && y != b.Dy()-1 {
					continue
				}
				if c := color.RGBAModel.Convert(img.At(x, y)); c != (color.RGBA{255, 255, 255, 255}) {
					t.Fatalf("%s: ink at the edge (%d, %d)", name, x, y)
				}
			}
		}
	}
}

// The lines are really there, in their colours, and only where there is data.
func TestCurvesDrawData(t *testing.T) {
	draw := func(y []float64) image.Image {
		var b bytes.Buffer
		if err := Curves(&b, []Panel{{Title: "x", Series: []Series{{"a", []float64{0, 1, 2}, y}}}}); err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	full, empty := count(draw([]float64{1, 2, 3}), palette[0]), count(draw([]float64{math.NaN(), math.Inf(1), math.NaN()}), palette[0])
	if full < 300 || empty != 0 {
		t.Errorf("%d pixels of the line, %d of an empty one", full, empty)
	}
	if gap := count(draw([]float64{1, math.NaN(), 3}), palette[0]); gap == 0 || gap > full/3 {
		t.Errorf("two lone points cover %d pixels, the line %d", gap, full)
	}
}

func TestConfusionColours(t *testing.T) {
	var b bytes.Buffer
	if err := ConfusionMatrix(&b, [][]int{{40, 0}, {0, 0}}, []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	// The full cell is darkest blue; the empty row has none.
	if n := count(img, blues(1)); n < 5000 || n > 35000 {
		t.Errorf("%d pixels of the full colour", n)
	}
}

func count(img image.Image, c color.Color) int {
	r, g, bl, _ := c.RGBA()
	n := 0
	b := img.Bounds()
	for x := b.Min.X; x < b.Max.X; x++ {
		for y := b.Min.Y; y < b.Max.Y; y++ {
			if pr, pg, pb, _ := img.At(x, y).RGBA(); pr == r && pg == g && pb == bl {
				n++
			}
		}
	}
	return n
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		whole     bool
		want      string
	}{
		{0, 1, false, "0 0.2 0.4 0.6 0.8 1.0"},
		{0, 2.6, false, "0 0.5 1.0 1.5 2.0 2.5"},
		{1, 30, true, "5 10 15 20 25 30"},
		{1, 3, true, "1 2 3"},
		{0.5, 1.5, true, "1"},
		{0, 1e-3, false, "0 0.0002 0.0004 0.0006 0.0008 0.0010"},
		{0, 3e-5, false, "0 5e-06 1e-05 1.5e-05 2e-05 2.5e-05 3e-05"},
		{0, 4e6, false, "0 1e+06 2e+06 3e+06 4e+06"},
		{-1, 1, false, "-1.0 -0.5 0 0.5 1.0"},
	} {
		var got []string
		for _, tick := range (ticks{c.whole}).Ticks(c.low, c.high) {
			got = append(got, tick.Label)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%g to %g: %v, want %s", c.low, c.high, got, c.want)
		}
	}
}

func TestShorten(t *testing.T) {
	for in, want := range map[string]string{"short": "short", "exactly-10": "exactly-10", "abcdefghijklmnop": "abcd…lmnop", "ääääääääääää": "ääää…äääää"} {
		if got := shorten(in, 10); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for want, err := range map[string]error{
		"no panels":                                      Curves(io.Discard, nil),
		`series "a" has 1 x and 2 y values`:              Curves(io.Discard, []Panel{{Series: []Series{{"a", []float64{1}, []float64{1, 2}}}}}),
		"0 rows and 0 class names":                       ConfusionMatrix(io.Discard, nil, nil),
		"row 1 has 1 columns, want 2":                    ConfusionMatrix(io.Discard, [][]int{{1, 2}, {1}}, []string{"a", "b"}),
		`curve "a" has 1 x and 0 y values`:               ROC(io.Discard, []ROCCurve{{Name: "a", X: []float64{1}}}),
		"0 classes in 0 splits":                          LabelCounts(io.Discard, nil, nil),
		"F1 over confidence, boxes at IoU 0.5: 0 points": OverConfidence(io.Discard, "boxes", "F1", nil, nil, -1),
		`curve "a" has 1 values at 2 points`:             PrecisionRecall(io.Discard, "boxes", []float64{0, 1}, []ClassCurve{{Name: "a", Y: []float64{1}}}, 0),
		"2 rows and 3 class names":                       Confusion(io.Discard, Objects, [][]int{{1, 0}, {0, 1}}, []string{"a", "b"}, false),
		"plot boxes: there is none":                      BoxLabels(io.Discard, []string{"a"}, []Split{{Counts: []int{1}}}, nil),
		"split train has 2 counts":                       BoxLabels(io.Discard, []string{"a"}, []Split{{Name: "train", Counts: []int{1, 1}}}, []LabelBox{{}}),
		"split val has 0 counts for 1 classes":           LabelCounts(io.Discard, []string{"a"}, []Split{{Name: "val"}}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestRounded(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1.0k", 1234: "1.2k", 9949: "9.9k", 9950: "10k", 99960: "100k", 999499: "999k", 999500: "1.0M", 1234567: "1.2M", 98765432: "99M", 4e9: "4.0G", 5e12: "5T"} {
		if got := rounded(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// The bars, the map and the histogram count what was given.
func TestBoxLabelsCount(t *testing.T) {
	h := bin([]LabelBox{{X: 0, Y: 0}, {X: .999, Y: 0}, {X: 1, Y: 1}, {X: -1, Y: 2}})
	if h[0][0] != 1 || h[0][heatBins-1] != 1 || h[heatBins-1][heatBins-1] != 1 || h[heatBins-1][0] != 1 {
		t.Error("centres are in wrong cells")
	}
	if got := (downwards{}).Ticks(0, 1); got[0].Label != "0" || got[0].Value != 1 {
		t.Errorf("ticks %v", got)
	}
}
