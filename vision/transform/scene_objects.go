package transform

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

const (
	// leastShare of an object, and leastSide pixels of its box, have to remain
	// visible; what is less is dropped.
	leastShare = .1
	leastSide  = 2
)

// move adds the objects of a w×h image that remain visible in the input, as
// they are there, to the worker's.
func (sw *SceneWorker) move(objects []vision.Object, m affine, w, h int) error {
	width, height := float64(sw.p.pre.Size[1]), float64(sw.p.pre.Size[0])
	for i := range objects {
		o := objects[i]
		box, share := sw.visible(&o, m, width, height)
		keep := func() bool {
			return box.X2-box.X1 >= leastSide && box.Y2-box.Y1 >= leastSide && share >= leastShare
		}
		if !keep() {
			continue
		}
		if !sw.Outlines {
			o.Polygons, o.RLE = nil, nil
		} else if err := sw.redraw(&o, &box, m, w, h); err != nil {
			return err
		} else if !keep() {
			continue
		}
		o.Box, o.Area = box, o.Area*share*max(m.det(), -m.det())
		sw.objects = append(sw.objects, o)
	}
	return nil
}

// visible is the box of what the input shows of an object, and which share of
// its area that is. Polygons make the box tight where the picture is turned or
// the object cut; without them the box's own corners are its outline.
func (sw *SceneWorker) visible(o *vision.Object, m affine, w, h float64) (vision.Box, float64) {
	all := m.box(o.Box)
	box := all.Clip(w, h)
	if m.straight() && box == all {
		return box, 1
	}
	b := o.Box
	sw.corners = [1][]float64{append(sw.corners[0][:0], b.X1, b.Y1, b.X2, b.Y1, b.X2, b.Y2, b.X1, b.Y2)}
	box, part, whole := sw.outline.measure(sw.corners[:], m, w, h)
	share := part / whole
	if len(o.Polygons) > 0 {
		tight, part, whole := sw.outline.measure(o.Polygons, m, w, h)
		if whole > 0 {
			share = part / whole
		}
		// Annotations whose box and polygons contradict each other exist.
		if both := box.Intersect(tight); both.Area() > 0 {
			box = both
		}
	}
	return box, share
}

// redraw moves the polygons of an object, which may then reach out of the
// input, and its mask, which then has the size of the input.
func (sw *SceneWorker) redraw(o *vision.Object, box *vision.Box, m affine, w, h int) error {
	moved := make([][]float64, len(o.Polygons))
	for i, p := range o.Polygons {
		q := make([]float64, len(p))
		for k := 0; k+1 < len(p); k += 2 {
			q[k], q[k+1] = m.point(p[k], p[k+1])
		}
		moved[i] = q
	}
	if o.Polygons = moved; len(moved) == 0 {
		o.Polygons = nil
	}
	if o.RLE == nil {
		return nil
	}
	if o.RLE.W != w || o.RLE.H != h {
		return fmt.Errorf("prepare an image of %d×%d pixels: a mask has %d×%d", w, h, o.RLE.W, o.RLE.H)
	}
	bits, err := mask.Decode(*o.RLE, mask.Rows)
	if err != nil {
		return err
	}
	height, width := sw.p.pre.Size[0], sw.p.pre.Size[1]
	out := make([]byte, height*width)
	(&Mask{W: w, H: h, Pix: bits}).sample(out, width, height, m.inverse())
	r, err := mask.Encode(out, height, width, mask.Rows)
	if err != nil {
		return err
	}
	o.RLE = &r
	if !m.straight() || m.box(o.Box) != *box {
		*box, err = mask.ToBox(r)
	}
	return err
}

// targets writes the worker's objects into a slot of rows class, centre x, y,
// width, height in pixels of the input; unused rows have the class −1. Crowds
// are no target. Of more objects than there are rows the largest are kept, and
// the number of the others is returned. The rows' masks go along.
func (sw *SceneWorker) targets(to SceneSlot) (left int, err error) {
	slot := to.Boxes
	rows := len(slot) / 5
	pick := sw.pick[:0]
	for i := range sw.objects {
		if !sw.objects[i].Crowd {
			pick = append(pick, i)
		}
	}
	sw.pick = pick
	if left = len(pick) - rows; left > 0 {
		slices.SortStableFunc(pick, func(a, b int) int {
			if x, y := sw.objects[a].Box.Area(), sw.objects[b].Box.Area(); x != y {
				if x > y {
					return -1
				}
				return 1
			}
			return 0
		})
		pick = pick[:rows]
		slices.Sort(pick)
	}
	for row, i := range pick {
		o := &sw.objects[i]
		b := o.Box
		copy(slot[5*row:], []float32{
			float32(o.Class), float32((b.X1 + b.X2) / 2), float32((b.Y1 + b.Y2) / 2), float32(b.X2 - b.X1), float32(b.Y2 - b.Y1),
		})
	}
	for row := len(pick); row < rows; row++ {
		copy(slot[5*row:], []float32{-1, 0, 0, 0, 0})
	}
	if to.Shares == nil {
		return max(left, 0), nil
	}
	clear(to.Shares)
	h, w, n := sw.p.pre.Size[0], sw.p.pre.Size[1], to.Grid.Cells()
	for row, i := range pick {
		if err := to.Grid.shares(to.Shares[row*n:(row+1)*n], &sw.objects[i], h, w); err != nil {
			return 0, err
		}
	}
	return max(left, 0), nil
}
