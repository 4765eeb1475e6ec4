package datasets

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/vision"
)

const (
	// overhang is how far a box may stand out of its image by rounding alone.
	overhang = .1
	// thinnest is the smallest side of a box, in pixels.
	thinnest = .01
	// farthest is the largest coordinate that can be meant.
	farthest = 1e7
)

// The kinds of problems with objects.
var (
	kindImpossible = Kind{"box-impossible", ActionSkipped, "boxes left out, not possible"}
	kindEmpty      = Kind{"box-empty", ActionSkipped, "boxes left out, without width or height"}
	kindOutside    = Kind{"box-outside-image", ActionSkipped, "boxes left out, outside their image"}
	kindClipped    = Kind{"box-clipped", ActionClipped, "boxes cut at the border of their image"}
	kindMaskSize   = Kind{"mask-size", ActionSkipped, "masks left out, of another size"}
	kindMaskRuns   = Kind{"mask-runs", ActionSkipped, "masks left out, runs that do not fill the image"}
	kindPolygon    = Kind{"polygon-points", ActionSkipped, "polygons left out, fewer than 3 points or half a point"}
	kindPolygonFar = Kind{"polygon-impossible", ActionSkipped, "polygons left out, not possible"}
)

// objects brings those of an image into the pixels of its file and leaves out
// what is no object.
func (d *Draft) objects(im *DraftImage, w, h int, sx, sy float64) []vision.Object {
	var out []vision.Object
	for i := range im.Objects {
		o := im.Objects[i]
		add := func(k Kind, format string, a ...any) {
			d.Problems.Add(k, func() Problem {
				p := d.Place(im, &o)
				p.What = fmt.Sprintf(format, a...)
				return p
			})
		}
		b := o.Box
		if !near(b.X1) || !near(b.Y1) || !near(b.X2) || !near(b.Y2) {
			p := b.XYWH()
			add(kindImpossible, "%v, %v, %v×%v is no box", p[0], p[1], p[2], p[3])
			continue
		}
		b = vision.Box{X1: b.X1 * sx, Y1: b.Y1 * sy, X2: b.X2 * sx, Y2: b.Y2 * sy}
		if side, v := "width", o.Box.X2-o.Box.X1; b.X2-b.X1 < thinnest || b.Y2-b.Y1 < thinnest {
			if b.X2-b.X1 >= thinnest {
				side, v = "height", o.Box.Y2-o.Box.Y1
			}
			text := "is not positive"
			if v > 0 {
				text = fmt.Sprintf("is below %v pixels", thinnest)
			}
			add(kindEmpty, "%s %.4g %s", side, v, text)
			continue
		}
		cut := b.Clip(float64(w), float64(h))
		if cut.X2-cut.X1 < thinnest || cut.Y2-cut.Y1 < thinnest {
			add(kindOutside, "%s is outside the image of %d×%d", corners(b), w, h)
			continue
		}
		if b.X1 < -overhang || b.Y1 < -overhang || b.X2 > float64(w)+overhang || b.Y2 > float64(h)+overhang {
			add(kindClipped, "%s stands out of %d×%d", corners(b), w, h)
		}
		o.Box = cut
		o.Polygons = polygons(o.Polygons, sx, sy, add)
		if m := o.RLE; m != nil {
			switch {
			case m.W != w || m.H != h:
				add(kindMaskSize, "the mask is %d×%d, the image %d×%d", m.W, m.H, w, h)
				o.RLE = nil
			default:
				if sum := total(m); sum != uint64(w)*uint64(h) {
					add(kindMaskRuns, "the runs have %d pixels, the image %d", sum, w*h)
					o.RLE = nil
				}
			}
		}
		if o.Area *= sx * sy; !(o.Area > 0) || o.Area > farthest*farthest {
			o.Area = area(&o)
		}
		out = append(out, o)
	}
	return out
}

func near(v float64) bool { return math.Abs(v) <= farthest }

func corners(b vision.Box) string {
	return fmt.Sprintf("(%.5g, %.5g)–(%.5g, %.5g)", b.X1, b.Y1, b.X2, b.Y2)
}

// polygons scales those that are some, and drops the others.
func polygons(list [][]float64, sx, sy float64, add func(k Kind, format string, a ...any)) [][]float64 {
	var out [][]float64
next:
	for _, p := range list {
		if len(p) < 6 || len(p)%2 != 0 {
			add(kindPolygon, "polygon of %d numbers", len(p))
			continue
		}
		for i, v := range p {
			if !near(v) {
				add(kindPolygonFar, "%v is no coordinate", v)
				continue next
			}
			if i%2 == 0 {
				p[i] = v * sx
			} else {
				p[i] = v * sy
			}
		}
		out = append(out, p)
	}
	return out
}

// total is the number of pixels of all runs.
func total(m *vision.RLE) (n uint64) {
	for _, c := range m.Counts {
		n += uint64(c)
	}
	return n
}

// area is that of the mask as far as there is one, else of the box.
func area(o *vision.Object) float64 {
	sum := 0.0
	if o.RLE != nil {
		for i := 1; i < len(o.RLE.Counts); i += 2 {
			sum += float64(o.RLE.Counts[i])
		}
	}
	for _, p := range o.Polygons {
		twice := 0.0
		for i := 0; i < len(p); i += 2 {
			k := (i + 2) % len(p)
			twice += p[i]*p[k+1] - p[k]*p[i+1]
		}
		sum += math.Abs(twice) / 2
	}
	if sum > 0 {
		return sum
	}
	return o.Box.Area()
}

// Bounds is the smallest box around polygons; false when they have no point.
func Bounds(polygons [][]float64) (vision.Box, bool) {
	b := vision.Box{X1: math.Inf(1), Y1: math.Inf(1), X2: math.Inf(-1), Y2: math.Inf(-1)}
	for _, p := range polygons {
		for i := 0; i+1 < len(p); i += 2 {
			b.X1, b.X2 = math.Min(b.X1, p[i]), math.Max(b.X2, p[i])
			b.Y1, b.Y2 = math.Min(b.Y1, p[i+1]), math.Max(b.Y2, p[i+1])
		}
	}
	return b, b.X1 <= b.X2 && b.Y1 <= b.Y2
}
