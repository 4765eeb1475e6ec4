package coco

import (
	"fmt"
	"os"

	"github.com/vislora/vislora/datasets"
)

// assembly makes a draft of annotation files.
type assembly struct {
	draft   *datasets.Draft
	finder  *finder
	classes *classes
}

// read adds one annotation file.
func (a *assembly) read(s source) error {
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("read COCO annotations: %w", err)
	}
	defer f.Close()
	content, err := decode(f, s.name, &a.draft.Problems)
	if err != nil {
		return fmt.Errorf("read COCO annotations %s: %w", s.path, err)
	}
	folders := a.finder.folders(s)
	a.add(s, content, func(name string) (string, error) { return a.finder.find(name, folders) })
	return nil
}

// add joins the lists of a file; where finds an image.
func (a *assembly) add(s source, f *file, where func(name string) (string, error)) {
	p := &a.draft.Problems
	if len(f.categories) == 0 {
		f.categories = invented(f)
		if len(f.categories) > 0 {
			a.draft.Set.Warn("%s has no categories: the classes are called by their numbers", s.name)
		}
	}
	of := a.classes.add(s.name, f.categories)
	at := a.images(s, f.images, where)

	first := map[int64]*annotation{}
	for i := range f.annotations {
		n := &f.annotations[i]
		o := &n.object
		image, ok := at[n.image]
		note := func(k datasets.Kind, what string) {
			p.Add(k, func() datasets.Problem {
				q := datasets.Problem{Source: s.name, Image: new(n.image), Annotations: []int64{o.ID}, What: what, Place: fmt.Sprintf("%s: image %d: box %d", s.name, n.image, o.ID)}
				if ok && image >= 0 {
					q.File = a.draft.Images[image].Name
				}
				return q
			})
		}
		if !ok {
			note(kindOtherImage, "")
			continue
		}
		class, known := of[n.category]
		if !known {
			note(kindOtherClass, fmt.Sprintf("category %d", n.category))
			continue
		}
		if was := first[o.ID]; was == nil {
			first[o.ID] = n
		} else if was.image == n.image && was.category == n.category && was.object.Box == o.Box {
			note(kindTwice, "")
			continue
		} else {
			note(kindSameID, "")
		}
		if n.flaw != "" {
			note(kindMask, n.flaw)
		}
		if image < 0 {
			continue // its file was skipped
		}
		o.Class = class
		im := &a.draft.Images[image]
		im.Objects = append(im.Objects, *o)
	}
}

// images enters the images of a file and says where each id is; −1 has no file.
func (a *assembly) images(s source, list []image, where func(name string) (string, error)) map[int64]int {
	d := a.draft
	at := make(map[int64]int, len(list))
	names := make(map[int64]string, len(list))
	byPath := make(map[string]int, len(list))
	for _, im := range list {
		if was, ok := names[im.id]; ok {
			d.Problems.Add(kindImageTwice, func() datasets.Problem {
				return datasets.Problem{Source: s.name, File: im.name, Image: new(im.id), Place: s.name, What: fmt.Sprintf("image %d is %s and %s", im.id, was, im.name)}
			})
			continue
		}
		names[im.id] = im.name
		path, err := where(im.name)
		if err != nil {
			at[im.id] = -1
			d.Set.Skip(im.name, fmt.Sprintf("%s: image %d: %v", s.name, im.id, err))
			continue
		}
		if first, ok := byPath[path]; ok {
			at[im.id] = first
			d.Problems.Add(kindFileTwice, func() datasets.Problem {
				return datasets.Problem{Source: s.name, File: im.name, Image: new(im.id), Place: s.name, What: fmt.Sprintf("images %d and %d are %s", d.Images[first].ID, im.id, im.name)}
			})
			continue
		}
		byPath[path], at[im.id] = len(d.Images), len(d.Images)
		d.Images = append(d.Images, datasets.DraftImage{
			Path: path, Name: datasets.Relative(d.Set.Root, path), Split: s.split, Source: s.name, ID: im.id, W: im.w, H: im.h,
		})
	}
	return at
}

// finish numbers the classes.
func (a *assembly) finish() {
	names, ids, to := a.classes.sorted()
	a.draft.Set.Classes, a.draft.Set.CategoryIDs = names, ids
	for i := range a.draft.Images {
		list := a.draft.Images[i].Objects
		for k := range list {
			list[k].Class = to[list[k].Class]
		}
	}
}

// invented are categories for a file that lists none.
func invented(f *file) []category {
	var out []category
	seen := map[int64]bool{}
	for _, n := range f.annotations {
		if !seen[n.category] {
			seen[n.category] = true
			out = append(out, category{n.category, fmt.Sprint(n.category)})
		}
	}
	return out
}
