// Package voc reads images with objects from Pascal VOC's XML files, one for
// each image. The layouts and rules are described in docs/format/coco.md.
package voc

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// Detects tells whether a folder has Annotations/*.xml, perhaps in VOC2012/ or
// VOCdevkit/VOC2012/, or XML files beside its images.
func Detects(path string) bool { return datasets.IsDir(path) && len(find(path)) > 0 }

// Open reads a folder. The classes are sorted by name; their category ids
// count from 1, and so do the images in the order of their names.
//
// The coordinates of VOC are 1-based and inclusive: a box from xmin to xmax
// covers the pixels from xmin−1 up to xmax. Objects marked as difficult are
// objects like the others, not crowds.
//
// Files and objects that cannot be used are left out, counted and named in the
// data set's Skipped and Warnings.
func Open(path string, opt datasets.Options) (*datasets.Dataset, error) {
	opt, err := opt.Check(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	found := find(path)
	if len(found) == 0 {
		return nil, fmt.Errorf("read data %s: there is no Annotations folder with .xml files, nor are there any beside images", path)
	}
	r := &reader{set: &datasets.Dataset{Root: path}, number: map[string]int{}}
	r.draft = &datasets.Draft{Set: r.set, Options: opt, Where: func(im *datasets.DraftImage, o *vision.Object) string {
		return fmt.Sprintf("%s: object %d", im.Source, o.ID)
	}}
	r.draft.Problems.All = opt.EveryProblem
	for _, p := range found {
		if err := r.part(p); err != nil {
			return nil, err
		}
	}
	return r.finish()
}

// reader collects what one Open finds.
type reader struct {
	draft  *datasets.Draft
	set    *datasets.Dataset
	names  []string
	number map[string]int
}

// class is the number of a name for now; finish sorts them.
func (r *reader) class(name string) int {
	c, ok := r.number[name]
	if !ok {
		c = len(r.names)
		r.number[name] = c
		r.names = append(r.names, name)
	}
	return c
}

// finish sorts the classes and numbers the images.
func (r *reader) finish() (*datasets.Dataset, error) {
	d := r.draft
	r.set.Classes = slices.Sorted(slices.Values(r.names))
	to := make([]int, len(r.names))
	for at, name := range r.set.Classes {
		to[r.number[name]] = at
		r.set.CategoryIDs = append(r.set.CategoryIDs, int64(at)+1)
	}
	slices.SortFunc(d.Images, func(a, b datasets.DraftImage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Split, b.Split))
	})
	for i := range d.Images {
		d.Images[i].ID = int64(i) + 1
		for k := range d.Images[i].Objects {
			o := &d.Images[i].Objects[k]
			o.Class = to[o.Class]
		}
	}
	return d.Finish()
}

// name is a file for people.
func (r *reader) name(file string) string { return datasets.Relative(r.set.Root, file) }

// part is one folder of XML files.
type part struct {
	xml    string   // the folder of the XML files
	images []string // where the images may lie
	sets   string   // ImageSets/Main; "" when there is none
	split  string   // of all of them
}

// find lists the parts of a data set.
func find(root string) []part {
	at := []string{root}
	for _, dir := range []string{root, filepath.Join(root, "VOCdevkit")} {
		items, _ := os.ReadDir(dir)
		for _, it := range items {
			if strings.HasPrefix(it.Name(), "VOC20") {
				at = append(at, filepath.Join(dir, it.Name()))
			}
		}
	}
	var out []part
	for _, dir := range at {
		a := filepath.Join(dir, "Annotations")
		if !hasXML(a) {
			continue
		}
		p := part{xml: a, images: []string{filepath.Join(dir, "JPEGImages"), filepath.Join(dir, "images"), dir, a}}
		for _, sets := range []string{filepath.Join(dir, "ImageSets", "Main"), filepath.Join(dir, "ImageSets")} {
			if datasets.IsFile(filepath.Join(sets, "train.txt")) || datasets.IsFile(filepath.Join(sets, "val.txt")) || datasets.IsFile(filepath.Join(sets, "test.txt")) {
				p.sets = sets
				break
			}
		}
		out = append(out, p)
	}
	if len(out) > 0 {
		return out
	}
	// Roboflow and labelImg: beside the images, perhaps in folders of splits.
	items, _ := os.ReadDir(root)
	for _, it := range items {
		dir := filepath.Join(root, it.Name())
		if split := datasets.SplitName(it.Name()); split != "" && hasXML(dir) {
			out = append(out, part{xml: dir, images: []string{dir}, split: split})
		}
	}
	if len(out) == 0 && hasXML(root) {
		out = append(out, part{xml: root, images: []string{root, filepath.Join(root, "images"), filepath.Join(root, "JPEGImages")}})
	}
	return out
}
