package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/imagefolder"
)

// CheckConfig says which data set to look at.
type CheckConfig struct {
	Data string
	Out  string // folder for pictures, "" for none
	Seed uint64
}

// DataCheck is what was found.
type DataCheck struct {
	Data       string             `json:"data"`
	Classes    []string           `json:"classes"`
	MultiLabel bool               `json:"multi_label"`
	Splits     map[string][]int   `json:"splits"` // images per class
	Images     map[string]int     `json:"images"`
	Sizes      [2][3]int          `json:"sizes"` // width and height: smallest, median, largest
	Warnings   []string           `json:"warnings"`
	Skipped    []datasets.Skipped `json:"skipped"`
	Pictures   []string           `json:"pictures,omitempty"`
	order      []string
}

// CheckData reads a data set the way training does and reports what is in it.
func CheckData(c CheckConfig) (*DataCheck, error) {
	d, err := imagefolder.Open(c.Data, imagefolder.Options{Seed: c.Seed})
	if err != nil {
		return nil, err
	}
	out := &DataCheck{Data: c.Data, Classes: d.Classes, MultiLabel: d.MultiLabel, Splits: map[string][]int{}, Images: map[string]int{}, Warnings: d.Warnings, Skipped: d.Skipped, order: d.Splits()}
	for _, s := range out.order {
		out.Splits[s], out.Images[s] = d.Counts(s), len(d.Split(s))
	}
	var w, h []int
	for _, s := range d.Samples {
		w, h = append(w, s.W), append(h, s.H)
	}
	slices.Sort(w)
	slices.Sort(h)
	if len(w) > 0 {
		out.Sizes = [2][3]int{{w[0], w[len(w)/2], w[len(w)-1]}, {h[0], h[len(h)/2], h[len(h)-1]}}
	}
	if c.Out != "" {
		if out.Pictures, err = drawCheck(c, d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// String is the report for people.
func (d *DataCheck) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d classes", d.Data, len(d.Classes))
	for _, s := range d.order {
		fmt.Fprintf(&b, ", %d %s", d.Images[s], s)
	}
	fmt.Fprintf(&b, "\nwidth %d – %d (median %d), height %d – %d (median %d) pixels\n", d.Sizes[0][0], d.Sizes[0][2], d.Sizes[0][1], d.Sizes[1][0], d.Sizes[1][2], d.Sizes[1][1])
	wide := 5
	for _, c := range d.Classes {
		wide = max(wide, len([]rune(c)))
	}
	fmt.Fprintf(&b, "%-*s", wide, "class")
	for _, s := range d.order {
		fmt.Fprintf(&b, "  %6s", s)
	}
	b.WriteByte('\n')
	for i, c := range d.Classes {
		fmt.Fprintf(&b, "%-*s", wide, c)
		for _, s := range d.order {
			fmt.Fprintf(&b, "  %6d", d.Splits[s][i])
		}
		b.WriteByte('\n')
	}
	for _, w := range d.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, p := range d.Pictures {
		fmt.Fprintf(&b, "picture: %s\n", p)
	}
	return b.String()
}
