package loss

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/vision"
)

// IoU is what vision.Box says, symmetric, 1 for a box with itself, and blind to
// translation and scale; GIoU is at most IoU, above −1, and equal to IoU when
// one box contains the other.
func TestIoUIdentities(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() vision.Box {
		return vision.XYWH(20*rng.Float64(), 20*rng.Float64(), 1+10*rng.Float64(), 1+10*rng.Float64())
	}
	same := func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }
	for range 500 {
		p, q := draw(), draw()
		iou, _ := iouGrad(p, q)
		back, _ := iouGrad(q, p)
		giou, _ := giouGrad(p, q)
		s := 1 + 3*rng.Float64()
		move := func(b vision.Box) vision.Box {
			return vision.Box{X1: s*b.X1 + 5, Y1: s*b.Y1 - 7, X2: s*b.X2 + 5, Y2: s*b.Y2 - 7}
		}
		moved, _ := iouGrad(move(p), move(q))
		gmoved, _ := giouGrad(move(p), move(q))
		if !same(iou, p.IoU(q)) || !same(iou, back) || !same(iou, moved) || !same(giou, gmoved) {
			t.Fatalf("%v and %v: IoU %v, exchanged %v, moved %v, of Box %v", p, q, iou, back, moved, p.IoU(q))
		}
		if giou > iou+1e-12 || giou <= -1 {
			t.Fatalf("%v and %v: GIoU %v, IoU %v", p, q, giou, iou)
		}
		inner := vision.Box{X1: p.X1 + .2, Y1: p.Y1 + .1, X2: p.X2 - .3, Y2: p.Y2 - .4}
		a, _ := iouGrad(p, inner)
		b, _ := giouGrad(p, inner)
		if !same(a, b) || !same(a, inner.Area()/p.Area()) {
			t.Fatalf("%v in %v: IoU %v, GIoU %v", inner, p, a, b)
		}
		one, _ := iouGrad(p, p)
		gone, _ := giouGrad(p, p)
		if !same(one, 1) || !same(gone, 1) {
			t.Fatalf("%v with itself: IoU %v, GIoU %v", p, one, gone)
		}
	}
	apart, slope := iouGrad(vision.Box{X2: 1, Y2: 1}, vision.Box{X1: 3, X2: 4, Y2: 1})
	gapart, gslope := giouGrad(vision.Box{X2: 1, Y2: 1}, vision.Box{X1: 3, X2: 4, Y2: 1})
	if apart != 0 || slope != [4]float64{} || !same(gapart, -.5) || gslope[2] <= 0 {
		t.Errorf("boxes apart: IoU %v, slope %v, GIoU %v, slope %v", apart, slope, gapart, gslope)
	}
	if v, g := giouGrad(vision.Box{}, vision.Box{}); v != 0 || g != [4]float64{} {
		t.Errorf("empty boxes: %v, %v", v, g)
	}
}
