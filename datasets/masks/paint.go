package masks

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// Background is the name of class 0 of painted masks.
const Background = "background"

// FromObjects makes a data set whose masks are painted from the objects of d,
// which stays as it is: class 0 is the background, the classes of d follow in
// their order. A class of d that is called background is class 0 itself. Of o
// EveryProblem alone matters.
//
// Larger objects are painted first, so that smaller ones stay visible. What has
// no class is [Ignore]: crowds, and the boxes of objects without an outline as
// far as nothing else was painted there. Labels of the samples are the
// background and the classes of their objects, whether or not something covers
// them.
func FromObjects(d *datasets.Dataset, o datasets.Options) (*Set, error) {
	out := *d
	out.Warnings, out.Problems = slices.Clone(d.Warnings), slices.Clone(d.Problems)
	to := make([]int, len(d.Classes))
	out.Classes, out.CategoryIDs = []string{Background}, []int64{-1}
	for c, n := range d.Classes {
		id := int64(-1)
		if c < len(d.CategoryIDs) {
			id = d.CategoryIDs[c]
		}
		if strings.EqualFold(n, Background) {
			out.CategoryIDs[0] = id
			continue
		}
		to[c] = len(out.Classes)
		out.Classes, out.CategoryIDs = append(out.Classes, n), append(out.CategoryIDs, id)
	}
	if len(out.Classes) > mostClasses {
		return nil, fmt.Errorf("paint masks of %s: %d classes with the background: at most %d fit into a byte beside the ignored one", d.Root, len(out.Classes), mostClasses)
	}
	bare := datasets.Problems{All: o.EveryProblem}
	out.Samples = slices.Clone(d.Samples)
	painted := false
	for i := range out.Samples {
		s := &out.Samples[i]
		s.Label, s.Labels, s.Objects = -1, []int{0}, slices.Clone(s.Objects)
		for k := range s.Objects {
			o := &s.Objects[k]
			o.Class = to[o.Class]
			switch has := hasOutline(o); {
			case has && !o.Crowd:
				s.Labels = append(s.Labels, o.Class)
				painted = true
			case !has:
				bare.Add(kindBare, func() datasets.Problem {
					return datasets.Problem{File: s.Name, Annotations: []int64{o.ID}, Place: fmt.Sprintf("%s: object %d", s.Name, o.ID)}
				})
			}
		}
		slices.Sort(s.Labels)
		s.Labels = slices.Compact(s.Labels)
	}
	if !painted {
		return nil, fmt.Errorf("paint masks of %s: no object has an outline: boxes alone do not tell the class of a pixel", d.Root)
	}
	out.Report(&bare)
	return &Set{Dataset: &out}, nil
}

func hasOutline(o *vision.Object) bool { return o.RLE != nil || len(o.Polygons) > 0 }

// paint draws the objects of a sample.
func paint(s *datasets.Sample) ([]uint8, error) {
	type layer struct {
		class uint8
		area  int
		rle   vision.RLE
		under bool // a box without an outline
	}
	var layers []layer
	for i := range s.Objects {
		o := &s.Objects[i]
		l := layer{class: uint8(o.Class)}
		var err error
		if hasOutline(o) {
			l.rle, err = mask.FromObject(*o, s.H, s.W)
		} else {
			l.under = true
			// Whole pixels: what the box touches is not known.
			b := vision.Box{X1: math.Floor(o.Box.X1), Y1: math.Floor(o.Box.Y1), X2: math.Ceil(o.Box.X2), Y2: math.Ceil(o.Box.Y2)}
			l.rle, err = mask.FrBox(b, s.H, s.W)
		}
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", o.ID, err)
		}
		if o.Crowd || l.under {
			l.class = Ignore
		}
		l.area = mask.Area(l.rle)
		layers = append(layers, l)
	}
	slices.SortStableFunc(layers, func(a, b layer) int {
		if a.under != b.under {
			if a.under {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.area, a.area)
	})
	out := make([]uint8, s.W*s.H)
	for _, l := range layers {
		fillRuns(out, l.rle, l.class)
	}
	return out, nil
}

// fillRuns sets the pixels of a mask, whose runs go down the columns.
func fillRuns(to []uint8, r vision.RLE, class uint8) {
	at := 0
	for i, n := range r.Counts {
		end := at + int(n)
		if i%2 == 1 {
			for x, y := at/r.H, at%r.H; at < end; at++ {
				to[y*r.W+x] = class
				if y++; y == r.H {
					x, y = x+1, 0
				}
			}
		}
		at = end
	}
}
