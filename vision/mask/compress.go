package mask

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/vision"
)

// Compress writes the counts as COCO's string. Each number is the difference to
// the count two before it (from the fourth on), in groups of five bits, lowest
// first; bit 5 of a group says that more follow, and a group's character is its
// value + 48.
//
// Source: maskApi, rleToString.
func Compress(counts []uint32) string {
	s := make([]byte, 0, 2*len(counts))
	for i, c := range counts {
		x := int64(c)
		if i > 2 {
			x -= int64(counts[i-2])
		}
		for more := true; more; {
			group := byte(x & 0x1f)
			x >>= 5
			if group&0x10 != 0 { // the sign of what was written
				more = x != -1
			} else {
				more = x != 0
			}
			if more {
				group |= 0x20
			}
			s = append(s, group+48)
		}
	}
	return string(s)
}

// maxGroups is how many groups a count of 32 bits and its sign need.
const maxGroups = 7

// Decompress reads COCO's string for an image of h rows and w columns.
//
// Source: maskApi, rleFrString.
func Decompress(s string, h, w int) (vision.RLE, error) {
	if err := checkSize(h, w); err != nil {
		return vision.RLE{}, err
	}
	r := vision.RLE{H: h, W: w}
	for p := 0; p < len(s); {
		x, n, err := number(s, p)
		if err != nil {
			return vision.RLE{}, err
		}
		if m := len(r.Counts); m > 2 {
			x += int64(r.Counts[m-2])
		}
		if x < 0 || x > math.MaxUint32 {
			return vision.RLE{}, fmt.Errorf("mask RLE string: count %d is %d", len(r.Counts), x)
		}
		r.Counts = append(r.Counts, uint32(x))
		p += n
	}
	if err := Check(r); err != nil {
		return vision.RLE{}, err
	}
	return r, nil
}

// number reads the groups of one number from position p on.
func number(s string, p int) (x int64, n int, err error) {
	for {
		if p+n == len(s) {
			return 0, 0, fmt.Errorf("mask RLE string: it ends within a number")
		}
		c := s[p+n]
		if c < 48 || c > 111 {
			return 0, 0, fmt.Errorf("mask RLE string: character %q at %d is not one of '0' to 'o'", c, p+n)
		}
		if n == maxGroups {
			return 0, 0, fmt.Errorf("mask RLE string: the number at %d is longer than %d characters", p, maxGroups)
		}
		c -= 48
		x |= int64(c&0x1f) << (5 * n)
		n++
		if c&0x20 == 0 {
			if c&0x10 != 0 {
				x |= -1 << (5 * n)
			}
			return x, n, nil
		}
	}
}
