package engine

import (
	"fmt"

	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
)

// SegmentHead describes what makes a class for every pixel of a network's
// values; all sizes follow from it and the network. Its kinds are those of
// [DetectHead] but for "neck".
type SegmentHead struct {
	Kind string `json:"kind"`
	// Values are the maps or tokens that a new head reads, finest first, with
	// their channels and strides.
	Values   []string `json:"values,omitempty"`
	Channels []int    `json:"channels,omitempty"`
	Strides  []int    `json:"strides,omitempty"`
	Width    int      `json:"width,omitempty"`
	// Depthwise makes the new head's 3×3 convolutions separable.
	Depthwise bool `json:"depthwise,omitempty"`
	// NewClasses says that the own head's last layer is replaced.
	NewClasses bool `json:"new_classes,omitempty"`
}

// modules are the new parts of a head: a pyramid over a backbone's maps, and
// what makes classes. Both are nil where the own head stays as it is.
func (d *SegmentHead) modules(n *Network) (p *head.Neck, h module, err error) {
	k := n.Head.Classes
	switch d.Kind {
	case kindOwn:
		if !d.NewClasses {
			return nil, nil, nil
		}
		if n.Annotation.Segmenter == nil {
			return nil, nil, fmt.Errorf("%s has no segmentation head of its own", n.Model.Path)
		}
		return nil, head.NewClasses(k, []int{n.Annotation.Segmenter.ClassChannels}), nil
	case kindMaps:
		if len(d.Channels) == 1 {
			return nil, head.NewSegmentFCN(head.SegmentFCNConfig{Classes: k, Channels: d.Channels[0], Width: d.Width, Depthwise: d.Depthwise}), nil
		}
		p = head.NewNeck(head.NeckConfig{Channels: d.Channels, Width: d.Width, Depthwise: d.Depthwise})
		var channels []int
		for range d.Channels {
			channels = append(channels, d.Width)
		}
		return p, head.NewSegment(head.SegmentConfig{Classes: k, Channels: channels, Width: d.Width, Depthwise: d.Depthwise}), nil
	case kindTokens:
		return nil, head.NewSegmentTokens(head.SegmentTokensConfig{Classes: k, Channels: d.Channels[0], Width: d.Width, Depthwise: d.Depthwise}), nil
	}
	return nil, nil, fmt.Errorf("a segmentation head of the kind %q: this vislora knows %s, %s, %s", d.Kind, kindOwn, kindMaps, kindTokens)
}

func (d *SegmentHead) parts(n *Network) (out []module, err error) {
	p, h, err := d.modules(n)
	if p != nil {
		out = append(out, p)
	}
	if h != nil {
		out = append(out, h)
	}
	return out, err
}

func (d *SegmentHead) values(n *Network) []string {
	s := n.Annotation.Segmenter
	switch {
	case d.Kind != kindOwn:
		return d.Values
	case d.NewClasses:
		return []string{s.ClassInput}
	}
	return []string{s.Output}
}

// NewSegmentHead puts a segmentation head on the network: its own where it has
// one (with a new last layer if its classes are others), else a new one on its
// maps or tokens.
func (n *Network) NewSegmentHead(classes []string, kept bool, seed uint64) error {
	d, err := n.segmentHead(kept)
	if err != nil {
		return err
	}
	n.Classes = classes
	n.Head = &Head{Kind: "segment", Classes: len(classes), Segment: d}
	if err := n.addHead(&seed, nil, true); err != nil {
		return err
	}
	if d.Kind == kindOwn && !d.NewClasses {
		return n.trainModule(n.Annotation.Segmenter.Layer)
	}
	return nil
}

// segmentHead chooses the kind of head.
func (n *Network) segmentHead(kept bool) (*SegmentHead, error) {
	a := n.Annotation
	if a.Segmenter != nil && a.Segmenter.Layer != "" {
		return &SegmentHead{Kind: kindOwn, NewClasses: !kept}, nil
	}
	d := &SegmentHead{Width: denseWidth, Depthwise: true}
	for _, f := range a.Features {
		if a.Family == "vit" && f.Kind == "tokens" {
			d.Kind, d.Values, d.Channels, d.Strides = kindTokens, []string{f.Value}, []int{f.Channels}, []int{f.Stride}
			return d, nil
		}
	}
	for _, f := range a.Features {
		if f.Kind == "map" && f.Stride >= 4 && f.Stride <= 32 && (len(d.Strides) == 0 || f.Stride == 2*d.Strides[len(d.Strides)-1]) {
			d.Values, d.Channels, d.Strides = append(d.Values, f.Value), append(d.Channels, f.Channels), append(d.Strides, f.Stride)
		}
	}
	if d.Kind = kindMaps; len(d.Values) == 0 {
		return nil, fmt.Errorf("%s: no maps or tokens to put a segmentation head on (vislora inspect lists what it has)", n.Model.Path)
	}
	return d, nil
}

// String tells people what the head is.
func (d *SegmentHead) String() string {
	switch {
	case d.Kind == kindOwn && d.NewClasses:
		return "the model's own, with a new last layer for the classes"
	case d.Kind == kindOwn:
		return "the model's own: its classes are the data's"
	case d.Kind == kindTokens:
		return fmt.Sprintf("new, enlarging the tokens of stride %d step by step", d.Strides[0])
	case len(d.Values) == 1:
		return fmt.Sprintf("new, convolutions on the backbone's map of stride %d", d.Strides[0])
	}
	return fmt.Sprintf("new, on a pyramid over the backbone's maps at strides %v", d.Strides)
}

// segmentLogits adds the head to a graph: (N, h, w, K).
func (n *Network) segmentLogits(g *build.Graph) (*ops.Node, error) {
	leaf := func(name string) *ops.Node { return g.Leaf(n.headName(name)) }
	y, err := n.segmentMap(head.OnGraph(g.Graph, leaf), func(value string) (head.Value, error) { return n.headInput(g, value) })
	if err != nil {
		return nil, err
	}
	return y.(*ops.Node), nil
}

// segmentMap builds the head on the values that read gives.
func (n *Network) segmentMap(b head.Builder, read func(value string) (head.Value, error)) (head.Value, error) {
	d := n.Head.Segment
	p, m, err := d.modules(n)
	if err != nil {
		return nil, err
	}
	var maps []head.Value
	for _, v := range d.values(n) {
		x, err := read(v)
		if err != nil {
			return nil, err
		}
		maps = append(maps, x)
	}
	switch h := m.(type) {
	case nil:
		return maps[0], nil
	case *head.Classes:
		return h.Build(b, 0, maps[0]), nil
	case interface {
		Build(head.Builder, []head.Value) head.Value
	}:
		if p != nil {
			maps = p.Build(b, maps)
		}
		return h.Build(b, maps), nil
	}
	return nil, fmt.Errorf("a segmentation head of the kind %q", d.Kind)
}

// written tells whether export writes nodes for the head: a kept one is the
// file's own.
func (d *SegmentHead) written() bool { return d.Kind != kindOwn || d.NewClasses }
