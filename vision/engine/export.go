package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ort"
)

// ExportConfig says what to write.
type ExportConfig struct {
	Weights, Model string
	Format         string // onnx (default) or peft
	Out            string
	// EmbedPreprocessing makes the input uint8 (N, H, W, 3), RGB of any size,
	// and puts the preprocessing into the graph; onnx only.
	EmbedPreprocessing bool
	// Verify runs the file in ONNX Runtime on so many images and compares. The
	// images come from Data; without it they are noise. A file with embedded
	// preprocessing is given the decoded pixels.
	Verify  int
	Data    string
	Split   string
	Threads int
	Log     func(format string, args ...any)
}

// Exported is what Export did.
type Exported struct {
	Out    string  `json:"out"`
	Format string  `json:"format"`
	Bytes  int64   `json:"bytes"`
	Merged *Merged `json:"merged,omitempty"`
	// Preprocess is what was embedded, nil without --embed-preprocessing.
	Preprocess *EmbeddedPreprocess `json:"preprocess,omitempty"`
	Verify     *Verification       `json:"verify,omitempty"`
}

// Verification compares the exported file in ONNX Runtime with the network.
type Verification struct {
	Runtime string `json:"runtime"`
	Images  int    `json:"images"`
	// MaxDiff is the largest difference of a logit, Range the largest logit.
	MaxDiff  float64 `json:"max_diff"`
	Range    float64 `json:"range"`
	Relative float64 `json:"relative"` // MaxDiff / Range
	SameTop1 int     `json:"same_top1"`
}

// Tolerance is the largest accepted Verification.Relative of float32 models,
// CoarseTolerance that of float16 models, whose own weights are rounded, and of
// files that prepare the pictures themselves.
const (
	Tolerance       = 1e-4
	CoarseTolerance = 1e-2
)

// Export merges an adapter into its base model, or copies it as a PEFT folder.
func Export(ctx context.Context, c ExportConfig) (*Exported, error) {
	if c.Out == "" {
		return nil, errors.New("no output given: use --out FILE")
	}
	l, err := OpenWeights(WeightsOptions{Weights: c.Weights, Model: c.Model})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	switch c.Format {
	case "", "onnx":
		return l.exportONNX(ctx, c)
	case "peft":
		if c.EmbedPreprocessing {
			return nil, errors.New("an adapter has no graph to embed the preprocessing in: use --format onnx with --embed-preprocessing")
		}
		return l.exportPEFT(c)
	}
	return nil, fmt.Errorf("format %q: use onnx or peft", c.Format)
}

func (l *Loaded) exportPEFT(c ExportConfig) (*Exported, error) {
	if l.Adapter == nil {
		return nil, fmt.Errorf("%s has no adapter to export", c.Weights)
	}
	if err := l.Adapter.Save(c.Out); err != nil {
		return nil, err
	}
	return &Exported{Out: c.Out, Format: "peft", Bytes: dirSize(c.Out)}, nil
}

func dirSize(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			n += st.Size()
		}
	}
	return n
}

func (l *Loaded) metadata() map[string]any {
	m := map[string]any{MetaTask: string(l.Task), MetaPreprocess: l.Pre, MetaBase: l.Model.SHA256()}
	if l.Classes != nil {
		m[MetaClasses] = l.Classes
	}
	if l.MultiLabel {
		m[MetaMultiLabel] = "true"
	}
	return m
}

func (l *Loaded) exportONNX(ctx context.Context, c ExportConfig) (*Exported, error) {
	out := &Exported{Out: c.Out, Format: "onnx"}
	if same, err := sameFile(c.Out, l.Model.Path); err != nil || same {
		return nil, errors.Join(err, fmt.Errorf("--out %s is the base model itself: choose another name", c.Out))
	}
	var err error
	if out.Merged, out.Preprocess, err = l.writeONNX(c); err != nil {
		return nil, err
	}
	if st, err := os.Stat(c.Out); err == nil {
		out.Bytes = st.Size()
	}
	if c.Verify > 0 {
		if out.Verify, err = l.verify(ctx, c, out.Preprocess); err != nil {
			return out, fmt.Errorf("verify %s: %w", c.Out, err)
		}
		tol := Tolerance
		if l.fileFloat() == ir.Float16 || out.Preprocess != nil {
			tol = CoarseTolerance
		}
		if !(out.Verify.Relative <= tol) {
			return out, fmt.Errorf("verify %s: ONNX Runtime differs by %.2g of the logits' range, more than %.0e", c.Out, out.Verify.Relative, tol)
		}
		if v := out.Verify; out.Preprocess != nil && v.SameTop1 < v.Images {
			return out, fmt.Errorf("verify %s: ONNX Runtime gives another class on %d of %d images", c.Out, v.Images-v.SameTop1, v.Images)
		}
	}
	return out, nil
}

func sameFile(a, b string) (bool, error) {
	sa, err := os.Stat(a)
	if err != nil {
		return false, nil // it does not exist yet
	}
	sb, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	return os.SameFile(sa, sb), nil
}

