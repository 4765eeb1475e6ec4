// Package yolo reads images with objects from YOLO's text files, one for each
// image, and the data.yaml that goes with them. The layouts and rules are
// described in docs/format/coco.md.
package yolo

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// Detects tells whether path is a data.yaml that names folders or lists of
// images, a folder with one, or a folder with labels/*.txt.
func Detects(path string) bool {
	if datasets.IsFile(path) {
		return datasets.IsConfig(path) && namesImages(path)
	}
	if c := datasets.FindConfig(path); c != "" && namesImages(c) {
		return true
	}
	return datasets.IsDir(path) && len(labelFolders(path)) > 0
}

// Open reads a data.yaml, or a folder with images and labels. Classes are in
// the order of the data.yaml; without one in that of classes.txt, and without
// that they are called by their numbers. The category ids are these numbers,
// the images are numbered from 1 by name.
//
// Files and lines that cannot be used are left out, counted and named in the
// data set's Skipped and Warnings.
func Open(path string, opt datasets.Options) (*datasets.Dataset, error) {
	opt, err := opt.Check(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	r := &reader{set: &datasets.Dataset{Root: path}, seen: map[[2]string]bool{}, highest: -1}
	r.draft = &datasets.Draft{Set: r.set, Options: opt, Where: func(im *datasets.DraftImage, o *vision.Object) string {
		return fmt.Sprintf("%s: line %d", im.Source, o.ID)
	}}
	r.draft.Problems.All = opt.EveryProblem
	config := path
	if datasets.IsDir(path) {
		if config = datasets.FindConfig(path); config != "" && !namesImages(config) {
			config = ""
		}
	} else if !datasets.IsConfig(path) {
		return nil, fmt.Errorf("read data %s: it is neither a folder nor a .yaml file", path)
	}
	if config != "" {
		err = r.config(config)
	} else {
		err = r.folder(path)
	}
	if err != nil {
		return nil, err
	}
	return r.finish()
}

// reader collects what one Open finds.
type reader struct {
	draft *datasets.Draft
	set   *datasets.Dataset
	names []string
	// seen are the images so far, by path and split.
	seen     map[[2]string]bool
	labelled int
	// highest is the largest class so far.
	highest int
}

// finish numbers classes and images.
func (r *reader) finish() (*datasets.Dataset, error) {
	d := r.draft
	if len(d.Images) > 0 && r.labelled == 0 {
		im := &d.Images[0]
		return nil, fmt.Errorf("read data %s: none of the %d images has a label file: for %s it would be %s", r.set.Root, len(d.Images), im.Name, datasets.Relative(r.set.Root, labelFile(im.Path)))
	}
	if r.names == nil {
		for i := range r.highest + 1 {
			r.names = append(r.names, strconv.Itoa(i))
		}
		r.set.Warn("no file names the classes, they are called by their numbers: add a data.yaml with names, or a classes.txt")
	}
	r.set.Classes = r.names
	for i := range r.names {
		r.set.CategoryIDs = append(r.set.CategoryIDs, int64(i))
	}
	slices.SortFunc(d.Images, func(a, b datasets.DraftImage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Split, b.Split))
	})
	for i := range d.Images {
		d.Images[i].ID = int64(i) + 1
	}
	return d.Finish()
}

// add enters an image and reads its labels.
func (r *reader) add(path, split string) {
	key := [2]string{path, split}
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	im := datasets.DraftImage{Path: path, Name: datasets.Relative(r.set.Root, path), Split: split, Relative: true}
	file := labelFile(path)
	if beside := swapExt(path); !datasets.IsFile(file) && datasets.IsFile(beside) {
		file = beside
	}
	im.Source = datasets.Relative(r.set.Root, file)
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		r.draft.Problems.Add(kindNone, func() datasets.Problem { return datasets.Problem{File: im.Name, Place: im.Name} })
	case err != nil:
		r.set.Skip(im.Name, err.Error())
		return
	default:
		r.labelled++
		im.Objects = r.parse(data, &im)
	}
	r.draft.Images = append(r.draft.Images, im)
}

func swapExt(path string) string { return path[:len(path)-len(filepath.Ext(path))] + ".txt" }
