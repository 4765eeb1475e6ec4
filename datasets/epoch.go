package datasets

import (
	"context"
	"fmt"
	"image"
	"io"
	"sync"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// Epoch is one pass over a loader's samples. It is used by one goroutine.
type Epoch struct {
	l      *Loader
	ctx    context.Context
	cancel context.CancelFunc
	epoch  int
	scenes *transform.ScenePipeline
	free   chan *Batch // empty buffers
	queue  chan *Batch // buffers in delivery order, perhaps not full yet
	jobs   chan job
	wg     sync.WaitGroup
	mu     sync.Mutex // guards pending of all batches
}

// job is one picture for one slot of a batch.
type job struct {
	batch          *Batch
	slot           int
	sample, repeat int
}

// deal hands out the work, never further ahead than there are buffers.
func (e *Epoch) deal(first int) {
	defer close(e.queue)
	defer close(e.jobs)
	order, repeat := e.l.order(e.epoch)
	n := e.l.c.Batch
	for step := first; step < e.l.Steps(); step++ {
		lo, hi := step*n, min((step+1)*n, len(order))
		var b *Batch
		select {
		case b = <-e.free:
		case <-e.ctx.Done():
			return
		}
		b.N, b.Epoch, b.Step, b.pending = hi-lo, e.epoch, step, hi-lo
		if b.Kept = e.l.c.Kept != nil && e.l.c.Kept(order[lo:hi]); b.Kept {
			for i := range b.N {
				b.label(i, &e.l.c.Samples[order[lo+i]])
				b.failed[i] = false
			}
			b.done <- struct{}{}
			e.queue <- b
			continue
		}
		e.queue <- b
		for i := lo; i < hi; i++ {
			select {
			case e.jobs <- job{b, i - lo, order[i], repeat[i]}:
			case <-e.ctx.Done():
				return
			}
		}
	}
}

// worker is one goroutine's share of an epoch. It has a pipeline's worker or a
// scene pipeline's.
type worker struct {
	e        *Epoch
	decoder  *cv.Decoder
	pictures *transform.Worker
	scenes   *transform.SceneWorker
	im       vision.Image // decoded
	other    vision.Image // decoded for a mosaic
}

// work decodes and augments until there is no job left.
func (e *Epoch) work() {
	w := &worker{e: e, decoder: cv.NewDecoder()}
	defer w.decoder.Close()
	if e.scenes != nil {
		w.scenes = e.scenes.NewWorker()
		w.scenes.Outlines = e.l.c.Shares != transform.Grid{}
	} else {
		w.pictures = e.l.c.Pipeline.NewWorker()
	}
	for j := range e.jobs {
		s := &e.l.c.Samples[j.sample]
		err := w.fill(j, s)
		if err != nil {
			e.l.skip(s, err)
		}
		j.batch.failed[j.slot] = err != nil
		e.mu.Lock()
		j.batch.pending--
		full := j.batch.pending == 0
		e.mu.Unlock()
		if full {
			j.batch.done <- struct{}{}
		}
	}
}

// fill fills one slot.
func (w *worker) fill(j job, s *Sample) (err error) {
	defer recovered(s, &err)
	l := w.e.l
	j.batch.label(j.slot, s)
	x := j.batch.X[j.slot*l.size:][:l.size:l.size]
	k := transform.Key{Seed: l.c.Seed, Epoch: w.e.epoch, Image: s.Index, Repeat: j.repeat}
	if w.pictures != nil && l.c.Cache == nil && l.c.Pipeline.Augment().Scale[1] > 0 {
		return w.region(x, s, k)
	}
	src, err := w.read(s, &w.im)
	if err != nil {
		return err
	}
	if w.scenes != nil {
		return w.scene(j.batch, j.slot, x, s, src, k)
	}
	return w.pictures.Apply(x, src, k)
}

// region decodes no more of a picture than augmentation cuts out.
func (w *worker) region(x []float32, s *Sample, k transform.Key) error {
	err := w.decoder.DecodeRegion(&w.im, s.Path, func(width, height int) (image.Rectangle, image.Point) {
		r, _ := w.pictures.Region(width, height, k)
		return r, w.e.l.c.Pipeline.Size()
	})
	if err != nil {
		return err
	}
	return w.pictures.ApplyRegion(x, &w.im)
}

// read is the image of a sample, from the cache or decoded into im. Nobody
// writes to it.
func (w *worker) read(s *Sample, im *vision.Image) (src *vision.Image, err error) {
	defer recovered(s, &err)
	c := w.e.l.c.Cache
	if c != nil {
		if kept := c.get(s.Path); kept != nil {
			return kept, nil
		}
	}
	if err := w.decoder.DecodeFile(im, s.Path); err != nil {
		return nil, err
	}
	if c != nil {
		c.put(s.Path, im)
	}
	return im, nil
}

// recovered, deferred, makes a panic on a hostile file that file's error.
func recovered(s *Sample, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("read image %s: %v", s.Path, r)
	}
}

// Next is the next batch, in order; it is the caller's until [Epoch.Release].
// At the end of the epoch the error is io.EOF. Batches of which no picture
// could be read are left out.
func (e *Epoch) Next() (*Batch, error) {
	for {
		select {
		case <-e.ctx.Done():
			return nil, e.ctx.Err()
		default:
		}
		var b *Batch
		var ok bool
		select {
		case b, ok = <-e.queue:
		case <-e.ctx.Done():
			return nil, e.ctx.Err()
		}
		if !ok {
			// The queue closes at the end and when the context does.
			if err := e.ctx.Err(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		select {
		case <-b.done:
		case <-e.ctx.Done():
			return nil, e.ctx.Err()
		}
		b.compact(e.l.size)
		if b.N > 0 {
			return b, nil
		}
		e.Release(b)
	}
}

// Release gives a batch back to the workers.
func (e *Epoch) Release(b *Batch) { e.free <- b }

// Close stops the workers and waits for them.
func (e *Epoch) Close() {
	e.cancel()
	e.wg.Wait()
}
