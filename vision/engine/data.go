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
