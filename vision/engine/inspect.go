package engine

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/netpic"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
)

// Inspection tells what vislora sees in a model.
type Inspection struct {
	Path     string            `json:"path"`
	Bytes    int64             `json:"bytes"`
	SHA256   string            `json:"sha256"`
	Producer string            `json:"producer"`
	Opset    int               `json:"opset"`
	Family   string            `json:"family"`
	Arch     string            `json:"architecture"`
	Input    string            `json:"input"`
	Shape    []int             `json:"shape"`
	Params   int               `json:"total_params"`
	Nodes    int               `json:"nodes"`
	Planned  int               `json:"planned_nodes"`
	Ops      map[string]int    `json:"operators"`
	Sites    []InspectedSite   `json:"sites"`
	Features []build.Feature   `json:"features"`
	Classes  int               `json:"classes,omitempty"`
	Names    []string          `json:"names,omitempty"`
	Detector *InspectedHead    `json:"detector,omitempty"`
	Pixels   *InspectedPixels  `json:"segmenter,omitempty"`
	Pre      vision.Preprocess `json:"preprocess"`
	Source   string            `json:"preprocess_source"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	// Cost is the work and memory of a batch, with an adapter on every site.
	Cost *build.Description `json:"cost"`
	Rank int                `json:"rank"`
}

// InspectConfig says what to look at and for which adapter.
type InspectConfig struct {
	Model      string
	ImgSz      int
	Batch      int // of the memory figures, default 8
	Rank       int // of the adapter costs, default 8
	Preprocess PreprocessOptions
	// Graph is a file for a picture of the rebuilt graph with the adapter sites
	// marked: .svg or .html; "" for none.
	Graph string
}

// InspectedSite is a layer that an adapter can be put on.
type InspectedSite struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"`
	Role   string `json:"role,omitempty"`
	Shape  []int  `json:"shape"`
	Groups int    `json:"groups,omitempty"`
	Weight string `json:"weight"`
	// Adapter is what an adapter of the asked rank costs.
	Adapter build.SiteCost `json:"adapter"`
}

// Inspect opens a model and describes it.
func Inspect(c InspectConfig) (*Inspection, error) {
	if c.Batch <= 0 {
		c.Batch = 8
	}
	if c.Rank <= 0 {
		c.Rank = 8
	}
	n, err := OpenNetwork(c.Model, NetworkOptions{Height: c.ImgSz, Width: c.ImgSz})
	if err != nil {
		return nil, err
	}
	defer n.Close()
	if n.Head, err = n.fileHead(); err != nil {
		return nil, err
	}
	n.exportedSegmenter()
	a, m := n.Annotation, n.Model
	in := &Inspection{Path: c.Model, Rank: c.Rank, Bytes: m.Size, SHA256: m.SHA256(), Producer: m.Producer, Opset: m.Opset(""), Family: a.Family, Arch: a.Arch, Input: n.Picture.Name,
		Shape: a.Graph.Types[n.Picture.Name].Dims, Params: n.parameters(), Nodes: len(m.Graph.Nodes), Planned: len(a.Graph.Nodes), Ops: map[string]int{},
		Features: a.Features, Classes: a.Classes, Names: modelClasses(m), Metadata: m.Metadata, Warnings: m.Warnings, Notes: a.Notes}
	for _, node := range a.Graph.Nodes {
		in.Ops[node.Op]++
	}
	for _, s := range a.Sites {
		in.Sites = append(in.Sites, InspectedSite{Path: s.Path, Kind: string(s.Kind), Role: s.Role, Shape: siteShape(s), Groups: s.Groups, Weight: s.Weight, Adapter: build.CostOf(a.Graph, s, c.Rank)})
	}
	var task vision.Task
	in.Detector, in.Pixels, task = n.inspectHeads()
	until := n.until()
	switch {
	case in.Detector != nil:
		in.Classes = in.Detector.Classes
	case in.Pixels != nil:
		in.Classes, until = in.Pixels.Classes, []string{a.Segmenter.Logits}
	}
	if in.Pre, in.Source, err = n.preprocess(task, c.Preprocess); err != nil {
		return nil, err
	}
	if in.Cost, err = n.Net.Describe(c.Batch, c.Rank, a.Sites, until...); err != nil {
		return nil, err
	}
	if c.Graph != "" {
		return in, n.draw(c.Graph, in.Cost)
	}
	return in, nil
}

