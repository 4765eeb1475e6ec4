package lora

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/vislora/vislora/vision/build"
)

// Table is the plan for people to read: one line per layer, the sum, what is
// skipped and why, and the notes.
func (p *Plan) Table() string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "layer\tkind\tweight\tr\talpha\tparams\tof layer\tnote")
	layers := 0
	for _, sp := range p.Sites {
		r, alpha, note := fmt.Sprint(sp.Rank), fmt.Sprintf("%g", sp.Alpha), sp.Note
		if sp.Delta {
			r, alpha = "–", "–"
		}
		if len(sp.NotPEFT) > 0 {
			note = strings.TrimPrefix(note+"; not PEFT: "+strings.Join(sp.NotPEFT, ", "), "; ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", sp.Site.Path, kind(sp.Site), dims(WeightShape(sp.Site)),
			r, alpha, sp.Params, percent(sp.Params, sp.LayerParams), note)
		layers += sp.LayerParams
	}
	fmt.Fprintf(w, "%d layers\t\t\t\t\t%d\t%s\t\n", len(p.Sites), p.Params(), percent(p.Params(), layers))
	if len(p.Skipped) > 0 {
		fmt.Fprintln(w, "\t\t\t\t\t\t\t")
		fmt.Fprintln(w, "skipped\t\t\t\t\t\t\treason")
		for _, s := range p.Skipped {
			fmt.Fprintf(w, "%s\t%s\t%s\t\t\t\t\t%s\n", s.Site.Path, kind(s.Site), dims(WeightShape(s.Site)), s.Reason)
		}
	}
	if err := w.Flush(); err != nil {
		panic("lora: " + err.Error()) // a bytes.Buffer takes everything
	}
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	for _, n := range p.Notes {
		out.WriteString("note: " + n + "\n")
	}
	return out.String()
}

// kind names a layer shortly: "linear", "conv 3x3/2", "conv 3x3 d2 g32".
func kind(s build.Site) string {
	if s.Kind == build.KindLinear {
		return "linear"
	}
	k := fmt.Sprintf("conv %dx%d", s.Kernel[0], s.Kernel[1])
	if st := max(s.Stride[0], s.Stride[1]); st > 1 {
		k += fmt.Sprintf("/%d", st)
	}
	if d := max(s.Dilation[0], s.Dilation[1]); d > 1 {
		k += fmt.Sprintf(" d%d", d)
	}
	if s.Groups > 1 {
		k += fmt.Sprintf(" g%d", s.Groups)
	}
	return k
}

func dims(shape []int) string {
	s := make([]string, len(shape))
	for i, d := range shape {
		s[i] = fmt.Sprint(d)
	}
	return strings.Join(s, "×")
}

func percent(a, b int) string { return fmt.Sprintf("%.1f %%", 100*float64(a)/float64(b)) }
