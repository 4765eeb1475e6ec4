// Package imagefolder reads labelled images from folders and tables. The
// formats are described in docs/format/imagefolder.md.
package imagefolder

import (
	"fmt"
	"os"
	"path/filepath"
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
	common  datasets.Options // opt with its defaults
	entries []entry
	multi   bool
	// declared are classes that exist even without an image: class folders,
	// columns of a multi-label table.
	declared []string
	set      *datasets.Dataset
}

func (r *reader) warn(format string, a ...any) {
	r.set.Warn(format, a...)
}

func (r *reader) skip(name, reason string) {
	r.set.Skip(name, reason)
}

// Open reads root: a folder with a table (metadata.csv, labels.csv), with
// split folders, or with class folders; or a table itself.
//
// Files that cannot be used are left out, counted and named in the data set's
// Skipped and Warnings. What makes the whole set doubtful is an error: a label
// that is not in opt.Classes, a group on both sides of a split, no image.
func Open(root string, opt Options) (*datasets.Dataset, error) {
	common, err := datasets.Options{Val: opt.Val, Test: opt.Test, Seed: opt.Seed, Fraction: opt.Fraction}.Check(root)
	if err != nil {
		return nil, err
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
	r := &reader{root: root, opt: opt, common: common, set: &datasets.Dataset{Root: root}}
	if r.opt.Table == "" {
		for _, name := range []string{"metadata.csv", "labels.csv"} {
			if p := filepath.Join(root, name); datasets.IsFile(p) {
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
