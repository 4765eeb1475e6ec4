package head

import (
	"math"

	"github.com/vislora/vislora/vision"
)

// Decode turns what a detector puts out for one image into detections, boxes in
// pixels of the network's input and not clipped to it.
type Decode struct {
	Classes int
	// Levels are the feature maps in the order of the output's cells. YOLOv8 does
	// not need them.
	Levels []Level
	// Conf is the lowest score that is kept.
	Conf float64
	// Sigmoid says that scores are logits, as [Detect] gives them. The files that
	// YOLOX, NanoDet and YOLOv8 export hold probabilities.
	Sigmoid bool
	// MultiLabel makes a detection of every class above Conf, not of the best
	// one alone.
	MultiLabel bool
	// Coefficients is the number of columns after the classes in YOLOX's rows:
	// DetectConfig.MaskCoefficients.
	Coefficients int
}

// maxLogSize caps the logarithm of a box's size in strides, as in the loss.
const maxLogSize = 12

// YOLOX decodes boxes relative to cells (Ge et al. 2021, arXiv:2107.08430):
//
//	centre = (cell + xy)·stride   size = e^wh·stride   score = objectness·class
//
//	out (A, 5+K+P): x, y, w, h, objectness, classes, coefficients of masks
func (d Decode) YOLOX(out []float32) []vision.Detection {
	found, _ := d.YOLOXCells(out)
	return found
}

// YOLOXCells is [Decode.YOLOX] that also tells the cell of each detection, whose
// row holds the coefficients of its mask.
func (d Decode) YOLOXCells(out []float32) (found []vision.Detection, cells []int) {
	width := 5 + d.Classes + d.Coefficients
	d.cells(func(a int, x, y, stride float64) {
		row := out[a*width : (a+1)*width]
		object := d.probability(row[4])
		if !(object >= d.Conf) {
			return
		}
		cx, cy := (x+float64(row[0]))*stride, (y+float64(row[1]))*stride
		w, h := math.Exp(min(float64(row[2]), maxLogSize))*stride, math.Exp(min(float64(row[3]), maxLogSize))*stride
		found = d.keep(found, centred(cx, cy, w, h), row[5:5+d.Classes], object)
		for len(cells) < len(found) {
			cells = append(cells, a)
		}
	})
	return found, cells
}

// GFL decodes the distances of a box's sides from a point, each the mean of a
// softmax over the distances 0, 1, …, bins−1 strides (Li et al. 2020,
// arXiv:2006.04388). NanoDet has 8 bins. at is where in its cell the point lies:
// 0.5 for its centre (GFL, NanoDet), 0 for its top left corner (NanoDet-Plus).
//
//	out (A, K + 4·bins): classes, then left, top, right, bottom
func (d Decode) GFL(out []float32, bins int, at float64) []vision.Detection {
	var found []vision.Detection
	width := d.Classes + 4*bins
	d.cells(func(a int, x, y, stride float64) {
		row := out[a*width : (a+1)*width]
		if _, best := top(row[:d.Classes]); !(d.probability(best) >= d.Conf) {
			return
		}
		var side [4]float64
		for i := range side {
			side[i] = expected(row[d.Classes+i*bins:d.Classes+(i+1)*bins]) * stride
		}
		cx, cy := (x+at)*stride, (y+at)*stride
		found = d.keep(found, vision.Box{X1: cx - side[0], Y1: cy - side[1], X2: cx + side[2], Y2: cy + side[3]}, row[:d.Classes], 1)
	})
	return found
}

// YOLOv5 decodes boxes relative to anchors (YOLOv5, YOLOv7; Wang et al. 2022,
// arXiv:2207.02696):
//
//	centre = (cell + 2·σ(xy) − ½)·stride   size = (2·σ(wh))²·anchor   score = σ(objectness)·σ(class)
//
//	out (A, 5+K): x, y, w, h, objectness, classes, in rows of all anchors of a cell
//
// anchors are the widths and heights in pixels, by level. All values are logits,
// whatever Sigmoid says.
func (d Decode) YOLOv5(out []float32, anchors [][][2]float64) []vision.Detection {
	var found []vision.Detection
	d.Sigmoid = true
	width := 5 + d.Classes
	for i, l := range d.Levels {
		for cell := range l.H * l.W {
			for _, anchor := range anchors[i] {
				row := out[:width]
				out = out[width:]
				object := d.probability(row[4])
				if !(object >= d.Conf) {
					continue
				}
				x, y := float64(cell%l.W)+2*d.probability(row[0])-.5, float64(cell/l.W)+2*d.probability(row[1])-.5
				w, h := 2*d.probability(row[2]), 2*d.probability(row[3])
				found = d.keep(found, centred(x*float64(l.Stride), y*float64(l.Stride), w*w*anchor[0], h*h*anchor[1]), row[5:], object)
			}
		}
	}
	return found
}

// YOLOv8 reads what Ultralytics' models export: boxes in pixels, and the scores
// of classes, cells last.
//
//	out (4+K, A): centre x, y, width, height, classes
func (d Decode) YOLOv8(out []float32) []vision.Detection {
	var found []vision.Detection
	n := len(out) / (4 + d.Classes)
	scores := make([]float32, d.Classes)
	for a := range n {
		for k := range scores {
			scores[k] = out[(4+k)*n+a]
		}
		at := func(i int) float64 { return float64(out[i*n+a]) }
		found = d.keep(found, centred(at(0), at(1), at(2), at(3)), scores, 1)
	}
	return found
}

// cells calls f with every cell's number, its column and row, and its stride.
func (d Decode) cells(f func(a int, x, y, stride float64)) {
	a := 0
	for _, l := range d.Levels {
		for y := range l.H {
			for x := range l.W {
				f(a, float64(x), float64(y), float64(l.Stride))
				a++
			}
		}
	}
}

// keep adds the detections of one box. Boxes and scores that are not numbers are
// dropped.
func (d Decode) keep(found []vision.Detection, box vision.Box, scores []float32, factor float64) []vision.Detection {
	if sum := box.X1 + box.Y1 + box.X2 + box.Y2; math.IsNaN(sum) || math.IsInf(sum, 0) {
		return found
	}
	if d.MultiLabel {
		for k, s := range scores {
			if p := d.probability(s) * factor; p >= d.Conf {
				found = append(found, vision.Detection{Class: k, Score: p, Box: box})
			}
		}
		return found
	}
	k, s := top(scores)
	if p := d.probability(s) * factor; p >= d.Conf {
		found = append(found, vision.Detection{Class: k, Score: p, Box: box})
	}
	return found
}

func (d Decode) probability(x float32) float64 {
	if d.Sigmoid {
		return 1 / (1 + math.Exp(-float64(x)))
	}
	return float64(x)
}

// top is the first of the largest values.
func top(v []float32) (at int, value float32) {
	for i, x := range v {
		if x > v[at] {
			at = i
		}
	}
	return at, v[at]
}

// expected is Σ i·pᵢ of p = softmax(v).
func expected(v []float32) float64 {
	_, peak := top(v)
	sum, weighted := 0.0, 0.0
	for i, x := range v {
		e := math.Exp(float64(x - peak))
		sum += e
		weighted += float64(i) * e
	}
	return weighted / sum
}

func centred(x, y, w, h float64) vision.Box {
	return vision.Box{X1: x - w/2, Y1: y - h/2, X2: x + w/2, Y2: y + h/2}
}
