package datasets

import (
	"fmt"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// mostObjects is the largest number of objects in a picture that can be meant.
const mostObjects = 100_000

// input is the number of values of one input.
func (c *LoaderConfig) input() (int, error) {
	switch {
	case c.Scenes == nil && c.Pipeline == nil:
		return 0, fmt.Errorf("load images: there is no pipeline")
	case c.Scenes == nil && c.Masks != nil:
		return 0, fmt.Errorf("load images: masks move with the pixels of Scenes alone, not with those of Pipeline")
	case c.Shares != (transform.Grid{}) && (c.Scenes == nil || c.MaxObjects == 0 || min(c.Shares.H, c.Shares.W, c.Shares.Stride) < 1):
		return 0, fmt.Errorf("load images: masks of objects on %d×%d cells of %d pixels go with boxes alone, and every number has to be at least 1", c.Shares.H, c.Shares.W, c.Shares.Stride)
	case c.Scenes == nil:
		return c.Pipeline.Len(), nil
	case c.Pipeline != nil:
		return 0, fmt.Errorf("load images: there are two pipelines: use Pipeline for labels or Scenes for boxes")
	case c.Classes > 0:
		return 0, fmt.Errorf("load images: targets of %d classes are for labels, not for boxes", c.Classes)
	case c.MaxObjects == 0 && c.Masks != nil:
	case c.MaxObjects < 1 || c.MaxObjects > mostObjects:
		return 0, fmt.Errorf("load images: there is room for %d objects in a picture: use 1 to %d", c.MaxObjects, mostObjects)
	}
	return c.Scenes.Len(), nil
}

// plane is the number of pixels of a mask of inputs of size values, 0 without
// masks.
func (c *LoaderConfig) plane(size int) int {
	if c.Masks == nil {
		return 0
	}
	return size / 3
}

// newBatch has room for what is delivered.
func (c *LoaderConfig) newBatch(size int) *Batch {
	room := c.Room
	if room == nil {
		room = func(n int) []float32 { return make([]float32, n) }
	}
	n, x := c.Batch, room(c.Batch*size)
	if c.Scenes == nil {
		return BatchOver(x, n, c.Classes)
	}
	boxes := make([]float32, n*c.MaxObjects*5)
	if c.Masks == nil {
		return SceneBatchOver(x, boxes, n).withShares(n, c.Shares.Cells())
	}
	return MaskBatchOver(x, boxes, make([]uint8, n*c.plane(size)), n).withShares(n, c.Shares.Cells())
}

// SetScenes changes the pipeline from the next [Loader.Epoch] on, as for the
// last epochs without mosaics. It has to make inputs of the same size.
func (l *Loader) SetScenes(p *transform.ScenePipeline) error {
	if l.c.Scenes == nil || p == nil || p.Len() != l.size {
		return fmt.Errorf("load images: the pipeline cannot be changed: it has to be one for boxes with %d values", l.size)
	}
	l.c.Scenes = p
	return nil
}

// Overflow is the number of objects that did not fit into MaxObjects so far,
// over all pictures that were made.
func (l *Loader) Overflow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.overflow
}

// scene fills one slot with a picture, its boxes and its masks.
func (w *worker) scene(b *Batch, slot int, x []float32, s *Sample, src *vision.Image, k transform.Key) error {
	l := w.e.l
	scene, err := w.annotated(s, src)
	if err != nil {
		return err
	}
	to := transform.SceneSlot{X: x, Boxes: b.boxes(slot), Mask: b.mask(slot), Shares: b.shares(slot), Grid: l.c.Shares}
	left, err := w.scenes.Apply(to, scene, k, transform.Others{N: len(l.c.Samples), Fetch: w.fetch})
	if err == nil && left > 0 {
		l.mu.Lock()
		l.overflow += left
		l.mu.Unlock()
	}
	return err
}

// fetch reads a picture for a mosaic. One that cannot be read is named; it is
// counted where it is left out itself.
func (w *worker) fetch(i int) (transform.Scene, error) {
	s := &w.e.l.c.Samples[i]
	im, err := w.read(s, &w.other)
	if err == nil {
		var scene transform.Scene
		if scene, err = w.annotated(s, im); err == nil {
			return scene, nil
		}
	}
	w.e.l.name(s, err)
	return transform.Scene{}, err
}

// annotated adds to an image what is known about it and delivered.
func (w *worker) annotated(s *Sample, im *vision.Image) (scene transform.Scene, err error) {
	defer recovered(s, &err)
	scene.Image = im
	if w.e.l.c.MaxObjects > 0 {
		scene.Objects = s.Objects
	}
	if w.e.l.c.Masks == nil {
		return scene, nil
	}
	pix, err := w.mask(s)
	if err == nil && len(pix) != im.W*im.H {
		err = fmt.Errorf("read mask of %s: it has %d pixels, the image %d×%d", s.Name, len(pix), im.W, im.H)
	}
	scene.Mask = &transform.Mask{W: im.W, H: im.H, Pix: pix}
	return scene, err
}

// mask is the mask of a sample, from the cache or read.
func (w *worker) mask(s *Sample) ([]uint8, error) {
	c := w.e.l.c.Cache
	if c != nil {
		if kept := c.mask(s); kept != nil {
			return kept, nil
		}
	}
	pix, err := w.e.l.c.Masks(*s)
	if err == nil && c != nil {
		c.putMask(s, pix)
	}
	return pix, err
}
