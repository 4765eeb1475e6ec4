package mask

import (
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/vision"
)

const (
	// upsample is how many steps of the outline there are per pixel.
	upsample = 5
	// maxCoordinate and maxSteps bound the work that a damaged file can cause.
	maxCoordinate = 1e8
	maxSteps      = 1 << 26
)

// FrPolygon rasterises a polygon x0 y0 x1 y1 …, closed by itself, in an image of
// h rows and w columns. What lies outside the image is cut.
//
// The outline is walked in steps of 1/5 pixel. Where it crosses the centre of a
// pixel column at height y, the mask changes in that column at ⌈y⌉; the pixels
// between the first change and the second, the third and the fourth, … down the
// columns are the mask. This is not the even–odd rule on pixel centres: masks
// differ from it by single pixels along the edge, and figures are only equal to
// COCO's with this one.
//
// Source: maskApi, rleFrPoly.
func FrPolygon(xy []float64, h, w int) (vision.RLE, error) {
	if err := checkSize(h, w); err != nil {
		return vision.RLE{}, err
	}
	x, y, err := outline(xy)
	if err != nil {
		return vision.RLE{}, err
	}
	changes := crossings(x, y, h, w)
	slices.Sort(changes)
	return vision.RLE{H: h, W: w, Counts: runs(append(changes, h*w))}, nil
}

// outline is the closed polygon on the fine grid.
func outline(xy []float64) (x, y []int, err error) {
	if len(xy) < 6 || len(xy)%2 != 0 {
		return nil, nil, fmt.Errorf("mask polygon: %d coordinates; at least three points x y are needed", len(xy))
	}
	x, y = make([]int, 0, len(xy)/2+1), make([]int, 0, len(xy)/2+1)
	for i, v := range xy {
		if !(math.Abs(v) <= maxCoordinate) {
			return nil, nil, fmt.Errorf("mask polygon: coordinate %d is %g", i, v)
		}
		fine := int(float64(upsample*v) + .5)
		if i%2 == 0 {
			x = append(x, fine)
		} else {
			y = append(y, fine)
		}
	}
	x, y = append(x, x[0]), append(y, y[0])
	steps := 0
	for i := 1; i < len(x); i++ {
		steps += max(abs(x[i]-x[i-1]), abs(y[i]-y[i-1])) + 1
		if steps > maxSteps {
			return nil, nil, fmt.Errorf("mask polygon: its outline is longer than %d pixels", maxSteps/upsample)
		}
	}
	return x, y, nil
}

// crossings are the column-major positions at which the mask changes.
func crossings(x, y []int, h, w int) []int {
	var out []int
	var pu, pv int
	first := true
	for i := 1; i < len(x); i++ {
		edge(x[i-1], y[i-1], x[i], y[i], func(u, v int) {
			if !first && u != pu {
				left := u
				if u > pu {
					left = u - 1
				}
				if at, ok := crossing(left, min(v, pv), h, w); ok {
					out = append(out, at)
				}
			}
			pu, pv, first = u, v, false
		})
	}
	return out
}

// edge visits the points of an edge on the fine grid, from its first end to its
// second; an edge without length has none. The points are computed from the end
// with the smaller coordinate along the longer side, so that an edge gives the
// same ones in both directions.
func edge(xs, ys, xe, ye int, visit func(u, v int)) {
	dx, dy := abs(xe-xs), abs(ye-ys)
	long := max(dx, dy)
	if long == 0 {
		return
	}
	flip := dx >= dy && xs > xe || dx < dy && ys > ye
	if flip {
		xs, ys, xe, ye = xe, ye, xs, ys
	}
	for d := 0; d <= long; d++ {
		t := d
		if flip {
			t = long - d
		}
		if dx >= dy {
			s := float64(ye-ys) / float64(dx)
			visit(t+xs, int(float64(float64(ys)+float64(s*float64(t)))+.5))
		} else {
			s := float64(xe-xs) / float64(dy)
			visit(int(float64(float64(xs)+float64(s*float64(t)))+.5), t+ys)
		}
	}
}

// crossing is the position that a step between the fine columns u and u+1
// changes, when the centre of a pixel column lies there. v is the upper of the
// step's two ends.
func crossing(u, v, h, w int) (int, bool) {
	x := (float64(u)+.5)/upsample - .5
	if math.Floor(x) != x || x < 0 || x > float64(w-1) {
		return 0, false
	}
	y := (float64(v)+.5)/upsample - .5
	y = math.Ceil(math.Min(math.Max(y, 0), float64(h)))
	return int(x)*h + int(y), true
}

// runs are the lengths between sorted positions; two at the same place cancel.
func runs(at []int) []uint32 {
	counts := []uint32{uint32(at[0])}
	for i := 1; i < len(at); i++ {
		if n := at[i] - at[i-1]; n > 0 {
			counts = append(counts, uint32(n))
		} else if i++; i < len(at) {
			counts[len(counts)-1] += uint32(at[i] - at[i-1])
		}
	}
	return counts
}

func abs(v int) int { return max(v, -v) }
