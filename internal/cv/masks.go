package cv

import (
	"fmt"
	"image"
	"image/color"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// Void is the class of pixels of which nothing is known; they are not painted.
const Void = 255

// opacity is that of painted classes, of 255 parts: strong enough to tell
// colours apart, weak enough to see what is below.
const opacity = 115

// Mask is the class of every pixel of an image, in rows from the top.
type Mask struct {
	W, H int
	Pix  []uint8
	// Background says that class 0 is what is left over: it is not painted.
	Background bool
}

// check reports a mask that is not one of an image of w×h pixels.
func (m *Mask) check(w, h int) error {
	if m.W != w || m.H != h || len(m.Pix) != w*h {
		return fmt.Errorf("a mask of %d×%d pixels in %d bytes does not fit an image of %d×%d", m.W, m.H, len(m.Pix), w, h)
	}
	return nil
}

// unpainted tells whether the image shows through.
func (m *Mask) unpainted(class uint8) bool { return class == Void || class == 0 && m.Background }

// Classes are those that are painted, in order.
func (m *Mask) Classes() []int {
	var seen [256]bool
	for _, c := range m.Pix {
		seen[c] = true
	}
	var out []int
	for c, s := range seen {
		if s && !m.unpainted(uint8(c)) {
			out = append(out, c)
		}
	}
	return out
}

// DrawMask paints the classes over an image of the same size, half transparent
// and outlined.
func DrawMask(im *vision.Image, m Mask) error {
	if err := check(im); err != nil {
		return err
	}
	if err := m.check(im.W, im.H); err != nil {
		return fmt.Errorf("draw mask: %w", err)
	}
	paint(im, m.Pix, image.Rect(0, 0, im.W, im.H), func(class uint8) (color.RGBA, bool) {
		return ClassColor(int(class)), !m.unpainted(class)
	})
	return nil
}

// DrawInstance paints the mask of one object in a colour.
func DrawInstance(im *vision.Image, r vision.RLE, c color.RGBA) error {
	if err := check(im); err != nil {
		return err
	}
	if r.W != im.W || r.H != im.H {
		return fmt.Errorf("draw mask: a mask of %d×%d pixels does not fit an image of %d×%d", r.W, r.H, im.W, im.H)
	}
	pixels, err := mask.Decode(r, mask.Rows)
	if err != nil {
		return fmt.Errorf("draw mask: %w", err)
	}
	b, err := mask.ToBox(r)
	if err != nil {
		return fmt.Errorf("draw mask: %w", err)
	}
	paint(im, pixels, image.Rect(int(b.X1), int(b.Y1), int(b.X2), int(b.Y2)), func(on uint8) (color.RGBA, bool) {
		return c, on == 1
	})
	return nil
}

// drawMask paints the mask of a box if there is one.
func (b *Box) drawMask(im *vision.Image) error {
	if b.Mask == nil && len(b.Polygons) == 0 {
		return nil
	}
	r, err := mask.FromObject(vision.Object{RLE: b.Mask, Polygons: b.Polygons}, im.H, im.W)
	if err != nil {
		return err
	}
	return DrawInstance(im, r, b.color())
}

// paint blends the colour of each value into its pixels, and draws full lines
// inside the edges of the values. look tells a value's colour and whether it is
// painted. Outside bounds nothing is.
func paint(im *vision.Image, pixels []uint8, bounds image.Rectangle, look func(uint8) (color.RGBA, bool)) {
	var colors [256]color.RGBA
	var painted [256]bool
	for v := range colors {
		colors[v], painted[v] = look(uint8(v))
	}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if v := pixels[y*im.W+x]; painted[v] {
				blend(im.Pix[3*(y*im.W+x):], colors[v], opacity)
			}
		}
	}
	width, _ := strokes(im)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			v := pixels[y*im.W+x]
			if !painted[v] || !edge(pixels, im.W, im.H, x, y) {
				continue
			}
			// A disc of the line's width around the pixel, inside the value.
			for dy := 1 - width; dy < width; dy++ {
				for dx := 1 - width; dx < width; dx++ {
					px, py := x+dx, y+dy
					if dx*dx+dy*dy < width*width && px >= 0 && py >= 0 && px < im.W && py < im.H && pixels[py*im.W+px] == v {
						blend(im.Pix[3*(py*im.W+px):], colors[v], 255)
					}
				}
			}
		}
	}
}

// edge tells whether a neighbour has another value. The border of the image is
// none.
func edge(pixels []uint8, w, h, x, y int) bool {
	i := y*w + x
	v := pixels[i]
	return x > 0 && pixels[i-1] != v || x+1 < w && pixels[i+1] != v || y > 0 && pixels[i-w] != v || y+1 < h && pixels[i+w] != v
}
