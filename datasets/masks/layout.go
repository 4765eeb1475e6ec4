package masks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// The names of folders, in lower case; the first that holds something counts.
var (
	imageFolders = []string{"images", "image", "imgs", "img"}
	maskFolders  = []string{"masks", "mask", "labels", "label", "annotations", "annotation", "gt"}
)

// part is one folder of images with one of masks; the same folder twice when
// they lie side by side.
type part struct {
	images, masks string
	split         string // "" when nothing tells it
}

// layout is how a data set lies on disk.
type layout struct {
	parts    []part
	warnings []string
}

func (l *layout) warn(format string, a ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, a...))
}

// find looks for <split>/images and <split>/masks (or both side by side in
// <split>), for images/<split> and masks/<split>, images and masks, and at last
// for masks beside images anywhere. No part and no error: there are none.
func find(root string) (*layout, error) {
	l := &layout{}
	splits, err := splitFolders(root)
	if err != nil {
		return nil, err
	}
	var bare []string
	for _, s := range order {
		dir := splits[s]
		if dir == "" {
			continue
		}
		switch p, ok := l.within(root, dir); {
		case ok:
			p.split = s
			l.parts = append(l.parts, p)
		case pairsBeside(dir):
			l.parts = append(l.parts, part{dir, dir, s})
		default:
			bare = append(bare, filepath.Base(dir))
		}
	}
	if len(l.parts) > 0 {
		if len(bare) > 0 {
			l.warn("not used, there are no masks: %s", datasets.Names(bare))
		}
		return l, nil
	}
	if p, ok := l.within(root, root); ok {
		return l, l.divide(root, p)
	}
	if pairsBeside(root) {
		l.parts = []part{{root, root, ""}}
	}
	return l, nil
}

var order = []string{datasets.Train, datasets.Val, datasets.Test}

// within finds the folders of images and masks in a folder.
func (l *layout) within(root, dir string) (part, bool) {
	images := named(dir, imageFolders, datasets.IsImage)
	masks := named(dir, maskFolders, isPNG)
	if len(images) == 0 || len(masks) == 0 {
		return part{}, false
	}
	if len(masks) > 1 {
		l.warn("not used: %s: the masks are those in %s", datasets.Relative(root, masks[1]), datasets.Relative(root, masks[0]))
	}
	return part{images: images[0], masks: masks[0]}, true
}

// divide looks for folders of the splits in images and masks.
func (l *layout) divide(root string, p part) error {
	images, err := splitFolders(p.images)
	if err != nil {
		return err
	}
	if len(images) == 0 {
		l.parts = []part{p}
		return nil
	}
	masks, err := splitFolders(p.masks)
	if err != nil {
		return err
	}
	for _, s := range order {
		switch {
		case images[s] != "" && masks[s] != "":
			l.parts = append(l.parts, part{images[s], masks[s], s})
		case images[s] != "":
			l.warn("not used, there are no masks: %s", datasets.Relative(root, images[s]))
		case masks[s] != "":
			l.warn("not used, there are no images: %s", datasets.Relative(root, masks[s]))
		}
	}
	return nil
}

// splitFolders are the folders that are called like a split; two for one are an
// error.
func splitFolders(dir string) (map[string]string, error) {
	items, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	out := map[string]string{}
	for _, it := range items {
		at := filepath.Join(dir, it.Name())
		s := datasets.SplitName(it.Name())
		if s == "" || !datasets.IsDir(at) {
			continue
		}
		if was := out[s]; was != "" {
			return nil, fmt.Errorf("read data %s: %s and %s are both the %s split: keep one", dir, filepath.Base(was), it.Name(), s)
		}
		out[s] = at
	}
	return out, nil
}

// named are the folders of a list that hold a file, in the order of the list.
func named(dir string, list []string, of func(string) bool) []string {
	items, _ := os.ReadDir(dir)
	var out []string
	for _, n := range list {
		for _, it := range items {
			at := filepath.Join(dir, it.Name())
			if strings.EqualFold(it.Name(), n) && datasets.IsDir(at) && holds(at, of, 4) {
				out = append(out, at)
			}
		}
	}
	return out
}

// holds tells whether a file lies in a folder or so deep below it.
func holds(dir string, of func(string) bool, depth int) bool {
	items, _ := os.ReadDir(dir)
	if slices.ContainsFunc(items, func(it os.DirEntry) bool { return !it.IsDir() && !datasets.IsHidden(it.Name()) && of(it.Name()) }) {
		return true
	}
	for _, it := range items {
		if it.IsDir() && depth > 1 && !datasets.IsHidden(it.Name()) && holds(filepath.Join(dir, it.Name()), of, depth-1) {
			return true
		}
	}
	return false
}

func isPNG(name string) bool { return strings.EqualFold(filepath.Ext(name), ".png") }
