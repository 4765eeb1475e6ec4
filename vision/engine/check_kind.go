package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/coco"
	"github.com/vislora/vislora/datasets/imagefolder"
	"github.com/vislora/vislora/datasets/masks"
	"github.com/vislora/vislora/datasets/voc"
	"github.com/vislora/vislora/datasets/yolo"
	"github.com/vislora/vislora/vision"
)

// kind is what a data set can be taken for.
type kind struct {
	task   vision.Task
	format string
}

// The formats, as they are told.
var (
	kindFolder = kind{vision.Classify, "image folder"}
	kindTable  = kind{vision.Classify, "table"}
	kindCOCO   = kind{vision.Detect, "COCO"}
	kindYOLO   = kind{vision.Detect, "YOLO"}
	kindVOC    = kind{vision.Detect, "Pascal VOC"}
	kindMasks  = kind{vision.Segment, "masks"}
)

// openedData is a data set with what it was taken for.
type openedData struct {
	kind
	also  []vision.Task
	data  *datasets.Dataset
	masks *masks.Set // of a segmentation task
}

// openAny reads a data set for the task that is asked for, or finds out what it
// is.
func openAny(c CheckConfig) (*openedData, error) {
	if _, err := os.Stat(c.Data); err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	likely := kindsOf(c.Data)
	if c.Task != "" {
		likely = []kind{kindFor(vision.Task(c.Task), c.Data)}
	}
	var first error
	for _, k := range likely {
		o, err := k.open(c)
		switch {
		case err == nil && first != nil && k.task == vision.Classify && len(oddClasses(o.data)) > 0:
			// Not classes, but what the likelier kind has failed to read.
		case err == nil:
			if c.Task == "" {
				o.also = alsoFor(k.task, c.Data)
			}
			return o, nil
		case first == nil:
			first = err
		}
	}
	return nil, first
}

// kindsOf is what lies at a path: the likeliest first, and behind it what else
// may be meant where the signs are weak.
func kindsOf(path string) []kind {
	switch {
	case coco.Detects(path):
		return []kind{kindCOCO}
	case yolo.Detects(path) && masks.Detects(path):
		return []kind{kindYOLO, kindMasks} // the data.yaml of either names folders
	case yolo.Detects(path):
		return []kind{kindYOLO}
	case voc.Detects(path):
		return []kind{kindVOC}
	case masks.Detects(path) && !hasMaskFolder(path):
		return []kind{kindMasks, folderKind(path)} // 1.jpg and 1.png may be two photographs
	case masks.Detects(path):
		return []kind{kindMasks}
	}
	return []kind{folderKind(path)}
}

// kindFor is how a task reads a path.
func kindFor(t vision.Task, path string) kind {
	k := folderKind(path)
	switch t {
	case vision.Detect, vision.Instance:
		// Without any sign the reader's error is that of the task.
		k = kind{format: "boxes"}
		for _, f := range []struct {
			detects func(string) bool
			kind    kind
		}{{coco.Detects, kindCOCO}, {yolo.Detects, kindYOLO}, {voc.Detects, kindVOC}} {
			if f.detects(path) {
				k = f.kind
				break
			}
		}
	case vision.Segment:
		if k = kindMasks; !masks.Detects(path) {
			k = kindCOCO
		}
	}
	k.task = t
	return k
}

// alsoFor are the tasks that a data set has other labels for.
func alsoFor(t vision.Task, path string) (out []vision.Task) {
	if t != vision.Segment && hasMaskFolder(path) && masks.Detects(path) {
		out = append(out, vision.Segment)
	}
	if t == vision.Segment && (yolo.Detects(path) || voc.Detects(path)) {
		out = append(out, vision.Detect)
	}
	if t != vision.Classify && folderKind(path) == kindTable {
		out = append(out, vision.Classify)
	}
	return out
}

// folderKind tells a table from class folders.
func folderKind(path string) kind {
	for _, p := range []string{path, filepath.Join(path, "metadata.csv"), filepath.Join(path, "labels.csv")} {
		if strings.EqualFold(filepath.Ext(p), ".csv") && datasets.IsFile(p) {
			return kindTable
		}
	}
	return kindFolder
}

// hasMaskFolder tells whether a folder, in it or in one of its folders, is called
// as those of masks are.
func hasMaskFolder(path string) bool {
	if datasets.IsConfig(path) {
		path = filepath.Dir(path)
	}
	for _, in := range append([]string{path}, foldersIn(path)...) {
		if slices.ContainsFunc(foldersIn(in), func(p string) bool {
			return slices.Contains([]string{"masks", "mask", "labels", "label", "annotations", "annotation", "gt"}, strings.ToLower(filepath.Base(p)))
		}) {
			return true
		}
	}
	return false
}

func foldersIn(dir string) (out []string) {
	items, _ := os.ReadDir(dir)
	for _, it := range items {
		if p := filepath.Join(dir, it.Name()); datasets.IsDir(p) && !datasets.IsHidden(it.Name()) {
			out = append(out, p)
		}
	}
	return out
}

// open reads a path as this kind.
func (k kind) open(c CheckConfig) (*openedData, error) {
	out := &openedData{kind: k}
	o := datasets.Options{Seed: c.Seed, Workers: c.Workers, EveryProblem: true}
	var err error
	switch k.task {
	case vision.Detect, vision.Instance:
		out.data, err = openDetection(c.Data, o)
	case vision.Segment:
		if out.masks, err = openMasks(c.Data, o); err == nil {
			out.data = out.masks.Dataset
		}
	default:
		if !datasets.IsDir(c.Data) && folderKind(c.Data) != kindTable {
			return nil, fmt.Errorf("read data %s: it is no data set: give a folder, a table (.csv), annotations (.json) or a data.yaml", c.Data)
		}
		if out.data, err = imagefolder.Open(c.Data, imagefolder.Options{Seed: c.Seed, Workers: c.Workers}); err == nil {
			warnOfLayout(out.data, c.Data)
		}
	}
	return out, err
}

// layoutFolders are names of folders that hold parts of a data set with boxes or
// masks, and hardly ever a class.
var layoutFolders = []string{"images", "masks", "labels", "annotations", "jpegimages", "segmentationclass", "train2017", "val2017"}

// oddClasses are those called like a split or like parts of another layout.
func oddClasses(d *datasets.Dataset) (out []string) {
	for _, n := range d.Classes {
		if datasets.SplitName(n) != "" || slices.Contains(layoutFolders, strings.ToLower(n)) {
			out = append(out, n)
		}
	}
	return out
}

// warnOfLayout warns where the classes of an image folder look like the parts of
// another data set, whose annotations are absent or not readable.
func warnOfLayout(d *datasets.Dataset, path string) {
	odd := oddClasses(d)
	if len(odd) == 0 {
		return
	}
	also := ""
	items, _ := os.ReadDir(path)
	for _, it := range items {
		if strings.EqualFold(filepath.Ext(it.Name()), ".json") {
			also = fmt.Sprintf("; %s is not known as one: give it as PATH, and what is wrong with it is told", it.Name())
			break
		}
	}
	d.Warn("taken for class folders: %s: if these are images with boxes or masks, the annotations were not found (docs/format)%s", datasets.Names(odd), also)
}
