package cv

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"

	"github.com/vislora/vislora/vision"
)

// Box is a box to draw, in pixels of its image.
type Box struct {
	Box   vision.Box
	Class int // chooses the colour
	// Name and Score stand on the tag: "cat 0.87". A score of 0 is left out, and
	// without both there is no tag.
	Name  string
	Score float64
	// Mask or Polygons are the pixels of the object, painted under all boxes;
	// without them only the box is drawn.
	Mask     *vision.RLE
	Polygons [][]float64
	// Color replaces that of the class unless it is transparent.
	Color  color.RGBA
	Dashed bool
}

// Objects are annotated objects as they are drawn, in the order they have, with
// their masks if masks is set and they have any. Crowds are dashed.
func Objects(objects []vision.Object, names []string, masks bool) []Box {
	out := make([]Box, len(objects))
	for i, o := range objects {
		out[i] = Box{Box: o.Box, Class: o.Class, Name: className(names, o.Class), Dashed: o.Crowd}
		if masks {
			out[i].Mask, out[i].Polygons = o.RLE, o.Polygons
		}
	}
	return out
}

// Detections are what a model found as it is drawn, the best first.
func Detections(found []vision.Detection, names []string) []Box {
	out := make([]Box, len(found))
	for i, d := range found {
		out[i] = Box{Box: d.Box, Class: d.Class, Name: className(names, d.Class), Score: d.Score, Mask: d.Mask}
	}
	slices.SortStableFunc(out, func(a, b Box) int { return cmp.Compare(b.Score, a.Score) })
	return out
}

// DrawBoxes draws boxes with their tags, and their masks below, in widths and
// sizes that suit the image; earlier boxes lie on top of later ones. Tags stay
// inside the image and never cover each other: where there is no room, a tag is
// reduced to the score, and a box may end up without, the last ones first.
//
// Images of less than 160 pixels should be enlarged first. It reports an error
// for a box that is not finite and for a mask that is not one of the image.
func DrawBoxes(im *vision.Image, boxes []Box) error {
	if err := check(im); err != nil {
		return err
	}
	frames := make([]image.Rectangle, len(boxes))
	line, height := strokes(im)
	for i, b := range boxes {
		if err := b.finite(); err != nil {
			return fmt.Errorf("draw box %d: %w", i, err)
		}
		frames[i] = b.frame(im, line)
	}
	for i := len(boxes) - 1; i >= 0; i-- {
		if err := boxes[i].drawMask(im); err != nil {
			return fmt.Errorf("draw box %d: %w", i, err)
		}
	}
	for i := len(boxes) - 1; i >= 0; i-- {
		if err := boxes[i].outline(im, frames[i], line); err != nil {
			return err
		}
	}
	for _, t := range placeTags(boxes, frames, image.Rect(0, 0, im.W, im.H), height) {
		c := boxes[t.box].color()
		if err := Rectangle(im, t.at, c, 0); err != nil {
			return err
		}
		drawText(im, t.at.Min.X+tagMargin(height), t.at.Min.Y+1, height, t.text, readable(c))
	}
	return nil
}

// strokes are the width of lines and the height of text that suit an image.
func strokes(im *vision.Image) (line, text int) {
	mean := (im.W + im.H) / 2
	line = min(max((mean+125)/250, 1), 10)
	if mean >= 160 {
		line = max(line, 2)
	}
	return line, min(max(mean/36, 14), 72)
}

func (b *Box) finite() error {
	for _, v := range b.Box.XYWH() {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v is no box", b.Box.XYWH())
		}
	}
	return nil
}

func (b *Box) color() color.RGBA {
	if b.Color.A > 0 {
		return b.Color
	}
	return ClassColor(b.Class)
}

// frame is the outer edge of the outline, whose middle runs along the box. It is
// empty when the box lies outside the image.
func (b *Box) frame(im *vision.Image, line int) image.Rectangle {
	picture := image.Rect(0, 0, im.W, im.H)
	half := float64(line) / 2
	c := b.Box.Clip(float64(im.W), float64(im.H))
	// A box that lies outside is clipped to a line along the border.
	if c.X1 > c.X2 || c.Y1 > c.Y2 || b.Box.X2 < 0 || b.Box.Y2 < 0 || b.Box.X1 > float64(im.W) || b.Box.Y1 > float64(im.H) {
		return image.Rectangle{}
	}
	low := func(v float64) int { return int(math.Floor(v - half + .5)) }
	high := func(v float64) int { return int(math.Ceil(v + half - .5)) }
	r := image.Rect(low(c.X1), low(c.Y1), high(c.X2), high(c.Y2))
	if r.Dx() <= 3*line || r.Dy() <= 3*line {
		r = r.Inset(-line) // what is small must remain to be seen
	}
	return r.Intersect(picture)
}

func (b *Box) outline(im *vision.Image, r image.Rectangle, line int) error {
	if r.Empty() {
		return nil
	}
	if !b.Dashed {
		return Rectangle(im, r, b.color(), line)
	}
	dash := 4 * line // and gaps of half of it
	for _, side := range []image.Rectangle{
		{Min: r.Min, Max: image.Pt(r.Max.X, r.Min.Y+line)}, {Min: image.Pt(r.Min.X, r.Max.Y-line), Max: r.Max},
		{Min: r.Min, Max: image.Pt(r.Min.X+line, r.Max.Y)}, {Min: image.Pt(r.Max.X-line, r.Min.Y), Max: r.Max},
	} {
		step, size := image.Pt(3*dash/2, 0), image.Pt(dash, line)
		if side.Dy() > side.Dx() {
			step, size = image.Pt(0, 3*dash/2), image.Pt(line, dash)
		}
		for at := side.Min; at.In(side); at = at.Add(step) {
			q := image.Rectangle{Min: at, Max: at.Add(size)}.Intersect(side)
			if err := Rectangle(im, q, b.color(), 0); err != nil {
				return err
			}
		}
	}
	return nil
}
