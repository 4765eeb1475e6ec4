package cv

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"github.com/disintegration/imaging"

	"github.com/vislora/vislora/vision"
)

// Tile is one picture of a montage.
type Tile struct {
	Image *vision.Image
	// Caption stands below the picture, one line each.
	Caption []string
	// Frame is drawn around it when it is not transparent.
	Frame color.RGBA
}

// captionHeight is the height of one line below a tile, with its margin.
const captionHeight = 18

// Montage lays tiles out in columns, each picture fitted into cell×cell
// pixels, small ones enlarged.
func Montage(tiles []Tile, columns, cell int) (*vision.Image, error) {
	if len(tiles) == 0 || columns < 1 || cell < 8 {
		return nil, fmt.Errorf("draw a montage of %d tiles in %d columns of %d pixels: nothing to draw", len(tiles), columns, cell)
	}
	columns = min(columns, len(tiles))
	rows := (len(tiles) + columns - 1) / columns
	lines := 0
	for _, t := range tiles {
		lines = max(lines, len(t.Caption))
	}
	const gap = 6
	stepX, stepY := cell+gap, cell+gap+lines*captionHeight
	if w, h := columns*stepX+gap, rows*stepY+gap; w*h > MaxPixels {
		return nil, fmt.Errorf("draw a montage of %d tiles: %d×%d pixels are too many", len(tiles), w, h)
	}
	sheet := imaging.New(columns*stepX+gap, rows*stepY+gap, color.White)
	for i, t := range tiles {
		w, h := fit(t.Image.W, t.Image.H, cell)
		filter := imaging.Box
		if w > t.Image.W {
			filter = imaging.CatmullRom
		}
		at := image.Pt(gap+i%columns*stepX+(cell-w)/2, gap+i/columns*stepY+(cell-h)/2)
		small := imaging.Resize(toGo(t.Image), w, h, filter)
		// imaging.Paste would copy the whole sheet for every tile.
		draw.Draw(sheet, small.Bounds().Add(at), small, image.Point{}, draw.Src)
	}
	var out vision.Image
	fromGo(&out, sheet)
	for i, t := range tiles {
		x, y := gap+i%columns*stepX, gap+i/columns*stepY
		if t.Frame.A > 0 {
			if err := Rectangle(&out, image.Rect(x, y, x+cell, y+cell), t.Frame, 3); err != nil {
				return nil, err
			}
		}
		for j, s := range t.Caption {
			h := captionHeight - 2
			drawText(&out, x+2, y+cell+3+j*captionHeight, h, shorten(s, cell, h), color.RGBA{20, 20, 20, 255})
		}
	}
	return &out, nil
}

// fit is the size of a w×h picture in a square cell.
func fit(w, h, cell int) (int, int) {
	if w >= h {
		return cell, max(h*cell/w, 1)
	}
	return max(w*cell/h, 1), cell
}
