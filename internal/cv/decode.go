package cv

import (
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"slices"

	"github.com/vislora/vislora/vision"
)

// maxFile is the largest image file that is read into memory.
const maxFile = 1 << 30

// Decoder decodes and holds the memory that it reuses. It belongs to one
// goroutine and is closed when it is done.
type Decoder struct {
	native nativeDecoder
	jpeg   jpegReader
	data   []byte
	whole  vision.Image
}

// NewDecoder makes a Decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Close frees memory that Go's collector does not see.
func (d *Decoder) Close() {
	d.native.close()
	d.jpeg.close()
}

// Decode decodes into dst, whose memory it reuses: 8-bit RGB with EXIF's
// orientation applied, 16-bit values cut to their high byte, alpha dropped
// (not composited), grey repeated, palettes looked up.
func (d *Decoder) Decode(dst *vision.Image, data []byte) error {
	h, err := ReadHeader(data)
	if err != nil {
		return err
	}
	return d.decode(dst, data, h)
}

func (d *Decoder) decode(dst *vision.Image, data []byte, h Header) error {
	if d.jpeg.read(dst, data, h, image.Rect(0, 0, h.W, h.H), 1) {
		return nil
	}
	return d.native.decode(dst, data, h)
}

// DecodeFile is [Decoder.Decode] for a file, named in every error.
func (d *Decoder) DecodeFile(dst *vision.Image, path string) error {
	return d.file(path, func() error { return d.Decode(dst, d.data) })
}

// DecodeRegion decodes what choose takes of a picture of w×h pixels: a region,
// and the size that it will be resized to. Where this costs less, dst becomes
// the region made smaller by 2, 4 or 8, but never smaller than that size.
func (d *Decoder) DecodeRegion(dst *vision.Image, path string, choose func(w, h int) (region image.Rectangle, size image.Point)) error {
	return d.file(path, func() error {
		h, err := ReadHeader(d.data)
		if err != nil {
			return err
		}
		region, size := choose(h.W, h.H)
		if region, scale := reduced(region, size, h); d.jpeg.read(dst, d.data, h, region, scale) {
			return nil
		}
		if err := d.native.decode(&d.whole, d.data, h); err != nil {
			return err
		}
		cut(dst, &d.whole, region)
		return nil
	})
}

// reduced is a region in the picture made smaller by the largest scale that
// leaves it at least its size.
func reduced(r image.Rectangle, size image.Point, h Header) (image.Rectangle, int) {
	for scale := 8; scale > 1; scale /= 2 {
		small := image.Rect(r.Min.X/scale, r.Min.Y/scale, (r.Max.X+scale-1)/scale, (r.Max.Y+scale-1)/scale)
		if r.Dx() >= size.X*scale && r.Dy() >= size.Y*scale {
			return small, scale
		}
	}
	return r, 1
}

// cut copies a region of src.
func cut(dst, src *vision.Image, r image.Rectangle) {
	dst.Reset(r.Dx(), r.Dy())
	for y := range r.Dy() {
		copy(dst.Pix[3*y*r.Dx():][:3*r.Dx()], src.Pix[3*((r.Min.Y+y)*src.W+r.Min.X):])
	}
}

// file reads a file into d.data for f, and names it in f's error.
func (d *Decoder) file(path string, f func() error) (err error) {
	if d.data, err = readFile(path, d.data); err != nil {
		return err
	}
	if err := f(); err != nil {
		return fmt.Errorf("read image %s: %w", path, err)
	}
	return nil
}

// DecodeFile is [Decoder.DecodeFile] for a single image.
func DecodeFile(path string) (*vision.Image, error) {
	d := NewDecoder()
	defer d.Close()
	var im vision.Image
	if err := d.DecodeFile(&im, path); err != nil {
		return nil, err
	}
	return &im, nil
}

// ReadFile reads an image file, of at most 1 GiB.
func ReadFile(path string) ([]byte, error) { return readFile(path, nil) }

// readFile reads into the memory of data where that is large enough.
func readFile(path string, data []byte) ([]byte, error) {
	st, err := os.Stat(path) // before it is opened: a pipe would wait
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("read image %s: it is not a file", path)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("read image %s: %d MB, the limit is %d MB", path, st.Size()>>20, maxFile>>20)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	data = slices.Grow(data[:0], int(st.Size()))[:st.Size()]
	n, err := io.ReadFull(f, data)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read image: %w", err)
	}
	return data[:n], nil
}
