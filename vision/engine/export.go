package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision"
)

// ExportConfig says what to write.
type ExportConfig struct {
	Weights, Model string
	Format         string // onnx (default) or peft
	Out            string
	// EmbedPreprocessing makes the input uint8 (N, H, W, 3), RGB of any size,
	// and puts the preprocessing into the graph; onnx only.
	EmbedPreprocessing bool
	// NMS chooses the boxes of a detector inside the file: onnx only. Conf, IoU,
	// MaxDet and Agnostic say how, as those of PredictConfig; zeros are .25, .7 and
	// 300.
	NMS       bool
	Conf, IoU float64
	MaxDet    int
	Agnostic  bool
	// ArgMax puts out the classes of pixels and not their logits.
	ArgMax bool
	// OriginalSize puts classes of pixels, or their logits, out at the size of the
	// picture that went in; only with the preprocessing inside the file.
	OriginalSize bool
	// Names are the class names of a bare model that carries none.
	Names string
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
	// NMS is how boxes are chosen inside the file, nil where they are not.
	NMS *OutputNMS `json:"nms,omitempty"`
	// Masks says that every box has a mask.
	Masks  bool          `json:"masks,omitempty"`
	Verify *Verification `json:"verify,omitempty"`
}

// Export merges an adapter into its base model, or copies it as a PEFT folder.
func Export(ctx context.Context, c ExportConfig) (*Exported, error) {
	if c.Out == "" {
		return nil, errors.New("no output given: use --out FILE")
	}
	if !c.NMS && (c.Conf != 0 || c.IoU != 0 || c.MaxDet != 0 || c.Agnostic) {
		return nil, errors.New("conf, iou, max-det and agnostic choose boxes inside the file, and without nms none are chosen there: add --nms, or leave them to whoever reads the file")
	}
	l, err := OpenWeights(WeightsOptions{Weights: c.Weights, Model: c.Model, Names: c.Names})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	switch c.Format {
	case "", "onnx":
		return l.exportONNX(ctx, c)
	case "peft":
		if c.NMS {
			return nil, errors.New("an adapter has no graph to choose boxes in: use --format onnx with --nms")
		}
		if c.EmbedPreprocessing {
			return nil, errors.New("an adapter has no graph to embed the preprocessing in: use --format onnx with --embed-preprocessing")
		}
		if c.ArgMax || c.OriginalSize {
			return nil, errors.New("an adapter has no graph that puts classes of pixels out: use --format onnx with --argmax and --original-size")
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
	if l.Classes != nil && !l.unnamed {
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
	t, err := l.exportThresholds(c)
	if err != nil {
		return nil, err
	}
	if c.ArgMax && l.Task != vision.Segment {
		return nil, fmt.Errorf("%s is trained to %s: --argmax is for classes of pixels", c.Weights, l.Task)
	}
	if c.OriginalSize && l.Task != vision.Segment {
		return nil, fmt.Errorf("%s is trained to %s: --original-size is for classes of pixels", c.Weights, l.Task)
	}
	if out.Merged, out.Preprocess, err = l.writeONNX(c, outputs{nms: t, argMax: c.ArgMax}); err != nil {
		return nil, err
	}
	if t != nil {
		out.NMS = t.output(out.Preprocess != nil && l.placesBoxes())
	}
	out.Masks = l.Task == vision.Instance
	if st, err := os.Stat(c.Out); err == nil {
		out.Bytes = st.Size()
	}
	if c.Verify > 0 {
		if out.Verify, err = l.verify(ctx, c, out.Preprocess, t); err != nil {
			return out, fmt.Errorf("verify %s: %w", c.Out, err)
		}
	}
	return out, nil
}

// exportThresholds says how boxes are chosen inside the file, nil where they are
// not.
func (l *Loaded) exportThresholds(c ExportConfig) (*thresholds, error) {
	if !c.NMS {
		return nil, nil
	}
	if l.Head == nil || l.Head.Detect == nil {
		return nil, fmt.Errorf("%s has no detection head that vislora can read: --nms chooses among boxes", c.Weights)
	}
	p := PredictConfig{Conf: c.Conf, IoU: c.IoU, MaxDet: c.MaxDet, Agnostic: c.Agnostic}
	t, err := p.thresholds()
	return &t, err
}

// output is the same as metadata. inPicture says that the boxes are in pixels of
// the picture.
func (t *thresholds) output(inPicture bool) *OutputNMS {
	o := &OutputNMS{t.Conf, t.IoU, t.Max, t.Agnostic, pixelsInput}
	if inPicture {
		o.Pixels = pixelsPicture
	}
	return o
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

// writeONNX merges, embeds and writes. The preprocessing that the file ends up
// with inside is nil when there is none.
func (l *Loaded) writeONNX(c ExportConfig, o outputs) (*Merged, *EmbeddedPreprocess, error) {
	meta := l.metadata()
	has, err := embeddedIn(l.Model)
	if err != nil {
		return nil, nil, err
	}
	if has != nil { // the base model prepares pictures itself, and goes on so
		if s := has.Preprocess.Size; s != l.Pre.Size {
			return nil, nil, fmt.Errorf("%s has the preprocessing for %d×%d pixels embedded, and the network takes %d×%d: train and export from the model without it", l.Model.Path, s[0], s[1], l.Pre.Size[0], l.Pre.Size[1])
		}
		if has.Preprocess != l.Pre {
			return nil, nil, fmt.Errorf("%s has another preprocessing embedded (%s) than the one in use (%s): export from the model without it", l.Model.Path, describePreprocess(has.Preprocess), describePreprocess(l.Pre))
		}
		if l.Head != nil && l.Head.Segment == nil {
			has.Original = nil // another head's output takes its place
		}
	}
	if has == nil && !c.EmbedPreprocessing {
		if c.OriginalSize {
			return nil, nil, errors.New("--original-size needs --embed-preprocessing too: a file that takes prepared pictures does not know how large they were")
		}
		m, err := l.writeMerged(c.Out, meta, o)
		return m, nil, err
	}
	if l.placesBoxes() {
		o.place = &placing{pre: l.Pre}
		if has != nil {
			o.place.image = has.Input
		}
	}
	if l.enlarges(c, has) {
		o.original = &pixelMap{}
	}
	made := has
	m, err := l.writeMerged(c.Out, meta, o, func(e *onnx.Editor, picture ir.Value) error {
		var err error
		if has == nil {
			if made, err = l.embedPreprocess(e, picture, l.Pre); err != nil {
				return err
			}
		} else {
			has.FeedsShape = picture.Type.Dims
		}
		if o.original != nil {
			if err := l.originalSize(e, made, o); err != nil {
				return err
			}
		}
		b, err := json.Marshal(made)
		meta[MetaPreprocess] = string(b)
		return err
	})
	return m, made, err
}

// String tells people what was written.
func (e *Exported) String() string {
	s := fmt.Sprintf("%s: %s, %.1f MB", filepath.Clean(e.Out), e.Format, float64(e.Bytes)/1e6)
	if m := e.Merged; m != nil {
		s += fmt.Sprintf(", %d tensors changed, %d added", len(m.Tensors), len(m.Added))
	}
	if p := e.Preprocess; p != nil {
		s += fmt.Sprintf("\ninput %q: uint8 (N, H, W, 3), RGB of any size; inside: %s", p.Input, describePreprocess(p.Preprocess))
		if p.Original != nil {
			s += "\noutput at the size of the picture"
		}
	}
	if t := e.NMS; t != nil {
		also := ""
		if e.Masks {
			also = ", masks"
		}
		s += fmt.Sprintf("\noutputs boxes, scores, labels, images%s: %s", also, t)
	}
	if e.Verify != nil {
		s += "\n" + e.Verify.String()
	}
	return s
}
