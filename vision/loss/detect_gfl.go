package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// GFLConfig holds the options of [DetectGFL]; Levels and Bins have no default.
type GFLConfig struct {
	// Levels lists the feature maps in the order of raw's cells, finest first.
	Levels []Level
	// Bins is the number of distances 0, 1, … strides that a side's distribution
	// covers: 8 in NanoDet, 16 in YOLOv8.
	Bins int
	// At is where in its cell the point lies that distances are measured from:
	// 0.5 for its centre (GFL, NanoDet, YOLOv8), 0 for its top left corner
	// (NanoDet-Plus).
	At float64
	// TopK is the number of cells an object gets at most. Default 13, TOOD's.
	TopK int
	// Alpha and Beta are the powers of score and overlap in the alignment.
	// Default 1 and 6, TOOD's.
	Alpha, Beta float64
	// BoxWeight, ClassWeight and DistanceWeight multiply the losses of boxes,
	// classes and distributions. Default 7.5, 0.5 and 1.5, YOLOv8's.
	BoxWeight, ClassWeight, DistanceWeight float64

	// hold, when true, keeps the matches and class targets of the run before,
	// so that finite differences see what the gradient holds constant.
	hold *bool
}

func (c GFLConfig) withDefaults() GFLConfig {
	if c.TopK == 0 {
		c.TopK = 13
	}
	if c.Alpha == 0 {
		c.Alpha = 1
	}
	if c.Beta == 0 {
		c.Beta = 6
	}
	if c.BoxWeight == 0 {
		c.BoxWeight = 7.5
	}
	if c.ClassWeight == 0 {
		c.ClassWeight = 0.5
	}
	if c.DistanceWeight == 0 {
		c.DistanceWeight = 1.5
	}
	return c
}

// DetectGFL is the training loss of heads that predict a distribution over the
// distance of each side of a box, as GFL (Li et al. 2020, arXiv:2006.04388),
// NanoDet and YOLOv8 do. Cells are matched to objects by task alignment (Feng et
// al. 2021, arXiv:2108.07755; see aligner), which also gives each match the score
// q that its class should have; then
//
//	L = 1/max(1, Σq)·[ ½·Σ_all Σₖ BCE(classₖ, q·[k = class]) + Σ_pos q·(7½·(1 − GIoU) + 1½·DFL) ]
//	DFL = −¼·Σ_sides ((l+1−d)·ln p_l + (d−l)·ln p_(l+1)),  l = ⌊d⌋
//
//	raw (N, A, K + 4·Bins)   targets (N, M, 5)   L scalar
//
// A row of raw is one cell: the logits of K classes, then of the distances of the
// left, top, right and bottom side from the cell's point, in strides. d is the
// distance that would be right, within what the bins cover. Targets are those of
// [Detect]. Sums run over the batch of all shards. Matches and q have no gradient.
//
// This is YOLOv8's loss (Ultralytics 2023, without a paper) but for GIoU
// (Rezatofighi et al. 2019, arXiv:1902.09630) in the place of CIoU. GFL and TOOD
// have focal losses of the classes and weigh boxes less; NanoDet-m, fine-tuned on
// 205 pictures of blood cells, then finds less (mAP 0.564 for 0.577).
func DetectGFL(g *ops.Graph, raw, targets *ops.Node, c GFLConfig) *ops.Node {
	c = c.withDefaults()
	s, ts := ops.Shape(raw), ops.Shape(targets)
	cells := cellsOf(c.Levels)
	if c.Bins < 2 || !(c.At >= 0 && c.At <= 1) {
		ops.Fail("loss: detect: %d bins from %v in a cell: want 2 or more, from 0 to 1", c.Bins, c.At)
	}
	if len(s) != 3 || s[1] != len(cells) || s[2] < 1+4*c.Bins {
		ops.Fail("loss: detect: predictions %v: want (N, %d, K+%d) for levels %v", s, len(cells), 4*c.Bins, c.Levels)
	}
	if len(ts) != 3 || ts[0] != s[0] || ts[2] != 5 {
		ops.Fail("loss: detect: targets %v: want (%d, M, 5)", ts, s[0])
	}
	return g.Apply(ops.Spec{
		Name: "detect_gfl", Once: true, In: []*ops.Node{raw, targets}, Out: []int{}, Diff: []bool{true, false},
		Slots: []ops.Slot{{Shape: s}, {Shape: []int{detectParts}}},
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return newGFLDetector[float64](e, cells, c).run, nil
			}
			return newGFLDetector[float32](e, cells, c).run, nil
		},
		Grad: gradFromSlot(g),
	})
}

