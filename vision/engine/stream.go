package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// frame is a picture on its way through a [stream]. Its memory is used again
// when commit returns.
type frame struct {
	index int    // in the order of the source
	file  string // where it comes from
	name  string // what its files are called
	// ready says that image holds the pixels; else they are read from file.
	ready bool
	image *vision.Image
	// clip is the video that this is frame number at of, from 0, shown after so
	// many seconds; nil for a picture.
	clip    *clip
	at      int
	seconds float64
	out     []float32 // the network's first output for it
	// prototypes is the second output, of networks that make masks.
	prototypes []float32
	// mirrored is that for the mirrored picture, where the stream asks for it.
	mirrored []float32
	tile     *tiling // of a large picture, nil for a whole one
	err      error   // it could not be read
	made     any     // what answer made of it, for commit
}

// stream runs pictures through a network so that reading, the network and what
// is done with its answers overlap, each on a batch of its own.
type stream struct {
	*evaluator
	// mirror runs every picture a second time, mirrored left to right.
	mirror bool
	// next fills in the next picture: its file, and its pixels unless they are to
	// be read from there. At the end it reports false.
	next func(f *frame) (bool, error)
	// answer is called for every picture, several at a time, in no order; commit
	// after it, one at a time, in the order of the source. frame.err tells of
	// pictures that could not be read.
	answer, commit func(f *frame) error
}

// convoy is a batch of frames.
type convoy struct {
	frames []frame
	n      int
	x      []float32
	good   []*frame // those that could be read, as they lie in x
}

// convoys is how many batches are on their way: one is read, one in the
// network, one is answered.
const convoys = 3

// run runs all pictures. It ends with the first error, or when ctx does.
func (s *stream) run(ctx context.Context) error {
	pipe, err := transform.Eval(s.pre)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	workers := s.workers
	if workers <= 0 {
		workers = 2
	}
	free, ready, done := make(chan *convoy, convoys), make(chan *convoy), make(chan *convoy)
	for range convoys {
		c := &convoy{frames: make([]frame, s.batch), x: make([]float32, s.batch*pipe.Len())}
		for i := range c.frames {
			c.frames[i].image = &vision.Image{}
		}
		free <- c
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(ready)
		readers := make([]*reader, workers)
		for i := range readers {
			readers[i] = &reader{cv.NewDecoder(), pipe.NewWorker()}
			defer readers[i].decoder.Close()
		}
		index := 0
		for more := true; more; {
			c := receive(ctx, free)
			if c == nil {
				return
			}
			for c.n = 0; c.n < s.batch; c.n++ {
				f := &c.frames[c.n]
				*f = frame{index: index, image: f.image, out: f.out[:0], prototypes: f.prototypes[:0], mirrored: f.mirrored[:0]}
				ok, err := s.next(f)
				if err != nil {
					stop(err)
					return
				}
				if !ok {
					more = false
					break
				}
				index++
			}
			c.read(readers, pipe.Len())
			if c.n > 0 && !send(ctx, ready, c) {
				return
			}
		}
	})
	wg.Go(func() {
		for c := range done {
			if ctx.Err() == nil {
				if err := c.finish(workers, s.answer, s.commit); err != nil {
					stop(err)
				}
			}
			free <- c
		}
	})
	for c := range ready {
		if ctx.Err() == nil && len(c.good) > 0 {
			if err := s.network(c, pipe.Len()); err != nil {
				stop(err)
			}
		}
		done <- c
	}
	close(done)
	wg.Wait()
	return context.Cause(ctx)
}

func receive(ctx context.Context, from <-chan *convoy) *convoy {
	select {
	case c := <-from:
		return c
	case <-ctx.Done():
		return nil
	}
}

func send(ctx context.Context, to chan<- *convoy, c *convoy) bool {
	select {
	case to <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// reader is what one goroutine needs to make input of files.
type reader struct {
	decoder *cv.Decoder
	pipe    *transform.Worker
}

// spread calls f for 0 … n-1 on several goroutines; k tells which.
func spread(n, workers int, f func(k, i int)) {
	var wg sync.WaitGroup
	for k := range min(n, workers) {
		wg.Go(func() {
			for i := k; i < n; i += workers {
				f(k, i)
			}
		})
	}
	wg.Wait()
}

// read decodes the frames and moves the input of those that could be read
// together.
func (c *convoy) read(readers []*reader, size int) {
	spread(c.n, len(readers), func(k, i int) {
		f, r := &c.frames[i], readers[k]
		if !f.ready && f.err == nil {
			f.err = r.decoder.DecodeFile(f.image, f.file)
		}
		if f.err == nil {
			f.err = r.pipe.Apply(c.x[i*size:(i+1)*size], f.image, transform.Key{})
		}
	})
	c.good = c.good[:0]
	for i := range c.n {
		if c.frames[i].err != nil {
			continue
		}
		if k := len(c.good); k < i {
			copy(c.x[k*size:(k+1)*size], c.x[i*size:(i+1)*size])
		}
		c.good = append(c.good, &c.frames[i])
	}
}

// network runs a batch.
func (s *stream) network(c *convoy, size int) error {
	n := len(c.good)
	set, err := s.evaluator.run.prepare(n)
	if err != nil {
		return err
	}
	x := c.x[:n*size]
	if err := s.step(set, x, c.good, func(f *frame) *[]float32 { return &f.out }); err != nil {
		return err
	}
	if len(set.shards[0].outputs) > 1 {
		deliver(set, 1, c.good, func(f *frame) *[]float32 { return &f.prototypes })
	}
	if !s.mirror {
		return nil
	}
	w := s.pre.Size[1]
	for row := 0; row < len(x); row += 3 * w {
		for i, j := row, row+3*(w-1); i < j; i, j = i+3, j-3 {
			x[i], x[i+1], x[i+2], x[j], x[j+1], x[j+2] = x[j], x[j+1], x[j+2], x[i], x[i+1], x[i+2]
		}
	}
	return s.step(set, x, c.good, func(f *frame) *[]float32 { return &f.mirrored })
}

// step runs a batch and copies the first output of every picture.
func (s *stream) step(set *set, x []float32, frames []*frame, to func(f *frame) *[]float32) error {
	load(set, s.net.toInput(x, s.pre, &s.scratch), s.net.picture)
	if _, err := s.evaluator.run.step(set); err != nil {
		return err
	}
	deliver(set, 0, frames, to)
	return nil
}

// deliver copies an output of every picture of a batch that ran.
func deliver(set *set, output int, frames []*frame, to func(f *frame) *[]float32) {
	k := 0
	for i, sh := range set.shards {
		out := sh.exec.Value(sh.outputs[output]).F32()
		per := len(out) / set.sizes[i]
		for j := range set.sizes[i] {
			dst := to(frames[k])
			*dst = append(slices.Grow((*dst)[:0], per), out[j*per:(j+1)*per]...)
			k++
		}
	}
}

// finish answers the frames of a batch.
func (c *convoy) finish(workers int, answer, commit func(f *frame) error) error {
	errs := make([]error, c.n)
	spread(c.n, workers, func(_, i int) { errs[i] = answer(&c.frames[i]) })
	for i := range c.n {
		if errs[i] != nil {
			return errs[i]
		}
		if err := commit(&c.frames[i]); err != nil {
			return err
		}
	}
	return nil
}
