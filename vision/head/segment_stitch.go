package head

import "fmt"

// Stitcher makes the labels of a large image out of the logits of its tiles. It
// adds up probabilities, weighted by [Blend], and decides a row as soon as no
// tile to come touches it: it holds one row of tiles, Tile[0]·W·K numbers, and a
// byte per pixel of the image. 6000×4000 pixels in tiles of 512 with 3 classes
// take 61 MB.
//
// Probabilities are added and not logits: a network that is very sure at the side
// of one tile then has one vote like the others. Their weights need not add up to
// 1, because the largest sum is what counts.
type Stitcher struct {
	plan    Windows
	k       int
	across  []float32 // weights of a tile's columns
	down    []float32 // and rows
	sums    []float32 // (rows, W, K); row y of the image is row y % rows
	rows    int
	labels  []uint8
	next    int // tile
	done    int // rows that are decided
	size    [2]int
	enlarge *enlarger // for maps of that size
	p       []float64 // of one pixel
}

// NewStitcher prepares for the tiles of a plan.
func NewStitcher(plan Windows, classes int, blend Blend) (*Stitcher, error) {
	if classes < 1 || classes > 255 {
		return nil, fmt.Errorf("stitch: %d classes: want 1 to 255", classes)
	}
	if len(plan.top) == 0 || len(plan.left) == 0 {
		return nil, fmt.Errorf("stitch: a plan without tiles; PlanWindows makes one")
	}
	rows := min(plan.Tile[0], plan.H)
	return &Stitcher{
		plan: plan, k: classes, across: blend.weights(plan.Tile[1], plan.left), down: blend.weights(plan.Tile[0], plan.top),
		sums: make([]float32, rows*plan.W*classes), rows: rows, labels: make([]uint8, plan.H*plan.W), p: make([]float64, classes),
	}, nil
}

// Add takes the logits of the next tile, in the order of [Windows.Tiles]: a map
// (h, w, K) that covers the tile and is enlarged to it bilinearly.
func (s *Stitcher) Add(logits []float32, h, w int) error {
	if s.next == len(s.plan.top)*len(s.plan.left) {
		return fmt.Errorf("stitch: all %d tiles were added before", s.next)
	}
	if h < 1 || w < 1 || len(logits) != h*w*s.k {
		return fmt.Errorf("stitch: %d logits for a map of %d×%d with %d classes", len(logits), h, w, s.k)
	}
	tile := s.plan.Tile
	if s.size != [2]int{h, w} {
		rows, cols, err := View{Map: [2]int{h, w}, Input: tile}.axes(tile[0], tile[1])
		if err != nil {
			return err
		}
		s.size, s.enlarge = [2]int{h, w}, newEnlarger(rows, cols, s.k)
	}
	row, column := s.next/len(s.plan.left), s.next%len(s.plan.left)
	top, left := s.plan.top[row], s.plan.left[column]
	for y := range min(tile[0], s.plan.H-top) {
		scores := s.enlarge.read(logits, y)
		at := ((top+y)%s.rows*s.plan.W + left) * s.k
		for x := range min(tile[1], s.plan.W-left) {
			s.vote(scores[x*s.k:(x+1)*s.k], s.sums[at:at+s.k], s.down[y]*s.across[x])
			at += s.k
		}
	}
	s.next++
	if column == len(s.plan.left)-1 {
		end := s.plan.H
		if row+1 < len(s.plan.top) {
			end = s.plan.top[row+1]
		}
		s.decide(end)
	}
	return nil
}

// vote adds weighted probabilities of one pixel.
func (s *Stitcher) vote(logits, sums []float32, weight float32) {
	probabilities(logits, s.p)
	for j, p := range s.p {
		sums[j] += weight * float32(p)
	}
}

// decide labels the rows up to end and clears their sums for the rows below.
func (s *Stitcher) decide(end int) {
	width := s.plan.W * s.k
	for ; s.done < end; s.done++ {
		at := s.done % s.rows * width
		largest(s.sums[at:at+width], s.labels[s.done*s.plan.W:(s.done+1)*s.plan.W])
		clear(s.sums[at : at+width])
	}
}

// Labels is the class of every pixel, row by row, once all tiles were added.
func (s *Stitcher) Labels() ([]uint8, error) {
	if n := len(s.plan.top) * len(s.plan.left); s.next < n {
		return nil, fmt.Errorf("stitch: %d of %d tiles were added", s.next, n)
	}
	return s.labels, nil
}
