package head_test

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/transform"
)

// lookup interpolates a map (h, w, K) at a place in cells, 0 being the left or
// upper side of the first: in float64, by its definition.
func lookup(m []float32, h, w, k int, y, x float64, j int) float64 {
	axis := func(u float64, n int) (int, int, float64) {
		u = math.Max(0, math.Min(u-.5, float64(n-1)))
		return int(u), min(int(u)+1, n-1), u - math.Floor(u)
	}
	y0, y1, fy := axis(y, h)
	x0, x1, fx := axis(x, w)
	at := func(y, x int) float64 { return float64(m[(y*w+x)*k+j]) }
	return (1-fy)*((1-fx)*at(y0, x0)+fx*at(y0, x1)) + fy*((1-fx)*at(y1, x0)+fx*at(y1, x1))
}

func noise(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// agrees reports a pixel whose label is not the largest of its scores, unless
// rounding may decide between the two.
func agrees(scores []float64, label uint8) bool {
	return scores[label] >= slices.Max(scores)-1e-5
}

// Labels are the largest of the interpolated logits, for every way into the
// input.
func TestLabelsAgainstFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, pre := range []vision.Preprocess{
		{Size: [2]int{32, 48}, Resize: vision.ResizeStretch},
		{Size: [2]int{32, 48}, Resize: vision.ResizeLetterbox},
		{Size: [2]int{32, 48}, Resize: vision.ResizeLetterbox, Align: vision.AlignTopLeft},
		{Size: [2]int{24, 24}, ResizeTo: 28},
	} {
		for range 4 {
			const k = 3
			h, w := 20+rng.IntN(60), 20+rng.IntN(60)
			v := head.View{Map: [2]int{pre.Size[0] / 4, pre.Size[1] / 4}, Input: pre.Size, Place: transform.Place(pre, w, h)}
			logits := noise(rng, v.Map[0]*v.Map[1]*k)
			labels, err := v.Labels(logits, h, w)
			if err != nil {
				t.Fatal(err)
			}
			p := v.Place
			for i, label := range labels {
				y := (float64(i/w)+.5)*float64(p.H)/float64(h) - float64(p.Window.Min.Y) + float64(p.At.Y)
				x := (float64(i%w)+.5)*float64(p.W)/float64(w) - float64(p.Window.Min.X) + float64(p.At.X)
				var scores []float64
				for j := range k {
					scores = append(scores, lookup(logits, v.Map[0], v.Map[1], k, y/4, x/4, j))
				}
				if !agrees(scores, label) {
					t.Fatalf("%v, %d×%d: pixel %d has label %d of scores %v", pre.Resize, h, w, i, label, scores)
				}
			}
		}
	}
	labels, err := head.View{Map: [2]int{1, 2}, Input: [2]int{4, 8}}.Labels([]float32{1, 0, 0, 2}, 2, 8)
	// Class 0 leads by 1 in cell 0 and trails by 2 in cell 1: the border is a third
	// of the way between their centres, at pixels 2 and 6, so at 3⅓.
	if want := []uint8{0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1}; err != nil || !slices.Equal(labels, want) {
		t.Errorf("labels %v, want %v (%v)", labels, want, err)
	}
}

func TestLabelsRefuse(t *testing.T) {
	good := head.View{Map: [2]int{2, 2}, Input: [2]int{8, 8}}
	if _, err := good.Labels(make([]float32, 12), 5, 5); err != nil {
		t.Error(err)
	}
	if _, err := good.Labels(make([]float32, 11), 5, 5); err == nil {
		t.Error("11 logits of 4 cells are accepted")
	}
	if _, err := good.Labels(make([]float32, 4*256), 5, 5); err == nil {
		t.Error("256 classes are accepted")
	}
	if _, err := good.Labels(make([]float32, 12), 0, 5); err == nil {
		t.Error("an image without rows is accepted")
	}
	if _, err := (head.View{}).Labels(nil, 5, 5); err == nil {
		t.Error("an empty view is accepted")
	}
}

