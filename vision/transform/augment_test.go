package transform

import (
	"bytes"
	"image"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

func small(t *testing.T, a Augment) *Pipeline {
	t.Helper()
	pre, _ := vision.Preset("imagenet")
	p, err := Train(pre.Normalised(32, 40), a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func everything() Augment {
	a := DefaultAugment()
	a.VFlip, a.Rotation, a.Brightness, a.Contrast, a.Saturation, a.Hue = .5, 20, .3, .3, .3, .1
	a.RandAugment, a.Erasing = 2, .5
	return a
}

func TestPlace(t *testing.T) {
	pre := func(resize, rounding, align string, h, w, to int) vision.Preprocess {
		return vision.Preprocess{Resize: resize, Rounding: rounding, Align: align, Size: [2]int{h, w}, ResizeTo: to}
	}
	r := image.Rect
	for _, c := range []struct {
		pre  vision.Preprocess
		w, h int
		want Placement
	}{
		// 256·480/395 = 311.09; (311 − 224)/2 = 43.5 goes to the even 44.
		{pre("shorter", "", "", 224, 224, 256), 480, 395, Placement{311, 256, r(44, 16, 268, 240), image.Point{}}},
		{pre("shorter", "nearest", "", 224, 224, 256), 480, 395, Placement{311, 256, r(43, 16, 267, 240), image.Point{}}},
		// 256·487/401 = 310.9.
		{pre("shorter", "", "", 224, 224, 256), 487, 401, Placement{310, 256, r(43, 16, 267, 240), image.Point{}}},
		{pre("shorter", "nearest", "", 224, 224, 256), 487, 401, Placement{311, 256, r(43, 16, 267, 240), image.Point{}}},
		{pre("shorter", "", "", 224, 224, 256), 1, 100000, Placement{256, 25600000, r(16, 12799888, 240, 12800112), image.Point{}}},
		{pre("stretch", "", "", 32, 48, 0), 500, 20, Placement{48, 32, r(0, 0, 48, 32), image.Point{}}},
		{pre("letterbox", "", "topleft", 416, 416, 0), 640, 480, Placement{416, 312, r(0, 0, 416, 312), image.Point{}}},
		{pre("letterbox", "", "", 416, 416, 0), 640, 480, Placement{416, 312, r(0, 0, 416, 312), image.Pt(0, 52)}},
		{pre("letterbox", "", "", 64, 64, 0), 1, 5000, Placement{1, 64, r(0, 0, 1, 64), image.Pt(31, 0)}},
		{pre("letterbox", "nearest", "", 640, 640, 0), 500, 333, Placement{640, 426, r(0, 0, 640, 426), image.Pt(0, 107)}},
	} {
		if got := Place(c.pre, c.w, c.h); got != c.want {
			t.Errorf("%s %s %d×%d: %+v, want %+v", c.pre.Resize, c.pre.Rounding, c.w, c.h, got, c.want)
		}
	}
	// A side that decides the scale is never a pixel short, whatever the size.
	for n := 1; n < 3000; n++ {
		if p := Place(pre("letterbox", "", "", 640, 640, 0), n, n/2+1); max(p.W, p.H) != 640 {
			t.Fatalf("%d×%d: %+v", n, n/2+1, p)
		}
	}
}

func TestLetterboxAndBGR(t *testing.T) {
	pre, _ := vision.Preset("yolox")
	p, err := Eval(pre.Normalised(20, 20))
	if err != nil {
		t.Fatal(err)
	}
	im := vision.NewImage(40, 20)
	im.Fill(10, 20, 30)
	x := make([]float32, p.Len())
	if err := p.NewWorker().Apply(x, im, Key{}); err != nil {
		t.Fatal(err)
	}
	for y := range 20 {
		want := [3]float32{30, 20, 10}
		if y >= 10 {
			want = [3]float32{114, 114, 114}
		}
		if got := [3]float32(x[3*(y*20+7):]); got != want {
			t.Fatalf("row %d: %v, want %v", y, got, want)
		}
	}
}

func TestExtremeShapes(t *testing.T) {
	for _, a := range []Augment{{}, DefaultAugment(), everything()} {
		w := small(t, a).NewWorker()
		x := make([]float32, 32*40*3)
		for _, s := range [][2]int{{1, 1}, {1, 5000}, {5000, 1}, {2, 3}} {
			for e := range 5 {
				if err := w.Apply(x, picture(s[0], s[1]), Key{Epoch: e}); err != nil {
					t.Errorf("%v: %v", s, err)
				}
			}
		}
		if err := w.Apply(x[:5], picture(4, 4), Key{}); err == nil {
			t.Error("a slice of the wrong length should be an error")
		}
		if err := w.Apply(x, &vision.Image{W: 3, H: 3}, Key{}); err == nil {
			t.Error("an image without pixels should be an error")
		}
	}
}

func TestRandomResizedCrop(t *testing.T) {
	s := newSource()
	const w, h, n = 200, 150, 4000
	areas, corners := 0.0, 0
	for i := range n {
		s.seed(streamImage, Key{Image: i})
		r := randomResizedCrop(s.Rand, w, h, [2]float64{.5, 1}, [2]float64{.75, 4. / 3})
		if !r.In(image.Rect(0, 0, w, h)) || r.Empty() {
			t.Fatalf("%v is outside", r)
		}
		area, ratio := float64(r.Dx()*r.Dy())/(w*h), float64(r.Dx())/float64(r.Dy())
		if area < .49 || area > 1 || ratio < .74 || ratio > 1.35 {
			t.Fatalf("%v: area %.3f, ratio %.3f", r, area, ratio)
		}
		areas += area
		if r.Min.X == 0 || r.Max.X == w {
			corners++
		}
	}
	// Large regions that do not fit are drawn again, so the mean is below .75.
	if mean := areas / n; mean < .62 || mean > .75 {
		t.Errorf("mean area %.3f", mean)
	}
	if corners == 0 || corners == n {
		t.Errorf("%d of %d touch a side", corners, n)
	}
	// A strip never fits the ratio: the largest centred region that does.
	if r := randomResizedCrop(s.Rand, 1000, 30, [2]float64{.9, 1}, [2]float64{.75, 4. / 3}); r != image.Rect(480, 0, 520, 30) {
		t.Errorf("strip: %v", r)
	}
	if r := randomResizedCrop(s.Rand, 30, 1000, [2]float64{.9, 1}, [2]float64{.75, 4. / 3}); r != image.Rect(0, 480, 30, 520) {
		t.Errorf("strip: %v", r)
	}
}

func TestFlips(t *testing.T) {
	for _, s := range [][2]int{{7, 5}, {8, 4}, {1, 3}, {3, 1}} {
		im := picture(s[0], s[1])
		a, b := im.Clone(), im.Clone()
		FlipH(a)
		FlipV(b)
		for y := range im.H {
			for x := range im.W {
				for c := range 3 {
					v := im.Pix[3*(y*im.W+x)+c]
					if a.Pix[3*(y*im.W+im.W-1-x)+c] != v || b.Pix[3*((im.H-1-y)*im.W+x)+c] != v {
						t.Fatalf("%v: pixel %d,%d", s, x, y)
					}
				}
			}
		}
	}
}

// 90 degrees counter-clockwise: what stood right is on top.
func TestRotation(t *testing.T) {
	im := picture(21, 21)
	out, scratch := im.Clone(), vision.Image{}
	if err := warp(out, &scratch, rotation(21, 21, 90), false, cv.Constant, 0); err != nil {
		t.Fatal(err)
	}
	for y := range 21 {
		for x := range 21 {
			a, b, c := out.At(x, y)
			d, e, f := im.At(20-y, x)
			if a != d || b != e || c != f {
				t.Fatalf("pixel %d,%d", x, y)
			}
		}
	}
}

func TestRandAugmentIsTorchvisions(t *testing.T) {
	want := []string{"identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness", "posterize", "solarize", "auto_contrast", "equalize"}
	var got []string
	for _, op := range randAugmentOps {
		got = append(got, op.name)
		a, b, s := picture(60, 44), picture(60, 44), vision.Image{}
		if err := op.apply(a, &s, .5); err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(a.Pix, b.Pix); same != (op.name == "identity" || op.name == "auto_contrast") {
			t.Errorf("%s: unchanged is %v", op.name, same)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("operations %v", got)
	}
	// The picture moves right by ⌊150/331·60·½⌋ = 13 pixels.
	im, s := picture(60, 44), vision.Image{}
	if err := randAugmentOps[3].apply(im, &s, .5); err != nil {
		t.Fatal(err)
	}
	for y := range 44 {
		for x := range 60 {
			var want [3]uint8
			if x >= 13 {
				want[0], want[1], want[2] = picture(60, 44).At(x-13, y)
			}
			if r, g, b := im.At(x, y); [3]uint8{r, g, b} != want {
				t.Fatalf("translate: pixel %d,%d is %d %d %d, want %v", x, y, r, g, b, want)
			}
		}
	}
}

func TestKeysDecideAlone(t *testing.T) {
	p := small(t, everything())
	im := picture(90, 70)
	draw := func(w *Worker, k Key) []float32 {
		x := make([]float32, p.Len())
		if err := w.Apply(x, im, k); err != nil {
			t.Fatal(err)
		}
		return x
	}
	k := Key{Seed: 3, Epoch: 2, Image: 11}
	a := p.NewWorker()
	first := draw(a, k)
	b := p.NewWorker()
	for i := range 5 {
		draw(b, Key{Image: i})
	}
	if !slices.Equal(first, draw(b, k)) {
		t.Error("what a worker drew before changed the result")
	}
	for _, other := range []Key{{4, 2, 11, 0}, {3, 3, 11, 0}, {3, 2, 12, 0}, {3, 2, 11, 1}, {2, 3, 11, 0}} {
		if slices.Equal(first, draw(b, other)) {
			t.Errorf("%+v gives the picture of %+v", other, k)
		}
	}
	if !bytes.Equal(im.Pix, picture(90, 70).Pix) {
		t.Error("the image itself was changed")
	}
}

func TestErase(t *testing.T) {
	s := newSource()
	for i := range 500 {
		s.seed(streamImage, Key{Image: i})
		x := make([]float32, 3*40*50)
		for j := range x {
			x[j] = 1
		}
		erase(s.Rand, x, 40, 50)
		box, n := image.Rectangle{}, 0
		for y := range 40 {
			for xx := range 50 {
				if x[3*(y*50+xx)] == 0 {
					box = box.Union(image.Rect(xx, y, xx+1, y+1))
					n++
				}
			}
		}
		if share := float64(n) / 2000; n != box.Dx()*box.Dy() || share < .017 || share > .35 {
			t.Fatalf("%d pixels in %v, share %.3f", n, box, share)
		}
	}
}

func TestMix(t *testing.T) {
	const n, h, w = 4, 12, 10
	before := make([]float32, n*h*w*3)
	for i := range before {
		before[i] = float32(i / (h * w * 3)) // picture i is all i
	}
	seen := map[string]int{}
	for batch := range 40 {
		x := slices.Clone(before)
		lambda := Mix{MixUp: .8, CutMix: 1, Prob: .8}.Apply(x, n, h, w, 5, 1, batch)
		again := slices.Clone(before)
		if l := (Mix{MixUp: .8, CutMix: 1, Prob: .8}).Apply(again, n, h, w, 5, 1, batch); l != lambda || !slices.Equal(x, again) {
			t.Fatal("the same batch was mixed otherwise")
		}
		if lambda == 1 {
			seen["none"]++
			if !slices.Equal(x, before) {
				t.Fatal("λ is 1 and the batch changed")
			}
			continue
		}
		whole := true
		for i := range n {
			self, other := float64(i), float64((i+n-1)%n)
			sum := 0.0
			for _, v := range x[i*h*w*3 : (i+1)*h*w*3] {
				sum += float64(v)
				whole = whole && (float64(v) == self || float64(v) == other)
			}
			want := lambda*self + (1-lambda)*other
			if got := sum / (h * w * 3); math.Abs(got-want) > 1e-5 {
				t.Fatalf("batch %d, picture %d: mean %.6f, λ %.4f asks for %.6f", batch, i, got, lambda, want)
			}
		}
		if whole {
			seen["cutmix"]++
		} else {
			seen["mixup"]++
		}
	}
	if seen["none"] == 0 || seen["mixup"] < 5 || seen["cutmix"] < 5 {
		t.Errorf("drawn: %v", seen)
	}
	targets := make([]float32, 3*2)
	Targets(targets, []int64{0, 1, 1}, 2, .75)
	if !slices.Equal(targets, []float32{.75, .25, .25, .75, 0, 1}) {
		t.Errorf("targets %v", targets)
	}
	if (Mix{Prob: 1}).Enabled() || (Mix{MixUp: 1}).Enabled() {
		t.Error("enabled without α or probability")
	}
}

func TestOrders(t *testing.T) {
	a, b := Order(1, 2, 50), Order(1, 3, 50)
	if slices.Equal(a, b) || !slices.Equal(a, Order(1, 2, 50)) {
		t.Error("the order should depend on the epoch, and on nothing else")
	}
	slices.Sort(a)
	for i, v := range a {
		if i != v {
			t.Fatal("not a permutation")
		}
	}
	classes := make([]int, 100)
	for i := 90; i < 97; i++ {
		classes[i] = 1
	}
	classes[97], classes[98], classes[99] = 2, 2, -1
	count, per := map[int]int{}, map[int]int{}
	for _, i := range Balanced(1, 0, 99, classes) {
		count[classes[i]]++
		per[i]++
	}
	if count[0] != 33 || count[1] != 33 || count[2] != 33 || count[-1] != 0 {
		t.Errorf("classes were drawn %v", count)
	}
	for i := 90; i < 97; i++ {
		if per[i] < 4 || per[i] > 5 {
			t.Errorf("image %d was drawn %d times of 33/7", i, per[i])
		}
	}
	if Balanced(1, 0, 5, []int{-1, -1}) != nil {
		t.Error("nothing to draw from")
	}
}

func TestValidateAugment(t *testing.T) {
	if err := errJoin(DefaultAugment().Validate(), everything().Validate(), Augment{}.Validate(), Mix{}.Validate()); err != nil {
		t.Error(err)
	}
	err := Augment{Scale: [2]float64{.9, .5}, Ratio: [2]float64{0, 1}, HFlip: 2, Hue: .6, Rotation: math.NaN(), RandAugmentMagnitude: 31, Erasing: -1}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"scale", "ratio", "hflip is 2", "hue is 0.6", "rotation is NaN", "magnitude is 31", "erasing is -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if (Augment{RandAugmentMagnitude: 9}).Varies() || !DefaultAugment().Varies() {
		t.Error("Varies")
	}
	if (Mix{Prob: 2}).Validate() == nil || (Mix{MixUp: -1}).Validate() == nil {
		t.Error("mix")
	}
}

func errJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestApplyAllocatesNothing(t *testing.T) {
	w := small(t, DefaultAugment()).NewWorker()
	x, im, i := make([]float32, 32*40*3), picture(90, 70), 0
	apply := func() {
		i++
		if err := w.Apply(x, im, Key{Image: i % 9}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		apply()
	}
	if n := testing.AllocsPerRun(50, apply); n > 0 {
		t.Errorf("%v allocations per image", n)
	}
}

func TestDenormaliseInvertsApply(t *testing.T) {
	for _, name := range []string{"imagenet", "caffe"} {
		pre, _ := vision.Preset(name)
		p, err := Eval(pre.Normalised(30, 24))
		if err != nil {
			t.Fatal(err)
		}
		w := p.NewWorker()
		x := make([]float32, p.Len())
		if err := w.Apply(x, picture(100, 80), Key{}); err != nil {
			t.Fatal(err)
		}
		var got vision.Image
		Denormalise(&got, x, p.Preprocess())
		if !bytes.Equal(got.Pix, w.out.Pix) {
			t.Errorf("%s: the picture did not come back", name)
		}
	}
}

func TestSheet(t *testing.T) {
	pre, _ := vision.Preset("imagenet")
	im, err := Sheet(picture(120, 90), picture(80, 90), pre.Normalised(96, 96), DefaultAugment(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if kinds := 14 + 13; im.W != 8*166+6 || im.H < kinds/2*166 {
		t.Errorf("%d×%d", im.W, im.H)
	}
}
