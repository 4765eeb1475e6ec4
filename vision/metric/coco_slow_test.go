package metric

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// slowImage is one image of the reference below, with pixels for masks.
type slowImage struct {
	id   int64
	gts  []vision.Object
	dets []vision.Detection
}

const slowH, slowW = 12, 10

func pixels(r *vision.RLE) (p [slowH * slowW]bool, n float64) {
	k := 0
	for i, c := range r.Counts {
		for range c {
			if p[k] = i%2 == 1; p[k] {
				n++
			}
			k++
		}
	}
	return p, n
}

// slowIoU is by definition: the share of the area, or of the pixels.
func slowIoU(kind COCOKind, d vision.Detection, g vision.Object) float64 {
	var inter, da, ga float64
	if kind == Boxes {
		w := math.Min(d.Box.X2, g.Box.X2) - math.Max(d.Box.X1, g.Box.X1)
		h := math.Min(d.Box.Y2, g.Box.Y2) - math.Max(d.Box.Y1, g.Box.Y1)
		inter = math.Max(w, 0) * math.Max(h, 0)
		da, ga = (d.Box.X2-d.Box.X1)*(d.Box.Y2-d.Box.Y1), (g.Box.X2-g.Box.X1)*(g.Box.Y2-g.Box.Y1)
	} else {
		p, n := pixels(d.Mask)
		q, m := pixels(g.RLE)
		for i := range p {
			if p[i] && q[i] {
				inter++
			}
		}
		da, ga = n, m
	}
	if inter == 0 {
		return 0
	}
	if g.Crowd {
		return inter / da
	}
	return inter / (da + ga - inter)
}

// slowMeasure is the interpolated precision and the recall of one class, one
// threshold, one range and one limit, from their definitions: one pass per
// detection, one pass per recall point, nothing shared. NaN without ground truth.
func slowMeasure(kind COCOKind, images []slowImage, class int, threshold, low, high float64, limit int) (ap, ar float64) {
	type verdict struct {
		score   float64
		image   int64
		rank    int
		tp, out bool
	}
	var all []verdict
	objects := 0.
	for _, im := range images {
		var gts []vision.Object
		var counts []bool
		for _, g := range im.gts {
			if g.Class == class {
				ok := !g.Crowd && g.Area >= low && g.Area <= high
				if ok {
					objects++
				}
				gts, counts = append(gts, g), append(counts, ok)
			}
		}
		var dets []vision.Detection
		for _, d := range im.dets {
			if d.Class == class {
				dets = append(dets, d)
			}
		}
		// Insertion sort keeps equal scores in order.
		for i := 1; i < len(dets); i++ {
			for j := i; j > 0 && dets[j].Score > dets[j-1].Score; j-- {
				dets[j], dets[j-1] = dets[j-1], dets[j]
			}
		}
		taken := map[int]bool{}
		for rank, d := range dets {
			if rank >= limit {
				break
			}
			area := (d.Box.X2 - d.Box.X1) * (d.Box.Y2 - d.Box.Y1)
			if kind == Masks {
				_, area = pixels(d.Mask)
			}
			v := verdict{score: d.Score, image: im.id, rank: rank, out: area < low || area > high}
			// First those that count, then the others; the greatest overlap,
			// of equals the last.
			for _, wanted := range []bool{true, false} {
				found, overlap := -1, math.Min(threshold, 1-1e-10)
				for j, g := range gts {
					if counts[j] == wanted && (!taken[j] || g.Crowd) && slowIoU(kind, d, g) >= overlap {
						found, overlap = j, slowIoU(kind, d, g)
					}
				}
				if found >= 0 {
					taken[found] = true
					v.tp, v.out = wanted, !wanted
					break
				}
			}
			all = append(all, v)
		}
	}
	if objects == 0 {
		return math.NaN(), math.NaN()
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.score != b.score {
			return a.score > b.score
		}
		if a.image != b.image {
			return a.image < b.image
		}
		return a.rank < b.rank
	})
	at := func(k int) (precision, recall float64) {
		var tp, fp float64
		for _, v := range all[:k+1] {
			if !v.out && v.tp {
				tp++
			}
			if !v.out && !v.tp {
				fp++
			}
		}
		return tp / (tp + fp + (math.Nextafter(1, 2) - 1)), tp / objects
	}
	p, r := make([]float64, len(all)), make([]float64, len(all))
	for k := range all {
		p[k], r[k] = at(k)
		ar = math.Max(ar, r[k])
	}
	for k := 0; k <= 100; k++ {
		best := 0.
		for i := range all {
			if r[i] >= float64(k)*.01 {
				best = math.Max(best, p[i])
			}
		}
		ap += best / 101
	}
	return ap, ar
}

// slowEvaluate is the twelve figures and the classes' AP, NaN where undefined.
func slowEvaluate(kind COCOKind, images []slowImage, classes int) (stats [12]float64, ap []float64) {
	mean := func(threshold, area, limit int, precision bool) float64 {
		ranges := [4][2]float64{{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}}
		var sum, n float64
		for c := range classes {
			for i := range 10 {
				if threshold >= 0 && i != threshold {
					continue
				}
				p, r := slowMeasure(kind, images, c, linspace(i), ranges[area][0], ranges[area][1], limit)
				if !precision {
					p = r
				}
				if !math.IsNaN(p) {
					sum, n = sum+p, n+1
				}
			}
		}
		return sum / n
	}
	for i, s := range [12]struct {
		threshold, area, limit int
		precision              bool
	}{
		{-1, 0, 100, true}, {0, 0, 100, true}, {5, 0, 100, true}, {-1, 1, 100, true}, {-1, 2, 100, true}, {-1, 3, 100, true},
		{-1, 0, 1, false}, {-1, 0, 10, false}, {-1, 0, 100, false}, {-1, 1, 100, false}, {-1, 2, 100, false}, {-1, 3, 100, false},
	} {
		stats[i] = mean(s.threshold, s.area, s.limit, s.precision)
	}
	for c := range classes {
		var sum float64
		for i := range 10 {
			p, _ := slowMeasure(kind, images, c, linspace(i), 0, 1e10, 100)
			sum += p
		}
		ap = append(ap, sum/10)
	}
	return stats, ap
}

// linspace is numpy.linspace(.5, .95, 10)[i], whose values it prints as .5,
// .55, .6, .65, .7, .75, .8, .85, .8999999999999999, .95.
func linspace(i int) float64 {
	return [10]float64{.5, .55, .6, .65, .7, .75, .8, .85, .8999999999999999, .95}[i]
}

// randomImages has few images, crowds, equal scores, whole-number boxes (so that
// overlaps fall on thresholds) of all three sizes, and now and then more
// detections than count.
func randomImages(rng *rand.Rand, kind COCOKind, classes int) []slowImage {
	images := make([]slowImage, 1+rng.IntN(4))
	for i := range images {
		im := &images[i]
		im.id = int64(rng.IntN(1000)*10 + i)
		side := []float64{6, 40, 130}[rng.IntN(3)]
		box := func() vision.Box {
			return vision.XYWH(float64(rng.IntN(4)), float64(rng.IntN(4)), side+float64(rng.IntN(4)), side+float64(rng.IntN(4)))
		}
		if rng.IntN(3) == 0 { // anything
			box = func() vision.Box {
				return vision.XYWH(90*rng.Float64(), 90*rng.Float64(), 120*rng.Float64(), 120*rng.Float64())
			}
		}
		for range rng.IntN(6) {
			o := vision.Object{Class: rng.IntN(classes), Box: box(), Crowd: rng.IntN(6) == 0}
			o.Area = o.Box.Area()
			switch rng.IntN(4) {
			case 0:
				o.Area *= .7
			case 1:
				o.Area = []float64{1024, 9216}[rng.IntN(2)]
			}
			if kind == Masks {
				o.RLE = randomMask(rng)
			}
			im.gts = append(im.gts, o)
		}
		n := rng.IntN(16)
		if rng.IntN(200) == 0 {
			n = 130
		}
		for range n {
			d := vision.Detection{Class: rng.IntN(classes), Box: box(), Score: float64(rng.IntN(6)) / 5}
			if len(im.gts) > 0 && rng.IntN(2) == 0 {
				g := im.gts[rng.IntN(len(im.gts))]
				d.Class, d.Box = g.Class, g.Box
				if rng.IntN(2) == 0 {
					d.Box.X2 += float64(rng.IntN(4))
				}
			}
			if kind == Masks {
				d.Mask = randomMask(rng)
			}
			im.dets = append(im.dets, d)
		}
	}
	return images
}

// randomMask is a rectangle from a handful, with some pixels turned.
func randomMask(rng *rand.Rand) *vision.RLE {
	p := make([]byte, slowH*slowW)
	x1, y1, x2, y2 := rng.IntN(3), rng.IntN(3), 5+rng.IntN(3), 6+rng.IntN(3)
	for i := range p {
		x, y := i/slowH, i%slowH
		if (x >= x1 && x < x2 && y >= y1 && y < y2) != (rng.IntN(40) == 0) {
			p[i] = 1
		}
	}
	r, err := mask.Encode(p, slowH, slowW, mask.Columns)
	if err != nil {
		panic(err)
	}
	return &r
}

func TestCOCOEqualsItsDefinition(t *testing.T) {
	for _, c := range []struct {
		kind  COCOKind
		cases int
	}{{Boxes, 1000}, {Masks, 300}} {
		if testing.Short() {
			c.cases /= 10
		}
		for seed := range c.cases {
			rng := rand.New(rand.NewPCG(uint64(seed), 7))
			classes := 1 + rng.IntN(3)
			images := randomImages(rng, c.kind, classes)
			e := &COCOEval{}
			for _, im := range images {
				if err := e.Add(im.id, slowW, slowH, im.gts, im.dets); err != nil {
					t.Fatal(err)
				}
			}
			want, ap := slowEvaluate(c.kind, images, classes)
			got, err := e.Evaluate(c.kind)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got.Twelve() {
				near(t, c.kind.String(), v, want[i], 1e-12)
			}
			for _, k := range got.PerClass {
				near(t, "class", k.AP, ap[k.Class], 1e-12)
			}
			if t.Failed() {
				t.Fatalf("%v, case %d", c.kind, seed)
			}
		}
	}
}
