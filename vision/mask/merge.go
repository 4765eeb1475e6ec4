package mask

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/vision"
)

// Operation says how [Merge] combines masks.
type Operation int

const (
	// Union has the pixels that are in any of the masks.
	Union Operation = iota
	// Intersect has the pixels that are in all of them.
	Intersect
)

// Merge combines one or more masks of one image.
func Merge(masks []vision.RLE, op Operation) (vision.RLE, error) {
	if len(masks) == 0 {
		return vision.RLE{}, fmt.Errorf("merge masks: there is none")
	}
	if op != Union && op != Intersect {
		return vision.RLE{}, fmt.Errorf("merge masks: operation %d is neither Union nor Intersect", op)
	}
	for i, m := range masks {
		if err := Check(m); err != nil {
			return vision.RLE{}, numbered("mask", i, err)
		}
		if err := sameSize(masks[0], m); err != nil {
			return vision.RLE{}, numbered("mask", i, err)
		}
	}
	out := vision.RLE{H: masks[0].H, W: masks[0].W, Counts: slices.Clone(masks[0].Counts)}
	for _, m := range masks[1:] {
		out.Counts = merge(out, m, op)
	}
	return out, nil
}

func merge(p, q vision.RLE, op Operation) []uint32 {
	var counts []uint32
	var run uint32
	in := false
	walk(p, q, func(n int, a, b bool) {
		now := a || b
		if op == Intersect {
			now = a && b
		}
		if now != in {
			counts = append(counts, run)
			run, in = 0, now
		}
		run += uint32(n)
	})
	return append(counts, run)
}

// walk goes over two masks of one size and calls f for each stretch of pixels
// on which neither changes; n is above 0.
func walk(p, q vision.RLE, f func(n int, a, b bool)) {
	var i, j int // the runs that come next
	var left, right int
	a, b := true, true
	for {
		for left == 0 && i < len(p.Counts) {
			left, a, i = int(p.Counts[i]), !a, i+1
		}
		for right == 0 && j < len(q.Counts) {
			right, b, j = int(q.Counts[j]), !b, j+1
		}
		n := min(left, right)
		if n == 0 {
			return
		}
		f(n, a, b)
		left, right = left-n, right-n
	}
}
