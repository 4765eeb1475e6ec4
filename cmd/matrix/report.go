package main

import (
	"fmt"
	"strings"
	"time"
)

// cell is the forward pass of one export.
type cell struct {
	diff    float64 // of the output's range
	refused string  // PyTorch cannot export it
	err     error
}

func (c cell) String() string {
	switch {
	case c.refused != "":
		return "not exported"
	case c.err != nil:
		return "**fails**"
	}
	return fmt.Sprintf("%.1g", c.diff)
}

// row is what was seen of one model.
type row struct {
	name, arch   string
	forward      map[export]cell
	sites, named int
	examples     string
	adapted      int
	trainable    int
	losses       []float64
	trainErr     error
	mergeDiff    float64
	mergeErr     error
	noRuntime    string
}

// ok tells whether everything that could be checked is right.
func (r *row) ok() bool {
	for _, c := range r.forward {
		if c.err != nil {
			return false
		}
	}
	return r.trainErr == nil && r.mergeErr == nil && r.sites > 0 && r.named == r.sites
}

func (r *row) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s", r.name)
	for _, e := range exports {
		fmt.Fprintf(&b, " %s", r.forward[e])
	}
	fmt.Fprintf(&b, " | %d sites (%d named) | loss %s | merged %.1g", r.sites, r.named, r.curve(), r.mergeDiff)
	for _, p := range r.problems() {
		fmt.Fprintf(&b, "\n  %s", p)
	}
	return b.String()
}

func (r *row) curve() string {
	if len(r.losses) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f → %.3f", r.losses[0], r.losses[len(r.losses)-1])
}

// problems names every exception with its reason.
func (r *row) problems() []string {
	var out []string
	for _, e := range exports {
		if c := r.forward[e]; c.refused != "" {
			out = append(out, fmt.Sprintf("%v: PyTorch refuses to export it: %s", e, c.refused))
		} else if c.err != nil {
			out = append(out, fmt.Sprintf("%v: %v", e, c.err))
		}
	}
	if r.trainErr != nil {
		out = append(out, fmt.Sprintf("training: %v", r.trainErr))
	}
	if r.mergeErr != nil {
		out = append(out, fmt.Sprintf("merged file: %v", r.mergeErr))
	}
	if r.named < r.sites {
		out = append(out, fmt.Sprintf("%d of %d adapter sites have no name of the model's own", r.sites-r.named, r.sites))
	}
	return out
}

// markdown writes docs/models.md.
func markdown(rows []*row, kernels string, took time.Duration) string {
	var b strings.Builder
	b.WriteString("# Models\n\nMade by `make matrix`: do not edit.\n\n")
	b.WriteString("Every model was exported by PyTorch with random weights (`scripts/peers/make_models.py`) and run through vislora. Forward is the largest difference to PyTorch's ")
	fmt.Fprintf(&b, "outputs, relative to their range (at most %g); with a fixed batch, of one picture too. Training puts an adapter of rank 8 on every site and takes %d steps of AdamW on two pictures. ", forwardTolerance, trainSteps)
	b.WriteString("Merged is the largest difference between ONNX Runtime's outputs of the merged file (graph optimisation off: above that it computes a Pad before an AveragePool wrongly) and the adapted network's.\n\n")
	fmt.Fprintf(&b, "Kernels: %s. The whole table took %.0f s.\n\n", kernels, took.Seconds())
	b.WriteString("| model |")
	for _, e := range exports {
		fmt.Fprintf(&b, " %v |", e)
	}
	b.WriteString(" adapter sites | adapted, parameters | loss | merged |\n|---|")
	b.WriteString(strings.Repeat("---|", len(exports)+4) + "\n")
	passed := 0
	for _, r := range rows {
		if r.ok() {
			passed++
		}
		fmt.Fprintf(&b, "| %s |", r.name)
		for _, e := range exports {
			fmt.Fprintf(&b, " %s |", r.forward[e])
		}
		merged := fmt.Sprintf("%.1g", r.mergeDiff)
		switch {
		case r.noRuntime != "":
			merged = "not run"
		case r.mergeErr != nil || r.trainErr != nil || r.losses == nil:
			merged = "**fails**"
		}
		fmt.Fprintf(&b, " %d: %s | %d, %d | %s | %s |\n", r.sites, r.examples, r.adapted, r.trainable, r.curve(), merged)
	}
	fmt.Fprintf(&b, "\n%d of %d models pass everything.\n", passed, len(rows))
	b.WriteString("\n## Recognised as\n\n| model | architecture |\n|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s |\n", r.name, r.arch)
	}
	b.WriteString("\n## Exceptions\n\n")
	none := true
	for _, r := range rows {
		for _, p := range r.problems() {
			fmt.Fprintf(&b, "- %s: %s\n", r.name, p)
			none = false
		}
		if r.noRuntime != "" {
			fmt.Fprintf(&b, "- %s: merged file not run: %s\n", r.name, r.noRuntime)
			none = false
		}
	}
	if none {
		b.WriteString("None.\n")
	}
	return b.String()
}
