package loss

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// pixels is the segmentation loss on its own: logits as a leaf that trains.
type pixels struct {
	logits            *buffer.Buffer
	labels            []int64
	cost, grad, parts *ops.Node
	exec              *vm.Executor
}

func newPixels(t *testing.T, dt tensor.Dtype, shape []int, logits []float64, size []int, labels []int64, c SegmentConfig, shards ops.Collective) *pixels {
	t.Helper()
	g := ops.NewGraph(dt)
	x := g.Input("logits", buffer.F32, true, shape...)
	y := g.Input("labels", buffer.I64, false, size...)
	p := &pixels{logits: fill(g, x, logits), labels: slices.Clone(labels), cost: Segment(g, x, y, c)}
	p.parts = SegmentParts(g, p.cost)
	gs, err := gorgonia.Grad(p.cost, x)
	if err != nil {
		t.Fatal(err)
	}
	p.grad = gs[0]
	program, err := vm.Compile(g, p.cost, p.grad, p.parts)
	if err != nil {
		t.Fatal(err)
	}
	mem := map[*ops.Node]*buffer.Buffer{x: p.logits, y: buffer.Of(p.labels, size...)}
	if p.exec, err = vm.NewExecutor(program, vm.Binding{Kernels: kernels.Go{}, Inputs: mem, Collective: shards}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.exec.Close() })
	return p
}

func (p *pixels) run(t *testing.T) float64 {
	t.Helper()
	if err := p.exec.RunAll(); err != nil {
		t.Fatal(err)
	}
	return gradcheck.Read(p.exec.Value(p.cost))[0]
}

// stripes draws logits, and labels in stripes with ignored pixels among them;
// class k−1 does not occur.
func stripes(seed uint64, n, h, w, k, height, width int) (logits []float64, labels []int64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	for range n * h * w * k {
		logits = append(logits, 2*rng.NormFloat64())
	}
	for i := range n * height * width {
		label := int64(i/3+i/width) % int64(k-1)
		if rng.IntN(6) == 0 {
			label = []int64{Ignored, -1}[rng.IntN(2)]
		}
		labels = append(labels, label)
	}
	return logits, labels
}

var segmentConfigs = map[string]SegmentConfig{
	"plain":    {},
	"weights":  {ClassWeights: []float64{1, 3, 0.5, 2}},
	"focal":    {Focal: 2},
	"focal ½":  {Focal: 0.5, ClassWeights: []float64{1, 0, 2, 1}},
	"boundary": {Boundary: 10, BoundarySigma: 1.5},
	"dice":     {Dice: 1},
	"all":      {ClassWeights: []float64{1, 3, 0.5, 2}, Focal: 1.5, Boundary: 4, BoundarySigma: 2, Dice: 0.7},
}

// Finite differences, on logits of the labels' size, coarser ones, and finer.
func TestSegmentGradient(t *testing.T) {
	for name, c := range segmentConfigs {
		for _, size := range [][2]int{{4, 5}, {9, 11}, {3, 4}} {
			logits, labels := stripes(1, 2, 4, 5, 4, size[0], size[1])
			p := newPixels(t, tensor.Float64, []int{2, 4, 5, 4}, logits, []int{2, size[0], size[1]}, labels, c, nil)
			p.run(t)
			grad := gradcheck.Read(p.exec.Value(p.grad))
			const h = 1e-5
			worst := 0.0
			for i, mem := 0, p.logits.F64(); i < len(mem); i++ {
				x := mem[i]
				mem[i] = x + h
				up := p.run(t)
				mem[i] = x - h
				down := p.run(t)
				mem[i] = x
				worst = max(worst, math.Abs(grad[i]-(up-down)/(2*h)))
			}
			if worst > 1e-9 {
				t.Errorf("%s, labels %v: gradient is off by %.2g", name, size, worst)
			}
		}
	}
}

// The formula written down, on logits that were enlarged by their own formula.
func TestSegmentAgainstFormula(t *testing.T) {
	for name, c := range segmentConfigs {
		for _, size := range [][2]int{{4, 5}, {12, 9}} {
			const n, k = 2, 4
			logits, labels := stripes(5, n, 4, 5, k, size[0], size[1])
			p := newPixels(t, tensor.Float64, []int{n, 4, 5, k}, logits, []int{n, size[0], size[1]}, labels, c, nil)
			got, want := p.run(t), segmentByFormula(logits, labels, n, 4, 5, k, size[0], size[1], c)
			if math.Abs(got-want) > 1e-12*max(1, want) {
				t.Errorf("%s, labels %v: the loss is %v, by its formula %v", name, size, got, want)
			}
			parts := p.exec.Value(p.parts).F64()
			if math.Abs(parts[PartCrossEntropy]+parts[PartDice]-got) > 1e-12 || (parts[PartDice] != 0) != (c.Dice > 0) {
				t.Errorf("%s: parts %v of the loss %v", name, parts, got)
			}
		}
	}
}

