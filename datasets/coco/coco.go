// Package coco reads images with objects from COCO annotation files. The
// layouts and rules are described in docs/format/coco.md.
package coco

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// Detects tells whether path is a data set in COCO's format: a .json file, a
// folder with annotation files, or a data.yaml that names some.
func Detects(path string) bool {
	if datasets.IsFile(path) {
		return isJSON(path) || datasets.IsConfig(path) && namesJSON(path)
	}
	if s, _, err := find(path); err != nil || len(s) > 0 {
		return datasets.IsDir(path)
	}
	return false
}

// Open reads a folder, an annotation file or a data.yaml. Classes are in the
// order of their category ids.
//
// Files, images and annotations that cannot be used are left out, counted and
// named in the data set's Skipped and Warnings. JSON that is malformed is an
// error that names the byte.
func Open(path string, opt datasets.Options) (*datasets.Dataset, error) {
	opt, err := opt.Check(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	sources, l, err := find(path)
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("read data %s: there is no COCO annotation file: put instances_train.json and instances_val.json there or in annotations/, or give the .json file itself", path)
	}
	set := &datasets.Dataset{Root: l.root, ImageIDs: true}
	for _, f := range l.unused {
		set.Warn("not used: %s: its name tells no split, others do", f)
	}
	if len(opt.Classes) == 0 {
		opt.Classes = l.classes
	}
	d := &datasets.Draft{Set: set, Options: opt, Where: func(im *datasets.DraftImage, o *vision.Object) string {
		return fmt.Sprintf("%s: image %d: box %d", im.Source, im.ID, o.ID)
	}}
	d.Problems.All = opt.EveryProblem
	a := &assembly{draft: d, finder: newFinder(l.root), classes: newClasses(&d.Problems)}
	for _, s := range sources {
		if err := a.read(s); err != nil {
			return nil, err
		}
	}
	a.finish()
	return d.Finish()
}

func isJSON(name string) bool { return strings.EqualFold(filepath.Ext(name), ".json") }
