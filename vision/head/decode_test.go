package head_test

import (
	"math"
	"testing"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
)

func near(a, b vision.Detection) bool {
	d := func(x, y float64) bool { return math.Abs(x-y) < 1e-4 }
	return a.Class == b.Class && d(a.Score, b.Score) && d(a.Box.X1, b.Box.X1) && d(a.Box.Y1, b.Box.Y1) && d(a.Box.X2, b.Box.X2) && d(a.Box.Y2, b.Box.Y2)
}

func expect(t *testing.T, what string, got []vision.Detection, want ...vision.Detection) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range got {
		if !near(got[i], want[i]) {
			t.Errorf("%s: detection %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// decodeLevels has a cell (0, 0) of 16 pixels, then (1, 0) of 8 in place 2.
var decodeLevels = []head.Level{{H: 1, W: 1, Stride: 16}, {H: 1, W: 2, Stride: 8}}

func TestDecodeYOLOX(t *testing.T) {
	ln2, nan := float32(math.Ln2), float32(math.NaN())
	out := []float32{
		0.5, 0.25, 0, ln2, 0.8, 0.5, 0.9,
		nan, 0, 0, 0, 1, 1, 1,
		0.25, 1, ln2, 0, 0.5, 0.9, 0.5,
	}
	// Cell 0: centre 8, 4, size 16×32. Cell 2: centre 10, 8, size 16×8.
	first, last := vision.Box{X1: 0, Y1: -12, X2: 16, Y2: 20}, vision.Box{X1: 2, Y1: 4, X2: 18, Y2: 12}
	d := head.Decode{Classes: 2, Levels: decodeLevels, Conf: 0.3}
	expect(t, "best class", d.YOLOX(out), vision.Detection{Class: 1, Score: .72, Box: first}, vision.Detection{Score: .45, Box: last})
	d.MultiLabel = true
	expect(t, "every class", d.YOLOX(out), vision.Detection{Score: .4, Box: first}, vision.Detection{Class: 1, Score: .72, Box: first}, vision.Detection{Score: .45, Box: last})
	d.MultiLabel, d.Conf = false, 0.5
	expect(t, "above 0.5", d.YOLOX(out), vision.Detection{Class: 1, Score: .72, Box: first})
	d.Sigmoid = true
	for i := range out {
		if j := i % 7; j >= 4 {
			out[i] = float32(math.Log(float64(out[i]) / (1 - float64(out[i]))))
		}
	}
	expect(t, "logits", d.YOLOX(out), vision.Detection{Class: 1, Score: .72, Box: first})
}

func TestDecodeGFL(t *testing.T) {
	row := func(scores []float32, side ...float64) []float32 {
		for _, s := range side { // between two bins: p and 1 − p
			bins := make([]float32, 8)
			for i := range bins {
				bins[i] = -200
			}
			low := int(s)
			bins[low] = float32(math.Log(1 - (s - float64(low)) + 1e-30))
			if low < 7 {
				bins[low+1] = float32(math.Log(s - float64(low) + 1e-30))
			}
			scores = append(scores, bins...)
		}
		return scores
	}
	out := append(row([]float32{.2, .1}, 1, 1, 1, 1), row([]float32{.1, .1}, 1, 1, 1, 1)...)
	out = append(out, row([]float32{.3, .6}, 0.5, 1.25, 3, 7)...)
	d := head.Decode{Classes: 2, Levels: decodeLevels, Conf: 0.25}
	// Centre of cell 2: 12, 4.
	expect(t, "centre", d.GFL(out, 8, 0.5), vision.Detection{Class: 1, Score: .6, Box: vision.Box{X1: 8, Y1: -6, X2: 36, Y2: 60}})
	expect(t, "corner", d.GFL(out, 8, 0), vision.Detection{Class: 1, Score: .6, Box: vision.Box{X1: 4, Y1: -10, X2: 32, Y2: 56}})
	even := append([]float32{1}, make([]float32, 32)...) // a flat distribution is 3.5
	d = head.Decode{Classes: 1, Levels: []head.Level{{H: 1, W: 1, Stride: 8}}}
	expect(t, "flat", d.GFL(even, 8, 0.5), vision.Detection{Score: 1, Box: vision.Box{X1: -24, Y1: -24, X2: 32, Y2: 32}})
}

func TestDecodeYOLOv8(t *testing.T) {
	out := []float32{ // 3 cells, 2 classes
		10, 20, 30,
		10, 20, 30,
		4, 6, 8,
		8, 6, 4,
		.1, .7, .2,
		.9, .2, .2,
	}
	expect(t, "YOLOv8", head.Decode{Classes: 2, Conf: .25}.YOLOv8(out),
		vision.Detection{Class: 1, Score: .9, Box: vision.Box{X1: 8, Y1: 6, X2: 12, Y2: 14}},
		vision.Detection{Class: 0, Score: .7, Box: vision.Box{X1: 17, Y1: 17, X2: 23, Y2: 23}})
}

func TestDecodeYOLOv5(t *testing.T) {
	logit := func(p float64) float32 { return float32(math.Log(p / (1 - p))) }
	row := func(values ...float64) (out []float32) {
		for _, p := range values {
			out = append(out, logit(p))
		}
		return out
	}
	low, nan := row(.5, .5, .5, .5, .1, .9, .9), float32(math.NaN())
	var out []float32
	for _, r := range [][]float32{low, {nan, 0, 0, 0, 9, 9, 9}, low, low, row(.5, .75, .25, .75, .8, .5, .9), low} { // two anchors of each cell
		out = append(out, r...)
	}
	// Cell (1, 0) of 8 pixels, first anchor: centre (1 + ½)·8, (0 + 1)·8, size ¼·6 and 2¼·8.
	expect(t, "YOLOv5", head.Decode{Classes: 2, Levels: decodeLevels, Conf: .3}.YOLOv5(out, [][][2]float64{{{1, 2}, {3, 4}}, {{6, 8}, {9, 9}}}),
		vision.Detection{Class: 1, Score: .72, Box: vision.Box{X1: 12 - .75, Y1: 8 - 9, X2: 12 + .75, Y2: 8 + 9}})
}
