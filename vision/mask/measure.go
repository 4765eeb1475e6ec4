package mask

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/vision"
)

// Area is the number of pixels of the mask. It adds up the runs of ones and
// does not check them.
func Area(r vision.RLE) int {
	var area int
	for i := 1; i < len(r.Counts); i += 2 {
		area += int(r.Counts[i])
	}
	return area
}

// ToBox is the smallest box that covers the mask, in whole pixels; the zero box
// for an empty mask.
func ToBox(r vision.RLE) (vision.Box, error) {
	if err := Check(r); err != nil {
		return vision.Box{}, err
	}
	return toBox(r), nil
}

func toBox(r vision.RLE) vision.Box {
	x1, y1, x2, y2 := r.W, r.H, 0, 0
	at := 0
	for i, c := range r.Counts {
		first, last := at, at+int(c)-1
		at += int(c)
		if i%2 == 0 || c == 0 {
			continue
		}
		x1, x2 = min(x1, first/r.H), max(x2, last/r.H+1)
		if first/r.H != last/r.H {
			y1, y2 = 0, r.H
		} else {
			y1, y2 = min(y1, first%r.H), max(y2, last%r.H+1)
		}
	}
	if x2 == 0 {
		return vision.Box{}
	}
	return vision.Box{X1: float64(x1), Y1: float64(y1), X2: float64(x2), Y2: float64(y2)}
}

// IoU is the overlap of every detection (rows) with every ground truth
// (columns), all masks of one image.
//
//	IoU(d, g) = |d ∩ g| / |d ∪ g|      and, where g is a crowd,  |d ∩ g| / |d|
//
// It is 0 where the two share no pixel. A nil crowd means that there is none.
func IoU(dets, gts []vision.RLE, crowd []bool) ([][]float64, error) {
	if crowd == nil {
		crowd = make([]bool, len(gts))
	}
	if len(crowd) != len(gts) {
		return nil, fmt.Errorf("mask IoU: %d crowd flags for %d ground truths", len(crowd), len(gts))
	}
	boxes := make([]vision.Box, len(gts))
	for i, g := range gts {
		if err := Check(g); err != nil {
			return nil, numbered("ground truth", i, err)
		}
		boxes[i] = toBox(g)
	}
	out := make([][]float64, len(dets))
	for i, d := range dets {
		if err := Check(d); err != nil {
			return nil, numbered("detection", i, err)
		}
		box, area := toBox(d), Area(d)
		out[i] = make([]float64, len(gts))
		for j, g := range gts {
			if err := sameSize(d, g); err != nil {
				return nil, numbered("detection", i, err)
			}
			if box.Intersect(boxes[j]).Area() == 0 {
				continue
			}
			inter, union := overlap(d, g)
			if crowd[j] {
				union = area
			}
			if inter > 0 {
				out[i][j] = float64(inter) / float64(union)
			}
		}
	}
	return out, nil
}

// BoxIoU is [IoU] for boxes.
//
//	IoU(d, g) = area(d ∩ g) / (area(d) + area(g) − area(d ∩ g)),  a crowd: / area(d)
func BoxIoU(det, gt vision.Box, crowd bool) float64 {
	w := math.Min(det.X2, gt.X2) - math.Max(det.X1, gt.X1)
	h := math.Min(det.Y2, gt.Y2) - math.Max(det.Y1, gt.Y1)
	if !(w > 0 && h > 0) {
		return 0
	}
	inter, union := float64(w*h), det.Area()
	if !crowd {
		union = union + gt.Area() - inter
	}
	return inter / union
}

// overlap counts the pixels in both masks and in either, which have one size.
func overlap(p, q vision.RLE) (inter, union int) {
	walk(p, q, func(run int, a, b bool) {
		if a && b {
			inter += run
		}
		if a || b {
			union += run
		}
	})
	return inter, union
}
