package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision"
)

const (
	// embedOpset is the first opset whose arithmetic broadcasts.
	embedOpset = 7
	// embedPrefix begins the names of embedded nodes and of the values between
	// them.
	embedPrefix = "vislora_preprocess/"
)

// EmbeddedPreprocess is what stands under [MetaPreprocess] in a file that does
// its own preprocessing: the fields of [vision.Preprocess], and which value the
// embedded nodes make.
type EmbeddedPreprocess struct {
	vision.Preprocess
	Embedded bool `json:"embedded"`
	// Input is the picture: uint8 (N, H, W, 3), RGB, any height and width.
	Input string `json:"input"`
	// Feeds is the float input that the model had before, now made by nodes.
	Feeds      string `json:"feeds"`
	FeedsType  string `json:"feeds_type"`  // float32 or float16
	FeedsShape []int  `json:"feeds_shape"` // −1 is open
	// Original is set where the output has the picture's own size.
	Original *OriginalSize `json:"original,omitempty"`
}

// embedPreprocess puts the whole preprocessing before the picture input of a
// model: resize, crop or padding, channel order, range, mean and deviation.
// Only operators of the standard's default domain at the file's own opset are
// used, and no control flow. The result is that of package transform, to the
// byte before the mean is taken off. old is the picture input as the file
// declares it.
func (n *Network) embedPreprocess(e *onnx.Editor, old ir.Value, pre vision.Preprocess) (*EmbeddedPreprocess, error) {
	wrap := func(err error) error { return fmt.Errorf("embed the preprocessing in %s: %w", n.Model.Path, err) }
	if err := pre.Validate(); err != nil {
		return nil, wrap(err)
	}
	if err := n.checkChannels(); err != nil {
		return nil, err
	}
	opset := n.Model.Opset("")
	if opset < embedOpset {
		return nil, wrap(fmt.Errorf("its opset is %d, in which arithmetic does not broadcast: opset %d or later is needed; convert it with onnx.version_converter", opset, embedOpset))
	}
	pic := n.Picture
	sides := old.Type.Dims[n.heightAxis():][:2]
	for i, side := range sides {
		if side > 0 && side != pre.Size[i] {
			return nil, wrap(fmt.Errorf("the file takes pictures of %d×%d, the preprocessing makes %d×%d", sides[0], sides[1], pre.Size[0], pre.Size[1]))
		}
	}
	name := imageInput(e)
	batch, param := old.Type.Dims[0], "batch"
	if len(old.Type.Params) > 0 && old.Type.Params[0] != "" {
		param = old.Type.Params[0]
	}
	err := e.ReplaceInput(old.Name, ir.Value{Name: name, Type: ir.Type{DType: ir.Uint8, Known: true,
		Dims: []int{batch, -1, -1, 3}, Params: []string{param, "image_height", "image_width", ""}}})
	if err != nil {
		return nil, wrap(err)
	}
	g := newGrapher(e, opset, embedPrefix)
	x := g.picture(name, pre)
	x = g.normalise(x, pre)
	dims := []int64{int64(batch), int64(pic.Channels), int64(pre.Size[0]), int64(pre.Size[1])}
	if pic.Channels == 1 {
		x = g.grey(x, pre)
	}
	if pic.ChannelsLast {
		x = g.transpose(x, 0, 2, 3, 1)
		dims = []int64{dims[0], dims[2], dims[3], dims[1]}
	}
	if old.Type.DType == ir.Float16 {
		x = g.cast(x, ir.Float16)
	}
	// The Reshape moves nothing; it tells readers of the file the input's size.
	g.named([]string{old.Name}, "Reshape", nil, x, g.ints(dims...))
	if g.err != nil {
		return nil, wrap(g.err)
	}
	return &EmbeddedPreprocess{Preprocess: pre, Embedded: true, Input: name, Feeds: old.Name,
		FeedsType: old.Type.DType.String(), FeedsShape: old.Type.Dims}, nil
}

// imageInput is the name that the picture gets: the first one that is free.
func imageInput(e *onnx.Editor) string {
	name := "image"
	for i := 2; e.HasValue(name); i++ {
		name = fmt.Sprintf("image_%d", i)
	}
	return name
}

