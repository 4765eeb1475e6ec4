package datasets

import (
	"cmp"
	"math"
	"slices"

	"github.com/vislora/vislora/vision"
)

// The limits from which on a box is doubtful.
const (
	// SameIoU is the overlap from which on two boxes are at the same place.
	SameIoU = .95
	// TinySide is the side in pixels below which a box shows nothing.
	TinySide = 4
	// WholeShare is the share of the image from which on a box is all of it.
	WholeShare = .99
	// LongRatio is the ratio of the sides above which a box is no usual object.
	LongRatio = 10
	// LooseIoU is the overlap of a box with the box around its own outline below
	// which one of them is wrong.
	LooseIoU = .5
)

// The kinds of doubts.
const (
	Duplicate = "duplicate" // two boxes of one class at the same place; Value is the IoU
	Conflict  = "conflict"  // two boxes of different classes at the same place; Value is the IoU
	Loose     = "loose"     // a box that does not fit its outline; Value is the IoU
	Whole     = "whole"     // a box as large as its image; Value is the share
	Long      = "long"      // a very long and thin box; Value is the ratio
	Tiny      = "tiny"      // a box without visible contents; Value is the shorter side in pixels
)

// Doubt is an annotation that can be used, and that seldom is meant so.
type Doubt struct {
	Kind string
	// Sample is an index into Samples, Objects are indices into its objects: two
	// for a duplicate and a conflict.
	Sample  int
	Objects []int
	Value   float64
}

// BoxDoubts looks at every box, by itself and beside the others of its image.
// Crowds are regions and not objects: they are left out. The doubts are in the
// order of the samples.
func (d *Dataset) BoxDoubts() []Doubt {
	var out []Doubt
	for i := range d.Samples {
		s := &d.Samples[i]
		for k := range s.Objects {
			for _, o := range alone(&s.Objects[k], float64(s.W), float64(s.H)) {
				o.Sample, o.Objects = i, []int{k}
				out = append(out, o)
			}
		}
		for _, o := range pairs(s.Objects) {
			o.Sample = i
			out = append(out, o)
		}
	}
	return out
}

// alone are the doubts about one object in an image of w×h pixels.
func alone(o *vision.Object, w, h float64) (out []Doubt) {
	if o.Crowd {
		return nil
	}
	dx, dy := o.Box.X2-o.Box.X1, o.Box.Y2-o.Box.Y1
	short, long := math.Min(dx, dy), math.Max(dx, dy)
	if b, ok := Bounds(o.Polygons); ok {
		// Outlines may go on beyond the image, boxes do not.
		if v := o.Box.IoU(b.Clip(w, h)); v < LooseIoU {
			out = append(out, Doubt{Kind: Loose, Value: v})
		}
	}
	if v := o.Box.Area() / (w * h); v >= WholeShare {
		out = append(out, Doubt{Kind: Whole, Value: v})
	}
	switch {
	case short < TinySide:
		out = append(out, Doubt{Kind: Tiny, Value: short})
	case long > LongRatio*short:
		out = append(out, Doubt{Kind: Long, Value: long / short})
	}
	return out
}

// pairs finds boxes at the same place. Of several, each is paired with one on its
// left.
func pairs(objects []vision.Object) (out []Doubt) {
	var order []int
	for i := range objects {
		if !objects[i].Crowd {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(objects[a].Box.X1, objects[b].Box.X1) })
	for at, i := range order {
		b := objects[i].Box
		// Boxes a and b that overlap by t = SameIoU share t of the width of each,
		// so that the left sides are no more than (1−t)/t of b's width apart.
		reach := (1 - SameIoU) / SameIoU * (b.X2 - b.X1) * (1 + 1e-9)
		same, other := -1, -1
		var sameIoU, otherIoU float64
		for k := at - 1; k >= 0 && same < 0; k-- {
			a := &objects[order[k]]
			if b.X1-a.Box.X1 > reach {
				break
			}
			v := a.Box.IoU(b)
			switch {
			case v < SameIoU:
			case a.Class == objects[i].Class:
				same, sameIoU = order[k], v
			case other < 0:
				other, otherIoU = order[k], v
			}
		}
		switch {
		case same >= 0:
			out = append(out, pairOf(Duplicate, same, i, sameIoU))
		case other >= 0:
			out = append(out, pairOf(Conflict, other, i, otherIoU))
		}
	}
	slices.SortStableFunc(out, func(a, b Doubt) int {
		return cmp.Or(cmp.Compare(a.Objects[0], b.Objects[0]), cmp.Compare(a.Objects[1], b.Objects[1]))
	})
	return out
}

func pairOf(kind string, i, k int, v float64) Doubt {
	return Doubt{Kind: kind, Objects: []int{min(i, k), max(i, k)}, Value: v}
}
