package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// thresholds say which boxes are kept.
type thresholds struct {
	Conf, IoU float64
	Max       int
	Agnostic  bool
}

// valThresholds keep nearly everything, as average precision wants it: those of
// YOLOX's evaluation, and COCO's 100 detections per image.
var valThresholds = thresholds{Conf: .001, IoU: .65, Max: 100}

// found are the objects found in a list of samples, in its order, in pixels of
// the original images.
type found struct {
	Samples    []datasets.Sample
	Detections [][]vision.Detection
	Skipped    []datasets.Skipped
	Seconds    float64
}

// boxReader turns raw outputs into boxes in pixels of the original image, and
// into masks of that size.
type boxReader struct {
	own    *build.Detector // nil: a new head
	masks  *MaskHead       // nil: boxes alone
	decode head.Decode
	nms    head.NMS
	pre    vision.Preprocess
}

func (n *Network) boxReader(levels []head.Level, pre vision.Preprocess, t thresholds) boxReader {
	m := n.Head.Detect.Masks
	return boxReader{own: n.decoding(), masks: m, pre: pre, decode: head.Decode{Classes: n.Head.Classes, Levels: levels, Conf: t.Conf, Sigmoid: !n.Head.Detect.probabilities(), Coefficients: m.count()}, nms: head.NMS{IoU: t.IoU, Max: t.Max, Agnostic: t.Agnostic}}
}

// read decodes the output for one image of w×h pixels.
func (b *boxReader) read(raw []float32, w, h int) []vision.Detection {
	return transform.Place(b.pre, w, h).ToImages(b.boxes(raw), w, h)
}

// boxes are those that remain, in pixels of the network's input.
func (b *boxReader) boxes(raw []float32) []vision.Detection {
	var d []vision.Detection
	switch {
	case b.own != nil && b.own.Bins > 0:
		d = b.decode.GFL(raw, b.own.Bins, b.own.At)
	case b.own != nil && b.own.Kind == build.DetectYOLOv5:
		var anchors [][][2]float64
		for _, l := range b.own.Levels {
			anchors = append(anchors, l.Anchors)
		}
		d = b.decode.YOLOv5(raw, anchors)
	default:
		d = b.decode.YOLOX(raw)
	}
	return b.nms.Apply(d)
}

// readAll decodes all outputs for one image of w×h pixels: with masks, where the
// head makes them.
func (b *boxReader) readAll(outputs [][]float32, w, h int) ([]vision.Detection, error) {
	if b.masks == nil {
		return b.read(outputs[0], w, h), nil
	}
	return b.instances(outputs[0], outputs[1], w, h)
}

// detections runs samples through the network.
func (e *evaluator) detections(ctx context.Context, samples []datasets.Sample, t thresholds) (*found, error) {
	out := &found{}
	var reader boxReader
	ready := false
	var errs []error
	rest, err := e.eachOutputs(ctx, samples, func(s datasets.Sample, outputs [][]float32, c *circuit) {
		if !ready {
			reader, ready = e.net.boxReader(c.levels, e.pre, t), true
		}
		out.Samples = append(out.Samples, s)
		d, err := reader.readAll(outputs, s.W, s.H)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		}
		out.Detections = append(out.Detections, d)
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	out.Skipped, out.Seconds = rest.skipped, rest.seconds
	return out, nil
}

// evaluation is what was found against what is annotated.
func (f *found) evaluation() (*metric.COCOEval, error) {
	e := &metric.COCOEval{}
	for i, s := range f.Samples {
		// The index is unique; ids of a file need not be over several files.
		if err := e.Add(int64(s.Index), s.W, s.H, s.Objects, f.Detections[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return e, nil
}

// detectPredictor returns the maker of inference circuits.
func (n *Network) detectPredictor() maker {
	return func(batch int) (c *circuit, err error) {
		defer ops.Recover(&err)
		g, err := n.Net.Build(build.Options{Batch: batch, Until: n.until()})
		if err != nil {
			return nil, err
		}
		raw, prototypes, levels, err := n.raw(g)
		if err != nil {
			return nil, err
		}
		c = &circuit{Graph: g, outputs: []*ops.Node{raw}, levels: levels}
		if prototypes != nil {
			c.outputs = append(c.outputs, prototypes)
		}
		return c, nil
	}
}
