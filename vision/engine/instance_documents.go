package engine

import (
	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/report"
)

// label adds boxes, and the masks as the loss sees them, from half a cell on.
func (j *instance) label(r *run, b *datasets.Batch, i int, t *report.Tile) {
	j.detect.label(r, b, i, t)
	h, w := r.pre.Size[0], r.pre.Size[1]
	on := make([]byte, h*w)
	at := 0
	for o := range j.objects {
		row := i*j.objects + o
		if b.Boxes[row*5] < 0 {
			continue
		}
		box := &t.Boxes[at]
		at++
		shares := b.Shares[row*j.grid.Cells():][:j.grid.Cells()]
		for y := range h {
			for x := range w {
				on[y*w+x] = shares[y/j.grid.Stride*j.grid.W+x/j.grid.Stride] >> 7
			}
		}
		if m, err := mask.Encode(on, h, w, mask.Rows); err == nil {
			box.Mask = &m
		}
	}
}

func (j *instance) document(r *run, v *Validation, e *report.Evaluation, d *report.Drawings) (err error) {
	if err := j.detect.document(r, v, e, d); err != nil {
		return err
	}
	if e.Masks, err = report.NewDetection(v.maskEval, metric.Masks, r.data.Classes); err != nil {
		return err
	}
	d.Masks = e.Masks
	return nil
}

// scaled makes k×k pixels of each pixel of a mask.
func scaled(r vision.RLE, k int) (vision.RLE, error) {
	if k == 1 {
		return r, nil
	}
	on, err := mask.Decode(r, mask.Rows)
	if err != nil {
		return r, err
	}
	return mask.Encode(repeated(on, r.W, r.H, k), k*r.H, k*r.W, mask.Rows)
}
