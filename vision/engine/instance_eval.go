package engine

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// instances decodes boxes and their masks for one image of w×h pixels: raw and
// prototypes are the network's two outputs.
func (b *boxReader) instances(raw, prototypes []float32, w, h int) ([]vision.Detection, error) {
	place := transform.Place(b.pre, w, h)
	m := head.MaskDecode{View: b.prototypeView(place)}
	out := []vision.Detection{}
	found, cells := b.cells(raw)
	for i, d := range found {
		if d.Box = place.ToImage(d.Box, w, h); d.Box.Area() <= 0 {
			continue // in the padding
		}
		r, err := m.Mask(prototypes, b.decode.MaskCoefficients(raw, cells[i]), found[i].Box, h, w)
		if err != nil {
			return nil, err
		}
		d.Mask = &r
		out = append(out, d)
	}
	return out, nil
}

// inputInstances are the same in pixels of the network's input, of w×h pixels.
func (b *boxReader) inputInstances(raw, prototypes []float32, w, h int) ([]vision.Detection, error) {
	m := head.MaskDecode{View: b.prototypeView(transform.Placement{W: w, H: h})}
	found, cells := b.cells(raw)
	for i := range found {
		r, err := m.Mask(prototypes, b.decode.MaskCoefficients(raw, cells[i]), found[i].Box, h, w)
		if err != nil {
			return nil, err
		}
		found[i].Mask = &r
	}
	return found, nil
}

// cells are the detections that remain, in pixels of the network's input, and the
// number of the cell of each.
func (b *boxReader) cells(raw []float32) (kept []vision.Detection, cells []int) {
	found, all := b.decode.YOLOXCells(raw)
	for _, i := range b.nms.Keep(found) {
		kept, cells = append(kept, found[i]), append(cells, all[i])
	}
	return kept, cells
}

// prototypeView tells how the prototypes lie over an input: they have twice the
// cells of the finest map, and may reach out of the input on the right and below.
func (b *boxReader) prototypeView(place transform.Placement) head.View {
	finest := b.decode.Levels[0]
	v := head.View{Map: [2]int{2 * finest.H, 2 * finest.W}, Place: place}
	v.Input = [2]int{v.Map[0] * b.masks.Stride, v.Map[1] * b.masks.Stride}
	return v
}

// maskEvaluation is what was found against the masks that are annotated. Where
// an object has a box alone, its box is a region in which masks are neither right
// nor wrong.
func (f *found) maskEvaluation() (*metric.COCOEval, error) {
	e := &metric.COCOEval{}
	for i, s := range f.Samples {
		objects := slices.Clone(s.Objects)
		for k := range objects {
			o := &objects[k]
			if hasOutline(o) {
				continue
			}
			r, err := mask.FrBox(o.Box, s.H, s.W)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			o.RLE, o.Crowd = &r, true
		}
		if err := e.Add(int64(s.Index), s.W, s.H, objects, f.Detections[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return e, nil
}
