package engine

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision"
)

// What the coordinates of chosen boxes count.
const (
	pixelsInput   = "input"   // pixels of the network's input
	pixelsPicture = "picture" // pixels of the picture that the file prepares
)

// where tells people the same; older files do not say it and mean the input.
func (o *OutputNMS) where() string {
	if o.Pixels == pixelsPicture {
		return "picture"
	}
	return "network's input"
}

// placing is how a file with embedded preprocessing puts a picture into the
// network's input.
type placing struct {
	image string // the picture's input; "" for one that is still to be made
	pre   vision.Preprocess
}

// placesBoxes reports whether boxes that are chosen behind embedded preprocessing
// are put into pixels of the picture. Masks are of the network's input, and so
// are boxes that have one.
func (n *Network) placesBoxes() bool {
	return n.Head != nil && n.Head.Detect != nil && n.Head.Detect.Masks == nil
}

// placed moves chosen boxes into the picture, as predict does
// ([transform.Placement.ToImages]): they are clipped to it, and those that lie
// outside, in the padding, are dropped.
//
//	x = min(max((x′ + offset)·in/out, 0), in)
//
// The nodes belong to the embedded preprocessing: what reads such a file leaves
// both aside.
func (m *merger) placed(c selection, p *placing) (selection, error) {
	image := p.image
	if image == "" {
		image = imageInput(m.e)
	}
	g := newGrapher(m.e, m.n.Model.Opset(""), embedPrefix)
	h, w := g.sides(image, p.pre)
	corners := func(x, y string) string {
		x, y = g.reshape(x, 1), g.reshape(y, 1)
		return g.concat(0, x, y, x, y)
	}
	in := corners(w.in, h.in)
	boxes := g.op("Add", g.cast(c.boxes, ir.Double), corners(w.offset, h.offset))
	boxes = g.op("Mul", boxes, g.op("Div", in, corners(w.out, h.out)))
	boxes = g.cast(g.op("Min", g.op("Max", boxes, g.double(0)), in), ir.Float)
	sides := g.op("Sub", g.slice(boxes, 1, 2, 4), g.slice(boxes, 1, 0, 2))
	seen := g.op("Greater", g.op("Mul", g.slice(sides, 1, 0, 1), g.slice(sides, 1, 1, 2)), g.float(0))
	seen = g.reshape(seen, -1)
	pick := func(x string) string { return g.node("Compress", ir.Attrs{"axis": int64(0)}, x, seen) }
	out := selection{pick(boxes), pick(c.scores), pick(c.labels), pick(c.images), c.rows}
	if g.err != nil {
		return out, fmt.Errorf("put boxes into the picture in %s: %w", m.n.Model.Path, g.err)
	}
	return out, nil
}
