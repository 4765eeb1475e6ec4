package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/imagefolder"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ort"

	"github.com/vislora/vislora/vision/transform"
)

// ExportConfig says what to write.
type ExportConfig struct {
	Weights, Model string
	Format         string // onnx (default) or peft
	Out            string
	// Verify runs the file in ONNX Runtime on so many images and compares. The
	// images come from Data; without it they are noise.
	Verify  int
	Data    string
	Split   string
	Threads int
	Log     func(format string, args ...any)
}

// Exported is what Export did.
type Exported struct {
	Out    string        `json:"out"`
	Format string        `json:"format"`
	Bytes  int64         `json:"bytes"`
	Merged *Merged       `json:"merged,omitempty"`
	Verify *Verification `json:"verify,omitempty"`
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

// Tolerance is the largest accepted Verification.Relative of float32 models.
const Tolerance = 1e-4

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
	return m
}

func (l *Loaded) exportONNX(ctx context.Context, c ExportConfig) (*Exported, error) {
	out := &Exported{Out: c.Out, Format: "onnx"}
	if same, err := sameFile(c.Out, l.Model.Path); err != nil || same {
		return nil, errors.Join(err, fmt.Errorf("--out %s is the base model itself: choose another name", c.Out))
	}
	var err error
	if out.Merged, err = l.WriteMerged(c.Out, l.metadata()); err != nil {
		return nil, err
	}
	if st, err := os.Stat(c.Out); err == nil {
		out.Bytes = st.Size()
	}
	if c.Verify > 0 {
		if out.Verify, err = l.verify(ctx, c); err != nil {
			return out, fmt.Errorf("verify %s: %w", c.Out, err)
		}
		tol := Tolerance
		if l.fileFloat() == ir.Float16 {
			tol = 1e-2 // the file's own weights are rounded to 16 bits
		}
		if !(out.Verify.Relative <= tol) {
			return out, fmt.Errorf("verify %s: ONNX Runtime differs by %.2g of the logits' range, more than %.0e", c.Out, out.Verify.Relative, tol)
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
func (l *Loaded) verify(ctx context.Context, c ExportConfig) (*Verification, error) {
	x, n, err := l.verifyImages(ctx, c)
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
	per := len(x) / n
	h, w, ch := l.Height, l.Width, l.Picture.Channels
	for i := range n {
		pic := x[i*per : (i+1)*per]
		load(set, pic, l.picture)
		if _, err := run.step(set); err != nil {
			return nil, err
		}
		ours := set.output(0, nil)
		feed := l.feed(pic, h, w, ch)
		outs, err := rt.Run(map[string]*ir.Tensor{l.Picture.Name: feed})
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

// feed is a picture as the file wants it.
func (l *Loaded) feed(x []float32, h, w, ch int) *ir.Tensor {
	dims := []int{1, h, w, ch}
	v := x
	if !l.Picture.ChannelsLast {
		dims = []int{1, ch, h, w}
		v = make([]float32, len(x))
		for p := range h * w {
			for k := range ch {
				v[k*h*w+p] = x[p*ch+k]
			}
		}
	}
	t := ir.FromFloat32s(l.Picture.Name, v, dims...)
	if l.fileFloat() == ir.Float16 {
		raw := make([]byte, 2*len(v))
		for i, f := range v {
			b := ir.FloatToHalf(f)
			raw[2*i], raw[2*i+1] = byte(b), byte(b>>8)
		}
		t = &ir.Tensor{Name: t.Name, DType: ir.Float16, Dims: dims, Raw: raw}
	}
	return t
}

// verifyImages are inputs for the verification: images of the data set, or
// noise.
func (l *Loaded) verifyImages(ctx context.Context, c ExportConfig) ([]float32, int, error) {
	if c.Data == "" {
		rng := rand.New(rand.NewPCG(1, 1))
		x := make([]float32, c.Verify*l.Height*l.Width*l.Picture.Channels)
		for i := range x {
			x[i] = float32(rng.NormFloat64()) // the spread of normalised pixels
		}
		return x, c.Verify, nil
	}
	split := c.Split
	d, err := openData(c.Data, nil, imagefolder.Options{})
	if err != nil {
		return nil, 0, err
	}
	if split == "" {
		split = d.Splits()[len(d.Splits())-1]
	}
	samples, err := d.Require(split)
	if err != nil {
		return nil, 0, err
	}
	samples = samples[:min(c.Verify, len(samples))]
	pipe, err := transform.Eval(l.Pre)
	if err != nil {
		return nil, 0, err
	}
	loader, err := datasets.NewLoader(datasets.LoaderConfig{Samples: samples, Pipeline: pipe, Batch: len(samples)})
	if err != nil {
		return nil, 0, err
	}
	e := loader.Epoch(ctx, 0, 0)
	defer e.Close()
	b, err := e.Next()
	if err != nil {
		return nil, 0, err
	}
	var scratch []float32
	x := append([]float32(nil), l.toInput(b.X[:b.N*pipe.Len()], l.Pre, &scratch)...)
	return x, b.N, nil
}

// String tells people what was written.
func (e *Exported) String() string {
	s := fmt.Sprintf("%s: %s, %.1f MB", filepath.Clean(e.Out), e.Format, float64(e.Bytes)/1e6)
	if m := e.Merged; m != nil {
		s += fmt.Sprintf(", %d tensors changed, %d added", len(m.Tensors), len(m.Added))
	}
	if v := e.Verify; v != nil {
		s += fmt.Sprintf("\n%s agrees on %d images: largest difference %.2e of the range, same class on %d", v.Runtime, v.Images, v.Relative, v.SameTop1)
	}
	return s
}
