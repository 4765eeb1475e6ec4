package head_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/loss"
	"github.com/vislora/vislora/vision/mask"
)

// A detector with prototypes on fixed noise learns objects by heart that their
// boxes do not tell: discs, a triangle over one of them. Losses, matches, heads
// and the making of masks understand each other.
func TestInstancesLearn(t *testing.T) {
	type thing struct {
		vision.Detection
		inside func(x, y float64) bool
	}
	disc := func(cx, cy, r float64) func(x, y float64) bool {
		return func(x, y float64) bool { return math.Hypot(x-cx, y-cy) < r }
	}
	things := []thing{
		{vision.Detection{Class: 0, Box: vision.XYWH(4, 4, 24, 24)}, disc(16, 16, 12)},
		{vision.Detection{Class: 1, Box: vision.XYWH(28, 20, 32, 36)}, func(x, y float64) bool {
			return x > 28 && y < 56 && (y-20)/36 > (x-28)/32
		}},
		{vision.Detection{Class: 0, Box: vision.XYWH(38, 22, 20, 20)}, disc(48, 32, 10)},
	}
	const rows, count = 4, 6
	p := newPupil()
	rng := rand.New(rand.NewPCG(3, 3))
	var maps []*ops.Node
	for i, side := range []int{8, 4, 2} {
		maps = append(maps, p.input(string(rune('a'+i)), noise(rng, side*side*8), 1, side, side, 8))
	}
	targets, masks := make([]float32, rows*5), make([]float32, rows*16*16)
	targets[0] = -1 // the first row is padding
	var want []vision.RLE
	for i, o := range things {
		b := o.Box
		copy(targets[5*(i+1):], []float32{float32(o.Class), float32(b.X1+b.X2) / 2, float32(b.Y1+b.Y2) / 2, float32(b.X2 - b.X1), float32(b.Y2 - b.Y1)})
		pixels := make([]byte, 64*64)
		for j := range pixels {
			if y, x := j/64, j%64; o.inside(float64(x)+.5, float64(y)+.5) {
				pixels[j] = 1
				masks[(i+1)*16*16+y/4*16+x/4] += 1. / 16 // the part of the cell that it covers
			}
		}
		r, err := mask.Encode(pixels, 64, 64, mask.Rows)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r)
	}
	boxes := p.input("targets", targets, 1, rows, 5)
	shapes := p.input("masks", masks, 1, rows, 16, 16)
	d := head.NewDetect(head.DetectConfig{Classes: 2, Channels: []int{8, 8, 8}, Width: 16, MaskCoefficients: count})
	protonet := head.NewPrototypes(head.PrototypesConfig{Channels: 8, Count: count, Width: 16, Convs: 1})
	d.Init(1)
	protonet.Init(1)
	levels := head.Levels(maps, []int{8, 16, 32})
	raw, prototypes := d.Forward(p.g, p.add(d), maps), protonet.Forward(p.g, p.add(protonet), maps)
	cost := loss.Detect(p.g, raw, boxes, loss.DetectConfig{Levels: levels, Classes: 2})
	maskCost := loss.InstanceMasks(p.g, prototypes, raw, loss.DetectMatches(p.g, cost), boxes, shapes, loss.MaskConfig{Stride: protonet.Stride(8)})
	e := p.learn(t, p.g.Add(cost, maskCost), 450, 0.01, raw, prototypes)

	out := e.Value(raw).F32()
	decode := head.Decode{Classes: 2, Levels: levels, Conf: 0.5, Sigmoid: true, Coefficients: count}
	found, cells := decode.YOLOXCells(out)
	kept := head.NMS{}.Keep(found)
	if len(kept) != len(things) {
		t.Errorf("%d detections of %d objects", len(kept), len(things))
	}
	m := head.MaskDecode{View: head.View{Map: [2]int{16, 16}, Input: [2]int{64, 64}}}
	for i, o := range things {
		best := 0.0
		for _, k := range kept {
			if found[k].Class != o.Class {
				continue
			}
			r, err := m.Mask(e.Value(prototypes).F32(), decode.MaskCoefficients(out, cells[k]), found[k].Box, 64, 64)
			if err != nil {
				t.Fatal(err)
			}
			iou, err := mask.IoU([]vision.RLE{r}, want[i:i+1], nil)
			if err != nil {
				t.Fatal(err)
			}
			best = max(best, iou[0][0])
		}
		t.Logf("%v is found with a mask of IoU %.3f", o.Box, best)
		if best < 0.9 {
			t.Errorf("%v is found with a mask of IoU %.3f", o.Box, best)
		}
	}
}
