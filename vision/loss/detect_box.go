package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/vision"
)

// maxLogSize caps the logarithm of a box's size in strides, so that a prediction
// that runs away overflows nothing.
const maxLogSize = 12

// cell is a place that predicts one box: its top left corner in cells, and the
// size of a cell in pixels.
type cell struct{ x, y, stride float64 }

// centre is the middle of the cell in pixels.
func (c cell) centre() (x, y float64) { return c.point(0.5) }

// point is a place in the cell, in pixels: at 0 its top left corner.
func (c cell) point(at float64) (x, y float64) { return (c.x + at) * c.stride, (c.y + at) * c.stride }

func cellsOf(levels []Level) []cell {
	var out []cell
	for _, l := range levels {
		for y := range l.H {
			for x := range l.W {
				out = append(out, cell{float64(x), float64(y), float64(l.Stride)})
			}
		}
	}
	return out
}

// decode turns a raw row into a box in pixels: c = (cell + raw)·stride,
// size = e^raw·stride.
func decode[T buffer.Float](c cell, raw []T) vision.Box {
	x, y := (c.x+float64(raw[0]))*c.stride, (c.y+float64(raw[1]))*c.stride
	w, h := c.size(float64(raw[2]))/2, c.size(float64(raw[3]))/2
	return vision.Box{X1: x - w, Y1: y - h, X2: x + w, Y2: y + h}
}

func (c cell) size(raw float64) float64 { return math.Exp(min(raw, maxLogSize)) * c.stride }

// toRaw turns dL/d(x1, y1, x2, y2) of a decoded box into dL/draw.
func (c cell) toRaw(b vision.Box, g [4]float64, raw [2]float64) [4]float64 {
	out := [4]float64{
		(g[0] + g[2]) * c.stride,
		(g[1] + g[3]) * c.stride,
		(g[2] - g[0]) / 2 * (b.X2 - b.X1),
		(g[3] - g[1]) / 2 * (b.Y2 - b.Y1),
	}
	for i, r := range raw {
		if r > maxLogSize {
			out[2+i] = 0
		}
	}
	return out
}

// iouGrad is the IoU of p and t and its gradient by p's x1, y1, x2, y2:
//
//	IoU = I/U,  U = |p| + |t| − I,  dIoU = (dI·(U+I) − I·d|p|)/U²
func iouGrad(p, t vision.Box) (iou float64, g [4]float64) {
	inter, dInter := intersectGrad(p, t)
	dArea := [4]float64{p.Y1 - p.Y2, p.X1 - p.X2, p.Y2 - p.Y1, p.X2 - p.X1}
	union := p.Area() + t.Area() - inter
	if union <= 0 {
		return 0, g
	}
	for i := range g {
		g[i] = (dInter[i]*(union+inter) - inter*dArea[i]) / (union * union)
	}
	return inter / union, g
}

// giouGrad is the generalised IoU and its gradient, C the smallest box around
// both (Rezatofighi et al. 2019, arXiv:1902.09630):
//
//	GIoU = IoU − (|C| − U)/|C| = IoU − 1 + U/|C|
func giouGrad(p, t vision.Box) (giou float64, g [4]float64) {
	iou, g := iouGrad(p, t)
	inter, dInter := intersectGrad(p, t)
	dArea := [4]float64{p.Y1 - p.Y2, p.X1 - p.X2, p.Y2 - p.Y1, p.X2 - p.X1}
	union := p.Area() + t.Area() - inter
	w, h := max(p.X2, t.X2)-min(p.X1, t.X1), max(p.Y2, t.Y2)-min(p.Y1, t.Y1)
	if hull := w * h; hull > 0 {
		dHull := [4]float64{where(p.X1 < t.X1, -h), where(p.Y1 < t.Y1, -w), where(p.X2 > t.X2, h), where(p.Y2 > t.Y2, w)}
		for i := range g {
			g[i] += (dArea[i]-dInter[i])/hull - union*dHull[i]/(hull*hull)
		}
		iou += union/hull - 1
	}
	return iou, g
}

// intersectGrad is the area that both boxes cover and its gradient by p.
func intersectGrad(p, t vision.Box) (area float64, g [4]float64) {
	w, h := min(p.X2, t.X2)-max(p.X1, t.X1), min(p.Y2, t.Y2)-max(p.Y1, t.Y1)
	if w <= 0 || h <= 0 {
		return 0, g
	}
	return w * h, [4]float64{where(p.X1 > t.X1, -h), where(p.Y1 > t.Y1, -w), where(p.X2 < t.X2, h), where(p.Y2 < t.Y2, w)}
}

func where(c bool, v float64) float64 {
	if c {
		return v
	}
	return 0
}
