package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/vision"
)

// unmatched marks a cell without an object, contested one that several objects
// chose.
const (
	unmatched = -1
	contested = -2
)

// outside is the cost of a cell that is not both in an object's box and near its
// centre: such cells are taken last.
const outside = 1e5

// object is one row of the targets.
type object struct {
	row    int
	class  int
	box    vision.Box
	cx, cy float64
}

// assigner matches cells to objects, one image at a time, by SimOTA (YOLOX, Ge
// et al. 2021, arXiv:2107.08430, §2.1):
//
//  1. Candidates are the cells whose centre lies in an object's box, or within
//     Radius strides of its centre along both axes.
//  2. A pair costs Σₖ BCE(√(p_objectness·pₖ), [k = class]) + 3·(−log IoU), and
//     1e5 more where the cell is not both in the box and near the centre.
//  3. An object takes the k cheapest candidates; k is the sum of its TopK
//     largest IoUs, rounded down, at least 1.
//  4. A cell that several objects took goes to the one of lowest cost.
//
// Ties go to the lower index.
type assigner[T buffer.Float] struct {
	cells  []cell
	radius float64
	stride int // from one row of raw to the next
	width  int // of what is read of it: 5 + K

	candidates []int32
	boxes      []vision.Box // per cell; of candidates only
	others     []float64    // per cell: cost of its classes if none were the object's
	overlaps   ranking
	cheapest   ranking
}

func newAssigner[T buffer.Float](cells []cell, columns int, c DetectConfig) *assigner[T] {
	return &assigner[T]{
		cells: cells, radius: c.Radius, stride: columns, width: 5 + c.classes(columns),
		candidates: make([]int32, 0, len(cells)), boxes: make([]vision.Box, len(cells)), others: make([]float64, len(cells)),
		overlaps: newRanking(c.TopK), cheapest: newRanking(c.TopK),
	}
}

// assign fills match with the index of each cell's object, or unmatched, and iou
// with their overlap; it returns the number of matched cells. raw holds the
// image's predictions.
func (s *assigner[T]) assign(raw []T, objects []object, match []int32, iou []float64) int {
	s.findCandidates(raw, objects)
	for i := range match {
		match[i], iou[i] = unmatched, 0
	}
	for i := range objects {
		s.choose(raw, objects, int32(i), match)
	}
	n := 0
	for _, a := range s.candidates {
		if match[a] == contested {
			match[a] = s.arbitrate(raw, objects, a)
		}
		if match[a] != unmatched {
			iou[a] = s.boxes[a].IoU(objects[match[a]].box)
			n++
		}
	}
	return n
}

func (s *assigner[T]) findCandidates(raw []T, objects []object) {
	s.candidates = s.candidates[:0]
	for a := range s.cells {
		for i := range objects {
			in, near := s.place(a, &objects[i])
			if !in && !near {
				continue
			}
			row := raw[a*s.stride : a*s.stride+s.width]
			s.candidates = append(s.candidates, int32(a))
			s.boxes[a] = decode(s.cells[a], row)
			s.others[a] = others(row)
			break
		}
	}
}

// choose marks the cells that object i takes.
func (s *assigner[T]) choose(raw []T, objects []object, i int32, match []int32) {
	o := &objects[i]
	s.overlaps.clear()
	s.cheapest.clear()
	for _, a := range s.candidates {
		iou := s.boxes[a].IoU(o.box)
		s.overlaps.add(-iou, a)
		far := s.isFar(int(a), o)
		if far && s.cheapest.full() && s.cheapest.worst() < outside/2 {
			continue // it costs more than outside: most pairs end here
		}
		s.cheapest.add(s.cost(raw, a, o, iou, far), a)
	}
	sum := 0.0
	for _, r := range s.overlaps.best {
		sum -= r.value
	}
	k := min(max(int(sum), 1), len(s.cheapest.best))
	for _, r := range s.cheapest.best[:k] {
		if match[r.at] == unmatched {
			match[r.at] = i
		} else {
			match[r.at] = contested
		}
	}
}

// arbitrate is the object for which cell a costs least.
func (s *assigner[T]) arbitrate(raw []T, objects []object, a int32) int32 {
	best, lowest := int32(0), math.Inf(1)
	for i := range objects {
		o := &objects[i]
		if c := s.cost(raw, a, o, s.boxes[a].IoU(o.box), s.isFar(int(a), o)); c < lowest {
			best, lowest = int32(i), c
		}
	}
	return best
}

func (s *assigner[T]) cost(raw []T, a int32, o *object, iou float64, far bool) float64 {
	row := raw[int(a)*s.stride : int(a)*s.stride+s.width]
	p := probability(sigmoid(float64(row[4])), row[5+o.class])
	c := s.others[a] + math.Log(max(1-p, tiny)/max(p, tiny)) - 3*math.Log(iou+1e-8)
	if far {
		c += outside
	}
	return c
}

// isFar tells that a cell is not both in an object's box and near its centre.
func (s *assigner[T]) isFar(a int, o *object) bool {
	in, near := s.place(a, o)
	return !in || !near
}

// place tells whether a cell's centre is in an object's box, and whether it is
// near the object's centre.
func (s *assigner[T]) place(a int, o *object) (in, near bool) {
	c := s.cells[a]
	x, y := c.centre()
	in = x > o.box.X1 && x < o.box.X2 && y > o.box.Y1 && y < o.box.Y2
	near = math.Abs(x-o.cx) < s.radius*c.stride && math.Abs(y-o.cy) < s.radius*c.stride
	return in, near
}

// others is what a cell's classes cost when none of them is the object's:
// −Σₖ ln(1 − √(p_objectness·pₖ)), with few logarithms.
func others[T buffer.Float](row []T) (cost float64) {
	objectness, product := sigmoid(float64(row[4])), 1.0
	for _, x := range row[5:] {
		if product *= max(1-probability(objectness, x), tiny); product < 1e-200 {
			cost, product = cost-math.Log(product), 1
		}
	}
	return cost - math.Log(product)
}

// tiny is e⁻¹⁰⁰: PyTorch's cross-entropy lets no logarithm fall below −100.
const tiny = 3.720075976020836e-44

// probability is √(p_objectness·pₖ).
func probability[T buffer.Float](objectness float64, class T) float64 {
	return math.Sqrt(objectness * sigmoid(float64(class)))
}

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// ranking keeps the lowest values it was given, in ascending order; the first of
// equal values comes first.
type ranking struct {
	best []ranked
	size int
}

type ranked struct {
	value float64
	at    int32
}

func newRanking(size int) ranking { return ranking{make([]ranked, 0, size), size} }

func (r *ranking) clear() { r.best = r.best[:0] }

func (r *ranking) full() bool { return len(r.best) == r.size }

func (r *ranking) worst() float64 { return r.best[len(r.best)-1].value }

func (r *ranking) add(value float64, at int32) {
	n := len(r.best)
	switch {
	case n < r.size:
		r.best = append(r.best, ranked{})
	case value < r.best[n-1].value:
		n--
	default:
		return
	}
	for ; n > 0 && value < r.best[n-1].value; n-- {
		r.best[n] = r.best[n-1]
	}
	r.best[n] = ranked{value, at}
}
