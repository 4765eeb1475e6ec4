package transform

import (
	"fmt"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// Sheet draws every augmentation on one page, each in four drawings:
// first those of a alone, as training uses it, then every kind by itself at a
// strength that shows. MixUp and CutMix mix the image with other.
func Sheet(im, other *vision.Image, pre vision.Preprocess, a Augment, seed uint64) (*vision.Image, error) {
	const columns = 4
	rows := []struct {
		name string
		aug  Augment
		mix  Mix
	}{
		{"evaluation", Augment{}, Mix{}},
		{"training", a, Mix{}},
		{"random resized crop", Augment{Scale: [2]float64{.2, .6}, Ratio: [2]float64{.75, 4. / 3}}, Mix{}},
		{"horizontal flip", Augment{HFlip: .5}, Mix{}},
		{"vertical flip", Augment{VFlip: .5}, Mix{}},
		{"rotation 45", Augment{Rotation: 45}, Mix{}},
		{"brightness 0.6", Augment{Brightness: .6}, Mix{}},
		{"contrast 0.8", Augment{Contrast: .8}, Mix{}},
		{"saturation 1", Augment{Saturation: 1}, Mix{}},
		{"hue 0.3", Augment{Hue: .3}, Mix{}},
		{"RandAugment 2, 15", Augment{RandAugment: 2, RandAugmentMagnitude: 15}, Mix{}},
		{"random erasing", Augment{Erasing: 1}, Mix{}},
		{"MixUp 0.8", Augment{}, Mix{MixUp: .8, Prob: 1}},
		{"CutMix 1", Augment{}, Mix{CutMix: 1, Prob: 1}},
	}
	var tiles []cv.Tile
	for _, row := range rows {
		p, err := Train(pre, row.aug)
		if err != nil {
			return nil, err
		}
		w := p.NewWorker()
		n := p.Len()
		x := make([]float32, 2*n)
		for i := range columns {
			if err := w.Apply(x[n:], im, Key{Seed: seed, Epoch: i}); err != nil {
				return nil, err
			}
			if err := w.Apply(x[:n], other, Key{Seed: seed, Epoch: i, Image: 1}); err != nil {
				return nil, err
			}
			name := row.name
			if row.mix.Enabled() {
				name = fmt.Sprintf("%s: %.2f", name, row.mix.Apply(x, 2, pre.Size[0], pre.Size[1], seed, i, 0))
			}
			var out vision.Image
			Denormalise(&out, x[n:], pre)
			tiles = append(tiles, cv.Tile{Image: &out, Caption: []string{name}})
		}
	}
	for _, op := range randAugmentOps[1:] {
		for _, m := range [columns]float64{-1, -.5, .5, 1} {
			if !op.signed {
				m = max(m, -m)
			}
			out, scratch := im.Clone(), vision.Image{}
			if err := op.apply(out, &scratch, m); err != nil {
				return nil, err
			}
			tiles = append(tiles, cv.Tile{Image: out, Caption: []string{fmt.Sprintf("%s %+.1f", op.name, m)}})
		}
	}
	return cv.Montage(tiles, 2*columns, 160)
}
