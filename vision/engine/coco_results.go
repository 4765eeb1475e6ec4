package engine

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// cocoResult is one line of COCO's results format.
type cocoResult struct {
	ImageID    any   `json:"image_id"` // the file's name if that is no number
	CategoryID int64 `json:"category_id"`
	// Box is x, y, width, height.
	Box          *[4]float64          `json:"bbox,omitempty"`
	Segmentation *vision.Segmentation `json:"segmentation,omitempty"`
	Score        float64              `json:"score"`
}

// COCOResults is what a detector found, as pycocotools' loadRes reads it: with the
// ids that the annotation files give images and categories (of YOLO's and Pascal
// VOC's files: the images counted from 1, and docs/format/coco.md's categories), in
// pixels of the annotations, a result a line. A class that the files lack has no
// id: what was found of it is left out and counted.
//
// It is an error for weights that find no objects, and where ids do not tell the
// images of the split apart.
func (v *Validation) COCOResults() (results []byte, left int, err error) {
	if v.found == nil {
		return nil, 0, fmt.Errorf("COCO results are of boxes and of masks of objects, and these weights are trained to %s", v.Metrics.Task)
	}
	var b bytes.Buffer
	names := map[int64]string{}
	between := "[\n"
	for i := range v.found.Samples {
		s := &v.found.Samples[i]
		if was, ok := names[s.ImageID]; ok {
			return nil, 0, fmt.Errorf("COCO results: %s and %s both have the image id %d: evaluate one annotation file at a time", was, s.Name, s.ImageID)
		}
		names[s.ImageID] = s.Name
		for _, d := range v.found.Detections[i] {
			category := v.data.CategoryIDs[d.Class]
			if category < 0 {
				left++
				continue
			}
			r := cocoResult{ImageID: s.ImageID, CategoryID: category, Box: new(annotated(s, d.Box).XYWH()), Score: d.Score}
			if d.Mask != nil {
				if s.Scale != ([2]float64{}) {
					return nil, 0, fmt.Errorf("COCO results: %s has %d×%d pixels and is annotated for another size, which its masks have not: resize it", s.Name, s.W, s.H)
				}
				r.Segmentation = &vision.Segmentation{Size: [2]int{d.Mask.H, d.Mask.W}, Counts: mask.Compress(d.Mask.Counts)}
			}
			line, err := json.Marshal(r)
			if err != nil {
				return nil, 0, err
			}
			b.WriteString(between)
			b.Write(line)
			between = ",\n"
		}
	}
	if b.Len() == 0 {
		b.WriteString("[")
	}
	b.WriteString("\n]\n")
	return b.Bytes(), left, nil
}

// annotated is a box in pixels of the annotations.
func annotated(s *datasets.Sample, b vision.Box) vision.Box {
	if s.Scale == ([2]float64{}) {
		return b
	}
	return vision.Box{X1: b.X1 / s.Scale[0], Y1: b.Y1 / s.Scale[1], X2: b.X2 / s.Scale[0], Y2: b.Y2 / s.Scale[1]}
}
