package head

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// MaskDecode makes the masks of detections from prototypes and coefficients, at
// the size of the original image (YOLACT, Bolya et al. 2019, arXiv:1904.02689):
//
//	mask = σ(Σₚ coefficientₚ·prototypeₚ) > Threshold, within the box
//
// Probabilities are enlarged bilinearly, not the sums: where a network is sure,
// how large a sum is says little, and a border would move away from the larger.
// A cell at the border that is half covered has the probability ½, so that the
// mask's border runs where the object's does.
type MaskDecode struct {
	// View says how the prototypes lie over the image; Map is their size.
	View
	// Threshold is the probability above which a pixel belongs to the mask.
	// Default 0.5.
	Threshold float64
}

// Mask is the mask of one detection in an image of h×w pixels.
//
//	prototypes (Map height, Map width, P)   coefficients (P)
//
// box is in pixels of the network's input, as [Decode] gives it, before it is
// moved to the image. A pixel whose centre it does not contain is not in the
// mask.
func (m MaskDecode) Mask(prototypes, coefficients []float32, box vision.Box, h, w int) (vision.RLE, error) {
	rows, cols, err := m.axes(h, w)
	if err != nil {
		return vision.RLE{}, err
	}
	if n := m.Map[0] * m.Map[1] * len(coefficients); n == 0 || len(prototypes) != n {
		return vision.RLE{}, fmt.Errorf("mask: %d values of prototypes of %d×%d for %d coefficients", len(prototypes), m.Map[0], m.Map[1], len(coefficients))
	}
	limit := float32(m.Threshold)
	if limit == 0 {
		limit = 0.5
	}
	if !(limit > 0 && limit < 1) {
		return vision.RLE{}, fmt.Errorf("mask: a threshold of %v: want a probability between 0 and 1", m.Threshold)
	}
	b := m.cells(box)
	top, bottom := rows.within(b.Y1, b.Y2)
	left, right := cols.within(b.X1, b.X2)
	if top >= bottom || left >= right {
		return vision.RLE{H: h, W: w, Counts: []uint32{uint32(h * w)}}, nil
	}
	s := m.assemble(prototypes, coefficients, rows, cols, [4]int{top, left, bottom, right})
	crop := make([]byte, (bottom-top)*(right-left)) // columns, as RLE has them
	down := make([]reading, bottom-top)
	for y := range down {
		down[y] = rows.read(top + y)
	}
	i := 0
	for x := left; x < right; x++ {
		c := cols.read(x)
		for _, r := range down {
			if s.at(r, c) > limit {
				crop[i] = 1
			}
			i++
		}
	}
	cut, err := mask.Encode(crop, bottom-top, right-left, mask.Columns)
	if err != nil {
		return vision.RLE{}, err
	}
	return pasted(cut, top, left, h, w), nil
}

// probable is the part of the map that some pixels read, and the probabilities
// there.
type probable struct {
	top, left, width int
	values           []float32
}

// assemble makes the probabilities that the pixels of a box {top, left, bottom,
// right} read.
func (m MaskDecode) assemble(prototypes, coefficients []float32, rows, cols axis, box [4]int) probable {
	s := probable{top: rows.read(box[0]).at, left: cols.read(box[1]).at}
	bottom, right := rows.read(box[2]-1).next, cols.read(box[3]-1).next
	s.width = right - s.left + 1
	for y := s.top; y <= bottom; y++ {
		for x := s.left; x <= right; x++ {
			at := (y*m.Map[1] + x) * len(coefficients)
			var sum float32
			for j, v := range prototypes[at : at+len(coefficients)] {
				sum += v * coefficients[j]
			}
			s.values = append(s.values, float32(1/(1+math.Exp(-float64(sum)))))
		}
	}
	return s
}

func (s probable) at(row, col reading) float32 {
	upper, lower := s.values[(row.at-s.top)*s.width:], s.values[(row.next-s.top)*s.width:]
	a, b := col.at-s.left, col.next-s.left
	above, below := upper[a]+col.f*(upper[b]-upper[a]), lower[a]+col.f*(lower[b]-lower[a])
	return above + row.f*(below-above)
}

// pasted puts a mask at a place of an image of h×w pixels.
func pasted(m vision.RLE, top, left, h, w int) vision.RLE {
	out := vision.RLE{H: h, W: w}
	end := 0 // of what the counts cover
	add := func(from, n int) {
		if k := len(out.Counts); k > 0 && from == end {
			out.Counts[k-1] += uint32(n)
		} else {
			out.Counts = append(out.Counts, uint32(from-end), uint32(n))
		}
		end = from + n
	}
	at := 0
	for i, c := range m.Counts {
		n := int(c)
		for i%2 == 1 && n > 0 { // column by column
			x, y := at/m.H, at%m.H
			part := min(n, m.H-y)
			add((left+x)*h+top+y, part)
			at, n = at+part, n-part
		}
		at += n
	}
	if rest := h*w - end; rest > 0 {
		out.Counts = append(out.Counts, uint32(rest))
	}
	return out
}

// MaskCoefficients are those of a cell, the last columns of its row.
//
//	out (A, 5+K+P)
func (d Decode) MaskCoefficients(out []float32, cell int) []float32 {
	width := 5 + d.Classes + d.Coefficients
	return out[cell*width+5+d.Classes : (cell+1)*width]
}
