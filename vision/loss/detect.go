package loss

import (
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// Level is one feature map of a detector: H×W cells of Stride pixels. It is the
// same type as head.Level.
type Level = struct{ H, W, Stride int }

// DetectConfig holds the options of [Detect]; only Levels has no default.
type DetectConfig struct {
	// Levels lists the feature maps in the order of raw's cells.
	Levels []Level
	// Classes is K, where raw has columns after the classes (the coefficients of
	// masks), which the loss leaves alone. Default: all columns after the fifth.
	Classes int
	// GIoU takes 1 − GIoU (Rezatofighi et al. 2019, arXiv:1902.09630) as the
	// loss of a box instead of 1 − IoU²: it has a gradient where boxes do not
	// touch.
	GIoU bool
	// BoxWeight multiplies the loss of boxes. Default 5.
	BoxWeight float64
	// Radius is the half side of the square around an object's centre whose
	// cells may be matched to it, in strides. Default 2.5.
	Radius float64
	// TopK is the number of best overlaps that are summed to the number of cells
	// an object gets. Default 10.
	TopK int
	// L1 is a leaf of one value that multiplies an L1 loss on the raw boxes
	// (YOLOX: 1 in the last 15 epochs, after mosaic ends, 0 before); nil leaves
	// the term out.
	L1 *ops.Node

	// hold, when true, keeps the matches and class targets of the run before,
	// so that finite differences see what the gradient holds constant.
	hold *bool
}

func (c DetectConfig) withDefaults() DetectConfig {
	if c.BoxWeight == 0 {
		c.BoxWeight = 5
	}
	if c.Radius == 0 {
		c.Radius = 2.5
	}
	if c.TopK == 0 {
		c.TopK = 10
	}
	return c
}

// classes is K for rows of raw of so many columns.
func (c DetectConfig) classes(columns int) int {
	if c.Classes == 0 {
		return columns - 5
	}
	return c.Classes
}

// The parts of the loss of [Detect] or [DetectGFL] that [DetectParts] gives. All
// but the last are weighted and add up to the loss.
const (
	PartBox = iota
	PartObjectness
	PartClass
	PartL1
	PartDistance  // of distributions
	PartPositives // the number of matched cells, of this shard
	detectParts
)

// Detect is the training loss of YOLOX (Ge et al. 2021, arXiv:2107.08430). Cells
// are matched to objects by SimOTA (see assign), P of them in the batch of all
// shards; then
//
//	L = 1/max(1, P)·[ 5·Σ_pos (1 − IoU²) + Σ_all BCE(objectness, matched)
//	                + Σ_pos Σₖ BCE(classₖ, IoU·[k = class]) + l1·Σ_pos |box − box*|₁ ]
//
//	raw (N, A, 5+K+…)   targets (N, M, 5)   L scalar
//
// A row of raw is one cell: centre x, y relative to the cell's corner and log
// width, height, all in strides; the logits of objectness and of K classes. The
// cells are those of Levels, in rows from the top left. A row of targets is
// class, centre x, y, width, height in pixels of the network's input; class −1
// is padding, and so is an empty box. Matches and the IoU in the class target
// have no gradient.
func Detect(g *ops.Graph, raw, targets *ops.Node, c DetectConfig) *ops.Node {
	c = c.withDefaults()
	s, ts := ops.Shape(raw), ops.Shape(targets)
	cells := cellsOf(c.Levels)
	if len(s) != 3 || s[1] != len(cells) || s[2] < 6 {
		ops.Fail("loss: detect: predictions %v: want (N, %d, 5+K) for levels %v", s, len(cells), c.Levels)
	}
	if c.Classes < 0 || c.Classes > s[2]-5 {
		ops.Fail("loss: detect: %d classes are more than predictions %v have columns for", c.Classes, s)
	}
	if len(ts) != 3 || ts[0] != s[0] || ts[2] != 5 {
		ops.Fail("loss: detect: targets %v: want (%d, M, 5)", ts, s[0])
	}
	in, diff := []*ops.Node{raw, targets}, []bool{true, false}
	if c.L1 != nil {
		in, diff = append(in, c.L1), append(diff, false)
	}
	grad := gradFromSlot(g)
	return g.Apply(ops.Spec{
		Name: "detect", Once: true, In: in, Out: []int{}, Diff: diff,
		Slots: []ops.Slot{{Shape: s}, {Shape: []int{detectParts}}, {Shape: s[:2], Kind: buffer.I64}},
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return newDetector[float64](e, cells, c).matching(e.Slots[2]), nil
			}
			return newDetector[float32](e, cells, c).matching(e.Slots[2]), nil
		},
		Grad: func(in []*ops.Node, y, dy *ops.Node) []*ops.Node {
			return append(grad(in, y, dy), nil)[:len(in)]
		},
	})
}

// DetectParts is what the loss that [Detect] or [DetectGFL] made consists of, for
// a log: (6), indexed by [PartBox] and so on.
func DetectParts(g *ops.Graph, loss *ops.Node) *ops.Node {
	return g.Apply(ops.Spec{Name: "detect.parts", In: []*ops.Node{loss}, Reads: []ops.Read{{Of: loss, Slot: 1}}, Out: []int{detectParts}, Alias: true})
}

// DetectMatches tells which object each cell was matched to by the loss that
// [Detect] made: (N, A) int64, a row of the image's targets, or −1.
func DetectMatches(g *ops.Graph, loss *ops.Node) *ops.Node {
	shape := ops.OpOf(loss).Slots[2].Shape
	return g.Apply(ops.Spec{Name: "detect.matches", In: []*ops.Node{loss}, Reads: []ops.Read{{Of: loss, Slot: 2}}, Out: shape, Kind: buffer.I64, Alias: true})
}