// Every pixel is covered, neighbours overlap as much as was asked for, and no
// plan with fewer tiles could do that.
func TestWindowsCover(t *testing.T) {
	for size := 1; size < 200; size++ {
		for _, tile := range []int{16, 33} {
			for _, overlap := range []int{0, 1, 7, 15} {
				p, err := head.PlanWindows(20, size, [2]int{40, tile}, overlap)
				if err != nil {
					t.Fatal(err)
				}
				tiles := p.Tiles()
				if size <= tile {
					if len(tiles) != 1 || tiles[0] != image.Rect(0, 0, tile, 40) {
						t.Fatalf("%d pixels in tiles of %d: %v", size, tile, tiles)
					}
					continue
				}
				for i, r := range tiles {
					if r.Dx() != tile || i > 0 && tiles[i-1].Max.X-r.Min.X < overlap {
						t.Fatalf("%d pixels, overlap %d: tiles %v", size, overlap, tiles)
					}
				}
				if n := len(tiles); tiles[0].Min.X != 0 || tiles[n-1].Max.X != size || (n-1)*(tile-overlap)+overlap >= size {
					t.Fatalf("%d pixels, overlap %d: tiles %v", size, overlap, tiles)
				}
			}
		}
	}
	for _, overlap := range []int{16, -1} {
		if _, err := head.PlanWindows(50, 50, [2]int{16, 32}, overlap); err == nil {
			t.Errorf("an overlap of %d pixels of 16 is accepted", overlap)
		}
	}
}

// softmax in float64.
func softmax(v []float64) []float64 {
	p, sum := make([]float64, len(v)), 0.0
	for j, x := range v {
		p[j] = math.Exp(x)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}

// The streamed labels are those of all sums at once: weights by their formula,
// everything held.
func TestStitchAgainstFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	const k = 3
	for _, blend := range []head.Blend{head.Cosine, head.Linear} {
		for _, size := range [][2]int{{70, 50}, {16, 90}, {16, 24}, {10, 9}, {33, 25}} {
			h, w := size[0], size[1]
			plan, err := head.PlanWindows(h, w, [2]int{16, 24}, 6)
			if err != nil {
				t.Fatal(err)
			}
			s, err := head.NewStitcher(plan, k, blend)
			if err != nil {
				t.Fatal(err)
			}
			tiles := plan.Tiles()
			rampY, rampX := 0, 0 // the largest overlap of each axis, at most half a tile
			for i := range tiles {
				for _, o := range tiles[:i] {
					if tiles[i].Min.X == o.Min.X && tiles[i].Min.Y > o.Min.Y && !anyBetween(tiles, o.Min.Y, tiles[i].Min.Y) {
						rampY = max(rampY, min(o.Max.Y-tiles[i].Min.Y, 8))
					}
				}
				if i > 0 && tiles[i].Min.Y == tiles[i-1].Min.Y {
					rampX = max(rampX, min(tiles[i-1].Max.X-tiles[i].Min.X, 12))
				}
			}
			weight := func(i, n, ramp int) float64 {
				d := float64(min(i, n-1-i))
				if d >= float64(ramp) {
					return 1
				}
				if blend == head.Linear {
					return (d + .5) / float64(ramp)
				}
				return .5 - .5*math.Cos(math.Pi*(d+.5)/float64(ramp))
			}
			total := make([]float64, h*w*k)
			for _, r := range tiles {
				logits := noise(rng, 4*6*k)
				if err := s.Add(logits, 4, 6); err != nil {
					t.Fatal(err)
				}
				for y := r.Min.Y; y < min(r.Max.Y, h); y++ {
					for x := r.Min.X; x < min(r.Max.X, w); x++ {
						var scores []float64
						for j := range k {
							scores = append(scores, lookup(logits, 4, 6, k, (float64(y-r.Min.Y)+.5)/4, (float64(x-r.Min.X)+.5)/4, j))
						}
						for j, p := range softmax(scores) {
							total[(y*w+x)*k+j] += p * weight(y-r.Min.Y, 16, rampY) * weight(x-r.Min.X, 24, rampX)
						}
					}
				}
			}
			labels, err := s.Labels()
			if err != nil {
				t.Fatal(err)
			}
			for i, label := range labels {
				if !agrees(total[i*k:(i+1)*k], label) {
					t.Fatalf("%d×%d pixels: pixel %d has label %d of sums %v", h, w, i, label, total[i*k:(i+1)*k])
				}
			}
		}
	}
}

