package datasets

import (
	"fmt"

	"github.com/vislora/vislora/vision/transform"
)

// mostObjects is the largest number of objects in a picture that can be meant.
const mostObjects = 100_000

// input is the number of values of one input.
func (c *LoaderConfig) input() (int, error) {
	switch {
	case c.Scenes == nil && c.Pipeline == nil:
		return 0, fmt.Errorf("load images: there is no pipeline")
	case c.Scenes == nil:
		return c.Pipeline.Len(), nil
	case c.Pipeline != nil:
		return 0, fmt.Errorf("load images: there are two pipelines: use Pipeline for labels or Scenes for boxes")
	case c.Classes > 0:
		return 0, fmt.Errorf("load images: targets of %d classes are for labels, not for boxes", c.Classes)
	case c.MaxObjects < 1 || c.MaxObjects > mostObjects:
		return 0, fmt.Errorf("load images: there is room for %d objects in a picture: use 1 to %d", c.MaxObjects, mostObjects)
	}
	return c.Scenes.Len(), nil
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

// scene fills one slot with a picture and its boxes.
func (w *worker) scene(to transform.SceneSlot, s transform.Scene, k transform.Key) error {
	l := w.e.l
	left, err := w.scenes.Apply(to, s, k, transform.Others{N: len(l.c.Samples), Fetch: w.fetch})
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
	if err != nil {
		w.e.l.name(s, err)
		return transform.Scene{}, err
	}
	return transform.Scene{Image: im, Objects: s.Objects}, nil
}