// pictureValue is the picture input as the file declares it.
func (n *Network) pictureValue() ir.Value {
	i := slices.IndexFunc(n.Model.Graph.Inputs, func(v ir.Value) bool { return v.Name == n.Picture.Name })
	return n.Model.Graph.Inputs[i]
}

// picture is the resized, cropped or padded picture: whole numbers from 0 to
// 255 as float32 (N, 3, h, w), RGB.
func (g *grapher) picture(image string, pre vision.Preprocess) string {
	h, w := g.sides(image, pre)
	var x string
	if pre.Interpolation == vision.Nearest {
		x = g.cast(g.transpose(g.nearest(image, h, w), 0, 3, 1, 2), ir.Float)
	} else {
		x = g.resample(g.cast(g.transpose(image, 0, 3, 1, 2), ir.Float), h, w, pre.Interpolation)
	}
	if pre.Resize != vision.ResizeLetterbox {
		return x
	}
	mask := g.op("Mul", g.reshape(h.covered, -1, 1), g.reshape(w.covered, 1, -1))
	mask = g.cast(mask, ir.Float)
	pad := g.op("Mul", g.op("Sub", g.float(1), mask), g.float(float32(pre.Pad)))
	return g.op("Add", g.op("Mul", x, mask), pad)
}

// sides are the two axes of a picture (N, H, W, 3).
func (g *grapher) sides(image string, pre vision.Preprocess) (h, w axis) {
	shape := g.op("Shape", image)
	side := func(i int64, n int) axis {
		a := axis{n64: g.gather(shape, g.scalar(i), 0), n: n}
		a.in = g.cast(a.n64, ir.Double)
		return a
	}
	h, w = side(1, pre.Size[0]), side(2, pre.Size[1])
	g.place(&h, &w, pre)
	return h, w
}

// place computes what [transform.Place] does, in float64: all numbers are whole
// and small, so that ⌊a/b⌋ is exact, except the letterbox's scale, which is a
// float64 there too.
func (g *grapher) place(h, w *axis, pre vision.Preprocess) {
	d := g.double
	nearest := pre.Rounding == vision.RoundNearest
	switch pre.Resize {
	case vision.ResizeStretch:
		for _, a := range []*axis{h, w} {
			a.out, a.offset = d(float64(a.n)), d(0)
		}
	case vision.ResizeShorter:
		short := g.least(h.in, w.in)
		for _, a := range []*axis{h, w} {
			long := g.op("Mul", a.in, d(float64(pre.ResizeTo)))
			if nearest {
				long = g.op("Add", long, g.half(short))
			}
			a.out = g.op("Floor", g.op("Div", long, short)) // ResizeTo where a is the shorter side
			spare := g.op("Sub", a.out, d(float64(a.n)))
			if nearest {
				a.offset = g.half(spare)
			} else {
				a.offset = g.roundHalfEven(g.op("Mul", spare, d(.5)))
			}
		}
	case vision.ResizeLetterbox:
		byW, byH := g.op("Div", d(float64(w.n)), w.in), g.op("Div", d(float64(h.n)), h.in)
		scale := g.choose(g.less(byW, byH), byW, byH)
		for _, a := range []*axis{h, w} {
			v := g.op("Mul", a.in, scale)
			if nearest {
				v = g.roundHalfEven(v)
			}
			v = g.op("Floor", g.op("Add", v, d(1e-9)))
			a.out = g.least(g.most(v, d(1)), d(float64(a.n)))
			a.offset = d(0)
			if pre.Align != vision.AlignTopLeft {
				a.offset = g.op("Neg", g.half(g.op("Sub", d(float64(a.n)), a.out)))
			}
			g.cover(a)
		}
	}
}

// normalise takes range, mean and deviation off in float32, one step after the
// other as the pipeline does.
func (g *grapher) normalise(x string, pre vision.Preprocess) string {
	if pre.Channels == vision.BGR {
		x = g.gather(x, g.ints(2, 1, 0), 1)
	}
	if pre.Range == 1 {
		x = g.op("Div", x, g.float(255))
	}
	three := func(v [3]float64) string {
		return g.floats([]int{1, 3, 1, 1}, float32(v[0]), float32(v[1]), float32(v[2]))
	}
	return g.op("Div", g.op("Sub", x, three(pre.Mean)), three(pre.Std))
}

