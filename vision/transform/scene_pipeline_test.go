package transform

import (
	"bytes"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

func TestScenesEvaluateAsPipelinesDo(t *testing.T) {
	for _, name := range vision.PresetNames() {
		pre, _ := vision.Preset(name)
		for _, size := range [][2]int{{48, 64}, {64, 64}} {
			pre := pre.Normalised(size[0], size[1])
			p, err := Eval(pre)
			if err != nil {
				t.Fatal(err)
			}
			q, err := EvalScenes(pre)
			if err != nil {
				t.Fatal(err)
			}
			w, sw := p.NewWorker(), q.NewWorker()
			want, got := make([]float32, p.Len()), make([]float32, q.Len())
			for _, s := range [][2]int{{90, 70}, {70, 90}, {64, 48}, {31, 200}, {1, 500}, {500, 1}, {1, 1}} {
				im := picture(s[0], s[1])
				if err := w.Apply(want, im, Key{}); err != nil {
					t.Fatal(err)
				}
				if _, err := sw.Apply(SceneSlot{X: got}, Scene{Image: im}, Key{Epoch: 3}, Others{}); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, image of %v: the pixels differ", name, s)
				}
				place := Place(pre, im.W, im.H)
				o := vision.Object{Box: vision.XYWH(0, 0, float64(im.W), float64(im.H))}
				if _, err := sw.Apply(SceneSlot{X: got}, Scene{Image: im, Objects: []vision.Object{o}}, Key{}, Others{}); err != nil {
					t.Fatal(err)
				}
				for _, moved := range sw.Objects() {
					b := place.ToInput(o.Box, im.W, im.H).Clip(float64(size[1]), float64(size[0]))
					if apart(moved.Box, b) > 1e-9 {
						t.Errorf("%s, image of %v: box %v, placed %v", name, s, moved.Box, b)
					}
				}
			}
		}
	}
}

// A mask of classes takes the pixel that nearest interpolation takes.
func TestSceneMaskIsNearest(t *testing.T) {
	pre := raw(vision.ResizeLetterbox, 40, 60)
	pre.Interpolation, pre.Pad = vision.Nearest, Void
	for _, a := range []SceneAugment{{}, {FlipLR: 1}, {FlipUD: 1}} {
		for _, size := range [][2]int{{131, 97}, {50, 170}, {13, 7}} {
			im := picture(size[0], size[1])
			m := &Mask{W: im.W, H: im.H}
			for i := 0; i < len(im.Pix); i += 3 {
				m.Pix = append(m.Pix, im.Pix[i])
			}
			w := scenes(t, pre, a).NewWorker()
			to := SceneSlot{X: make([]float32, 3*40*60), Mask: make([]uint8, 40*60)}
			if _, err := w.Apply(to, Scene{Image: im, Mask: m}, Key{}, Others{}); err != nil {
				t.Fatal(err)
			}
			for i, c := range to.Mask {
				if float32(c) != to.X[3*i] {
					t.Fatalf("%v, image of %v, pixel %d: class %d, colour %v", a, size, i, c, to.X[3*i])
				}
			}
		}
	}
}

// plain is an image of one colour that is one object.
func plain(class, w, h int) Scene {
	im := vision.NewImage(w, h)
	im.Fill(uint8(50*class+50), 0, uint8(200-50*class))
	b := vision.XYWH(0, 0, float64(w), float64(h))
	return Scene{Image: im, Objects: []vision.Object{{Class: class, Box: b, Area: b.Area()}}, Mask: &Mask{w, h, bytes.Repeat([]byte{uint8(class)}, w*h)}}
}

func fetch(list []Scene) Others {
	return Others{N: len(list), Fetch: func(i int) (Scene, error) { return list[i], nil }}
}

