package cv

import (
	"fmt"
	"image"
	"image/color"

	"github.com/vislora/vislora/vision"
)

// DrawLegend returns the image with a strip below it that names the colours of
// classes. Lines of text are height pixels high, 0 for what suits the image;
// names come from the list, and what is too long is cut.
func DrawLegend(im *vision.Image, classes []int, names []string, height int) (*vision.Image, error) {
	if err := check(im); err != nil {
		return nil, err
	}
	if len(classes) == 0 {
		return im.Clone(), nil
	}
	if height < 1 {
		_, height = strokes(im)
	}
	// A square of the colour, its name, and room before the next.
	gap := max(height/2, 4)
	type entry struct {
		at   image.Point
		text string
	}
	entries := make([]entry, len(classes))
	x, y := gap, im.H+gap
	for i, c := range classes {
		text := shorten(className(names, c), im.W-3*gap-height, height)
		w := height + gap + textWidth(text, height)
		if x > gap && x+w+gap > im.W {
			x, y = gap, y+height+gap
		}
		entries[i] = entry{image.Pt(x, y), text}
		x += w + 2*gap
	}
	h := y + height + gap
	if h > MaxPixels/im.W {
		return nil, fmt.Errorf("draw a legend of %d classes: %d×%d pixels are too many", len(classes), im.W, h)
	}
	out := vision.NewImage(im.W, h)
	n := copy(out.Pix, im.Pix[:3*im.W*im.H])
	for i := range out.Pix[n:] {
		out.Pix[n+i] = 255
	}
	for i, e := range entries {
		square := image.Rectangle{Min: e.at, Max: e.at.Add(image.Pt(height, height))}
		if err := Rectangle(out, square.Inset(height/10), ClassColor(classes[i]), 0); err != nil {
			return nil, err
		}
		drawText(out, e.at.X+height+gap/2, e.at.Y, height, e.text, color.RGBA{20, 20, 20, 255})
	}
	return out, nil
}
