package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// originalPrefix begins the names of the nodes that enlarge an output to the
// picture's own size, and of the values between them.
const originalPrefix = "vislora_original/"

// OriginalSize is part of [EmbeddedPreprocess] where the file's output has the
// size of the picture that went in.
type OriginalSize struct {
	// Value is the map of logits that the output is made of, float32
	// (N, K, h, w).
	Value string `json:"value"`
	Shape []int  `json:"shape"` // −1 is open
	// Output is "logits" or "labels".
	Output string `json:"output"`
}

// pixelMap is a map of logits (N, h, w, K) in a file, (N, K, h, w) there.
type pixelMap struct {
	name string
	dims []int
}

// enlarges reports whether an export writes an output of the picture's own size:
// asked for, or of a base model that has one and gets another.
func (l *Loaded) enlarges(c ExportConfig, has *EmbeddedPreprocess) bool {
	if c.OriginalSize {
		return true
	}
	return has != nil && has.Original != nil && l.Head != nil && l.Head.Segment != nil && (c.ArgMax || l.Head.Segment.written())
}

// originalSize enlarges the map that segmenter left to the size of the picture,
// and makes it the file's output, or its classes with o.argMax. p takes down what
// it is made of.
//
//	logits (N, K, height, width)   labels (N, height, width) int64
//
// Every pixel is read where [head.View] reads it: padding is cut off, and pixels
// that a crop left out have the nearest that was seen.
func (n *Network) originalSize(e *onnx.Editor, p *EmbeddedPreprocess, o outputs) error {
	x := o.original
	g := newGrapher(e, n.Model.Opset(""), originalPrefix)
	h, w := g.sides(p.Input, p.Preprocess)
	rows, columns := g.readings(h, x.dims[1]), g.readings(w, x.dims[2])
	y := g.op("MatMul", g.op("MatMul", rows, x.name), g.transpose(columns, 1, 0))
	out := fileOutput{"logits", y, ir.Float, []int{x.dims[0], x.dims[3], -1, -1}}
	if o.argMax {
		out = fileOutput{"labels", g.labels(y), ir.Int64, []int{x.dims[0], -1, -1}}
	}
	if g.err != nil {
		return fmt.Errorf("enlarge the output of %s: %w", n.Model.Path, g.err)
	}
	p.Original = &OriginalSize{x.name, []int{x.dims[0], x.dims[3], x.dims[1], x.dims[2]}, out.name}
	_, err := (&merger{n: n, e: e}).outputs([]fileOutput{out})
	return err
}

// readings are the weights (pixels, cells) with which the pixels of one side of a
// picture read a map over the input, linearly. Pixel i lies at
//
//	u = (i + ½)·out/in·cells/n − offset·cells/n − ½
//
// cut to the map, and cell j weighs max(0, 1 − |u − j|). u is float64, as in
// package head.
func (g *grapher) readings(a axis, cells int) string {
	perPixel := g.double(float64(cells) / float64(a.n))
	scale := g.op("Mul", g.op("Div", a.out, a.in), perPixel)
	u := g.op("Mul", g.op("Add", g.counting(a.n64), g.double(.5)), scale)
	u = g.op("Sub", g.op("Sub", u, g.op("Mul", a.offset, perPixel)), g.double(.5))
	u = g.least(g.most(u, g.double(0)), g.double(float64(cells-1)))
	number := make([]float64, cells)
	for j := range number {
		number[j] = float64(j)
	}
	apart := g.op("Abs", g.op("Sub", g.reshape(u, -1, 1), g.doubles([]int{1, cells}, number...)))
	return g.cast(g.positive(g.op("Sub", g.double(1), apart)), ir.Float)
}

// unenlarge makes the map of logits the output again, in memory only: here
// predictions are enlarged to every picture's size by themselves.
func (p *EmbeddedPreprocess) unenlarge(g *ir.Graph) error {
	o := p.Original
	if o == nil {
		return nil
	}
	if len(o.Shape) != 4 || slices.ContainsFunc(o.Shape, func(d int) bool { return d == 0 || d < -1 }) {
		return fmt.Errorf("original.shape is %v", o.Shape)
	}
	enlarging := func(n *ir.Node) bool { return n != nil && strings.HasPrefix(n.Name, originalPrefix) }
	made := g.Producer()
	if n := made[o.Value]; n == nil || enlarging(n) || len(g.Outputs) != 1 || !enlarging(made[g.Outputs[0].Name]) {
		return fmt.Errorf("the output is not enlarged from %q", o.Value)
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, enlarging)
	delete(g.Types, g.Outputs[0].Name)
	for name := range g.Tensors {
		if strings.HasPrefix(name, originalPrefix) {
			delete(g.Tensors, name)
			delete(g.Types, name)
		}
	}
	t := ir.Type{DType: ir.Float, Dims: o.Shape, Known: true, Params: make([]string, 4)}
	g.Types[o.Value] = t
	g.Outputs = []ir.Value{{Name: o.Value, Type: t}}
	return nil
}
