package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
)

// The kinds of [DetectHead].
const (
	// kindOwn is the detection head that the model came with.
	kindOwn = "own"
	// kindNeck, kindMaps and kindTokens are a new head: on the maps that the
	// model's own neck makes, on a new pyramid over a backbone's maps, on a
	// simple feature pyramid over a transformer's tokens.
	kindNeck   = "neck"
	kindMaps   = "maps"
	kindTokens = "tokens"
	// kindFile is what the file itself makes of its head, and says how to read.
	kindFile = "file"
)

// DetectHead describes what makes boxes of a network's values. All sizes follow
// from it and the network, so that a saved head needs nothing else.
type DetectHead struct {
	Kind string `json:"kind"`
	// Values are the maps or tokens that a new head reads, finest first, with
	// their channels and strides.
	Values   []string `json:"values,omitempty"`
	Channels []int    `json:"channels,omitempty"`
	Strides  []int    `json:"strides,omitempty"`
	Width    int      `json:"width,omitempty"`
	// Depthwise makes the new head's 3×3 convolutions separable.
	Depthwise bool `json:"depthwise,omitempty"`
	// Prefix counts the tokens before the grid.
	Prefix int `json:"prefix,omitempty"`
	// NewClasses says that the own head's class layers are replaced.
	NewClasses bool `json:"new_classes,omitempty"`
	// Masks makes a mask of every object; nil for boxes alone.
	Masks *MaskHead `json:"masks,omitempty"`
	// Output is what a file says of the rows that it makes.
	Output *DetectorOutput `json:"output,omitempty"`
}

// module is a part of a head with parameters.
type module interface {
	Params() []head.Param
	Init(seed uint64)
}

// pyramid makes the maps of several sizes that a detection head reads.
type pyramid interface {
	module
	Build(b head.Builder, maps []head.Value) []head.Value
}

// modules are the new parts of a head: classes of its own head, or pyramid and
// head. pyramid is nil where the maps are read as they are.
func (d *DetectHead) modules(n *Network) (p pyramid, h module, err error) {
	k := n.Head.Classes
	if err := d.checkMasks(n); err != nil {
		return nil, nil, err
	}
	switch d.Kind {
	case kindFile:
		return nil, nil, nil
	case kindOwn:
		if !d.NewClasses {
			return nil, nil, nil
		}
		det := n.Annotation.Detector
		if det == nil {
			return nil, nil, fmt.Errorf("%s has no detection head of its own", n.Model.Path)
		}
		var channels []int
		box := 0
		for _, l := range det.Levels {
			channels = append(channels, l.ClassChannels)
			if l.Joint() {
				box = 4 * det.Bins
			}
		}
		return nil, head.NewPredictions(k, box, channels), nil
	case kindNeck:
		return nil, head.NewDetect(head.DetectConfig{Classes: k, Channels: d.Channels, Width: d.Width, Depthwise: d.Depthwise, MaskCoefficients: d.Masks.count()}), nil
	case kindMaps:
		p = head.NewNeck(head.NeckConfig{Channels: d.Channels, Width: d.Width, PAN: true, Depthwise: d.Depthwise})
	case kindTokens:
		p = head.NewPyramid(head.PyramidConfig{Channels: d.Channels[0], Width: d.Width})
	default:
		return nil, nil, fmt.Errorf("a detection head of the kind %q: this vislora knows %s, %s, %s, %s", d.Kind, kindOwn, kindNeck, kindMaps, kindTokens)
	}
	channels := slices.Repeat([]int{d.Width}, len(d.Strides))
	return p, head.NewDetect(head.DetectConfig{Classes: k, Channels: channels, Width: d.Width, Depthwise: d.Depthwise, MaskCoefficients: d.Masks.count()}), nil
}

// parts are the new modules of the head.
func (d *DetectHead) parts(n *Network) (out []module, err error) {
	p, m, err := d.modules(n)
	if p != nil {
		out = append(out, p)
	}
	if m != nil {
		out = append(out, m)
	}
	if d.Masks != nil && d.Kind != kindFile && err == nil {
		if d.Kind == kindOwn {
			out = append(out, d.Masks.coefficients())
		}
		out = append(out, d.Masks.prototypes())
	}
	return out, err
}

