package ops_test

import (
	"fmt"
	"testing"

	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// adapterCases are the compositions that vision/build makes of an adapted layer:
// the frozen layer, A scaled by s, B, and what DoRA and a folded batch
// normalisation add.
func adapterCases() []gradcheck.Case {
	var cs []gradcheck.Case
	for _, transW := range []bool{true, false} {
		w := l(6, 5)
		if !transW {
			w = l(5, 6)
		}
		linear := func(g *ops.Graph, in nodes, bias node) (y, as node) {
			as = g.Unary(kernels.Affine, 2, 0, in[3])
			return g.AddLinear(g.Linear(in[0], in[1], bias, transW), g.Linear(in[0], as, nil, true), in[4], true), as
		}
		cs = append(cs, gradcheck.Case{Name: fmt.Sprintf("LoRA linear, transW %v", transW), Leaves: []leaf{l(2, 3, 5), frozen(w), l(6), l(2, 5), l(6, 2)},
			Build: func(g *ops.Graph, in nodes) node { y, _ := linear(g, in, in[2]); return y }})
		cs = append(cs, gradcheck.Case{Name: fmt.Sprintf("LoRA linear in one, transW %v", transW), Leaves: []leaf{l(2, 3, 5), frozen(w), l(6), l(2, 5), l(6, 2)},
			Build: func(g *ops.Graph, in nodes) node {
				return g.LoRA(in[0], in[1], in[2], g.Unary(kernels.Affine, 2, 0, in[3]), in[4], transW)
			}})
		// The norm is constant in DoRA's backward pass, so only x, b and m have a
		// gradient that finite differences know; A's and B's are those of LoRA
		// scaled by c, checked with c frozen.
		cs = append(cs, gradcheck.Case{Name: fmt.Sprintf("DoRA linear: x, b, m, transW %v", transW), Leaves: []leaf{l(2, 3, 5), frozen(w), l(6), frozen(l(2, 5)), frozen(l(6, 2)), plus(l(6))},
			Build: func(g *ops.Graph, in nodes) node {
				y, as := linear(g, in, nil)
				return g.ChannelAffine(y, g.DoRAScale(in[5], in[1], as, in[4], 1, !transW), in[2])
			}})
		cs = append(cs, gradcheck.Case{Name: fmt.Sprintf("DoRA linear: A, B under a fixed scale, transW %v", transW), Leaves: []leaf{l(2, 3, 5), frozen(w), l(6), l(2, 5), l(6, 2), frozen(plus(l(6)))},
			Build: func(g *ops.Graph, in nodes) node { y, _ := linear(g, in, nil); return g.ChannelAffine(y, in[5], in[2]) }})
	}
	for _, c := range []struct {
		name      string
		size      int
		cin, cout int
		k         int
		a         ops.ConvAttr
	}{
		{"1×1", 4, 4, 6, 1, conv(1, 1, [4]int{}, 1)},
		{"3×3", 5, 3, 4, 3, conv(1, 1, [4]int{1, 1, 1, 1}, 1)},
		{"stride 2, asymmetric padding", 6, 3, 4, 3, conv(2, 1, [4]int{0, 1, 1, 0}, 1)},
		{"dilation 2", 7, 3, 4, 3, conv(1, 2, [4]int{2, 2, 2, 2}, 1)},
		{"2 groups", 5, 4, 6, 3, conv(1, 1, [4]int{1, 1, 1, 1}, 2)},
		{"patch embedding", 8, 3, 6, 4, conv(4, 1, [4]int{}, 1)},
	} {
		g1 := ops.ConvAttr{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: c.a.Groups}
		r := 2 * c.a.Groups
		leaves := []leaf{l(1, c.size, c.size, c.cin), frozen(l(c.cout, c.cin/c.a.Groups, c.k, c.k)), l(c.cout), l(r, c.cin/c.a.Groups, c.k, c.k), l(c.cout, r/c.a.Groups, 1, 1)}
		adapted := func(g *ops.Graph, in nodes, w, b, up node) (y, as node) {
			as = g.Unary(kernels.Affine, 2, 0, in[3])
			h := g.Conv(in[0], as, nil, c.a)
			y = g.Conv(in[0], w, b, c.a)
			if c.a.Groups == 1 {
				return g.AddLinear(y, h, g.Reshape(up, c.cout, r), true), as
			}
			return g.AddConv(y, h, up, g1), as
		}
		cs = append(cs, gradcheck.Case{Name: "LoRA conv " + c.name, Leaves: leaves, Build: func(g *ops.Graph, in nodes) node { y, _ := adapted(g, in, in[1], in[2], in[4]); return y }})
		if c.a.Groups == 1 {
			cs = append(cs, gradcheck.Case{Name: "LoRA conv in one " + c.name, Leaves: leaves, Build: func(g *ops.Graph, in nodes) node {
				return g.ConvLoRA(in[0], in[1], in[2], g.Unary(kernels.Affine, 2, 0, in[3]), g.Reshape(in[4], c.cout, r), c.a)
			}})
		}
		fold := append(append([]leaf{}, leaves...), frozen(plus(l(c.cout, 1, 1, 1))))
		cs = append(cs, gradcheck.Case{Name: "LoRA conv " + c.name + ", folded BatchNorm", Leaves: fold, Build: func(g *ops.Graph, in nodes) node {
			y, _ := adapted(g, in, g.Mul(in[1], in[5]), in[2], g.Mul(in[4], in[5]))
			return y
		}})
		dora := append(append([]leaf{}, leaves...), plus(l(c.cout)))
		dora[3], dora[4] = frozen(dora[3]), frozen(dora[4])
		cs = append(cs, gradcheck.Case{Name: "DoRA conv " + c.name + ": x, b, m", Leaves: dora, Build: func(g *ops.Graph, in nodes) node {
			y, as := adapted(g, in, in[1], nil, in[4])
			return g.ChannelAffine(y, g.DoRAScale(in[5], in[1], as, in[4], c.a.Groups, false), in[2])
		}})
	}
	cs = append(cs, gradcheck.Case{Name: "depthwise delta", Leaves: []leaf{l(1, 5, 5, 4), frozen(l(4, 1, 3, 3)), l(4, 1, 3, 3)}, Build: func(g *ops.Graph, in nodes) node {
		return g.Conv(in[0], g.Add(in[1], in[2]), nil, conv(1, 1, [4]int{1, 1, 1, 1}, 4))
	}})
	return cs
}

// TestAdapterGradients is TestGradients for adapted layers.
func TestAdapterGradients(t *testing.T) { checkAll(t, adapterCases()) }
