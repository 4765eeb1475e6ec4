package transform

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/vision"
)

func TestAffine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		v := func() float64 { return 4*r.Float64() - 2 }
		m, n := affine{v(), v(), v(), v(), v(), v()}, affine{v(), v(), v(), v(), v(), v()}
		if math.Abs(m.det()) < .1 {
			continue
		}
		x, y := v(), v()
		a, b := m.point(n.point(x, y))
		if c, d := m.after(n).point(x, y); math.Abs(a-c)+math.Abs(b-d) > 1e-9 {
			t.Fatalf("%v after %v: %v %v, want %v %v", m, n, c, d, a, b)
		}
		if c, d := m.inverse().point(m.point(x, y)); math.Abs(c-x)+math.Abs(d-y) > 1e-9 {
			t.Fatalf("inverse of %v: %v %v, want %v %v", m, c, d, x, y)
		}
		// span, against asking every pixel.
		s := affine{5 * v(), 5 * v(), 20 * v(), 5 * v(), 5 * v(), 20 * v()}
		if r.IntN(4) == 0 {
			s[0] = 0
		}
		if r.IntN(4) == 0 {
			s[3] = 0
		}
		row, count := r.IntN(20), 0
		lo, hi := s.span(row, 30, 25, 17)
		for x := range 30 {
			sx, sy := s.point(float64(x)+.5, float64(row)+.5)
			in := sx >= 0 && sx < 25 && sy >= 0 && sy < 17
			if in {
				count++
			}
			if in != (x >= lo && x < hi) {
				t.Fatalf("%v row %d: pixel %d of %d to %d at %v %v", s, row, x, lo, hi, sx, sy)
			}
		}
	}
}

// What remains of a polygon, against asking a fine grid of points.
func TestOutlineAgainstPoints(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const w, h, fine = 30, 20, 8
	var o outline
	for range 150 {
		p := star(r, 40*r.Float64()-5, 30*r.Float64()-5, 4+30*r.Float64())
		seen, part, _ := o.measure([][]float64{p}, scaling(1, 1), w, h)
		inside, b := 0, image.Rectangle{}
		for y := range h * fine {
			for x := range w * fine {
				if pointIn(p, (float64(x)+.5)/fine, (float64(y)+.5)/fine) {
					inside++
					b = b.Union(image.Rect(x, y, x+1, y+1))
				}
			}
		}
		const cell = fine * fine
		if counted := float64(inside) / cell; math.Abs(part-counted) > 1 {
			t.Fatalf("%v: area %.2f, counted %.2f", p, part, counted)
		}
		if inside < cell {
			continue
		}
		got := vision.Box{X1: float64(b.Min.X) / fine, Y1: float64(b.Min.Y) / fine, X2: float64(b.Max.X) / fine, Y2: float64(b.Max.Y) / fine}
		if beyond(got, seen) > 1./fine || beyond(seen, got) > .8 {
			t.Fatalf("%v: box %v, counted %v", p, seen, got)
		}
	}
}

func pointIn(p []float64, x, y float64) (in bool) {
	for i := 0; i < len(p); i += 2 {
		k := (i + 2) % len(p)
		if (p[i+1] > y) != (p[k+1] > y) && x < p[i]+(y-p[i+1])/(p[k+1]-p[i+1])*(p[k]-p[i]) {
			in = !in
		}
	}
	return in
}

func TestOutlineCases(t *testing.T) {
	var o outline
	for name, c := range map[string]struct {
		polygons    [][]float64
		seen        vision.Box
		part, whole float64
	}{
		"around the picture":  {[][]float64{{-5, -5, 50, -5, 50, 50, -5, 50}}, vision.Box{X2: 10, Y2: 8}, 80, 3025},
		"outside":             {[][]float64{{11, 1, 15, 1, 15, 5, 11, 5}}, vision.Box{}, 0, 16},
		"a U beside a corner": {[][]float64{{-4, -4, 6, -4, 6, -2, -2, -2, -2, 6, -4, 6}}, vision.Box{}, 0, 36},
		// The corner of the picture is in the notch of the U.
		"a U around a corner": {[][]float64{{-4, -4, 6, -4, 6, 2, 4, 2, 4, -2, -2, -2, -2, 6, -4, 6}}, vision.Box{X1: 4, Y1: 0, X2: 6, Y2: 2}, 4, 44},
		"two parts":           {[][]float64{{1, 1, 2, 1, 2, 2, 1, 2}, {8, 6, 12, 6, 12, 7, 8, 7}}, vision.Box{X1: 1, Y1: 1, X2: 10, Y2: 7}, 3, 5},
		"nothing":             {nil, vision.Box{}, 0, 0},
	} {
		seen, part, whole := o.measure(c.polygons, scaling(1, 1), 10, 8)
		if seen != c.seen || math.Abs(part-c.part) > 1e-9 || math.Abs(whole-c.whole) > 1e-9 {
			t.Errorf("%s: %v, %v of %v, want %v, %v of %v", name, seen, part, whole, c.seen, c.part, c.whole)
		}
	}
}
