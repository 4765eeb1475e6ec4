package metric

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// blobs is a plane of rectangles of random classes, some of them ignored.
func blobs(r *rand.Rand, w, h, classes int, ignored bool) []uint8 {
	p := make([]uint8, w*h)
	base := uint8(r.IntN(classes))
	for i := range p {
		p[i] = base
	}
	for range r.IntN(6) {
		c := uint8(r.IntN(classes))
		if ignored && r.IntN(4) == 0 {
			c = IgnoredPixel
		}
		x0, y0, x1, y1 := r.IntN(w), r.IntN(h), r.IntN(w)+1, r.IntN(h)+1
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				p[y*w+x] = c
			}
		}
	}
	return p
}

// nudged is a plane like another, moved by a pixel here and there.
func nudged(r *rand.Rand, p []uint8, w, h, classes int) []uint8 {
	dx, dy := r.IntN(3)-1, r.IntN(3)-1
	out := make([]uint8, len(p))
	for i := range out {
		x, y := min(max(i%w+dx, 0), w-1), min(max(i/w+dy, 0), h-1)
		if out[i] = p[y*w+x]; out[i] == IgnoredPixel || r.IntN(40) == 0 {
			out[i] = uint8(r.IntN(classes))
		}
	}
	return out
}

func sameScore(a Score, b float64) bool {
	if math.IsNaN(b) {
		return !a.Defined()
	}
	return math.Abs(float64(a)-b) <= 1e-9*math.Max(1, math.Abs(b))
}

// slowMean is the mean of what is a number.
func slowMean(v []float64) float64 {
	sum, n := 0.0, 0.0
	for _, x := range v {
		if x == x {
			sum += x
			n++
		}
	}
	return sum / n
}

func TestSegmentEvalAgainstSlow(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	for trial := range 150 {
		classes := 1 + r.IntN(5)
		names := make([]string, classes)
		size := [2]float64{.3 + r.Float64(), .3 + r.Float64()}
		switch trial % 3 {
		case 0:
			size[1] = size[0]
		case 1:
			size = [2]float64{}
		}
		opt := SegmentOptions{Boundaries: true, PixelSize: size}
		tolerance := .0075
		if trial%2 == 0 {
			tolerance = .1 * r.Float64()
			opt.Tolerance = tolerance
		}
		e, err := NewSegmentEval(names, opt)
		if err != nil {
			t.Fatal(err)
		}
		var images []slowPlanes
		for range 1 + r.IntN(4) {
			w, h := 1+r.IntN(24), 1+r.IntN(24)
			truth := blobs(r, w, h, classes, true)
			prediction := nudged(r, truth, w, h, classes)
			if r.IntN(3) == 0 {
				prediction = blobs(r, w, h, classes, false)
			}
			images = append(images, slowPlanes{truth, prediction, w, h})
			if err := e.Add(truth, prediction, w, h); err != nil {
				t.Fatal(err)
			}
		}
		got := e.Evaluate()
		var iou, dice, bf, hd, mm []float64
		var right, all float64
		for c := range classes {
			k := got.PerClass[c]
			i, d := slowPixelIoU(images, c)
			b := slowBoundaryF1(images, c, tolerance)
			x, missed := slowHD95(images, c, 1, 1)
			y := math.NaN()
			if size[0] > 0 {
				y, _ = slowHD95(images, c, size[0], size[1])
			}
			if !sameScore(k.IoU, i) || !sameScore(k.Dice, d) || !sameScore(k.BoundaryF1, b) || !sameScore(k.HD95, x) || !sameScore(k.HD95mm, y) || k.HD95Missed != missed {
				t.Fatalf("class %d: %+v, want IoU %v, Dice %v, F₁ %v, HD95 %v, %v mm, %d missed", c, k, i, d, b, x, y, missed)
			}
			if !math.IsNaN(i) {
				iou, dice, bf, hd, mm = append(iou, i), append(dice, d), append(bf, b), append(hd, x), append(mm, y)
			}
		}
		for _, im := range images {
			for i, c := range im.truth {
				if c != 255 {
					if all++; c == im.prediction[i] {
						right++
					}
				}
			}
		}
		if !sameScore(got.MIoU, slowMean(iou)) || !sameScore(got.Dice, slowMean(dice)) || !sameScore(got.PixelAccuracy, right/all) ||
			!sameScore(got.BoundaryF1, slowMean(bf)) || !sameScore(got.HD95, slowMean(hd)) || !sameScore(got.HD95mm, slowMean(mm)) {
			t.Fatalf("%+v", got)
		}
		if got.Images != len(images) || float64(got.Pixels) != all {
			t.Fatalf("%d images, %d pixels", got.Images, got.Pixels)
		}
	}
}

