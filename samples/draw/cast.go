package main

import (
	"image"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// cast keeps who is seen in a picture: what share of each pixel of the canvas
// shows which part of which thing. What is painted over is no longer seen.
//
// A thing is transparent to the eye and not to the cast: through the wall of a
// bottle one sees the bottle.
type cast struct {
	n     int
	share [][]float32 // by part
	first int         // part of the thing that is being painted
	now   int         // part that is being painted, or one of the constants
}

const (
	scenery = -1 // hides what it covers
	veil    = -2 // shadow, light, dirt: what it covers stays what it was
)

func newCast(c *canvas) *cast { return &cast{n: c.n, now: scenery} }

// begin announces a thing of so many parts and paints its first; it returns
// that part's number. The others follow.
func (c *canvas) begin(parts int) int {
	k := c.cast
	k.first = len(k.share)
	k.now = k.first
	for range parts {
		k.share = append(k.share, make([]float32, k.n*k.n))
	}
	return k.first
}

// part goes on with another part of the thing.
func (c *canvas) part(i int) {
	if c.cast != nil && c.cast.now != veil {
		c.cast.now = c.cast.first + i
	}
}

// scene goes on with what is no thing.
func (c *canvas) scene() { c.cast.now = scenery }

// veiled paints what hides nothing.
func (c *canvas) veiled(paint func()) {
	if c.cast == nil {
		paint()
		return
	}
	was := c.cast.now
	c.cast.now = veil
	paint()
	c.cast.now = was
}

// paint enters what a fill covered.
func (k *cast) paint(cover *image.Alpha, x0, y0 int) {
	if k == nil || k.now == veil {
		return
	}
	w, h := cover.Rect.Dx(), cover.Rect.Dy()
	for part, share := range k.share {
		for y := range h {
			row := share[(y0+y)*k.n+x0:][:w]
			for x, a := range cover.Pix[y*cover.Stride:][:w] {
				switch {
				case a == 0:
				case part == k.now:
					row[x] += (1 - row[x]) * float32(a) / 255
				case row[x] > 0:
					row[x] *= 1 - float32(a)/255
				}
			}
		}
	}
}

// seen gives every pixel of the image to the group that covers most of it.
// group is that of a part; group 0 is also that of the scenery.
func (k *cast) seen(group func(part int) int) []int {
	of := make([]int, len(k.share))
	groups := 1
	for part := range of {
		of[part] = group(part)
		groups = max(groups, of[part]+1)
	}
	side := k.n / over
	out := make([]int, side*side)
	sum := make([]float32, groups)
	for i := range out {
		clear(sum)
		sum[0] = over * over
		for part, share := range k.share {
			s := k.pixel(share, i%side, i/side)
			sum[0] -= s
			sum[of[part]] += s
		}
		for g, s := range sum {
			if s > sum[out[i]] {
				out[i] = g
			}
		}
	}
	return out
}

// pixel sums the shares over a pixel of the image.
func (k *cast) pixel(share []float32, x, y int) (sum float32) {
	for dy := range over {
		for dx := range over {
			sum += share[(over*y+dy)*k.n+over*x+dx]
		}
	}
	return sum
}

// area is what is seen of all parts, in pixels of the image.
func (k *cast) area() float64 {
	sum := 0.0
	for _, share := range k.share {
		for _, s := range share {
			sum += float64(s)
		}
	}
	return sum / (over * over)
}

// thing is an object in an image: its class, counted from 0, and the pixels
// that show it.
type thing struct {
	class int
	mask  vision.RLE
}

// actor is a thing while the picture is being painted.
type actor struct {
	first, parts int
	class        int
	whole        float64 // its area if nothing hid it and the picture had no border
}

// leastSeen is the share of a thing that has to be seen for it to count.
const leastSeen = .25

// things are the actors of whom enough is seen, each with its own pixels.
func (k *cast) things(actors []actor) ([]thing, error) {
	who := make([]int, len(k.share)) // 0: nobody
	for i, a := range actors {
		for p := range a.parts {
			who[a.first+p] = i + 1
		}
	}
	seen := k.seen(func(part int) int { return who[part] })
	side := k.n / over
	bits := make([]uint8, side*side)
	var out []thing
	for i, a := range actors {
		n := 0
		for j, s := range seen {
			bits[j] = 0
			if s == i+1 {
				bits[j] = 1
				n++
			}
		}
		if n == 0 || float64(n) < leastSeen*a.whole {
			continue
		}
		m, err := mask.Encode(bits, side, side, mask.Rows)
		if err != nil {
			return nil, err
		}
		out = append(out, thing{a.class, m})
	}
	return out, nil
}

// alone is the area that a thing has by itself, painted in the middle of an
// empty picture.
func alone(side int, paint func(c *canvas, middle point)) float64 {
	c := newCanvas(side, func(_, _ float64) rgb { return rgb{} })
	c.cast = newCast(c)
	m := float64(c.n) / 2
	paint(c, point{m, m})
	return c.cast.area()
}
