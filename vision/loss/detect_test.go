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

// trial is a loss on its own: predictions as a leaf that trains.
type trial struct {
	raw, targets, l1  *buffer.Buffer
	cost, grad, parts *ops.Node
	exec              *vm.Executor
}

var testLevels = []Level{{6, 8, 8}, {3, 4, 16}, {2, 2, 32}} // 64 cells of an image of 64×48 pixels

func newTrial(t *testing.T, dt tensor.Dtype, raw, targets []float64, n, k int, c DetectConfig, shards ops.Collective) *trial {
	t.Helper()
	var l1 *buffer.Buffer
	tr := newTrialOf(t, dt, raw, targets, n, 5+k, func(g *ops.Graph, x, y *ops.Node, mem map[*ops.Node]*buffer.Buffer) *ops.Node {
		c.L1 = g.Input("l1", buffer.F32, false, 1)
		l1 = fill(g, c.L1, []float64{0})
		mem[c.L1] = l1
		return Detect(g, x, y, c)
	}, shards)
	tr.l1 = l1
	return tr
}

// newTrialOf is newTrial for any loss, of predictions of so many columns.
func newTrialOf(t *testing.T, dt tensor.Dtype, raw, targets []float64, n, columns int, loss func(g *ops.Graph, x, y *ops.Node, mem map[*ops.Node]*buffer.Buffer) *ops.Node, shards ops.Collective) *trial {
	t.Helper()
	g := ops.NewGraph(dt)
	x := g.Input("raw", buffer.F32, true, n, len(raw)/n/columns, columns)
	y := g.Input("targets", buffer.F32, false, n, len(targets)/n/5, 5)
	tr := &trial{raw: fill(g, x, raw), targets: fill(g, y, targets)}
	mem := map[*ops.Node]*buffer.Buffer{x: tr.raw, y: tr.targets}
	tr.cost = loss(g, x, y, mem)
	tr.parts = DetectParts(g, tr.cost)
	gs, err := gorgonia.Grad(tr.cost, x)
	if err != nil {
		t.Fatal(err)
	}
	tr.grad = gs[0]
	p, err := vm.Compile(g, tr.cost, tr.grad, tr.parts)
	if err != nil {
		t.Fatal(err)
	}
	if tr.exec, err = vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem, Collective: shards}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.exec.Close() })
	return tr
}

func fill(g *ops.Graph, n *ops.Node, values []float64) *buffer.Buffer {
	b := buffer.New(g.Storage(), n.Shape()...)
	for i, v := range values {
		if b.Storage == buffer.F64 {
			b.F64()[i] = v
		} else {
			b.F32()[i] = float32(v)
		}
	}
	return b
}

func (tr *trial) run(t *testing.T) float64 {
	t.Helper()
	if err := tr.exec.RunAll(); err != nil {
		t.Fatal(err)
	}
	return gradcheck.Read(tr.exec.Value(tr.cost))[0]
}

// scene draws n images of testLevels, with m rows of targets, the first image
// empty; predictions are near enough for overlaps.
func scene(seed uint64, n, m, k int) (raw, targets []float64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	for range n * 64 {
		raw = append(raw, rng.Float64(), rng.Float64(), 0.5+0.6*rng.NormFloat64(), 0.5+0.6*rng.NormFloat64())
		for range 1 + k {
			raw = append(raw, 2*rng.NormFloat64())
		}
	}
	for i := range n {
		for j := range m {
			if i == 0 || j == m-1 {
				targets = append(targets, -1, 0, 0, 0, 0)
				continue
			}
			targets = append(targets, float64(rng.IntN(k)), 64*rng.Float64(), 48*rng.Float64(), 4+30*rng.Float64(), 4+30*rng.Float64())
		}
	}
	return raw, targets
}

// differences is the largest difference of the gradient from finite ones. hold
// keeps the matches and class targets.
func (tr *trial) differences(t *testing.T, hold *bool) float64 {
	t.Helper()
	tr.run(t)
	grad := gradcheck.Read(tr.exec.Value(tr.grad))
	if tr.exec.Value(tr.parts).F64()[PartPositives] < 6 {
		t.Fatal("a scene without objects proves nothing")
	}
	*hold = true
	const h = 1e-6
	worst := 0.0
	mem := tr.raw.F64()
	for i, x := range mem {
		mem[i] = x + h
		up := tr.run(t)
		mem[i] = x - h
		down := tr.run(t)
		mem[i] = x
		worst = max(worst, math.Abs(grad[i]-(up-down)/(2*h)))
	}
	return worst
}