// grey is the luma of [Network.toInput].
func (g *grapher) grey(x string, pre vision.Preprocess) string {
	luma := []float32{0.299, 0.587, 0.114}
	if pre.Channels == vision.BGR {
		slices.Reverse(luma)
	}
	return g.sum(g.op("Mul", x, g.floats([]int{1, 3, 1, 1}, luma...)), 1)
}

// embeddedIn reads what a model's metadata says about embedded preprocessing,
// nil when there is none.
func embeddedIn(m *onnx.Model) (*EmbeddedPreprocess, error) {
	raw := m.Metadata[MetaPreprocess]
	if raw == "" {
		return nil, nil
	}
	var p EmbeddedPreprocess
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return nil, fmt.Errorf("%s: metadata %s: %w", m.Path, MetaPreprocess, err)
	}
	if !p.Embedded {
		return nil, nil
	}
	return &p, nil
}

// peel makes a model with embedded preprocessing look as it did before, so that
// pictures can be prepared here: the nodes before the old input go, in memory
// only, and the input is the float one again. Boxes that they move into the
// picture give way to the rows that they were chosen from. Other models stay as
// they are.
func peel(m *onnx.Model) error {
	p, err := embeddedIn(m)
	if p == nil || err != nil {
		return err
	}
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%s: its preprocessing is embedded, but metadata %s does not fit the file: %s", m.Path, MetaPreprocess, fmt.Sprintf(format, a...))
	}
	g := m.Graph
	at := slices.IndexFunc(g.Inputs, func(v ir.Value) bool { return v.Name == p.Input })
	if at < 0 || g.Inputs[at].Type.DType != ir.Uint8 {
		return bad("there is no uint8 input %q", p.Input)
	}
	t := ir.Type{DType: ir.Float, Dims: p.FeedsShape, Known: true, Params: make([]string, len(p.FeedsShape))}
	switch p.FeedsType {
	case ir.Float.String():
	case ir.Float16.String():
		t.DType = ir.Float16
	default:
		return bad("feeds_type is %q", p.FeedsType)
	}
	if len(t.Dims) != 4 || slices.ContainsFunc(t.Dims, func(d int) bool { return d == 0 || d < -1 }) {
		return bad("feeds_shape is %v", t.Dims)
	}
	if n := g.Producer()[p.Feeds]; n == nil || !strings.HasPrefix(n.Name, embedPrefix) {
		return bad("no embedded node makes %q", p.Feeds)
	}
	if err := p.unenlarge(g); err != nil {
		return bad("%v", err)
	}
	embedded := func(n *ir.Node) bool { return strings.HasPrefix(n.Name, embedPrefix) }
	for _, n := range g.Nodes {
		if embedded(n) {
			continue
		}
		for _, in := range n.Inputs {
			if in == p.Input || strings.HasPrefix(in, embedPrefix) {
				return bad("node %q reads %q", n.Name, in)
			}
		}
	}
	made := g.Producer()
	moved := func(v ir.Value) bool { return made[v.Name] != nil && embedded(made[v.Name]) }
	if slices.ContainsFunc(g.Outputs, moved) {
		o, err := detectorIn(m)
		if err != nil {
			return err
		}
		if o == nil || made[o.Value] == nil || embedded(made[o.Value]) {
			return bad("embedded nodes make outputs, and metadata %s does not say of which rows", MetaDetector)
		}
		g.Outputs = []ir.Value{{Name: o.Value, Type: ir.Type{DType: ir.Float}}}
	}
	params := g.Inputs[at].Type.Params
	if len(params) > 0 && t.Dims[0] == -1 {
		t.Params[0] = params[0]
	}
	g.Inputs[at] = ir.Value{Name: p.Feeds, Type: t}
	g.Nodes = slices.DeleteFunc(g.Nodes, embedded)
	for name := range g.Tensors {
		if strings.HasPrefix(name, embedPrefix) {
			delete(g.Tensors, name)
			delete(g.Types, name)
		}
	}
	delete(g.Types, p.Input)
	g.Types[p.Feeds] = t
	return nil
}
