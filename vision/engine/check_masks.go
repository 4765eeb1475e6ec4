package engine

import (
	"context"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/masks"
)

const (
	// fewPixels is the share of the training pixels below which a class is rare.
	fewPixels = .001
	// mostIgnored is the share of a mask from which on hardly anything is left.
	mostIgnored = .9
)

// The kinds of doubts about masks.
const (
	doubtOneClass = "one-class"      // Value is the share of the pixels that count
	doubtIgnored  = "mostly-ignored" // Value is the share of ignored pixels
)

// MaskCheck is what the masks of a data set hold. Images of a class are counted
// in [DataCheck.Splits].
type MaskCheck struct {
	// Pixels are those of each class in a split, Ignored the others.
	Pixels  map[string][]int64 `json:"pixels"`
	Ignored map[string]int64   `json:"ignored"`
	// Rare are the classes with a small share of the training pixels (of all when
	// there is no such split).
	Rare map[string]float64 `json:"rare_classes,omitempty"`

	odd []datasets.Doubt
}

// checkMasks reads every mask and counts its pixels.
func checkMasks(ctx context.Context, c CheckConfig, d *masks.Set) (*MaskCheck, error) {
	workers := workersFor(c.Workers, len(d.Samples))
	tallies := make([]map[string]*[256]int64, workers) // of each worker, by split
	for w := range tallies {
		tallies[w] = map[string]*[256]int64{}
		for _, s := range d.Splits() {
			tallies[w][s] = new([256]int64)
		}
	}
	doubts := make([]datasets.Doubt, len(d.Samples))
	err := inParallel(ctx, len(d.Samples), workers, func(worker, i int) error {
		s := &d.Samples[i]
		m, err := d.ReadMask(*s)
		if err != nil {
			return err
		}
		var counts [256]int64
		for _, k := range m {
			counts[k]++
		}
		to := tallies[worker][s.Split]
		for k, n := range counts {
			to[k] += n
		}
		doubts[i] = doubtMask(counts, len(d.Classes), int64(len(m)))
		doubts[i].Sample = i
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &MaskCheck{Pixels: map[string][]int64{}, Ignored: map[string]int64{}}
	for _, s := range d.Splits() {
		out.Pixels[s] = make([]int64, len(d.Classes))
		for _, t := range tallies {
			for k := range out.Pixels[s] {
				out.Pixels[s][k] += t[s][k]
			}
			out.Ignored[s] += t[s][masks.Ignore]
		}
	}
	out.odd = slices.DeleteFunc(doubts, func(x datasets.Doubt) bool { return x.Kind == "" })
	out.rare(d.Dataset)
	return out, nil
}

// doubtMask is what is odd about a mask of so many pixels, by the pixels of its
// classes; the zero doubt when nothing is.
func doubtMask(counts [256]int64, classes int, pixels int64) datasets.Doubt {
	ignored := float64(counts[masks.Ignore]) / float64(pixels)
	switch {
	case ignored >= mostIgnored:
		return datasets.Doubt{Kind: doubtIgnored, Value: ignored}
	case classes > 1 && slices.Max(counts[:classes]) == pixels-counts[masks.Ignore]:
		return datasets.Doubt{Kind: doubtOneClass, Value: 1 - ignored}
	}
	return datasets.Doubt{}
}

// share is that of a class in the pixels of a split that count.
func (c *MaskCheck) share(split string, class int) float64 {
	total := int64(0)
	for _, n := range c.Pixels[split] {
		total += n
	}
	return float64(c.Pixels[split][class]) / float64(max(total, 1))
}

// rare finds the classes with few pixels.
func (c *MaskCheck) rare(d *datasets.Dataset) {
	learnt := make([]int64, len(d.Classes))
	total := int64(0)
	train := len(d.Split(datasets.Train)) > 0
	for split, counts := range c.Pixels {
		if split != datasets.Train && train {
			continue
		}
		for k, n := range counts {
			learnt[k] += n
			total += n
		}
	}
	for k, n := range learnt {
		if v := float64(n) / float64(max(total, 1)); v > 0 && v < fewPixels {
			if c.Rare == nil {
				c.Rare = map[string]float64{}
			}
			c.Rare[d.Classes[k]] = v
		}
	}
}
