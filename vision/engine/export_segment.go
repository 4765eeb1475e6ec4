package engine

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/transform"
)

// segmenter writes a new segmentation head, or the new last layer of the model's
// own, and enlarges its logits to the network's input; with o.argMax it writes the
// classes in place of the logits, of a kept head too. A kept head alone leaves the
// file's outputs as they are. With o.original the logits are left as they are, to
// be enlarged when the picture's size is known ([Network.originalSize]).
//
//	logits (N, K, H, W)   labels (N, H, W) int64
func (m *merger) segmenter(o outputs) (err error) {
	defer ops.Recover(&err)
	n := m.n
	if !n.Head.Segment.written() && !o.argMax && o.original == nil {
		return nil
	}
	b := newFileBuilder(m.e, n.Model.Opset(""), m.headParam)
	y, err := n.segmentMap(b, func(value string) (head.Value, error) { return m.read(b, value) })
	if err != nil {
		return err
	}
	h, w := n.Height, n.Width
	if o.original != nil {
		h, w = b.Shape(y)[1], b.Shape(y)[2]
	}
	if s := b.Shape(y); s[1] != h || s[2] != w {
		y = b.Bilinear(y, h, w)
	}
	v := fileOf(y)
	out := fileOutput{"logits", v.name, ir.Float, []int{v.dims[0], n.Head.Classes, h, w}}
	switch {
	case o.original != nil:
		out.name = v.name
	case o.argMax:
		out = fileOutput{"labels", b.labels(v.name), ir.Int64, []int{v.dims[0], h, w}}
	}
	if b.err != nil {
		return fmt.Errorf("write the segmentation head into %s: %w", n.Model.Path, b.err)
	}
	m.report.Added = append(m.report.Added, b.added...)
	m.sized = true
	names, err := m.outputs([]fileOutput{out})
	if o.original != nil && err == nil {
		o.original.name, o.original.dims = names[0], v.dims
	}
	return err
}

// labels are the classes (N, h, w) of the largest of logits (N, K, h, w).
func (g *grapher) labels(logits string) string {
	return g.node("ArgMax", ir.Attrs{"axis": int64(1), "keepdims": int64(0)}, logits)
}

// putsLabels reports whether the file itself puts out labels (N, H, W) of its
// input's size.
func (n *Network) putsLabels() bool {
	t := n.Annotation.Graph.Types[n.Annotation.Graph.Outputs[0].Name]
	return t.DType == ir.Int64 && len(t.Dims) == 3 && t.Dims[1] == n.Height && t.Dims[2] == n.Width
}

// VerifiedPixels compares classes of pixels, at the size of the network's input or
// of the picture.
type VerifiedPixels struct {
	Pixels int `json:"pixels"`
	Same   int `json:"same"`
}

// pixelTolerance is the share of pixels that may have another class: those whose
// two best logits are equal up to rounding.
const pixelTolerance = 1e-4

// pixelJudge judges logits or labels that export wrote.
type pixelJudge struct {
	*Loaded
	original bool // at the picture's own size
	cells    [2]int
}

func (j *pixelJudge) maker() maker {
	make := j.predictor()
	return func(batch int) (*circuit, error) {
		c, err := make(batch)
		if err == nil {
			s := ops.Shape(c.outputs[0])
			j.cells = [2]int{s[1], s[2]}
		}
		return c, err
	}
}

func (j *pixelJudge) compare(v *Verification, c verifyCase, outs [][]float32, theirs []*ir.Tensor) error {
	h, w, k := j.Height, j.Width, j.Head.Classes
	view := head.View{Map: j.cells, Input: [2]int{h, w}, Place: transform.Placement{W: w, H: h}}
	if j.original {
		h, w = c.h, c.w
		view.Place = transform.Place(j.Pre, w, h)
	}
	ours, err := view.Labels(outs[0], h, w)
	if err != nil {
		return err
	}
	if v.Pixels == nil {
		v.Pixels = &VerifiedPixels{}
	}
	t := theirs[0]
	if t.DType == ir.Int64 {
		labels := t.Int64s()
		if want := []int{1, h, w}; !slices.Equal(t.Dims, want) {
			return fmt.Errorf("ONNX Runtime gives labels %v, the picture has %v", t.Dims, want)
		}
		for i, c := range labels {
			v.pixel(int(c) == int(ours[i]))
		}
		return nil
	}
	logits := t.Float32s()
	if want := []int{1, k, h, w}; !slices.Equal(t.Dims, want) {
		return fmt.Errorf("ONNX Runtime gives logits %v, not %v", t.Dims, want)
	}
	for i, c := range ours {
		best := 0
		for x := range k {
			if logits[x*h*w+i] > logits[best*h*w+i] {
				best = x
			}
		}
		v.pixel(best == int(c))
	}
	return nil
}

func (v *Verification) pixel(same bool) {
	if v.Pixels.Pixels++; same {
		v.Pixels.Same++
	}
}

func (j *pixelJudge) verdict(v *Verification) error {
	if p := v.Pixels; float64(p.Pixels-p.Same) > pixelTolerance*float64(p.Pixels) {
		return fmt.Errorf("ONNX Runtime gives %d of %d pixels another class, more than %g %%", p.Pixels-p.Same, p.Pixels, 100*pixelTolerance)
	}
	return nil
}