// draw writes the picture of the planned graph.
func (n *Network) draw(path string, d *build.Description) error {
	write := netpic.SVG
	switch strings.ToLower(filepath.Ext(path)) {
	case ".svg":
	case ".html", ".htm":
		write = netpic.HTML
	default:
		return fmt.Errorf("--graph %s: use a name that ends in .svg or .html", path)
	}
	marked := make([]string, 0, len(d.Host)+len(d.Late))
	for _, name := range append(slices.Clone(d.Host), d.Late...) {
		short, _, _ := strings.Cut(name, " (")
		marked = append(marked, short)
	}
	var b bytes.Buffer
	if err := write(&b, n.Annotation.Graph, n.Annotation.Sites, netpic.Options{Title: filepath.Base(n.Model.Path), Marked: marked}); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

func siteShape(s build.Site) []int {
	if s.Kind == build.KindConv {
		return []int{s.Out, s.In / max(s.Groups, 1), s.Kernel[0], s.Kernel[1]}
	}
	return []int{s.Out, s.In}
}

// String is the description for people.
func (in *Inspection) String() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("%s  %.1f MB, opset %d, %s", in.Path, float64(in.Bytes)/1e6, in.Opset, in.Producer)
	p("  architecture  %s", in.Arch)
	p("  input         %s %v", in.Input, in.Shape)
	p("  parameters    %s in %d nodes (%d after folding and fusion)", thousands(in.Params), in.Nodes, in.Planned)
	p("  preprocessing %s", describePreprocess(in.Pre))
	p("                from %s", in.Source)
	if in.Classes > 0 {
		p("  classes       %d", in.Classes)
	}
	if in.Detector != nil {
		in.Detector.text(p)
	}
	if in.Pixels != nil {
		in.Pixels.text(p)
	}
	for _, f := range in.Features {
		switch f.Kind {
		case "map", "neck":
			p("  features      %s, %d channels, stride %d: %s", f.Kind, f.Channels, f.Stride, f.Value)
		case "tokens":
			p("  features      tokens, %d×%d grid of %d channels, %d before it: %s", f.Grid[0], f.Grid[1], f.Channels, f.Prefix, f.Value)
		default:
			p("  features      pooled (%s), %d channels: %s", f.Pool, f.Channels, f.Value)
		}
	}
	d := in.Cost
	p("  work          %.2f GFLOP an image, forward", d.GFLOPs)
	if d.Untrainable == "" {
		p("                %.2f GFLOP an image in a training step with adapters of rank %d on every site", d.StepGFLOPs, in.Rank)
		p("  memory        %.0f MB for values of a batch of %d, %.0f MB in training (weights apart)", float64(d.InferBytes)/1e6, d.Batch, float64(d.TrainBytes)/1e6)
	} else {
		p("  memory        %.0f MB for values of a batch of %d", float64(d.InferBytes)/1e6, d.Batch)
		p("  training      not on every site: %s", d.Untrainable)
	}
	wide := 4
	for _, s := range in.Sites {
		wide = max(wide, len(s.Path))
	}
	total := 0
	p("\n  %-*s  kind    role         shape                    adapter (r %d)", wide, "site", in.Rank)
	for _, s := range in.Sites {
		shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Shape), " ", "×"), "[]")
		if s.Groups > 1 {
			shape += fmt.Sprintf(" g%d", s.Groups)
		}
		p("  %-*s  %-6s  %-11s  %-23s  %s", wide, s.Path, s.Kind, s.Role, shape, thousands(s.Adapter.Params))
		total += s.Adapter.Params
	}
	p("  %d sites, %s parameters with an adapter on each", len(in.Sites), thousands(total))
	for _, h := range d.Host {
		p("note: %s runs without a gradient", h)
	}
	if len(d.Late) > 0 {
		p("note: shapes that depend on the data: %d: %s", len(d.Late), datasets.Names(d.Late))
	}
	for _, n := range in.Notes {
		p("note: %s", n)
	}
	for _, n := range in.Warnings {
		p("warning: %s", n)
	}
	return b.String()
}

// Capabilities tells what is compiled in and what the machine offers.
func Capabilities() string {
	var b strings.Builder
	k := "portable Go, f32 (build with -tags onednn for native kernels)"
	if onednn.Available() {
		k = "oneDNN"
		if s, ok, err := onednn.NewBF16(); err == nil {
			k += ", " + s.ISA() + ", f32"
			if onednn.Tiles() {
				k += " of three bf16, bf16x2"
			}
			if ok {
				k += ", bf16 (--dtype bf16)"
			} else {
				k += " (bf16 is not faster on this processor)"
			}
			s.Close()
		}
	}
	fmt.Fprintf(&b, "kernels  %s\n", k)
	fmt.Fprintf(&b, "images   %s", cv.DecoderName())
	if cv.PlainJPEG {
		b.WriteString(", plain JPEGs by libjpeg (the same pixels)")
	}
	b.WriteByte('\n')
	if v, err := cv.VideoName(); err == nil {
		fmt.Fprintf(&b, "video    %s\n", v)
	} else {
		fmt.Fprintf(&b, "video    %v\n", err)
	}
	if v, err := ort.Version(); err == nil {
		fmt.Fprintf(&b, "verify   ONNX Runtime %s\n", v)
	} else {
		fmt.Fprintf(&b, "verify   %v\n", err)
	}
	fmt.Fprintf(&b, "cpu      %s\n", kernels.CPU())
	return b.String()
}
