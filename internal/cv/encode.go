package cv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/vision"
)

// DefaultQuality is the JPEG quality that [WriteFile] uses.
const DefaultQuality = 92

// EncodeJPEG is im as a JPEG file of a quality from 1 to 100.
func EncodeJPEG(im *vision.Image, quality int) ([]byte, error) {
	quality = min(max(quality, 1), 100)
	if out, ok := writeJPEG(im, quality); ok {
		return out, nil
	}
	return encodeJPEG(im, quality)
}

// WriteFile encodes by the extension, .png, .jpg or .jpeg. The file appears
// under its name only when it is complete.
func WriteFile(path string, im *vision.Image) error {
	var data []byte
	var err error
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".png":
		data, err = EncodePNG(im)
	case ".jpg", ".jpeg":
		data, err = EncodeJPEG(im, DefaultQuality)
	default:
		return fmt.Errorf("write image %s: the extension is %q: use .png, .jpg or .jpeg", path, ext)
	}
	if err != nil {
		return fmt.Errorf("write image %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".vislora-*")
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	_, err = f.Write(data)
	if e := f.Chmod(0o644); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}
