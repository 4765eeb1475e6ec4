package head

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
)

// NeckConfig holds the options of [NewNeck]; Channels has no default.
type NeckConfig struct {
	// Channels of the backbone's maps, finest first; each has half the height
	// and width of the one before.
	Channels []int
	// Width is the number of channels of every map that comes out. Default 128.
	Width int
	// PAN adds a way back up, from fine to coarse (Liu et al. 2018,
	// arXiv:1803.01534).
	PAN bool
	// Concat joins maps by concatenation and a 1×1 convolution instead of a sum.
	Concat bool
	// Depthwise replaces each 3×3 convolution that keeps the size by a depthwise
	// and a 1×1 one.
	Depthwise bool
}

// Neck is a feature pyramid network (Lin et al. 2016, arXiv:1612.03144): it
// brings what the coarse maps know into the fine ones, and with PAN back. ⊕ is a
// sum, or a concatenation and a 1×1 convolution:
//
//	tᵢ = 1×1(mapᵢ) ⊕ upsample(tᵢ₊₁)      fᵢ = 3×3(tᵢ)
//	with PAN: pᵢ = 3×3(fᵢ ⊕ 3×3/2(pᵢ₋₁)),  p₀ = f₀
//
// Every convolution is followed by a LayerNorm over channels and SiLU; maps are
// enlarged by repeating the nearest cell.
type Neck struct {
	parameters
	config           NeckConfig
	lateral, down    []block
	joinDown, joinUp []block // with Concat
	outDown, outUp   []chain
}

// NewNeck lists the neck's parameters; Init gives them values.
func NewNeck(c NeckConfig) *Neck {
	if c.Width == 0 {
		c.Width = 128
	}
	n := &Neck{config: c}
	w := c.Width
	for i, channels := range c.Channels {
		n.lateral = append(n.lateral, block{name: fmt.Sprintf("neck.lateral.%d", i), in: channels, out: w, kernel: 1, stride: 1})
		n.outDown = append(n.outDown, conv3x3(fmt.Sprintf("neck.fpn.%d", i), w, w, c.Depthwise))
		n.lateral[i].declare(&n.parameters)
		n.outDown[i].declare(&n.parameters)
	}
	for i := range max(0, len(c.Channels)-1) {
		n.joinDown = append(n.joinDown, block{name: fmt.Sprintf("neck.fpn_join.%d", i), in: 2 * w, out: w, kernel: 1, stride: 1})
		n.joinUp = append(n.joinUp, block{name: fmt.Sprintf("neck.pan_join.%d", i), in: 2 * w, out: w, kernel: 1, stride: 1})
		n.down = append(n.down, block{name: fmt.Sprintf("neck.down.%d", i), in: w, out: w, kernel: 3, stride: 2})
		n.outUp = append(n.outUp, conv3x3(fmt.Sprintf("neck.pan.%d", i), w, w, c.Depthwise))
		if c.Concat {
			n.joinDown[i].declare(&n.parameters)
		}
		if !c.PAN {
			continue
		}
		n.down[i].declare(&n.parameters)
		n.outUp[i].declare(&n.parameters)
		if c.Concat {
			n.joinUp[i].declare(&n.parameters)
		}
	}
	return n
}

// Forward adds the neck to a graph.
//
//	maps (N, Hᵢ, Wᵢ, Cᵢ)   y (N, Hᵢ, Wᵢ, Width)
func (n *Neck) Forward(g *ops.Graph, leaf Leaf, maps []*ops.Node) []*ops.Node {
	return nodes(n.Build(OnGraph(g, leaf), Values(maps)))
}

// Build makes the neck.
func (n *Neck) Build(g Builder, maps []Value) []Value {
	checkMaps(g, "neck", maps, n.config.Channels)
	out := make([]Value, len(maps))
	var top Value
	for i := len(maps) - 1; i >= 0; i-- {
		t := n.lateral[i].apply(g, maps[i])
		if top != nil {
			s := g.Shape(t)
			t = n.join(g, t, g.Nearest(top, s[1], s[2]), n.joinDown[i])
		}
		top = t
		out[i] = n.outDown[i].apply(g, t)
	}
	if !n.config.PAN {
		return out
	}
	for i := range n.down {
		d := n.down[i].padded(g, out[i], halvingPads(g.Shape(out[i]), g.Shape(out[i+1])))
		out[i+1] = n.outUp[i].apply(g, n.join(g, out[i+1], d, n.joinUp[i]))
	}
	return out
}

func (n *Neck) join(g Builder, x, y Value, b block) Value {
	if n.config.Concat {
		return b.apply(g, g.Concat(x, y))
	}
	return g.Add(x, y)
}

// halvingPads pads a 3×3 convolution of stride 2 so that it makes the coarse
// map's size of the fine one's: backbones round either way.
func halvingPads(fine, coarse []int) (pads [4]int) {
	for k := range 2 {
		have, want := fine[1+k], coarse[1+k]
		total := 2*want + 1 - have // what the last window reaches
		switch {
		case (have+1)/2 == want:
			pads[k], pads[k+2] = 1, 1
		case total >= 0 && total <= 2:
			pads[k], pads[k+2] = total/2, total-total/2
		default:
			ops.Fail("head: neck: a map of %d×%d cells comes after one of %d×%d: want half the size", coarse[1], coarse[2], fine[1], fine[2])
		}
	}
	return pads
}
