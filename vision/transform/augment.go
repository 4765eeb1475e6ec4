package transform

import (
	"errors"
	"fmt"
)

// Augment says how training pictures are varied. The zero value changes
// nothing: training then sees what evaluation sees.
//
// The order is RandomResizedCrop, flips, rotation, RandAugment, colour jitter,
// normalisation, random erasing. MixUp and CutMix work on batches: [Mix].
type Augment struct {
	// Scale and Ratio are the ranges of RandomResizedCrop's area, as a share
	// of the image, and of its aspect ratio. Scale {0, 0} turns it off.
	Scale [2]float64 `json:"scale" yaml:"scale,flow"`
	Ratio [2]float64 `json:"ratio" yaml:"ratio,flow"`
	// HFlip and VFlip are probabilities.
	HFlip float64 `json:"hflip" yaml:"hflip"`
	VFlip float64 `json:"vflip" yaml:"vflip"`
	// Rotation is in degrees, drawn from −Rotation to Rotation; what turns in
	// from outside is the image reflected.
	Rotation float64 `json:"rotation" yaml:"rotation"`
	// Brightness, Contrast and Saturation are drawn from 1 ± the value, Hue
	// from ± the value (at most 0.5), as torchvision's ColorJitter does.
	Brightness float64 `json:"brightness" yaml:"brightness"`
	Contrast   float64 `json:"contrast" yaml:"contrast"`
	Saturation float64 `json:"saturation" yaml:"saturation"`
	Hue        float64 `json:"hue" yaml:"hue"`
	// RandAugment (arXiv 1909.13719) applies so many operations, of the
	// magnitude RandAugmentMagnitude out of 30. 0 turns it off.
	RandAugment          int `json:"rand_augment" yaml:"rand_augment"`
	RandAugmentMagnitude int `json:"rand_augment_magnitude" yaml:"rand_augment_magnitude"`
	// Erasing (arXiv 1708.04896) is the probability that a rectangle of 2 to
	// 33 % of the picture becomes the mean colour.
	Erasing float64 `json:"erasing" yaml:"erasing"`
}

// DefaultAugment is RandomResizedCrop of half the area or more, and a
// horizontal flip every other time.
func DefaultAugment() Augment {
	return Augment{
		Scale: [2]float64{.5, 1}, Ratio: [2]float64{3. / 4, 4. / 3},
		HFlip: .5, RandAugmentMagnitude: 9,
	}
}

// Validate reports everything that is wrong.
func (a Augment) Validate() error {
	var errs []error
	bad := func(format string, v ...any) { errs = append(errs, fmt.Errorf(format, v...)) }
	within := func(name string, v, lo, hi float64) {
		if !(v >= lo && v <= hi) {
			bad("%s is %v: use %v to %v", name, v, lo, hi)
		}
	}
	if a.Scale != [2]float64{} {
		if !(a.Scale[0] > 0 && a.Scale[0] <= a.Scale[1] && a.Scale[1] <= 1) {
			bad("scale is %v: use two shares of the area, 0 < from ≤ to ≤ 1", a.Scale)
		}
		if !(a.Ratio[0] > 0 && a.Ratio[0] <= a.Ratio[1] && a.Ratio[1] <= 100) {
			bad("ratio is %v: use two aspect ratios, 0 < from ≤ to ≤ 100", a.Ratio)
		}
	}
	within("hflip", a.HFlip, 0, 1)
	within("vflip", a.VFlip, 0, 1)
	within("rotation", a.Rotation, 0, 180)
	within("brightness", a.Brightness, 0, 10)
	within("contrast", a.Contrast, 0, 10)
	within("saturation", a.Saturation, 0, 10)
	within("hue", a.Hue, 0, .5)
	within("rand_augment", float64(a.RandAugment), 0, 14)
	within("rand_augment_magnitude", float64(a.RandAugmentMagnitude), 0, randAugmentBins-1)
	within("erasing", a.Erasing, 0, 1)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("check augmentation: %w", errors.Join(errs...))
}

// Varies tells whether an image looks different from one epoch to the next. If
// not, what a frozen network makes of it can be kept.
func (a Augment) Varies() bool {
	a.Ratio, a.RandAugmentMagnitude = [2]float64{}, 0
	return a != Augment{}
}