func segmentByFormula(logits []float64, labels []int64, n, h, w, k, height, width int, c SegmentConfig) float64 {
	at := func(i, y, x, j int) float64 { return logits[((i*h+y)*w+x)*k+j] }
	source := func(i, old, n int) (int, int, float64) {
		u := math.Max(0, math.Min((float64(i)+.5)*float64(old)/float64(n)-.5, float64(old-1)))
		low := int(u)
		return low, min(low+1, old-1), u - float64(low)
	}
	other := func(img []int64, y, x int) bool {
		for _, d := range [][2]int{{0, 1}, {0, -1}, {1, 0}, {-1, 0}} {
			v, u := y+d[0], x+d[1]
			if v >= 0 && u >= 0 && v < height && u < width && !ignored(img[v*width+u]) && img[v*width+u] != img[y*width+x] {
				return !ignored(img[y*width+x])
			}
		}
		return false
	}
	sum, norm := 0.0, 0.0
	inter, squares, count := make([]float64, k), make([]float64, k), make([]float64, k)
	for i := range n {
		img := labels[i*height*width : (i+1)*height*width]
		for y := range height {
			for x := range width {
				label := img[y*width+x]
				if ignored(label) {
					continue
				}
				p, total := make([]float64, k), 0.0
				for j := range p {
					y0, y1, fy := source(y, h, height)
					x0, x1, fx := source(x, w, width)
					v := (1-fy)*((1-fx)*at(i, y0, x0, j)+fx*at(i, y0, x1, j)) + fy*((1-fx)*at(i, y1, x0, j)+fx*at(i, y1, x1, j))
					p[j] = math.Exp(v)
					total += p[j]
				}
				weight := 1.0
				if c.ClassWeights != nil {
					weight = c.ClassWeights[label]
				}
				if c.Boundary > 0 {
					best := math.Inf(1)
					for v := range height {
						for u := range width {
							if other(img, v, u) {
								best = math.Min(best, float64((v-y)*(v-y)+(u-x)*(u-x)))
							}
						}
					}
					weight *= 1 + c.Boundary*math.Exp(-best/(2*c.BoundarySigma*c.BoundarySigma))
				}
				for j := range p {
					p[j] /= total
					squares[j] += p[j] * p[j]
				}
				inter[label] += p[label]
				count[label]++
				norm += weight
				sum -= weight * math.Pow(1-p[label], c.Focal) * math.Log(p[label])
			}
		}
	}
	dice, classes := 0.0, 0.0
	for j := range count {
		if count[j] > 0 {
			dice += 1 - 2*inter[j]/(squares[j]+count[j])
			classes++
		}
	}
	return sum/norm + c.Dice*dice/classes
}

// Three pixels with probabilities ½·½, ¾·¼ and one that is ignored; class 0 has
// the weight 1, class 1 the weight 3; the labels are 0 and 1.
//
//	cross-entropy: (1·ln 2 + 3·ln 4)/(1 + 3)
//	Dice of class 0: 1 − 2·½/(¼ + 9/16 + 1)      of class 1: 1 − 2·¼/(¼ + 1/16 + 1)
//	focal, γ = 2: (1·¼·ln 2 + 3·9/16·ln 4)/4
func TestSegmentByHand(t *testing.T) {
	logits, labels := []float64{1, 1, math.Log(3), 0, 50, -50}, []int64{0, 1, Ignored}
	weights := []float64{1, 3}
	dice := (1-1/(.25+9./16+1))/2 + (1-.5/(.25+1./16+1))/2
	for _, c := range []struct {
		SegmentConfig
		want float64
	}{
		{SegmentConfig{ClassWeights: weights}, (math.Ln2 + 3*math.Log(4)) / 4},
		{SegmentConfig{ClassWeights: weights, Focal: 2}, (math.Ln2/4 + 3*9./16*math.Log(4)) / 4},
		{SegmentConfig{ClassWeights: weights, Dice: 2}, (math.Ln2+3*math.Log(4))/4 + 2*dice},
	} {
		p := newPixels(t, tensor.Float64, []int{1, 1, 3, 2}, logits, []int{1, 1, 3}, labels, c.SegmentConfig, nil)
		if got := p.run(t); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v: the loss is %v, want %v", c.SegmentConfig, got, c.want)
		}
		if g := p.exec.Value(p.grad).F64(); g[4] != 0 || g[5] != 0 {
			t.Errorf("an ignored pixel has the gradient %v", g[4:])
		}
	}
}

