package cnn

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// decoded finds the head of a file that makes its raw predictions into boxes
// itself. Nobody spells that arithmetic alike, so it is recognised by what it
// does: what follows the last convolutions is run on numbers drawn at random,
// and has to give the boxes and scores that the kind of head would.
func (n *network) decoded() *build.Detector {
	levels := n.lastPredictions()
	if len(levels) < 2 {
		return nil
	}
	for _, o := range n.flow.Graph.Outputs {
		if dt := n.flow.Graph.Types[o.Name].DType; len(n.flow.Dims(o.Name)) != 3 || dt != ir.Float && dt != ir.Float16 {
			continue
		}
		if found := n.yolov8(levels, o.Name); found != nil {
			return found
		}
		if found := n.yolov5(levels, o.Name); found != nil {
			return found
		}
	}
	return nil
}

// lastPredictions lists the 1×1 convolutions on maps of the picture that no other
// convolution follows, by level, finest first. nil if the levels are not alike.
func (n *network) lastPredictions() [][]*layers.Layer {
	var levels [][]*layers.Layer
	for stride := 4; stride <= 128; stride *= 2 {
		var level []*layers.Layer
		for _, l := range n.layers {
			d := n.flow.Dims(l.Y)
			if n.predicts(l.Y) != nil && len(d) == 4 && d[2]*stride == n.image[0] && d[3]*stride == n.image[1] && !n.layerBehind(l.Node) {
				level = append(level, l)
			}
		}
		if level == nil {
			continue
		}
		slices.SortStableFunc(level, func(a, b *layers.Layer) int { return a.Out - b.Out })
		if levels != nil && !slices.EqualFunc(level, levels[0], func(a, b *layers.Layer) bool { return a.Out == b.Out }) {
			return nil
		}
		levels = append(levels, level)
	}
	return levels
}

// yolov8 finds heads that predict classes and distributions over distances, and
// give a centre, a size and the scores of the classes for every cell, in columns
// (YOLOv8) or rows, perhaps with an objectness of 1 before the scores (YOLOv6).
func (n *network) yolov8(levels [][]*layers.Layer, output string) *build.Detector {
	if len(levels[0]) != 2 {
		return nil
	}
	for class := range 2 { // either may be the larger
		k, box := levels[0][class].Out, levels[0][1-class].Out
		if box%4 != 0 || box < 8 {
			continue
		}
		d := &build.Detector{Kind: build.DetectYOLOv8, Classes: k, Bins: box / 4}
		cells := 0
		for _, level := range levels {
			l := n.level(level[class])
			l.Box, l.Layers = level[1-class].Y, []string{level[1-class].Path, level[class].Path}
			d.Levels = append(d.Levels, l)
			cells += l.H * l.W
		}
		var width int
		switch dims := n.flow.Dims(output); {
		case dims[1] == cells:
			width = dims[2]
		case dims[2] == cells:
			width = dims[1]
		}
		if width != 4+k && width != 5+k {
			continue
		}
		t := n.tail(d, output)
		if t == nil {
			continue
		}
		defer t.run.Close()
		for _, d.At = range []float64{.5, 0} {
			if t.gives(func(raw [][]float32) [][]float64 { return distanceRows(d, raw, width == 5+k) }) {
				return d
			}
		}
	}
	return nil
}

// distanceRows are the centre, size, perhaps a 1, and scores of every cell. raw
// holds every level's classes and distributions.
func distanceRows(d *build.Detector, raw [][]float32, one bool) (rows [][]float64) {
	for i, l := range d.Levels {
		classes, box, n := raw[2*i], raw[2*i+1], l.H*l.W
		for c := range n {
			var side [4]float64
			for s := range side {
				sum := 0.0
				for j := range d.Bins {
					e := math.Exp(float64(box[(s*d.Bins+j)*n+c]))
					sum += e
					side[s] += float64(j) * e
				}
				side[s] /= sum
			}
			x, y, stride := float64(c%l.W)+d.At, float64(c/l.W)+d.At, float64(l.Stride)
			row := []float64{(x + (side[2]-side[0])/2) * stride, (y + (side[3]-side[1])/2) * stride, (side[0] + side[2]) * stride, (side[1] + side[3]) * stride}
			if one {
				row = append(row, 1)
			}
			for k := range d.Classes {
				row = append(row, sigmoid(classes[k*n+c]))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// yolov5 finds heads that predict boxes relative to anchors, and give a centre, a
// size, objectness and the scores of the classes in a row for every anchor of
// every cell, the cells of one anchor together (YOLOv5, YOLOv7). Where all
// predictions are 0, boxes are as large as their anchors.
func (n *network) yolov5(levels [][]*layers.Layer, output string) *build.Detector {
	dims := n.flow.Dims(output)
	width := dims[2]
	anchors := levels[0][0].Out / width
	d := &build.Detector{Kind: build.DetectYOLOv5, Classes: width - 5}
	rows := 0
	for _, level := range levels {
		l := n.level(level[0])
		l.Layers = []string{level[0].Path}
		d.Levels = append(d.Levels, l)
		rows += anchors * l.H * l.W
	}
	if len(levels[0]) != 1 || d.Classes < 1 || anchors*width != levels[0][0].Out || dims[1] != rows {
		return nil
	}
	t := n.tail(d, output)
	if t == nil {
		return nil
	}
	defer t.run.Close()
	_, out, err := t.on(func() float32 { return 0 })
	if err != nil {
		return nil
	}
	row := 0
	for i := range d.Levels {
		l := &d.Levels[i]
		for range anchors {
			l.Anchors = append(l.Anchors, [2]float64{float64(out[row*width+2]), float64(out[row*width+3])})
			row += l.H * l.W
		}
	}
	if !t.gives(func(raw [][]float32) [][]float64 { return anchorRows(d, raw) }) {
		return nil
	}
	return d
}

// anchorRows are the centre, size, objectness and scores of every anchor of every
// cell. raw holds every level's map.
func anchorRows(d *build.Detector, raw [][]float32) (rows [][]float64) {
	for i, l := range d.Levels {
		n := l.H * l.W
		for a, anchor := range l.Anchors {
			for c := range n {
				row := make([]float64, 5+d.Classes)
				for j := range row {
					row[j] = sigmoid(raw[i][(a*len(row)+j)*n+c])
				}
				row[0] = (float64(c%l.W) + 2*row[0] - .5) * float64(l.Stride)
				row[1] = (float64(c/l.W) + 2*row[1] - .5) * float64(l.Stride)
				row[2], row[3] = 4*row[2]*row[2]*anchor[0], 4*row[3]*row[3]*anchor[1]
				rows = append(rows, row)
			}
		}
	}
	return rows
}

func sigmoid(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }
