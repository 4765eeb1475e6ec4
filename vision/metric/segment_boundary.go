package metric

import (
	"math"
	"slices"
)

// boundarySums are the sums of one class over the images.
type boundarySums struct {
	f1, hd, mm       float64
	f1Images, hdMany int
	missed           int
	withMM           bool
}

func (b *boundarySums) score(s *SegmentClass) {
	s.BoundaryF1 = ratio(b.f1, float64(b.f1Images))
	s.HD95, s.HD95mm = ratio(b.hd, float64(b.hdMany)), Undefined
	if b.withMM {
		s.HD95mm = ratio(b.mm, float64(b.hdMany))
	}
	s.HD95Missed = b.missed
}

// boundaries are the pixels of a plane at the border of their class, by class.
//
//	inner     a neighbour above, below, left or right is of another class
//	outline   or is ignored, or lies outside the image
type boundaries struct{ inner, outline [][]point }

func findBoundaries(plane []uint8, w, h, classes int) boundaries {
	b := boundaries{make([][]point, classes), make([][]point, classes)}
	for y := range h {
		for x := range w {
			i := y*w + x
			c := plane[i]
			if c == IgnoredPixel {
				continue
			}
			inner, outline := false, false
			look := func(inside bool, at int) {
				switch {
				case !inside:
					outline = true
				case plane[at] == IgnoredPixel:
					outline = true
				case plane[at] != c:
					inner, outline = true, true
				}
			}
			look(y > 0, i-w)
			look(y < h-1, i+w)
			look(x > 0, i-1)
			look(x < w-1, i+1)
			if inner {
				b.inner[c] = append(b.inner[c], point{x, y})
			}
			if outline {
				b.outline[c] = append(b.outline[c], point{x, y})
			}
		}
	}
	return b
}

// addBoundaries measures the boundaries of one image. What was predicted at
// ignored pixels is ignored, too.
func (e *SegmentEval) addBoundaries(truth, prediction []uint8, w, h int) {
	e.masked = append(e.masked[:0], prediction...)
	for i, t := range truth {
		if t == IgnoredPixel {
			e.masked[i] = IgnoredPixel
		}
	}
	k := len(e.names)
	want, got := findBoundaries(truth, w, h, k), findBoundaries(e.masked, w, h, k)
	tolerance := e.opt.Tolerance * math.Hypot(float64(w), float64(h))
	for c := range k {
		sums := &e.bounds[c]
		if f := e.boundaryF1(want.inner[c], got.inner[c], tolerance); len(want.outline[c]) > 0 && f.Defined() {
			sums.f1 += float64(f)
			sums.f1Images++
		}
		a, b := want.outline[c], got.outline[c]
		switch {
		case len(a) > 0 && len(b) > 0:
			hd := e.hausdorff95(a, b, 1, 1)
			sums.hd += hd
			sums.hdMany++
			switch sx, sy := e.opt.PixelSize[0], e.opt.PixelSize[1]; {
			case sx == 0:
				continue
			case sx == sy:
				sums.mm += sx * hd
			default:
				sums.mm += e.hausdorff95(a, b, sx, sy)
			}
			sums.withMM = true
		case len(a) > 0 || len(b) > 0:
			sums.missed++
		}
	}
}

// boundaryF1 is the share of two boundaries that lies close to the other one.
//
//	F₁ = 2PR/(P + R)
//	P = share of the predicted boundary within θ of the true one
//	R = share of the true boundary within θ of the predicted one
//
// The border of the image is no boundary. F₁ is Undefined when there is no
// boundary on either side, and 0 when there is one on one side.
//
// Source: Csurka, Larlus & Perronnin 2013, "What is a good evaluation measure for
// semantic segmentation?", BMVC, doi:10.5244/C.27.32, §3; θ of 0.75 % of the
// diagonal is theirs.
func (e *SegmentEval) boundaryF1(truth, prediction []point, theta float64) Score {
	if len(truth) == 0 && len(prediction) == 0 {
		return Undefined
	}
	if len(truth) == 0 || len(prediction) == 0 {
		return 0
	}
	near := func(from, to []point) float64 {
		n := 0
		for _, d := range e.field.measure(from, to, 1, 1) {
			if d <= theta {
				n++
			}
		}
		return float64(n) / float64(len(from))
	}
	p, r := near(prediction, truth), near(truth, prediction)
	if p+r == 0 {
		return 0
	}
	return Score(2 * p * r / (p + r))
}

// hausdorff95 is the larger of the 95th percentiles of the distances from each
// outline to the other, for pixels that are sx wide and sy high.
//
//	HD95 = max(P₉₅{ d(a, B) : a ∈ A }, P₉₅{ d(b, A) : b ∈ B })
//
// It is that of MONAI and DeepMind's surface-distance; MedPy takes the percentile
// of both sets together, which is lower or equal.
//
// Source: Huttenlocher, Klanderman & Rucklidge 1993, doi:10.1109/34.232073, §II.
func (e *SegmentEval) hausdorff95(a, b []point, sx, sy float64) float64 {
	return math.Max(p95(e.field.measure(a, b, sx, sy)), p95(e.field.measure(b, a, sx, sy)))
}

func p95(v []float64) float64 {
	slices.Sort(v)
	return float64(percentile(v, .95))
}
