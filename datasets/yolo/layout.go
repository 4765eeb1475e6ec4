package yolo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

var splits = []string{datasets.Train, datasets.Val, datasets.Test}

// namesImages tells whether a data.yaml names folders or lists of images. One
// that cannot be read is taken for such, so that its error is told.
func namesImages(file string) bool {
	c, err := datasets.ReadConfig(file)
	if err != nil {
		return true
	}
	for _, list := range c.Splits {
		for _, p := range list {
			if strings.EqualFold(filepath.Ext(p), ".json") {
				return false
			}
		}
	}
	return len(c.Splits) > 0
}

// config reads what a data.yaml names.
func (r *reader) config(file string) error {
	c, err := datasets.ReadConfig(file)
	if err != nil {
		return err
	}
	if len(c.Splits) == 0 {
		return fmt.Errorf("read data set %s: it has none of the keys train, val and test", file)
	}
	r.set.Root, r.names = c.Root(), c.Names
	if r.names == nil {
		r.names, err = classList(c.Root())
		if err != nil {
			return err
		}
	}
	same := slices.Equal(c.Splits[datasets.Train], c.Splits[datasets.Val])
	for _, split := range splits {
		if split == datasets.Val && same {
			r.set.Warn("%s names the same images for train and val: val is set aside from them", filepath.Base(file))
			continue
		}
		for _, name := range c.Splits[split] {
			p, err := c.Find(name)
			if err != nil {
				if split == datasets.Test { // often named and not there
					r.set.Warn("not used: %v", err)
					continue
				}
				return err
			}
			if datasets.IsDir(p) {
				err = r.images(p, split)
			} else {
				err = r.list(c, p, split)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// images enters all images below a folder.
func (r *reader) images(dir, split string) error {
	names, _, err := datasets.List(dir)
	if err != nil {
		return fmt.Errorf("read data: %w", err)
	}
	for _, n := range names {
		r.add(filepath.Join(dir, filepath.FromSlash(n)), split)
	}
	return nil
}

// list enters the images that a text file lists, one a line.
func (r *reader) list(c *datasets.Config, file, split string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read data: %w", err)
	}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if line == "" {
			continue
		}
		p := filepath.Join(filepath.Dir(file), filepath.FromSlash(strings.ReplaceAll(line, `\`, "/")))
		if !datasets.IsFile(p) {
			if p, err = c.Find(line); err != nil || !datasets.IsFile(p) {
				r.set.Skip(line, fmt.Sprintf("%s: line %d: there is no such file", filepath.Base(file), i+1))
				continue
			}
		}
		r.add(p, split)
	}
	return nil
}

// folder reads images/ and labels/ without a data.yaml: in folders of the
// splits, with such folders in them, or without any.
func (r *reader) folder(root string) error {
	found := labelFolders(root)
	if len(found) == 0 {
		return fmt.Errorf("read data %s: there is neither a data.yaml nor a labels folder with .txt files", root)
	}
	names, err := classList(root)
	if err != nil {
		return err
	}
	r.names = names
	for _, dir := range found {
		// The split of labels/train is that of images/train.
		images := filepath.Join(filepath.Dir(dir), "images")
		sub, _ := os.ReadDir(images)
		inside := false
		for _, it := range sub {
			if s := datasets.SplitName(it.Name()); s != "" && it.IsDir() {
				inside = true
				if err := r.images(filepath.Join(images, it.Name()), s); err != nil {
					return err
				}
			}
		}
		if inside {
			continue
		}
		if err := r.images(images, datasets.SplitName(filepath.Base(filepath.Dir(dir)))); err != nil {
			return err
		}
	}
	return nil
}

// labelFolders are labels/ or <split>/labels/ that hold text files, with
// images/ beside.
func labelFolders(root string) []string {
	at := []string{root}
	items, _ := os.ReadDir(root)
	for _, it := range items {
		if datasets.SplitName(it.Name()) != "" {
			at = append(at, filepath.Join(root, it.Name()))
		}
	}
	var out []string
	for i, dir := range at {
		labels := filepath.Join(dir, "labels")
		if datasets.IsDir(filepath.Join(dir, "images")) && hasText(labels, 2) {
			if out = append(out, labels); i == 0 {
				break
			}
		}
	}
	return out
}

// hasText tells whether a text file lies in a folder or so deep below it.
func hasText(dir string, depth int) bool {
	items, _ := os.ReadDir(dir)
	for _, it := range items {
		if datasets.IsHidden(it.Name()) {
			continue
		}
		if p := filepath.Join(dir, it.Name()); it.IsDir() {
			if depth > 1 && hasText(p, depth-1) {
				return true
			}
		} else if strings.EqualFold(filepath.Ext(p), ".txt") && it.Name() != "classes.txt" {
			return true
		}
	}
	return false
}

// classList reads classes.txt or obj.names; nil when there is none.
func classList(root string) ([]string, error) {
	for _, n := range []string{"classes.txt", "obj.names", "labels/classes.txt"} {
		p := filepath.Join(root, filepath.FromSlash(n))
		if !datasets.IsFile(p) {
			continue
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("read data: %w", err)
		}
		var out []string
		for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
			name := strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
			if name == "" || slices.Contains(out, name) {
				return nil, fmt.Errorf("read classes %s: line %d: the name is empty or there twice", p, i+1)
			}
			out = append(out, name)
		}
		return out, nil
	}
	return nil, nil
}
