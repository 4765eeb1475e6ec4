package loss

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"gorgonia.org/tensor"
)

const testBins = 5

// newGFLTrial is newTrial for [DetectGFL] of k classes.
func newGFLTrial(t *testing.T, dt tensor.Dtype, raw, targets []float64, n, k int, c GFLConfig, shards ops.Collective) *trial {
	t.Helper()
	return newTrialOf(t, dt, raw, targets, n, k+4*c.Bins, func(g *ops.Graph, x, y *ops.Node, _ map[*ops.Node]*buffer.Buffer) *ops.Node {
		return DetectGFL(g, x, y, c)
	}, shards)
}

// gflScene is scene for distributions: the targets are the same, the predictions
// noise.
func gflScene(seed uint64, n, m, k int) (raw, targets []float64) {
	_, targets = scene(seed, n, m, k)
	rng := rand.New(rand.NewPCG(seed, 6))
	for range n * 64 * (k + 4*testBins) {
		raw = append(raw, 1.5*rng.NormFloat64())
	}
	return raw, targets
}

// gflOf is the loss on its own memory, without a graph.
func gflOf(raw, targets []float64, n int, c GFLConfig) *gflDetector[float64] {
	c = c.withDefaults()
	cells := cellsOf(c.Levels)
	d := newGFLDetector[float64](&ops.Env{
		In:         []*buffer.Buffer{buffer.Of(raw, n, len(cells), len(raw)/n/len(cells)), buffer.Of(targets, n, len(targets)/n/5, 5)},
		Out:        buffer.New(buffer.F64),
		Slots:      []*buffer.Buffer{nil, nil},
		Collective: ops.Alone{},
	}, cells, c)
	d.run()
	return d
}

// row is a cell that predicts sides at whole distances, all its weight on them,
// and the logits of classes.
func row(bins int, sides [4]int, classes ...float64) []float64 {
	out := slices.Clone(classes)
	for _, d := range sides {
		side := make([]float64, bins)
		side[d] = 40
		out = append(out, side...)
	}
	return out
}

// Finite differences, with the matches and class targets held.
func TestGFLGradient(t *testing.T) {
	for name, c := range map[string]GFLConfig{"centre": {At: .5}, "corner": {}, "others": {At: .5, Alpha: .7, TopK: 5, BoxWeight: 2, ClassWeight: 1, DistanceWeight: .25}} {
		hold := false
		c.Levels, c.Bins, c.hold = testLevels, testBins, &hold
		raw, targets := gflScene(3, 3, 6, 3)
		if worst := newGFLTrial(t, tensor.Float64, raw, targets, 3, 3, c, nil).differences(t, &hold); worst > 1e-7 {
			t.Errorf("%s: gradient is off by %.2g", name, worst)
		}
	}
}

// Four cells of 8 pixels, 2 by 2, with points at 4 and 12; all classes score ½.
// Two objects, each with the cells whose point is in it, what these predict, and
// the IoU of that with the object:
//
//	A  0…16 × 0…8        0 (−4…12 × −4…12) 1/3    1 (4…20 × −4…12) 1/3
//	B  −4…12 × −4…12     0 (−4…12 × −4…12) 1
//
// Both want cell 0, and B overlaps it more. B's q is 1, A's, of cell 1, 1/3.
func TestAlignmentByHand(t *testing.T) {
	half := []float64{0, 0} // two classes at a score of ½
	reach := func(l, u, r, b int) []float64 { return row(testBins, [4]int{l, u, r, b}, half...) }
	raw := slices.Concat(
		reach(1, 1, 1, 1), // −4…12 × −4…12
		reach(1, 1, 1, 1), // 4…20 × −4…12
		reach(0, 0, 1, 1), // 4…12 × 12…20
		reach(2, 2, 0, 0), // −4…12 × −4…12
	)
	targets := []float64{
		0, 8, 4, 16, 8, // A: 0…16 × 0…8
		1, 4, 4, 16, 16, // B: −4…12 × −4…12
		-1, 0, 0, 0, 0,
	}
	d := gflOf(raw, targets, 1, GFLConfig{Levels: []Level{{2, 2, 8}}, Bins: testBins, At: .5, TopK: 2})
	if want := []int32{1, 0, unmatched, unmatched}; !slices.Equal(d.match, want) {
		t.Errorf("cells are matched to %v, want %v", d.match, want)
	}
	for i, want := range []float64{1, 1.0 / 3, 0, 0} {
		if math.Abs(d.quality[i]-want) > 1e-9 {
			t.Errorf("cell %d should score %v, want %v", i, d.quality[i], want)
		}
	}
	// Cell 1 should reach 1½, ½, ½ and ½ strides: half of each is where it puts
	// nothing, e⁻⁴⁰.
	a, b := vision.Box{X1: 4, Y1: -4, X2: 20, Y2: 12}, vision.Box{X2: 16, Y2: 8}
	giou, _ := giouGrad(a, b)
	classes := .5 * 8 * math.Ln2
	box := 7.5 * (1 - giou) / 3
	dfl := 1.5 / 4 / 3 * (.5 * 40) * 4
	if got, want := d.env.Out.F64()[0], (classes+box+dfl)/(4.0/3); math.Abs(got-want) > 1e-9 {
		t.Errorf("the loss is %v, want %v", got, want)
	}
}

