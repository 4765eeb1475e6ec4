package ops_test

import (
	"fmt"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func ints(shape []int, v ...int64) leaf { return leaf{Shape: shape, Integers: v} }

// rareCases are the operators that few models have.
func rareCases() []gradcheck.Case {
	cs := []gradcheck.Case{
		{Name: "axis map", Leaves: []leaf{l(2, 3, 4)}, Build: func(g *ops.Graph, in nodes) node {
			return g.AxisMap("map", in[0], 1, [][]ops.Tap{{{At: 0, Weight: 1}}, {}, {{At: 2, Weight: 0.5}, {At: 1, Weight: -2}}, {{At: 2, Weight: 3}, {At: 2, Weight: 1}}})
		}},
		{Name: "axis map, last axis", Leaves: []leaf{l(3, 4)}, Build: func(g *ops.Graph, in nodes) node {
			return g.AxisMap("map", in[0], 1, [][]ops.Tap{{{At: 3, Weight: 1}}, {{At: 0, Weight: 0.3}, {At: 1, Weight: 0.7}}})
		}},
		{Name: "axis map, two readers", Leaves: []leaf{l(3, 4)}, Build: func(g *ops.Graph, in nodes) node {
			up := [][]ops.Tap{{{At: 0, Weight: 1}}, {{At: 0, Weight: 1}}, {{At: 1, Weight: 0.5}, {At: 2, Weight: 0.5}}}
			return g.Add(g.AxisMap("up", g.Unary(kernels.Tanh, 0, 0, in[0]), 0, up), g.Mul(in[0], in[0]))
		}},
		{Name: "cumulative sum", Leaves: []leaf{l(2, 5, 3)}, Build: func(g *ops.Graph, in nodes) node { return g.CumSum(in[0], 1, false, false) }},
		{Name: "cumulative sum, exclusive and reverse", Leaves: []leaf{l(2, 5)}, Build: func(g *ops.Graph, in nodes) node { return g.CumSum(in[0], 1, true, true) }},
		{Name: "take", Leaves: []leaf{l(3, 4), ints([]int{5}, 11, 0, 3, 3, 7)}, Build: func(g *ops.Graph, in nodes) node { return g.Take(in[0], in[1], 5) }},
		{Name: "put", Leaves: []leaf{l(3, 4), l(3), ints([]int{3}, 2, 7, 11)}, Build: func(g *ops.Graph, in nodes) node { return g.Put(in[0], in[1], in[2], false) }},
		{Name: "put, adding, repeats", Leaves: []leaf{l(3, 4), l(4), ints([]int{4}, 2, 7, 7, 11)}, Build: func(g *ops.Graph, in nodes) node { return g.Put(in[0], in[1], in[2], true) }},
		{Name: "select", Leaves: []leaf{ints([]int{2, 3}, 1, 0, 0, 1, 1, 0), l(2, 3), l(2, 3)}, Build: func(g *ops.Graph, in nodes) node { return g.Select(in[0], in[1], in[2]) }},
		{Name: "select or zero", Leaves: []leaf{ints([]int{2, 3}, 1, 0, 0, 1, 1, 0), l(2, 3)}, Build: func(g *ops.Graph, in nodes) node { return g.Select(in[0], nil, in[1]) }},
		{Name: "product", Leaves: []leaf{l(3, 4)}, Build: func(g *ops.Graph, in nodes) node { return g.Prod(in[0]) }},
		{Name: "transposed conv, stride 2", Leaves: []leaf{l(2, 3, 4, 4), l(4, 3, 3, 3), l(3)}, Build: func(g *ops.Graph, in nodes) node {
			return g.ConvTranspose(in[0], in[1], in[2], conv(2, 1, [4]int{1, 1, 1, 1}, 1), 6, 8)
		}},
		{Name: "transposed conv 2×2, stride 2", Leaves: []leaf{l(1, 3, 3, 5), l(5, 4, 2, 2)}, Build: func(g *ops.Graph, in nodes) node {
			return g.ConvTranspose(in[0], in[1], nil, conv(2, 1, [4]int{}, 1), 6, 6)
		}},
		{Name: "transposed conv, 2 groups, dilated", Leaves: []leaf{l(2, 4, 3, 4), l(4, 3, 3, 2)}, Build: func(g *ops.Graph, in nodes) node {
			return g.ConvTranspose(in[0], in[1], nil, conv(1, 2, [4]int{1, 0, 0, 1}, 2), 7, 4)
		}},
	}
	for _, m := range []ops.GridMode{ops.GridLinear, ops.GridNearest, ops.GridCubic} {
		for _, p := range []ops.GridPadding{ops.GridZeros, ops.GridBorder, ops.GridReflection} {
			grid := l(2, 3, 3, 2)
			if m == ops.GridNearest {
				grid = frozen(grid)
			}
			a := ops.GridAttr{Mode: m, Padding: p, AlignCorners: p == ops.GridReflection}
			cs = append(cs, gradcheck.Case{Name: fmt.Sprintf("grid sample, mode %d, padding %d", m, p), Leaves: []leaf{l(2, 4, 5, 2), grid}, Tolerance: 1e-5,
				Build: func(g *ops.Graph, in nodes) node { // 1.3: some places lie outside
					return g.GridSample(in[0], g.Unary(kernels.Affine, 1.3, 0.013, in[1]), a)
				}})
		}
	}
	return cs
}

// TestStraightThrough holds that the value is the rounded one, and the gradient
// the input's except where it was cut.
func TestStraightThrough(t *testing.T) {
	g := ops.NewGraph(tensor.Float32)
	x, v, lim := g.Input("x", buffer.F32, true, 3), g.Input("v", buffer.F32, false, 3), g.Input("limit", buffer.F32, false, 3)
	y := g.StraightThrough(x, v, lim)
	c := gradcheck.Dot(g, y, g.Input("r", buffer.F32, false, 3))
	grads, err := gorgonia.Grad(c, x)
	if err != nil {
		t.Fatal(err)
	}
	p, err := vm.Compile(g, y, grads[0])
	if err != nil {
		t.Fatal(err)
	}
	mem := map[*ops.Node]*buffer.Buffer{}
	for _, n := range p.Inputs {
		data := map[string][]float32{"x": {0.1, 0.9, 7}, "v": {0, 1, 5}, "limit": {0.5, 0.5, 0.5}, "r": {1, 2, 3}}[n.Name()]
		mem[n] = buffer.Of(data, 3)
	}
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{0, 1, 5} {
		if got := e.Value(y).F32()[i]; got != want {
			t.Errorf("value %d is %v, want %v", i, got, want)
		}
	}
	for i, want := range []float32{1, 2, 0} {
		if got := e.Value(grads[0]).F32()[i]; got != want {
			t.Errorf("gradient %d is %v, want %v", i, got, want)
		}
	}
}

// TestAbort holds that an index out of range ends the run with an error that
// names the operator, and nothing else.
func TestAbort(t *testing.T) {
	g := ops.NewGraph(tensor.Float32)
	x, at := g.Input("x", buffer.F32, false, 3), g.Input("at", buffer.I64, false, 1)
	places := g.Integers("places", at, []int{1}, func(in, out []int64) error {
		p, err := ops.Place(in[0], 3)
		out[0] = int64(p)
		return err
	})
	y := g.Take(x, places, 1)
	p, err := vm.Compile(g, y)
	if err != nil {
		t.Fatal(err)
	}
	index := buffer.Of([]int64{-1}, 1)
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: map[*ops.Node]*buffer.Buffer{x: buffer.Of([]float32{1, 2, 3}, 3), at: index}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil || e.Value(y).F32()[0] != 3 {
		t.Fatalf("index -1 gives %v, %v", e.Value(y).F32()[0], err)
	}
	index.I64()[0] = 3
	if err := e.RunAll(); err == nil || err.Error() != "places: index 3 of an axis of length 3" {
		t.Fatalf("index 3 of 3 gives the error %v", err)
	}
}
