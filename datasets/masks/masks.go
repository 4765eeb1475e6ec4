// Package masks reads images with the class of every pixel: an image and a PNG
// of the same size whose values are the classes. The layouts and rules are
// described in docs/format/masks.md.
package masks

import (
	"fmt"
	"os"

	"github.com/vislora/vislora/datasets"
)

// Ignore is the class of pixels that are neither learnt nor counted.
const Ignore = 255

// Set is a data set whose masks can be read. Labels of its samples are the
// classes that their masks hold; CategoryIDs are the values that stand for the
// classes in the files.
type Set struct {
	*datasets.Dataset

	table *table // nil when the masks are painted from objects
}

// Detects tells whether path is a folder, or a data.yaml in one, where masks
// lie beside images. It goes by names and opens no image.
func Detects(path string) bool {
	root, err := rootOf(path)
	if err != nil {
		return false
	}
	l, err := find(root)
	return err != nil || len(l.parts) > 0
}

// Open reads a folder, or a data.yaml, of which the keys path and names count.
// Every mask is decoded once.
//
// Images and masks that cannot be used are left out, counted and named in the
// data set's Skipped and Warnings: a mask that is missing, has another size or a
// value that is no class, colours without a colour map.
func Open(path string, opt datasets.Options) (*Set, error) {
	opt, err := opt.Check(path)
	if err != nil {
		return nil, err
	}
	root, err := rootOf(path)
	if err != nil {
		return nil, err
	}
	l, err := find(root)
	if err != nil {
		return nil, err
	}
	if len(l.parts) == 0 {
		return nil, fmt.Errorf("read data %s: there are no masks: put images/ and masks/ into train/ and val/ or side by side, or x_mask.png beside x.jpg (docs/format/masks.md)", path)
	}
	r := &reader{set: &datasets.Dataset{Root: root, Warnings: l.warnings}, opt: opt}
	r.problems.All = opt.EveryProblem
	if err := r.names(path, l); err != nil {
		return nil, err
	}
	for _, p := range l.parts {
		if err := r.pair(p); err != nil {
			return nil, err
		}
	}
	return r.finish()
}

// rootOf is the folder that a path means.
func rootOf(path string) (string, error) {
	if datasets.IsFile(path) && datasets.IsConfig(path) {
		c, err := datasets.ReadConfig(path)
		if err != nil {
			return "", err
		}
		return c.Root(), nil
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("read data: %w", err)
	}
	if !datasets.IsDir(path) {
		return "", fmt.Errorf("read data %s: it is neither a folder nor a .yaml file", path)
	}
	return path, nil
}
