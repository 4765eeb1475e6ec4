package head_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/transform"
)

// One prototype of 1×2 cells of 4 pixels, −1 and 1, over an image of 2×8 pixels
// as it is: the probability is ½ between the centres, at x = 4. The box cuts pixel
// 7 off and the upper row.
//
//	. . . . . . . .
//	. . . . # # # .
//
// Down the columns that is 9 pixels outside, 1 in, 1 out, 1 in, 1 out, 1 in, 2
// out. A threshold of ¼·σ(−1) + ¾·σ(1) moves the border to x = 5 and leaves pixels
// 5 and 6.
func TestMaskByHand(t *testing.T) {
	m := head.MaskDecode{View: head.View{Map: [2]int{1, 2}, Input: [2]int{4, 8}}}
	m.Place = transform.Placement{W: 8, H: 2}
	box := vision.Box{X1: 1, Y1: 1, X2: 7.2, Y2: 2}
	got, err := m.Mask([]float32{-1, 1}, []float32{1}, box, 2, 8)
	if want := []uint32{9, 1, 1, 1, 1, 1, 2}; err != nil || !slices.Equal(got.Counts, want) || got.H != 2 || got.W != 8 {
		t.Errorf("counts %v, want %v (%v)", got, want, err)
	}
	m.Threshold = .25/(1+math.E) + .75/(1+1/math.E)
	got, err = m.Mask([]float32{-1, 1}, []float32{1}, box, 2, 8)
	if want := []uint32{11, 1, 1, 1, 2}; err != nil || !slices.Equal(got.Counts, want) {
		t.Errorf("counts %v, want %v (%v)", got, want, err)
	}
	m.Threshold = 0
	nan := math.NaN()
	for _, empty := range []vision.Box{{}, {X1: 3, X2: 2, Y1: 0, Y2: 2}, {X1: 20, X2: 30, Y2: 2}, {X1: nan, Y1: nan, X2: nan, Y2: nan}} {
		if got, err = m.Mask([]float32{1, 1}, []float32{1}, empty, 2, 8); err != nil || mask.Area(got) != 0 || mask.Check(got) != nil {
			t.Errorf("box %v: %v (%v)", empty, got, err)
		}
	}
	for _, bad := range []head.MaskDecode{{View: m.View, Threshold: 1}, {View: m.View, Threshold: -.1}, {}} {
		if _, err := bad.Mask([]float32{1, 1}, []float32{1}, box, 2, 8); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if _, err := m.Mask([]float32{1, 1, 1}, []float32{1}, box, 2, 8); err == nil {
		t.Error("3 values of prototypes of 2 cells are accepted")
	}
}

// Masks are what the definition gives for every pixel of the image, encoded as a
// whole, for every way into the input.
func TestMaskAgainstFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for _, pre := range []vision.Preprocess{
		{Size: [2]int{32, 48}, Resize: vision.ResizeStretch},
		{Size: [2]int{32, 48}, Resize: vision.ResizeLetterbox},
		{Size: [2]int{24, 24}, ResizeTo: 28},
	} {
		for range 40 {
			const k = 3
			h, w := 5+rng.IntN(60), 5+rng.IntN(60)
			m := head.MaskDecode{View: head.View{Map: [2]int{pre.Size[0] / 4, pre.Size[1] / 4}, Input: pre.Size, Place: transform.Place(pre, w, h)}}
			prototypes, coefficients := noise(rng, m.Map[0]*m.Map[1]*k), noise(rng, k)
			m.Threshold = 0.2 + 0.6*rng.Float64()
			probability := make([]float32, m.Map[0]*m.Map[1])
			for i := range probability {
				sum := 0.0
				for j, c := range coefficients {
					sum += float64(c) * float64(prototypes[i*k+j])
				}
				probability[i] = float32(1 / (1 + math.Exp(-sum)))
			}
			box := vision.XYWH(50*rng.Float64()-10, 40*rng.Float64()-10, 40*rng.Float64(), 40*rng.Float64())
			if rng.IntN(4) == 0 {
				box = vision.Box{X1: -1e3, Y1: -1e3, X2: 1e3, Y2: 1e3}
			}
			got, err := m.Mask(prototypes, coefficients, box, h, w)
			if err != nil {
				t.Fatal(err)
			}
			pixels, err := mask.Decode(got, mask.Rows)
			if err != nil {
				t.Fatal(err)
			}
			again, err := mask.Encode(pixels, h, w, mask.Rows)
			if err != nil || !slices.Equal(again.Counts, got.Counts) {
				t.Fatalf("counts %v are not canonical: %v (%v)", got.Counts, again.Counts, err)
			}
			p := m.Place
			for i, in := range pixels {
				y := (float64(i/w)+.5)*float64(p.H)/float64(h) - float64(p.Window.Min.Y) + float64(p.At.Y)
				x := (float64(i%w)+.5)*float64(p.W)/float64(w) - float64(p.Window.Min.X) + float64(p.At.X)
				likely := lookup(probability, m.Map[0], m.Map[1], 1, y/4, x/4, 0)
				inside := x >= box.X1 && x < box.X2 && y >= box.Y1 && y < box.Y2
				if want := inside && likely > m.Threshold; want != (in == 1) && math.Abs(likely-m.Threshold) > 1e-5 {
					t.Fatalf("%v, %d×%d, box %v: pixel %d, %d is %d; its probability is %v", pre.Resize, h, w, box, i%w, i/w, in, likely)
				}
			}
		}
	}
}

// Rows with coefficients decode to the same boxes, and each detection finds its
// own coefficients after suppression.
func TestDecodeCoefficients(t *testing.T) {
	plain, wide := []float32{}, []float32{}
	for a, object := range []float32{.9, .2, .95} {
		row := []float32{0, 0, 0, 0, object, .5, .9}
		plain = append(plain, row...)
		wide = append(append(wide, row...), float32(a), float32(10*a))
	}
	d := head.Decode{Classes: 2, Levels: decodeLevels, Conf: 0.3, MultiLabel: true}
	want := d.YOLOX(plain)
	d.Coefficients = 2
	found, cells := d.YOLOXCells(wide)
	if !slices.Equal(found, want) || !slices.Equal(d.YOLOX(wide), want) || !slices.Equal(cells, []int{0, 0, 2, 2}) {
		t.Fatalf("detections %v of cells %v, without coefficients %v", found, cells, want)
	}
	var got []float32
	for _, i := range (head.NMS{}).Keep(found) {
		got = append(got, d.MaskCoefficients(wide, cells[i])...)
	}
	// Class 1 of cell 2, class 1 of cell 0, then class 0 of each.
	if want := []float32{2, 20, 0, 0, 2, 20, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("coefficients %v, want %v", got, want)
	}
}
