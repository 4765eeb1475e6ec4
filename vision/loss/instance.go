package loss

import (
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// MaskConfig holds the options of [InstanceMasks]; only Stride has no default.
type MaskConfig struct {
	// Stride is the size of a prototype's cell in pixels of the network's input.
	Stride int
	// BCE and Dice multiply the two terms. Default 1 each.
	BCE, Dice float64
}

// InstanceMasks is the loss of instance masks that are sums of prototypes, as in
// YOLACT (Bolya et al. 2019, arXiv:1904.02689, §3.1). The cells that [Detect]
// matched to an object make a mask of it from their coefficients:
//
//	mᵢ = σ(Σₚ coefficientₚ·prototypeᵢₚ)
//	L = 1/max(1, P) Σ_cells [ bce/|B|·Σ_{i∈B} BCE(mᵢ, tᵢ) + dice·(1 − 2·Σ_B mᵢtᵢ/(Σ_B mᵢ² + Σ_B tᵢ²)) ]
//
//	prototypes (N, h, w, C)   raw (N, A, …+C)   matches (N, A) int64   targets (N, M, 5)   masks (N, M, h, w)   L scalar
//
// B are the cells of the prototypes that the object's box touches: outside of it
// a mask is cut off anyway (YOLACT's crop, by the true box). The coefficients
// are the last C columns of raw; matches are [DetectMatches]; targets are those
// of Detect. masks are floats, the part of each cell that the object covers, or
// bytes, where any but 0 is 1. Floats are worth their memory: what is learnt from
// whole cells only has borders that are off by up to half a cell. P is the number of matched cells in the batch of all shards;
// an object whose mask is empty within B, because it is too small or because
// only its box is known, is left out of it and of the sum.
//
// YOLACT has no Dice term; it is there because in a large box the pixels of a
// thin object are few (Lyu et al. 2022, RTMDet, arXiv:2212.07784, use it alone).
func InstanceMasks(g *ops.Graph, prototypes, raw, matches, targets, masks *ops.Node, c MaskConfig) *ops.Node {
	ps, rs, ms := ops.Shape(prototypes), ops.Shape(raw), ops.Shape(masks)
	if len(ps) != 4 || len(rs) != 3 || rs[0] != ps[0] || rs[2] < ps[3] {
		ops.Fail("loss: instance masks: prototypes %v and predictions %v: want (N, h, w, C) and (N, A, …+C)", ps, rs)
	}
	if s := ops.Shape(matches); len(s) != 2 || s[0] != rs[0] || s[1] != rs[1] || g.Kind(matches) != buffer.I64 {
		ops.Fail("loss: instance masks: matches are %v %v: want (%d, %d) int64", g.Kind(matches), s, rs[0], rs[1])
	}
	if len(ms) != 4 || ms[0] != ps[0] || ms[2] != ps[1] || ms[3] != ps[2] {
		ops.Fail("loss: instance masks: masks %v for prototypes %v: want (%d, M, %d, %d)", ms, ps, ps[0], ps[1], ps[2])
	}
	if k := g.Kind(masks); k != buffer.U8 && k != g.Storage() {
		ops.Fail("loss: instance masks: masks are %v: want bytes or floats", k)
	}
	if s := ops.Shape(targets); len(s) != 3 || s[0] != ms[0] || s[1] != ms[1] || s[2] != 5 {
		ops.Fail("loss: instance masks: targets %v for masks %v: want (%d, %d, 5)", s, ms, ms[0], ms[1])
	}
	if c.Stride < 1 || c.BCE < 0 || c.Dice < 0 {
		ops.Fail("loss: instance masks: Stride %d, BCE %v, Dice %v: want a stride of at least 1 and weights of at least 0", c.Stride, c.BCE, c.Dice)
	}
	if c.BCE == 0 {
		c.BCE = 1
	}
	if c.Dice == 0 {
		c.Dice = 1
	}
	coefficients := g.Slice(raw, 2, rs[2]-ps[3], ps[3], 1)
	return g.Apply(ops.Spec{
		Name: "instance_masks", Once: true, In: []*ops.Node{prototypes, coefficients, matches, targets, masks}, Out: []int{},
		Diff:    []bool{true, true, false, false, false},
		Slots:   []ops.Slot{{Shape: ps}, {Shape: ops.Shape(coefficients)}},
		Scratch: []int{ps[1] * ps[2]},
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return newMasker[float64](e, c).run, nil
			}
			return newMasker[float32](e, c).run, nil
		},
		Grad: func(in []*ops.Node, y, dy *ops.Node) []*ops.Node {
			gs := make([]*ops.Node, len(in))
			for i := range 2 {
				if g.Needs(in[i]) {
					gs[i] = slotGrad(g, y, dy, i)
				}
			}
			return gs
		},
	})
}
