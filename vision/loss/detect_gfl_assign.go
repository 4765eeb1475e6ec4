package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/vision"
)

// aligner matches cells to objects, one image at a time, by task alignment (TOOD,
// Feng et al. 2021, arXiv:2108.07755, §3.2):
//
//  1. Candidates of an object are the cells whose point lies in its box. A box so
//     small that none does gets the finest cell that its centre is in.
//  2. An object takes the TopK candidates of the highest t = s^Alpha·u^Beta, s
//     being the score of its class and u the IoU of the predicted box with it.
//  3. A cell that several objects took goes to the one of highest IoU.
//  4. The score that a match should have is q = t/max t·max u, the maxima over
//     the object's cells: the best aligned cell should be as sure as its box is
//     good.
//
// Ties go to the lower index. The exponents are TOOD's 1 and 6, k its 13; YOLOv8
// has 0.5, 6 and 10, which lets a class that is not learnt yet weigh less.
type aligner[T buffer.Float] struct {
	c     GFLConfig
	cells []cell
	k     int // classes

	boxes   []vision.Box // per cell; where decoded
	decoded []bool
	t, u    []float64 // per cell: of its match
	best    ranking
	peaks   []peak // per object
}

// peak are the largest alignment and overlap of an object's cells.
type peak struct{ t, u float64 }

func newAligner[T buffer.Float](cells []cell, classes int, c GFLConfig) *aligner[T] {
	n := len(cells)
	return &aligner[T]{
		c: c, cells: cells, k: classes,
		boxes: make([]vision.Box, n), decoded: make([]bool, n), t: make([]float64, n), u: make([]float64, n), best: newRanking(c.TopK),
	}
}

// assign fills match with the index of each cell's object, or unmatched, and
// quality with the score that its class should have; it returns the number of
// matched cells and the sum of their scores. raw holds the image's predictions.
func (s *aligner[T]) assign(raw []T, objects []object, match []int32, quality []float64) (n int, sum float64) {
	clear(s.decoded)
	for a := range match {
		match[a], quality[a] = unmatched, 0
	}
	for i := range objects {
		s.choose(raw, objects, int32(i), match)
	}
	s.peaks = s.peaks[:0]
	for range objects {
		s.peaks = append(s.peaks, peak{})
	}
	for a, i := range match {
		if i != unmatched {
			p := &s.peaks[i]
			p.t, p.u = max(p.t, s.t[a]), max(p.u, s.u[a])
		}
	}
	for a, i := range match {
		if i == unmatched {
			continue
		}
		n++
		if p := s.peaks[i]; p.t > 0 {
			quality[a] = s.t[a] / p.t * p.u
			sum += quality[a]
		}
	}
	return n, sum
}

// choose marks the cells that object i takes.
func (s *aligner[T]) choose(raw []T, objects []object, i int32, match []int32) {
	o := &objects[i]
	s.best.clear()
	for a, c := range s.cells {
		if x, y := c.point(s.c.At); x > o.box.X1 && x < o.box.X2 && y > o.box.Y1 && y < o.box.Y2 {
			t, _ := s.alignment(raw, a, o)
			s.best.add(-t, int32(a))
		}
	}
	if len(s.best.best) == 0 {
		if a := s.around(o.cx, o.cy); a >= 0 {
			s.best.add(0, int32(a))
		}
	}
	for _, r := range s.best.best {
		t, u := s.alignment(raw, int(r.at), o)
		if match[r.at] == unmatched || u > s.u[r.at] {
			match[r.at], s.t[r.at], s.u[r.at] = i, t, u
		}
	}
}

// around is the cell of the finest level that a place lies in, −1 outside.
func (s *aligner[T]) around(x, y float64) int {
	l := s.c.Levels[0]
	column, row := math.Floor(x/float64(l.Stride)), math.Floor(y/float64(l.Stride))
	if column < 0 || row < 0 || column >= float64(l.W) || row >= float64(l.H) {
		return -1
	}
	return int(row)*l.W + int(column)
}

// alignment is s^Alpha·u^Beta of a cell with an object, and u.
func (s *aligner[T]) alignment(raw []T, a int, o *object) (t, u float64) {
	width := s.k + 4*s.c.Bins
	row := raw[a*width : (a+1)*width]
	if !s.decoded[a] {
		s.boxes[a], s.decoded[a] = s.decode(a, row[s.k:]), true
	}
	u = s.boxes[a].IoU(o.box)
	return math.Pow(sigmoid(float64(row[o.class])), s.c.Alpha) * math.Pow(u, s.c.Beta), u
}

// decode turns the distributions of a cell's sides into its box.
func (s *aligner[T]) decode(a int, sides []T) vision.Box {
	var distance [4]float64
	for i := range distance {
		distance[i], _ = distribution(sides[i*s.c.Bins:(i+1)*s.c.Bins], nil)
	}
	x, y := s.cells[a].point(s.c.At)
	return boxAround(x, y, s.cells[a].stride, distance)
}

// boxAround is the box whose left, top, right and bottom sides lie so many
// strides from a point.
func boxAround(x, y, stride float64, distance [4]float64) vision.Box {
	return vision.Box{X1: x - distance[0]*stride, Y1: y - distance[1]*stride, X2: x + distance[2]*stride, Y2: y + distance[3]*stride}
}
