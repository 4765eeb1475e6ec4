package engine

import (
	"fmt"

	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
)

// MaskHead describes what makes a mask of every object that a detection head
// finds: coefficients for each cell, and prototypes (YOLACT, Bolya et al. 2019,
// arXiv:1904.02689).
type MaskHead struct {
	// Count is the number of prototypes.
	Count int `json:"count"`
	// Width is the number of channels of the layers that make prototypes and, for
	// a detector's own head, coefficients.
	Width int `json:"width"`
	// Channels are those of the maps that are read, finest first; prototypes are
	// made of the first.
	Channels []int `json:"channels"`
	// Values are these maps where the head is the model's own; a new one has them
	// already.
	Values []string `json:"values,omitempty"`
	// Stride is the size of a prototype's cell in pixels of the input.
	Stride int `json:"stride"`
}

const (
	// prototypeCount is YOLACT's.
	prototypeCount = 32
	// maskWidth is the number of channels inside: the maps that prototypes are
	// made of are large, and every channel costs on each of their cells.
	maskWidth = 64
)

// count is the number of coefficients of a cell, 0 for nil.
func (m *MaskHead) count() int {
	if m == nil {
		return 0
	}
	return m.Count
}

func (m *MaskHead) coefficients() *head.Coefficients {
	return head.NewCoefficients(head.CoefficientsConfig{Channels: m.Channels, Count: m.Count, Width: m.Width})
}

func (m *MaskHead) prototypes() *head.Prototypes {
	return head.NewPrototypes(head.PrototypesConfig{Channels: m.Channels[0], Count: m.Count, Width: m.Width, Depthwise: true})
}

// NewInstanceHead puts a head on the network that finds objects and their masks:
// YOLOX's own with coefficients beside its classes, else a new one on the
// model's neck, its maps or tokens. Heads that predict distributions of distances
// (GFL, NanoDet, YOLOv8) are replaced: no loss here tells which of their cells is
// matched to which object.
func (n *Network) NewInstanceHead(classes []string, kept bool, seed uint64) error {
	d, err := n.instanceHead(kept)
	if err != nil {
		return err
	}
	return n.putDetectHead(d, classes, seed)
}

func (n *Network) instanceHead(kept bool) (*DetectHead, error) {
	det := n.Annotation.Detector
	if det == nil || det.Kind != build.DetectYOLOX {
		d, err := n.newDetectHead()
		if err != nil {
			return nil, err
		}
		finest := d.Width // of a new pyramid
		if d.Kind == kindNeck {
			finest = d.Channels[0]
		}
		d.Masks = &MaskHead{Count: prototypeCount, Width: maskWidth, Channels: []int{finest}, Stride: d.Strides[0] / 2}
		return d, d.checkMasks(n)
	}
	d := &DetectHead{Kind: kindOwn, NewClasses: !kept, Masks: &MaskHead{Count: prototypeCount, Width: maskWidth, Stride: det.Levels[0].Stride / 2}}
	for _, l := range det.Levels {
		value, channels := l.ClassInput, l.ClassChannels
		for _, f := range n.Annotation.Features { // what class and box have in common, where it is known
			if f.Kind == "neck" && f.Stride == l.Stride {
				value, channels = f.Value, f.Channels
			}
		}
		d.Masks.Values, d.Masks.Channels = append(d.Masks.Values, value), append(d.Masks.Channels, channels)
	}
	return d, d.checkMasks(n)
}

// checkMasks refuses maps as fine as the picture, and what was read from a file
// and fits no head.
func (d *DetectHead) checkMasks(n *Network) error {
	m := d.Masks
	if m == nil || d.Kind == kindFile {
		return nil
	}
	maps := 1
	if d.Kind == kindOwn && n.Annotation.Detector != nil {
		maps = len(n.Annotation.Detector.Levels)
	}
	switch {
	case m.Stride < 1:
		return fmt.Errorf("%s: its finest map has the picture's own resolution: prototypes are to be finer than the maps of a detector", n.Model.Path)
	case m.Count < 1 || m.Width < 1 || len(m.Channels) != maps || d.Kind == kindOwn && len(m.Values) != maps:
		return fmt.Errorf("masks of %d prototypes, %d channels wide, on maps %q of %v channels do not fit a detection head of the kind %q with %d maps", m.Count, m.Width, m.Values, m.Channels, d.Kind, maps)
	}
	return nil
}

// ownMasks makes coefficients (N, H, W, P) on each level of the model's own head,
// and prototypes (N, h, w, P); both are nil for boxes alone.
func (n *Network) ownMasks(b head.Builder, read func(value string) (head.Value, error)) (coefficients []head.Value, prototypes head.Value, err error) {
	m := n.Head.Detect.Masks
	if m == nil {
		return nil, nil, nil
	}
	branch := m.coefficients()
	var maps []head.Value
	for i, v := range m.Values {
		x, err := read(v)
		if err != nil {
			return nil, nil, err
		}
		maps = append(maps, x)
		coefficients = append(coefficients, branch.Build(b, i, x))
	}
	return coefficients, m.prototypes().Build(b, maps), nil
}
