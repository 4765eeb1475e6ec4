package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// masker is [InstanceMasks] bound to its memory.
type masker[T buffer.Float] struct {
	c            MaskConfig
	env          *ops.Env
	n, h, w, k   int // images, size and number of the prototypes
	cells, m     int // of one image: cells of the detector, rows of targets
	prototypes   []T
	coefficients []T
	matches      []int64
	targets      []T
	bytes        []uint8 // the masks are these, or floats
	floats       []T

	onPrototypes, onCoefficients []T // gradients; nil: not wanted

	top, left, bottom, right int // the box; bottom and right lie outside
	mask                     []T // (h, w): of one cell, within the box
	sum                      float64
	masked                   int // cells that count
	totals                   []float64
}

func newMasker[T buffer.Float](e *ops.Env, c MaskConfig) *masker[T] {
	ps := e.In[0].Shape
	s := &masker[T]{
		c: c, env: e, n: ps[0], h: ps[1], w: ps[2], k: ps[3], cells: e.In[1].Shape[1], m: e.In[3].Shape[1],
		prototypes: buffer.Floats[T](e.In[0]), coefficients: buffer.Floats[T](e.In[1]), matches: e.In[2].I64(), targets: buffer.Floats[T](e.In[3]),
		mask: buffer.Floats[T](e.Scratch[0]), totals: make([]float64, 1),
	}
	if e.In[4].Storage == buffer.U8 {
		s.bytes = e.In[4].U8()
	} else {
		s.floats = buffer.Floats[T](e.In[4])
	}
	if e.Slots[0] != nil {
		s.onPrototypes = buffer.Floats[T](e.Slots[0])
	}
	if e.Slots[1] != nil {
		s.onCoefficients = buffer.Floats[T](e.Slots[1])
	}
	return s
}

func (s *masker[T]) run() {
	s.sum, s.masked = 0, 0
	clear(s.onPrototypes)
	clear(s.onCoefficients)
	for n := range s.n {
		for a := range s.cells {
			if object := s.matches[n*s.cells+a]; object >= 0 {
				s.cell(n, a, int(object))
			}
		}
	}
	s.totals[0] = float64(s.masked)
	s.env.Collective.Sum(s.totals)
	inv := 1 / max(1, s.totals[0])
	buffer.Floats[T](s.env.Out)[0] = T(s.sum * inv)
	for _, g := range [2][]T{s.onPrototypes, s.onCoefficients} {
		for i, v := range g {
			g[i] = T(float64(v) * inv)
		}
	}
}

// cell adds the mask that cell a of image n makes of an object.
func (s *masker[T]) cell(n, a, object int) {
	s.crop(s.targets[(n*s.m+object)*5:])
	target := (n*s.m + object) * s.h * s.w
	coefficients := s.coefficients[(n*s.cells+a)*s.k : (n*s.cells+a+1)*s.k]
	var bce, inter, squares, wanted float64
	for y := s.top; y < s.bottom; y++ {
		for x := s.left; x < s.right; x++ {
			t := s.target(target + y*s.w + x)
			wanted += t * t
		}
	}
	if wanted == 0 {
		return
	}
	for y := s.top; y < s.bottom; y++ {
		for x := s.left; x < s.right; x++ {
			i := y*s.w + x
			t, z := s.target(target+i), s.logit(n, i, coefficients)
			e := math.Exp(-math.Abs(z))
			p := 1 / (1 + e)
			if z < 0 {
				p = e / (1 + e)
			}
			s.mask[i] = T(p)
			bce += max(z, 0) - z*t + math.Log1p(e)
			inter += p * t
			squares += p * p
		}
	}
	area, total := float64((s.bottom-s.top)*(s.right-s.left)), squares+wanted
	s.masked++
	s.sum += s.c.BCE*bce/area + s.c.Dice*(1-2*inter/total)
	s.slopes(n, a, target, s.c.BCE/area, -2*s.c.Dice/total, 4*s.c.Dice*inter/(total*total))
}

// slopes adds the gradients of one cell's mask p with targets t:
//
//	dL/dz = bce·(p − t) + (onTarget·t + onSelf·p)·p·(1 − p)
func (s *masker[T]) slopes(n, a, target int, bce, onTarget, onSelf float64) {
	if s.onPrototypes == nil && s.onCoefficients == nil {
		return
	}
	at := (n*s.cells + a) * s.k
	coefficients := s.coefficients[at : at+s.k]
	for y := s.top; y < s.bottom; y++ {
		for x := s.left; x < s.right; x++ {
			i := y*s.w + x
			p, t := float64(s.mask[i]), s.target(target+i)
			d := T(bce*(p-t) + (onTarget*t+onSelf*p)*p*(1-p))
			pixel := (n*s.h*s.w + i) * s.k
			if s.onPrototypes != nil {
				g := s.onPrototypes[pixel : pixel+s.k]
				for j, c := range coefficients {
					g[j] += d * c
				}
			}
			if s.onCoefficients != nil {
				g := s.onCoefficients[at : at+s.k]
				for j, v := range s.prototypes[pixel : pixel+s.k] {
					g[j] += d * v
				}
			}
		}
	}
}

// crop is the part of the prototypes that a row of targets touches.
func (s *masker[T]) crop(t []T) {
	reach := func(centre, size T, n int) (from, to int) {
		stride := float64(s.c.Stride)
		low, high := (float64(centre)-float64(size)/2)/stride, (float64(centre)+float64(size)/2)/stride
		return int(min(max(math.Floor(low), 0), float64(n))), int(min(max(math.Ceil(high), 0), float64(n)))
	}
	s.left, s.right = reach(t[1], t[3], s.w)
	s.top, s.bottom = reach(t[2], t[4], s.h)
}

func (s *masker[T]) target(i int) float64 {
	switch {
	case s.bytes == nil:
		return float64(s.floats[i])
	case s.bytes[i] != 0:
		return 1
	}
	return 0
}

func (s *masker[T]) logit(n, i int, coefficients []T) float64 {
	at := (n*s.h*s.w + i) * s.k
	var z T
	for j, v := range s.prototypes[at : at+s.k] {
		z += v * coefficients[j]
	}
	return float64(z)
}
