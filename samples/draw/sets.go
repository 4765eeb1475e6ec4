package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"image"
	"image/jpeg"
	"math/rand/v2"
)

// side is the width and height of an image; it is drawn at over times that.
const (
	side = 96
	over = 2
)

// dataSet is an image-folder data set that can be drawn.
type dataSet struct {
	name    string
	classes []string
	splits  []split
	quality [2]int // range of the JPEG quality
	draw    func(d dice, class string) image.Image
}

// split is a part of a set and how many images it has, of each class in an
// image folder.
type split struct {
	name  string
	count int
}

var sets = map[string]dataSet{
	"retail": {
		name:    "retail",
		classes: targets,
		splits:  []split{{"train", 48}, {"val", 10}, {"test", 25}},
		quality: [2]int{68, 82},
		draw:    drawShelf,
	},
	"microscopy": {
		name:    "microscopy",
		classes: leukocytes,
		splits:  []split{{"train", 60}, {"val", 14}, {"test", 36}},
		quality: [2]int{70, 84},
		draw:    drawSmear,
	},
}

// image draws one picture.
func (s dataSet) image(seed uint64, split, class string, i int) image.Image {
	return s.draw(s.dice(seed, split, class, i), class)
}

// encode draws one picture and packs it as JPEG.
func (s dataSet) encode(seed uint64, split, class string, i int) ([]byte, error) {
	img := s.image(seed, split, class, i)
	d := s.dice(seed^0x9e3779b97f4a7c15, split, class, i)
	var buf bytes.Buffer
	q := s.quality[0] + d.IntN(s.quality[1]-s.quality[0]+1)
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: q}); err != nil {
		return nil, fmt.Errorf("encode %s/%s %d: %w", split, class, i, err)
	}
	return buf.Bytes(), nil
}

// dice gives the random numbers of one image.
func (s dataSet) dice(seed uint64, split, class string, i int) dice {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%s/%d", s.name, split, class, i)
	return dice{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// dice is a source of random numbers with the draws that pictures need.
type dice struct{ *rand.Rand }

// in is uniform in [lo, hi).
func (d dice) in(lo, hi float64) float64 { return lo + (hi-lo)*d.Float64() }

// between is uniform in lo…hi, both included.
func (d dice) between(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// chance is true with probability p.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// around is normal with mean m and deviation s, cut at two deviations.
func (d dice) around(m, s float64) float64 { return m + s*max(-2, min(2, d.NormFloat64())) }

// pick takes one of the values.
func pick[T any](d dice, values ...T) T { return values[d.IntN(len(values))] }