// Four images of one colour each: every box is the box around its colour, the
// fields meet without a seam, and nothing but the four colours and padding is
// there.
func TestMosaic(t *testing.T) {
	const h, w = 80, 100
	for name, a := range map[string]SceneAugment{
		"straight": {Mosaic: 1, Scale: .5, Translate: .2, FlipLR: .5, FlipUD: .5},
		"turned":   {Mosaic: 1, Degrees: 30, Shear: 10, FlipLR: .5, FlipUD: .5},
	} {
		list := []Scene{plain(0, 100, 80), plain(1, 70, 200), plain(2, 333, 100), plain(3, 64, 64)}
		sw := scenes(t, raw(vision.ResizeLetterbox, h, w), a).NewWorker()
		to := SceneSlot{X: make([]float32, 3*h*w), Boxes: make([]float32, 5*8), Mask: make([]uint8, h*w)}
		full, seams := 0, 0
		for i := range 60 {
			drawn := map[int]int{}
			others := Others{N: 4, Fetch: func(i int) (Scene, error) { drawn[i]++; return list[i], nil }}
			if _, err := sw.Apply(to, list[i%4], Key{Image: i}, others); err != nil {
				t.Fatal(err)
			}
			drawn[i%4]++
			if len(sw.Objects()) > 4 {
				t.Fatal("more objects than fields")
			}
			for y := range h {
				for x := range w {
					i := y*w + x
					c := to.Mask[i]
					want := [3]float32{50*float32(c) + 50, 0, 200 - 50*float32(c)}
					if c == Void {
						want = [3]float32{}
						if x > 0 && y > 0 && x < w-1 && y < h-1 && to.Mask[i-1] != Void && to.Mask[i+1] != Void && to.Mask[i-w] != Void && to.Mask[i+w] != Void {
							seams++
						}
					}
					if got := [3]float32(to.X[3*i:]); got != want {
						t.Fatalf("%s %d, pixel %d,%d of class %d: %v, want %v", name, i, x, y, c, got, want)
					}
				}
			}
			if len(sw.Objects()) == 4 {
				full++
			}
			for _, o := range sw.Objects() {
				b := o.Box
				if b.X1 < 0 || b.Y1 < 0 || b.X2 > w || b.Y2 > h || b.X2-b.X1 < 2 || b.Y2-b.Y1 < 2 {
					t.Fatalf("box %v", b)
				}
				if drawn[o.Class] != 1 {
					continue // twice in the mosaic
				}
				seen, _ := lit(h, w, func(i int) bool { return int(to.Mask[i]) == o.Class })
				if beyond(seen, b) > .5 || beyond(b, seen) > 2 || name == "straight" && apart(b, seen) > 1e-9 {
					t.Fatalf("%s %d, class %d: box %v, pixels %v", name, i, o.Class, b, seen)
				}
			}
		}
		if full < 10 || seams > 0 {
			t.Errorf("%s: %d of 60 show all four fields, %d pixels are missing between them", name, full, seams)
		}
	}
}

func TestMosaicDoesWithoutBrokenImages(t *testing.T) {
	sw := scenes(t, raw(vision.ResizeLetterbox, 40, 40), SceneAugment{Mosaic: 1}).NewWorker()
	to := SceneSlot{X: make([]float32, 3*40*40), Mask: make([]uint8, 40*40)}
	list := []Scene{plain(0, 40, 40), {}, plain(2, 40, 40), {Image: &vision.Image{W: 3, H: 3}}}
	for i := range 20 {
		tried := 0
		others := Others{N: 4, Fetch: func(i int) (Scene, error) {
			if tried++; i == 1 {
				return Scene{}, errors.New("broken")
			}
			return list[i], nil
		}}
		if _, err := sw.Apply(to, list[0], Key{Image: i}, others); err != nil || tried < 3 {
			t.Fatalf("%v after %d tries", err, tried)
		}
		if n := bytes.Count(to.Mask, []byte{Void}); n > 0 {
			t.Fatalf("%d pixels are empty", n)
		}
	}
	bad := Others{N: 2, Fetch: func(int) (Scene, error) { return Scene{}, errors.New("broken") }}
	if _, err := sw.Apply(to, list[0], Key{}, bad); err != nil || len(sw.Objects()) != 1 {
		t.Errorf("with nothing else: %d objects (%v)", len(sw.Objects()), err)
	}
}

func TestSceneKeysDecideAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var list []Scene
	for range 9 {
		list = append(list, stars(t, r, 60+r.IntN(90), 60+r.IntN(90)))
	}
	before := list[3].Image.Clone()
	p := scenes(t, raw(vision.ResizeLetterbox, 64, 64), everyScene())
	const n = 3 * 64 * 64
	draw := func(w *SceneWorker, k Key) []float32 {
		x := make([]float32, n+5*12)
		if _, err := w.Apply(SceneSlot{X: x[:n], Boxes: x[n:]}, list[3], k, fetch(list)); err != nil {
			t.Fatal(err)
		}
		return x
	}
	same := 0
	for i := range 12 {
		k := Key{Seed: 3, Epoch: i, Image: 11}
		a := p.NewWorker()
		first := draw(a, k)
		b := p.NewWorker()
		b.Outlines = true
		for i := range 3 {
			draw(b, Key{Image: i})
		}
		b.Outlines = false
		if !slices.Equal(first, draw(b, k)) {
			t.Fatal("what a worker drew before changed the result")
		}
		for _, other := range []Key{{4, i, 11, 0}, {3, i + 20, 11, 0}, {3, i, 12, 0}, {3, i, 11, 1}} {
			if slices.Equal(first, draw(b, other)) {
				same++
			}
		}
	}
	if same > 0 {
		t.Errorf("%d other keys gave the same picture", same)
	}
	if !bytes.Equal(before.Pix, list[3].Image.Pix) {
		t.Error("the image itself was changed")
	}
}

func TestToImageInvertsToInput(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, resize := range []string{vision.ResizeLetterbox, vision.ResizeStretch, vision.ResizeShorter} {
		for _, align := range []string{"", vision.AlignTopLeft} {
			pre := raw(resize, 320, 416)
			pre.Align = align
			for range 100 {
				w, h := 1+r.IntN(2000), 1+r.IntN(2000)
				p := Place(pre, w, h)
				b := vision.XYWH(r.Float64()*float64(w), r.Float64()*float64(h), 0, 0)
				b.X2, b.Y2 = b.X1+r.Float64()*(float64(w)-b.X1), b.Y1+r.Float64()*(float64(h)-b.Y1)
				if got := p.ToImage(p.ToInput(b, w, h), w, h); apart(got, b) > 1e-7 {
					t.Fatalf("%s: %v came back as %v in %d×%d", resize, b, got, w, h)
				}
				// A box that reaches out of the picture is clipped.
				far := vision.Box{X1: -1e6, Y1: -1e6, X2: 1e6, Y2: 1e6}
				if got := p.ToImage(far, w, h); got != vision.XYWH(0, 0, float64(w), float64(h)) {
					t.Fatalf("%s: %v", resize, got)
				}
			}
		}
	}
	// 640×480 in 416×416: 416×312, 52 rows of padding above.
	p := Place(raw(vision.ResizeLetterbox, 416, 416), 640, 480)
	if got := p.ToInput(vision.Box{X1: 160, Y1: 120, X2: 320, Y2: 480}, 640, 480); apart(got, vision.Box{X1: 104, Y1: 130, X2: 208, Y2: 364}) > 1e-9 {
		t.Errorf("%v", got)
	}
	found := []vision.Detection{{Class: 1, Box: vision.Box{X1: 5, Y1: 5, X2: 40, Y2: 50}}, {Class: 2, Box: vision.Box{X1: 0, Y1: 0, X2: 104, Y2: 130}}}
	found = p.ToImages(found, 640, 480)
	if len(found) != 1 || found[0].Class != 2 || apart(found[0].Box, vision.Box{X2: 160, Y2: 120}) > 1e-9 {
		t.Errorf("%v", found)
	}
}

