package cnn

import (
	"cmp"
	"slices"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/vision/build"
)

// detector recognises a detection head: by the nodes that its exporters write, or
// by what the file computes of its predictions. nil if there is none.
func (n *network) detector() *build.Detector {
	if d := n.yolox(); d != nil {
		return d
	}
	if d := n.gfl(); d != nil {
		return d
	}
	return n.decoded()
}

// yolox finds YOLOX's head: on every level a concatenation of four box
// channels, the sigmoid of one objectness and the sigmoid of the classes, each
// straight from a 1×1 convolution.
func (n *network) yolox() *build.Detector {
	d := &build.Detector{Kind: build.DetectYOLOX}
	for _, node := range n.flow.Graph.Nodes {
		if node.Op != "Concat" || len(node.Inputs) != 3 || len(n.flow.Dims(node.Outputs[0])) != 4 {
			continue
		}
		box, object, class := n.predicts(node.In(0)), n.predicts(n.behindSigmoid(node.In(1))), n.predicts(n.behindSigmoid(node.In(2)))
		if box == nil || object == nil || class == nil || box.Out != 4 || object.Out != 1 || d.Classes != 0 && class.Out != d.Classes {
			continue
		}
		d.Classes = class.Out
		l := n.level(class)
		l.Box, l.Object = box.Y, object.Y
		l.Layers = []string{box.Path, object.Path, class.Path}
		d.Levels = append(d.Levels, l)
	}
	return finish(d)
}

// gfl finds NanoDet's head: one convolution per level, split into the classes,
// which go through a sigmoid, and 4·bins distances. The file does not decode
// them. NanoDet measures from the cell's centre, NanoDet-Plus, which alone has a
// fourth level, from its corner.
func (n *network) gfl() *build.Detector {
	d := &build.Detector{Kind: build.DetectGFL, At: .5}
	for _, node := range n.flow.Graph.Nodes {
		if node.Op != "Split" || len(node.Outputs) != 2 {
			continue
		}
		both := n.predicts(node.In(0))
		cls, box := n.flow.Dims(node.Outputs[0]), n.flow.Dims(node.Outputs[1])
		next := n.flow.Only(node.Outputs[0])
		if both == nil || both.Node.In(3) != "" || both.Node.In(4) != "" || len(cls) != 4 || len(box) != 4 || box[1]%4 != 0 || box[1] < 8 || next == nil || next.Op != "Sigmoid" ||
			d.Classes != 0 && cls[1] != d.Classes || d.Bins != 0 && box[1] != 4*d.Bins {
			continue
		}
		d.Classes, d.Bins = cls[1], box[1]/4
		l := n.level(both)
		l.Class, l.Box = node.Outputs[0], node.Outputs[1]
		l.Layers = []string{both.Path}
		d.Levels = append(d.Levels, l)
	}
	if len(d.Levels) == 4 {
		d.At = 0
	}
	return finish(d)
}

// finish sorts the levels; one level, or two of a size, are no pyramid.
func finish(d *build.Detector) *build.Detector {
	slices.SortFunc(d.Levels, func(a, b build.DetectorLevel) int { return cmp.Compare(a.Stride, b.Stride) })
	if len(d.Levels) < 2 {
		return nil
	}
	for i := 1; i < len(d.Levels); i++ {
		if d.Levels[i].Stride == d.Levels[i-1].Stride {
			return nil
		}
	}
	return d
}

// predicts returns the 1×1 convolution that makes a value.
func (n *network) predicts(value string) *layers.Layer {
	l := n.byNode[n.flow.Producer(value)]
	if l == nil || !l.Conv || l.Kernel != [2]int{1, 1} || l.Groups != 1 || l.Y != value {
		return nil
	}
	return l
}

func (n *network) behindSigmoid(value string) string {
	p := n.flow.Producer(value)
	if p == nil || p.Op != "Sigmoid" {
		return ""
	}
	return p.In(0)
}

// level describes the map on which a layer predicts classes.
func (n *network) level(class *layers.Layer) build.DetectorLevel {
	d := n.flow.Dims(class.Y)
	return build.DetectorLevel{H: d[2], W: d[3], Stride: n.stride(d[2]), Class: class.Y, ClassInput: class.X, ClassChannels: class.In}
}
