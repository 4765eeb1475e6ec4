package imagefolder

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// finish checks the files, numbers the classes, splits, and says what looks
// wrong.
func (r *reader) finish() (*datasets.Dataset, error) {
	slices.SortFunc(r.entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	named := len(r.entries) + len(r.set.Skipped)
	samples, hashes, err := r.scan()
	if err != nil {
		return nil, err
	}
	if err := r.classes(samples); err != nil {
		return nil, err
	}
	set := r.set
	set.Samples = samples
	set.WarnOfSkipped(named)
	if err := set.Divide(hashes, r.common); err != nil {
		return nil, err
	}
	set.WarnOfCopies(hashes)
	set.Samples = datasets.Fraction(set.Samples, datasets.Train, r.common.Fraction, r.common.Seed)
	set.Sort()
	set.WarnOfMissing()
	return set, nil
}

// scan reads every file; what is broken is left out.
func (r *reader) scan() ([]datasets.Sample, [][32]byte, error) {
	paths := make([]string, len(r.entries))
	for i, e := range r.entries {
		paths[i] = e.path
	}
	var samples []datasets.Sample
	var hashes [][32]byte
	var kept []entry
	for i, f := range datasets.Scan(paths, r.opt.Workers) {
		e := r.entries[i]
		if f.Err != nil {
			// The name stands in front of it already.
			r.skip(e.name, strings.TrimPrefix(f.Err.Error(), "read image "+e.path+": "))
			continue
		}
		samples = append(samples, datasets.Sample{Path: e.path, Name: e.name, Label: -1, Split: e.split, Group: e.group, W: f.W, H: f.H})
		hashes = append(hashes, f.Hash)
		kept = append(kept, e)
	}
	r.entries = kept
	if len(samples) == 0 {
		if len(r.set.Skipped) == 0 {
			return nil, nil, fmt.Errorf("read data %s: there are no images (%s)", r.root, datasets.Extensions())
		}
		s := r.set.Skipped[0]
		return nil, nil, fmt.Errorf("read data %s: none of the %d images can be used: %s: %s", r.root, len(r.set.Skipped), s.Name, s.Reason)
	}
	return samples, hashes, nil
}

// classes sorts the names over all splits and numbers the labels.
func (r *reader) classes(samples []datasets.Sample) error {
	names := r.opt.Classes
	if len(names) == 0 {
		seen := map[string]bool{}
		for _, e := range r.entries {
			for _, l := range e.labels {
				seen[l] = true
			}
		}
		// A column without a single 1 is still an output that was asked for;
		// a folder without an image is not.
		for _, d := range r.declared {
			if r.multi {
				seen[d] = true
			}
		}
		for n := range seen {
			names = append(names, n)
		}
		slices.SortFunc(names, r.byName)
	}
	number := map[string]int{}
	for i, n := range names {
		number[n] = i
	}
	var errs []error
	unknown := map[string]int{}
	for i, e := range r.entries {
		var ids []int
		for _, l := range e.labels {
			id, ok := number[l]
			if !ok {
				if unknown[l]++; unknown[l] == 1 && len(errs) < 10 {
					errs = append(errs, fmt.Errorf("%s: the label %q is not in the list of classes: %s", e.name, l, datasets.Names(names)))
				}
				continue
			}
			ids = append(ids, id)
		}
		if r.multi {
			slices.Sort(ids)
			samples[i].Labels = ids
		} else if len(ids) > 0 {
			samples[i].Label = ids[0]
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("read data %s: %d labels are unknown: %w", r.root, len(unknown), errors.Join(errs...))
	}
	r.set.Classes, r.set.MultiLabel = names, r.multi
	return nil
}

// byName sorts class names. The labels of a table that are whole numbers are
// sorted as numbers; folders are not, since nobody else does that.
func (r *reader) byName(a, b string) int {
	if r.opt.Table != "" {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX == nil && errY == nil {
			return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
		}
	}
	return cmp.Compare(a, b)
}