func TestSceneTargets(t *testing.T) {
	im := vision.NewImage(100, 100)
	box := func(class int, x, y, w, h float64) vision.Object {
		b := vision.XYWH(x, y, w, h)
		return vision.Object{Class: class, Box: b, Area: b.Area()}
	}
	crowd := box(9, 0, 0, 100, 100)
	crowd.Crowd = true
	s := Scene{Image: im, Objects: []vision.Object{box(0, 10, 10, 20, 10), crowd, box(1, 0, 0, 40, 40), box(2, 50, 50, 1.9, 20), box(3, 60, 60, 10, 10), box(4, 70, 70, 20, 10)}}
	sw := scenes(t, raw(vision.ResizeLetterbox, 100, 100), SceneAugment{}).NewWorker()
	x := make([]float32, 3*100*100)
	for _, c := range []struct {
		rows, left int
		want       []float32
	}{
		{6, 0, []float32{0, 20, 15, 20, 10, 1, 20, 20, 40, 40, 3, 65, 65, 10, 10, 4, 80, 75, 20, 10, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0}},
		{4, 0, []float32{0, 20, 15, 20, 10, 1, 20, 20, 40, 40, 3, 65, 65, 10, 10, 4, 80, 75, 20, 10}},
		// The largest in their order; of equals the first.
		{2, 2, []float32{0, 20, 15, 20, 10, 1, 20, 20, 40, 40}},
		{3, 1, []float32{0, 20, 15, 20, 10, 1, 20, 20, 40, 40, 4, 80, 75, 20, 10}},
		{0, 4, nil},
	} {
		slot := slices.Repeat([]float32{7}, 5*c.rows)
		left, err := sw.Apply(SceneSlot{X: x, Boxes: slot}, s, Key{}, Others{})
		if err != nil || left != c.left || !slices.Equal(slot, c.want) {
			t.Errorf("%d rows: %v, %d left (%v)", c.rows, slot, left, err)
		}
	}
	if n := len(sw.Objects()); n != 5 || !sw.Objects()[1].Crowd {
		t.Errorf("%d objects, crowds belong to them", n)
	}
	slot := make([]float32, 10)
	if _, err := sw.Apply(SceneSlot{X: x, Boxes: slot}, Scene{Image: im}, Key{}, Others{}); err != nil || slot[0] != -1 || slot[5] != -1 {
		t.Errorf("an image without objects: %v (%v)", slot, err)
	}
}

