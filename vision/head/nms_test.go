package head_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
)

// bruteNMS removes, one after the other, the best of what is left and all that
// it overlaps.
func bruteNMS(n head.NMS, found []vision.Detection) (kept []vision.Detection) {
	left := slices.Clone(found)
	for len(left) > 0 && len(kept) < n.Max {
		best := 0
		for i, d := range left {
			if d.Score > left[best].Score {
				best = i
			}
		}
		b := left[best]
		kept = append(kept, b)
		left = slices.Delete(left, best, best+1)
		left = slices.DeleteFunc(left, func(d vision.Detection) bool {
			return (n.Agnostic || d.Class == b.Class) && d.Box.IoU(b.Box) > n.IoU
		})
	}
	return kept
}

func TestNMS(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var found []vision.Detection
		for range rng.IntN(60) {
			found = append(found, vision.Detection{Class: rng.IntN(3), Score: float64(rng.IntN(10)) / 10, // ties
				Box: vision.XYWH(20*rng.Float64(), 20*rng.Float64(), 5+10*rng.Float64(), 5+10*rng.Float64())})
		}
		n := head.NMS{IoU: 0.1 + 0.8*rng.Float64(), Agnostic: rng.IntN(2) == 0, Max: 1 + rng.IntN(40)}
		before := slices.Clone(found)
		if got, want := n.Apply(found), bruteNMS(n, found); !slices.Equal(got, want) {
			t.Fatalf("%+v of %v\nkeeps %v\nwant  %v", n, found, got, want)
		}
		if !slices.Equal(found, before) {
			t.Fatal("Apply changed what it was given")
		}
	}
	same := vision.Detection{Score: 0.5, Box: vision.XYWH(0, 0, 10, 10)}
	if got := (head.NMS{}).Apply([]vision.Detection{same, same}); len(got) != 1 {
		t.Errorf("of two equal boxes %d are kept", len(got))
	}
	if got := (head.NMS{}).Apply(nil); len(got) != 0 {
		t.Errorf("of nothing %d are kept", len(got))
	}
}
