package engine

import (
	"fmt"
	"image"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
)

// tiling is a large picture on its way through the network in tiles.
type tiling struct {
	of     frame // what the tiles are of
	image  *vision.Image
	pad    uint8
	plan   []image.Rectangle
	stitch *head.Stitcher
	cells  [2]int
	at     int // the tile that is handed out next
	left   int // tiles that were not added
}

// tile plans the tiles of a picture, nil if it is no larger than one.
func (p *predicting) tile(f *frame) (*tiling, error) {
	im := f.image
	if !f.ready {
		im = &vision.Image{}
		d := cv.NewDecoder()
		defer d.Close()
		if err := d.DecodeFile(im, f.file); err != nil {
			return nil, err
		}
	}
	// Tiles have the shape of the network's input.
	long := max(p.size[0], p.size[1])
	side := [2]int{max(1, p.c.Tile*p.size[0]/long), max(1, p.c.Tile*p.size[1]/long)}
	if im.H <= side[0] && im.W <= side[1] {
		return nil, nil
	}
	plan, err := head.PlanWindows(im.H, im.W, side, min(side[0], side[1])/4)
	if err != nil {
		return nil, err
	}
	px := p.task.(*pixelAnswers)
	s, err := head.NewStitcher(plan, len(px.classes), head.Cosine)
	if err != nil {
		return nil, err
	}
	if f.ready { // the tiles come into its memory
		im = im.Clone()
	}
	t := &tiling{of: frame{file: f.file, name: f.name, clip: f.clip, at: f.at, seconds: f.seconds}, image: im, pad: uint8(p.loaded.Pre.Pad), plan: plan.Tiles(), stitch: s, cells: px.cells}
	t.left = len(t.plan)
	return t, nil
}

// next hands out a tile, and itself as long as there are more. What lies beyond
// the picture is padded.
func (t *tiling) next(f *frame) *tiling {
	r := t.plan[t.at]
	f.file, f.name, f.clip, f.at, f.seconds, f.ready, f.tile = t.of.file, t.of.name, t.of.clip, t.of.at, t.of.seconds, true, t
	out := f.image
	out.Reset(r.Dx(), r.Dy())
	inside := r.Intersect(image.Rect(0, 0, t.image.W, t.image.H))
	for y := range out.H {
		row := out.Pix[3*y*out.W : 3*(y+1)*out.W]
		n := 0
		if y < inside.Dy() {
			from := 3 * ((r.Min.Y+y)*t.image.W + r.Min.X)
			n = copy(row, t.image.Pix[from:from+3*inside.Dx()])
		}
		for i := n; i < len(row); i++ {
			row[i] = t.pad
		}
	}
	if t.at++; t.at == len(t.plan) {
		return nil
	}
	return t
}

// add takes the answer to the next tile, and tells whether it was the last.
func (t *tiling) add(f *frame) (last bool, err error) {
	if len(f.mirrored) > 0 {
		if err := head.AverageFlip(f.out, f.mirrored, t.cells[0], t.cells[1]); err != nil {
			return false, err
		}
	}
	if err := t.stitch.Add(f.out, t.cells[0], t.cells[1]); err != nil {
		return false, fmt.Errorf("%s: tile %d of %d: %w", f.file, len(t.plan)-t.left+1, len(t.plan), err)
	}
	t.left--
	return t.left == 0, nil
}

// tiled answers a picture all of whose tiles were added.
func (p *predicting) tiled(f *frame) error {
	t := f.tile
	labels, err := t.stitch.Labels()
	if err != nil {
		return err
	}
	t.stitch = nil // its memory is not needed to draw
	a := newAnswer(f, t.image)
	a.labels, f.made = labels, a
	if err := p.task.(*pixelAnswers).count(a); err != nil {
		return err
	}
	return p.write(f.name, a)
}
