package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision/metric"
)

// validateSegmentation scores classes of pixels on a split.
func (l *Loaded) validateSegmentation(ctx context.Context, c ValConfig) (*Validation, error) {
	o := datasets.Options{Seed: c.Seed, Val: c.ValShare, Workers: c.Workers}
	if !l.unnamed {
		o.Classes = l.Classes
	}
	set, err := openMasks(c.Data, o)
	if err != nil {
		return nil, err
	}
	if l.unnamed {
		return nil, fmt.Errorf("%s does not name its %d classes, so they cannot be matched with those of %s (%s): give them with --names FILE, or --names voc21", c.Weights, l.width(), c.Data, datasets.Names(set.Classes))
	}
	samples, err := set.Require(c.Split)
	if err != nil {
		return nil, fmt.Errorf("%w: choose one with --split", err)
	}
	s, err := openSession(c.Threads, c.DType)
	if err != nil {
		return nil, err
	}
	defer s.close()
	batch := c.Batch
	if batch == 0 {
		batch = 16
	}
	ev := newEvaluator(l.Network, s, l.Pre, min(batch, len(samples)), c.Workers, nil)
	defer ev.close()
	v := &Validation{loaded: l, data: set.Dataset, masks: set}
	options := metric.SegmentOptions{Boundaries: true, PixelSize: [2]float64{c.PixelSize, c.PixelSize}}
	if v.pixels, err = ev.segmentations(ctx, samples, set, options); err != nil {
		return nil, err
	}
	v.Metrics = l.metrics(c, len(v.pixels.samples), len(v.pixels.skipped), v.pixels.seconds, set.Classes)
	v.Metrics.Segmentation = v.pixels.eval.Evaluate()
	return v, nil
}

// segmentationTable is the figures for people.
func segmentationTable(b *strings.Builder, m *metric.Segmentation) {
	line := func(name string, v metric.Score, unit string) {
		if v.Defined() {
			fmt.Fprintf(b, "  %-18s %.4f%s\n", name, float64(v), unit)
		}
	}
	line("mIoU", m.MIoU, "")
	line("Dice", m.Dice, "")
	line("pixel accuracy", m.PixelAccuracy, "")
	line("boundary F1", m.BoundaryF1, "")
	line("HD95", m.HD95, " pixels")
	line("HD95", m.HD95mm, " mm")
	wide := 5
	for _, c := range m.PerClass {
		wide = max(wide, len([]rune(c.Name)))
	}
	fmt.Fprintf(b, "  %-*s      pixels     IoU    Dice  sensitivity  precision  boundary F1    HD95\n", wide, "class")
	for _, c := range m.PerClass {
		fmt.Fprintf(b, "  %-*s  %10d  %s  %s  %s  %s  %s  %s\n", wide, c.Name, c.Pixels, cell(c.IoU, 6), cell(c.Dice, 6), cell(c.Sensitivity, 11), cell(c.Precision, 9), cell(c.BoundaryF1, 11), cell(c.HD95, 6))
	}
}
