package datasets

import (
	"fmt"
	"slices"
)

// WarnOfCopies warns of files with the same contents; hashes belong to the
// samples.
func (d *Dataset) WarnOfCopies(hashes [][32]byte) {
	byHash := map[[32]byte][]int{}
	for i, h := range hashes {
		byHash[h] = append(byHash[h], i)
	}
	var leaks, labels, copies []string
	for i, h := range hashes {
		same := byHash[h]
		if len(same) < 2 || same[0] != i {
			continue
		}
		a := d.Samples[i]
		for _, j := range same[1:] {
			b := d.Samples[j]
			pair := a.Name + " = " + b.Name
			switch {
			case a.Split != b.Split:
				leaks = append(leaks, pair)
			case !slices.Equal(a.Classes(), b.Classes()):
				labels = append(labels, pair)
			default:
				copies = append(copies, pair)
			}
		}
	}
	if len(leaks) > 0 {
		d.Warn("leakage: %s in two splits: %s: remove one of each pair, the figures are too good otherwise", Count(len(leaks), "image"), Names(leaks))
	}
	if len(labels) > 0 {
		d.Warn("%s twice, with different classes: %s", Count(len(labels), "image"), Names(labels))
	}
	if len(copies) > 0 {
		d.Warn("%s more than once: %s", Count(len(copies), "image"), Names(copies))
	}
}

// WarnOfSkipped names the files that cannot be used, out of so many.
func (d *Dataset) WarnOfSkipped(of int) {
	if len(d.Skipped) == 0 {
		return
	}
	var list []string
	for _, s := range d.Skipped {
		list = append(list, fmt.Sprintf("%s (%s)", s.Name, s.Reason))
	}
	d.Warn("not used: %d of %d files: %s", len(d.Skipped), of, Names(list))
}

// WarnOfMissing warns of classes that a split lacks.
func (d *Dataset) WarnOfMissing() {
	train := d.Counts(Train)
	for _, split := range d.Splits() {
		var absent, alone []string
		for c, n := range d.Counts(split) {
			switch {
			case n == 0 && train[c] > 0:
				absent = append(absent, d.Classes[c])
			case n > 0 && train[c] == 0:
				alone = append(alone, fmt.Sprintf("%s (%d)", d.Classes[c], n))
			}
		}
		if len(absent) > 0 {
			d.Warn("%s has no image of %s", split, Names(absent))
		}
		if hasTrain := len(d.Split(Train)) > 0; len(alone) > 0 && hasTrain {
			d.Warn("%s has images of classes that train has none of, so they cannot be learnt: %s", split, Names(alone))
		}
	}
}
