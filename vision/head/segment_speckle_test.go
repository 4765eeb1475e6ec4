package head_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision/head"
)

func digits(rows ...string) (labels []uint8, h, w int) {
	for _, r := range rows {
		for _, c := range r {
			labels = append(labels, uint8(c-'0'))
		}
	}
	return labels, len(rows), len(rows[0])
}

func TestDespeckleByHand(t *testing.T) {
	for what, c := range map[string]struct {
		minArea  int
		old, new []string
	}{
		"a speck takes the class of its longest border": {2,
			[]string{"0001", "0201", "0001"},
			[]string{"0001", "0001", "0001"}},
		"of two equal borders the lower class": {2,
			[]string{"1100", "1200", "1000"},
			[]string{"1100", "1000", "1000"}},
		"corners connect": {3,
			[]string{"0000", "0100", "0010", "0001"},
			[]string{"0000", "0100", "0010", "0001"}},
		"a speck that a smaller one beside it does not join goes after it": {4,
			[]string{"00000", "01120", "01000", "00000"},
			[]string{"00000", "00000", "00000", "00000"}},
		"a speck that a smaller one beside it joins is large enough": {4,
			[]string{"3333", "3113", "3123", "3333"},
			[]string{"3333", "3113", "3113", "3333"}},
		"enclosed specks vanish from the inside out": {9,
			[]string{"000000", "011110", "012210", "011110", "000000"},
			[]string{"000000", "011110", "011110", "011110", "000000"}},
		"one region stays":  {100, []string{"77", "77"}, []string{"77", "77"}},
		"nothing to remove": {1, []string{"01", "23"}, []string{"01", "23"}},
	} {
		labels, h, w := digits(c.old...)
		want, _, _ := digits(c.new...)
		if err := head.Despeckle(labels, h, w, c.minArea); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(labels, want) {
			t.Errorf("%s: %v becomes %v, want %v", what, c.old, labels, want)
		}
	}
	if head.Despeckle(make([]uint8, 5), 2, 3, 1) == nil {
		t.Error("5 labels of 2×3 pixels are accepted")
	}
}

// regions gives each pixel the number of its region, by flooding, and the areas.
func regions(labels []uint8, h, w int) (of []int, area []int) {
	of = make([]int, h*w)
	for i := range of {
		of[i] = -1
	}
	for i := range of {
		if of[i] >= 0 {
			continue
		}
		n := len(area)
		area = append(area, 0)
		stack := []int{i}
		of[i] = n
		for len(stack) > 0 {
			p := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			area[n]++
			for y := max(p/w-1, 0); y <= min(p/w+1, h-1); y++ {
				for x := max(p%w-1, 0); x <= min(p%w+1, w-1); x++ {
					if q := y*w + x; of[q] < 0 && labels[q] == labels[p] {
						of[q] = n
						stack = append(stack, q)
					}
				}
			}
		}
	}
	return of, area
}

// bruteDespeckle is the rule on pixels.
func bruteDespeckle(labels []uint8, h, w, minArea int) {
	for {
		of, area := regions(labels, h, w)
		waits := make([]bool, len(area))
		border := make([][256]int, len(area))
		meet := func(p, q int) {
			a, b := of[p], of[q]
			if a == b {
				return
			}
			border[a][labels[q]]++
			border[b][labels[p]]++
			if area[b] < area[a] || area[b] == area[a] && b < a {
				a, b = b, a
			}
			waits[b] = waits[b] || area[a] < minArea
		}
		for p := range labels {
			if p%w > 0 {
				meet(p-1, p)
			}
			if p >= w {
				meet(p-w, p)
			}
		}
		changed := false
		next := slices.Clone(labels)
		for p, r := range of {
			if area[r] >= minArea || waits[r] || border[r] == [256]int{} {
				continue
			}
			best := 0
			for l, n := range border[r] {
				if n > border[r][best] {
					best = l
				}
			}
			next[p], changed = uint8(best), true
		}
		if !changed {
			return
		}
		copy(labels, next)
	}
}

// Against flooding and counting pixels; no speck remains.
func TestDespeckleAgainstFlooding(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for range 300 {
		h, w, k := 1+rng.IntN(16), 1+rng.IntN(16), 2+rng.IntN(4)
		labels := make([]uint8, h*w)
		for i := range labels {
			labels[i] = uint8(rng.IntN(k))
			if i > 0 && rng.IntN(3) > 0 {
				labels[i] = labels[i-1]
			}
		}
		want, minArea := slices.Clone(labels), 1+rng.IntN(12)
		bruteDespeckle(want, h, w, minArea)
		old := slices.Clone(labels)
		if err := head.Despeckle(labels, h, w, minArea); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(labels, want) {
			t.Fatalf("%d×%d, at least %d pixels: %v becomes\n%v, want\n%v", h, w, minArea, old, labels, want)
		}
		if _, area := regions(labels, h, w); len(area) > 1 && slices.Min(area) < minArea {
			t.Fatalf("%d×%d: a region of %d pixels remains, want %d", h, w, slices.Min(area), minArea)
		}
	}
}
