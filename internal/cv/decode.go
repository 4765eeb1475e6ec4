package cv

import (
	"fmt"
	"os"

	"github.com/vislora/vislora/vision"
)

// maxFile is the largest image file that is read into memory.
const maxFile = 1 << 30

// Decode decodes into dst, whose memory it reuses: 8-bit RGB with EXIF's
// orientation applied, 16-bit values cut to their high byte, alpha dropped
// (not composited), grey repeated, palettes looked up.
//
// A Decoder belongs to one goroutine and is closed when it is done.
func (d *Decoder) Decode(dst *vision.Image, data []byte) error {
	h, err := ReadHeader(data)
	if err != nil {
		return err
	}
	return d.decode(dst, data, h)
}

// DecodeFile is [Decoder.Decode] for a file, named in every error.
func (d *Decoder) DecodeFile(dst *vision.Image, path string) error {
	data, err := ReadFile(path)
	if err != nil {
		return err
	}
	if err := d.Decode(dst, data); err != nil {
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
func ReadFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("read image %s: it is not a file", path)
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("read image %s: %d MB, the limit is %d MB", path, st.Size()>>20, maxFile>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	return data, nil
}
