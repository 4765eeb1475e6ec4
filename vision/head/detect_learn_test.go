package head_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/loss"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A small head on fixed noise learns its boxes by heart: loss, head, decoding and
// suppression understand each other.
func TestDetectLearns(t *testing.T) {
	g := ops.NewGraph(tensor.Float32)
	mem := map[*ops.Node]*buffer.Buffer{}
	rng := rand.New(rand.NewPCG(3, 3))
	var maps []*ops.Node
	for i, side := range []int{8, 4, 2} {
		m := g.Input(string(rune('a'+i)), buffer.F32, false, 1, side, side, 6)
		mem[m] = buffer.New(buffer.F32, 1, side, side, 6)
		for j := range mem[m].F32() {
			mem[m].F32()[j] = float32(rng.NormFloat64())
		}
		maps = append(maps, m)
	}
	h := head.NewDetect(head.DetectConfig{Classes: 2, Channels: []int{6, 6, 6}, Width: 12})
	h.Init(1)
	leaves := map[string]*ops.Node{}
	var params gorgonia.Nodes
	for _, p := range h.Params() {
		n := g.Input(p.Name, buffer.F32, true, p.Dims...)
		leaves[p.Name], mem[n] = n, buffer.Of(p.Data, p.Dims...)
		params = append(params, n)
	}
	objects := []vision.Detection{
		{Class: 0, Box: vision.XYWH(4, 6, 14, 20)},
		{Class: 1, Box: vision.XYWH(30, 10, 30, 24)},
		{Class: 0, Box: vision.XYWH(10, 36, 44, 25)},
	}
	targets := g.Input("targets", buffer.F32, false, 1, 4, 5)
	mem[targets] = buffer.New(buffer.F32, 1, 4, 5)
	for i := range 4 {
		row := mem[targets].F32()[5*i : 5*i+5]
		if row[0] = -1; i < len(objects) {
			b := objects[i].Box
			copy(row, []float32{float32(objects[i].Class), float32(b.X1+b.X2) / 2, float32(b.Y1+b.Y2) / 2, float32(b.X2 - b.X1), float32(b.Y2 - b.Y1)})
		}
	}
	levels := head.Levels(maps, []int{8, 16, 32})
	raw := h.Forward(g, func(name string) *ops.Node { return leaves[name] }, maps)
	cost := loss.Detect(g, raw, targets, loss.DetectConfig{Levels: levels})
	grads, err := gorgonia.Grad(cost, params...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := vm.Compile(g, append([]*ops.Node{cost, raw}, grads...)...)
	if err != nil {
		t.Fatal(err)
	}
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var first, last float64
	const steps, momentum = 600, 0.9
	velocity := make([][]float32, len(params))
	for i, n := range params {
		velocity[i] = make([]float32, mem[n].Len())
	}
	for step := range steps {
		if err := e.RunAll(); err != nil {
			t.Fatal(err)
		}
		last = gradcheck.Read(e.Value(cost))[0]
		if step == 0 {
			first = last
		}
		rate := 0.01 * (1 - float32(step)/steps)
		for i, n := range params {
			w, v, d := mem[n].F32(), velocity[i], e.Value(grads[i]).F32()
			for j := range w {
				v[j] = momentum*v[j] + d[j]
				w[j] -= rate * v[j]
			}
		}
	}
	t.Logf("the loss fell from %.2f to %.2f", first, last)
	found := head.NMS{}.Apply(head.Decode{Classes: 2, Levels: levels, Conf: 0.5, Sigmoid: true}.YOLOX(e.Value(raw).F32()))
	if len(found) != len(objects) {
		t.Errorf("%d detections of %d objects: %v", len(found), len(objects), found)
	}
	for _, o := range objects {
		best := 0.0
		for _, d := range found {
			if d.Class == o.Class {
				best = max(best, d.Box.IoU(o.Box))
			}
		}
		t.Logf("%v is found with IoU %.3f", o.Box, best)
		if best < 0.9 {
			t.Errorf("%v is found with an IoU of %.3f", o.Box, best)
		}
	}
}
