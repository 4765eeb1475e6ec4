package masks

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// suffixes may stand behind the image's name in that of its mask.
var suffixes = []string{"_mask", "-mask", "_masks", "_label", "-label", "_labels", "_seg", "_segmentation", "_gt"}

// entry is an image with its mask.
type entry struct {
	path, name string // name: relative to the root
	mask       string
	split      string
}

// pairing is what the files of a part have to do with each other.
type pairing struct {
	images []string            // in their order
	masks  map[string][]string // the files that may be the mask of an image
	alone  []string            // masks without an image
	// foreign are files that lie where the mask of an image should.
	foreign map[string]string
}

func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

// base takes a suffix of masks away.
func base(stem string) (string, bool) {
	for _, s := range suffixes {
		if n := len(stem) - len(s); n > 0 && strings.EqualFold(stem[n:], s) {
			return stem[:n], true
		}
	}
	return stem, false
}

// apart joins images with masks in a folder of their own: images/a/x.jpg with
// masks/a/x.png, else with masks/a/x_mask.png.
func apart(images, masks []string) *pairing {
	p := &pairing{images: images, masks: map[string][]string{}, foreign: map[string]string{}}
	byStem := map[string][]string{}
	for _, im := range images {
		byStem[stem(im)] = append(byStem[stem(im)], im)
	}
	exact := map[string]bool{}
	for _, m := range masks {
		for _, im := range byStem[stem(m)] {
			if isPNG(m) {
				exact[im] = true
				p.masks[im] = append(p.masks[im], m)
			} else {
				p.foreign[im] = m
			}
		}
	}
	for _, m := range masks {
		if !isPNG(m) || len(byStem[stem(m)]) > 0 {
			continue
		}
		b, ok := base(stem(m))
		if !ok || len(byStem[b]) == 0 || exact[byStem[b][0]] {
			p.alone = append(p.alone, m)
			continue
		}
		for _, im := range byStem[b] {
			p.masks[im] = append(p.masks[im], m)
		}
	}
	return p
}

// beside joins images with masks in the same folder: x.jpg with x.png, and x
// with x_mask.png.
func beside(files []string) *pairing {
	p := &pairing{masks: map[string][]string{}, foreign: map[string]string{}}
	byStem := map[string][]string{}
	for _, f := range files {
		byStem[stem(f)] = append(byStem[stem(f)], f)
	}
	for _, f := range files {
		var of []string
		if b, ok := base(stem(f)); ok {
			of = byStem[b]
		}
		suffixed := len(of) > 0
		if !suffixed && isPNG(f) {
			of = byStem[stem(f)]
		}
		of = slices.DeleteFunc(slices.Clone(of), func(im string) bool { return im == f || !suffixed && isPNG(im) })
		switch {
		case len(of) == 0:
			p.images = append(p.images, f)
		case !isPNG(f):
			for _, im := range of {
				p.foreign[im] = f
			}
		default:
			for _, im := range of {
				p.masks[im] = append(p.masks[im], f)
			}
		}
	}
	return p
}

// pairsBeside tells whether a mask lies beside its image somewhere below dir.
func pairsBeside(dir string) bool {
	files, _, err := datasets.List(dir)
	return err == nil && len(beside(files).masks) > 0
}

// pair enters the images of a part that have one mask.
func (r *reader) pair(p part) error {
	images, _, err := datasets.List(p.images)
	if err != nil {
		return fmt.Errorf("read data: %w", err)
	}
	pairs := &pairing{}
	if p.masks == p.images {
		pairs = beside(images)
	} else {
		masks, _, err := datasets.List(p.masks)
		if err != nil {
			return fmt.Errorf("read data: %w", err)
		}
		pairs = apart(images, masks)
	}
	name := func(dir, file string) string {
		return datasets.Relative(r.set.Root, filepath.Join(dir, filepath.FromSlash(file)))
	}
	owner := map[string]string{}
	for _, im := range pairs.images {
		e := entry{path: filepath.Join(p.images, filepath.FromSlash(im)), name: name(p.images, im), split: p.split}
		switch found := pairs.masks[im]; {
		case len(found) > 1:
			r.set.Skip(e.name, fmt.Sprintf("%d files may be its mask: %s: keep one", len(found), datasets.Names(found)))
			continue
		case len(found) == 0 && pairs.foreign[im] != "":
			r.set.Skip(e.name, fmt.Sprintf("its mask %s is no PNG: save the classes as PNG, other formats may change them", name(p.masks, pairs.foreign[im])))
			continue
		case len(found) == 0:
			r.set.Skip(e.name, "it has no mask")
			continue
		case owner[found[0]] != "":
			r.set.Skip(e.name, fmt.Sprintf("its mask %s is that of %s already", name(p.masks, found[0]), owner[found[0]]))
			continue
		default:
			owner[found[0]] = e.name
			e.mask = filepath.Join(p.masks, filepath.FromSlash(found[0]))
		}
		r.entries = append(r.entries, e)
	}
	for _, m := range pairs.alone {
		r.problems.Add(kindAlone, func() datasets.Problem {
			return datasets.Problem{Source: name(p.masks, m), Place: name(p.masks, m)}
		})
	}
	return nil
}
