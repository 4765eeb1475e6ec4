package coco

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// source is one annotation file.
type source struct {
	path, name string // name: relative to the root
	split      string // "" when nothing tells it
	// words are what the file's or folder's name calls the split: "train2017".
	words []string
}

// layout is how a data set lies on disk.
type layout struct {
	root    string
	unused  []string
	classes []string // the names of a data.yaml
}

// find lists the annotation files of a path, in the order train, val, test.
// No file and no error: there are none.
func find(path string) ([]source, *layout, error) {
	switch {
	case datasets.IsDir(path):
		return findInFolder(path)
	case datasets.IsConfig(path):
		return findInConfig(path)
	}
	root := filepath.Dir(path)
	if strings.EqualFold(filepath.Base(root), "annotations") {
		root = filepath.Dir(root)
	}
	return []source{newSource(root, path)}, &layout{root: root}, nil
}

func findInFolder(dir string) ([]source, *layout, error) {
	files := candidates(dir)
	if len(files) == 0 {
		if c := datasets.FindConfig(dir); c != "" && namesJSON(c) {
			return findInConfig(c)
		}
		return nil, &layout{root: dir}, nil
	}
	var with, without []source
	for _, f := range files {
		if s := newSource(dir, f); s.split != "" {
			with = append(with, s)
		} else {
			without = append(without, s)
		}
	}
	l := &layout{root: dir}
	if len(with) == 0 {
		if len(without) > 1 {
			return nil, nil, fmt.Errorf("read data %s: there are %d annotation files, and their names tell no split: %s: call them instances_train.json and instances_val.json, or give one of them", dir, len(without), sourceNames(without))
		}
		return without, l, nil
	}
	for _, s := range without {
		l.unused = append(l.unused, s.name)
	}
	return ordered(dir, with, l)
}

// ordered sorts by split; two files for one are an error.
func ordered(dir string, list []source, l *layout) ([]source, *layout, error) {
	var out []source
	for _, split := range []string{datasets.Train, datasets.Val, datasets.Test} {
		var same []source
		for _, s := range list {
			if s.split == split {
				same = append(same, s)
			}
		}
		if len(same) > 1 {
			return nil, nil, fmt.Errorf("read data %s: there are %d annotation files for the %s split: %s: keep one, or give a data.yaml that names them", dir, len(same), split, sourceNames(same))
		}
		out = append(out, same...)
	}
	return out, l, nil
}

func sourceNames(list []source) string {
	var n []string
	for _, s := range list {
		n = append(n, s.name)
	}
	return datasets.Names(n)
}

// findInConfig follows a data.yaml whose splits are .json files.
func findInConfig(file string) ([]source, *layout, error) {
	c, err := datasets.ReadConfig(file)
	if err != nil {
		return nil, nil, err
	}
	l := &layout{root: c.Root(), classes: c.Names}
	var out []source
	for _, split := range []string{datasets.Train, datasets.Val, datasets.Test} {
		for _, name := range c.Splits[split] {
			if !isJSON(name) {
				return nil, nil, fmt.Errorf("read data set %s: the %s split is %s, which is no .json file: give all splits as COCO annotation files", file, split, name)
			}
			p, err := c.Find(name)
			if err != nil {
				return nil, nil, err
			}
			s := newSource(l.root, p)
			s.split = split
			out = append(out, s)
		}
	}
	return out, l, nil
}

// namesJSON tells whether a data.yaml names annotation files.
func namesJSON(file string) bool {
	c, err := datasets.ReadConfig(file)
	if err != nil {
		return false
	}
	for _, list := range c.Splits {
		if slices.ContainsFunc(list, isJSON) {
			return true
		}
	}
	return false
}

// others are COCO's files for other tasks.
var others = regexp.MustCompile(`(?i)^(captions|person_keypoints|stuff|panoptic|image_info|deprecated)_|results?\b`)

// candidates are the annotation files of a folder: in it, in annotations/, in
// the folders of the splits. Where some are called instances_…, only those of
// the same folder count.
func candidates(dir string) []string {
	folders := []string{dir}
	items, _ := os.ReadDir(dir)
	for _, it := range items {
		n := it.Name()
		if datasets.IsHidden(n) || !datasets.IsDir(filepath.Join(dir, n)) {
			continue
		}
		if strings.EqualFold(n, "annotations") || strings.EqualFold(n, "labels") || splitWord(n) != "" {
			folders = append(folders, filepath.Join(dir, n))
		}
	}
	var out []string
	for _, f := range folders {
		items, _ := os.ReadDir(f)
		var all, instances []string
		for _, it := range items {
			p := filepath.Join(f, it.Name())
			if datasets.IsHidden(it.Name()) || !isJSON(p) || !datasets.IsFile(p) || others.MatchString(it.Name()) {
				continue
			}
			named := strings.HasPrefix(strings.ToLower(it.Name()), "instances") || strings.HasSuffix(strings.ToLower(it.Name()), ".coco.json")
			if named {
				instances = append(instances, p)
			} else if looksLike(p) {
				all = append(all, p)
			}
		}
		if len(instances) > 0 {
			all = instances
		}
		out = append(out, all...)
	}
	return out
}

// looksLike reads the beginning of a file: one of COCO's lists is there.
func looksLike(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	d := json.NewDecoder(newLenient(io.LimitReader(bufio.NewReader(f), 1<<20)))
	key, depth := "", 0
	isKey := false
	for {
		t, err := d.Token()
		if err != nil {
			return false
		}
		if depth == 1 && t == json.Delim('[') && !isKey {
			switch key {
			case "images", "annotations", "categories":
				return true
			}
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth == 0 && t != json.Delim('{') {
				return false
			}
			depth++
			isKey = depth == 1
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			isKey = depth == 1
			continue
		}
		if depth == 1 {
			if isKey {
				key, _ = t.(string)
			}
			isKey = !isKey
		}
	}
}

var words = regexp.MustCompile(`[A-Za-z]+\d*`)

// splitWord is the split that a word stands for, a year behind it left out.
func splitWord(w string) string {
	return datasets.SplitName(strings.TrimRight(w, "0123456789"))
}

// newSource tells the split of an annotation file by its name, else by its
// folder.
func newSource(root, path string) source {
	s := source{path: path, name: datasets.Relative(root, path)}
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	look := []string{base}
	if dir := filepath.Dir(path); datasets.Relative(root, path) != filepath.Base(path) {
		look = append(look, filepath.Base(dir))
	}
	for _, name := range look {
		for _, w := range words.FindAllString(name, -1) {
			if split := splitWord(w); split != "" { // the last one: test_data_train is train
				s.split, s.words = split, []string{w}
			}
		}
		if s.split != "" {
			break
		}
	}
	return s
}
