package cv

import (
	"fmt"
	"image"
	"image/color"

	"github.com/vislora/vislora/vision"
)

// Rectangle draws the outline of r inside its bounds, or fills it when
// thickness is 0. What lies outside the image is cut off.
func Rectangle(im *vision.Image, r image.Rectangle, c color.RGBA, thickness int) error {
	if err := check(im); err != nil {
		return err
	}
	r = r.Canon()
	fill := func(q image.Rectangle) error {
		if q = q.Intersect(image.Rect(0, 0, im.W, im.H)); q.Empty() {
			return nil
		}
		return fillRect(im, q, c)
	}
	if t := thickness; t > 0 && 2*t < r.Dx() && 2*t < r.Dy() {
		for _, q := range []image.Rectangle{
			{Min: r.Min, Max: image.Pt(r.Max.X, r.Min.Y+t)}, {Min: image.Pt(r.Min.X, r.Max.Y-t), Max: r.Max},
			{Min: r.Min, Max: image.Pt(r.Min.X+t, r.Max.Y)}, {Min: image.Pt(r.Max.X-t, r.Min.Y), Max: r.Max},
		} {
			if err := fill(q); err != nil {
				return err
			}
		}
		return nil
	}
	return fill(r)
}

// Label draws one line of text on a filled box whose top left corner is (x, y)
// and returns the box. A line of the text is height pixels high.
func Label(im *vision.Image, x, y, height int, s string, ink, paper color.RGBA) (image.Rectangle, error) {
	pad := max(height/6, 2)
	box := image.Rect(x, y, x+textWidth(s, height)+2*pad, y+height+2*pad)
	if err := Rectangle(im, box, paper, 0); err != nil {
		return box, err
	}
	drawText(im, x+pad, y+pad, height, s, ink)
	return box, nil
}

// Annotate writes lines into the top left corner, in a size that suits the
// image. Images of less than 160 pixels are too small to be written on and
// should be enlarged first.
func Annotate(im *vision.Image, lines []string) error {
	height := min(max(max(im.W, im.H)/28, 14), 64)
	y := 0
	for _, s := range lines {
		// A line that is too long gets smaller, down to what can be read.
		h := height
		for textWidth(s, h) > im.W-h/2 && h > 10 {
			h--
		}
		box, err := Label(im, 0, y, h, s, color.RGBA{255, 255, 255, 255}, color.RGBA{20, 20, 20, 255})
		if err != nil {
			return err
		}
		y = box.Max.Y
	}
	return nil
}

// check reports an image that cannot be drawn on.
func check(im *vision.Image) error {
	if im == nil || im.W <= 0 || im.H <= 0 || len(im.Pix) < 3*im.W*im.H {
		if im == nil {
			im = &vision.Image{}
		}
		return fmt.Errorf("draw on an image of %d×%d pixels with %d bytes: it is broken", im.W, im.H, len(im.Pix))
	}
	return nil
}
