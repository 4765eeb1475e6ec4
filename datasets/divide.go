package datasets

import (
	"cmp"
	"fmt"
	"slices"
)

// Divide sets images aside where the data set has not done so itself: all
// splits when no sample has one, val when there is just train. Files with
// equal hashes stay on one side. A group on both sides is an error.
func (d *Dataset) Divide(hashes [][32]byte, o Options) error {
	samples := d.Samples
	var without []string
	n := map[string]int{}
	for _, s := range samples {
		if s.Split == "" {
			without = append(without, s.Name)
		}
		n[s.Split]++
	}
	switch {
	case len(without) == len(samples):
		d.stratify(samples, hashes, o, o.Test)
	case len(without) > 0:
		return fmt.Errorf("read data %s: %d of %d images have no split, the others have: %s", d.Root, len(without), len(samples), Names(without))
	case n[Train] > 0 && n[Val] == 0 && o.Val > 0:
		var part []Sample
		var h [][32]byte
		var at []int
		for i, s := range samples {
			if s.Split == Train {
				part, h, at = append(part, s), append(h, hashes[i]), append(at, i)
			}
		}
		d.stratify(part, h, o, 0)
		aside := 0
		for i, s := range part {
			samples[at[i]].Split = s.Split
			if s.Split == Val {
				aside++
			}
		}
		d.Warn("there is no val split: %d of %d training images were set aside for it (seed %d)", aside, len(part), o.Seed)
	}
	return d.wholeGroups()
}

// wholeGroups is an error that names the groups on both sides of a split.
func (d *Dataset) wholeGroups() error {
	side := map[string]string{}
	var both []string
	for _, s := range d.Samples {
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
		return fmt.Errorf("read data %s: %s in two splits: %s: correct the split column, or leave it out and the groups will be kept together", d.Root, Count(len(both), "group"), Names(both))
	}
	return nil
}

// stratify splits; equal files count as one group, so that a copy never lands
// on the other side.
func (d *Dataset) stratify(samples []Sample, hashes [][32]byte, o Options, test float64) {
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
	Stratify(work, len(d.Classes), o.Val, test, o.Seed)
	for i := range work {
		samples[i].Split = work[i].Split
	}
}

// Sort puts the samples in the order of their split and name and numbers them.
func (d *Dataset) Sort() {
	order := map[string]int{Train: 0, Val: 1, Test: 2}
	slices.SortStableFunc(d.Samples, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(order[a.Split], order[b.Split]), cmp.Compare(a.Name, b.Name))
	})
	for i := range d.Samples {
		d.Samples[i].Index = i
	}
}