// A batch as one shard and as two, one of which lacks a class and, in the second
// split, every labelled pixel.
func TestSegmentShardsAgree(t *testing.T) {
	const n, k = 4, 4
	for name, c := range segmentConfigs {
		for _, size := range [][2]int{{4, 5}, {9, 11}} {
			logits, labels := stripes(3, n, 4, 5, k, size[0], size[1])
			per, coarse := size[0]*size[1], 4*5*k
			for i := range per {
				labels[i] = Ignored
			}
			for i := per; i < 2*per; i++ {
				if labels[i] == 2 {
					labels[i] = 0
				}
			}
			one := newPixels(t, tensor.Float64, []int{n, 4, 5, k}, logits, []int{n, size[0], size[1]}, labels, c, nil)
			want := one.run(t)
			for _, split := range []int{1, 2} {
				group := vm.NewGroup(2)
				parts := []*pixels{
					newPixels(t, tensor.Float64, []int{split, 4, 5, k}, logits[:split*coarse], []int{split, size[0], size[1]}, labels[:split*per], c, group.Member(0)),
					newPixels(t, tensor.Float64, []int{n - split, 4, 5, k}, logits[split*coarse:], []int{n - split, size[0], size[1]}, labels[split*per:], c, group.Member(1)),
				}
				done := make(chan error)
				for _, p := range parts {
					go func() { done <- p.exec.RunAll() }()
				}
				for range parts {
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				sum, grad := 0.0, []float64(nil)
				for _, p := range parts {
					sum += p.exec.Value(p.cost).F64()[0]
					grad = append(grad, p.exec.Value(p.grad).F64()...)
				}
				if math.Abs(sum-want) > 1e-9 {
					t.Errorf("%s, split at %d: losses add up to %v, one shard has %v", name, split, sum, want)
				}
				if e := gradcheck.RangeError(grad, one.exec.Value(one.grad).F64()); e > 1e-6 {
					t.Errorf("%s, split at %d: gradients differ by %.2g of the range", name, split, e)
				}
			}
		}
	}
}

// The same step gives the same bytes, allocates nothing, and float32 agrees
// with float64.
func TestSegmentStep(t *testing.T) {
	for _, size := range [][2]int{{4, 5}, {16, 20}} {
		c := segmentConfigs["all"]
		logits, labels := stripes(9, 2, 4, 5, 4, size[0], size[1])
		shape, labelled := []int{2, 4, 5, 4}, []int{2, size[0], size[1]}
		exact, p := newPixels(t, tensor.Float64, shape, logits, labelled, labels, c, nil), newPixels(t, tensor.Float32, shape, logits, labelled, labels, c, nil)
		want, first := exact.run(t), p.run(t)
		grad := gradcheck.Read(p.exec.Value(p.grad))
		if math.Abs(first-want) > 1e-6*want {
			t.Errorf("float32 gives %v, float64 %v", first, want)
		}
		if e := gradcheck.RangeError(grad, gradcheck.Read(exact.exec.Value(exact.grad))); e > 1e-5 {
			t.Errorf("float32 gradients are off by %.2g of the range", e)
		}
		if a := testing.AllocsPerRun(5, func() { _ = p.exec.RunAll() }); a != 0 {
			t.Errorf("%v allocations per step", a)
		}
		if again := p.run(t); again != first || !slices.Equal(grad, gradcheck.Read(p.exec.Value(p.grad))) {
			t.Error("a second step on the same numbers gives other bytes")
		}
	}
}

// Validation wants no gradient and no parts: the loss is the same.
func TestSegmentValueAlone(t *testing.T) {
	for name, c := range segmentConfigs {
		for _, size := range [][2]int{{4, 5}, {9, 11}} {
			shape, labelled := []int{2, 4, 5, 4}, []int{2, size[0], size[1]}
			logits, labels := stripes(6, 2, 4, 5, 4, size[0], size[1])
			want := newPixels(t, tensor.Float32, shape, logits, labelled, labels, c, nil).run(t)
			g := ops.NewGraph(tensor.Float32)
			x, y := g.Input("logits", buffer.F32, false, shape...), g.Input("labels", buffer.I64, false, labelled...)
			cost := Segment(g, x, y, c)
			program, err := vm.Compile(g, cost)
			if err != nil {
				t.Fatal(err)
			}
			e, err := vm.NewExecutor(program, vm.Binding{Kernels: kernels.Go{}, Inputs: map[*ops.Node]*buffer.Buffer{x: fill(g, x, logits), y: buffer.Of(labels, labelled...)}})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.RunAll(); err != nil {
				t.Fatal(err)
			}
			if got := gradcheck.Read(e.Value(cost))[0]; got != want {
				t.Errorf("%s, labels %v: the loss is %v, with its gradient %v", name, size, got, want)
			}
			e.Close()
		}
	}
}

// A batch without a labelled pixel, and logits that ran away, give finite
// numbers; a label that is no class is an error in every shard.
func TestSegmentExtremes(t *testing.T) {
	c := segmentConfigs["all"]
	shape, size := []int{1, 4, 5, 4}, []int{1, 4, 5}
	logits, labels := stripes(9, 1, 4, 5, 4, 4, 5)
	p := newPixels(t, tensor.Float32, shape, logits, size, labels, c, nil)
	for i := range p.logits.F32() {
		p.logits.F32()[i] = []float32{1e30, -1e30, 3e4, 0}[i%4]
	}
	loss := p.run(t)
	for _, g := range append(gradcheck.Read(p.exec.Value(p.grad)), loss) {
		if math.IsNaN(g) || math.IsInf(g, 0) {
			t.Fatal("logits that run away give a loss or gradient that is not a number")
		}
	}
	for i := range p.labels {
		p.labels[i] = Ignored
	}
	loss = p.run(t)
	for _, g := range append(gradcheck.Read(p.exec.Value(p.grad)), loss) {
		if g != 0 {
			t.Fatalf("nothing is labelled: loss %v, gradient %v", loss, gradcheck.Read(p.exec.Value(p.grad)))
		}
	}
	group := vm.NewGroup(2)
	wrong := slices.Clone(labels)
	wrong[7] = 4
	done := make(chan error)
	for i, l := range [][]int64{labels, wrong} {
		q := newPixels(t, tensor.Float32, shape, logits, size, l, c, group.Member(i))
		go func() { done <- q.exec.RunAll() }()
	}
	for range 2 {
		if <-done == nil {
			t.Error("label 4 of 4 classes is accepted")
		}
	}
}

func TestSegmentRefuses(t *testing.T) {
	refused := func(logits, labels []int, c SegmentConfig) (err error) {
		defer ops.Recover(&err)
		g := ops.NewGraph(tensor.Float32)
		Segment(g, g.Input("x", buffer.F32, true, logits...), g.Input("y", buffer.I64, false, labels...), c)
		return nil
	}
	if err := refused([]int{2, 4, 4, 3}, []int{2, 16, 16}, SegmentConfig{}); err != nil {
		t.Error(err)
	}
	for _, bad := range []struct {
		logits, labels []int
		c              SegmentConfig
	}{
		{[]int{2, 16, 3}, []int{2, 4, 4}, SegmentConfig{}},
		{[]int{2, 4, 4, 3}, []int{1, 4, 4}, SegmentConfig{}},
		{[]int{2, 4, 4, 256}, []int{2, 4, 4}, SegmentConfig{}},
		{[]int{2, 4, 4, 3}, []int{2, 4, 4}, SegmentConfig{ClassWeights: []float64{1}}},
		{[]int{2, 4, 4, 3}, []int{2, 4, 4}, SegmentConfig{Dice: -1}},
	} {
		if refused(bad.logits, bad.labels, bad.c) == nil {
			t.Errorf("logits %v, labels %v, %+v are accepted", bad.logits, bad.labels, bad.c)
		}
	}
	g := ops.NewGraph(tensor.Float32)
	err := func() (err error) {
		defer ops.Recover(&err)
		Segment(g, g.Input("x", buffer.F32, true, 1, 2, 2, 2), g.Input("y", buffer.F32, false, 1, 2, 2), SegmentConfig{})
		return nil
	}()
	if err == nil {
		t.Error("labels of floats are accepted")
	}
}
