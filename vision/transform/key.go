package transform

import "math/rand/v2"

// Key names one drawing of random numbers.
type Key struct {
	Seed  uint64
	Epoch int
	// Image is the index of the image in its data set.
	Image int
	// Repeat counts how often the image came up earlier in the epoch, which
	// only class-balanced sampling makes happen.
	Repeat int
}

// The streams keep the uses of one seed apart.
const (
	streamImage = iota + 1
	streamOrder
	streamMix
	streamScene
)

// source is a generator that is seeded again for every key, without memory of
// what it drew before.
type source struct {
	pcg rand.PCG
	*rand.Rand
}

func newSource() *source {
	s := &source{}
	s.Rand = rand.New(&s.pcg)
	return s
}

func (s *source) seed(stream uint64, k Key) {
	h := stream
	for _, v := range [4]uint64{k.Seed, uint64(k.Epoch), uint64(k.Image), uint64(k.Repeat)} {
		h = splitmix(h ^ splitmix(v+0x9e3779b97f4a7c15))
	}
	s.pcg.Seed(h, splitmix(h))
}

// splitmix is the finaliser of SplitMix64: every bit of v moves every bit of
// the result.
func splitmix(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// Order is the order of n images in an epoch.
func Order(seed uint64, epoch, n int) []int {
	s := newSource()
	s.seed(streamOrder, Key{Seed: seed, Epoch: epoch})
	return s.Perm(n)
}

// Balanced draws n images with replacement, every class as often as every
// other and every image of a class as often as the next; classes[i] is the
// class of image i. Images of a class −1 are left out.
func Balanced(seed uint64, epoch, n int, classes []int) []int {
	byClass := map[int][]int{}
	var present []int
	for i, c := range classes {
		if c < 0 {
			continue
		}
		if byClass[c] == nil {
			present = append(present, c)
		}
		byClass[c] = append(byClass[c], i)
	}
	if len(present) == 0 {
		return nil
	}
	s := newSource()
	s.seed(streamOrder, Key{Seed: seed, Epoch: epoch, Image: 1})
	// Rounds over shuffled classes, and within a class rounds over its
	// shuffled images: as even as n allows, and no image rests for long.
	next := map[int][]int{}
	order := make([]int, 0, n)
	for len(order) < n {
		s.Shuffle(len(present), func(i, j int) { present[i], present[j] = present[j], present[i] })
		for _, c := range present[:min(len(present), n-len(order))] {
			if len(next[c]) == 0 {
				q := append([]int(nil), byClass[c]...)
				s.Shuffle(len(q), func(i, j int) { q[i], q[j] = q[j], q[i] })
				next[c] = q
			}
			order = append(order, next[c][0])
			next[c] = next[c][1:]
		}
	}
	return order
}
