package engine

import (
	"context"
	"fmt"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/loss"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// instance is the job of finding objects and the pixels of each.
type instance struct {
	detect
	grid transform.Grid // of the prototypes
}

func (j *instance) scoreName() string { return "mask mAP50-95" }

// hasOutline tells whether more than the box of an object is known.
func hasOutline(o *vision.Object) bool { return o.RLE != nil || len(o.Polygons) > 0 }

// boxesOnly counts the objects of samples, crowds apart, and those of them of
// which only the box is known.
func boxesOnly(samples []datasets.Sample) (objects, boxes int) {
	for _, s := range samples {
		for i := range s.Objects {
			switch o := &s.Objects[i]; {
			case o.Crowd:
			case hasOutline(o):
				objects++
			default:
				objects++
				boxes++
			}
		}
	}
	return objects, boxes
}

func (j *instance) open(r *run) error {
	kept, err := j.read(r)
	if err != nil {
		return err
	}
	c := &r.c
	objects, boxes := boxesOnly(r.data.Split(datasets.Train))
	if boxes == objects {
		return fmt.Errorf("%s: none of the %d objects in the training images has an outline or a mask: use --task detect for boxes, or add segmentations (docs/format/coco.md)", c.Data, objects)
	}
	if boxes > 0 {
		r.data.Warnings = append(r.data.Warnings, fmt.Sprintf("%d of %d objects in the training images have a box alone: their boxes are learnt, not their masks", boxes, objects))
	}
	if objects, boxes := boxesOnly(r.data.Split(datasets.Val)); boxes > 0 {
		r.data.Warnings = append(r.data.Warnings, fmt.Sprintf("%d of %d objects in the validation images have a box alone: masks found there are neither right nor wrong", boxes, objects))
	}
	r.tellData()
	r.tellObjects()
	if err := r.net.NewInstanceHead(r.data.Classes, kept, c.Seed); err != nil {
		return err
	}
	c.logf("head     %s", r.net.Head.Detect)
	return nil
}

func (j *instance) prepare(r *run, lc *datasets.LoaderConfig) (maker, error) {
	m, err := j.detect.prepare(r, lc)
	if err != nil {
		return nil, err
	}
	if j.grid, err = r.net.prototypeGrid(); err != nil {
		return nil, err
	}
	lc.Shares = j.grid
	return m, nil
}

// prototypeGrid is the map of the prototypes.
func (n *Network) prototypeGrid() (grid transform.Grid, err error) {
	defer ops.Recover(&err)
	g, err := n.Net.Build(build.Options{Batch: 1, Until: n.until()})
	if err != nil {
		return grid, err
	}
	_, prototypes, _, err := n.raw(g)
	if err != nil {
		return grid, err
	}
	s := ops.Shape(prototypes)
	return transform.Grid{H: s[1], W: s[2], Stride: n.Head.Detect.Masks.Stride}, nil
}

// addMaskLoss adds the loss of masks to that of boxes, whose matches it needs.
func (c *circuit) addMaskLoss(raw, prototypes *ops.Node, m *MaskHead) {
	s, t := ops.Shape(prototypes), ops.Shape(c.targets)
	c.masks = c.Input("masks", buffer.F32, false, t[0], t[1], s[1], s[2])
	masks := loss.InstanceMasks(c.Graph.Graph, prototypes, raw, loss.DetectMatches(c.Graph.Graph, c.loss), c.targets, c.masks, loss.MaskConfig{Stride: m.Stride})
	c.loss = c.Add(c.loss, masks)
}

func (j *instance) load(r *run, s *set, b *datasets.Batch, x []float32) {
	j.detect.load(r, s, b, x)
	loadShares(s, b.Shares[:b.N*j.objects*j.grid.Cells()])
}

// loadShares copies the masks of a batch into the shards, as the part of each
// cell that is covered.
func loadShares(s *set, shares []uint8) {
	batch := 0
	for _, n := range s.sizes {
		batch += n
	}
	per := len(shares) / batch
	for i, sh := range s.shards {
		here := shares[:s.sizes[i]*per]
		shares = shares[len(here):]
		if b := sh.input(sh.masks); b != nil {
			to := b.F32()
			for k, v := range here {
				to[k] = float32(v) / 255
			}
		}
	}
}

func (j *instance) validate(ctx context.Context, r *run, samples []datasets.Sample, row *Row) error {
	found, err := j.eval.detections(ctx, samples, valThresholds)
	if err != nil {
		return err
	}
	boxes, err := found.evaluation()
	if err != nil {
		return err
	}
	masks, err := found.maskEvaluation()
	if err != nil {
		return err
	}
	b, err := boxes.Evaluate(metric.Boxes)
	if err != nil {
		return err
	}
	m, err := masks.Evaluate(metric.Masks)
	if err != nil {
		return err
	}
	row.Score, row.Second = float64(m.AP), float64(b.AP)
	return nil
}
