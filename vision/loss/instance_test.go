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

// instances are the leaves of [InstanceMasks]: 2 prototypes of 6×8 cells of 4
// pixels, 5 cells that predict, up to 3 objects in each of n images.
type instances struct {
	n                          int
	prototypes, raw            []float64
	targets, masks             []float64
	matches                    []int64
	cost                       *ops.Node
	grads                      gorgonia.Nodes // of prototypes and raw
	exec                       *vm.Executor
	onPrototypes, onRaw, value *buffer.Buffer
}

const (
	protoH, protoW, protoC = 6, 8, 2
	protoCells, protoRows  = 5, 3
	protoColumns           = 6 + protoC
)

// sketch draws n images; the first has no objects. The third object of each is
// outside of the image, the second has fractions in its mask.
func sketch(seed uint64, n int) *instances {
	rng := rand.New(rand.NewPCG(seed, 11))
	s := &instances{n: n}
	for range n * protoH * protoW * protoC {
		s.prototypes = append(s.prototypes, 2*rng.NormFloat64())
	}
	for range n * protoCells * protoColumns {
		s.raw = append(s.raw, rng.NormFloat64())
	}
	for i := range n {
		for range protoCells {
			m := int64(rng.IntN(protoRows+1)) - 1
			if i == 0 {
				m = -1
			}
			s.matches = append(s.matches, m)
		}
		s.targets = append(s.targets, 0, 10, 11, 13, 9, 0, 20, 12, 40, 14, 0, 80, 80, 10, 10)
		for j := range protoRows * protoH * protoW {
			v := float64(rng.IntN(2))
			if j/(protoH*protoW) == 1 {
				v = rng.Float64()
			}
			s.masks = append(s.masks, v)
		}
	}
	return s
}

func (s *instances) build(t *testing.T, dt tensor.Dtype, bytes bool, c MaskConfig, shards ops.Collective) *instances {
	t.Helper()
	g := ops.NewGraph(dt)
	p := g.Input("prototypes", buffer.F32, true, s.n, protoH, protoW, protoC)
	x := g.Input("raw", buffer.F32, true, s.n, protoCells, protoColumns)
	m := g.Input("matches", buffer.I64, false, s.n, protoCells)
	y := g.Input("targets", buffer.F32, false, s.n, protoRows, 5)
	kind := buffer.F32
	if bytes {
		kind = buffer.U8
	}
	k := g.Input("masks", kind, false, s.n, protoRows, protoH, protoW)
	s.onPrototypes, s.onRaw = fill(g, p, s.prototypes), fill(g, x, s.raw)
	mem := map[*ops.Node]*buffer.Buffer{p: s.onPrototypes, x: s.onRaw, y: fill(g, y, s.targets), m: buffer.Of(s.matches, s.n, protoCells)}
	if bytes {
		mem[k] = buffer.New(buffer.U8, k.Shape()...)
		for i, v := range s.masks {
			mem[k].U8()[i] = uint8(200 * v)
		}
	} else {
		mem[k] = fill(g, k, s.masks)
	}
	s.cost = InstanceMasks(g, p, x, m, y, k, c)
	var err error
	if s.grads, err = gorgonia.Grad(s.cost, p, x); err != nil {
		t.Fatal(err)
	}
	program, err := vm.Compile(g, s.cost, s.grads[0], s.grads[1])
	if err != nil {
		t.Fatal(err)
	}
	if s.exec, err = vm.NewExecutor(program, vm.Binding{Kernels: kernels.Go{}, Inputs: mem, Collective: shards}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.exec.Close() })
	s.value = s.exec.Value(s.cost)
	return s
}

func (s *instances) run(t *testing.T) float64 {
	t.Helper()
	if err := s.exec.RunAll(); err != nil {
		t.Fatal(err)
	}
	return gradcheck.Read(s.value)[0]
}

