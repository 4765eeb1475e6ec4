package coco

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// finder finds the images that annotation files mean.
type finder struct {
	root string
	// byLast is every image below root by the last element of its name; made
	// when one is not where it should be.
	byLast map[string][]string
}

func newFinder(root string) *finder { return &finder{root: root} }

// folders are where the images of a source may lie, the likeliest first.
func (f *finder) folders(s source) []string {
	at := filepath.Dir(s.path)
	names := slices.Clone(s.words)
	names = append(names, map[string][]string{
		datasets.Train: {"train", "training", "train2017", "train2014"},
		datasets.Val:   {"val", "valid", "validation", "dev", "val2017", "val2014"},
		datasets.Test:  {"test", "testing", "test2017", "test2014"},
	}[s.split]...)
	var out []string
	add := func(elem ...string) {
		if d := filepath.Join(elem...); datasets.IsDir(d) && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	if at != f.root && !strings.EqualFold(filepath.Base(at), "annotations") {
		add(at) // Roboflow: beside the file
		add(at, "images")
	}
	for _, n := range names {
		add(f.root, n, "images")
		add(f.root, "images", n)
		add(f.root, n)
	}
	add(f.root, "images")
	add(f.root, "JPEGImages")
	add(f.root)
	add(at)
	add(at, "images")
	return out
}

var errAbsent = errors.New("there is no such file")

// find looks for an image in the folders, with the name as it is written and
// without its folders, and at last for its last element anywhere.
func (f *finder) find(name string, folders []string) (string, error) {
	slashed := filepath.FromSlash(strings.ReplaceAll(name, `\`, "/"))
	last := filepath.Base(slashed)
	if last == "." || last == string(filepath.Separator) || strings.ContainsRune(name, 0) {
		return "", errAbsent
	}
	if filepath.IsAbs(slashed) && datasets.IsFile(slashed) {
		return slashed, nil
	}
	tries := []string{slashed}
	if last != slashed {
		tries = append(tries, last)
	}
	for _, n := range tries {
		for _, d := range folders {
			if p := filepath.Join(d, n); datasets.IsFile(p) {
				return p, nil
			}
		}
	}
	if f.byLast == nil {
		f.byLast = map[string][]string{}
		images, _, err := datasets.List(f.root)
		if err != nil {
			return "", err
		}
		for _, n := range images {
			b := filepath.Base(filepath.FromSlash(n))
			f.byLast[b] = append(f.byLast[b], n)
		}
	}
	switch same := f.byLast[last]; len(same) {
	case 0:
		return "", errAbsent
	case 1:
		return filepath.Join(f.root, filepath.FromSlash(same[0])), nil
	default:
		return "", fmt.Errorf("%d files have that name: %s: write it with its folder", len(same), datasets.Names(same))
	}
}
