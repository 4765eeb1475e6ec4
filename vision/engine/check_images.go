package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// patience is the number of images from which on decoding them all is announced.
const patience = 1000

// looked is what was seen of one image.
type looked struct {
	file, pixels [sha256.Size]byte
	err          error
}

// lookAtImages decodes every image: what cannot be decoded is left out, counted
// and named, and images with the same pixels in different files are found.
// A quick check compares the files alone.
func lookAtImages(ctx context.Context, c CheckConfig, d *datasets.Dataset) ([]CheckCopy, error) {
	if n := len(d.Samples); n >= patience && !c.Quick {
		c.Log("decoding %d images (--quick looks at their headers alone)", n)
	}
	all := make([]looked, len(d.Samples))
	n := workersFor(c.Workers, len(all))
	decoders, images := make([]*cv.Decoder, n), make([]vision.Image, n)
	for i := range decoders {
		decoders[i] = cv.NewDecoder()
		defer decoders[i].Close()
	}
	err := inParallel(ctx, len(all), n, func(worker, i int) error {
		all[i] = lookAt(decoders[worker], &images[worker], d.Samples[i].Path, c.Quick)
		return nil
	})
	if err != nil {
		return nil, err
	}
	kept := d.Samples[:0:0]
	var files, pixels [][sha256.Size]byte
	var broken []string
	for i, s := range d.Samples {
		l := all[i]
		if l.err != nil {
			reason := strings.TrimPrefix(l.err.Error(), "read image "+s.Path+": ")
			d.Skip(s.Name, reason)
			broken = append(broken, fmt.Sprintf("%s (%s)", s.Name, reason))
			continue
		}
		kept, files, pixels = append(kept, s), append(files, l.file), append(pixels, l.pixels)
	}
	if len(kept) == 0 && len(broken) > 0 {
		return nil, fmt.Errorf("read data %s: none of the %d images can be decoded: %s", c.Data, len(broken), datasets.Names(broken))
	}
	if len(broken) > 0 {
		d.Warn("cannot be decoded, not counted here: %d of %d images: %s", len(broken), len(d.Samples), datasets.Names(broken))
	}
	d.Samples = kept
	d.Sort()
	if !c.Quick {
		d.WarnOfEqualPixels(files, pixels)
	}
	var out []CheckCopy
	for _, p := range d.Copies(pixels) {
		copied := CheckCopy{Files: [2]string{d.Samples[p.A].Name, d.Samples[p.B].Name}, Same: "pixels", Leak: p.Leak, Differ: p.Differ}
		if files[p.A] == files[p.B] {
			copied.Same = "file"
		}
		out = append(out, copied)
	}
	return out, nil
}

// lookAt reads one image; a quick look takes the file for its pixels.
func lookAt(decoder *cv.Decoder, im *vision.Image, path string, quick bool) (l looked) {
	data, err := cv.ReadFile(path)
	if err != nil {
		return looked{err: err}
	}
	l.file = sha256.Sum256(data)
	l.pixels = l.file
	if quick {
		return l
	}
	if l.err = decoder.Decode(im, data); l.err != nil {
		return l
	}
	h := sha256.New()
	var size [16]byte
	binary.LittleEndian.PutUint64(size[:8], uint64(im.W))
	binary.LittleEndian.PutUint64(size[8:], uint64(im.H))
	h.Write(size[:])
	h.Write(im.Pix)
	h.Sum(l.pixels[:0])
	return l
}

// workersFor is how many goroutines share n things; 0 asks for one per processor.
func workersFor(workers, n int) int {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return max(min(workers, n), 1)
}

// inParallel calls f with 0 … n−1 on so many goroutines, and tells it which of
// them it is on. The first error ends it.
func inParallel(ctx context.Context, n, workers int, f func(worker, i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[w] = f(w, i); errs[w] != nil {
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return errors.Join(errs...)
}
