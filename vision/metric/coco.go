package metric

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// COCOKind is what detections are compared by.
type COCOKind int

const (
	// Boxes compares the boxes.
	Boxes COCOKind = iota
	// Masks compares the pixels.
	Masks
)

func (k COCOKind) String() string {
	switch k {
	case Boxes:
		return "boxes"
	case Masks:
		return "masks"
	}
	return fmt.Sprintf("COCOKind(%d)", int(k))
}

// COCOEval gathers the annotations and detections of a split, image by image,
// and scores them. The zero value is ready to use.
type COCOEval struct {
	// Classes limits every result to these classes. Nil: all.
	Classes []int

	images []*cocoImage
	seen   map[int64]bool
}

type cocoImage struct {
	id   int64
	w, h int
	gts  []vision.Object
	dets []vision.Detection
}

// Add takes the annotations and the detections of one image of w×h pixels; the
// size is used for masks only. It keeps the slices. Images may come in any order
// and have nothing annotated or found; the result is that of the order of their
// ids.
//
// It reports an error for an image that was added before and for a score, a box
// or an area that is not a finite number.
func (e *COCOEval) Add(imageID int64, w, h int, gts []vision.Object, dets []vision.Detection) error {
	if e.seen[imageID] {
		return fmt.Errorf("score detections: image %d was added twice", imageID)
	}
	for i, o := range gts {
		if err := finite(o.Class, o.Box, o.Area); err != nil {
			return fmt.Errorf("score detections: image %d: object %d: %w", imageID, i, err)
		}
	}
	for i, d := range dets {
		if err := finite(d.Class, d.Box, d.Score); err != nil {
			return fmt.Errorf("score detections: image %d: detection %d: %w", imageID, i, err)
		}
	}
	if e.seen == nil {
		e.seen = map[int64]bool{}
	}
	e.seen[imageID] = true
	e.images = append(e.images, &cocoImage{imageID, w, h, gts, dets})
	return nil
}

// finite checks a class, a box and the number that comes with it.
func finite(class int, b vision.Box, v float64) error {
	if class < 0 {
		return fmt.Errorf("class %d is below 0", class)
	}
	for _, x := range [5]float64{b.X1, b.Y1, b.X2, b.Y2, v} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("box %v with %g is not finite", b.XYWH(), v)
		}
	}
	return nil
}

// cocoThing is an annotation or a detection as it is compared.
type cocoThing struct {
	box   vision.Box
	mask  vision.RLE // for Masks
	area  float64
	score float64
	crowd bool
}

// cocoCell is what one image holds of one class: the detections best first,
// of equal scores the earlier, and how they overlap the ground truth.
type cocoCell struct {
	gts, dets []cocoThing
	iou       [][]float64 // (dets, gts)
}

// cells sorts the split by class; those of a class come in the order of image
// ids. keep is how many detections per image and class are looked at; 0: all.
func (e *COCOEval) cells(kind COCOKind, keep int) (classes []int, cells map[int][]*cocoCell, err error) {
	if kind != Boxes && kind != Masks {
		return nil, nil, fmt.Errorf("score detections: %v is neither Boxes nor Masks", kind)
	}
	if len(e.images) == 0 {
		return nil, nil, fmt.Errorf("score detections: no images")
	}
	images := slices.SortedFunc(slices.Values(e.images), func(a, b *cocoImage) int { return cmp.Compare(a.id, b.id) })
	annotated := e.annotatedAreas()
	cells = map[int][]*cocoCell{}
	for _, im := range images {
		here, err := e.split(im, kind, annotated)
		if err != nil {
			return nil, nil, fmt.Errorf("score detections: image %d: %w", im.id, err)
		}
		for class, c := range here {
			slices.SortStableFunc(c.dets, func(a, b cocoThing) int { return cmp.Compare(b.score, a.score) })
			if keep > 0 && len(c.dets) > keep {
				c.dets = c.dets[:keep]
			}
			if c.iou, err = overlaps(c, kind); err != nil {
				return nil, nil, fmt.Errorf("score detections: image %d: %w", im.id, err)
			}
			cells[class] = append(cells[class], c)
		}
	}
	for class := range cells {
		classes = append(classes, class)
	}
	slices.Sort(classes)
	return classes, cells, nil
}

// annotatedAreas reports whether the annotations come with their areas: whether
// any does.
func (e *COCOEval) annotatedAreas() bool {
	for _, im := range e.images {
		for _, o := range im.gts {
			if o.Area != 0 {
				return true
			}
		}
	}
	return false
}

// split is an image by class.
func (e *COCOEval) split(im *cocoImage, kind COCOKind, annotated bool) (map[int]*cocoCell, error) {
	cells := map[int]*cocoCell{}
	cell := func(class int) *cocoCell {
		if cells[class] == nil {
			cells[class] = &cocoCell{}
		}
		return cells[class]
	}
	for i, o := range im.gts {
		if !e.wants(o.Class) {
			continue
		}
		t := cocoThing{box: o.Box, area: o.Box.Area(), crowd: o.Crowd}
		if kind == Masks {
			var err error
			if t.mask, err = mask.FromObject(o, im.h, im.w); err != nil {
				return nil, fmt.Errorf("object %d: %w", i, err)
			}
			t.area = float64(mask.Area(t.mask))
		}
		if annotated {
			t.area = o.Area
		}
		c := cell(o.Class)
		c.gts = append(c.gts, t)
	}
	for i, d := range im.dets {
		if !e.wants(d.Class) {
			continue
		}
		t := cocoThing{box: d.Box, area: d.Box.Area(), score: d.Score}
		if kind == Masks {
			if d.Mask == nil {
				return nil, fmt.Errorf("detection %d has no mask", i)
			}
			if d.Mask.H != im.h || d.Mask.W != im.w {
				return nil, fmt.Errorf("detection %d: a mask of %d×%d pixels in an image of %d×%d", i, d.Mask.W, d.Mask.H, im.w, im.h)
			}
			t.mask, t.area = *d.Mask, float64(mask.Area(*d.Mask))
		}
		c := cell(d.Class)
		c.dets = append(c.dets, t)
	}
	return cells, nil
}

func (e *COCOEval) wants(class int) bool {
	return e.Classes == nil || slices.Contains(e.Classes, class)
}

// overlaps is the IoU of each detection with each ground truth of a cell.
func overlaps(c *cocoCell, kind COCOKind) ([][]float64, error) {
	if kind == Masks {
		return maskOverlaps(c)
	}
	iou := make([][]float64, len(c.dets))
	for i, d := range c.dets {
		iou[i] = make([]float64, len(c.gts))
		for j, g := range c.gts {
			iou[i][j] = mask.BoxIoU(d.box, g.box, g.crowd)
		}
	}
	return iou, nil
}

func maskOverlaps(c *cocoCell) ([][]float64, error) {
	dets, gts, crowd := make([]vision.RLE, len(c.dets)), make([]vision.RLE, len(c.gts)), make([]bool, len(c.gts))
	for i, d := range c.dets {
		dets[i] = d.mask
	}
	for j, g := range c.gts {
		gts[j], crowd[j] = g.mask, g.crowd
	}
	return mask.IoU(dets, gts, crowd)
}
