package datasets

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/vislora/vislora/vision/transform"
)

// LoaderConfig says what a [Loader] delivers.
type LoaderConfig struct {
	Samples []Sample
	// Pipeline makes pictures with labels, Scenes pictures with boxes; one of
	// them. Mosaics take their pictures from Samples.
	Pipeline *transform.Pipeline
	Scenes   *transform.ScenePipeline
	// MaxObjects is the number of boxes that a picture has room for, with
	// Scenes. Of more the largest are kept; see [Loader.Overflow]. With Masks it
	// may be 0: no boxes are delivered.
	MaxObjects int
	// Masks, with Scenes, reads the class of every pixel of a sample, (H, W); it
	// is called by several goroutines, and nobody writes to what it returns.
	Masks func(Sample) ([]uint8, error)
	// Shares, with Scenes and MaxObjects, is the map on which the mask of every
	// object is delivered; the zero value is none.
	Shares transform.Grid
	// Batch is the number of pictures in a batch.
	Batch int
	// Classes is the number of classes when targets are wanted, as for
	// multi-label data; 0 otherwise.
	Classes int
	// Workers decode and augment; 0 is one per processor.
	Workers int
	// Shuffle draws a new order for each epoch from Seed; Balanced draws with
	// replacement instead, every class as often as the others. Neither: the
	// order of Samples.
	Shuffle, Balanced bool
	Seed              uint64
	// DropLast leaves out a last batch that is not full.
	DropLast bool
	// Cache, if any, keeps decoded images between epochs.
	Cache *Cache
	// Kept, if any, is asked before every batch, with the places of its pictures
	// in Samples, whether they are needed: what is made of them may have been
	// kept. A batch of which nothing is needed has labels and keys alone, and its
	// own Kept is set.
	Kept func(places []int) bool
	// Buffers are the batches that are filled in turn; two or more let the
	// workers run ahead. None: three are allocated, their pictures by Room (nil:
	// make).
	Buffers []*Batch
	Room    func(values int) []float32
}

// Loader decodes and augments on several goroutines and delivers batches in an
// order that depends on the seed and the epoch alone. An image that cannot be
// read is left out of its batch, counted and named; see [Loader.Skipped].
type Loader struct {
	c    LoaderConfig
	size int

	mu      sync.Mutex
	skipped []Skipped
	known   map[string]bool
	count   int
	// overflow counts objects without a place in Boxes.
	overflow int
}

// NewLoader checks a configuration.
func NewLoader(c LoaderConfig) (*Loader, error) {
	if len(c.Samples) == 0 {
		return nil, fmt.Errorf("load images: there are none")
	}
	size, err := c.input()
	if err != nil {
		return nil, err
	}
	if c.Batch < 1 {
		return nil, fmt.Errorf("load images: the batch is %d: use at least 1", c.Batch)
	}
	if c.DropLast && len(c.Samples) < c.Batch {
		return nil, fmt.Errorf("load images: %d images do not fill one batch of %d: use a smaller batch", len(c.Samples), c.Batch)
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	l := &Loader{c: c, size: size, known: map[string]bool{}}
	if len(c.Buffers) == 0 {
		for range 3 {
			l.c.Buffers = append(l.c.Buffers, c.newBatch(l.size))
		}
	}
	for i, b := range l.c.Buffers {
		if len(b.X) < c.Batch*l.size || len(b.Labels) < c.Batch || b.classes != c.Classes {
			return nil, fmt.Errorf("load images: buffer %d has room for %d values and %d classes, a batch has %d and %d", i, len(b.X), b.classes, c.Batch*l.size, c.Classes)
		}
		if c.Scenes != nil && b.objects != c.MaxObjects {
			return nil, fmt.Errorf("load images: buffer %d has room for %d objects of an image, not for %d", i, b.objects, c.MaxObjects)
		}
		if want := c.plane(l.size); b.plane != want || len(b.Mask) < c.Batch*want {
			return nil, fmt.Errorf("load images: buffer %d has room for masks of %d pixels, a picture has %d", i, b.plane, want)
		}
		if want := c.Shares.Cells() * c.MaxObjects; b.covered != want || len(b.Shares) < c.Batch*want {
			return nil, fmt.Errorf("load images: buffer %d has room for objects' masks of %d cells of a picture, not for %d", i, b.covered, want)
		}
	}
	return l, nil
}

// Steps is the number of batches of an epoch.
func (l *Loader) Steps() int {
	if l.c.DropLast {
		return len(l.c.Samples) / l.c.Batch
	}
	return (len(l.c.Samples) + l.c.Batch - 1) / l.c.Batch
}

// Batch is the number of pictures in a full batch.
func (l *Loader) Batch() int { return l.c.Batch }

// Memory is where the pictures of batches are read into, which between epochs may
// serve something else.
func (l *Loader) Memory() (x [][]float32) {
	for _, b := range l.c.Buffers {
		x = append(x, b.X)
	}
	return x
}

// MovedBytes is the size of what [Batch.Moved] gives.
func (l *Loader) MovedBytes() int {
	boxes, mask, shares := l.c.Buffers[0].Moved(0)
	return 4*len(boxes) + len(mask) + len(shares)
}

// Skipped names the images that could not be read so far, and counts how often
// one was left out.
func (l *Loader) Skipped() (named []Skipped, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.skipped), l.count
}

// skip counts a picture that is left out, and names its image.
func (l *Loader) skip(s *Sample, err error) {
	l.mu.Lock()
	l.count++
	l.mu.Unlock()
	l.name(s, err)
}

// name names an image that cannot be read.
func (l *Loader) name(s *Sample, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known[s.Path] {
		l.known[s.Path] = true
		l.skipped = append(l.skipped, Skipped{Name: s.Name, Reason: err.Error()})
	}
}

// order lists the samples of an epoch, and for each how often it came before.
func (l *Loader) order(epoch int) (order, repeat []int) {
	n := len(l.c.Samples)
	switch {
	case l.c.Balanced:
		classes := make([]int, n)
		for i := range classes {
			classes[i] = -1
			if c := l.c.Samples[i].Classes(); len(c) > 0 {
				classes[i] = c[0]
			}
		}
		order = transform.Balanced(l.c.Seed, epoch, n, classes)
	case l.c.Shuffle:
		order = transform.Order(l.c.Seed, epoch, n)
	}
	if order == nil {
		order = make([]int, n)
		for i := range order {
			order[i] = i
		}
	}
	times := make([]int, n)
	repeat = make([]int, len(order))
	for i, s := range order {
		repeat[i] = times[s]
		times[s]++
	}
	return order, repeat
}

// Epoch starts the workers on an epoch, from the batch first on, as a resumed
// run needs it. The buffers belong to one epoch at a time: close it before the
// next one starts.
func (l *Loader) Epoch(ctx context.Context, epoch, first int) *Epoch {
	ctx, cancel := context.WithCancel(ctx)
	e := &Epoch{
		l: l, ctx: ctx, cancel: cancel, epoch: epoch, scenes: l.c.Scenes,
		free:  make(chan *Batch, len(l.c.Buffers)),
		queue: make(chan *Batch, len(l.c.Buffers)),
		jobs:  make(chan job),
	}
	for _, b := range l.c.Buffers {
		select {
		case <-b.done: // left by an epoch that was closed early
		default:
		}
		e.free <- b
	}
	e.wg.Go(func() { e.deal(first) })
	for range l.c.Workers {
		e.wg.Go(e.work)
	}
	return e
}
