package metric

import (
	"math/rand/v2"
	"slices"
)

// Bootstrap configures the intervals. The zero value makes none.
type Bootstrap struct {
	// Resamples of the split. Usual: 1000.
	Resamples int
	Seed      uint64
}

// maxRankWork bounds images × classes × resamples for the rank measures (AUROC,
// average precision), which walk every image once per class and resample: about
// two seconds. Larger splits take fewer resamples there, and none below
// minResamples, where percentiles mean nothing.
const (
	maxRankWork  = 500_000_000
	minResamples = 200
)

// weights draws the resamples: weights[b][i] tells how often image i is in
// resample b. Images are drawn with replacement, and each resample has its own
// stream, keyed by (seed, b).
//
// Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, §13.3
// (percentile intervals).
func (o Bootstrap) weights(images int) [][]uint16 {
	out := make([][]uint16, o.Resamples)
	for b := range out {
		w := make([]uint16, images)
		rng := rand.New(rand.NewPCG(o.Seed, uint64(b)))
		for range images {
			w[rng.IntN(images)]++
		}
		out[b] = w
	}
	return out
}

// rankResamples is how many of the resamples the rank measures use.
func (o Bootstrap) rankResamples(images, classes int) int {
	n := min(o.Resamples, maxRankWork/max(1, images*classes))
	if n < min(o.Resamples, minResamples) {
		return 0
	}
	return n
}

// interval is the range between the 2.5th and 97.5th percentile of the defined
// samples, and whether there is one: at least half of the samples must be
// defined.
func interval(samples []Score) (Interval, bool) {
	var v []float64
	for _, s := range samples {
		if s.Defined() {
			v = append(v, float64(s))
		}
	}
	if len(v) == 0 || 2*len(v) < len(samples) {
		return Interval{Undefined, Undefined}, false
	}
	slices.Sort(v)
	return Interval{percentile(v, 0.025), percentile(v, 0.975)}, true
}

// percentile interpolates linearly between the order statistics.
func percentile(sorted []float64, q float64) Score {
	at := q * float64(len(sorted)-1)
	k := min(int(at), len(sorted)-1)
	if k+1 == len(sorted) {
		return Score(sorted[k])
	}
	return Score(sorted[k] + (at-float64(k))*(sorted[k+1]-sorted[k]))
}

// intervals turns samples by name into a CI95 map, nil if it would be empty.
func intervals(samples map[string][]Score) map[string]Interval {
	out := map[string]Interval{}
	for name, s := range samples {
		if ci, ok := interval(s); ok {
			out[name] = ci
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
