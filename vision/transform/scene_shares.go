package transform

import (
	"fmt"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// Grid is a map over the input: H×W cells of Stride pixels, from the top left
// corner. Cells may reach out of the input.
type Grid struct{ H, W, Stride int }

// Cells is the number of cells of a map.
func (g Grid) Cells() int { return g.H * g.W }

// whole is the share of a cell that is covered completely.
const whole = 255

// shares writes the part of each cell that an object covers, in 255ths, (H, W);
// all are 0 where only its box is known. The object is in pixels of an input of
// h×w.
//
//	share = round(255 · covered pixels / Stride²)
func (g Grid) shares(dst []uint8, o *vision.Object, h, w int) error {
	clear(dst)
	if o.RLE == nil && len(o.Polygons) == 0 {
		return nil
	}
	r, err := mask.FromObject(*o, h, w)
	if err != nil {
		return fmt.Errorf("draw the mask of an object: %w", err)
	}
	count := make([]int, len(dst))
	at := 0
	for i, c := range r.Counts { // runs go down the columns
		n := int(c)
		for i%2 == 1 && n > 0 {
			x, y := at/h, at%h
			// As much of the run as lies in one cell.
			part := min(n, h-y, g.Stride-y%g.Stride)
			if cx, cy := x/g.Stride, y/g.Stride; cx < g.W && cy < g.H {
				count[cy*g.W+cx] += part
			}
			at, n = at+part, n-part
		}
		at += n
	}
	area := g.Stride * g.Stride
	for i, n := range count {
		dst[i] = uint8((whole*n + area/2) / area)
	}
	return nil
}
