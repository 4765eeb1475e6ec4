package head

import (
	"cmp"
	"slices"

	"github.com/vislora/vislora/vision"
)

// NMS is greedy non-maximum suppression.
type NMS struct {
	// IoU is the overlap above which the box of the lower score is dropped.
	// Default 0.65.
	IoU float64
	// Agnostic lets boxes of different classes drop each other.
	Agnostic bool
	// Max is the number of detections that are kept at most. Default 300.
	Max int
}

// Apply returns the detections that remain, highest score first; the first of
// equal scores stays first. found is left as it is.
func (n NMS) Apply(found []vision.Detection) []vision.Detection {
	if n.IoU == 0 {
		n.IoU = 0.65
	}
	if n.Max == 0 {
		n.Max = 300
	}
	order := slices.Clone(found)
	slices.SortStableFunc(order, func(a, b vision.Detection) int { return cmp.Compare(b.Score, a.Score) })
	kept := order[:0]
	for _, d := range order {
		if len(kept) == n.Max {
			break
		}
		if !slices.ContainsFunc(kept, func(k vision.Detection) bool { return n.drops(k, d) }) {
			kept = append(kept, d)
		}
	}
	return kept
}

func (n NMS) drops(kept, d vision.Detection) bool {
	return (n.Agnostic || kept.Class == d.Class) && kept.Box.IoU(d.Box) > n.IoU
}
