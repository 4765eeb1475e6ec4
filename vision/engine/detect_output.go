package engine

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
)

// The forms of a detector's outputs that export writes.
const (
	// formatRows is one output: the rows of [DetectorOutput.Value].
	formatRows = "rows"
	// formatBoxes is one output (N, 4+K, A): centre x and y, width and height in
	// pixels of the network's input, and probabilities; Ultralytics' own.
	formatBoxes = "boxes"
	// formatNMS is the boxes that non-maximum suppression leaves.
	formatNMS = "nms"
)

// DetectorOutput is what stands under [MetaDetector] in a file whose outputs
// export wrote: how rows of numbers become boxes.
type DetectorOutput struct {
	// Kind is how a row is read: "yolox", "gfl" or "yolov5" (docs/format/export.md).
	Kind string `json:"kind"`
	// Format is what the file puts out: "rows", "boxes" or "nms".
	Format string `json:"format"`
	// Value is the rows (N, A, columns): the output, or a value inside the file
	// that the outputs are made of.
	Value   string `json:"value"`
	Classes int    `json:"classes"`
	// Sigmoid says that objectness and classes in Value are probabilities; else
	// they are logits.
	Sigmoid bool `json:"sigmoid"`
	// Bins and At belong to gfl: the number of distances of a side, and where in
	// its cell the point lies that they are measured from.
	Bins int     `json:"bins,omitempty"`
	At   float64 `json:"at,omitempty"`
	// Levels are the maps whose cells the rows are, in order.
	Levels []OutputLevel `json:"levels"`
	// Masks is set where every box has a mask.
	Masks *OutputMasks `json:"masks,omitempty"`
	// NMS is set for the format "nms".
	NMS *OutputNMS `json:"nms,omitempty"`
}

// OutputLevel is one map of a detector.
type OutputLevel struct {
	Height int `json:"height"`
	Width  int `json:"width"`
	Stride int `json:"stride"` // pixels of a cell
	// Anchors of yolov5: widths and heights in pixels. Each makes a row of every
	// cell.
	Anchors [][2]float64 `json:"anchors,omitempty"`
}

// OutputMasks are what masks are made of: the last columns of a row are
// coefficients of the prototypes ([head.MaskDecode]).
type OutputMasks struct {
	Coefficients int `json:"coefficients"`
	// Stride is the size of a prototype's cell in pixels of the network's input.
	Stride int `json:"stride"`
	// Value is the prototypes (N, Coefficients, h, w), twice as fine as the first
	// level: an output, or a value inside the file.
	Value string `json:"value"`
}

// OutputNMS is how boxes are chosen inside a file.
type OutputNMS struct {
	Conf     float64 `json:"conf"`
	IoU      float64 `json:"iou"`
	MaxDet   int     `json:"max_det"`
	Agnostic bool    `json:"agnostic"`
	// Pixels are those that boxes are in: "input", of the network's input, or
	// "picture".
	Pixels string `json:"pixels"`
}

// detectorOutput describes the rows that the network's head makes, as logits,
// under a name to be filled in.
func (n *Network) detectorOutput(levels []head.Level) *DetectorOutput {
	out := &DetectorOutput{Kind: build.DetectYOLOX, Classes: n.Head.Classes}
	own := n.decoding()
	if own != nil {
		if out.Kind = own.Kind; own.Bins > 0 {
			out.Kind, out.Bins, out.At = build.DetectGFL, own.Bins, own.At
		}
	}
	for i, l := range levels {
		level := OutputLevel{Height: l.H, Width: l.W, Stride: l.Stride}
		if own != nil {
			level.Anchors = own.Levels[i].Anchors
		}
		out.Levels = append(out.Levels, level)
	}
	if m := n.Head.Detect.Masks; m != nil {
		out.Masks = &OutputMasks{Coefficients: m.Count, Stride: m.Stride}
	}
	return out
}

// decoding says how the rows that the head makes are read: as those of the
// model's own head, or of the file that says so. It is nil for a new head, whose
// rows are YOLOX's.
func (n *Network) decoding() *build.Detector {
	if d := n.Head.Detect; d != nil && d.Kind == kindFile {
		return d.Output.detector()
	}
	return n.ownDetector()
}

// probabilities reports whether objectness and classes are no logits.
func (d *DetectHead) probabilities() bool { return d.Output != nil && d.Output.Sigmoid }

// detector is the same as an annotation, without the names of values.
func (o *DetectorOutput) detector() *build.Detector {
	d := &build.Detector{Kind: o.Kind, Classes: o.Classes, Bins: o.Bins, At: o.At}
	for _, l := range o.Levels {
		d.Levels = append(d.Levels, build.DetectorLevel{H: l.Height, W: l.Width, Stride: l.Stride, Anchors: l.Anchors})
	}
	return d
}

func (o *DetectorOutput) levels() (out []head.Level) {
	for _, l := range o.Levels {
		out = append(out, head.Level{H: l.Height, W: l.Width, Stride: l.Stride})
	}
	return out
}

