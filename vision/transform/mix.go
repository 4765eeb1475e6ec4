package transform

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Mix blends every picture of a batch with the one before it: MixUp (arXiv
// 1710.09412) adds them, CutMix (arXiv 1905.04899) pastes a rectangle. λ is
// drawn from Beta(α, α), once a batch, as in torchvision.
type Mix struct {
	// MixUp and CutMix are α; 0 turns one off. With both on, one of them is
	// drawn for each batch.
	MixUp  float64 `json:"mixup" yaml:"mixup"`
	CutMix float64 `json:"cutmix" yaml:"cutmix"`
	// Prob is the probability that a batch is mixed at all.
	Prob float64 `json:"mix_prob" yaml:"mix_prob"`
}

// Validate reports what is wrong.
func (m Mix) Validate() error {
	if !(m.MixUp >= 0 && m.CutMix >= 0 && m.MixUp <= 100 && m.CutMix <= 100) {
		return fmt.Errorf("check augmentation: mixup is %v and cutmix %v: use 0 to 100", m.MixUp, m.CutMix)
	}
	if !(m.Prob >= 0 && m.Prob <= 1) {
		return fmt.Errorf("check augmentation: mix_prob is %v: use 0 to 1", m.Prob)
	}
	return nil
}

// Enabled tells whether any batch can be mixed.
func (m Mix) Enabled() bool { return m.Prob > 0 && (m.MixUp > 0 || m.CutMix > 0) }

// Apply mixes x, n pictures of (h, w, 3), in place and returns λ: picture i is
// λ of itself and 1 − λ of picture (i − 1) mod n. Without mixing λ is 1.
func (m Mix) Apply(x []float32, n, h, w int, seed uint64, epoch, batch int) float64 {
	if !m.Enabled() || n < 2 {
		return 1
	}
	s := newSource()
	s.seed(streamMix, Key{Seed: seed, Epoch: epoch, Image: batch})
	if s.Float64() >= m.Prob {
		return 1
	}
	cut := m.CutMix > 0 && (m.MixUp == 0 || s.IntN(2) == 1)
	alpha := m.MixUp
	if cut {
		alpha = m.CutMix
	}
	lambda := distuv.Beta{Alpha: alpha, Beta: alpha, Src: &s.pcg}.Rand()
	if !cut {
		roll(x, n, 0, h, 0, w, h, w, float32(lambda))
		return lambda
	}
	cx, cy := s.IntN(w), s.IntN(h)
	half := .5 * math.Sqrt(1-lambda)
	hw, hh := int(half*float64(w)), int(half*float64(h))
	x0, x1, y0, y1 := max(cx-hw, 0), min(cx+hw, w), max(cy-hh, 0), min(cy+hh, h)
	if x1 > x0 && y1 > y0 {
		roll(x, n, y0, y1, x0, x1, h, w, 0)
	}
	return 1 - float64((x1-x0)*(y1-y0))/float64(w*h)
}

// roll mixes a rectangle of every picture with the same one of the picture
// before it, the first with the last.
func roll(x []float32, n, y0, y1, x0, x1, h, w int, lambda float32) {
	size := 3 * h * w
	run := 3 * (x1 - x0)
	last := make([]float32, run)
	for y := y0; y < y1; y++ {
		at := 3 * (y*w + x0)
		copy(last, x[(n-1)*size+at:][:run])
		for i := n - 1; i >= 0; i-- {
			a, b := x[i*size+at:][:run], last
			if i > 0 {
				b = x[(i-1)*size+at:][:run]
			}
			for j := range a {
				a[j] = lambda*a[j] + (1-lambda)*b[j]
			}
		}
	}
}

// Targets writes the soft labels of a mixed batch into dst, (n, classes).
func Targets(dst []float32, labels []int64, classes int, lambda float64) {
	clear(dst[:len(labels)*classes])
	n := len(labels)
	for i := range labels {
		dst[i*classes+int(labels[i])] += float32(lambda)
		dst[i*classes+int(labels[(i+n-1)%n])] += float32(1 - lambda)
	}
}
