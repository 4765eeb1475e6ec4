package loss

import (
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// Ignored is the label of pixels that belong to no class: padding, and what the
// annotators left open (Pascal VOC's convention).
const Ignored = 255

// SegmentConfig holds the options of [Segment]; the zero value is plain
// cross-entropy.
type SegmentConfig struct {
	// ClassWeights scale the pixels of each class; nil means 1.
	ClassWeights []float64
	// Focal is γ of the focal loss, 0 for none; 2 in the paper (Lin et al. 2017,
	// arXiv:1708.02002).
	Focal float64
	// Boundary is w₀, how much more a pixel weighs at a border between two
	// classes; 0 for none, 10 in the paper (Ronneberger et al. 2015, U-Net,
	// arXiv:1505.04597, eq. 2).
	Boundary float64
	// BoundarySigma is σ, how far a border reaches, in pixels. Default 5, the
	// paper's.
	BoundarySigma float64
	// Dice multiplies the Dice loss (Milletari et al. 2016, V-Net,
	// arXiv:1606.04797), which knows no frequent and rare classes; 0 for none.
	Dice float64
}

// The parts of [Segment]'s loss that [SegmentParts] gives; they add up to it.
const (
	PartCrossEntropy = iota
	PartDice
	segmentParts
)

// Segment is the training loss of semantic segmentation, a softmax
// cross-entropy over pixels and a Dice loss over classes:
//
//	L = Σᵢ wᵢ·(1 − pᵢ(yᵢ))^γ·(−ln pᵢ(yᵢ)) / Σᵢ wᵢ  +  dice·D
//	wᵢ = ω(yᵢ)·(1 + w₀·exp(−dᵢ²/2σ²))
//	D = 1/|C| Σ_{k∈C} [1 − 2·Σᵢ pᵢ(k)·[yᵢ = k] / (Σᵢ pᵢ(k)² + Σᵢ [yᵢ = k])]
//
//	logits (N, h, w, K)   labels (N, H, W) int64, [Ignored] or below 0 = ignored   L scalar
//
// All sums run over the pixels of the whole batch, of all shards, that are not
// ignored; C are the classes that occur in it. dᵢ is the distance in pixels to
// the nearest pixel with a neighbour of another class (U-Net has the two nearest
// cells instead); with ω = 1 the weight is U-Net's, and a class of weight 0
// stays out of the first term wherever it lies.
//
// Logits that are not of the labels' size are enlarged bilinearly, one row at a
// time: nothing of size N·H·W·K is held. A label that is no class ends the run
// with an error.
func Segment(g *ops.Graph, logits, labels *ops.Node, c SegmentConfig) *ops.Node {
	s, ls := ops.Shape(logits), ops.Shape(labels)
	if len(s) != 4 || len(ls) != 3 || s[0] != ls[0] {
		ops.Fail("loss: segment: logits %v and labels %v: want (N, h, w, K) and (N, H, W)", s, ls)
	}
	k := s[3]
	if k < 1 || k > Ignored {
		ops.Fail("loss: segment: %d classes: labels go from 0 to %d", k, Ignored-1)
	}
	if c.ClassWeights != nil && len(c.ClassWeights) != k {
		ops.Fail("loss: segment: %d class weights for %d classes", len(c.ClassWeights), k)
	}
	if c.Focal < 0 || c.Boundary < 0 || c.BoundarySigma < 0 || c.Dice < 0 {
		ops.Fail("loss: segment: Focal %v, Boundary %v, BoundarySigma %v, Dice %v: none may be below 0", c.Focal, c.Boundary, c.BoundarySigma, c.Dice)
	}
	if g.Kind(labels) != buffer.I64 {
		ops.Fail("loss: segment: labels are %v, not %v", g.Kind(labels), buffer.I64)
	}
	if c.BoundarySigma == 0 {
		c.BoundarySigma = 5
	}
	scratch := enlargedScratch(s, ls)
	if c.Boundary > 0 {
		scratch = append(scratch, ls[1]*ls[2])
	}
	return g.Apply(ops.Spec{
		Name: "segment", Once: true, In: []*ops.Node{logits, labels}, Out: []int{}, Diff: []bool{true, false},
		Slots: []ops.Slot{{Shape: s}, {Shape: []int{segmentParts}}}, Scratch: scratch,
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return newSegmenter[float64](e, c).run, nil
			}
			return newSegmenter[float32](e, c).run, nil
		},
		Grad: gradFromSlot(g),
	})
}

// SegmentParts is what the loss that [Segment] made consists of, for a log: (2),
// indexed by [PartCrossEntropy] and [PartDice].
func SegmentParts(g *ops.Graph, loss *ops.Node) *ops.Node {
	return g.Apply(ops.Spec{Name: "segment.parts", In: []*ops.Node{loss}, Reads: []ops.Read{{Of: loss, Slot: 1}}, Out: []int{segmentParts}, Alias: true})
}
