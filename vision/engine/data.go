package engine

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/imagefolder"
	"github.com/vislora/vislora/vision"
)

// openData reads the data set of a run; classes fixes the list when a model
// already has one.
func openData(path string, classes []string, o imagefolder.Options) (*datasets.Dataset, error) {
	o.Classes = classes
	d, err := imagefolder.Open(path, o)
	if err != nil {
		return nil, err
	}
	if len(d.Classes) < 2 && !d.MultiLabel {
		return nil, fmt.Errorf("%s holds %d class (%v): a classifier needs at least two class folders", path, len(d.Classes), d.Classes)
	}
	return d, nil
}

// openTrainingData reads the data of a run. kept are the classes that the model
// already tells apart: if they are the data's, in whatever order, the data is
// read in the model's order and kept comes back; otherwise it is nil.
func openTrainingData(c *TrainConfig, kept []string) (*datasets.Dataset, []string, error) {
	o := imagefolder.Options{Seed: c.Seed, Fraction: c.Fraction, Val: splitShare(c.ValShare)}
	d, err := openData(c.Data, nil, o)
	if err != nil || kept == nil {
		return d, nil, err
	}
	sorted, found := slices.Sorted(slices.Values(kept)), slices.Sorted(slices.Values(d.Classes))
	if !slices.Equal(sorted, found) {
		return d, nil, nil
	}
	if !slices.Equal(kept, d.Classes) {
		d, err = openData(c.Data, kept, o)
	}
	return d, kept, err
}

// splitShare is the share of an automatic split for a reader that takes 0 for
// its default.
func splitShare(v float64) float64 {
	if v == 0 {
		return -1
	}
	return v
}

// checkLoss refuses settings that the data's kind of labels has no use for.
func (r *run) checkLoss() error {
	c := &r.c
	mixes := c.MixUp > 0 || c.CutMix > 0
	switch {
	case r.data.MultiLabel && mixes:
		return fmt.Errorf("mixup and cutmix are for single-label data, %s is multi-label: leave them out", c.Data)
	case r.data.MultiLabel && c.LabelSmoothing > 0:
		return fmt.Errorf("label_smoothing is for single-label data, %s is multi-label: leave it out", c.Data)
	case mixes && c.ClassWeights != "":
		return fmt.Errorf("class_weights %s does not go with mixup and cutmix, whose images have two classes: use sampler balanced", c.ClassWeights)
	}
	return nil
}

// toInput makes the network's input of a batch that the loader delivered:
// (N, H, W, 3) as it is, or its luma where the model takes one channel (weights
// of ITU-R BT.601).
func (n *Network) toInput(x []float32, p vision.Preprocess, scratch *[]float32) []float32 {
	if n.Picture.Channels == 3 {
		return x
	}
	r, b := float32(0.299), float32(0.114)
	if p.Channels == vision.BGR {
		r, b = b, r
	}
	out := slices.Grow((*scratch)[:0], len(x)/3)
	for i := 0; i+2 < len(x); i += 3 {
		out = append(out, r*x[i]+0.587*x[i+1]+b*x[i+2])
	}
	*scratch = out
	return out
}

// checkChannels refuses inputs that pictures cannot fill.
func (n *Network) checkChannels() error {
	if c := n.Picture.Channels; c != 3 && c != 1 {
		return fmt.Errorf("%s: its input %q takes %d channels: pictures have 3 (or 1)", n.Model.Path, n.Picture.Name, c)
	}
	return nil
}
