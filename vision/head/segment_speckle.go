package head

import (
	"cmp"
	"fmt"
	"slices"
)

// Despeckle removes the specks of a label map, in place: regions of fewer than
// minArea pixels, connected along sides and corners, get the class that they
// share the longest border with, the lowest of several. A speck beside a smaller
// one waits until that has joined a neighbour; so whatever comes out has regions
// of minArea pixels at least, unless the whole image is one region.
//
//	labels (h, w)
//
// It works on runs of equal labels within rows, and takes memory for these, not
// for pixels.
func Despeckle(labels []uint8, h, w, minArea int) error {
	if h < 1 || w < 1 || len(labels) != h*w {
		return fmt.Errorf("despeckle: %d labels for %d×%d pixels", len(labels), h, w)
	}
	s := speckles{labels: labels, h: h, w: w, minArea: minArea}
	for {
		s.split()
		s.connect()
		if !s.replace() {
			return nil
		}
	}
}

// speckles are the regions of a label map.
type speckles struct {
	labels        []uint8
	h, w, minArea int

	runs     []run
	first    []int32 // per row, and one more: its first run
	contacts []contact
}

// run is a stretch of one label in a row: pixels from to below end. parent leads
// to the run that stands for its region; that one's area is the region's, and so
// is what follows.
type run struct {
	from, end, parent, area int32
	label                   uint8
	waits                   bool // a smaller speck lies beside
	changes                 bool
	becomes                 uint8
}

// contact is a piece of border that the speck of a root shares with a label.
type contact struct {
	root, length int32
	label        uint8
}

// split finds the runs.
func (s *speckles) split() {
	s.runs, s.first = s.runs[:0], s.first[:0]
	for y := range s.h {
		s.first = append(s.first, int32(len(s.runs)))
		row := s.labels[y*s.w : (y+1)*s.w]
		for x := 0; x < s.w; {
			end := x + 1
			for end < s.w && row[end] == row[x] {
				end++
			}
			s.runs = append(s.runs, run{from: int32(x), end: int32(end), parent: int32(len(s.runs)), area: int32(end - x), label: row[x]})
			x = end
		}
	}
	s.first = append(s.first, int32(len(s.runs)))
}

// connect joins runs to regions.
func (s *speckles) connect() {
	s.pairs(true, func(a, b int32) {
		if s.runs[a].label != s.runs[b].label {
			return
		}
		if a, b = s.root(a), s.root(b); a != b {
			a, b = min(a, b), max(a, b)
			s.runs[b].parent = a
			s.runs[a].area += s.runs[b].area
		}
	})
}

// pairs calls f with every run of a row and every run of the row below that it
// touches along a side, and with corners also at a corner.
func (s *speckles) pairs(corners bool, f func(upper, lower int32)) {
	for y := range s.h - 1 {
		a, b := s.first[y], s.first[y+1]
		for a < s.first[y+1] { // both rows end at the same column
			f(a, b)
			switch u, l := s.runs[a].end, s.runs[b].end; {
			case u < l:
				a++
			case l < u:
				b++
			default:
				if corners && int(u) < s.w {
					f(a, b+1)
					f(a+1, b)
				}
				a, b = a+1, b+1
			}
		}
	}
}

// root is the run that stands for the region of run a.
func (s *speckles) root(a int32) int32 {
	for s.runs[a].parent != a {
		s.runs[a].parent = s.runs[s.runs[a].parent].parent
		a = s.runs[a].parent
	}
	return a
}

func (s *speckles) isSpeck(root int32) bool { return int(s.runs[root].area) < s.minArea }

// borders calls f with every two runs of different regions that share a side, and
// its length.
func (s *speckles) borders(f func(a, b, length int32)) {
	s.pairs(false, func(a, b int32) {
		if u, l := s.runs[a], s.runs[b]; u.label != l.label {
			f(a, b, min(u.end, l.end)-max(u.from, l.from))
		}
	})
	for y := range s.h {
		for a := s.first[y] + 1; a < s.first[y+1]; a++ {
			f(a-1, a, 1)
		}
	}
}

// replace gives specks that need not wait their new label. It returns false when
// there was none.
func (s *speckles) replace() bool {
	s.borders(func(a, b, _ int32) {
		a, b = s.root(a), s.root(b)
		// The smaller goes first, the earlier of equals.
		if s.runs[b].area < s.runs[a].area || s.runs[b].area == s.runs[a].area && b < a {
			a, b = b, a
		}
		s.runs[b].waits = s.runs[b].waits || s.isSpeck(a)
	})
	s.contacts = s.contacts[:0]
	touch := func(a, b, length int32) {
		if root := s.root(a); s.isSpeck(root) && !s.runs[root].waits {
			s.contacts = append(s.contacts, contact{root, length, s.runs[b].label})
		}
	}
	s.borders(func(a, b, length int32) {
		touch(a, b, length)
		touch(b, a, length)
	})
	s.choose()
	for y := range s.h {
		for _, r := range s.runs[s.first[y]:s.first[y+1]] {
			if root := s.runs[s.root(r.parent)]; root.changes {
				s.paint(y, r, root.becomes)
			}
		}
	}
	return len(s.contacts) > 0
}

// choose finds the label that each speck has most contact with.
func (s *speckles) choose() {
	slices.SortFunc(s.contacts, func(a, b contact) int {
		return cmp.Or(cmp.Compare(a.root, b.root), cmp.Compare(a.label, b.label))
	})
	var longest, length int32
	for i, c := range s.contacts {
		if i == 0 || c.root != s.contacts[i-1].root {
			longest, length = 0, 0
		} else if c.label != s.contacts[i-1].label {
			length = 0
		}
		if length += c.length; length > longest {
			longest = length
			s.runs[c.root].changes, s.runs[c.root].becomes = true, c.label
		}
	}
}

func (s *speckles) paint(y int, r run, label uint8) {
	row := s.labels[y*s.w : (y+1)*s.w]
	for x := r.from; x < r.end; x++ {
		row[x] = label
	}
}
