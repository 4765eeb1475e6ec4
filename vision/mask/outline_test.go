package mask

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The outline of a mask, filled, is its largest region without holes.
func TestOutlineFillsItsRegion(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 300 {
		h, w := 1+rng.IntN(12), 1+rng.IntN(12)
		pixels := make([]byte, h*w)
		for i := range pixels {
			if rng.IntN(3) > 0 {
				pixels[i] = 1
			}
		}
		r, err := Encode(pixels, h, w, Rows)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Outline(r)
		if err != nil {
			t.Fatal(err)
		}
		if Area(r) == 0 {
			if p != nil {
				t.Fatal("an empty mask has an outline")
			}
			continue
		}
		want := filled(pixels, h, w)
		for y := range h {
			for x := range w {
				if got := contains(p, float64(x)+.5, float64(y)+.5); got != want[y*w+x] {
					t.Fatalf("%d×%d %v: pixel %d, %d inside %v: %v, want %v", w, h, pixels, x, y, p, got, want[y*w+x])
				}
			}
		}
	}
}

// contains tells whether a point lies in a polygon, by the crossings of a ray.
func contains(p []float64, x, y float64) bool {
	in := false
	for i := 0; i < len(p); i += 2 {
		k := (i + 2) % len(p)
		if (p[i+1] > y) != (p[k+1] > y) && x < p[i]+(p[k]-p[i])*(y-p[i+1])/(p[k+1]-p[i+1]) {
			in = !in
		}
	}
	return in
}

// filled is the largest region of a bitmap, the first of equals, with its holes:
// what cannot be left by steps to all eight neighbours that are not in it.
func filled(pixels []byte, h, w int) []bool {
	var best []int
	seen := make([]bool, h*w)
	for i := range pixels {
		if pixels[i] == 0 || seen[i] {
			continue
		}
		list := []int{i}
		seen[i] = true
		for k := 0; k < len(list); k++ {
			for _, q := range neighbours(list[k], h, w) {
				if q >= 0 && pixels[q] == 1 && !seen[q] {
					seen[q] = true
					list = append(list, q)
				}
			}
		}
		if len(list) > len(best) {
			best = list
		}
	}
	// From outside, over a frame of one pixel.
	W := w + 2
	outside := make([]bool, (h+2)*W)
	list := []int{0}
	outside[0] = true
	for k := 0; k < len(list); k++ {
		x, y := list[k]%W, list[k]/W
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				nx, ny := x+dx, y+dy
				if nx < 0 || ny < 0 || nx >= W || ny >= h+2 || outside[ny*W+nx] {
					continue
				}
				if nx > 0 && ny > 0 && nx <= w && ny <= h && slices.Contains(best, (ny-1)*w+nx-1) {
					continue
				}
				outside[ny*W+nx] = true
				list = append(list, ny*W+nx)
			}
		}
	}
	out := make([]bool, h*w)
	for i := range out {
		out[i] = !outside[(i/w+1)*W+i%w+1]
	}
	return out
}