func TestInstanceMasksGradient(t *testing.T) {
	for name, c := range map[string]MaskConfig{"defaults": {Stride: 4}, "weights": {Stride: 4, BCE: 0.5, Dice: 3}} {
		s := sketch(1, 3).build(t, tensor.Float64, false, c, nil)
		if s.run(t) == 0 {
			t.Fatal("a scene without matches proves nothing")
		}
		for i, leaf := range []*buffer.Buffer{s.onPrototypes, s.onRaw} {
			s.run(t)
			grad, mem := gradcheck.Read(s.exec.Value(s.grads[i])), leaf.F64()
			const h = 1e-5
			worst, biggest := 0.0, 0.0
			for j, x := range mem {
				mem[j] = x + h
				up := s.run(t)
				mem[j] = x - h
				down := s.run(t)
				mem[j] = x
				worst = max(worst, math.Abs(grad[j]-(up-down)/(2*h)))
				biggest = max(biggest, math.Abs(grad[j]))
			}
			if worst > 1e-9 || biggest == 0 {
				t.Errorf("%s: gradient of leaf %d is off by %.2g of %.2g", name, i, worst, biggest)
			}
		}
	}
}

// One prototype of 2×3 cells of 4 pixels, ln 3 in the left two columns and −ln 3
// in the third; a cell with coefficient 1 makes ¾ and ¼ of it. The object's box
// is 0…8 × 0…4 pixels, the first two cells of the first row, and its mask is the
// first of them and one outside of the box.
//
//	BCE: (−ln ¾ − ln ¼)/2     Dice: 1 − 2·¾/(2·9/16 + 1)
//
// A second cell with coefficient 0 makes ½: BCE ln 2, Dice 1 − 2·½/(2·¼ + 1). A
// third is matched to an object whose mask is empty, a fourth to nothing.
func TestInstanceMasksByHand(t *testing.T) {
	l := math.Log(3)
	e := &ops.Env{
		In: []*buffer.Buffer{
			buffer.Of([]float64{l, l, -l, l, l, -l}, 1, 2, 3, 1),
			buffer.Of([]float64{1, 0, 1, 1}, 1, 4, 1),
			buffer.Of([]int64{1, 1, 0, -1}, 1, 4),
			buffer.Of([]float64{0, 6, 4, 12, 8, 0, 4, 2, 8, 4}, 1, 2, 5),
			buffer.Of([]uint8{0, 0, 0, 0, 0, 0, 255, 0, 0, 255, 0, 0}, 1, 2, 2, 3),
		},
		Out: buffer.New(buffer.F64), Slots: []*buffer.Buffer{nil, nil}, Scratch: []*buffer.Buffer{buffer.New(buffer.F64, 6)}, Collective: ops.Alone{},
	}
	newMasker[float64](e, MaskConfig{Stride: 4, BCE: 2, Dice: 3}).run()
	first := 2*(math.Log(4./3)+math.Log(4))/2 + 3*(1-1.5/(18./16+1))
	second := 2*math.Ln2 + 3*(1-1/1.5)
	if got, want := e.Out.F64()[0], (first+second)/2; math.Abs(got-want) > 1e-12 {
		t.Errorf("the loss is %v, want %v", got, want)
	}
}

