package head_test

import (
	"math"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/head"
	"gorgonia.org/tensor"
)

// module is what heads and necks have in common.
type module interface {
	Params() []head.Param
	Init(seed uint64)
}

// gradients checks a module by finite differences, its parameters and maps as
// leaves.
func gradients(t *testing.T, name string, m module, maps [][]int, forward func(g *ops.Graph, leaf head.Leaf, maps []*ops.Node) *ops.Node) {
	t.Helper()
	c := gradcheck.Case{Name: name, Tolerance: 1e-5}
	place := map[string]int{}
	for _, p := range m.Params() {
		place[p.Name] = len(c.Leaves)
		c.Leaves = append(c.Leaves, gradcheck.Leaf{Shape: p.Dims})
	}
	first := len(c.Leaves)
	for _, s := range maps {
		c.Leaves = append(c.Leaves, gradcheck.Leaf{Shape: s})
	}
	c.Build = func(g *ops.Graph, in []*ops.Node) *ops.Node {
		return forward(g, func(name string) *ops.Node { return in[place[name]] }, in[first:])
	}
	gradcheck.Run(t, c, nil)
}

// joined flattens several maps into one node.
func joined(g *ops.Graph, maps []*ops.Node) *ops.Node {
	for i, m := range maps {
		s := ops.Shape(m)
		maps[i] = g.Reshape(m, s[0], s[1]*s[2], s[3])
	}
	return g.Concat(1, maps...)
}

func TestHeadGradients(t *testing.T) {
	maps := [][]int{{1, 2, 3, 2}, {1, 1, 2, 3}}
	for name, depthwise := range map[string]bool{"plain": false, "depthwise": true} {
		h := head.NewDetect(head.DetectConfig{Classes: 2, Channels: []int{2, 3}, Width: 3, Depthwise: depthwise})
		gradients(t, "head, "+name, h, maps, h.Forward)
	}
}

func TestNeckGradients(t *testing.T) {
	maps := [][]int{{1, 4, 5, 2}, {1, 2, 3, 3}, {1, 1, 1, 2}}
	for name, c := range map[string]head.NeckConfig{"FPN": {}, "PAN": {PAN: true}, "PAN, concatenated": {PAN: true, Concat: true}, "depthwise": {PAN: true, Depthwise: true}} {
		c.Channels, c.Width = []int{2, 3, 2}, 3
		n := head.NewNeck(c)
		gradients(t, "neck, "+name, n, maps, func(g *ops.Graph, leaf head.Leaf, maps []*ops.Node) *ops.Node {
			return joined(g, n.Forward(g, leaf, maps))
		})
	}
	p := head.NewPyramid(head.PyramidConfig{Channels: 4, Width: 3})
	gradients(t, "pyramid", p, [][]int{{1, 3, 2, 4}}, func(g *ops.Graph, leaf head.Leaf, maps []*ops.Node) *ops.Node {
		return joined(g, p.Forward(g, leaf, maps))
	})
}

// inputs makes leaves on the fly.
func inputs(g *ops.Graph, m module) head.Leaf {
	leaves := map[string]*ops.Node{}
	for _, p := range m.Params() {
		leaves[p.Name] = g.Input(p.Name, buffer.F32, true, p.Dims...)
	}
	return func(name string) *ops.Node { return leaves[name] }
}

// Sizes of the maps, whichever way the backbone rounds.
func TestNeckShapes(t *testing.T) {
	for _, sides := range [][3][2]int{{{56, 40}, {28, 20}, {14, 10}}, {{55, 13}, {28, 7}, {14, 4}}, {{55, 13}, {27, 6}, {13, 3}}, {{13, 58}, {7, 29}, {3, 15}}} {
		g := ops.NewGraph(tensor.Float32)
		n := head.NewNeck(head.NeckConfig{Channels: []int{8, 16, 32}, Width: 12, PAN: true})
		var maps []*ops.Node
		for i, s := range sides {
			maps = append(maps, g.Input(string(rune('a'+i)), buffer.F32, false, 2, s[0], s[1], 8<<i))
		}
		for i, o := range n.Forward(g, inputs(g, n), maps) {
			if want := []int{2, sides[i][0], sides[i][1], 12}; !slices.Equal(ops.Shape(o), want) {
				t.Errorf("map %d comes out as %v, want %v", i, ops.Shape(o), want)
			}
		}
	}
	g := ops.NewGraph(tensor.Float32)
	p := head.NewPyramid(head.PyramidConfig{Channels: 8, Width: 6})
	out := p.Forward(g, inputs(g, p), []*ops.Node{g.Input("tokens", buffer.F32, false, 2, 7, 10, 8)})
	want := []head.Level{{14, 20, 8}, {7, 10, 16}, {4, 5, 32}}
	if got := head.Levels(out, p.Strides(16)); !slices.Equal(got, want) {
		t.Errorf("the pyramid has levels %v, want %v", got, want)
	}
}

func TestNeckRefuses(t *testing.T) {
	refused := func(shapes ...[]int) (err error) {
		defer ops.Recover(&err)
		g := ops.NewGraph(tensor.Float32)
		n := head.NewNeck(head.NeckConfig{Channels: []int{4, 8}, Width: 6, PAN: true})
		var maps []*ops.Node
		for i, s := range shapes {
			maps = append(maps, g.Input(string(rune('a'+i)), buffer.F32, false, s...))
		}
		n.Forward(g, inputs(g, n), maps)
		return nil
	}
	if err := refused([]int{1, 8, 8, 4}, []int{1, 4, 4, 8}); err != nil {
		t.Error(err)
	}
	for _, bad := range [][][]int{{{1, 8, 8, 4}}, {{1, 8, 8, 4}, {1, 4, 4, 7}}, {{1, 8, 8, 4}, {1, 8, 8, 8}}, {{1, 8, 8, 4}, {1, 2, 2, 8}}} {
		if refused(bad...) == nil {
			t.Errorf("maps %v are accepted", bad)
		}
	}
}

// The same seed draws the same values, whatever other parameters there are, and
// scores start at 1 %.
func TestInit(t *testing.T) {
	small := head.NewDetect(head.DetectConfig{Classes: 3, Channels: []int{8}, Width: 16})
	big := head.NewDetect(head.DetectConfig{Classes: 3, Channels: []int{8, 8}, Width: 16})
	small.Init(5)
	big.Init(5)
	for i, p := range small.Params() {
		q := big.Params()[i]
		if p.Name != q.Name || !slices.Equal(p.Data, q.Data) {
			t.Errorf("%s and %s start differently", p.Name, q.Name)
		}
		square := 0.0
		for _, v := range p.Data {
			square += float64(v) * float64(v)
		}
		deviation := math.Sqrt(square / float64(len(p.Data)))
		switch p.Name {
		case "head.cls_preds.0.bias", "head.obj_preds.0.bias":
			if score := 1 / (1 + math.Exp(-float64(p.Data[0]))); math.Abs(score-0.01) > 1e-6 {
				t.Errorf("%s starts at a probability of %v", p.Name, score)
			}
		case "head.cls_convs.0.0.conv.weight":
			if want := math.Sqrt(2.0 / (16 * 9)); math.Abs(deviation-want) > want/20 {
				t.Errorf("%s has a deviation of %v, want %v", p.Name, deviation, want)
			}
		}
	}
	small.Init(6)
	if slices.Equal(small.Params()[0].Data, big.Params()[0].Data) {
		t.Error("another seed draws the same values")
	}
}
