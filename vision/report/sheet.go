package report

import (
	"fmt"
	"image"
	"image/color"

	"github.com/disintegration/imaging"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// Tile is one picture of a sheet.
type Tile struct {
	Image *vision.Image
	// Lines stand below the picture: label, prediction, probability. A line
	// too long for the tile is wrapped.
	Lines []string
	// Good colours lines and frame green or red; nil leaves them black.
	Good *bool
}

// The measures of a sheet in pixels.
const (
	sheetWidth = 1760 // about; what a sheet of many columns is made for
	leastCell  = 176  // narrower tiles cut too many captions
	mostCell   = 320
	gap        = 8
	textHeight = 16
	lineHeight = 20
	mostRows   = 3 // a caption line is wrapped into at most so many
)

var (
	black = color.RGBA{0x22, 0x22, 0x22, 0xff}
	white = color.RGBA{0xff, 0xff, 0xff, 0xff}
	green = color.RGBA{0x0b, 0x77, 0x3d, 0xff}
	red   = color.RGBA{0xc4, 0x1e, 0x1e, 0xff}
)

// Sheet draws tiles in columns and writes them as JPEG or PNG, by the extension
// of path: train_batch0.jpg, val_batch0_labels.jpg, val_batch0_pred.jpg,
// mistakes.jpg. Pictures are fitted into square cells, small ones enlarged.
//
// It reports an error when there is no tile, a tile has no picture, or the sheet
// would exceed [cv.MaxPixels].
func Sheet(path string, tiles []Tile, columns int) error {
	im, err := sheet(tiles, columns)
	if err != nil {
		return fmt.Errorf("draw sheet %s: %w", path, err)
	}
	return cv.WriteFile(path, im)
}

func sheet(tiles []Tile, columns int) (*vision.Image, error) {
	if len(tiles) == 0 || columns < 1 {
		return nil, fmt.Errorf("%d pictures in %d columns: need at least 1 of both", len(tiles), columns)
	}
	columns = min(columns, len(tiles))
	side := 1
	for i, t := range tiles {
		if t.Image == nil || t.Image.W < 1 || t.Image.H < 1 {
			return nil, fmt.Errorf("picture %d of %d is empty", i, len(tiles))
		}
		side = max(side, t.Image.W, t.Image.H)
	}
	// Pictures of 64 pixels are not worth a page.
	cell := min(max(sheetWidth/columns-gap, leastCell), mostCell, max(4*side, leastCell))

	// Every row is as high as its longest caption.
	captions := make([][]string, len(tiles))
	tops := []int{gap}
	for start := 0; start < len(tiles); start += columns {
		lines := 0
		for i := start; i < min(start+columns, len(tiles)); i++ {
			for _, s := range tiles[i].Lines {
				captions[i] = append(captions[i], wrap(s, cell)...)
			}
			lines = max(lines, len(captions[i]))
		}
		h := cell + gap
		if lines > 0 {
			h += 4 + lines*lineHeight
		}
		tops = append(tops, tops[len(tops)-1]+h)
	}
	w, h := columns*(cell+gap)+gap, tops[len(tops)-1]
	if w*h > cv.MaxPixels {
		return nil, fmt.Errorf("%d pictures need %d×%d pixels, more than %d: draw fewer", len(tiles), w, h, cv.MaxPixels)
	}
	out := vision.NewImage(w, h)
	out.Fill(255, 255, 255)
	for i, t := range tiles {
		x, y := gap+i%columns*(cell+gap), tops[i/columns]
		if err := draw(out, t, captions[i], x, y, cell); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// draw puts a tile with its wrapped caption at (x, y).
func draw(out *vision.Image, t Tile, caption []string, x, y, cell int) error {
	small := fitted(t.Image, cell)
	b := small.Bounds()
	left, top := x+(cell-b.Dx())/2, y+(cell-b.Dy())/2
	for j := range b.Dy() {
		for i := range b.Dx() {
			copy(out.Pix[3*((top+j)*out.W+left+i):][:3], small.Pix[j*small.Stride+4*i:])
		}
	}
	ink := black
	if t.Good != nil {
		ink = red
		if *t.Good {
			ink = green
		}
		if err := cv.Rectangle(out, image.Rect(x-3, y-3, x+cell+3, y+cell+3), ink, 3); err != nil {
			return err
		}
	}
	for k, s := range caption {
		if _, err := cv.Label(out, x-2, y+cell+4+k*lineHeight, textHeight, s, ink, white); err != nil {
			return err
		}
	}
	return nil
}

// fitted is the picture with its longer side as long as the cell.
func fitted(im *vision.Image, cell int) *image.NRGBA {
	w, h := cell, cell
	if im.W >= im.H {
		h = max(im.H*cell/im.W, 1)
	} else {
		w = max(im.W*cell/im.H, 1)
	}
	src := image.NewNRGBA(image.Rect(0, 0, im.W, im.H))
	for i := range im.W * im.H {
		copy(src.Pix[4*i:], im.Pix[3*i:3*i+3])
		src.Pix[4*i+3] = 255
	}
	filter := imaging.Box
	if w > im.W {
		filter = imaging.CatmullRom
	}
	return imaging.Resize(src, w, h, filter)
}
