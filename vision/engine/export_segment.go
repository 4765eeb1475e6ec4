package engine

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/transform"
)

// segmenter writes a new segmentation head, or the new last layer of the model's
// own, and enlarges its logits to the network's input; argMax writes the classes
// in place of the logits. Without either the file's outputs stay as they are.
//
//	logits (N, K, H, W)   labels (N, H, W) int64
func (m *merger) segmenter(argMax bool) (err error) {
	defer ops.Recover(&err)
	n := m.n
	if !n.Head.Segment.written() {
		if argMax {
			return fmt.Errorf("%s: its own head was kept, and its outputs stay as they are: leave --argmax out", n.Model.Path)
		}
		return nil
	}
	b := newFileBuilder(m.e, n.Model.Opset(""), m.headParam)
	y, err := n.segmentMap(b, func(value string) (head.Value, error) { return m.read(b, value) })
	if err != nil {
		return err
	}
	h, w := n.Height, n.Width
	if s := b.Shape(y); s[1] != h || s[2] != w {
		y = b.Bilinear(y, h, w)
	}
	v := fileOf(y)
	out := fileOutput{"logits", v.name, ir.Float, []int{v.dims[0], n.Head.Classes, h, w}}
	if argMax {
		out = fileOutput{"labels", b.node("ArgMax", ir.Attrs{"axis": int64(1), "keepdims": int64(0)}, v.name), ir.Int64, []int{v.dims[0], h, w}}
	}
	if b.err != nil {
		return fmt.Errorf("write the segmentation head into %s: %w", n.Model.Path, b.err)
	}
	m.report.Added = append(m.report.Added, b.added...)
	m.sized = true
	_, err = m.outputs([]fileOutput{out})
	return err
}

// VerifiedPixels compares classes of pixels, at the size of the network's input.
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
	cells [2]int
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

func (j *pixelJudge) compare(v *Verification, _ verifyCase, outs [][]float32, theirs []*ir.Tensor) error {
	h, w, k := j.Height, j.Width, j.Head.Classes
	view := head.View{Map: j.cells, Input: [2]int{h, w}, Place: transform.Placement{W: w, H: h}}
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
		if len(labels) != h*w {
			return fmt.Errorf("ONNX Runtime gives %d labels, the picture has %d pixels", len(labels), h*w)
		}
		for i, c := range labels {
			v.pixel(int(c) == int(ours[i]))
		}
		return nil
	}
	logits := t.Float32s()
	if len(logits) != k*h*w {
		return fmt.Errorf("ONNX Runtime gives %d logits for %d classes of %d×%d pixels", len(logits), k, h, w)
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