// verify runs the exported file in ONNX Runtime.
func (l *Loaded) verify(ctx context.Context, c ExportConfig, embedded *EmbeddedPreprocess) (*Verification, error) {
	source := l.verifyInputs
	if embedded != nil {
		source = func(ctx context.Context, c ExportConfig) (func(int) (verifyCase, error), int, error) {
			return l.verifyPixels(c, embedded.Input)
		}
	}
	cases, n, err := source(ctx, c)
	if err != nil {
		return nil, err
	}
	rt, err := ort.Open(c.Out)
	if err != nil {
		return nil, err
	}
	defer rt.Close()
	version, err := ort.Version()
	if err != nil {
		return nil, err
	}
	s, err := openSession(c.Threads)
	if err != nil {
		return nil, err
	}
	defer s.close()
	run := newRunner(s.team, s.kernels, l.predictor())
	defer run.close()
	set, err := run.prepare(1)
	if err != nil {
		return nil, err
	}
	v := &Verification{Runtime: "ONNX Runtime " + version, Images: n}
	for i := range n {
		vc, err := cases(i)
		if err != nil {
			return nil, err
		}
		load(set, vc.input, l.picture)
		if _, err := run.step(set); err != nil {
			return nil, err
		}
		ours := set.output(0, nil)
		outs, err := rt.Run(vc.feed)
		if err != nil {
			return nil, err
		}
		theirs := outs[rt.Outputs()[0].Name].Float32s()
		if len(theirs) != len(ours) {
			return nil, fmt.Errorf("ONNX Runtime gives %d values, the network %d", len(theirs), len(ours))
		}
		if l.endsInSoftmax() {
			ours = softmax32(ours)
		}
		bo, bt := 0, 0
		for k := range ours {
			v.MaxDiff = math.Max(v.MaxDiff, math.Abs(float64(ours[k]-theirs[k])))
			v.Range = math.Max(v.Range, math.Abs(float64(ours[k])))
			if ours[k] > ours[bo] {
				bo = k
			}
			if theirs[k] > theirs[bt] {
				bt = k
			}
		}
		if bo == bt {
			v.SameTop1++
		}
	}
	v.Relative = v.MaxDiff / math.Max(v.Range, math.SmallestNonzeroFloat64)
	return v, nil
}

// writeONNX merges, embeds and writes. The preprocessing that the file ends up
// with inside is nil when there is none.
func (l *Loaded) writeONNX(c ExportConfig) (*Merged, *EmbeddedPreprocess, error) {
	meta := l.metadata()
	has, err := embeddedIn(l.Model)
	if err != nil {
		return nil, nil, err
	}
	if has != nil { // the base model prepares pictures itself, and goes on so
		if has.Preprocess != l.Pre {
			return nil, nil, fmt.Errorf("%s has another preprocessing embedded (%s) than the one in use (%s): export from the model without it", l.Model.Path, describePreprocess(has.Preprocess), describePreprocess(l.Pre))
		}
		meta[MetaPreprocess] = has
	}
	if has != nil || !c.EmbedPreprocessing {
		m, err := l.WriteMerged(c.Out, meta)
		return m, has, err
	}
	var made *EmbeddedPreprocess
	m, err := l.WriteMerged(c.Out, meta, func(e *onnx.Editor) error {
		var err error
		if made, err = l.embedPreprocess(e, l.Pre); err != nil {
			return err
		}
		b, err := json.Marshal(made)
		meta[MetaPreprocess] = string(b)
		return err
	})
	return m, made, err
}

// endsInSoftmax reports whether the exported file's output is the softmax of
// the logits.
func (l *Loaded) endsInSoftmax() bool {
	a := l.Annotation
	return l.Head == nil && a.Logits != "" && a.Logits != a.Graph.Outputs[0].Name && producedBy(a.Graph, a.Graph.Outputs[0].Name) == "Softmax"
}

// producedBy is the operator that makes a value, looking through reshapes.
func producedBy(g *ir.Graph, name string) string {
	p := g.Producer()
	for n := p[name]; n != nil; n = p[n.In(0)] {
		switch n.Op {
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
			continue
		}
		return n.Op
	}
	return ""
}

func softmax32(x []float32) []float32 {
	out := make([]float32, len(x))
	top := float64(math.Inf(-1))
	for _, v := range x {
		top = math.Max(top, float64(v))
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	for i, v := range x {
		out[i] = float32(math.Exp(float64(v)-top) / sum)
	}
	return out
}

// String tells people what was written.
func (e *Exported) String() string {
	s := fmt.Sprintf("%s: %s, %.1f MB", filepath.Clean(e.Out), e.Format, float64(e.Bytes)/1e6)
	if m := e.Merged; m != nil {
		s += fmt.Sprintf(", %d tensors changed, %d added", len(m.Tensors), len(m.Added))
	}
	if p := e.Preprocess; p != nil {
		s += fmt.Sprintf("\ninput %q: uint8 (N, H, W, 3), RGB of any size; inside: %s", p.Input, describePreprocess(p.Preprocess))
	}
	if v := e.Verify; v != nil {
		s += fmt.Sprintf("\n%s agrees on %d images: largest difference %.2e of the range, same class on %d", v.Runtime, v.Images, v.Relative, v.SameTop1)
	}
	return s
}