// The matching written down as matrices.
func TestAlignmentAgainstMatrices(t *testing.T) {
	for seed := range uint64(20) {
		for _, at := range []float64{0, .5} {
			const k = 4
			raw, targets := gflScene(seed, 2, 12, k)
			d := gflOf(raw, targets, 2, GFLConfig{Levels: testLevels, Bins: testBins, At: at, TopK: 1 + int(seed)})
			match, quality := alignByMatrices(d, raw[64*(k+4*testBins):]) // the second image's objects stay in d.objects
			if !slices.Equal(d.match[64:], match) {
				t.Fatalf("seed %d: cells are matched to\n%v, want\n%v", seed, d.match[64:], match)
			}
			for a, want := range quality {
				if math.Abs(d.quality[64+a]-want) > 1e-12 {
					t.Errorf("seed %d: cell %d should score %v, want %v", seed, a, d.quality[64+a], want)
				}
			}
		}
	}
}

func alignByMatrices(d *gflDetector[float64], raw []float64) (match []int32, quality []float64) {
	n, g := len(d.cells), len(d.objects)
	t, u, chosen := make([][]float64, g), make([][]float64, g), make([][]bool, g)
	for i, o := range d.objects {
		t[i], u[i], chosen[i] = make([]float64, n), make([]float64, n), make([]bool, n)
		var inside []int
		for a, c := range d.cells {
			x, y := (c.x+d.c.At)*c.stride, (c.y+d.c.At)*c.stride
			if o.box.X1 < x && x < o.box.X2 && o.box.Y1 < y && y < o.box.Y2 {
				inside = append(inside, a)
			}
			values := raw[a*(d.k+4*testBins) : (a+1)*(d.k+4*testBins)]
			var side [4]float64
			for s := range side {
				sum := 0.0
				for j, v := range values[d.k+s*testBins : d.k+(s+1)*testBins] {
					sum += math.Exp(v)
					side[s] += float64(j) * math.Exp(v)
				}
				side[s] *= c.stride / sum
			}
			u[i][a] = vision.Box{X1: x - side[0], Y1: y - side[1], X2: x + side[2], Y2: y + side[3]}.IoU(o.box)
			t[i][a] = math.Pow(u[i][a], 6) / (1 + math.Exp(-values[o.class]))
		}
		if inside == nil && o.cx >= 0 && o.cy >= 0 && o.cx < 64 && o.cy < 48 {
			inside = []int{int(o.cy/8)*8 + int(o.cx/8)}
		}
		slices.SortStableFunc(inside, func(a, b int) int { return int(math.Copysign(2, t[i][b]-t[i][a])) })
		for _, a := range inside[:min(len(inside), d.c.TopK)] {
			chosen[i][a] = true
		}
	}
	match, quality = make([]int32, n), make([]float64, n)
	for a := range match {
		match[a] = unmatched
		for i := range g {
			if chosen[i][a] && (match[a] == unmatched || u[i][a] > u[match[a]][a]) {
				match[a] = int32(i)
			}
		}
	}
	for i := range g {
		top, overlap := 0.0, 0.0
		for a, m := range match {
			if m == int32(i) {
				top, overlap = max(top, t[i][a]), max(overlap, u[i][a])
			}
		}
		for a, m := range match {
			if m == int32(i) && top > 0 {
				quality[a] = t[i][a] / top * overlap
			}
		}
	}
	return match, quality
}

// A batch as one shard and as two, one of which has no objects at all.
func TestGFLShardsAgree(t *testing.T) {
	raw, targets := gflScene(8, 4, 6, 3)
	shardsAgree(t, raw, targets, func(raw, targets []float64, n int, shards ops.Collective) *trial {
		return newGFLTrial(t, tensor.Float64, raw, targets, n, 3, GFLConfig{Levels: testLevels, Bins: testBins, At: .5}, shards)
	})
}

// The same step gives the same bytes, allocates nothing, and float32 agrees
// with float64.
func TestGFLStep(t *testing.T) {
	raw, targets := gflScene(4, 3, 6, 3)
	c := GFLConfig{Levels: testLevels, Bins: testBins, At: .5}
	sameStep(t, newGFLTrial(t, tensor.Float64, raw, targets, 3, 3, c, nil), newGFLTrial(t, tensor.Float32, raw, targets, 3, 3, c, nil))
}

