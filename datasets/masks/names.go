package masks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// The files that list classes and colours, in lower case; the first counts.
var (
	nameFiles   = []string{"classes.txt", "classes.csv", "_classes.csv", "class_dict.csv", "class_names.txt", "names.txt", "semantic_classes.txt", "obj.names"}
	colourFiles = []string{"colors.txt", "colours.txt", "colors.csv", "colours.csv", "colormap.txt", "colormap.csv", "label_colors.txt", "labelmap.txt", "labelmap.csv"}
)

// reader collects what one Open finds.
type reader struct {
	set      *datasets.Dataset
	opt      datasets.Options
	table    *table // nil until the values in the masks are the classes
	entries  []entry
	problems datasets.Problems
}

// list is a list of classes and the file that it stands in.
type list struct {
	file    string
	classes []class
}

func (l *list) coloured() bool { return l.classes[0].colour >= 0 }

// names looks for the classes: the names of a data.yaml, else a list in the
// root, in the folders of the splits or with the masks. Their colours may stand
// in a file of their own.
func (r *reader) names(path string, l *layout) error {
	dirs := []string{r.set.Root}
	for _, p := range l.parts {
		for _, d := range []string{filepath.Dir(p.masks), p.masks} {
			if !slices.Contains(dirs, d) {
				dirs = append(dirs, d)
			}
		}
	}
	var found []*list
	for _, find := range []func() (*list, error){
		func() (*list, error) { return configured(path) },
		func() (*list, error) { return findList(dirs, nameFiles) },
		func() (*list, error) { return findList(dirs, colourFiles) },
	} {
		l, err := find()
		if err != nil {
			return err
		}
		if l != nil {
			found = append(found, l)
		}
	}
	if len(found) == 0 {
		return nil
	}
	first := found[0]
	t, err := newTable(first.classes)
	if err != nil {
		return fmt.Errorf("read classes %s: %w", first.file, err)
	}
	if r.table = t; first.coloured() {
		t.colours = datasets.Relative(r.set.Root, first.file)
	}
	for _, l := range found[1:] {
		switch name := datasets.Relative(r.set.Root, l.file); {
		case !l.coloured():
			r.set.Warn("not used: %s: the names are those in %s", name, datasets.Relative(r.set.Root, first.file))
		case t.colours != "":
			r.set.Warn("not used: %s: the colours are those in %s", name, t.colours)
		default:
			if err := t.paint(l, first.file); err != nil {
				return err
			}
			t.colours = name
		}
	}
	return nil
}

// paint enters the colours of classes that another file has named.
func (t *table) paint(l *list, names string) error {
	for _, c := range l.classes {
		n := uint8(Ignore)
		if !isVoid(c.name) {
			at := slices.Index(t.names, c.name)
			if at < 0 {
				return fmt.Errorf("read colours %s: line %d: %q is not one of the classes in %s: %s", l.file, c.line, c.name, names, datasets.Names(t.names))
			}
			n = uint8(at)
		}
		if err := t.colour(c, n); err != nil {
			return fmt.Errorf("read colours %s: %w", l.file, err)
		}
	}
	return nil
}

// configured are the names in a data.yaml; nil when there are none.
func configured(path string) (*list, error) {
	file := path
	if datasets.IsDir(path) {
		file = datasets.FindConfig(path)
	}
	if file == "" {
		return nil, nil
	}
	c, err := datasets.ReadConfig(file)
	if err != nil || len(c.Names) == 0 {
		return nil, err
	}
	l := &list{file: file}
	for i, n := range c.Names {
		l.classes = append(l.classes, class{name: n, value: -1, colour: -1, line: i + 1})
	}
	return l, nil
}

// findList reads the first of some files in the first of some folders that has
// one; nil when there is none. Lists in folders of the splits have to agree.
func findList(dirs, names []string) (*list, error) {
	var found *list
	for _, d := range dirs {
		file := firstOf(d, names)
		if file == "" {
			continue
		}
		classes, err := readClasses(file)
		switch {
		case err != nil:
			return nil, err
		case found == nil:
			found = &list{file, classes}
			if d == dirs[0] {
				return found, nil
			}
		case !slices.Equal(found.classes, classes):
			return nil, fmt.Errorf("read classes: %s and %s are not the same: put one list into %s", found.file, file, dirs[0])
		}
	}
	return found, nil
}

// firstOf is the first file of a list in a folder, "" when there is none.
func firstOf(dir string, list []string) string {
	items, _ := os.ReadDir(dir)
	for _, n := range list {
		for _, it := range items {
			if at := filepath.Join(dir, it.Name()); strings.EqualFold(it.Name(), n) && datasets.IsFile(at) {
				return at
			}
		}
	}
	return ""
}