// Finite differences, with the matches and class targets held.
func TestDetectGradient(t *testing.T) {
	for name, c := range map[string]DetectConfig{"IoU": {}, "GIoU": {GIoU: true}, "narrow": {Radius: 1, TopK: 3, BoxWeight: 2}} {
		for _, l1 := range []float64{0, 1.5} {
			hold := false
			c.Levels, c.hold = testLevels, &hold
			raw, targets := scene(3, 3, 6, 3)
			tr := newTrial(t, tensor.Float64, raw, targets, 3, 3, c, nil)
			tr.l1.F64()[0] = l1
			if worst := tr.differences(t, &hold); worst > 1e-7 {
				t.Errorf("%s, L1 %v: gradient is off by %.2g", name, l1, worst)
			}
		}
	}
}

// Four cells of 8 pixels that predict their own area, except that the third
// predicts x 0…8, y 4…16. All logits are 0, so a pair costs ln 2 − 3·ln IoU.
//
//	object             IoU with cells 0, 1, 2, 3    sum → k   takes
//	A 0…12 × 0…8       2/3, 1/4, 1/5, 0             1.1 → 1   0, at ln 2 − 3·ln 2/3
//	B 0…8  × 0…16      1/2, 0,   3/4, 0             1.3 → 1   2
//	C 0…8  × 0…8       1,   0,   1/4, 0             1.3 → 1   0, at ln 2: it wins the cell
//
// In the second image cells 0 and 1 predict D exactly, so that k is 2:
//
//	D 0…16 × 0…8       1,   1,   1/5, 0             2.2 → 2   0 and 1
func TestSimOTAByHand(t *testing.T) {
	cell := func(x, y, w, h float64) []float64 { return []float64{x, y, math.Log(w), math.Log(h), 0, 0} }
	own, tall := cell(.5, .5, 1, 1), cell(.5, .25, 1, 1.5)
	raw := slices.Concat(own, own, tall, own, cell(1, .5, 2, 1), cell(0, .5, 2, 1), cell(.5, 0, 1, 1), own)
	targets := []float64{
		0, 6, 4, 12, 8, 0, 4, 8, 8, 16, 0, 4, 4, 8, 8,
		0, 8, 4, 16, 8, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0,
	}
	levels := []Level{{2, 2, 8}}
	e := &ops.Env{
		In:         []*buffer.Buffer{buffer.Of(raw, 2, 4, 6), buffer.Of(targets, 2, 3, 5)},
		Out:        buffer.New(buffer.F64),
		Slots:      []*buffer.Buffer{nil, nil},
		Collective: ops.Alone{},
	}
	d := newDetector[float64](e, cellsOf(levels), DetectConfig{Levels: levels}.withDefaults())
	d.run()
	if want := []int32{2, -1, 1, -1, 0, 0, -1, -1}; !slices.Equal(d.match, want) {
		t.Errorf("cells are matched to %v, want %v", d.match, want)
	}
	for i, want := range []float64{1, 0, .75, 0, 1, 1, 0, 0} {
		if math.Abs(d.iou[i]-want) > 1e-12 {
			t.Errorf("cell %d overlaps by %v, want %v", i, d.iou[i], want)
		}
	}
	// Boxes 5·(1 − 0.75²), objectness 8·ln 2, classes 4·ln 2, over 4 cells.
	if got, want := e.Out.F64()[0], (5*(1-.5625)+12*math.Ln2)/4; math.Abs(got-want) > 1e-12 {
		t.Errorf("the loss is %v, want %v", got, want)
	}
}

// The matching written down as matrices, as the paper's pseudocode does.
func TestSimOTAAgainstMatrices(t *testing.T) {
	for seed := range uint64(20) {
		raw, targets := scene(seed, 2, 12, 4)
		tr := &ops.Env{In: []*buffer.Buffer{buffer.Of(raw, 2, 64, 9), buffer.Of(targets, 2, 12, 5)}, Out: buffer.New(buffer.F64), Slots: make([]*buffer.Buffer, 2), Collective: ops.Alone{}}
		d := newDetector[float64](tr, cellsOf(testLevels), DetectConfig{Levels: testLevels}.withDefaults())
		d.run() // the second image's objects stay in d.objects
		if got, want := d.match[64:], matchByMatrices(d, raw[64*9:]); !slices.Equal(got, want) {
			t.Errorf("seed %d: cells are matched to\n%v, want\n%v", seed, got, want)
		}
	}
}

