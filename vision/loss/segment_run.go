package loss

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// segmenter is [Segment] bound to its memory.
type segmenter[T buffer.Float] struct {
	c       SegmentConfig
	env     *ops.Env
	n, h, w int // of the labels
	k       int
	maps    *enlarged[T]
	labels  []int64
	report  []T         // nil: not wanted
	borders *borders[T] // nil: no such weight

	p    []float64 // probabilities of one pixel
	sum  float64   // of the first term, this shard's
	norm float64   // Σ wᵢ, this shard's
	bad  int       // labels that are no class

	// Per class, for the Dice loss: Σ p·[y = k], Σ p² and Σ [y = k], views of
	// totals, which the shards add up.
	totals                   []float64
	inter, squares, presence []float64
	onTarget, onSelf         []float64 // dD/dp = onTarget·[y = k] + onSelf·p
}

func newSegmenter[T buffer.Float](e *ops.Env, c SegmentConfig) *segmenter[T] {
	ls, k := e.In[1].Shape, e.In[0].Shape[3]
	s := &segmenter[T]{
		c: c, env: e, n: ls[0], h: ls[1], w: ls[2], k: k, labels: e.In[1].I64(),
		maps: newEnlarged[T](e.In[0], e.Slots[0], e.Scratch, ls[1], ls[2]),
		p:    make([]float64, k), totals: make([]float64, 2), onTarget: make([]float64, k), onSelf: make([]float64, k),
	}
	if e.Slots[1] != nil {
		s.report = buffer.Floats[T](e.Slots[1])
	}
	if c.Boundary > 0 {
		s.borders = newBorders[T](s.h, s.w, e.Scratch[3])
	}
	if c.Dice > 0 {
		s.totals = make([]float64, 2+3*k)
		s.inter, s.squares, s.presence = s.totals[2:2+k], s.totals[2+k:2+2*k], s.totals[2+2*k:]
	}
	return s
}

func (s *segmenter[T]) run() {
	s.sum, s.norm, s.bad = 0, 0, 0
	clear(s.totals)
	clear(s.maps.grad)
	for n := range s.n {
		if s.borders != nil {
			s.borders.measure(s.labels[n*s.h*s.w : (n+1)*s.h*s.w])
		}
		s.rows(n, s.pixel)
	}
	s.totals[0], s.totals[1] = s.norm, float64(s.bad)
	s.env.Collective.Sum(s.totals)
	if bad := s.totals[1]; bad > 0 { // every shard stops, none waits for another
		ops.Abort(fmt.Errorf("segment: %.0f pixels of the batch have a label that is none of the %d classes, nor %d (ignored)", bad, s.k, Ignored))
	}
	inv := 0.0
	if s.totals[0] > 0 {
		inv = 1 / s.totals[0]
	}
	for i, g := range s.maps.grad {
		s.maps.grad[i] = T(float64(g) * inv)
	}
	first, dice := s.sum*inv, s.dice()
	buffer.Floats[T](s.env.Out)[0] = T(first + dice)
	if s.report != nil {
		s.report[PartCrossEntropy], s.report[PartDice] = T(first), T(dice)
	}
}

// rows calls f with the logits, the place for their gradient (or nil), the label
// and the number of every pixel of image n that is not ignored.
func (s *segmenter[T]) rows(n int, f func(x, g []T, label, i int)) {
	for y := range s.h {
		row, slope := s.maps.read(n, y), s.maps.gradient(n, y)
		labels := s.labels[(n*s.h+y)*s.w : (n*s.h+y+1)*s.w]
		for x, label := range labels {
			if ignored(label) {
				continue
			}
			if label >= int64(s.k) {
				s.bad++
				continue
			}
			g := slope
			if g != nil {
				g = slope[x*s.k : (x+1)*s.k]
			}
			f(row[x*s.k:(x+1)*s.k], g, int(label), y*s.w+x)
		}
		s.maps.spread(n, y)
	}
}

// pixel adds one pixel to the first term and to the sums over classes.
func (s *segmenter[T]) pixel(x, g []T, label, i int) {
	logP := s.softmax(x, label)
	w := 1.0
	if s.c.ClassWeights != nil {
		w = s.c.ClassWeights[label]
	}
	if s.borders != nil {
		w *= s.borders.weight(i, s.c.Boundary, s.c.BoundarySigma)
	}
	loss, slope := focal(logP, s.c.Focal)
	s.norm += w
	s.sum += w * loss
	if g != nil { // d ln p(y)/dx = [j = y] − p
		for j, p := range s.p {
			g[j] -= T(w * slope * p)
		}
		g[label] += T(w * slope)
	}
	if s.c.Dice > 0 {
		for j, p := range s.p {
			s.squares[j] += p * p
		}
		s.inter[label] += s.p[label]
		s.presence[label]++
	}
}

// softmax fills p with the probabilities of one pixel and returns the logarithm
// of its label's.
func (s *segmenter[T]) softmax(x []T, label int) float64 {
	top := x[0]
	for _, v := range x[1:] {
		top = max(top, v)
	}
	sum := 0.0
	for j, v := range x {
		e := math.Exp(float64(v - top))
		s.p[j] = e
		sum += e
	}
	for j := range s.p {
		s.p[j] /= sum
	}
	return float64(x[label]-top) - math.Log(sum)
}

// focal is −(1−p)^γ·ln p and its derivative by ln p.
func focal(logP, gamma float64) (loss, slope float64) {
	if gamma == 0 {
		return -logP, -1
	}
	q := -math.Expm1(logP)
	if q <= 0 {
		return 0, 0
	}
	m := math.Pow(q, gamma)
	return -m * logP, gamma*m/q*(1-q)*logP - m
}

// dice is this shard's part of the Dice term; its gradient is added in a second
// pass, for which the sums of the whole batch must be known.
func (s *segmenter[T]) dice() float64 {
	if s.c.Dice == 0 {
		return 0
	}
	count := 0.0
	for _, v := range s.presence {
		if v > 0 {
			count++
		}
	}
	loss := 0.0
	for k, v := range s.presence {
		s.onTarget[k], s.onSelf[k] = 0, 0
		if v == 0 {
			continue
		}
		total, scale := s.squares[k]+v, s.c.Dice/count
		loss += scale * (1 - 2*s.inter[k]/total)
		s.onTarget[k] = -2 * scale / total
		s.onSelf[k] = 4 * scale * s.inter[k] / (total * total)
	}
	if s.maps.grad != nil && count > 0 {
		for n := range s.n {
			s.rows(n, s.dicePixel)
		}
	}
	return loss / float64(s.env.Collective.Size())
}

func (s *segmenter[T]) dicePixel(x, g []T, label, _ int) {
	s.softmax(x, label)
	mean := s.onTarget[label] * s.p[label]
	for j, p := range s.p {
		mean += s.onSelf[j] * p * p
	}
	for j, p := range s.p { // dp = p·(δ − p)
		d := s.onSelf[j] * p
		if j == label {
			d += s.onTarget[j]
		}
		g[j] += T(p * (d - mean))
	}
}
