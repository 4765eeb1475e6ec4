// Package imagefolder reads labelled images from folders and tables. The
// formats are described in docs/format/imagefolder.md.
package imagefolder

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// Options say how a data set is read. The zero value is ready.
type Options struct {
	// Val and Test are the shares of an automatic split: Val defaults to 0.2
	// (below 0: none), Test to none.
	Val, Test float64
	// Seed decides the automatic split and the fraction.
	Seed uint64
	// Fraction keeps this share of the training images; 0 keeps all.
	Fraction float64
	// Classes is the list of classes that labels have to be in, in the order
	// that a model counts them. Empty: what is found, sorted.
	Classes []string
	// Table is the CSV file; default metadata.csv, then labels.csv, in root.
	Table string
	// Workers read the files; 0 is one per processor.
	Workers int
}

// entry is one image as the folders or the table describe it.
type entry struct {
	path, name string // name: relative to the root, with slashes
	labels     []string
	split      string
	group      string
}

// reader collects what one Open finds.
type reader struct {
	root    string
	opt     Options
	entries []entry
	multi   bool
	// declared are classes that exist even without an image: class folders,
	// columns of a multi-label table.
	declared []string
	set      *datasets.Dataset
}

func (r *reader) warn(format string, a ...any) {
	r.set.Warnings = append(r.set.Warnings, fmt.Sprintf(format, a...))
}

func (r *reader) skip(name, reason string) {
	r.set.Skipped = append(r.set.Skipped, datasets.Skipped{Name: name, Reason: reason})
}

// Open reads root: a folder with a table (metadata.csv, labels.csv), with
// split folders, or with class folders; or a table itself.
//
// Files that cannot be used are left out, counted and named in the data set's
// Skipped and Warnings. What makes the whole set doubtful is an error: a label
// that is not in opt.Classes, a group on both sides of a split, no image.
func Open(root string, opt Options) (*datasets.Dataset, error) {
	if opt.Val == 0 {
		opt.Val = .2
	}
	opt.Val = max(opt.Val, 0)
	if opt.Test < 0 || opt.Val+opt.Test >= 1 {
		return nil, fmt.Errorf("split data %s: %v for val and %v for test leave nothing to train on", root, opt.Val, opt.Test)
	}
	if opt.Fraction == 0 {
		opt.Fraction = 1
	}
	if !(opt.Fraction > 0 && opt.Fraction <= 1) {
		return nil, fmt.Errorf("read data %s: the fraction is %v: use a share above 0, at most 1", root, opt.Fraction)
	}
	st, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	if !st.IsDir() {
		if !strings.EqualFold(filepath.Ext(root), ".csv") {
			return nil, fmt.Errorf("read data %s: it is neither a folder nor a .csv file", root)
		}
		opt.Table, root = root, filepath.Dir(root)
	}
	r := &reader{root: root, opt: opt, set: &datasets.Dataset{Root: root}}
	if r.opt.Table == "" {
		for _, name := range []string{"metadata.csv", "labels.csv"} {
			if p := filepath.Join(root, name); isFile(p) {
				r.opt.Table = p
				break
			}
		}
	}
	if r.opt.Table != "" {
		err = r.readTable(r.opt.Table)
	} else {
		err = r.readFolders()
	}
	if err != nil {
		return nil, err
	}
	return r.finish()
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// splitName is train, val or test for the words that people use; "" for others.
func splitName(s string) string {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "train", "training":
		return datasets.Train
	case "val", "valid", "validation", "dev":
		return datasets.Val
	case "test", "testing":
		return datasets.Test
	}
	return ""
}

var extensions = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"}

func isImage(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// hidden are files and folders that operating systems leave behind.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.EqualFold(name, "Thumbs.db") ||
		strings.EqualFold(name, "desktop.ini") || name == "__MACOSX"
}
