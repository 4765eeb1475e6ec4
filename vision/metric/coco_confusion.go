package metric

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// DetectionThresholds say what the confusion matrix counts. A zero field means
// the default.
type DetectionThresholds struct {
	Confidence float64 // detections above it. Default 0.25
	IoU        float64 // pairs above it. Default 0.45
}

// Confusion counts objects by true and found class: [truth][prediction], with
// the background behind the last of the classes. An object that was not found is
// in the last column, a detection of nothing in the last row. Boxes are paired
// whatever their classes: each detection with the object that it overlaps most,
// and of several for one object the one that overlaps it most. Crowds are left
// out, and so is what else lies in one of them by more than the IoU.
//
// The pairs are those of the confusion matrix of Ultralytics 8 (YOLO).
func (e *COCOEval) Confusion(classes int, t DetectionThresholds) (Confusion, error) {
	t.Confidence, t.IoU = cmp.Or(t.Confidence, .25), cmp.Or(t.IoU, .45)
	if classes < 1 || !(t.Confidence > 0 && t.Confidence <= 1) || !(t.IoU > 0 && t.IoU <= 1) {
		return nil, fmt.Errorf("confusion of detections: %d classes, confidence %g, IoU %g", classes, t.Confidence, t.IoU)
	}
	out := NewConfusion(classes + 1)
	for _, im := range e.images {
		if err := e.confuse(im, classes, t, out); err != nil {
			return nil, fmt.Errorf("confusion of detections: image %d: %w", im.id, err)
		}
	}
	return out, nil
}

// confuse adds one image to the matrix.
func (e *COCOEval) confuse(im *cocoImage, background int, t DetectionThresholds, out Confusion) error {
	var gts, crowds []vision.Object
	for _, o := range im.gts {
		switch {
		case !e.wants(o.Class):
		case o.Class >= background:
			return fmt.Errorf("an object has class %d of %d", o.Class, background)
		case o.Crowd:
			crowds = append(crowds, o)
		default:
			gts = append(gts, o)
		}
	}
	var dets []vision.Detection
	for _, d := range im.dets {
		switch {
		case !e.wants(d.Class) || d.Score <= t.Confidence:
		case d.Class >= background:
			return fmt.Errorf("a detection has class %d of %d", d.Class, background)
		default:
			dets = append(dets, d)
		}
	}

	found := bestPairs(gts, dets, t.IoU)
	paired := make([]bool, len(dets))
	for j, i := range found {
		if i < 0 {
			out[gts[j].Class][background]++
			continue
		}
		out[gts[j].Class][dets[i].Class]++
		paired[i] = true
	}
	for i, d := range dets {
		inCrowd := slices.ContainsFunc(crowds, func(o vision.Object) bool { return mask.BoxIoU(d.Box, o.Box, true) > t.IoU })
		if !paired[i] && !inCrowd {
			out[background][d.Class]++
		}
	}
	return nil
}

// bestPairs is the detection that each ground truth is paired with, or −1.
func bestPairs(gts []vision.Object, dets []vision.Detection, threshold float64) []int {
	found, overlap := make([]int, len(gts)), make([]float64, len(gts))
	for j := range found {
		found[j] = -1
	}
	for i, d := range dets {
		best, at := threshold, -1
		for j, o := range gts {
			if v := mask.BoxIoU(d.Box, o.Box, false); v > best {
				best, at = v, j
			}
		}
		if at >= 0 && best > overlap[at] {
			found[at], overlap[at] = i, best
		}
	}
	return found
}
