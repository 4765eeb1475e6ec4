package metric

import (
	"math"
	"slices"
)

// The measures of segmentation once more, the slow way: sets of pixels, all pairs
// of points, nothing streamed. No code is shared with the fast way.

// slowPlanes is one image of a split.
type slowPlanes struct {
	truth, prediction []uint8
	w, h              int
}

// slowPixelIoU is the IoU and Dice of a class over all images, NaN without truth.
func slowPixelIoU(images []slowPlanes, class int) (iou, dice float64) {
	var inter, union, both, size float64
	for _, im := range images {
		for i, t := range im.truth {
			if t == 255 {
				continue
			}
			a, b := int(t) == class, int(im.prediction[i]) == class
			if a {
				size++
				both++
			}
			if b {
				both++
			}
			if a && b {
				inter++
			}
			if a || b {
				union++
			}
		}
	}
	if size == 0 {
		return math.NaN(), math.NaN()
	}
	return inter / union, 2 * inter / both
}

// slowEdge lists the pixels of a class next to what is not: to another class, or
// also, with frame, to what is ignored and outside the image.
func slowEdge(im slowPlanes, plane []uint8, class int, frame bool) (out [][2]float64) {
	at := func(x, y int) int {
		if x < 0 || y < 0 || x >= im.w || y >= im.h || im.truth[y*im.w+x] == 255 {
			return -1
		}
		return int(plane[y*im.w+x])
	}
	for x := range im.w {
		for y := range im.h {
			if at(x, y) != class {
				continue
			}
			edge := false
			for _, n := range []int{at(x+1, y), at(x-1, y), at(x, y+1), at(x, y-1)} {
				if n != class && (n >= 0 || frame) {
					edge = true
				}
			}
			if edge {
				out = append(out, [2]float64{float64(x), float64(y)})
			}
		}
	}
	return out
}

// slowDistances are those of each point of a to the nearest of b.
func slowDistances(a, b [][2]float64, sx, sy float64) (out []float64) {
	for _, p := range a {
		best := math.Inf(1)
		for _, q := range b {
			best = math.Min(best, math.Hypot(sx*(p[0]-q[0]), sy*(p[1]-q[1])))
		}
		out = append(out, best)
	}
	return out
}

// slowBoundaryF1 is the mean over the images with a boundary, NaN without one.
func slowBoundaryF1(images []slowPlanes, class int, tolerance float64) float64 {
	sum, n := 0.0, 0.0
	for _, im := range images {
		if !slices.Contains(im.truth, uint8(class)) {
			continue
		}
		a, b := slowEdge(im, im.truth, class, false), slowEdge(im, im.prediction, class, false)
		if len(a)+len(b) == 0 {
			continue
		}
		share := func(d []float64) float64 {
			k := 0.0
			for _, v := range d {
				if v <= tolerance*math.Sqrt(float64(im.w*im.w+im.h*im.h))+1e-9 {
					k++
				}
			}
			return k / math.Max(float64(len(d)), 1)
		}
		p, r := share(slowDistances(b, a, 1, 1)), share(slowDistances(a, b, 1, 1))
		if p+r > 0 {
			sum += 2 / (1/p + 1/r)
		}
		n++
	}
	return sum / n
}

// slowHD95 is the mean of the images with both outlines, and how many have one.
func slowHD95(images []slowPlanes, class int, sx, sy float64) (hd float64, missed int) {
	sum, n := 0.0, 0.0
	for _, im := range images {
		a, b := slowEdge(im, im.truth, class, true), slowEdge(im, im.prediction, class, true)
		if len(a) == 0 || len(b) == 0 {
			if len(a)+len(b) > 0 {
				missed++
			}
			continue
		}
		worst := 0.0
		for _, d := range [][]float64{slowDistances(a, b, sx, sy), slowDistances(b, a, sx, sy)} {
			slices.Sort(d)
			place := .95 * float64(len(d)-1)
			lo, hi := math.Floor(place), math.Ceil(place)
			worst = math.Max(worst, d[int(lo)]*(1-(place-lo))+d[int(hi)]*(place-lo))
		}
		sum += worst
		n++
	}
	return sum / n, missed
}

// slowSegment is a set of pixels.
type slowSegment struct {
	class  int
	crowd  bool
	pixels map[int]bool
}

func slowSegments(m PanopticMap) (out []slowSegment) {
	for _, s := range m.Segments {
		k := slowSegment{s.Class, s.Crowd, map[int]bool{}}
		for i, id := range m.IDs {
			if id == s.ID {
				k.pixels[i] = true
			}
		}
		out = append(out, k)
	}
	return out
}

// slowPanoptic is Σ IoU, TP, FP and FN of a class.
func slowPanoptic(truths, predictions []PanopticMap, class int) (sum float64, tp, fp, fn int) {
	for k := range truths {
		gts, preds := slowSegments(truths[k]), slowSegments(predictions[k])
		void := func(i int) bool { return truths[k].IDs[i] == 0 }
		found := map[int]bool{}
		for _, p := range preds {
			if p.class != class {
				continue
			}
			hit := false
			for j, g := range gts {
				if g.class != class || g.crowd {
					continue
				}
				inter, union := 0, len(g.pixels)
				for i := range p.pixels {
					if g.pixels[i] {
						inter++
					} else if !void(i) {
						union++
					}
				}
				if 2*inter > union {
					hit, found[j] = true, true
					sum += float64(inter) / float64(union)
					tp++
				}
			}
			if hit {
				continue
			}
			excused := 0
			for i := range p.pixels {
				ok := void(i)
				for _, g := range gts {
					ok = ok || g.crowd && g.class == class && g.pixels[i]
				}
				if ok {
					excused++
				}
			}
			if 2*excused <= len(p.pixels) {
				fp++
			}
		}
		for j, g := range gts {
			if g.class == class && !g.crowd && !found[j] {
				fn++
			}
		}
	}
	return sum, tp, fp, fn
}
