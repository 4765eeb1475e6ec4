package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// CheckConfig says which data set to look at.
type CheckConfig struct {
	Data string
	// Task is what the data is to be used for; "" finds out what it is.
	Task string
	Out  string // folder for pictures, "" for none
	Seed uint64
	// ImgSz is the side of the network's input, 0 when there is none yet.
	ImgSz int
	// Quick looks at the files of images without decoding them.
	Quick   bool
	Workers int // image loading threads; 0 is one per processor
	Log     func(format string, args ...any)
}

// Validate reports everything that is wrong.
func (c *CheckConfig) Validate() error {
	var errs []error
	if c.Task != "" {
		_, err := vision.ParseTask(c.Task)
		errs = append(errs, err)
	}
	if c.ImgSz < 0 || c.ImgSz > 1<<16 {
		errs = append(errs, fmt.Errorf("imgsz is %d: use 1 to %d pixels, 0 for none", c.ImgSz, 1<<16))
	}
	if c.Workers < 0 || c.Workers > 1024 {
		errs = append(errs, fmt.Errorf("workers is %d: use 1 to 1024, 0 for one per processor", c.Workers))
	}
	return errors.Join(errs...)
}

// DataCheck is what was found.
type DataCheck struct {
	Data string `json:"data"`
	// Task and Format are what the data set is; Also are the tasks that it has
	// labels for besides.
	Task   vision.Task   `json:"task"`
	Format string        `json:"format"`
	Also   []vision.Task `json:"also,omitempty"`

	Classes    []string         `json:"classes"`
	MultiLabel bool             `json:"multi_label"`
	Splits     map[string][]int `json:"splits"` // images per class
	Images     map[string]int   `json:"images"`
	Sizes      [2][3]int        `json:"sizes"` // width and height: smallest, median, largest
	// Enlarged are the images that the network's input is larger than.
	Enlarged int `json:"smaller_than_input,omitempty"`

	Boxes  *BoxCheck  `json:"boxes,omitempty"`
	Pixels *MaskCheck `json:"pixels,omitempty"`

	Warnings []string `json:"warnings"`
	// Problems are all broken and doubtful annotations and files, Counts how many
	// of each kind there are. Doubts tell more about the doubtful ones.
	Problems []datasets.Problem `json:"problems"`
	Counts   map[string]int     `json:"problem_counts"`
	Doubts   []CheckDoubt       `json:"doubts,omitempty"`
	Copies   []CheckCopy        `json:"copies,omitempty"`
	Skipped  []datasets.Skipped `json:"skipped"`
	Pictures []string           `json:"pictures,omitempty"`

	order []string // of the splits
}

// CheckCopy is a pair of images with the same contents.
type CheckCopy struct {
	Files [2]string `json:"files"`
	// Same is "file", or "pixels" where the files differ. Differ is what is
	// annotated differently: "classes" or "boxes".
	Same   string `json:"same"`
	Leak   bool   `json:"leak"`
	Differ string `json:"differ,omitempty"`
}

// CheckData reads a data set the way training does and reports what is in it.
// It reports [ErrInterrupted] when the context ends.
func CheckData(ctx context.Context, c CheckConfig) (*DataCheck, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	o, err := openAny(c)
	if err != nil {
		return nil, err
	}
	d := o.data
	copies, err := lookAtImages(ctx, c, d)
	if err != nil {
		return nil, err
	}
	out := &DataCheck{Data: c.Data, Task: o.task, Format: o.format, Also: o.also, Classes: d.Classes, MultiLabel: d.MultiLabel,
		Splits: map[string][]int{}, Images: map[string]int{}, Copies: copies, order: d.Splits()}
	for _, s := range out.order {
		out.Splits[s], out.Images[s] = d.Counts(s), len(d.Split(s))
	}
	out.sizes(d, c.ImgSz)
	var pictures func() ([]string, error)
	switch o.task {
	case vision.Detect, vision.Instance:
		out.Boxes = checkBoxes(d, c.ImgSz)
		doubts := d.BoxDoubts()
		out.Doubts = describeDoubts(d, doubts)
		pictures = func() ([]string, error) { return drawBoxCheck(c, d, doubts) }
	case vision.Segment:
		if out.Pixels, err = checkMasks(ctx, c, o.masks); err != nil {
			return nil, err
		}
		out.Doubts = describeDoubts(d, out.Pixels.odd)
		pictures = func() ([]string, error) { return drawMaskCheck(c, o.masks, out.Pixels) }
	default:
		pictures = func() ([]string, error) { return drawCheck(c, d) }
	}
	if c.Out != "" {
		if out.Pictures, err = pictures(); err != nil {
			return nil, fmt.Errorf("draw pictures into %s: %w", filepath.Clean(c.Out), err)
		}
	}
	// Lists in JSON, also when they are empty.
	out.Warnings, out.Skipped = append([]string{}, d.Warnings...), append([]datasets.Skipped{}, d.Skipped...)
	out.listProblems(d)
	return out, nil
}

// sizes looks at the sides of the images.
func (c *DataCheck) sizes(d *datasets.Dataset, input int) {
	var w, h []int
	for _, s := range d.Samples {
		w, h = append(w, s.W), append(h, s.H)
		side := max(s.W, s.H) // all of the picture is shown
		if c.Task == vision.Classify {
			side = min(s.W, s.H) // its middle is
		}
		if side < input {
			c.Enlarged++
		}
	}
	slices.Sort(w)
	slices.Sort(h)
	if len(w) > 0 {
		c.Sizes = [2][3]int{{w[0], w[len(w)/2], w[len(w)-1]}, {h[0], h[len(h)/2], h[len(h)-1]}}
	}
}
