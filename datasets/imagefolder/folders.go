package imagefolder

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/vislora/vislora/datasets"
)

// folders lists the folders in dir, and the images that lie beside them.
func folders(dir string) (dirs, images []string, err error) {
	items, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read data: %w", err)
	}
	for _, it := range items {
		if datasets.IsHidden(it.Name()) {
			continue
		}
		if st, err := os.Stat(filepath.Join(dir, it.Name())); err == nil && st.IsDir() {
			dirs = append(dirs, it.Name())
		} else if datasets.IsImage(it.Name()) {
			images = append(images, it.Name())
		}
	}
	return dirs, images, nil
}

// readFolders reads root/<split>/<class>/* or root/<class>/*.
func (r *reader) readFolders() error {
	dirs, images, err := folders(r.root)
	if err != nil {
		return err
	}
	splits := map[string]string{}
	var beside []string
	for _, d := range dirs {
		s := datasets.SplitName(d)
		if s == "" {
			beside = append(beside, d)
			continue
		}
		if inner, _, err := folders(filepath.Join(r.root, d)); err != nil || len(inner) == 0 {
			beside = append(beside, d) // a class that is called "test", or an empty folder
			continue
		}
		if was := splits[s]; was != "" {
			return fmt.Errorf("read data %s: %s and %s are both the %s split: keep one", r.root, was, d, s)
		}
		splits[s] = d
	}
	if len(splits) == 0 {
		if len(dirs) == 0 {
			return fmt.Errorf("read data %s: there are %d images and no class folders: use <class>/<image>, train/<class>/<image>, or a labels.csv", r.root, len(images))
		}
		if len(images) > 0 {
			r.warn("not used: %s beside the class folders: %s", datasets.Count(len(images), "image"), datasets.Names(images))
		}
		return r.readClasses("", "", dirs)
	}
	if len(beside) > 0 {
		r.warn("not used: %s beside the splits: %s", datasets.Count(len(beside), "folder"), datasets.Names(beside))
	}
	for _, s := range []string{datasets.Train, datasets.Val, datasets.Test} {
		d := splits[s]
		if d == "" {
			continue
		}
		classes, loose, err := folders(filepath.Join(r.root, d))
		if err != nil {
			return err
		}
		if len(loose) > 0 {
			r.warn("not used: %s in %s outside every class folder: %s", datasets.Count(len(loose), "image"), d, datasets.Names(loose))
		}
		if err := r.readClasses(d, s, classes); err != nil {
			return err
		}
	}
	return nil
}

// readClasses reads dir/<class>/*, folders in folders included.
func (r *reader) readClasses(dir, split string, classes []string) error {
	var foreign []string
	for _, class := range classes {
		at := path.Join(dir, class)
		images, others, err := datasets.List(filepath.Join(r.root, filepath.FromSlash(at)))
		if err != nil {
			return fmt.Errorf("read data: %w", err)
		}
		if len(images) == 0 {
			r.warn("the class folder %s has no images", at)
		}
		if !slices.Contains(r.declared, class) {
			r.declared = append(r.declared, class)
		}
		for _, f := range others {
			foreign = append(foreign, path.Join(at, f))
		}
		for _, f := range images {
			name := path.Join(at, f)
			r.entries = append(r.entries, entry{
				path: filepath.Join(r.root, filepath.FromSlash(name)), name: name,
				labels: []string{class}, split: split,
			})
		}
	}
	if len(foreign) > 0 {
		r.warn("not used: %s of other kinds: %s", datasets.Count(len(foreign), "file"), datasets.Names(foreign))
	}
	return nil
}