// headParams lists the parameters of the network's head, with fresh values if
// seed is not nil.
func (n *Network) headParams(seed *uint64) ([]head.Param, error) {
	h := n.Head
	d := h.dense()
	if d == nil {
		c := head.Classifier{In: h.In, Classes: h.Classes}
		w, b := make([]float32, c.In*c.Classes), make([]float32, c.Classes)
		if seed != nil {
			w, b = c.Init(*seed)
		}
		return []head.Param{{Name: head.Weight, Dims: []int{c.Classes, c.In}, Data: w}, {Name: head.Bias, Dims: []int{c.Classes}, Data: b}}, nil
	}
	parts, err := d.parts(n)
	if err != nil {
		return nil, err
	}
	var out []head.Param
	for _, x := range parts {
		if seed != nil {
			x.Init(*seed)
			n.keepBoxes(x)
		}
		out = append(out, x.Params()...)
	}
	for i := range out {
		out[i].Name = n.headName(out[i].Name)
	}
	return out, nil
}

// keepBoxes gives the new layers of a head of its own the rows that make boxes as
// the replaced layers have them.
func (n *Network) keepBoxes(m module) {
	det := n.ownDetector()
	if det == nil || !det.Levels[0].Joint() {
		return
	}
	params := m.Params()
	for i, l := range det.Levels {
		for j, part := range []string{".weight", ".bias"} {
			p := params[2*i+j]
			rows := p.Data[len(p.Data)-4*det.Bins*len(p.Data)/p.Dims[0]:]
			clear(rows)
			if t := n.Annotation.Graph.Tensors[n.Annotation.Params[l.Layers[0]+part]]; t != nil {
				old := t.Float32s()
				copy(rows, old[len(old)-len(rows):])
			}
		}
	}
}

// ownDetector is the detection head that the model came with, nil when the
// network's head is another.
func (n *Network) ownDetector() *build.Detector {
	if n.Head == nil || n.Head.Detect == nil || n.Head.Detect.Kind != kindOwn {
		return nil
	}
	return n.Annotation.Detector
}

// headName is a new head's parameter as the network has it: a model that is a
// detector may have modules of the same names.
func (n *Network) headName(name string) string {
	module, _, _ := strings.Cut(name, ".")
	for own := range n.Annotation.Params {
		if strings.HasPrefix(own, module+".") {
			return "new_" + name
		}
	}
	return name
}

// addHead gives the network the parameters of its head: fresh ones, or those
// that values holds by name.
func (n *Network) addHead(seed *uint64, values map[string][]float32, train bool) error {
	params, err := n.headParams(seed)
	if err != nil {
		return err
	}
	n.headNames = n.headNames[:0]
	for _, p := range params {
		if seed == nil {
			v, ok := values[p.Name]
			if !ok || len(v) != len(p.Data) {
				return fmt.Errorf("the head's tensor %s is missing or has %d values, not %d (%v)", p.Name, len(v), len(p.Data), p.Dims)
			}
			p.Data = v
		}
		if _, err := n.Net.AddParam(p.Name, p.Data, train, p.Dims...); err != nil {
			return err
		}
		n.headNames = append(n.headNames, p.Name)
	}
	return nil
}

// NewDetectHead puts a detection head on the network: its own where it has one
// (with new class layers if its classes are others), else a new one on its maps
// or tokens.
func (n *Network) NewDetectHead(classes []string, kept bool, seed uint64) error {
	d, err := n.detectHead(kept)
	if err != nil {
		return err
	}
	return n.putDetectHead(d, classes, seed)
}

