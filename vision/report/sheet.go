package report

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

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
	// Boxes and Mask are drawn over the picture, in its pixels, after it got its
	// size on the sheet: lines and tags are as wide and large on every tile.
	Boxes []cv.Box
	Mask  *cv.Mask
	// Good colours lines and frame green or red; nil leaves the lines black,
	// without a frame.
	Good *bool
}

// The measures of a sheet in pixels. The report shows sheets about 1040 pixels
// wide: those of up to six columns keep the size of their captions there.
const (
	sheetWidth = 1080
	leastCell  = 164 // narrower tiles cut too many captions
	mostCell   = 320
	mostDrawn  = 520 // of pictures that are drawn on
	gap        = 14
	frame      = 4
	textSize   = 15
	lineHeight = 19
	mostRows   = 3 // a caption line is wrapped into at most so many
)

var (
	black = color.NRGBA{0x22, 0x22, 0x22, 0xff}
	green = color.NRGBA{0x0b, 0x77, 0x3d, 0xff}
	red   = color.NRGBA{0xc4, 0x1e, 0x1e, 0xff}
)

// Sheet draws tiles in columns and writes them as JPEG or PNG, by the extension
// of path: train_batch0.jpg, val_batch0_labels.jpg, val_batch0_pred.jpg,
// mistakes.jpg. Pictures are fitted into square cells, small ones enlarged.
//
// It reports an error when there is no tile, a tile has no picture, or the sheet
// would exceed [cv.MaxPixels].
func Sheet(path string, tiles []Tile, columns int) error {
	return ClassSheet(path, tiles, columns, nil)
}

// ClassSheet is [Sheet] with a legend of the classes that are drawn on the
// pictures, by the names of all classes; without names there is none. Three
// columns leave enough room for tags.
func ClassSheet(path string, tiles []Tile, columns int, names []string) error {
	im, err := sheet(tiles, columns)
	if err == nil && len(names) > 0 {
		im, err = cv.DrawLegend(im, drawnClasses(tiles), names, lineHeight)
	}
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
	side, most, least := 1, mostCell, leastCell
	for i, t := range tiles {
		if t.Image == nil || t.Image.W < 1 || t.Image.H < 1 {
			return nil, fmt.Errorf("picture %d of %d is empty", i+1, len(tiles))
		}
		side = max(side, t.Image.W, t.Image.H)
		if len(t.Boxes) > 0 || t.Mask != nil {
			most, least = mostDrawn, mostCell // tags do not get smaller
		}
	}
	w, err := newWriter(textSize)
	if err != nil {
		return nil, err
	}
	// Pictures of 32 pixels are not worth a page.
	cell := min(max(sheetWidth/columns-gap, least), most, max(4*side, least))

	// Every row of tiles is as high as its longest caption.
	captions := make([][]string, len(tiles))
	tops := []int{gap}
	for start := 0; start < len(tiles); start += columns {
		lines := 0
		for i := start; i < min(start+columns, len(tiles)); i++ {
			for _, s := range tiles[i].Lines {
				captions[i] = append(captions[i], w.wrap(s, cell, mostRows)...)
			}
			lines = max(lines, len(captions[i]))
		}
		h := cell + gap
		if lines > 0 {
			h += frame + 2 + lines*lineHeight
		}
		tops = append(tops, tops[len(tops)-1]+h)
	}
	width, height := columns*(cell+gap)+gap, tops[len(tops)-1]
	if width*height > cv.MaxPixels {
		return nil, fmt.Errorf("%d pictures need %d×%d pixels, more than %d: draw fewer", len(tiles), width, height, cv.MaxPixels)
	}
	page := imaging.New(width, height, color.White)
	for i, t := range tiles {
		x, y := gap+i%columns*(cell+gap), tops[i/columns]
		ink := black
		if t.Good != nil {
			ink = red
			if *t.Good {
				ink = green
			}
			outline := image.Rect(x, y, x+cell, y+cell)
			draw.Draw(page, outline.Inset(-frame), image.NewUniform(ink), image.Point{}, draw.Src)
			draw.Draw(page, outline, image.White, image.Point{}, draw.Src)
		}
		small, err := t.fitted(cell)
		if err != nil {
			return nil, fmt.Errorf("picture %d of %d: %w", i+1, len(tiles), err)
		}
		at := image.Pt(x+(cell-small.Rect.Dx())/2, y+(cell-small.Rect.Dy())/2)
		draw.Draw(page, small.Rect.Add(at), small, image.Point{}, draw.Src)
		for k, s := range captions[i] {
			w.text(page, x, y+cell+frame+2+k*lineHeight, s, ink)
		}
	}
	return fromPage(page), nil
}

// fromPage is a page without its alpha.
func fromPage(page *image.NRGBA) *vision.Image {
	out := vision.NewImage(page.Rect.Dx(), page.Rect.Dy())
	for i := range out.W * out.H {
		copy(out.Pix[3*i:3*i+3], page.Pix[4*i:])
	}
	return out
}

// toPage is a picture as it is copied onto a page.
func toPage(im *vision.Image) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, im.W, im.H))
	for i := range im.W * im.H {
		copy(out.Pix[4*i:], im.Pix[3*i:3*i+3])
		out.Pix[4*i+3] = 255
	}
	return out
}

// fitted is the picture with its longer side as long as the cell.
func fitted(im *vision.Image, cell int) *image.NRGBA {
	w, h := cell, cell
	if im.W >= im.H {
		h = max(im.H*cell/im.W, 1)
	} else {
		w = max(im.W*cell/im.H, 1)
	}
	filter := imaging.Box
	if w > im.W {
		filter = imaging.CatmullRom
	}
	return imaging.Resize(toPage(im), w, h, filter)
}
