package onnx

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/fuse"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// PlanOptions choose the shapes that a model is specialised to.
type PlanOptions struct {
	// Batch is the number of images. Default 1.
	Batch int
	// Height and Width are those of the picture input; 0 keeps what the file
	// says, or 224 where it says nothing.
	Height, Width int
	// Shapes gives inputs other than the picture their dimensions, by name.
	Shapes map[string][]int
	// KeepBatchNorm leaves batch normalisations unfolded, so that they can be
	// trained.
	KeepBatchNorm bool
	// Unfused stops after constant folding: every node is one of the file's.
	Unfused bool
}

// DefaultSize is the side of the picture where a file leaves it open.
const DefaultSize = 224

// Picture is the input that images go into: a float tensor of four axes.
type Picture struct {
	Name          string
	ChannelsLast  bool // (N, H, W, C) instead of (N, C, H, W)
	Channels      int
	Height, Width int // 0 where the file leaves them open
}

// Picture finds the picture input.
func (m *Model) Picture() (Picture, error) {
	for _, in := range m.Graph.Inputs {
		d := in.Type.Dims
		if len(d) != 4 || (in.Type.DType != ir.Float && in.Type.DType != ir.Float16) {
			continue
		}
		p := Picture{Name: in.Name, Channels: d[1], Height: max(d[2], 0), Width: max(d[3], 0)}
		if !colours(d[1]) && colours(d[3]) {
			p = Picture{Name: in.Name, ChannelsLast: true, Channels: d[3], Height: max(d[1], 0), Width: max(d[2], 0)}
		}
		if !colours(p.Channels) {
			return p, fmt.Errorf("input %q has shape %v: no axis counts 1, 3 or 4 channels", in.Name, d)
		}
		return p, nil
	}
	return Picture{}, fmt.Errorf("%s: no input is a float tensor of four axes: this is not a vision model that takes pictures", pathOr(m.Path))
}

func colours(c int) bool { return c == 1 || c == 3 || c == 4 }

// Plan specialises the graph: concrete shapes, constants folded, patterns
// fused. The model's own graph stays as it was; tensors are shared.
func (m *Model) Plan(o PlanOptions) (*ir.Graph, error) {
	g := eval.Clone(m.Graph)
	batch := max(o.Batch, 1)
	inputs := map[string][]int{}
	for name, dims := range o.Shapes {
		inputs[name] = dims
	}
	if pic, err := m.Picture(); err == nil && inputs[pic.Name] == nil {
		inputs[pic.Name] = pic.shape(batch, o.Height, o.Width)
	}
	for _, in := range g.Inputs {
		if inputs[in.Name] != nil {
			continue
		}
		// Another input: its first axis follows the batch, the rest must be known.
		d := slices.Clone(in.Type.Dims)
		if len(d) > 0 && (d[0] == -1 || d[0] == 1) {
			d[0] = batch
		}
		if slices.Contains(d, -1) {
			return nil, fmt.Errorf("input %q has open dimensions %v: give its shape", in.Name, in.Type.Dims)
		}
		inputs[in.Name] = d
	}
	if err := eval.Infer(g, eval.Options{Inputs: inputs}); err != nil {
		return nil, inFile(m.Path, err)
	}
	if !o.Unfused {
		if err := fuse.Run(g); err != nil {
			return nil, inFile(m.Path, err)
		}
	}
	return g, nil
}

// shape is the picture's shape for a batch; 0 keeps the file's size.
func (p Picture) shape(batch, h, w int) []int {
	if h == 0 {
		if h = p.Height; h == 0 {
			h = DefaultSize
		}
	}
	if w == 0 {
		if w = p.Width; w == 0 {
			w = h
		}
	}
	if p.ChannelsLast {
		return []int{batch, h, w, p.Channels}
	}
	return []int{batch, p.Channels, h, w}
}