func anyBetween(tiles []image.Rectangle, low, high int) bool {
	return slices.ContainsFunc(tiles, func(r image.Rectangle) bool { return r.Min.Y > low && r.Min.Y < high })
}

// What tiles of 24 million pixels need, and that adding one needs no more.
func TestStitchMemory(t *testing.T) {
	plan, err := head.PlanWindows(4000, 6000, [2]int{512, 512}, 128)
	if err != nil {
		t.Fatal(err)
	}
	var s *head.Stitcher
	bytes := allocated(func() { s, err = head.NewStitcher(plan, 3, head.Cosine) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tiles, %.1f MB", len(plan.Tiles()), float64(bytes)/1e6)
	if bytes > 65e6 {
		t.Errorf("a stitcher for 6000×4000 pixels takes %.1f MB", float64(bytes)/1e6)
	}
	logits := make([]float32, 128*128*3)
	if err := s.Add(logits, 128, 128); err != nil {
		t.Fatal(err)
	}
	if a := testing.AllocsPerRun(3, func() { _ = s.Add(logits, 128, 128) }); a != 0 {
		t.Errorf("%v allocations per tile", a)
	}
	v := head.View{Map: [2]int{128, 192}, Input: [2]int{512, 768}}
	bytes = allocated(func() { _, err = v.Labels(make([]float32, 128*192*3), 500, 6000) })
	if err != nil || bytes > 500*6000+2e6 {
		t.Errorf("labels of 3 million pixels take %.1f MB (%v)", float64(bytes)/1e6, err)
	}
}

func TestStitchRefuses(t *testing.T) {
	plan, _ := head.PlanWindows(16, 30, [2]int{16, 16}, 2)
	if _, err := head.NewStitcher(head.Windows{}, 3, head.Cosine); err == nil {
		t.Error("an empty plan is accepted")
	}
	if _, err := head.NewStitcher(plan, 256, head.Cosine); err == nil {
		t.Error("256 classes are accepted")
	}
	s, err := head.NewStitcher(plan, 2, head.Cosine)
	if err != nil {
		t.Fatal(err)
	}
	if s.Add(make([]float32, 31), 4, 4) == nil {
		t.Error("31 logits of 16 cells and 2 classes are accepted")
	}
	for range 2 {
		if _, err := s.Labels(); err == nil {
			t.Error("labels are given before all tiles were added")
		}
		if err := s.Add(make([]float32, 32), 4, 4); err != nil {
			t.Fatal(err)
		}
	}
	if s.Add(make([]float32, 32), 4, 4) == nil {
		t.Error("a tile beyond the last is accepted")
	}
}

// Two cells, two classes: probabilities ¾, ¼ | ½, ½ and, mirrored, ¼, ¾ | ½, ½
// (from right to left).
func TestAverageFlip(t *testing.T) {
	l := float32(math.Log(3))
	logits, mirrored := []float32{l, 0, 5, 5}, []float32{0, l, 2, 2}
	if err := head.AverageFlip(logits, mirrored, 1, 2); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{(.75 + .5) / 2, (.25 + .5) / 2, (.5 + .25) / 2, (.5 + .75) / 2} {
		if got := math.Exp(float64(logits[i])); math.Abs(got-want) > 1e-6 {
			t.Errorf("probability %d is %v, want %v", i, got, want)
		}
	}
	sure := []float32{1e4, -1e4}
	if err := head.AverageFlip(sure, slices.Clone(sure), 1, 1); err != nil || math.IsInf(float64(sure[1]), 0) {
		t.Errorf("what is sure becomes %v (%v)", sure, err)
	}
	if head.AverageFlip(logits, mirrored[:2], 1, 2) == nil || head.AverageFlip(logits, mirrored, 1, 3) == nil {
		t.Error("other sizes are accepted")
	}
}
