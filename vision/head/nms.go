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
	kept := make([]vision.Detection, 0, len(found))
	for _, i := range n.Keep(found) {
		kept = append(kept, found[i])
	}
	return kept
}

// Keep is [NMS.Apply] that tells the places of the detections that remain.
func (n NMS) Keep(found []vision.Detection) []int {
	if n.IoU == 0 {
		n.IoU = 0.65
	}
	if n.Max == 0 {
		n.Max = 300
	}
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(found[b].Score, found[a].Score) })
	kept := order[:0]
	for _, i := range order {
		if len(kept) == n.Max {
			break
		}
		if !slices.ContainsFunc(kept, func(k int) bool { return n.drops(found[k], found[i]) }) {
			kept = append(kept, i)
		}
	}
	return kept
}

func (n NMS) drops(kept, d vision.Detection) bool {
	return (n.Agnostic || kept.Class == d.Class) && kept.Box.IoU(d.Box) > n.IoU
}
