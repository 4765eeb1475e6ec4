package mask

import "github.com/vislora/vislora/vision"

// Outline is the polygon x0 y0 x1 y1 … around the largest region of a mask, along
// the sides of its pixels. Pixels belong together that share a side; holes are
// covered. A mask without a pixel has none.
func Outline(r vision.RLE) ([]float64, error) {
	on, err := Decode(r, Rows)
	if err != nil {
		return nil, err
	}
	start, size := -1, 0
	region := make([]int, len(on)) // from 1
	var stack []int
	count := 0
	for i := range on {
		if on[i] == 0 || region[i] > 0 {
			continue
		}
		count++
		n := 0
		region[i] = count
		stack = append(stack[:0], i)
		for len(stack) > 0 {
			p := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			n++
			for _, q := range neighbours(p, r.H, r.W) {
				if q >= 0 && on[q] != 0 && region[q] == 0 {
					region[q] = count
					stack = append(stack, q)
				}
			}
		}
		if n > size {
			start, size = i, n
		}
	}
	if start < 0 {
		return nil, nil
	}
	inside := func(x, y int) bool {
		return x >= 0 && y >= 0 && x < r.W && y < r.H && region[y*r.W+x] == region[start]
	}
	return around(start%r.W, start/r.W, inside), nil
}

// neighbours are the pixels that share a side with pixel p, −1 where the image
// ends.
func neighbours(p, h, w int) [4]int {
	out := [4]int{p - w, p + w, p - 1, p + 1}
	if p < w {
		out[0] = -1
	}
	if p >= (h-1)*w {
		out[1] = -1
	}
	if p%w == 0 {
		out[2] = -1
	}
	if p%w == w-1 {
		out[3] = -1
	}
	return out
}

// around walks clockwise along the outer border of a region, which begins, in
// rows from the top, with the pixel (x0, y0), and returns the corners. The region
// lies to the right of the way.
func around(x0, y0 int, inside func(x, y int) bool) (corners []float64) {
	// The pixels ahead of a corner, to the left and to the right of the way, when
	// it goes to the right, down, to the left and up.
	ahead := [4][2][2]int{{{0, -1}, {0, 0}}, {{0, 0}, {-1, 0}}, {{-1, 0}, {-1, -1}}, {{-1, -1}, {0, -1}}}
	step := [4][2]int{{1, 0}, {0, 1}, {-1, 0}, {0, -1}}
	x, y, way := x0, y0, 0
	for {
		corners = append(corners, float64(x), float64(y))
		for {
			x, y = x+step[way][0], y+step[way][1]
			left, right := ahead[way][0], ahead[way][1]
			if !inside(x+right[0], y+right[1]) {
				way = (way + 1) % 4
				break
			}
			if inside(x+left[0], y+left[1]) {
				way = (way + 3) % 4
				break
			}
		}
		if x == x0 && y == y0 {
			return corners
		}
	}
}
