package imagefolder

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/datasets"
)

// duplicates warns of files with the same contents.
func (r *reader) duplicates(hashes [][32]byte) {
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
		a := r.set.Samples[i]
		for _, j := range same[1:] {
			b := r.set.Samples[j]
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
		r.warn("leakage: %s in two splits: %s: remove one of each pair, the figures are too good otherwise", datasets.Count(len(leaks), "image"), datasets.Names(leaks))
	}
	if len(labels) > 0 {
		r.warn("%s twice, with different classes: %s", datasets.Count(len(labels), "image"), datasets.Names(labels))
	}
	if len(copies) > 0 {
		r.warn("%s more than once: %s", datasets.Count(len(copies), "image"), datasets.Names(copies))
	}
}

// missing warns of classes that a split lacks.
func (r *reader) missing() {
	train := r.set.Counts(datasets.Train)
	for _, split := range r.set.Splits() {
		var absent, alone []string
		for c, n := range r.set.Counts(split) {
			switch {
			case n == 0 && train[c] > 0:
				absent = append(absent, r.set.Classes[c])
			case n > 0 && train[c] == 0:
				alone = append(alone, fmt.Sprintf("%s (%d)", r.set.Classes[c], n))
			}
		}
		if len(absent) > 0 {
			r.warn("%s has no image of %s", split, datasets.Names(absent))
		}
		if hasTrain := len(r.set.Split(datasets.Train)) > 0; len(alone) > 0 && hasTrain {
			r.warn("%s has images of classes that train has none of, so they cannot be learnt: %s", split, datasets.Names(alone))
		}
	}
}
