package transform

import (
	"bytes"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// raw is a preprocessing whose input values are the pixels themselves, with
// black padding.
func raw(resize string, h, w int) vision.Preprocess {
	return vision.Preprocess{
		Std: [3]float64{1, 1, 1}, Range: 255, Channels: vision.RGB, Size: [2]int{h, w},
		Resize: resize, ResizeTo: max(h, w) * 8 / 7, Interpolation: vision.Bilinear,
	}
}

func scenes(t *testing.T, pre vision.Preprocess, a SceneAugment) *ScenePipeline {
	t.Helper()
	p, err := TrainScenes(pre, a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// everyScene is every augmentation at once.
func everyScene() SceneAugment {
	return SceneAugment{
		Mosaic: .5, Degrees: 30, Translate: .2, Scale: .5, Shear: 10, FlipLR: .5, FlipUD: .5,
		HSVH: .1, HSVS: .5, HSVV: .4,
	}
}

// star is a polygon, mostly not convex, without the thin tips that no pixel is
// more than half covered by.
func star(r *rand.Rand, cx, cy, size float64) []float64 {
	var p []float64
	n := 6 + r.IntN(6)
	for i := range n {
		s, c := math.Sincos(2 * math.Pi * (float64(i) + .4*r.Float64()) / float64(n))
		d := size * (.7 + .3*r.Float64())
		p = append(p, cx+c*d, cy+s*d)
	}
	return p
}

func bounds(p []float64) vision.Box {
	b := vision.Box{X1: p[0], Y1: p[1], X2: p[0], Y2: p[1]}
	for i := 0; i < len(p); i += 2 {
		b = include(b, p[i], p[i+1], scaling(1, 1))
	}
	return b
}

// stars is an image with three stars, each alone in its colour channel, which
// is its class; the mask has the class of the first one that covers a pixel.
func stars(t *testing.T, r *rand.Rand, w, h int) Scene {
	t.Helper()
	s := Scene{Image: vision.NewImage(w, h), Mask: &Mask{W: w, H: h, Pix: bytes.Repeat([]byte{9}, w*h)}}
	for c := range 3 {
		size := (.12 + .2*r.Float64()) * float64(min(w, h))
		p := star(r, size+r.Float64()*(float64(w)-2*size), size+r.Float64()*(float64(h)-2*size), size)
		rle, err := mask.FrPolygon(p, h, w)
		if err != nil {
			t.Fatal(err)
		}
		bits, err := mask.Decode(rle, mask.Rows)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range bits {
			s.Image.Pix[3*i+c] = 255 * b
			if b != 0 && s.Mask.Pix[i] == 9 {
				s.Mask.Pix[i] = uint8(c)
			}
		}
		s.Objects = append(s.Objects, vision.Object{Class: c, Box: bounds(p), Polygons: [][]float64{p}, RLE: &rle, Area: float64(mask.Area(rle))})
	}
	return s
}

// lit is the box around the values of a channel that f holds for.
func lit(h, w int, f func(i int) bool) (b vision.Box, n int) {
	var r image.Rectangle
	for y := range h {
		for x := range w {
			if f(y*w + x) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
				n++
			}
		}
	}
	return vision.Box{X1: float64(r.Min.X), Y1: float64(r.Min.Y), X2: float64(r.Max.X), Y2: float64(r.Max.Y)}, n
}

// apart is the largest distance between the sides of two boxes.
func apart(a, b vision.Box) float64 {
	return max(math.Abs(a.X1-b.X1), math.Abs(a.Y1-b.Y1), math.Abs(a.X2-b.X2), math.Abs(a.Y2-b.Y2))
}

// beyond is how far a reaches out of b.
func beyond(a, b vision.Box) float64 { return max(b.X1-a.X1, b.Y1-a.Y1, a.X2-b.X2, a.Y2-b.Y2) }

// Boxes, polygons and masks go where the pixels go: the box that comes out is
// the box around the pixels of its object, within a pixel, and what is dropped
// shows less than a tenth of its pixels.
func TestSceneObjectsFollowTheirPixels(t *testing.T) {
	for name, a := range map[string]SceneAugment{
		"none":     {},
		"flips":    {FlipLR: .5, FlipUD: .5},
		"scale":    {Scale: .6},
		"crop":     {Scale: .8, Translate: .5},
		"rotation": {Degrees: 180},
		"shear":    {Shear: 20},
		"all":      {Degrees: 45, Translate: .3, Scale: .6, Shear: 15, FlipLR: .5, FlipUD: .5},
		"no flips": {Degrees: 20, Translate: .4, Scale: .4, Shear: 10},
	} {
		for _, resize := range []string{vision.ResizeLetterbox, vision.ResizeStretch, vision.ResizeShorter} {
			t.Run(name+" "+resize, func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, 1))
				const h, w = 96, 128
				plain, outlined := scenes(t, raw(resize, h, w), a).NewWorker(), scenes(t, raw(resize, h, w), a).NewWorker()
				outlined.Outlines = true
				to := SceneSlot{X: make([]float32, 3*h*w), Boxes: make([]float32, 5*3), Mask: make([]uint8, h*w)}
				kept, lost, cut := 0, 0, 0
				worst := [4]float64{}
				for i := range 14 {
					s := stars(t, r, 300+r.IntN(300), 300+r.IntN(300))
					if _, err := outlined.Apply(to, s, Key{Image: i}, Others{}); err != nil {
						t.Fatal(err)
					}
					if _, err := plain.Apply(to, s, Key{Image: i}, Others{}); err != nil {
						t.Fatal(err)
					}
					for c := range 3 {
						find := func(o vision.Object) bool { return o.Class == c }
						at := slices.IndexFunc(plain.Objects(), find)
						seen, n := lit(h, w, func(i int) bool { return to.X[3*i+c] > 127 })
						if at < 0 {
							lost++
							p := Place(raw(resize, h, w), s.Image.W, s.Image.H)
							most := float64(p.W*p.H) / float64(s.Image.W*s.Image.H) * (1 + a.Scale) * (1 + a.Scale)
							if float64(n) > .11*most*s.Objects[c].Area+4 {
								t.Fatalf("image %d, class %d: dropped although %d pixels show", i, c, n)
							}
							continue
						}
						kept++
						o := plain.Objects()[at]
						if o.Polygons != nil || o.RLE != nil {
							t.Fatal("outlines were not asked for")
						}
						if o.Box.X1 == 0 || o.Box.Y1 == 0 || o.Box.X2 == w || o.Box.Y2 == h {
							cut++
						}
						row := to.Boxes[5*at:][:5]
						if want := [5]float32{float32(c), float32(o.Box.X1+o.Box.X2) / 2, float32(o.Box.Y1+o.Box.Y2) / 2, float32(o.Box.X2 - o.Box.X1), float32(o.Box.Y2 - o.Box.Y1)}; !near([5]float32(row), want) {
							t.Fatalf("row %v, want %v", row, want)
						}
						// What is mostly covered lies in the box, and the box ends
						// where something is covered: acute corners cover little.
						touched, _ := lit(h, w, func(i int) bool { return to.X[3*i+c] > 12 })
						worst[0] = max(worst[0], beyond(seen, o.Box), beyond(o.Box, touched))
						// The polygon and the mask that moved along.
						j := slices.IndexFunc(outlined.Objects(), find)
						if j < 0 {
							if o.Box.X2-o.Box.X1 > 3 && o.Box.Y2-o.Box.Y1 > 3 {
								t.Fatalf("image %d, class %d: kept only without outlines", i, c)
							}
							continue
						}
						q := outlined.Objects()[j]
						drawn, err := mask.FromPolygons(q.Polygons, h, w)
						if err != nil {
							t.Fatal(err)
						}
						around, _ := mask.ToBox(drawn)
						worst[1] = max(worst[1], apart(around, seen))
						around, _ = mask.ToBox(*q.RLE)
						worst[2] = max(worst[2], apart(around, seen))
						if n := float64(n); math.Abs(float64(mask.Area(*q.RLE))-n) > 3*math.Sqrt(n)+6 || math.Abs(float64(mask.Area(drawn))-n) > 3*math.Sqrt(n)+6 || math.Abs(o.Area-n) > 3*math.Sqrt(n)+6 {
							t.Fatalf("image %d, class %d: %v pixels show, the mask has %d, the polygon %d, the area is %.1f", i, c, n, mask.Area(*q.RLE), mask.Area(drawn), o.Area)
						}
					}
					// The mask of classes: where a class stands its channel is lit.
					wrong := 0
					for i, c := range to.Mask {
						x := to.X[3*i:][:3]
						switch {
						case c == Void || c == 9:
							if max(x[0], x[1], x[2]) > 200 {
								wrong++
							}
						case x[c] < 55:
							wrong++
						}
					}
					worst[3] = max(worst[3], float64(wrong))
				}
				if worst[0] > .75 || worst[1] > 1 || worst[2] > 1 || worst[3] > 8 {
					t.Errorf("boxes are %.2f, polygons %.2f, masks %.2f pixels from the pixels; %v classes are wrong", worst[0], worst[1], worst[2], worst[3])
				}
				if kept < 28 || (name == "crop" && cut < 8) {
					t.Errorf("%d kept, %d lost, %d cut: the test is weak", kept, lost, cut)
				}
			})
		}
	}
}

func near(a, b [5]float32) bool {
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-3 {
			return false
		}
	}
	return true
}