func matchByMatrices(d *detector[float64], raw []float64) []int32 {
	bce := func(p, t float64) float64 { return -t*math.Log(p) - (1-t)*math.Log(1-p) }
	n, g := len(d.cells), len(d.objects)
	candidate := make([]bool, n)
	cost, iou, chosen := make([][]float64, g), make([][]float64, g), make([][]bool, g)
	for i, o := range d.objects {
		cost[i], iou[i], chosen[i] = make([]float64, n), make([]float64, n), make([]bool, n)
		for a, c := range d.cells {
			row := raw[a*9 : (a+1)*9]
			x, y := c.centre()
			in := math.Abs(x-o.cx) < (o.box.X2-o.box.X1)/2 && math.Abs(y-o.cy) < (o.box.Y2-o.box.Y1)/2
			near := math.Max(math.Abs(x-o.cx), math.Abs(y-o.cy)) < 2.5*c.stride
			candidate[a] = candidate[a] || in || near
			iou[i][a] = decode(c, row).IoU(o.box)
			cost[i][a] = -3 * math.Log(iou[i][a]+1e-8)
			for k := range 4 {
				p := math.Sqrt(1 / (1 + math.Exp(-row[4])) / (1 + math.Exp(-row[5+k])))
				cost[i][a] += bce(p, map[bool]float64{true: 1}[k == o.class])
			}
			if !in || !near {
				cost[i][a] += 1e5
			}
		}
	}
	var places []int
	for a, c := range candidate {
		if c {
			places = append(places, a)
		}
	}
	for i := range g {
		by := func(v []float64, sign float64) []int {
			order := slices.Clone(places)
			slices.SortStableFunc(order, func(a, b int) int { return int(math.Copysign(2, sign*(v[a]-v[b]))) })
			return order
		}
		sum := 0.0
		for _, a := range by(iou[i], -1)[:min(10, len(places))] {
			sum += iou[i][a]
		}
		for _, a := range by(cost[i], 1)[:max(1, int(sum))] {
			chosen[i][a] = true
		}
	}
	match := make([]int32, n)
	for a := range match {
		count, best := 0, int32(0)
		match[a] = -1
		for i := range g {
			if cost[i][a] < cost[best][a] {
				best = int32(i)
			}
			if chosen[i][a] {
				match[a] = int32(i)
				count++
			}
		}
		if count > 1 {
			match[a] = best
		}
	}
	return match
}

// A batch as one shard and as two, one of which has no objects at all.
func TestDetectShardsAgree(t *testing.T) {
	raw, targets := scene(8, 4, 6, 3)
	c := DetectConfig{Levels: testLevels, GIoU: true}
	shardsAgree(t, raw, targets, func(raw, targets []float64, n int, shards ops.Collective) *trial {
		return newTrial(t, tensor.Float64, raw, targets, n, 3, c, shards)
	})
}

