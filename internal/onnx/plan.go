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
	// says, or 224 where it says nothing. Where the file fixes another size,
	// what it wrote down about it follows, and a vision transformer's position
	// embedding is interpolated (bicubic with antialiasing, as timm does it);
	// a graph that cannot follow is refused with the name of the node.
	Height, Width int
	// Shapes gives inputs other than the picture their dimensions, by name.
	Shapes map[string][]int
	// Bind makes constants of inputs: small ones that decide shapes (see
	// [Model.ShapeInputs]), or a flag that chooses the branch of an If. They
	// are no inputs of the planned graph.
	Bind map[string]*ir.Tensor
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
	g.Opset = max(g.Opset, minOpset) // Parse has made sure that nothing older changed its meaning
	if err := bind(g, o.Bind); err != nil {
		return nil, inFile(m.Path, err)
	}
	batch := max(o.Batch, 1)
	inputs := map[string][]int{}
	for name, dims := range o.Shapes {
		inputs[name] = dims
	}
	if pic, err := m.Picture(); err == nil && inputs[pic.Name] == nil && o.Bind[pic.Name] == nil {
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
	if err := eval.Infer(g, eval.Options{Inputs: inputs, MaxBytes: graphMemory + graphMemoryPerByte*m.bytes()}); err != nil {
		return nil, m.unsupported(err)
	}
	if !o.Unfused {
		if err := fuse.RunWith(g, fuse.Options{KeepBatchNorm: o.KeepBatchNorm}); err != nil {
			return nil, inFile(m.Path, err)
		}
	}
	return g, nil
}

// bytes is the size of what was really read: the file, or its tensors where
// they lie in files of their own.
func (m *Model) bytes() int {
	n := 0
	for _, t := range m.Graph.Tensors {
		n += len(t.Raw)
	}
	return max(n, int(m.Size))
}

// bind turns inputs into tensors of the graph.
func bind(g *ir.Graph, values map[string]*ir.Tensor) error {
	for name, t := range values {
		i := slices.IndexFunc(g.Inputs, func(v ir.Value) bool { return v.Name == name })
		if i < 0 {
			return fmt.Errorf("bind input %q: the model has no such input", name)
		}
		if want := g.Inputs[i].Type.DType; want != t.DType && want != ir.Undefined {
			return fmt.Errorf("bind input %q: it is %v, given %v", name, want, t.DType)
		}
		c := *t
		c.Name = name
		g.Tensors[name] = &c
		g.Inputs = slices.Delete(slices.Clone(g.Inputs), i, i+1)
	}
	return nil
}

// shapeSlots are the inputs of operators that decide the shape of an output, or
// what is computed at all.
var shapeSlots = map[string][]int{
	"Reshape": {1}, "Expand": {1}, "Tile": {1}, "Resize": {1, 2, 3}, "Upsample": {1}, "Slice": {1, 2, 3, 4}, "Pad": {1, 3},
	"Squeeze": {1}, "Unsqueeze": {1}, "Split": {1}, "TopK": {1}, "OneHot": {1}, "ConstantOfShape": {0}, "Range": {0, 1, 2},
	"ReduceSum": {1}, "ReduceMean": {1}, "ReduceMax": {1}, "ReduceMin": {1}, "ReduceProd": {1}, "ReduceL1": {1}, "ReduceL2": {1},
	"ReduceSumSquare": {1}, "ReduceLogSum": {1}, "ReduceLogSumExp": {1}, "CumSum": {1}, "Trilu": {1}, "If": {0},
	"CenterCropPad": {1}, "Col2Im": {1, 2}, "AffineGrid": {1}, "MaxUnpool": {2}, "Dropout": {1, 2},
}

// ShapeInputs lists the model's inputs that decide shapes: those that a
// shape-deciding operand is computed from, without going through a picture's
// worth of data (floats of a rank above 1). [PlanOptions.Bind] takes their
// values.
func (m *Model) ShapeInputs() []string {
	producer := producers(m.Graph, map[string]*ir.Node{})
	reach := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		if name == "" || reach[name] {
			return
		}
		reach[name] = true
		if p := producer[name]; p != nil && p.Op != "Shape" && p.Op != "Size" {
			for _, in := range p.Inputs {
				walk(in)
			}
			for _, sub := range p.Subgraphs {
				for _, v := range sub.Outputs {
					walk(v.Name)
				}
			}
		}
	}
	var scan func(g *ir.Graph)
	scan = func(g *ir.Graph) {
		for _, n := range g.Nodes {
			for _, slot := range shapeSlots[n.Op] {
				walk(n.In(slot))
			}
			for _, sub := range n.Subgraphs {
				scan(sub)
			}
		}
	}
	scan(m.Graph)
	var out []string
	for _, in := range m.Graph.Inputs {
		large := (in.Type.DType == ir.Float || in.Type.DType == ir.Float16 || in.Type.DType == ir.Double) && len(in.Type.Dims) > 1
		if reach[in.Name] && !large {
			out = append(out, in.Name)
		}
	}
	return out
}

// producers maps the values of a graph and of the branches in it to the nodes
// that make them.
func producers(g *ir.Graph, out map[string]*ir.Node) map[string]*ir.Node {
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			out[o] = n
		}
		for _, sub := range n.Subgraphs {
			producers(sub, out)
		}
	}
	return out
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
