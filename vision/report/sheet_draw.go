package report

import (
	"image"
	"slices"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// drawnClasses are the classes of boxes and masks, in order.
func drawnClasses(tiles []Tile) []int {
	var out []int
	for _, t := range tiles {
		for _, b := range t.Boxes {
			if b.Color.A == 0 { // else the colour is not that of its class
				out = append(out, b.Class)
			}
		}
		if t.Mask != nil {
			out = append(out, t.Mask.Classes()...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// fitted is the picture as large as the cell, with what is drawn on it.
func (t *Tile) fitted(cell int) (*image.NRGBA, error) {
	small := fitted(t.Image, cell)
	if len(t.Boxes) == 0 && t.Mask == nil {
		return small, nil
	}
	im := fromPage(small)
	if m := t.Mask; m != nil {
		if m.W == t.Image.W && m.H == t.Image.H && len(m.Pix) == m.W*m.H {
			m = &cv.Mask{W: im.W, H: im.H, Pix: resized(m.Pix, m.W, m.H, im.W, im.H), Background: m.Background}
		} // else it is refused
		if err := cv.DrawMask(im, *m); err != nil {
			return nil, err
		}
	}
	boxes := make([]cv.Box, len(t.Boxes))
	for i, b := range t.Boxes {
		var err error
		if boxes[i], err = scaled(b, t.Image, im.W, im.H); err != nil {
			return nil, err
		}
	}
	if err := cv.DrawBoxes(im, boxes); err != nil {
		return nil, err
	}
	return toPage(im), nil
}

// Shrink makes a picture that is larger than its place on a sheet as small as that, and
// what is drawn on it, so that the pictures of many tiles take little memory.
func (t *Tile) Shrink() error {
	if max(t.Image.W, t.Image.H) <= mostDrawn {
		return nil
	}
	small := fromPage(fitted(t.Image, mostDrawn))
	if m := t.Mask; m != nil && m.W == t.Image.W && m.H == t.Image.H && len(m.Pix) == m.W*m.H {
		t.Mask = &cv.Mask{W: small.W, H: small.H, Pix: resized(m.Pix, m.W, m.H, small.W, small.H), Background: m.Background}
	}
	boxes := make([]cv.Box, len(t.Boxes))
	for i, b := range t.Boxes {
		var err error
		if boxes[i], err = scaled(b, t.Image, small.W, small.H); err != nil {
			return err
		}
	}
	t.Image, t.Boxes = small, boxes
	return nil
}

// Thumbnail reads a picture for a tile that nothing is drawn on, no larger than need be.
func Thumbnail(path string) (*vision.Image, error) {
	d := cv.NewDecoder()
	defer d.Close()
	var im vision.Image
	err := d.DecodeRegion(&im, path, func(w, h int) (image.Rectangle, image.Point) {
		longer := max(w, h, 1)
		return image.Rect(0, 0, w, h), image.Pt(w*mostDrawn/longer, h*mostDrawn/longer)
	})
	if err != nil {
		return nil, err
	}
	t := Tile{Image: &im}
	if err := t.Shrink(); err != nil {
		return nil, err
	}
	return t.Image, nil
}

// scaled is a box of a picture that is resized to w×h pixels.
func scaled(b cv.Box, im *vision.Image, w, h int) (cv.Box, error) {
	x, y := float64(w)/float64(im.W), float64(h)/float64(im.H)
	b.Box = vision.Box{X1: b.Box.X1 * x, Y1: b.Box.Y1 * y, X2: b.Box.X2 * x, Y2: b.Box.Y2 * y}
	if b.Mask == nil && len(b.Polygons) == 0 {
		return b, nil
	}
	r, err := mask.FromObject(vision.Object{RLE: b.Mask, Polygons: b.Polygons}, im.H, im.W)
	if err != nil {
		return b, err
	}
	pixels, err := mask.Decode(r, mask.Rows)
	if err != nil {
		return b, err
	}
	if r, err = mask.Encode(resized(pixels, im.W, im.H, w, h), h, w, mask.Rows); err != nil {
		return b, err
	}
	b.Mask, b.Polygons = &r, nil
	return b, nil
}

// resized takes the nearest pixel of a w×h mask for each of W×H.
func resized(pixels []uint8, w, h, W, H int) []uint8 {
	out := make([]uint8, W*H)
	for y := range H {
		row := pixels[(2*y+1)*h/(2*H)*w:]
		for x := range W {
			out[y*W+x] = row[(2*x+1)*w/(2*W)]
		}
	}
	return out
}
