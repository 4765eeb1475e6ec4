package head_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/loss"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// pupil is a graph that a test trains by gradient descent with momentum.
type pupil struct {
	g      *ops.Graph
	mem    map[*ops.Node]*buffer.Buffer
	params gorgonia.Nodes
}

func newPupil() *pupil {
	return &pupil{g: ops.NewGraph(tensor.Float32), mem: map[*ops.Node]*buffer.Buffer{}}
}

// input is a leaf filled with values.
func (p *pupil) input(name string, values []float32, shape ...int) *ops.Node {
	n := p.g.Input(name, buffer.F32, false, shape...)
	p.mem[n] = buffer.Of(values, shape...)
	return n
}

// add makes leaves of a module's parameters.
func (p *pupil) add(m module) head.Leaf {
	leaves := map[string]*ops.Node{}
	for _, q := range m.Params() {
		n := p.g.Input(q.Name, buffer.F32, true, q.Dims...)
		leaves[q.Name], p.mem[n] = n, buffer.Of(q.Data, q.Dims...)
		p.params = append(p.params, n)
	}
	return func(name string) *ops.Node { return leaves[name] }
}

// learn runs the steps; the executor's last run is that of the trained
// parameters.
func (p *pupil) learn(t *testing.T, cost *ops.Node, steps int, rate float32, roots ...*ops.Node) *vm.Executor {
	t.Helper()
	grads, err := gorgonia.Grad(cost, p.params...)
	if err != nil {
		t.Fatal(err)
	}
	program, err := vm.Compile(p.g, append(append([]*ops.Node{cost}, roots...), grads...)...)
	if err != nil {
		t.Fatal(err)
	}
	e, err := vm.NewExecutor(program, vm.Binding{Kernels: kernels.Go{}, Inputs: p.mem})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	velocity := make([][]float32, len(p.params))
	for i, n := range p.params {
		velocity[i] = make([]float32, p.mem[n].Len())
	}
	first := 0.0
	for step := range steps + 1 {
		if err := e.RunAll(); err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			first = gradcheck.Read(e.Value(cost))[0]
		}
		if step == steps {
			break
		}
		fall := rate * (1 - float32(step)/float32(steps))
		for i, n := range p.params {
			w, v, d := p.mem[n].F32(), velocity[i], e.Value(grads[i]).F32()
			for j := range w {
				v[j] = 0.9*v[j] + d[j]
				w[j] -= fall * v[j]
			}
		}
	}
	t.Logf("the loss fell from %.3f to %.3f", first, gradcheck.Read(e.Value(cost))[0])
	return e
}

// blobs is a picture of 64×64 pixels: a disc of class 1, a rectangle of class 2
// and a ring that is ignored around the disc.
func blobs() (labels []int64) {
	for i := range 64 * 64 {
		y, x := i/64, i%64
		d := math.Hypot(float64(y-20), float64(x-22))
		switch {
		case d < 13:
			labels = append(labels, 1)
		case d < 15:
			labels = append(labels, loss.Ignored)
		case y >= 30 && y < 54 && x >= 38 && x < 60:
			labels = append(labels, 2)
		default:
			labels = append(labels, 0)
		}
	}
	return labels
}

// meanIoU over three classes, without ignored pixels.
func meanIoU(labels []uint8, truth []int64) float64 {
	var both, either [3]float64
	for i, want := range truth {
		if want == loss.Ignored {
			continue
		}
		got := int64(labels[i])
		either[got]++
		if got == want {
			both[got]++
		} else {
			either[want]++
		}
	}
	return (both[0]/either[0] + both[1]/either[1] + both[2]/either[2]) / 3
}

// Small heads on fixed noise learn a picture by heart: head, loss and labels
// understand each other.
func TestSegmentLearns(t *testing.T) {
	truth := blobs()
	for name, c := range map[string]struct {
		loss    loss.SegmentConfig
		sides   []int
		forward func(p *pupil, maps []*ops.Node) *ops.Node
	}{
		"pyramid": {loss.SegmentConfig{ClassWeights: []float64{1, 2, 2}, Dice: 1, Boundary: 3}, []int{16, 8, 4}, func(p *pupil, maps []*ops.Node) *ops.Node {
			h := head.NewSegment(head.SegmentConfig{Classes: 3, Channels: []int{8, 8, 8}, Width: 16})
			h.Init(1)
			return h.Forward(p.g, p.add(h), maps)
		}},
		"fcn": {loss.SegmentConfig{}, []int{16}, func(p *pupil, maps []*ops.Node) *ops.Node {
			h := head.NewSegmentFCN(head.SegmentFCNConfig{Classes: 3, Channels: 8, Width: 16})
			h.Init(1)
			return h.Forward(p.g, p.add(h), maps)
		}},
		"tokens": {loss.SegmentConfig{Focal: 1, Dice: 1}, []int{4}, func(p *pupil, maps []*ops.Node) *ops.Node {
			h := head.NewSegmentTokens(head.SegmentTokensConfig{Classes: 3, Channels: 8, Width: 16})
			h.Init(1)
			return h.Forward(p.g, p.add(h), maps)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPupil()
			rng := rand.New(rand.NewPCG(3, 3))
			var maps []*ops.Node
			for i, side := range c.sides {
				maps = append(maps, p.input(string(rune('a'+i)), noise(rng, side*side*8), 1, side, side, 8))
			}
			labels := p.g.Input("labels", buffer.I64, false, 1, 64, 64)
			p.mem[labels] = buffer.Of(truth, 1, 64, 64)
			logits := c.forward(p, maps)
			cost := loss.Segment(p.g, logits, labels, c.loss)
			e := p.learn(t, cost, 120, 0.05, logits)
			v := head.View{Map: [2]int{16, 16}, Input: [2]int{64, 64}}
			got, err := v.Labels(e.Value(logits).F32(), 64, 64)
			if err != nil {
				t.Fatal(err)
			}
			iou := meanIoU(got, truth)
			t.Logf("mIoU %.4f", iou)
			if iou < 0.95 {
				t.Errorf("mIoU %.4f after learning by heart", iou)
			}
		})
	}
}