func TestInstanceMasksShardsAgree(t *testing.T) {
	c := MaskConfig{Stride: 4}
	one := sketch(6, 4).build(t, tensor.Float64, false, c, nil)
	want := one.run(t)
	for _, split := range []int{1, 2} { // the first image has no objects
		group := vm.NewGroup(2)
		var parts []*instances
		for rank, part := range [][2]int{{0, split}, {split, 4}} {
			all := sketch(6, 4)
			cut := func(v []float64) []float64 { return v[part[0]*len(v)/4 : part[1]*len(v)/4] }
			parts = append(parts, (&instances{
				n: part[1] - part[0], prototypes: cut(all.prototypes), raw: cut(all.raw), targets: cut(all.targets), masks: cut(all.masks),
				matches: all.matches[part[0]*protoCells : part[1]*protoCells],
			}).build(t, tensor.Float64, false, c, group.Member(rank)))
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
		if sum := parts[0].value.F64()[0] + parts[1].value.F64()[0]; math.Abs(sum-want) > 1e-9 {
			t.Errorf("split at %d: losses add up to %v, one shard has %v", split, sum, want)
		}
		for i := range one.grads {
			grad := slices.Concat(parts[0].exec.Value(parts[0].grads[i]).F64(), parts[1].exec.Value(parts[1].grads[i]).F64())
			if e := gradcheck.RangeError(grad, one.exec.Value(one.grads[i]).F64()); e > 1e-6 {
				t.Errorf("split at %d: gradients of leaf %d differ by %.2g of the range", split, i, e)
			}
		}
	}
}

// The same step gives the same bytes, allocates nothing, float32 agrees with
// float64, and masks of bytes with masks of floats.
func TestInstanceMasksStep(t *testing.T) {
	c := MaskConfig{Stride: 4}
	whole := func() *instances {
		s := sketch(2, 3)
		for i, v := range s.masks {
			s.masks[i] = math.Round(v)
		}
		return s
	}
	exact := whole().build(t, tensor.Float64, false, c, nil)
	s, bytes := whole().build(t, tensor.Float32, false, c, nil), whole().build(t, tensor.Float32, true, c, nil)
	want, first, third := exact.run(t), s.run(t), bytes.run(t)
	if math.Abs(first-want) > 1e-5*want || first != third {
		t.Errorf("float32 gives %v, with masks of bytes %v, float64 %v", first, third, want)
	}
	var grads [2][]float64
	for i := range grads {
		grads[i] = gradcheck.Read(s.exec.Value(s.grads[i]))
		if e := gradcheck.RangeError(grads[i], gradcheck.Read(exact.exec.Value(exact.grads[i]))); e > 1e-5 {
			t.Errorf("float32 gradients of leaf %d are off by %.2g of the range", i, e)
		}
	}
	if a := testing.AllocsPerRun(5, func() { _ = s.exec.RunAll() }); a != 0 {
		t.Errorf("%v allocations per step", a)
	}
	again := s.run(t)
	for i := range grads {
		if again != first || !slices.Equal(grads[i], gradcheck.Read(s.exec.Value(s.grads[i]))) {
			t.Error("a second step on the same numbers gives other bytes")
		}
	}
}

// Detect leaves the columns after the classes alone, tells its matches by rows
// of the targets, and its loss and the masks' add up in one graph.
func TestDetectWithMasks(t *testing.T) {
	const n, m, k, extra = 2, 6, 3, 2
	plain, targets := scene(3, n, m, k)
	copy(targets[m*5:], []float64{-1, 0, 0, 0, 0}) // the second image begins with padding
	rng := rand.New(rand.NewPCG(4, 4))
	var raw []float64
	for row := range slices.Chunk(plain, 5+k) {
		raw = append(append(raw, row...), rng.NormFloat64(), rng.NormFloat64())
	}
	narrow := newTrial(t, tensor.Float64, plain, targets, n, k, DetectConfig{Levels: testLevels}, nil)
	want := narrow.run(t)

	g := ops.NewGraph(tensor.Float64)
	x := g.Input("raw", buffer.F32, true, n, 64, 5+k+extra)
	y := g.Input("targets", buffer.F32, false, n, m, 5)
	p := g.Input("prototypes", buffer.F32, true, n, 12, 16, extra)
	masks := g.Input("masks", buffer.U8, false, n, m, 12, 16)
	mem := map[*ops.Node]*buffer.Buffer{x: fill(g, x, raw), y: fill(g, y, targets), p: buffer.New(buffer.F64, p.Shape()...), masks: buffer.New(buffer.U8, masks.Shape()...)}
	for i := range mem[p].F64() {
		mem[p].F64()[i] = rng.NormFloat64()
	}
	for i := range mem[masks].U8() {
		mem[masks].U8()[i] = uint8(rng.IntN(2))
	}
	cost := Detect(g, x, y, DetectConfig{Levels: testLevels, Classes: k})
	matches := DetectMatches(g, cost)
	both := g.Add(cost, InstanceMasks(g, p, x, matches, y, masks, MaskConfig{Stride: 4}))
	grads, err := gorgonia.Grad(both, x, p)
	if err != nil {
		t.Fatal(err)
	}
	program, err := vm.Compile(g, cost, both, matches, grads[0], grads[1])
	if err != nil {
		t.Fatal(err)
	}
	e, err := vm.NewExecutor(program, vm.Binding{Kernels: kernels.Go{}, Inputs: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil {
		t.Fatal(err)
	}
	if got := gradcheck.Read(e.Value(cost))[0]; got != want {
		t.Errorf("with columns after the classes the loss is %v, without %v", got, want)
	}
	wide, thin := gradcheck.Read(e.Value(grads[0])), gradcheck.Read(narrow.exec.Value(narrow.grad))
	matched := e.Value(matches).I64()
	count := 0.0
	for a, object := range matched {
		row := wide[a*(5+k+extra) : (a+1)*(5+k+extra)]
		if !slices.Equal(row[:5+k], thin[a*(5+k):(a+1)*(5+k)]) {
			t.Fatalf("cell %d: gradient %v, without columns after the classes %v", a, row, thin[a*(5+k):(a+1)*(5+k)])
		}
		if on := row[5+k] != 0 && row[6+k] != 0; on != (object >= 0) {
			t.Errorf("cell %d is matched to %d and has the gradient %v for its coefficients", a, object, row[5+k:])
		}
		if object >= 0 {
			count++
			if o := targets[(a/64*m+int(object))*5:]; o[0] < 0 {
				t.Errorf("cell %d is matched to row %d, which is padding", a, object)
			}
		}
	}
	if count == 0 || count != narrow.exec.Value(narrow.parts).F64()[PartPositives] {
		t.Errorf("%v cells are matched, the loss counts %v", count, narrow.exec.Value(narrow.parts).F64()[PartPositives])
	}
	if a := testing.AllocsPerRun(5, func() { _ = e.RunAll() }); a != 0 {
		t.Errorf("%v allocations per step", a)
	}
}

func TestInstanceMasksRefuses(t *testing.T) {
	type shapes struct {
		prototypes, raw, matches, targets, masks []int
		stride                                   int
	}
	good := shapes{[]int{2, 6, 8, 4}, []int{2, 9, 10}, []int{2, 9}, []int{2, 3, 5}, []int{2, 3, 6, 8}, 4}
	refused := func(s shapes, kind buffer.Storage) (err error) {
		defer ops.Recover(&err)
		g := ops.NewGraph(tensor.Float32)
		InstanceMasks(g, g.Input("p", buffer.F32, true, s.prototypes...), g.Input("x", buffer.F32, true, s.raw...), g.Input("m", buffer.I64, false, s.matches...),
			g.Input("y", buffer.F32, false, s.targets...), g.Input("k", kind, false, s.masks...), MaskConfig{Stride: s.stride})
		return nil
	}
	for _, kind := range []buffer.Storage{buffer.F32, buffer.U8} {
		if err := refused(good, kind); err != nil {
			t.Error(err)
		}
	}
	if refused(good, buffer.I64) == nil {
		t.Error("masks of int64 are accepted")
	}
	for i := range 6 {
		bad := good
		switch i {
		case 0:
			bad.prototypes = []int{2, 6, 8, 11}
		case 1:
			bad.raw = []int{1, 9, 10}
		case 2:
			bad.matches = []int{2, 8}
		case 3:
			bad.targets = []int{2, 4, 5}
		case 4:
			bad.masks = []int{2, 3, 8, 6}
		case 5:
			bad.stride = 0
		}
		if refused(bad, buffer.F32) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
