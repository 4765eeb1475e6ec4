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
	if len(set.Skipped) > 0 {
		var list []string
		for _, s := range set.Skipped {
			list = append(list, fmt.Sprintf("%s (%s)", s.Name, s.Reason))
		}
		r.warn("not used: %d of %d files: %s", len(set.Skipped), named, datasets.Names(list))
	}
	if err := r.split(hashes); err != nil {
		return nil, err
	}
	r.duplicates(hashes)
	set.Samples = datasets.Fraction(set.Samples, datasets.Train, r.opt.Fraction, r.opt.Seed)
	order := map[string]int{datasets.Train: 0, datasets.Val: 1, datasets.Test: 2}
	slices.SortStableFunc(set.Samples, func(a, b datasets.Sample) int {
		return cmp.Or(cmp.Compare(order[a.Split], order[b.Split]), cmp.Compare(a.Name, b.Name))
	})
	for i := range set.Samples {
		set.Samples[i].Index = i
	}
	r.missing()
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
			return nil, nil, fmt.Errorf("read data %s: there are no images (%s)", r.root, strings.Join(extensions, " "))
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

// split sets images aside where the data set has not done so itself.
func (r *reader) split(hashes [][32]byte) error {
	samples := r.set.Samples
	var without []string
	for _, s := range samples {
		if s.Split == "" {
			without = append(without, s.Name)
		}
	}
	n := map[string]int{}
	for _, s := range samples {
		n[s.Split]++
	}
	switch {
	case len(without) == len(samples):
		r.stratify(samples, hashes, r.opt.Test)
	case len(without) > 0:
		return fmt.Errorf("read data %s: %d of %d images have no split, the others have: %s", r.root, len(without), len(samples), datasets.Names(without))
	case n[datasets.Train] > 0 && n[datasets.Val] == 0 && r.opt.Val > 0:
		var part []datasets.Sample
		var h [][32]byte
		var at []int
		for i, s := range samples {
			if s.Split == datasets.Train {
				part, h, at = append(part, s), append(h, hashes[i]), append(at, i)
			}
		}
		r.stratify(part, h, 0)
		aside := 0
		for i, s := range part {
			samples[at[i]].Split = s.Split
			if s.Split == datasets.Val {
				aside++
			}
		}
		r.warn("there is no val split: %d of %d training images were set aside for it (seed %d)", aside, len(part), r.opt.Seed)
	}
	side := map[string]string{}
	var both []string
	for _, s := range r.set.Samples {
		if s.Group == "" {
			continue
		}
		if was, ok := side[s.Group]; ok && was != s.Split {
			text := fmt.Sprintf("%s (%s and %s)", s.Group, was, s.Split)
			if !slices.Contains(both, text) {
				both = append(both, text)
			}
		}
		if side[s.Group] == "" {
			side[s.Group] = s.Split
		}
	}
	if len(both) > 0 {
		return fmt.Errorf("read data %s: %s in two splits: %s: correct the split column, or leave it out and the groups will be kept together", r.root, datasets.Count(len(both), "group"), datasets.Names(both))
	}
	return nil
}

// stratify splits; equal files count as one group, so that a copy never lands
// on the other side.
func (r *reader) stratify(samples []datasets.Sample, hashes [][32]byte, test float64) {
	group := func(i int) string {
		if g := samples[i].Group; g != "" {
			return "g" + g
		}
		return "f" + samples[i].Name
	}
	parent := map[string]string{}
	var root func(s string) string
	root = func(s string) string {
		p, ok := parent[s]
		if !ok || p == s {
			return s
		}
		p = root(p)
		parent[s] = p
		return p
	}
	first, size := map[[32]byte]string{}, map[string]int{}
	for i := range samples {
		if f, ok := first[hashes[i]]; ok {
			a, b := root(f), root(group(i))
			parent[max(a, b)] = min(a, b)
		} else {
			first[hashes[i]] = group(i)
		}
	}
	for i := range samples {
		size[root(group(i))]++
	}
	work := slices.Clone(samples)
	for i := range work {
		work[i].Group = ""
		if g := root(group(i)); size[g] > 1 || samples[i].Group != "" {
			work[i].Group = g
		}
	}
	datasets.Stratify(work, len(r.set.Classes), r.opt.Val, test, r.opt.Seed)
	for i := range work {
		samples[i].Split = work[i].Split
	}
}