// A box of which a tenth is left is kept, less is dropped; objects by their
// polygon where there is one.
func TestSceneDropsWhatIsHardlySeen(t *testing.T) {
	im := vision.NewImage(200, 100) // the window is 50 to 150
	pre := raw(vision.ResizeShorter, 100, 100)
	pre.ResizeTo = 100
	sw := scenes(t, pre, SceneAugment{}).NewWorker()
	x := make([]float32, 3*100*100)
	for name, c := range map[string]struct {
		o    vision.Object
		want vision.Box
	}{
		"inside":    {vision.Object{Box: vision.XYWH(60, 10, 30, 30)}, vision.XYWH(10, 10, 30, 30)},
		"half":      {vision.Object{Box: vision.XYWH(40, 10, 20, 30)}, vision.XYWH(0, 10, 10, 30)},
		"11 %":      {vision.Object{Box: vision.XYWH(139, 10, 100, 30)}, vision.XYWH(89, 10, 11, 30)},
		"9 %":       {vision.Object{Box: vision.XYWH(141, 10, 100, 30)}, vision.Box{}},
		"1 pixel":   {vision.Object{Box: vision.XYWH(47, 10, 4, 30)}, vision.Box{}},
		"outside":   {vision.Object{Box: vision.XYWH(10, 10, 40, 30)}, vision.Box{}},
		"degraded":  {vision.Object{Box: vision.XYWH(60, 10, 0, 30)}, vision.Box{}},
		"no number": {vision.Object{Box: vision.XYWH(math.NaN(), 10, 4, 30)}, vision.Box{}},
		// An L of which only the foot is in the window.
		"foot": {vision.Object{Box: vision.XYWH(20, 10, 60, 60), Polygons: [][]float64{{20, 10, 40, 10, 40, 60, 80, 60, 80, 70, 20, 70}}}, vision.XYWH(0, 60, 30, 10)},
		// The box shows half, the object a twentieth.
		"tail": {vision.Object{Box: vision.XYWH(20, 10, 60, 60), Polygons: [][]float64{{20, 10, 50, 10, 50, 68, 80, 68, 80, 70, 20, 70}}}, vision.Box{}},
		// Polygons elsewhere than the box are not believed.
		"contradiction": {vision.Object{Box: vision.XYWH(40, 10, 20, 30), Polygons: [][]float64{{100, 50, 120, 50, 120, 80}}}, vision.XYWH(0, 10, 10, 30)},
	} {
		if _, err := sw.Apply(SceneSlot{X: x}, Scene{Image: im, Objects: []vision.Object{c.o}}, Key{}, Others{}); err != nil {
			t.Fatal(err)
		}
		var got vision.Box
		if len(sw.Objects()) > 0 {
			got = sw.Objects()[0].Box
		}
		if !(apart(got, c.want) < 1e-9) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// An image keeps at least one object where any of ten motions does.
func TestSceneMotionKeepsAnObject(t *testing.T) {
	im := vision.NewImage(100, 100)
	s := Scene{Image: im, Objects: []vision.Object{{Box: vision.XYWH(2, 2, 12, 12)}}}
	sw := scenes(t, raw(vision.ResizeLetterbox, 64, 64), SceneAugment{Translate: .4, Scale: .5}).NewWorker()
	x := make([]float32, 3*64*64)
	lost := 0
	for i := range 300 {
		if _, err := sw.Apply(SceneSlot{X: x}, s, Key{Image: i}, Others{}); err != nil {
			t.Fatal(err)
		}
		if len(sw.Objects()) == 0 {
			lost++
		}
	}
	if lost > 3 {
		t.Errorf("%d of 300 pictures lost their only object", lost)
	}
}

// Without a polygon the corners of the box are what turns.
func TestSceneBoxWithoutPolygonTurns(t *testing.T) {
	im := vision.NewImage(64, 64)
	o := vision.Object{Box: vision.XYWH(22, 27, 20, 10), Area: 200}
	sw := scenes(t, raw(vision.ResizeLetterbox, 64, 64), SceneAugment{Degrees: 90}).NewWorker()
	x := make([]float32, 3*64*64)
	for i := range 30 {
		if _, err := sw.Apply(SceneSlot{X: x}, Scene{Image: im, Objects: []vision.Object{o}}, Key{Image: i}, Others{}); err != nil || len(sw.Objects()) != 1 {
			t.Fatal(err)
		}
		// A box of 20×10 turned by φ has the sides 20c + 10s and 20s + 10c
		// about the same centre.
		b := sw.Objects()[0].Box
		w, h := b.X2-b.X1, b.Y2-b.Y1
		c, s := (2*w-h)/30, (2*h-w)/30
		if math.Abs(c*c+s*s-1) > 1e-9 || math.Abs(b.X1+b.X2-64) > 1e-9 || math.Abs(b.Y1+b.Y2-64) > 1e-9 || math.Abs(sw.Objects()[0].Area-200) > 1e-6 {
			t.Fatalf("%v", b)
		}
	}
}

func TestSceneMaskOfAnotherSize(t *testing.T) {
	sw := scenes(t, raw(vision.ResizeLetterbox, 16, 16), SceneAugment{}).NewWorker()
	sw.Outlines = true
	to := SceneSlot{X: make([]float32, 3*16*16)}
	r, err := mask.FrBox(vision.XYWH(1, 1, 5, 5), 20, 20)
	if err != nil {
		t.Fatal(err)
	}
	s := Scene{Image: vision.NewImage(30, 20), Objects: []vision.Object{{Box: vision.XYWH(1, 1, 9, 9), RLE: &r}}}
	if _, err := sw.Apply(to, s, Key{}, Others{}); err == nil || !strings.Contains(err.Error(), "a mask has 20×20") {
		t.Errorf("%v", err)
	}
	for _, bad := range []Scene{{}, {Image: &vision.Image{W: 2, H: 2}}, {Image: vision.NewImage(2, 2), Mask: &Mask{W: 2, H: 1}}} {
		if _, err := sw.Apply(to, bad, Key{}, Others{}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	good := Scene{Image: vision.NewImage(2, 2)}
	for _, to := range []SceneSlot{{}, {X: to.X, Boxes: make([]float32, 4)}, {X: to.X, Mask: make([]uint8, 3)}} {
		if _, err := sw.Apply(to, good, Key{}, Others{}); err == nil {
			t.Error("slices of the wrong length should be an error")
		}
	}
}

// hsv is the textbook's conversion, in degrees.
func hsv(r, g, b float64) (h, s, v float64) {
	v = max(r, g, b)
	c := v - min(r, g, b)
	if c == 0 {
		return 0, 0, v
	}
	switch v {
	case r:
		h = math.Mod((g-b)/c+6, 6)
	case g:
		h = (b-r)/c + 2
	default:
		h = (r-g)/c + 4
	}
	return 60 * h, c / v, v
}

func TestTint(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for range 30 {
		c := tint{float32(r.Float64() - .5), float32(.2 + 1.2*r.Float64()), float32(.3 + 1*r.Float64())}
		before := picture(30, 20)
		after := before.Clone()
		c.apply(after)
		for i := 0; i < len(before.Pix); i += 3 {
			p, q := before.Pix[i:i+3], after.Pix[i:i+3]
			h, s, v := hsv(float64(p[0]), float64(p[1]), float64(p[2]))
			h2, s2, v2 := hsv(float64(q[0]), float64(q[1]), float64(q[2]))
			wantV, wantS := min(v*float64(c.value), 255), min(s*float64(c.saturation), 1)
			if math.Abs(v2-wantV) > .51 {
				t.Fatalf("%+v: %v became %v: value %.2f, want %.2f", c, p, q, v2, wantV)
			}
			// Rounding moves the others by as much as a step is of their range.
			if math.Abs(s2-wantS) > 1.1/max(v2, 1) {
				t.Fatalf("%+v: %v became %v: saturation %.3f, want %.3f", c, p, q, s2, wantS)
			}
			if chroma := s2 * v2; chroma > 8 {
				d := math.Mod(h2-h-360*float64(c.hue)+720, 360)
				if d = min(d, 360-d); d > 60*1.1/chroma {
					t.Fatalf("%+v: %v became %v: hue %.1f from %.1f", c, p, q, h2, h)
				}
			}
		}
	}
	im := picture(30, 20)
	tint{0, 1, 1}.apply(im)
	if !bytes.Equal(im.Pix, picture(30, 20).Pix) {
		t.Error("factors of 1 should change nothing")
	}
}

// Colour varies within its range, over the whole range, and alone.
func TestSceneColor(t *testing.T) {
	im := vision.NewImage(8, 8)
	im.Fill(160, 80, 40)
	sw := scenes(t, raw(vision.ResizeStretch, 8, 8), SceneAugment{HSVV: .5}).NewWorker()
	x := make([]float32, 3*8*8)
	lo, hi := float32(255), float32(0)
	for i := range 200 {
		if _, err := sw.Apply(SceneSlot{X: x}, Scene{Image: im}, Key{Image: i}, Others{}); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(x[0]-2*x[1])) > 1.5 || math.Abs(float64(x[0]-4*x[2])) > 2.5 || !slices.Equal(x[:3], x[3*63:]) {
			t.Fatalf("%v", x[:3])
		}
		lo, hi = min(lo, x[0]), max(hi, x[0])
	}
	if lo < 80 || lo > 84 || hi < 236 || hi > 240 {
		t.Errorf("values from %v to %v, want 80 to 240", lo, hi)
	}
}

// Padding keeps its colour, whatever the tint and the motion.
func TestScenePaddingStays(t *testing.T) {
	pre, _ := vision.Preset("yolo")
	a := everyScene()
	sw := scenes(t, pre.Normalised(48, 48), a).NewWorker()
	to := SceneSlot{X: make([]float32, 3*48*48), Mask: make([]uint8, 48*48)}
	s := plain(1, 90, 30)
	padded := 0
	for i := range 40 {
		if _, err := sw.Apply(to, s, Key{Image: i}, fetch([]Scene{s})); err != nil {
			t.Fatal(err)
		}
		for i, c := range to.Mask {
			if c != Void {
				continue
			}
			// The mask's nearest pixel is chosen from the image itself, the
			// colour from the resized one: the border can differ by rounding.
			if x := to.X[3*i]; x == float32(114)/255 {
				padded++
			} else {
				padded -= 100
			}
		}
	}
	if padded < 1000 {
		t.Errorf("padded %d", padded)
	}
}

func TestSceneExtremeShapes(t *testing.T) {
	all := everyScene()
	all.Mosaic = .8
	for _, resize := range []string{vision.ResizeLetterbox, vision.ResizeStretch, vision.ResizeShorter} {
		for _, a := range []SceneAugment{{}, DefaultSceneAugment(), all} {
			sw := scenes(t, raw(resize, 32, 40), a).NewWorker()
			sw.Outlines = true
			to := SceneSlot{X: make([]float32, 3*32*40), Boxes: make([]float32, 15), Mask: make([]uint8, 32*40)}
			var list []Scene
			for _, s := range [][2]int{{1, 1}, {1, 5000}, {5000, 1}, {2, 3}} {
				list = append(list, plain(0, s[0], s[1]))
			}
			for i := range 40 {
				if _, err := sw.Apply(to, list[i%4], Key{Image: i}, fetch(list)); err != nil {
					t.Errorf("%s %v: %v", resize, a, err)
				}
			}
		}
	}
}

func TestSceneApplyAllocatesNoPicture(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	list := []Scene{stars(t, r, 90, 70), stars(t, r, 60, 80), stars(t, r, 100, 100)}
	others := fetch(list)
	for _, a := range []SceneAugment{DefaultSceneAugment(), everyScene()} {
		sw := scenes(t, raw(vision.ResizeLetterbox, 32, 40), a).NewWorker()
		to, i := SceneSlot{X: make([]float32, 32*40*3), Boxes: make([]float32, 20), Mask: make([]uint8, 32*40)}, 0
		apply := func() {
			i++
			if _, err := sw.Apply(to, list[i%3], Key{Image: i % 20}, others); err != nil {
				t.Fatal(err)
			}
		}
		for range 60 {
			apply()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 60 {
			apply()
		}
		runtime.ReadMemStats(&after)
		// OpenCV's headers take a few bytes for each warp; the smallest picture
		// here has 3840.
		if n := (after.TotalAlloc - before.TotalAlloc) / 60; n > 1500 {
			t.Errorf("%d bytes allocated per image", n)
		}
	}
}

func TestValidateSceneAugment(t *testing.T) {
	if err := errJoin(DefaultSceneAugment().Validate(), everyScene().Validate(), SceneAugment{}.Validate()); err != nil {
		t.Error(err)
	}
	err := SceneAugment{Mosaic: 2, Degrees: math.NaN(), Translate: -1, Scale: 1, Shear: 90, FlipLR: 1.5, FlipUD: -1, HSVH: .6, HSVS: 2, HSVV: 2}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"mosaic is 2", "degrees is NaN", "translate is -1", "scale is 1", "shear is 90", "fliplr is 1.5", "flipud is -1", "hsv_h is 0.6", "hsv_s is 2", "hsv_v is 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if (SceneAugment{}).Varies() || !DefaultSceneAugment().Varies() {
		t.Error("Varies")
	}
	if _, err := TrainScenes(vision.Preprocess{}, SceneAugment{}); err == nil {
		t.Error("a preprocessing that is wrong")
	}
}

func TestSceneSheet(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	var list []Scene
	for range 5 {
		list = append(list, stars(t, r, 300+r.IntN(200), 300+r.IntN(200)))
	}
	pre, _ := vision.Preset("yolo")
	im, err := SceneSheet(list, pre.Normalised(200, 200), DefaultSceneAugment(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if im.W != 8*206+6 || im.H < 7*206 {
		t.Errorf("%d×%d", im.W, im.H)
	}
	if _, err := SceneSheet(nil, pre, SceneAugment{}, 1); err == nil {
		t.Error("a sheet of nothing")
	}
	// VISLORA_PLOTS=folder writes it there, to be looked at.
	if dir := os.Getenv("VISLORA_PLOTS"); dir != "" {
		if err := cv.WriteFile(filepath.Join(dir, "scenes.png"), im); err != nil {
			t.Fatal(err)
		}
	}
}

// Every side of a box is drawn on the pixels that the box touches.
func TestDrawObjects(t *testing.T) {
	im := vision.NewImage(40, 30)
	if err := DrawObjects(im, []vision.Object{{Class: 1, Box: vision.Box{X1: 5, Y1: 6, X2: 20, Y2: 25}}, {Class: 8, Box: vision.XYWH(30, 30, 1, 1)}}); err != nil {
		t.Fatal(err)
	}
	b, n := lit(30, 40, func(i int) bool { return im.Pix[3*i+1] == cv.ClassColor(1).G })
	if b != (vision.Box{X1: 5, Y1: 6, X2: 20, Y2: 25}) || n != 2*15+2*17 {
		t.Errorf("%v, %d pixels", b, n)
	}
	if r, _, _ := im.At(12, 15); r != 0 || image.Pt(im.W, im.H) != image.Pt(40, 30) {
		t.Error("the inside was drawn on")
	}
}