// rows is the number of rows, columns that of their values.
func (o *DetectorOutput) rows() (n int) {
	for _, l := range o.Levels {
		n += l.Height * l.Width * max(1, len(l.Anchors))
	}
	return n
}

func (o *DetectorOutput) columns() int {
	if o.Kind == build.DetectGFL {
		return o.Classes + 4*o.Bins
	}
	return 5 + o.Classes + o.coefficients()
}

// coefficients is the number of a row's last columns that make its mask.
func (o *DetectorOutput) coefficients() int {
	if o.Masks == nil {
		return 0
	}
	return o.Masks.Coefficients
}

// scores are the columns of classes.
func (o *DetectorOutput) scores() (from, to int) {
	if o.Kind == build.DetectGFL {
		return 0, o.Classes
	}
	return 5, 5 + o.Classes
}

// detectorIn reads what a model's metadata says about its detector, nil when it
// says nothing.
func detectorIn(m *onnx.Model) (*DetectorOutput, error) {
	raw := m.Metadata[MetaDetector]
	if raw == "" {
		return nil, nil
	}
	o := &DetectorOutput{}
	err := json.Unmarshal([]byte(raw), o)
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: metadata %s: %w", m.Path, MetaDetector, err)
	}
	return o, nil
}

// mostRows and mostPixels limit what a file may claim.
const (
	mostRows   = 1 << 24
	mostPixels = 1 << 12
)

func (o *DetectorOutput) check() error {
	switch {
	case o.Kind != build.DetectYOLOX && o.Kind != build.DetectGFL && o.Kind != build.DetectYOLOv5:
		return fmt.Errorf("kind is %q: this vislora knows %s, %s, %s", o.Kind, build.DetectYOLOX, build.DetectGFL, build.DetectYOLOv5)
	case o.Classes < 1 || o.Classes > mostRows || len(o.Levels) == 0:
		return fmt.Errorf("%d classes on %d levels", o.Classes, len(o.Levels))
	case (o.Kind == build.DetectGFL) != (o.Bins > 0) || o.Bins < 0 || o.Bins > mostRows:
		return fmt.Errorf("%d bins for the kind %s", o.Bins, o.Kind)
	case o.Masks != nil && (o.Kind != build.DetectYOLOX || o.Masks.Coefficients < 1 || o.Masks.Coefficients > mostRows || o.Masks.Stride < 1 || o.Masks.Stride > mostPixels):
		return fmt.Errorf("masks of %d coefficients at stride %d for the kind %s", o.Masks.Coefficients, o.Masks.Stride, o.Kind)
	}
	total := 0
	for i, l := range o.Levels {
		if min(l.Height, l.Width, l.Stride) < 1 || max(l.Height, l.Width, l.Stride, len(l.Anchors)) > mostPixels || (o.Kind == build.DetectYOLOv5) != (len(l.Anchors) > 0) {
			return fmt.Errorf("level %d has %d×%d cells of %d pixels and %d anchors", i, l.Height, l.Width, l.Stride, len(l.Anchors))
		}
		if total += l.Height * l.Width * max(1, len(l.Anchors)); total > mostRows {
			return fmt.Errorf("more than %d rows", mostRows)
		}
	}
	return nil
}

// fileHead is the head of a file that says how its detections are read, nil where
// it says nothing.
func (n *Network) fileHead() (*Head, error) {
	o, err := detectorIn(n.Model)
	if o == nil || err != nil {
		return nil, err
	}
	t, ok := n.Annotation.Graph.Types[o.Value]
	if want := []int{o.rows(), o.columns()}; !ok || len(t.Dims) != 3 || t.Dims[1] != want[0] || t.Dims[2] != want[1] {
		return nil, fmt.Errorf("%s: metadata %s names the value %q of %d rows of %d, and the file has %v there at %d×%d pixels", n.Model.Path, MetaDetector, o.Value, want[0], want[1], t.Dims, n.Height, n.Width)
	}
	d := &DetectHead{Kind: kindFile, Values: []string{o.Value}, Output: o}
	if m := o.Masks; m != nil {
		t, ok := n.Annotation.Graph.Types[m.Value]
		if want := []int{m.Coefficients, 2 * o.Levels[0].Height, 2 * o.Levels[0].Width}; !ok || len(t.Dims) != 4 || !slices.Equal(t.Dims[1:], want) {
			return nil, fmt.Errorf("%s: metadata %s names %q as %d prototypes of %d×%d cells, and the file has %v there at %d×%d pixels", n.Model.Path, MetaDetector, m.Value, want[0], want[1], want[2], t.Dims, n.Height, n.Width)
		}
		d.Masks, d.Values = &MaskHead{Count: m.Coefficients, Stride: m.Stride}, append(d.Values, m.Value)
	}
	return &Head{Kind: "detect", Classes: o.Classes, Detect: d}, nil
}
