package transform

import (
	"fmt"
	"image"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// Pipeline turns pictures into inputs. It holds no state; each goroutine takes
// a [Worker] of its own.
type Pipeline struct {
	pre   vision.Preprocess
	aug   Augment
	table *table
}

// Eval is the pipeline that validation and prediction use.
func Eval(pre vision.Preprocess) (*Pipeline, error) { return Train(pre, Augment{}) }

// Train is [Eval] with augmentation.
func Train(pre vision.Preprocess, aug Augment) (*Pipeline, error) {
	if err := pre.Validate(); err != nil {
		return nil, err
	}
	if err := aug.Validate(); err != nil {
		return nil, err
	}
	return &Pipeline{pre: pre, aug: aug, table: newTable(pre)}, nil
}

// Preprocess is what the pipeline was made from.
func (p *Pipeline) Preprocess() vision.Preprocess { return p.pre }

// Augment is the augmentation; its zero value in an evaluation pipeline.
func (p *Pipeline) Augment() Augment { return p.aug }

// Size is the width and height of one input.
func (p *Pipeline) Size() image.Point { return image.Pt(p.pre.Size[1], p.pre.Size[0]) }

// Len is the number of values of one input: height × width × 3.
func (p *Pipeline) Len() int { return 3 * p.pre.Size[0] * p.pre.Size[1] }

// Worker holds the scratch memory of one goroutine.
type Worker struct {
	p            *Pipeline
	resizer      Resizer
	out, scratch vision.Image
	source       *source
}

// NewWorker makes a Worker.
func (p *Pipeline) NewWorker() *Worker { return &Worker{p: p, source: newSource()} }

// Apply writes the input made from im into dst, (height, width, 3) and dense.
// It leaves im as it was. What is random depends on k alone.
func (w *Worker) Apply(dst []float32, im *vision.Image, k Key) error {
	if im.W <= 0 || im.H <= 0 || len(im.Pix) != 3*im.W*im.H {
		return fmt.Errorf("prepare an image of %d×%d pixels with %d bytes: it is broken", im.W, im.H, len(im.Pix))
	}
	region, ok := w.Region(im.W, im.H, k)
	if !ok {
		region = image.Rect(0, 0, im.W, im.H)
	}
	return w.apply(dst, im, region)
}

// Region is the part of a w×h picture that Apply would look at with this key,
// where augmentation cuts one out. Whoever has decoded that part alone, or a
// smaller copy of it, hands it to [Worker.ApplyRegion] next.
func (w *Worker) Region(width, height int, k Key) (region image.Rectangle, ok bool) {
	w.source.seed(streamImage, k)
	if a := w.p.aug; a.Scale[1] > 0 {
		return randomResizedCrop(w.source.Rand, width, height, a.Scale, a.Ratio), true
	}
	return image.Rectangle{}, false
}

// ApplyRegion goes on after [Worker.Region] as Apply does, with a picture of the
// region.
func (w *Worker) ApplyRegion(dst []float32, im *vision.Image) error {
	return w.apply(dst, im, image.Rect(0, 0, im.W, im.H))
}

// apply is Apply with the region chosen.
func (w *Worker) apply(dst []float32, im *vision.Image, region image.Rectangle) error {
	if len(dst) != w.p.Len() {
		return fmt.Errorf("prepare an image: the input has %d values, the slice %d", w.p.Len(), len(dst))
	}
	at, err := w.picture(im, region)
	if err != nil {
		return err
	}
	h, width := w.p.pre.Size[0], w.p.pre.Size[1]
	if w.out.W < width || w.out.H < h {
		w.p.table.surround(dst, width, at.X, at.Y, w.out.W, w.out.H, w.p.pre.Pad)
	}
	w.p.table.apply(dst[3*(at.Y*width+at.X):], width, &w.out)
	if w.p.aug.Erasing > 0 && w.source.Float64() < w.p.aug.Erasing {
		erase(w.source.Rand, dst, h, width)
	}
	return nil
}

// picture leaves the resized and augmented picture in w.out and returns where
// it stands in the input.
func (w *Worker) picture(im *vision.Image, region image.Rectangle) (at image.Point, err error) {
	pre, a, r := w.p.pre, w.p.aug, w.source.Rand
	if a.Scale[1] > 0 {
		h, width := pre.Size[0], pre.Size[1]
		err = w.resizer.ResizeRegion(&w.out, im, region, width, h, image.Rect(0, 0, width, h), pre.Interpolation)
	} else {
		p := Place(pre, im.W, im.H)
		at = p.At
		err = w.resizer.ResizeRegion(&w.out, im, region, p.W, p.H, p.Window, pre.Interpolation)
	}
	if err != nil {
		return at, err
	}
	if a.HFlip > 0 && r.Float64() < a.HFlip {
		FlipH(&w.out)
	}
	if a.VFlip > 0 && r.Float64() < a.VFlip {
		FlipV(&w.out)
	}
	if a.Rotation > 0 {
		m := rotation(w.out.W, w.out.H, between(r, -a.Rotation, a.Rotation))
		if err := warp(&w.out, &w.scratch, m, true, cv.Reflect, 0); err != nil {
			return at, err
		}
	}
	if a.RandAugment > 0 {
		if err := randAugment(r, &w.out, &w.scratch, a.RandAugment, a.RandAugmentMagnitude); err != nil {
			return at, err
		}
	}
	if a.Brightness > 0 || a.Contrast > 0 || a.Saturation > 0 || a.Hue > 0 {
		colorJitter(r, &w.out, a)
	}
	return at, nil
}
