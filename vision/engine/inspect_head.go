package engine

import (
	"fmt"
	"strings"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
)

// InspectedHead is a detection head: one that vislora recognises, or one that a
// file of its own describes in its metadata.
type InspectedHead struct {
	Kind    string `json:"kind"`
	Classes int    `json:"classes"`
	Strides []int  `json:"strides"`
	Cells   int    `json:"cells"`
	Bins    int    `json:"bins,omitempty"`
	// Decoding is how boxes come of its values.
	Decoding string `json:"decoding"`
	// Outputs are what a file of vislora's puts out, "name (shape)", in the form
	// Format; Masks are what makes the objects' masks, NMS how boxes are chosen
	// inside the file.
	Format  string       `json:"format,omitempty"`
	Outputs []string     `json:"outputs,omitempty"`
	Masks   *OutputMasks `json:"masks,omitempty"`
	NMS     *OutputNMS   `json:"nms,omitempty"`
}

// InspectedPixels is a head for classes of pixels.
type InspectedPixels struct {
	Classes int `json:"classes"`
	// Output is "logits" or "labels", of Height×Width pixels; Stride is the size
	// of a cell of the map that is enlarged to it, in pixels of the input.
	Output string `json:"output"`
	Height int    `json:"height"`
	Width  int    `json:"width"`
	Stride int    `json:"stride"`
	// OriginalSize says that the output has the size of the picture that goes in,
	// and Height and Width are 0.
	OriginalSize bool `json:"original_size,omitempty"`
}

// inspectHeads describes the heads for boxes and pixels, which are nil where
// there is none.
func (n *Network) inspectHeads() (boxes *InspectedHead, pixels *InspectedPixels, task vision.Task) {
	task = vision.Classify
	a := n.Annotation
	switch {
	case n.Head != nil:
		o := n.Head.Detect.Output
		boxes = inspectHead(o.detector())
		boxes.Format, boxes.Masks, boxes.NMS = o.Format, o.Masks, o.NMS
		for _, v := range n.outputs {
			boxes.Outputs = append(boxes.Outputs, v.Name+" "+openShape(v.Type.Dims))
		}
		if task = vision.Detect; o.Masks != nil {
			task = vision.Instance
		}
	case a.Detector != nil:
		boxes, task = inspectHead(a.Detector), vision.Detect
	default:
		if pixels = n.inspectPixels(); pixels != nil {
			task = vision.Segment
		}
	}
	return boxes, pixels, task
}

func inspectHead(d *build.Detector) *InspectedHead {
	h := &InspectedHead{Kind: d.Kind, Classes: d.Classes, Bins: d.Bins}
	for _, l := range d.Levels {
		h.Strides = append(h.Strides, l.Stride)
		h.Cells += l.H * l.W
	}
	switch d.Kind {
	case build.DetectYOLOX:
		h.Decoding = "centre = (cell + xy)·stride, size = exp(wh)·stride, score = objectness·class"
	case build.DetectGFL:
		h.Decoding = fmt.Sprintf("side = mean of a softmax over %d distances, in strides from the cell's centre; score = class", d.Bins)
	}
	return h
}

// inspectPixels looks at the output of a segmenter, and through what enlarges it.
func (n *Network) inspectPixels() *InspectedPixels {
	g, s := n.Annotation.Graph, n.Annotation.Segmenter
	if s == nil {
		return nil
	}
	out := g.Types[g.Outputs[0].Name]
	p := &InspectedPixels{Classes: s.Classes, Output: "logits", Stride: s.Stride}
	d := out.Dims
	if !isFloat(out.DType) {
		p.Output = "labels"
	} else if len(d) > 0 {
		d = g.Types[s.Output].Dims
	}
	if len(d) >= 3 {
		p.Height, p.Width = d[len(d)-2], d[len(d)-1]
	}
	if node := g.Producer()[s.Logits]; node != nil && node.Op == "Resize" {
		if from := g.Types[node.Inputs[0]].Dims; len(from) == 4 && from[2] > 0 {
			p.Stride = n.Height / from[2]
		}
	}
	if e, err := embeddedIn(n.Model); err == nil && e != nil && e.Original != nil {
		p.Output, p.Height, p.Width, p.OriginalSize = e.Original.Output, 0, 0, true
		// A head that enlarges its logits itself was looked through above.
		if d := g.Types[e.Original.Value].Dims; len(d) == 4 && d[2] > 0 && d[2] < n.Height {
			p.Stride = n.Height / d[2]
		}
	}
	return p
}

// openShape is "(?, 4)": as the file declares it.
func openShape(dims []int) string {
	parts := make([]string, len(dims))
	for i, d := range dims {
		if parts[i] = fmt.Sprint(d); d < 0 {
			parts[i] = "?"
		}
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// text is the head in two lines or three.
func (h *InspectedHead) text(p func(format string, args ...any)) {
	strides := strings.Trim(fmt.Sprint(h.Strides), "[]")
	if h.Format == "" {
		p("  detector      %s head on %d levels, strides %s, %d cells: kept when it is trained to detect", h.Kind, len(h.Strides), strides, h.Cells)
		p("                %s", h.Decoding)
		return
	}
	masks := ""
	if h.Masks != nil {
		masks = fmt.Sprintf(", masks of %d prototypes at stride %d", h.Masks.Coefficients, h.Masks.Stride)
	}
	p("  detector      %s of %d classes on %d levels, strides %s, %d cells%s, as %s says", h.Kind, h.Classes, len(h.Strides), strides, h.Cells, masks, MetaDetector)
	if h.Decoding != "" {
		p("                %s", h.Decoding)
	}
	p("                outputs (%s) %s", h.Format, strings.Join(h.Outputs, ", "))
	if h.NMS != nil {
		p("                boxes %s", h.NMS)
	}
}

// String is how boxes are chosen, in words.
func (o *OutputNMS) String() string {
	s := fmt.Sprintf("in pixels of the %s, of scores from %g on, without overlaps above %g, at most %d of an image", o.where(), o.Conf, o.IoU, o.MaxDet)
	if o.Agnostic {
		s += ", whatever their classes"
	}
	return s
}

func (s *InspectedPixels) text(p func(format string, args ...any)) {
	size := fmt.Sprintf("%d×%d", s.Height, s.Width)
	if s.OriginalSize {
		size = "at the picture's own size"
	}
	p("  pixels        %s of %d classes, %s, from a head of stride %d", s.Output, s.Classes, size, s.Stride)
}
