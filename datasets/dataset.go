package datasets

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/vision"
)

// The names of the splits.
const (
	Train = "train"
	Val   = "val"
	Test  = "test"
)

// Sample is one labelled image.
type Sample struct {
	// Path is the file; Name is it relative to the data set's root, with
	// slashes.
	Path, Name string
	// Label is the class, Labels all of them when the data set is multi-label
	// or has objects (sorted, perhaps none; Label is then −1).
	Label  int
	Labels []int
	Split  string
	// Objects are what was annotated in the image, none in a background image;
	// ImageID is its id in the annotation file.
	Objects []vision.Object
	ImageID int64
	// Mask is the file with the class of every pixel, "" when there is none.
	Mask string
	// Group is the patient, store or series that must not fall on both sides
	// of a split; "" is a group of its own.
	Group string
	// W and H are the size with EXIF's orientation applied.
	W, H int
	// Scale is how many pixels of the file one of the annotation file is in x and
	// y, zeros where they are the same.
	Scale [2]float64
	// Index is the place of the sample in [Dataset.Samples]. Random numbers
	// are keyed by it.
	Index int
}

// Skipped is a file that was left out, and why.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Dataset is what was found in a folder or list.
type Dataset struct {
	Root string
	// Classes are the names over all splits: sorted, or in the order of the
	// annotation file where that numbers them.
	Classes    []string
	MultiLabel bool
	// CategoryIDs are the numbers that the annotation files give the classes,
	// where they do; −1 is a class that they lack. COCO's ids have gaps.
	CategoryIDs []int64
	// ImageIDs says that the samples have the ids of an annotation file.
	ImageIDs bool
	// Samples are sorted by split and name.
	Samples []Sample
	// Skipped are the files that cannot be used. Warnings are for people; each
	// is one line and tells what to do.
	Skipped  []Skipped
	Warnings []string
	// Problems are those of the annotations that were read: of each kind the
	// first few, or all with Options.EveryProblem.
	Problems []Problem
}

// Report enters problems, with a warning for each kind.
func (d *Dataset) Report(p *Problems) {
	d.Warnings = append(d.Warnings, p.Warnings()...)
	d.Problems = append(d.Problems, p.List()...)
}

// Warn adds a warning.
func (d *Dataset) Warn(format string, a ...any) {
	d.Warnings = append(d.Warnings, fmt.Sprintf(format, a...))
}

// Skip adds a file that is left out.
func (d *Dataset) Skip(name, reason string) {
	d.Skipped = append(d.Skipped, Skipped{name, reason})
}

// Split lists the samples of a split: train, val or test.
func (d *Dataset) Split(name string) []Sample {
	var out []Sample
	for _, s := range d.Samples {
		if s.Split == name {
			out = append(out, s)
		}
	}
	return out
}

// Require is [Dataset.Split] where an empty split is an error.
func (d *Dataset) Require(name string) ([]Sample, error) {
	if out := d.Split(name); len(out) > 0 {
		return out, nil
	}
	return nil, fmt.Errorf("read data %s: there is no %s split, only %s", d.Root, name, strings.Join(d.Splits(), ", "))
}

// Splits names the splits that have samples, in the order train, val, test.
func (d *Dataset) Splits() []string {
	var out []string
	for _, n := range []string{Train, Val, Test} {
		if slices.ContainsFunc(d.Samples, func(s Sample) bool { return s.Split == n }) {
			out = append(out, n)
		}
	}
	return out
}

// Counts is the number of images of each class in a split. With several labels
// an image counts for each.
func (d *Dataset) Counts(split string) []int {
	n := make([]int, len(d.Classes))
	for _, s := range d.Samples {
		if s.Split != split {
			continue
		}
		for _, c := range s.Classes() {
			n[c]++
		}
	}
	return n
}

// Classes are all the classes of a sample.
func (s *Sample) Classes() []int {
	if s.Label >= 0 {
		return []int{s.Label}
	}
	return s.Labels
}

// Count is "1 image" or "3 images".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Names joins the first few of a list for a message.
func Names(list []string) string {
	const most = 5
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