// shardsAgree runs four images at once and as two shards.
func shardsAgree(t *testing.T, raw, targets []float64, trialOf func(raw, targets []float64, n int, shards ops.Collective) *trial) {
	t.Helper()
	one := trialOf(raw, targets, 4, nil)
	want := one.run(t)
	for _, split := range []int{1, 2} { // the first image is empty
		group := vm.NewGroup(2)
		x, y := split*len(raw)/4, split*len(targets)/4
		parts := []*trial{
			trialOf(raw[:x], targets[:y], split, group.Member(0)),
			trialOf(raw[x:], targets[y:], 4-split, group.Member(1)),
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
		sum, grad, positives := 0.0, []float64(nil), 0.0
		for _, p := range parts {
			sum += p.exec.Value(p.cost).F64()[0]
			grad = append(grad, p.exec.Value(p.grad).F64()...)
			positives += p.exec.Value(p.parts).F64()[PartPositives]
		}
		if math.Abs(sum-want) > 1e-9 || positives != one.exec.Value(one.parts).F64()[PartPositives] {
			t.Errorf("split at %d: losses add up to %v with %v matches, one shard has %v", split, sum, positives, want)
		}
		if e := gradcheck.RangeError(grad, one.exec.Value(one.grad).F64()); e > 1e-6 {
			t.Errorf("split at %d: gradients differ by %.2g of the range", split, e)
		}
	}
}

// The same step gives the same bytes, allocates nothing, and float32 agrees
// with float64.
func TestDetectStep(t *testing.T) {
	raw, targets := scene(4, 3, 6, 3)
	c := DetectConfig{Levels: testLevels}
	exact, tr := newTrial(t, tensor.Float64, raw, targets, 3, 3, c, nil), newTrial(t, tensor.Float32, raw, targets, 3, 3, c, nil)
	exact.l1.F64()[0], tr.l1.F32()[0] = 1, 1
	sameStep(t, exact, tr)
}

// sameStep compares a trial in float64 with one in float32.
func sameStep(t *testing.T, exact, tr *trial) {
	t.Helper()
	want, first := exact.run(t), tr.run(t)
	grad := gradcheck.Read(tr.exec.Value(tr.grad))
	if math.Abs(first-want) > 1e-5*want {
		t.Errorf("float32 gives %v, float64 %v", first, want)
	}
	if e := gradcheck.RangeError(grad, gradcheck.Read(exact.exec.Value(exact.grad))); e > 1e-5 {
		t.Errorf("float32 gradients are off by %.2g of the range", e)
	}
	if a := testing.AllocsPerRun(5, func() { _ = tr.exec.RunAll() }); a != 0 {
		t.Errorf("%v allocations per step", a)
	}
	if again := tr.run(t); again != first || !slices.Equal(grad, gradcheck.Read(tr.exec.Value(tr.grad))) {
		t.Error("a second step on the same numbers gives other bytes")
	}
	sum := 0.0
	for _, p := range exact.exec.Value(exact.parts).F64()[:PartPositives] {
		sum += p
	}
	if math.Abs(sum-want) > 1e-9 {
		t.Errorf("parts add up to %v, the loss is %v", sum, want)
	}
}

// A batch without objects teaches objectness alone; one that ran away stays
// finite; a box far outside the image is matched to nothing.
func TestDetectExtremes(t *testing.T) {
	raw, targets := scene(2, 1, 2, 3)
	tr := newTrial(t, tensor.Float64, raw, targets, 1, 3, DetectConfig{Levels: testLevels}, nil)
	loss := tr.run(t)
	if parts := tr.exec.Value(tr.parts).F64(); parts[PartObjectness] != loss || parts[PartPositives] != 0 {
		t.Errorf("an empty image has parts %v", parts)
	}
	for i, g := range tr.exec.Value(tr.grad).F64() {
		if (i%8 == 4) != (g != 0) {
			t.Fatalf("an empty image has gradient %v at %d", g, i)
		}
	}
	copy(tr.targets.F64(), []float64{1, -900, -900, 10, 10})
	if tr.run(t); tr.exec.Value(tr.parts).F64()[PartPositives] != 0 {
		t.Error("a box far outside the image is matched")
	}
	copy(tr.targets.F64(), []float64{1, 30, 20, 20, 20})
	for i := range tr.raw.F64() {
		tr.raw.F64()[i] = []float64{1e4, -1e4, 900, 900, 300, -300, 300, -300}[i%8]
	}
	loss = tr.run(t)
	for _, v := range append(tr.exec.Value(tr.grad).F64(), loss) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatal("predictions that run away give a loss or gradient that is not a number")
		}
	}
}

func TestDetectRefuses(t *testing.T) {
	refused := func(raw, targets []int) (err error) {
		defer ops.Recover(&err)
		g := ops.NewGraph(tensor.Float32)
		Detect(g, g.Input("x", buffer.F32, true, raw...), g.Input("y", buffer.F32, false, targets...), DetectConfig{Levels: testLevels})
		return nil
	}
	if err := refused([]int{2, 64, 8}, []int{2, 3, 5}); err != nil {
		t.Error(err)
	}
	for _, bad := range [][2][]int{{{2, 63, 8}, {2, 3, 5}}, {{2, 64, 5}, {2, 3, 5}}, {{2, 64, 8}, {1, 3, 5}}, {{2, 64, 8}, {2, 3, 4}}} {
		if refused(bad[0], bad[1]) == nil {
			t.Errorf("shapes %v are accepted", bad)
		}
	}
}