func (n *Network) putDetectHead(d *DetectHead, classes []string, seed uint64) error {
	n.Classes = classes
	n.Head = &Head{Kind: "detect", Classes: len(classes), Detect: d}
	if err := n.addHead(&seed, nil, true); err != nil {
		return err
	}
	if d.Kind != kindOwn {
		return nil
	}
	// The layers that predict are small and train whole; those of classes that
	// were replaced are not used.
	for _, l := range n.Annotation.Detector.Levels {
		layers := l.Layers
		if d.NewClasses {
			layers = layers[:len(layers)-1]
		}
		for _, path := range layers {
			if err := n.trainModule(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// detectHead chooses the kind of head.
func (n *Network) detectHead(kept bool) (*DetectHead, error) {
	if a := n.Annotation; a.Detector != nil && a.Detector.Kind != build.DetectYOLOv5 { // whose anchors no loss here knows
		return &DetectHead{Kind: kindOwn, NewClasses: !kept}, nil
	}
	return n.newDetectHead()
}

// newDetectHead is a head on the model's neck, maps or tokens.
func (n *Network) newDetectHead() (*DetectHead, error) {
	a := n.Annotation
	of := func(kind string) (d DetectHead) {
		for _, f := range a.Features {
			if f.Kind == kind && (f.Stride == 8 || f.Stride == 16 || f.Stride == 32) {
				d.Values, d.Channels, d.Strides = append(d.Values, f.Value), append(d.Channels, f.Channels), append(d.Strides, f.Stride)
			}
		}
		return d
	}
	if d := of("neck"); len(d.Values) > 1 {
		d.Kind, d.Width, d.Depthwise = kindNeck, denseWidth, true
		return &d, nil
	}
	if a.Family == "vit" {
		for _, f := range a.Features {
			if f.Kind == "tokens" {
				p := head.NewPyramid(head.PyramidConfig{Channels: f.Channels, Width: denseWidth})
				return &DetectHead{Kind: kindTokens, Values: []string{f.Value}, Channels: []int{f.Channels}, Strides: p.Strides(f.Stride), Width: denseWidth, Prefix: f.Prefix, Depthwise: true}, nil
			}
		}
	}
	if d := of("map"); len(d.Values) > 0 {
		d.Kind, d.Width, d.Depthwise = kindMaps, denseWidth, true
		return &d, nil
	}
	return nil, fmt.Errorf("%s: no maps or tokens to put a detection head on (vislora inspect lists what it has)", n.Model.Path)
}

// denseWidth is the number of channels of a new pyramid and of a new head on
// maps.
const denseWidth = 128

// String tells people what the head is.
func (d *DetectHead) String() string {
	s := d.kind()
	if d.Masks != nil {
		s += fmt.Sprintf("; masks of %d prototypes at stride %d", d.Masks.Count, d.Masks.Stride)
	}
	return s
}

func (d *DetectHead) kind() string {
	switch d.Kind {
	case kindFile:
		return "the file's own"
	case kindOwn:
		if d.NewClasses {
			return "the model's own, with new layers for the classes"
		}
		return "the model's own: its classes are the data's"
	case kindNeck:
		return fmt.Sprintf("new, on the model's neck at strides %v", d.Strides)
	case kindTokens:
		return fmt.Sprintf("new, on a simple feature pyramid of the tokens at strides %v", d.Strides)
	}
	return fmt.Sprintf("new, on a pyramid over the backbone's maps at strides %v", d.Strides)
}

// values lists what has to be built for the head.
func (d *DetectHead) values(n *Network) []string {
	if d.Kind != kindOwn {
		return d.Values
	}
	var out []string
	for _, l := range n.Annotation.Detector.Levels {
		of := []string{l.Box, l.Object, l.Class}
		switch {
		case d.NewClasses && l.Joint():
			of = []string{l.ClassInput}
		case d.NewClasses:
			of[2] = l.ClassInput
		}
		out = append(out, slices.DeleteFunc(of, func(v string) bool { return v == "" })...)
	}
	if d.Masks != nil {
		out = append(out, d.Masks.Values...)
	}
	return out
}

// rows is the value of a file that is rows already, "" where there is none.
func (d *DetectHead) rows() string {
	if d.Kind != kindFile {
		return ""
	}
	return d.Output.Value
}

// raw adds the head to a graph: the rows that predictions makes, and prototypes,
// which are nil where the head makes boxes alone.
func (n *Network) raw(g *build.Graph) (y, prototypes *ops.Node, levels []head.Level, err error) {
	on := head.OnGraph(g.Graph, func(name string) *ops.Node { return g.Leaf(n.headName(name)) })
	p, err := n.predictions(on, func(value string) (head.Value, error) {
		if value == n.Head.Detect.rows() {
			return g.Value(value)
		}
		return n.headInput(g, value)
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if p.prototypes != nil {
		prototypes = p.prototypes.(*ops.Node)
	}
	return p.rows.(*ops.Node), prototypes, p.levels, nil
}

// predicted is what a detection head makes.
type predicted struct {
	// rows are (N, A, 5+K) for YOLOX's decoding and, A then counting anchors,
	// YOLOv5's, (N, A, K+4·bins) for GFL's. Coefficients of masks follow.
	rows head.Value
	// prototypes are (N, h, w, P), nil for boxes alone.
	prototypes head.Value
	// levels are those that the cells are of.
	levels []head.Level
}

// predictions makes the head with a builder. read gives what the network
// computes: maps, or rows that are made already.
func (n *Network) predictions(b head.Builder, read func(value string) (head.Value, error)) (*predicted, error) {
	d := n.Head.Detect
	p, m, err := d.modules(n)
	if err != nil {
		return nil, err
	}
	switch d.Kind {
	case kindOwn:
		return n.ownPredictions(b, m, read)
	case kindFile:
		out := &predicted{levels: d.Output.levels()}
		if out.rows, err = read(d.Values[0]); err == nil && d.Masks != nil {
			out.prototypes, err = read(d.Values[1])
		}
		return out, err
	}
	var maps []head.Value
	for _, v := range d.Values {
		x, err := read(v)
		if err != nil {
			return nil, err
		}
		maps = append(maps, x)
	}
	if p != nil {
		maps = p.Build(b, maps)
	}
	out := &predicted{levels: head.LevelsOf(b, maps, d.Strides)}
	if d.Masks != nil {
		out.prototypes = d.Masks.prototypes().Build(b, maps)
	}
	out.rows = m.(*head.Detect).Build(b, maps)
	return out, nil
}

// headInput is a map (N, H, W, C): a map of the network, or its grid of tokens.
func (n *Network) headInput(g *build.Graph, value string) (*ops.Node, error) {
	if len(n.Annotation.Graph.Types[value].Dims) == 4 {
		return g.Map(value)
	}
	x, err := g.Value(value)
	if err != nil {
		return nil, err
	}
	f := n.feature(value)
	if f == nil {
		return nil, fmt.Errorf("%s: %q is no grid of tokens", n.Model.Path, value)
	}
	s := ops.Shape(x)
	if s[1] != f.Prefix+f.Grid[0]*f.Grid[1] {
		return nil, fmt.Errorf("%s: %d tokens are no grid of %d×%d", n.Model.Path, s[1]-f.Prefix, f.Grid[0], f.Grid[1])
	}
	return g.Reshape(g.Slice(x, 1, f.Prefix, s[1]-f.Prefix, 1), s[0], f.Grid[0], f.Grid[1], s[2]), nil
}

func (n *Network) feature(value string) *build.Feature {
	for i, f := range n.Annotation.Features {
		if f.Value == value {
			return &n.Annotation.Features[i]
		}
	}
	return nil
}

// ownPredictions joins what the model's own head predicts, and what makes masks;
// classes are its new layers, nil where it keeps its own.
func (n *Network) ownPredictions(b head.Builder, classes module, read func(value string) (head.Value, error)) (*predicted, error) {
	det := n.Annotation.Detector
	if det == nil {
		return nil, errors.New("the model has no detection head of its own")
	}
	coefficients, prototypes, err := n.ownMasks(b, read)
	if err != nil {
		return nil, err
	}
	out := &predicted{prototypes: prototypes}
	var cells []head.Value
	for i, l := range det.Levels {
		from := []string{l.Class, l.Box}
		switch {
		case det.Kind == build.DetectYOLOX:
			from = []string{l.Box, l.Object, l.Class}
		case l.Anchors != nil || classes != nil && l.Joint():
			from = []string{l.Class}
		}
		var parts []head.Value
		for _, v := range from {
			made, ok := classes.(*head.Classes)
			if ok = ok && v == l.Class; ok {
				v = l.ClassInput
			}
			x, err := read(v)
			if err != nil {
				return nil, err
			}
			if ok {
				x = made.Build(b, i, x)
			}
			if det.Kind == build.DetectYOLOX && len(parts) > 0 {
				x = b.Scores(x)
			}
			parts = append(parts, x)
		}
		if coefficients != nil {
			parts = append(parts, coefficients[i])
		}
		x := b.Concat(parts...)
		s := b.Shape(x)
		out.levels = append(out.levels, head.Level{H: s[1], W: s[2], Stride: l.Stride})
		cells = append(cells, b.Cells(x, max(1, len(l.Anchors))))
	}
	out.rows = b.Join(cells...)
	return out, nil
}
