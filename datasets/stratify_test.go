package datasets

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func splits(s []Sample) string {
	b := make([]byte, len(s))
	for i := range s {
		b[i] = s[i].Split[1] // r, a, e
	}
	return string(b)
}

func TestStratifyKeepsShares(t *testing.T) {
	make := func(order int) []Sample {
		var s []Sample
		for c, n := range []int{100, 37, 5, 2, 1} {
			for i := range n {
				s = append(s, Sample{Name: fmt.Sprintf("%d/%d.png", c, i), Label: c})
			}
		}
		if order == 1 {
			slices.Reverse(s)
		}
		return s
	}
	s := make(0)
	Stratify(s, 5, .2, .1, 7)
	d := Dataset{Samples: s, Classes: []string{"a", "b", "c", "d", "e"}}
	for split, want := range map[string][]int{Train: {70, 26, 3, 1, 1}, Val: {20, 7, 1, 1, 0}, Test: {10, 4, 1, 0, 0}} {
		if got := d.Counts(split); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", split, got, want)
		}
	}
	again, other := make(1), make(0)
	Stratify(again, 5, .2, .1, 7)
	slices.Reverse(again)
	if splits(again) != splits(s) {
		t.Error("the order of the list decides the split")
	}
	Stratify(other, 5, .2, .1, 8)
	if splits(other) == splits(s) {
		t.Error("the seed does not decide the split")
	}
}

func TestStratifyKeepsGroupsTogether(t *testing.T) {
	var s []Sample
	for g := range 60 {
		for i := range 1 + g*g%9 {
			s = append(s, Sample{Name: fmt.Sprintf("%d_%d.png", g, i), Label: (g + i%2*(g%3)) % 3, Group: fmt.Sprint("p", g)})
		}
	}
	for seed := range uint64(10) {
		Stratify(s, 3, .2, .1, seed)
		side := map[string]string{}
		for _, v := range s {
			if was := side[v.Group]; was != "" && was != v.Split {
				t.Fatalf("seed %d: group %s is in %s and %s", seed, v.Group, was, v.Split)
			}
			side[v.Group] = v.Split
		}
		d := Dataset{Samples: s, Classes: []string{"a", "b", "c"}}
		for split, share := range map[string]float64{Train: .7, Val: .2, Test: .1} {
			for c, n := range d.Counts(split) {
				total := d.Counts(Train)[c] + d.Counts(Val)[c] + d.Counts(Test)[c]
				if got := float64(n) / float64(total); math.Abs(got-share) > .06 {
					t.Errorf("seed %d, %s, class %d: %.3f of the images, want %.2f", seed, split, c, got, share)
				}
			}
		}
	}
}

func TestStratifyManyLabels(t *testing.T) {
	var s []Sample
	for i := range 300 {
		v := Sample{Name: fmt.Sprintf("%d.png", i), Label: -1, Labels: []int{}}
		for c, every := range []int{2, 5, 30} {
			if i%every == 0 {
				v.Labels = append(v.Labels, c)
			}
		}
		s = append(s, v)
	}
	Stratify(s, 3, .2, 0, 1)
	d := Dataset{Samples: s, Classes: []string{"a", "b", "c"}}
	for c, want := range []int{30, 12, 2} {
		if got := d.Counts(Val)[c]; got < want*3/4 || got > want*5/4+1 {
			t.Errorf("class %d: %d in val, want about %d", c, got, want)
		}
	}
	if n := len(d.Split(Val)); n < 54 || n > 66 {
		t.Errorf("%d in val, want 60", n)
	}
}

func TestFraction(t *testing.T) {
	var s []Sample
	for i := range 100 {
		split := Train
		if i%2 == 1 {
			split = Val
		}
		s = append(s, Sample{Name: fmt.Sprint(i), Label: min(i%10/2, 2), Split: split})
	}
	s = append(s, Sample{Name: "rare", Label: 3, Split: Train})
	d := Dataset{Samples: Fraction(s, Train, .2, 1), Classes: make([]string, 4)}
	if got := d.Counts(Train); !slices.Equal(got, []int{2, 2, 6, 1}) {
		t.Errorf("train %v", got)
	}
	if got := len(d.Split(Val)); got != 50 {
		t.Errorf("val was cut to %d", got)
	}
	if _, err := d.Require(Test); err == nil {
		t.Error("a missing split should be an error")
	}
}