// Numbers that can be counted by hand.
//
//	truth 0 0 1 1    prediction 0 1 1 1
//	      0 0 1 ×               0 1 1 0
func TestSegmentEvalByHand(t *testing.T) {
	e, err := NewSegmentEval([]string{"bg", "cell", "rare"}, SegmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Add([]uint8{0, 0, 1, 1, 0, 0, 1, 255}, []uint8{0, 1, 1, 1, 0, 1, 1, 0}, 4, 2); err != nil {
		t.Fatal(err)
	}
	s := e.Evaluate()
	for _, c := range []struct {
		name string
		got  Score
		want float64
	}{
		{"IoU 0", s.PerClass[0].IoU, 2. / 4}, {"IoU 1", s.PerClass[1].IoU, 3. / 5}, {"IoU 2", s.PerClass[2].IoU, math.NaN()},
		{"mIoU", s.MIoU, .55}, {"Dice", s.Dice, (4./6 + 6./8) / 2}, {"accuracy", s.PixelAccuracy, 5. / 7},
		{"sensitivity", s.PerClass[0].Sensitivity, .5}, {"precision", s.PerClass[1].Precision, .6}, {"precision 2", s.PerClass[2].Precision, math.NaN()},
		{"F₁", s.BoundaryF1, math.NaN()}, {"HD95", s.HD95, math.NaN()},
	} {
		if !sameScore(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
	if s.Confusion[0][1] != 2 || s.Confusion[0][0] != 2 || s.Confusion[1][1] != 3 || s.PerClass[1].Pixels != 3 || s.Pixels != 7 {
		t.Errorf("%+v", s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"mIoU":0.55`, `"pixel_accuracy":0.714`, `"hd95":null`, `"iou":null`, `"pixels":7`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is missing in %s", want, b)
		}
	}
	// A class that was predicted and is not there counts against the others, not
	// for itself.
	if err := e.Add([]uint8{0}, []uint8{2}, 1, 1); err != nil {
		t.Fatal(err)
	}
	if s = e.Evaluate(); s.PerClass[2].IoU.Defined() || !sameScore(s.PerClass[0].IoU, 2./5) || !sameScore(s.MIoU, .5) {
		t.Errorf("%+v", s)
	}
}

// A square of 10×10 pixels moved by 3: every side is off by 3, or by nothing.
func TestBoundariesByHand(t *testing.T) {
	const n = 40
	square := func(x0 int) []uint8 {
		p := make([]uint8, n*n)
		for y := 10; y < 20; y++ {
			for x := x0; x < x0+10; x++ {
				p[y*n+x] = 1
			}
		}
		return p
	}
	score := func(opt SegmentOptions, truth, prediction []uint8) *Segmentation {
		t.Helper()
		opt.Boundaries = true
		e, err := NewSegmentEval([]string{"bg", "cell"}, opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Add(truth, prediction, n, n); err != nil {
			t.Fatal(err)
		}
		return e.Evaluate()
	}
	s := score(SegmentOptions{PixelSize: [2]float64{.5, .5}}, square(10), square(13))
	// The outline has 36 pixels, ten of which are 3 away: the 95th percentile.
	if c := s.PerClass[1]; c.HD95 != 3 || c.HD95mm != 1.5 || c.HD95Missed != 0 {
		t.Errorf("%+v", c)
	}
	// 0.75 % of the diagonal is 0.42 pixels: of 36, the two sides above and below
	// count as far as both have them, 7 pixels each.
	if !sameScore(s.PerClass[1].BoundaryF1, 14./36) {
		t.Errorf("F₁ %v", s.PerClass[1].BoundaryF1)
	}
	if s := score(SegmentOptions{Tolerance: 3.01 / (n * math.Sqrt2)}, square(10), square(13)); s.BoundaryF1 != 1 {
		t.Errorf("F₁ %v at a tolerance of 3 pixels", s.BoundaryF1)
	}
	if s := score(SegmentOptions{}, square(10), square(10)); s.BoundaryF1 != 1 || s.HD95 != 0 || s.HD95mm.Defined() {
		t.Errorf("%+v", s)
	}
	// The class was missed.
	if s := score(SegmentOptions{}, square(10), make([]uint8, n*n)); s.PerClass[1].BoundaryF1 != 0 || s.PerClass[1].HD95.Defined() || s.PerClass[1].HD95Missed != 1 {
		t.Errorf("%+v", s)
	}
	// There is nothing but background: no boundary, the outline is the border.
	if s := score(SegmentOptions{}, make([]uint8, n*n), make([]uint8, n*n)); s.BoundaryF1.Defined() || s.HD95 != 0 || s.MIoU != 1 {
		t.Errorf("%+v", s)
	}
	// One lone pixel that is wrong does not move the 95th percentile.
	off := square(10)
	off[0] = 1
	if s := score(SegmentOptions{}, square(10), off); s.PerClass[1].HD95 != 0 {
		t.Errorf("HD95 %v", s.PerClass[1].HD95)
	}
}

func TestSegmentEvalErrors(t *testing.T) {
	for want, fails := range map[string]func() error{
		"0 classes": func() error { _, err := NewSegmentEval(nil, SegmentOptions{}); return err },
		"256 classes: use 1 to 255": func() error {
			_, err := NewSegmentEval(make([]string, 256), SegmentOptions{})
			return err
		},
		"the tolerance is -1": func() error { _, err := NewSegmentEval([]string{"a"}, SegmentOptions{Tolerance: -1}); return err },
		"the tolerance is NaN": func() error {
			_, err := NewSegmentEval([]string{"a"}, SegmentOptions{Tolerance: math.NaN()})
			return err
		},
		"pixels of 1×0 mm": func() error {
			_, err := NewSegmentEval([]string{"a"}, SegmentOptions{PixelSize: [2]float64{1, 0}})
			return err
		},
		"pixels of +Inf×1 mm": func() error {
			_, err := NewSegmentEval([]string{"a"}, SegmentOptions{PixelSize: [2]float64{math.Inf(1), 1}})
			return err
		},
		"planes of 2 and 1":       func() error { return newSegmentEval(t).Add(make([]uint8, 2), make([]uint8, 1), 2, 1) },
		"an image of -1×-2":       func() error { return newSegmentEval(t).Add(make([]uint8, 2), make([]uint8, 2), -1, -2) },
		"pixel (1, 1): the class": func() error { return newSegmentEval(t).Add([]uint8{0, 0, 0, 2}, make([]uint8, 4), 2, 2) },
		"pixel (0, 1): the predicted class is 255: there are 2": func() error {
			return newSegmentEval(t).Add(make([]uint8, 4), []uint8{0, 0, 255, 0}, 2, 2)
		},
	} {
		if err := fails(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	e := newSegmentEval(t)
	if err := e.Add([]uint8{0, 7}, []uint8{0, 0}, 2, 1); err == nil {
		t.Error("no error")
	}
	if s := e.Evaluate(); s.Images != 0 || s.Pixels != 0 || s.MIoU.Defined() || s.PixelAccuracy.Defined() {
		t.Errorf("something of a broken image is counted: %+v", s)
	}
	// Nothing but ignored pixels.
	if err := e.Add([]uint8{255, 255}, []uint8{9, 255}, 2, 1); err != nil {
		t.Fatal(err)
	}
	if s := e.Evaluate(); s.Images != 1 || s.MIoU.Defined() || s.PixelAccuracy.Defined() {
		t.Errorf("%+v", s)
	}
}

func newSegmentEval(t *testing.T) *SegmentEval {
	t.Helper()
	e, err := NewSegmentEval([]string{"a", "b"}, SegmentOptions{Boundaries: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The distances against all pairs of points, on grids of any shape; squared they
// are whole numbers and exact.
func TestDistanceField(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	var f distanceField
	for trial := range 400 {
		w, h := 1+r.IntN(40), 1+r.IntN(40)
		var from, to []point
		var slowFrom, slowTo [][2]float64
		for range 1 + r.IntN(30) {
			p, q := point{r.IntN(w), r.IntN(h)}, point{5 + r.IntN(w), 3 + r.IntN(h)}
			from, to = append(from, p), append(to, q)
			slowFrom, slowTo = append(slowFrom, [2]float64{float64(p.x), float64(p.y)}), append(slowTo, [2]float64{float64(q.x), float64(q.y)})
		}
		sx, sy := 1., 1.
		if trial%2 == 0 {
			sx, sy = .1+3*r.Float64(), .1+3*r.Float64()
		}
		want := slowDistances(slowFrom, slowTo, sx, sy)
		for i, d := range f.measure(from, to, sx, sy) {
			if math.Abs(d-want[i]) > 1e-12*want[i] {
				t.Fatalf("%v: %v, want %v", from[i], d, want[i])
			}
			if n := math.Round(d * d); sx == 1 && sy == 1 && d != math.Sqrt(n) {
				t.Fatalf("%v is no root of a whole number", d)
			}
		}
	}
}

func BenchmarkSegmentEval(b *testing.B) {
	const w, h, k = 640, 480, 6
	r := rand.New(rand.NewPCG(1, 1))
	truth := blobs(r, w, h, k, true)
	prediction := nudged(r, truth, w, h, k)
	for name, opt := range map[string]SegmentOptions{"pixels": {}, "boundaries": {Boundaries: true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			e, err := NewSegmentEval(make([]string, k), opt)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := e.Add(truth, prediction, w, h); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
