package transform

import (
	"fmt"
	"image"
	"math"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// ScenePipeline is the [Pipeline] of images with objects: it moves boxes,
// polygons and masks with the pixels. It holds no state; each goroutine takes
// a [SceneWorker] of its own.
type ScenePipeline struct {
	pre   vision.Preprocess
	aug   SceneAugment
	table *table
}

// EvalScenes is the pipeline that validation and prediction use. Its pixels
// are those of [Eval].
func EvalScenes(pre vision.Preprocess) (*ScenePipeline, error) {
	return TrainScenes(pre, SceneAugment{})
}

// TrainScenes is [EvalScenes] with augmentation.
func TrainScenes(pre vision.Preprocess, aug SceneAugment) (*ScenePipeline, error) {
	if err := pre.Validate(); err != nil {
		return nil, err
	}
	if err := aug.Validate(); err != nil {
		return nil, err
	}
	return &ScenePipeline{pre: pre, aug: aug, table: newTable(pre)}, nil
}

// Preprocess is what the pipeline was made from.
func (p *ScenePipeline) Preprocess() vision.Preprocess { return p.pre }

// Augment is the augmentation; its zero value in an evaluation pipeline.
func (p *ScenePipeline) Augment() SceneAugment { return p.aug }

// Len is the number of values of one input: height × width × 3.
func (p *ScenePipeline) Len() int { return 3 * p.pre.Size[0] * p.pre.Size[1] }

// Others are the scenes from which mosaics take their other three pictures.
type Others struct {
	N int
	// Fetch returns scene i, 0 ≤ i < N; its pixels are used until Fetch is
	// called again. After an error another scene is drawn instead.
	Fetch func(i int) (Scene, error)
}

// SceneSlot is where a worker writes what it made of a scene.
type SceneSlot struct {
	// X is the input, (height, width, 3) and dense.
	X []float32
	// Boxes are the targets of a detector, (M, 5): class, centre x, y, width,
	// height in pixels of the input. Rows without an object have the class −1.
	Boxes []float32
	// Mask, if any, becomes the class of every pixel, (height, width); [Void]
	// where none is known.
	Mask []uint8
	// Shares, if any, become the masks of the objects in the rows of Boxes,
	// (M, Grid.H, Grid.W): the part of each cell that the object covers, in
	// 255ths. Rows without an object, and of objects of which only the box is
	// known, are 0. The worker needs Outlines.
	Shares []uint8
	Grid   Grid
}

// SceneWorker holds the scratch memory of one goroutine.
type SceneWorker struct {
	// Outlines makes the polygons and masks of objects move, too; otherwise
	// [SceneWorker.Objects] have boxes only.
	Outlines bool

	p             *ScenePipeline
	source        *source
	resizer       Resizer
	part, scratch vision.Image
	outline       outline
	corners       [1][]float64
	objects       []vision.Object
	pick          []int
}

// NewWorker makes a SceneWorker.
func (p *ScenePipeline) NewWorker() *SceneWorker { return &SceneWorker{p: p, source: newSource()} }

// Objects are those of the last picture, crowds included, in pixels of the
// input and as far as they can be seen. They hold until the next Apply.
// Objects of which less than 10 % or a box of less than 2 pixels is visible
// are left out.
func (sw *SceneWorker) Objects() []vision.Object { return sw.objects }

// Apply makes the input and the targets of s. It leaves s as it was. What is
// random depends on k and on what the others are. It returns the number of
// objects that found no place in to.Boxes: the smallest.
func (sw *SceneWorker) Apply(to SceneSlot, s Scene, k Key, others Others) (left int, err error) {
	pre := sw.p.pre
	if len(to.X) != sw.p.Len() || len(to.Boxes)%5 != 0 || to.Mask != nil && len(to.Mask) != sw.p.Len()/3 {
		return 0, fmt.Errorf("prepare an image: the input has %d values and a mask of %d, the slices %d and %d; boxes have 5, the slice %d", sw.p.Len(), sw.p.Len()/3, len(to.X), len(to.Mask), len(to.Boxes))
	}
	if to.Shares != nil && (!sw.Outlines || to.Grid.Stride < 1 || len(to.Shares) != len(to.Boxes)/5*to.Grid.Cells()) {
		return 0, fmt.Errorf("prepare an image: masks of %d objects on a grid of %d×%d cells of %d pixels do not fit %d bytes, or the worker moves no outlines", len(to.Boxes)/5, to.Grid.H, to.Grid.W, to.Grid.Stride, len(to.Shares))
	}
	if err := s.check(); err != nil {
		return 0, err
	}
	sw.source.seed(streamScene, k)
	sw.p.table.fill(to.X, pre.Pad)
	for i := range to.Mask {
		to.Mask[i] = Void
	}
	sw.objects = sw.objects[:0]
	a := sw.p.aug
	if a.Mosaic > 0 && others.N > 0 && sw.source.Float64() < a.Mosaic {
		err = sw.mosaic(to, s, others)
	} else {
		err = sw.single(to, s)
	}
	if err != nil {
		return 0, err
	}
	return sw.targets(to)
}

// looks is what all parts of a picture have in common.
type looks struct {
	lr, ud bool
	tint   tint
}

func (sw *SceneWorker) looks() looks {
	a := sw.p.aug
	return looks{
		lr:   a.FlipLR > 0 && sw.source.Float64() < a.FlipLR,
		ud:   a.FlipUD > 0 && sw.source.Float64() < a.FlipUD,
		tint: drawTint(sw.source.Rand, a),
	}
}

// single makes a picture of one image. A motion that loses every object is
// drawn again, a few times.
func (sw *SceneWorker) single(to SceneSlot, s Scene) error {
	h, w := sw.p.pre.Size[0], sw.p.pre.Size[1]
	l := sw.looks()
	var t tile
	for range 10 {
		t = drawMotion(sw.source.Rand, sw.p.aug, w, h).single(sw.p.pre, s.Image.W, s.Image.H)
		t = t.mirror(w, h, l.lr, l.ud)
		sw.objects = sw.objects[:0]
		if err := sw.move(s.Objects, t.of(s.Image), s.Image.W, s.Image.H); err != nil {
			return err
		}
		if len(sw.objects) > 0 || len(s.Objects) == 0 || !sw.p.aug.Varies() {
			break
		}
	}
	return sw.draw(to, s, t, l.tint)
}

// mosaic makes a picture of s, above on the left before flips, and three
// others.
func (sw *SceneWorker) mosaic(to SceneSlot, s Scene, others Others) error {
	h, w := sw.p.pre.Size[0], sw.p.pre.Size[1]
	r := sw.source.Rand
	l := sw.looks()
	x, y := between(r, -.5, .5)*float64(w), between(r, -.5, .5)*float64(h)
	m := drawMotion(r, sw.p.aug, w, h)
	for field := range 4 {
		if field > 0 {
			var ok bool
			if s, ok = sw.other(others); !ok {
				continue // the field stays padding
			}
		}
		t := m.quarter(sw.p.pre, s.Image.W, s.Image.H, field, x, y).mirror(w, h, l.lr, l.ud)
		if err := sw.move(s.Objects, t.of(s.Image), s.Image.W, s.Image.H); err != nil {
			return err
		}
		if err := sw.draw(to, s, t, l.tint); err != nil {
			return err
		}
	}
	return nil
}

// other draws a scene that can be used.
func (sw *SceneWorker) other(others Others) (Scene, bool) {
	for range 10 {
		s, err := others.Fetch(sw.source.IntN(others.N))
		if err == nil && s.check() == nil {
			return s, true
		}
	}
	return Scene{}, false
}

// draw writes the visible part of one image, resized no further than needed,
// straight into the input.
func (sw *SceneWorker) draw(to SceneSlot, s Scene, t tile, c tint) error {
	h, w := sw.p.pre.Size[0], sw.p.pre.Size[1]
	input := image.Rect(0, 0, w, h)
	if to.Mask != nil && s.Mask != nil {
		s.Mask.sample(to.Mask, w, h, t.of(s.Image).inverse())
	}
	straight := t.move.straight()
	margin := 0.0
	if !straight {
		margin = 2 // for the interpolation
	}
	window := pixels(t.move.inverse().box(vision.Box{X2: float64(w), Y2: float64(h)}), margin).Intersect(image.Rect(0, 0, t.w, t.h))
	if window.Empty() {
		return nil
	}
	if err := sw.resizer.ResizeRegion(&sw.part, s.Image, image.Rect(0, 0, s.Image.W, s.Image.H), t.w, t.h, window, sw.p.pre.Interpolation); err != nil {
		return err
	}
	c.apply(&sw.part)
	move := t.move.after(shifting(float64(window.Min.X), float64(window.Min.Y)))
	seen := pixels(move.box(vision.Box{X2: float64(sw.part.W), Y2: float64(sw.part.H)}), 0).Intersect(input)
	if seen.Empty() {
		return nil
	}
	if straight {
		if move[0] < 0 {
			FlipH(&sw.part)
		}
		if move[4] < 0 {
			FlipV(&sw.part)
		}
		sw.p.table.apply(to.X[3*(seen.Min.Y*w+seen.Min.X):], w, &sw.part)
		return nil
	}
	back := move.inverse().after(shifting(float64(seen.Min.X), float64(seen.Min.Y)))
	sw.scratch.Reset(seen.Dx(), seen.Dy())
	// Reflected at its borders, the image meets its neighbours without a seam.
	if err := cv.Warp(&sw.scratch, &sw.part, cv.Affine(back), true, cv.Reflect, 0); err != nil {
		return err
	}
	for y := range seen.Dy() {
		lo, hi := back.span(y, seen.Dx(), float64(sw.part.W), float64(sw.part.H))
		if lo >= hi {
			continue
		}
		row := vision.Image{W: hi - lo, H: 1, Pix: sw.scratch.Pix[3*(y*seen.Dx()+lo):][:3*(hi-lo)]}
		sw.p.table.apply(to.X[3*((seen.Min.Y+y)*w+seen.Min.X+lo):], w, &row)
	}
	return nil
}

// pixels are all that b touches, and a margin.
func pixels(b vision.Box, margin float64) image.Rectangle {
	floor := func(v float64) int { return int(math.Floor(v - margin)) }
	ceil := func(v float64) int { return int(math.Ceil(v + margin)) }
	return image.Rect(floor(b.X1), floor(b.Y1), ceil(b.X2), ceil(b.Y2))
}
