package head

import (
	"fmt"
	"image"
	"math"
)

// Windows is a plan of overlapping tiles that cover an image which is too large
// for one run of a network.
type Windows struct {
	// H and W are the size of the image, Tile the height and width of a tile.
	H, W int
	Tile [2]int
	// top and left are where the rows and columns of tiles begin.
	top, left []int
}

// PlanWindows spreads as few tiles as overlap their neighbours by at least so
// many pixels, evenly: none stands over the border of the image, unless the image
// is smaller than a tile.
func PlanWindows(h, w int, tile [2]int, overlap int) (Windows, error) {
	if h < 1 || w < 1 || overlap < 0 || overlap >= min(tile[0], tile[1]) {
		return Windows{}, fmt.Errorf("windows: tiles of %d×%d pixels that overlap by %d, over an image of %d×%d: the overlap must be smaller than a tile",
			tile[0], tile[1], overlap, h, w)
	}
	return Windows{H: h, W: w, Tile: tile, top: starts(h, tile[0], overlap), left: starts(w, tile[1], overlap)}, nil
}

func starts(size, tile, overlap int) []int {
	if size <= tile {
		return []int{0}
	}
	step := tile - overlap
	n := (size - overlap + step - 1) / step
	out := make([]int, n)
	for i := range out {
		out[i] = (2*i*(size-tile) + n - 1) / (2 * (n - 1)) // to the nearest
	}
	return out
}

// Tiles lists the tiles, row by row, as [Stitcher.Add] wants them. In an image
// that is smaller than a tile they reach beyond it.
func (p Windows) Tiles() []image.Rectangle {
	var out []image.Rectangle
	for _, y := range p.top {
		for _, x := range p.left {
			out = append(out, image.Rect(x, y, x+p.Tile[1], y+p.Tile[0]))
		}
	}
	return out
}

// Blend is how the weight of a tile falls towards its sides, where the network
// sees only half of what surrounds a pixel.
type Blend int

const (
	// Cosine falls as a half wave, flat at both ends.
	Cosine Blend = iota
	// Linear falls evenly.
	Linear
)

// weights of the pixels of one side of a tile: they fall within the overlap with
// the neighbour, so that two neighbours' add up to 1, and never to 0.
func (b Blend) weights(tile int, starts []int) []float32 {
	out := make([]float32, tile)
	ramp := 0
	for i := 1; i < len(starts); i++ {
		ramp = max(ramp, min(tile-(starts[i]-starts[i-1]), tile/2))
	}
	for i := range out {
		out[i] = 1
		if d := min(i, tile-1-i); d < ramp {
			t := (float64(d) + 0.5) / float64(ramp)
			if b == Cosine {
				t = (1 - math.Cos(math.Pi*t)) / 2
			}
			out[i] = float32(t)
		}
	}
	return out
}
