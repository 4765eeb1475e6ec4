package loss

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
)

// Two halves, then a pixel that is ignored between the classes: no border there.
//
//	0 0 0 1 1       0 0 0 255 1
func TestBordersByHand(t *testing.T) {
	b := newBorders[float64](1, 5, buffer.New(buffer.F64, 5))
	b.measure([]int64{0, 0, 0, 1, 1})
	if want := []float64{4, 1, 0, 0, 1}; !slices.Equal(b.distance, want) {
		t.Errorf("squared distances %v, want %v", b.distance, want)
	}
	if got, want := b.weight(0, 10, 2), 1+10*math.Exp(-4./8); math.Abs(got-want) > 1e-12 {
		t.Errorf("the weight is %v, want %v", got, want)
	}
	b.measure([]int64{0, 0, 0, Ignored, 1})
	for i := range 5 {
		if w := b.weight(i, 10, 2); w != 1 {
			t.Errorf("without a border pixel %d weighs %v", i, w)
		}
	}
}

// Distances are those to the nearest pixel at a border, by trying all.
func TestBordersAgainstAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 60 {
		h, w := 1+rng.IntN(14), 1+rng.IntN(14)
		labels := make([]int64, h*w)
		for i := range labels {
			if rng.IntN(12) == 0 {
				labels[i] = int64(rng.IntN(3))
			}
			if rng.IntN(20) == 0 {
				labels[i] = Ignored
			}
		}
		b := newBorders[float32](h, w, buffer.New(buffer.F32, h*w))
		b.measure(labels)
		marks := newBorders[float32](h, w, buffer.New(buffer.F32, h*w))
		marks.mark(labels)
		for i, got := range b.distance {
			want := float32(none * none)
			for j, m := range marks.distance {
				if m == 0 {
					dy, dx := i/w-j/w, i%w-j%w
					want = min(want, float32(dy*dy+dx*dx))
				}
			}
			if got != want {
				t.Fatalf("%d×%d pixels %v: squared distance of pixel %d is %v, want %v", h, w, labels, i, got, want)
			}
		}
	}
}
