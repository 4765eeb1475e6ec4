package imagefolder

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// index finds the file that a table means.
type index struct {
	root, base string
	// Names relative to root: whole, without extension, and by the last
	// element of either.
	byName map[string]bool
	byStem map[string][]string
	byLast map[string][]string
}

func newIndex(root, base string) (*index, error) {
	names, _, err := datasets.List(root)
	if err != nil {
		return nil, err
	}
	x := &index{root: root, base: base, byName: map[string]bool{}, byStem: map[string][]string{}, byLast: map[string][]string{}}
	for _, n := range names {
		stem := strings.TrimSuffix(n, path.Ext(n))
		x.byName[n] = true
		x.byStem[stem] = append(x.byStem[stem], n)
		x.byLast[path.Base(n)] = append(x.byLast[path.Base(n)], n)
		x.byLast[path.Base(stem)] = append(x.byLast[path.Base(stem)], n)
	}
	return x, nil
}

var errAbsent = errors.New("there is no such file")

// find looks for a name as it stands, below images/, below the folders of the
// split and the label, and at last anywhere, each with and without extension.
func (x *index) find(name, split string, labels []string) (file, rel string, err error) {
	if name == "" {
		return "", "", errors.New("the name of the file is empty")
	}
	slashed := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	prefixes := []string{"", "images"}
	for _, s := range map[string][]string{
		datasets.Train: {"train", "training"}, datasets.Val: {"val", "valid", "validation", "dev"}, datasets.Test: {"test", "testing"},
	}[split] {
		prefixes = append(prefixes, s, s+"/images", "images/"+s)
		if len(labels) == 1 {
			prefixes = append(prefixes, s+"/"+labels[0])
		}
	}
	if len(labels) == 1 {
		prefixes = append(prefixes, labels[0])
	}
	for _, p := range prefixes {
		n := path.Join(p, slashed)
		if x.byName[n] {
			return x.path(n), n, nil
		}
		if same := x.byStem[n]; len(same) == 1 {
			return x.path(same[0]), same[0], nil
		} else if len(same) > 1 {
			return "", "", ambiguous(same)
		}
	}
	// Outside the root: an absolute name, or one relative to the table.
	for _, p := range []string{name, filepath.Join(x.base, filepath.FromSlash(slashed))} {
		if datasets.IsFile(p) && (filepath.IsAbs(p) || p != name) {
			return p, filepath.ToSlash(p), nil
		}
	}
	switch same := x.byLast[path.Base(slashed)]; len(same) {
	case 0:
		return "", "", errAbsent
	case 1:
		return x.path(same[0]), same[0], nil
	default:
		return "", "", ambiguous(same)
	}
}

func (x *index) path(name string) string { return filepath.Join(x.root, filepath.FromSlash(name)) }

func ambiguous(names []string) error {
	return fmt.Errorf("%d files have that name: %s: write it with its folder and extension", len(names), datasets.Names(names))
}
