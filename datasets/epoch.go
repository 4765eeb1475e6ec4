package datasets

import (
	"context"
	"fmt"
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

// work decodes and augments until there is no job left.
func (e *Epoch) work() {
	d := cv.NewDecoder()
	defer d.Close()
	w := e.l.c.Pipeline.NewWorker()
	var im vision.Image
	for j := range e.jobs {
		s := &e.l.c.Samples[j.sample]
		err := e.picture(j, s, d, w, &im)
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

// picture fills one slot. A panic on a hostile file is that file's error.
func (e *Epoch) picture(j job, s *Sample, d *cv.Decoder, w *transform.Worker, im *vision.Image) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read image %s: %v", s.Path, r)
		}
	}()
	src := im
	c := e.l.c.Cache
	if c != nil {
		if kept := c.get(s.Path); kept != nil {
			src = kept
		}
	}
	if src == im {
		if err := d.DecodeFile(im, s.Path); err != nil {
			return err
		}
		if c != nil {
			c.put(s.Path, im)
		}
	}
	j.batch.label(j.slot, s)
	size := e.l.size
	return w.Apply(j.batch.X[j.slot*size:][:size:size], src, transform.Key{
		Seed: e.l.c.Seed, Epoch: e.epoch, Image: s.Index, Repeat: j.repeat,
	})
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
