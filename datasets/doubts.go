package datasets

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vislora/vislora/vision"
)

// Copy is a pair of samples with the same contents.
type Copy struct {
	// A and B are indices into Samples, A < B.
	A, B int
	// Leak: they lie in different splits. Differ is what was said about one and
	// not about the other, "classes" or "boxes"; "" when both agree.
	Leak   bool
	Differ string
}

// Copies pairs every sample with the first one of the same hash; hashes belong
// to the samples.
func (d *Dataset) Copies(hashes [][32]byte) []Copy {
	first := map[[32]byte]int{}
	var out []Copy
	for i, h := range hashes {
		at, ok := first[h]
		if !ok {
			first[h] = i
			continue
		}
		a, b := &d.Samples[at], &d.Samples[i]
		c := Copy{A: at, B: i, Leak: a.Split != b.Split}
		switch {
		case !slices.Equal(a.Classes(), b.Classes()):
			c.Differ = "classes"
		case !sameObjects(a.Objects, b.Objects):
			c.Differ = "boxes"
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b Copy) int { return cmp.Compare(a.A, b.A) })
	return out
}

// sameObjects compares classes and boxes, in whatever order.
func sameObjects(a, b []vision.Object) bool {
	if len(a) != len(b) {
		return false
	}
	sorted := func(list []vision.Object) []vision.Object {
		return slices.SortedFunc(slices.Values(list), func(x, y vision.Object) int {
			return cmp.Or(cmp.Compare(x.Class, y.Class), cmp.Compare(x.Box.X1, y.Box.X1), cmp.Compare(x.Box.Y1, y.Box.Y1),
				cmp.Compare(x.Box.X2, y.Box.X2), cmp.Compare(x.Box.Y2, y.Box.Y2))
		})
	}
	return slices.EqualFunc(sorted(a), sorted(b), func(x, y vision.Object) bool { return x.Class == y.Class && x.Box == y.Box })
}

// WarnOfCopies warns of files with the same contents; hashes belong to the
// samples.
func (d *Dataset) WarnOfCopies(hashes [][32]byte) {
	d.warnOfPairs(d.Copies(hashes), "")
}

// WarnOfEqualPixels warns of images that are the same once they are decoded
// though their files differ: saved again, renamed, or without their metadata.
// Both lists of hashes belong to the samples.
func (d *Dataset) WarnOfEqualPixels(files, pixels [][32]byte) {
	d.warnOfPairs(slices.DeleteFunc(d.Copies(pixels), func(c Copy) bool { return files[c.A] == files[c.B] }), " as another file with the same pixels")
}

func (d *Dataset) warnOfPairs(pairs []Copy, how string) {
	var leaks, classes, boxes, copies []string
	for _, c := range pairs {
		pair := d.Samples[c.A].Name + " = " + d.Samples[c.B].Name
		switch {
		case c.Leak:
			leaks = append(leaks, pair)
		case c.Differ == "classes":
			classes = append(classes, pair)
		case c.Differ == "boxes":
			boxes = append(boxes, pair)
		default:
			copies = append(copies, pair)
		}
	}
	if len(leaks) > 0 {
		d.Warn("leakage: %s in two splits%s: %s: remove one of each pair, the figures are too good otherwise", Count(len(leaks), "image"), how, Names(leaks))
	}
	if len(classes) > 0 {
		d.Warn("%s twice%s, with different classes: %s", Count(len(classes), "image"), how, Names(classes))
	}
	if len(boxes) > 0 {
		d.Warn("%s twice%s, with different boxes: %s", Count(len(boxes), "image"), how, Names(boxes))
	}
	if len(copies) > 0 {
		d.Warn("%s more than once%s: %s", Count(len(copies), "image"), how, Names(copies))
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