// gflDetector is [DetectGFL] bound to its memory.
type gflDetector[T buffer.Float] struct {
	detection[T]
	c       GFLConfig
	k       int // classes
	aligner *aligner[T]
	quality []float64 // per cell of every image: q
	total   float64   // Σq
	p       []float64 // of a cell's distributions
}

func newGFLDetector[T buffer.Float](e *ops.Env, cells []cell, c GFLConfig) *gflDetector[T] {
	s := e.In[0].Shape
	k := s[2] - 4*c.Bins
	return &gflDetector[T]{
		detection: newDetection[T](e, cells), c: c, k: k, aligner: newAligner[T](cells, k, c),
		quality: make([]float64, s[0]*s[1]), p: make([]float64, 4*c.Bins),
	}
}

func (d *gflDetector[T]) run() {
	hold := d.c.hold != nil && *d.c.hold
	if !hold {
		d.positives, d.total = 0, 0
	}
	d.parts = [PartPositives]float64{}
	for i := range d.n {
		d.add(i, hold)
	}
	d.finish(d.total)
}

// add matches one image and adds its terms, not yet normalised.
func (d *gflDetector[T]) add(i int, hold bool) {
	cells := len(d.cells)
	match, quality := d.match[i*cells:(i+1)*cells], d.quality[i*cells:(i+1)*cells]
	d.readObjects(i)
	if !hold {
		n, sum := d.aligner.assign(d.image(i), d.objects, match, quality)
		d.positives += n
		d.total += sum
	}
	for a := range cells {
		x, g := d.place(i, a)
		class := -1
		if match[a] != unmatched {
			o := &d.objects[match[a]]
			class = o.class
			d.sides(d.cells[a], o, quality[a], x, g)
		}
		for k := range d.k {
			target := 0.0
			if k == class {
				target = quality[a]
			}
			d.parts[PartClass] += d.c.ClassWeight * logistic(x, g, k, target)
			if g != nil {
				g[k] *= T(d.c.ClassWeight)
			}
		}
	}
}

// sides adds the losses of a matched cell's box and distributions.
func (d *gflDetector[T]) sides(c cell, o *object, quality float64, x, g []T) {
	px, py := c.point(d.c.At)
	right := [4]float64{px - o.box.X1, py - o.box.Y1, o.box.X2 - px, o.box.Y2 - py}
	var distance [4]float64
	for i := range distance {
		logits, p := d.side(x, i), d.p[i*d.c.Bins:(i+1)*d.c.Bins]
		var lse float64
		distance[i], lse = distribution(logits, p)
		want := min(max(right[i]/c.stride, 0), float64(d.c.Bins-1))
		l := min(int(want), d.c.Bins-2)
		upper := want - float64(l)
		weight := d.c.DistanceWeight / 4 * quality
		d.parts[PartDistance] += weight * (lse - (1-upper)*float64(logits[l]) - upper*float64(logits[l+1]))
		if g == nil {
			continue
		}
		slope := d.side(g, i)
		for j, v := range p {
			slope[j] = T(weight * v)
		}
		slope[l] -= T(weight * (1 - upper))
		slope[l+1] -= T(weight * upper)
	}
	giou, dBox := giouGrad(boxAround(px, py, c.stride, distance), o.box)
	weight := d.c.BoxWeight * quality
	d.parts[PartBox] += weight * (1 - giou)
	if g == nil {
		return
	}
	for i, outward := range [4]float64{-1, -1, 1, 1} {
		slope := d.side(g, i)
		for j, p := range d.p[i*d.c.Bins : (i+1)*d.c.Bins] {
			slope[j] -= T(weight * dBox[i] * outward * c.stride * p * (float64(j) - distance[i]))
		}
	}
}

// side is the part of a row that holds one side's distribution.
func (d *gflDetector[T]) side(row []T, i int) []T {
	return row[d.k+i*d.c.Bins : d.k+(i+1)*d.c.Bins]
}

// distribution is Σ j·pⱼ of p = softmax(logits), and ln Σ eˣ. p may be nil.
func distribution[T buffer.Float](logits []T, p []float64) (mean, lse float64) {
	peak := float64(logits[0])
	for _, x := range logits[1:] {
		peak = max(peak, float64(x))
	}
	sum := 0.0
	for j, x := range logits {
		e := math.Exp(float64(x) - peak)
		sum += e
		mean += float64(j) * e
		if p != nil {
			p[j] = e
		}
	}
	for j := range p {
		p[j] /= sum
	}
	return mean / sum, peak + math.Log(sum)
}
