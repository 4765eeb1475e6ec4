package vision

import "math"

// Box is an axis-aligned rectangle in pixels of its image. The origin is the
// top left corner of the top left pixel, x grows to the right and y downwards;
// coordinates are continuous, so that the pixel (3, 5) covers the box
// {3, 5, 4, 6}. COCO's [x, y, w, h] is {x, y, x+w, y+h}.
type Box struct{ X1, Y1, X2, Y2 float64 }

// XYWH makes a box from its top left corner, width and height.
func XYWH(x, y, w, h float64) Box { return Box{x, y, x + w, y + h} }

// XYWH is the box as COCO writes it: left, top, width, height.
func (b Box) XYWH() [4]float64 { return [4]float64{b.X1, b.Y1, b.X2 - b.X1, b.Y2 - b.Y1} }

// Area is width × height, 0 for an empty box.
func (b Box) Area() float64 { return math.Max(0, b.X2-b.X1) * math.Max(0, b.Y2-b.Y1) }

// Clip cuts the box at the borders of an image of w×h pixels.
func (b Box) Clip(w, h float64) Box {
	cut := func(v, hi float64) float64 { return math.Min(math.Max(v, 0), hi) }
	return Box{cut(b.X1, w), cut(b.Y1, h), cut(b.X2, w), cut(b.Y2, h)}
}

// Intersect is the rectangle that both boxes cover; empty if there is none.
func (b Box) Intersect(o Box) Box {
	return Box{math.Max(b.X1, o.X1), math.Max(b.Y1, o.Y1), math.Min(b.X2, o.X2), math.Min(b.Y2, o.Y2)}
}

// IoU is the intersection over the union of two boxes, 0 when both are empty.
func (b Box) IoU(o Box) float64 {
	inter := b.Intersect(o).Area()
	union := b.Area() + o.Area() - inter
	if union <= 0 {
		return 0
	}
	return inter / union
}

// RLE is a binary mask as run lengths in COCO's order: down the columns, from
// left to right, starting with a (perhaps empty) run of zeros. Package
// vision/mask works on it.
type RLE struct {
	H, W   int
	Counts []uint32
}

// Object is one annotated thing in an image.
type Object struct {
	// Class is the index into the data set's class names.
	Class int
	Box   Box
	// Polygons outline the object, each x0 y0 x1 y1 … in pixels; RLE is its
	// mask when it was annotated so. Both are nil when only the box is known.
	Polygons [][]float64
	RLE      *RLE
	// Crowd marks a region of many objects: detections in it are neither right
	// nor wrong (COCO's iscrowd).
	Crowd bool
	// Area is the annotated area in pixels², ID the annotation's id in its file.
	Area float64
	ID   int64
}

// Detection is one object that a model found.
type Detection struct {
	Class int
	Score float64
	Box   Box
	// Mask is nil unless the model segments instances.
	Mask *RLE
}
