package cv

import (
	"image"
	"image/color"

	"github.com/vislora/vislora/vision"
)

// Rectangle draws the outline of r inside its bounds, or fills it when
// thickness is 0. What lies outside the image is cut off.
func Rectangle(im *vision.Image, r image.Rectangle, c color.RGBA, thickness int) error {
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
// and returns the box. The text is about height pixels high.
func Label(im *vision.Image, x, y, height int, s string, ink, paper color.RGBA) (image.Rectangle, error) {
	w, h := textSize(s, height)
	pad := max(height/6, 2)
	box := image.Rect(x, y, x+w+2*pad, y+h+2*pad)
	if err := Rectangle(im, box, paper, 0); err != nil {
		return box, err
	}
	return box, drawText(im, x+pad, y+pad, height, s, ink)
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
		for w, _ := textSize(s, h); w > im.W-h/2 && h > 10; w, _ = textSize(s, h) {
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

// bitmapScale is the magnification that comes nearest to a height in pixels.
func bitmapScale(height int) int { return max((height+glyphH/2)/glyphH, 1) }