// What is predicted right costs next to nothing, wherever points lie.
func TestGFLPerfect(t *testing.T) {
	for _, at := range []float64{0, .5} {
		// The object covers the points of cells 0 to 2 strides around its middle.
		level := Level{5, 5, 8}
		c := GFLConfig{Levels: []Level{level}, Bins: testBins, At: at}
		box := vision.Box{X1: (at + 1) * 8, Y1: (at + 1) * 8, X2: (at + 3) * 8, Y2: (at + 3) * 8}
		targets := []float64{1, (box.X1 + box.X2) / 2, (box.Y1 + box.Y2) / 2, 16, 16}
		var raw []float64
		for y := range level.H {
			for x := range level.W {
				r := row(testBins, [4]int{max(x-1, 0), max(y-1, 0), max(3-x, 0), max(3-y, 0)}, -20, -20, -20)
				if x == 2 && y == 2 { // strictly inside
					r[1] = 20
				}
				raw = append(raw, r...)
			}
		}
		if d := gflOf(raw, targets, 1, c); d.positives != 1 || d.total < 1-1e-6 || d.env.Out.F64()[0] > 1e-6 {
			t.Errorf("at %v: %d cells match to a sum of %v, the loss is %v", at, d.positives, d.total, d.env.Out.F64()[0])
		}
	}
}

// An image without objects teaches classes alone; an object outside the image is
// matched to nothing; one too small for any point gets the finest cell that it
// is in; cells that several objects want have one each; predictions that ran
// away stay finite.
func TestGFLExtremes(t *testing.T) {
	const k = 3
	raw, targets := gflScene(2, 1, 2, k)
	c := GFLConfig{Levels: testLevels, Bins: testBins, At: .5}
	tr := newGFLTrial(t, tensor.Float64, raw, targets, 1, k, c, nil)
	loss := tr.run(t)
	if parts := tr.exec.Value(tr.parts).F64(); parts[PartClass] != loss || parts[PartPositives] != 0 {
		t.Errorf("an empty image has parts %v", parts)
	}
	for i, g := range tr.exec.Value(tr.grad).F64() {
		if (i%(k+4*testBins) < k) != (g > 0) {
			t.Fatalf("an empty image has gradient %v at %d", g, i)
		}
	}
	for _, outside := range [][]float64{{1, -900, -900, 10, 10}, {1, 64.5, 20, .5, .5}, {1, 20, -3, 2, 2}} {
		if d := gflOf(raw, outside, 1, c); d.positives != 0 {
			t.Errorf("a box at %v is matched", outside)
		}
	}
	small := gflOf(raw, []float64{2, 17, 33, 2, 2}, 1, c)
	if small.positives != 1 || small.match[4*8+2] != 0 {
		t.Errorf("a small object is matched as %v", small.match)
	}
	var crowd []float64
	for i := range 40 {
		crowd = append(crowd, float64(i%k), 20+float64(i%5), 20+float64(i/5), 12, 14)
	}
	d := gflOf(raw, crowd, 1, c)
	count := 0
	for a, m := range d.match {
		if m == unmatched {
			continue
		}
		count++
		x, y := d.cells[a].point(.5)
		if b := d.objects[m].box; x <= b.X1 || x >= b.X2 || y <= b.Y1 || y >= b.Y2 || d.quality[a] > 1 {
			t.Errorf("cell %d at %v, %v is matched to %v with %v", a, x, y, b, d.quality[a])
		}
	}
	if count != d.positives || count == 0 {
		t.Errorf("%d cells are matched, %d counted", count, d.positives)
	}
	copy(tr.targets.F64(), []float64{1, 30, 20, 20, 20})
	for i := range tr.raw.F64() {
		tr.raw.F64()[i] = []float64{1e4, -1e4, 900, -900, 300, -300, 0}[i%7]
	}
	loss = tr.run(t)
	for _, v := range append(tr.exec.Value(tr.grad).F64(), loss) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatal("predictions that run away give a loss or gradient that is not a number")
		}
	}
}

func TestGFLRefuses(t *testing.T) {
	refused := func(raw, targets []int, c GFLConfig) (err error) {
		defer ops.Recover(&err)
		g := ops.NewGraph(tensor.Float32)
		DetectGFL(g, g.Input("x", buffer.F32, true, raw...), g.Input("y", buffer.F32, false, targets...), c)
		return nil
	}
	c := GFLConfig{Levels: testLevels, Bins: testBins}
	if err := refused([]int{2, 64, 23}, []int{2, 3, 5}, c); err != nil {
		t.Error(err)
	}
	for _, bad := range [][2][]int{{{2, 63, 23}, {2, 3, 5}}, {{2, 64, 20}, {2, 3, 5}}, {{2, 64, 23}, {1, 3, 5}}, {{2, 64, 23}, {2, 3, 4}}} {
		if refused(bad[0], bad[1], c) == nil {
			t.Errorf("shapes %v are accepted", bad)
		}
	}
	for _, bad := range []GFLConfig{{Levels: testLevels}, {Levels: testLevels, Bins: testBins, At: 2}} {
		if refused([]int{2, 64, 23}, []int{2, 3, 5}, bad) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
