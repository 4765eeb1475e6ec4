package engine

import "github.com/vislora/vislora/datasets"

// problemFile is the kind of the files that cannot be used.
const problemFile = "file-unusable"

// listProblems makes one list of what is broken (the annotations first, then the
// files) and what is doubtful.
func (c *DataCheck) listProblems(d *datasets.Dataset) {
	c.Problems = append([]datasets.Problem{}, d.Problems...)
	for _, s := range d.Skipped {
		c.Problems = append(c.Problems, datasets.Problem{Kind: problemFile, Action: datasets.ActionSkipped, File: s.Name, What: s.Reason})
	}
	for _, x := range c.Doubts {
		c.Problems = append(c.Problems, datasets.Problem{Kind: x.Kind, Action: datasets.ActionKept, File: x.File, Image: x.Image, Annotations: x.Objects, What: x.about()})
	}
	c.Counts = map[string]int{}
	for _, p := range c.Problems {
		c.Counts[p.Kind]++
	}
}
